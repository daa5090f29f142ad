/* bloom - lines of a split block Bloom filter: what keys may be there.
 *
 * (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; after Apache Parquet's, with seven
 * words of 64 bits.) A line fits a cache line and has a seal of its own, so that a question reads one line and trusts
 * no other. Of some 500 keys that are not there one may seem to be, where lines are as many as the keys need.
 *
 *   a line:  0   56   seven words, u64
 *            56  8    seal: XXH3-64 of the words, seeded with that of {number of the filter, number of its lines,
 *                     number of this one; u64 each}, seeded with the place (seal.h)
 *
 * A key's hash is its XXH3-64 seeded with the place: its lowest 42 bits name a bit of each word, six for each from the
 * first on; the 22 above, times the number of lines, shifted down by 22, are the line. */
#ifndef SVL_STORE_BLOOM_H
#define SVL_STORE_BLOOM_H

#include <stdbool.h>
#include <stdint.h>

#include <serverlog/types.h>

#define BLOOM_LINE_BYTES 64
#define BLOOM_LINE_KEYS 32
#define BLOOM_LINES_MAX (UINT64_C(1) << 22)

/* A filter: `lines` of them at `bytes`; `number` among those of its place. */
struct bloom {
    uint8_t *bytes;
    uint64_t lines;
    uint64_t place, number;
};

/* Where a key's bits are. */
struct bloom_line {
    const uint8_t *bytes;
    uint64_t number;
};

/* How many lines so many keys need. */
uint64_t svl__bloom_lines_for(uint64_t keys);
uint64_t svl__bloom_hash(uint64_t place, svl_slice key);

/* --- making: of lines that are zero --- */

void svl__bloom_add(const struct bloom *bloom, uint64_t hash);
/* Each two neighbours become one, by the definition of a key's line the one that either's keys have then. `lines` is
 * even. */
void svl__bloom_halve(struct bloom *bloom);
/* Halves it as long as the lines do for all that was added, by the bits that are set. `lines` is a power of two. */
void svl__bloom_fit(struct bloom *bloom);
/* All lines: it is complete. */
void svl__bloom_seal(const struct bloom *bloom);

/* --- asking --- */

/* On its way into the cache. */
struct bloom_line svl__bloom_line_of(const struct bloom *bloom, uint64_t hash);
bool svl__bloom_is_sealed(const struct bloom *bloom, const struct bloom_line *line);
bool svl__bloom_may_have(const struct bloom_line *line, uint64_t hash);
/* Every line. */
bool svl__bloom_is_whole(const struct bloom *bloom);

#endif
