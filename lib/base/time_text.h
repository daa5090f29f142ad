/* time_text - a time as text: RFC 3339, UTC, nine decimals: 2026-01-01T00:00:00.123456789Z */
#ifndef SVL_BASE_TIME_TEXT_H
#define SVL_BASE_TIME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_TEXT_BYTES                                                                            \
    32 /* with a NUL; any int64_t of nanoseconds lies in a year of four digits */

/* Returns the text's length. Takes no lock, unlike gmtime_r(). */
size_t svl__time_text(int64_t time_ns, char out[TIME_TEXT_BYTES]);

/* The first and the last time whose text begins so. False: there is none. */
bool svl__time_text_range(const void *begin, size_t len, int64_t *first_ns, int64_t *last_ns);

#endif
