/* column - numbers of a block's records as bytes: each encoding's two directions side by side.
 *
 * Encoders append to `out` (its `failed` says that memory ran out) and return the encoding that they
 * chose. Decoders take any bytes: SVL_E_CORRUPT unless they are exactly `n` values, SVL_E_VERSION for
 * an encoding that the column does not have. */
#ifndef SVL_STORE_COLUMN_H
#define SVL_STORE_COLUMN_H

#include "base/bytes.h"
#include "record/wire.h"

/* A value that holds for `count` records in a row. */
struct run {
    int64_t value;
    uint32_t count;
};

uint8_t svl__column_encode(const uint32_t *values, uint32_t n, struct buffer *out);
int svl__column_decode(uint8_t encoding, svl_slice raw, uint32_t n, uint32_t *values);
/* Of values up to 255. */
int svl__column_decode_u8(uint8_t encoding, svl_slice raw, uint32_t n, uint8_t *values);

uint8_t svl__times_encode(const int64_t *times, uint32_t n, struct buffer *out);
int svl__times_decode(uint8_t encoding, svl_slice raw, uint32_t n, int64_t *times);

uint8_t svl__runs_encode(const struct run *runs, uint32_t n, struct buffer *out);
int svl__runs_decode(uint8_t encoding, svl_slice raw, uint32_t n, int64_t *values);

#endif
