/* index_key.h - an index entry in an ordered key-value store, as its users write one by hand:
 *
 *     kind (1, left out if 0) | what it is found by | id (8, big-endian)                                         */
#ifndef BENCH_INDEX_KEY_H
#define BENCH_INDEX_KEY_H

#include <string.h>

#include "bench.h"

#define INDEX_KEY_BYTES_MAX 64 /* the harness's own keys have at most 16 bytes */

static inline size_t index_key(char kind, svl_slice by, uint64_t id,
                               uint8_t out[INDEX_KEY_BYTES_MAX])
{
    size_t at = 0;
    if (kind)
        out[at++] = (uint8_t)kind;
    memcpy(out + at, by.data, by.len);
    put_be64(out + at + by.len, id);
    return at + by.len + 8;
}

static inline bool index_key_is_of(char kind, svl_slice by, const void *entry, size_t len)
{
    const uint8_t *bytes = entry;
    size_t at = kind ? 1 : 0;
    return len == at + by.len + 8 && (!kind || bytes[0] == (uint8_t)kind) &&
           memcmp(bytes + at, by.data, by.len) == 0;
}

static inline uint64_t index_key_id(const void *entry, size_t len)
{
    return get_be64((const uint8_t *)entry + len - 8);
}

#endif
