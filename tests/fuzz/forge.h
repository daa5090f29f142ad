/* forge.h - checksums made right again, so that a fuzzer gets behind them. */
#ifndef TESTS_FUZZ_FORGE_H
#define TESTS_FUZZ_FORGE_H

#include <stddef.h>
#include <stdint.h>

/* Of what may be a block of `len` bytes: its length, the sums of its sections as far as its table says where they
 * are, those of its chunks where their tables are not compressed, and the header's. The last section is made to end
 * where the block does, so that bytes may be put in or taken out. */
void forge_block(uint8_t *data, size_t len);

/* Of what may be a segment's file: of what it says of itself, that the segment and the store are `uuid`, and the sum;
 * of blocks as above; the seals of the zones and of the chunks of the key index. Wherever leaf pages hold them or point
 * to them: what else looks like one is what memory held when its page was written. */
void forge_entries(uint8_t *file, size_t size, const uint8_t uuid[16]);

#endif
