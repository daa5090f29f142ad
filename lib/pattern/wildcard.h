/* wildcard - texts with stars.
 *
 * A compiled wildcard is its literal runs with WILDCARD_STAR between them, a byte that no text holds. A match is
 * found from the left, each run at its first place behind the run before: the stars between take any text, so
 * an earlier place never spoils what a later one allows. So one pass over the text decides, whatever it is; no
 * automaton needs to be built, and none can grow. */
#ifndef SVL_PATTERN_WILDCARD_H
#define SVL_PATTERN_WILDCARD_H

#include <serverlog/types.h>
#include <stdbool.h>

#define WILDCARD_STAR 0xff

/* Compiles `text`, a decoded string, into `out`, which has space for as many bytes; *stars is how many it has.
 * Returns the bytes written, or -1: *why says what is wrong. */
int64_t svl__wildcard_compile(svl_slice text, uint8_t *out, uint32_t *stars, const char **why);

bool svl__wildcard_matches(svl_slice wildcard, const uint8_t *text, size_t len);

#endif
