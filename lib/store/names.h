/* names - a block's dictionaries of sources, types and keys as bytes: see block_format.h. */
#ifndef SVL_STORE_NAMES_H
#define SVL_STORE_NAMES_H

#include "base/bytes.h"
#include "record/wire.h"
#include "space.h"

/* In the given order. Out of memory: out->failed. Returns the encoding. */
uint8_t svl__names_encode(const svl_slice *names, uint32_t n, struct buffer *out);
/* At most `max` names into `names`; they point into `raw`. */
int svl__names_decode(uint8_t encoding, svl_slice raw, uint32_t max, svl_slice *names, uint32_t *n);

/* Ascending and distinct; each key without the bytes that it shares with the one before. */
uint8_t svl__keys_encode(const svl_slice *keys, uint32_t n, struct buffer *out);
/* Exactly `n` keys into `keys`; their bytes are in `bytes`. */
int svl__keys_decode(uint8_t encoding, svl_slice raw, uint32_t n, struct space *bytes,
                     svl_slice *keys);

#endif
