/* range.c - numbers in order, and ranges cut into blocks. */
#include "range.h"

#include <string.h>

/* Negative numbers' bits count backwards: they are turned over; positive ones come above. */
static uint64_t key_of(double value)
{
    uint64_t bits;
    const uint64_t sign = UINT64_C(1) << 63;
    memcpy(&bits, &value, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

static void put_key(uint64_t key, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(key >> (56 - 8 * i));
}

void svl__range_key(double value, uint8_t bytes[8])
{
    put_key(key_of(value), bytes);
}

unsigned svl__range_cut(double low, double high, struct range_block blocks[RANGE_BLOCKS_MAX])
{
    uint64_t at = key_of(low), last = key_of(high);
    unsigned n = 0;
    while (n < RANGE_BLOCKS_MAX) {
        /* The largest block that starts at `at` and ends not behind `last`. */
        unsigned free_bits = at == 0 ? 63 : (unsigned)__builtin_ctzll(at);
        while (free_bits > 0 && (UINT64_C(1) << free_bits) - 1 > last - at)
            free_bits--;
        put_key(at, blocks[n].bytes);
        blocks[n++].bits = RANGE_KEY_BITS - free_bits;
        uint64_t end = at + ((UINT64_C(1) << free_bits) - 1);
        if (end >= last)
            break;
        at = end + 1;
    }
    return n;
}
