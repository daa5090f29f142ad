/* checksum - XXH3-64 over what is stored. */
#ifndef SVL_BASE_CHECKSUM_H
#define SVL_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t svl__checksum(const void *data, size_t len);
uint64_t svl__checksum_seeded(const void *data, size_t len, uint64_t seed);

#endif
