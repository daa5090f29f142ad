/* range - ranges of numbers as bit strings, so that a radix tree finds those that a number lies in.
 *
 * A double becomes 64 bits in the order of the numbers. A closed range of such keys is the union of at most
 * 126 blocks, each all keys with certain first bits; a key lies in the range when it begins with the bits of
 * one of them, and never of two. Bounds of few digits have few bits, and need few blocks. */
#ifndef SVL_PATTERN_RANGE_H
#define SVL_PATTERN_RANGE_H

#include <stdint.h>

#define RANGE_BLOCKS_MAX 126
#define RANGE_KEY_BITS 64

struct range_block {
    uint8_t bytes[8];
    uint32_t bits;
};

/* The key of a number that is no NaN, as bytes. */
void svl__range_key(double value, uint8_t bytes[8]);

/* Cuts low <= ... <= high, both included, into blocks; returns how many. */
unsigned svl__range_cut(double low, double high, struct range_block blocks[RANGE_BLOCKS_MAX]);

#endif
