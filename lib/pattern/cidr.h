/* cidr - internet addresses and blocks of them, from text. */
#ifndef SVL_PATTERN_CIDR_H
#define SVL_PATTERN_CIDR_H

#include <serverlog/types.h>
#include <stdbool.h>

struct address {
    uint8_t bytes[16];
    uint32_t bits; /* 32 or 128: its family */
};

/* The forms that inet_pton() takes: no leading zeros, no zone, a dotted tail is IPv6. */
bool svl__address_read(const void *text, size_t len, struct address *out);

/* An address, or one with a mask behind a slash: `mask_bits` of it count, the others become zero. */
bool svl__cidr_read(svl_slice text, struct address *out, uint32_t *mask_bits);

#endif
