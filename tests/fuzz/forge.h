/* forge.h - checksums made right again, so that a fuzzer gets behind them. */
#ifndef TESTS_FUZZ_FORGE_H
#define TESTS_FUZZ_FORGE_H

#include <stddef.h>
#include <stdint.h>

/* Of what may be a block of `len` bytes: its length, the sums of its sections as far as its table says where they
 * are, those of its chunks where their tables are not compressed, and the header's. The last section is made to end
 * where the block does, so that bytes may be put in or taken out. */
void forge_block(uint8_t *data, size_t len);

#endif
