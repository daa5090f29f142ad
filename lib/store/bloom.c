/* bloom.c - lines made, sealed, asked. */
#include "bloom.h"

#include "base/bytes.h"
#include "base/checksum.h"

#define WORDS 7
#define WORD_BITS 6u
#define LINE_BITS 22u

_Static_assert(BLOOM_LINES_MAX == UINT64_C(1) << LINE_BITS, "what the hash can tell apart");
_Static_assert(WORDS *WORD_BITS + LINE_BITS <= 64, "bits of a hash");

uint64_t svl__bloom_lines_for(uint64_t keys)
{
    return (keys + BLOOM_LINE_KEYS - 1) / BLOOM_LINE_KEYS;
}

uint64_t svl__bloom_hash(uint64_t place, svl_slice key)
{
    return svl__checksum_seeded(key.data, key.len, place);
}

static uint64_t number_of(uint64_t hash, uint64_t lines)
{
    return ((hash >> (64 - LINE_BITS)) * lines) >> LINE_BITS;
}

/* The hash's bit in the word. */
static uint64_t bit_of(uint64_t hash, unsigned word)
{
    return UINT64_C(1) << (hash >> (word * WORD_BITS) & 63);
}

static uint64_t seal_of(const struct bloom *bloom, const struct bloom_line *line)
{
    uint64_t what[] = { bloom->number, bloom->lines, line->number };
    return svl__checksum_seeded(line->bytes, WORDS * sizeof(uint64_t),
                                svl__checksum_seeded(what, sizeof what, bloom->place));
}

void svl__bloom_add(const struct bloom *bloom, uint64_t hash)
{
    uint8_t *line = bloom->bytes + number_of(hash, bloom->lines) * BLOOM_LINE_BYTES;
    for (unsigned word = 0; word < WORDS; word++) {
        uint8_t *at = line + word * sizeof(uint64_t);
        store_u64(at, load_u64(at) | bit_of(hash, word));
    }
}

void svl__bloom_halve(struct bloom *bloom)
{
    bloom->lines /= 2;
    for (uint64_t i = 0; i < bloom->lines; i++) {
        uint8_t *line = bloom->bytes + i * BLOOM_LINE_BYTES;
        const uint8_t *two = bloom->bytes + 2 * i * BLOOM_LINE_BYTES;
        for (unsigned word = 0; word < WORDS; word++) {
            const uint8_t *from = two + word * sizeof(uint64_t);
            store_u64(line + word * sizeof(uint64_t),
                      load_u64(from) | load_u64(from + BLOOM_LINE_BYTES));
        }
    }
}

static uint64_t count_bits(const struct bloom *bloom)
{
    uint64_t bits = 0;
    for (uint64_t i = 0; i < bloom->lines; i++)
        for (unsigned word = 0; word < WORDS; word++)
            bits += (uint64_t)__builtin_popcountll(
                load_u64(bloom->bytes + i * BLOOM_LINE_BYTES + word * sizeof(uint64_t)));
    return bits;
}

/* So many keys as a line is for set 25 of a word's 64 bits: 64 (1 - (63 / 64)^32). */
#define WORD_BITS_SET 25

void svl__bloom_fit(struct bloom *bloom)
{
    while (bloom->lines > 1 && count_bits(bloom) <= bloom->lines / 2 * (WORDS * WORD_BITS_SET))
        svl__bloom_halve(bloom);
}

void svl__bloom_seal(const struct bloom *bloom)
{
    for (uint64_t i = 0; i < bloom->lines; i++) {
        uint8_t *bytes = bloom->bytes + i * BLOOM_LINE_BYTES;
        struct bloom_line line = { bytes, i };
        store_u64(bytes + WORDS * sizeof(uint64_t), seal_of(bloom, &line));
    }
}

struct bloom_line svl__bloom_line_of(const struct bloom *bloom, uint64_t hash)
{
    uint64_t number = number_of(hash, bloom->lines);
    const uint8_t *bytes = bloom->bytes + number * BLOOM_LINE_BYTES;
    __builtin_prefetch(bytes);
    return (struct bloom_line){ bytes, number };
}

bool svl__bloom_is_sealed(const struct bloom *bloom, const struct bloom_line *line)
{
    return load_u64(line->bytes + WORDS * sizeof(uint64_t)) == seal_of(bloom, line);
}

bool svl__bloom_may_have(const struct bloom_line *line, uint64_t hash)
{
    uint64_t missing = 0;
    for (unsigned word = 0; word < WORDS; word++)
        missing |= ~load_u64(line->bytes + word * sizeof(uint64_t)) & bit_of(hash, word);
    return missing == 0;
}

bool svl__bloom_is_whole(const struct bloom *bloom)
{
    for (uint64_t i = 0; i < bloom->lines; i++) {
        struct bloom_line line = { bloom->bytes + i * BLOOM_LINE_BYTES, i };
        if (!svl__bloom_is_sealed(bloom, &line))
            return false;
    }
    return true;
}
