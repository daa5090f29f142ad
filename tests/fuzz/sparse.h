/* sparse.h - a file without its zeros, as an input of a fuzz target: most of a store's file is zeros, in which a
 * mutation would be lost. Little-endian:
 *
 *   offset  bytes  what
 *   0       4      size of the file, modulo one more than the target's limit
 *   4              until the end: offset u32, modulo that size · length u16 · as many bytes of it */
#ifndef TESTS_FUZZ_SPARSE_H
#define TESTS_FUZZ_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Any input is one of a file of up to `max` bytes, which is put to `file`: its size. */
size_t sparse_unpack(const uint8_t *data, size_t len, uint8_t *file, size_t max);
/* Appends the input of that file. */
void sparse_pack(const uint8_t *file, size_t size, struct buffer *out);

#endif
