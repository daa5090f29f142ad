/* seal.c - sealing and checking. */
#include "seal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

uint64_t svl__seal_place(const uint8_t uuid[16], const char *table)
{
    return svl__checksum_seeded(table, strlen(table), svl__checksum(uuid, 16));
}

uint64_t svl__seal(uint64_t place, const MDB_val *key, const void *value, size_t len)
{
    return svl__checksum_seeded(value, len,
                                svl__checksum_seeded(key->mv_data, key->mv_size, place));
}

bool svl__is_sealed(uint64_t place, const MDB_val *key, const MDB_val *value)
{
    const uint8_t *bytes = value->mv_data;
    size_t len = value->mv_size;
    return len >= SEAL_BYTES &&
           load_u64(bytes + len - SEAL_BYTES) == svl__seal(place, key, bytes, len - SEAL_BYTES);
}
