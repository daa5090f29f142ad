/* checksum.c - XXH3-64, from libxxhash. */
#include "checksum.h"

#include <xxhash.h>

uint64_t svl__checksum(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

uint64_t svl__checksum_seeded(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}
