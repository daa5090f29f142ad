/* seal - the checksum that ends a value of an LMDB table, bound to its place: a value that stands under another key, in
 * another table or in another segment is as wrong as a damaged one.
 *
 *   seal   XXH3-64 of the value before it, seeded with that of its whole key, seeded with the place
 *   place  of a segment's table: XXH3-64 of the table's name, seeded with that of the segment's uuid; of the
 *          catalog: 0 */
#ifndef SVL_STORE_SEAL_H
#define SVL_STORE_SEAL_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#define SEAL_BYTES 8
#define SEAL_PLACE_CATALOG 0

uint64_t svl__seal_place(const uint8_t uuid[16], const char *table);

/* Of the `len` bytes at `value`, which the seal is to follow. */
uint64_t svl__seal(uint64_t place, const MDB_val *key, const void *value, size_t len);

/* The value has a seal, and it is right. */
bool svl__is_sealed(uint64_t place, const MDB_val *key, const MDB_val *value);

#endif
