/* cidr.c - inet_pton() with a length, and masks. */
#include "cidr.h"

#include <arpa/inet.h>
#include <string.h>

bool svl__address_read(const void *text, size_t len, struct address *out)
{
    char copy[INET6_ADDRSTRLEN + 1];
    if (len < 2 || len >= sizeof copy || memchr(text, 0, len))
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    bool is_v6 = memchr(copy, ':', len) != NULL;
    memset(out->bytes, 0, sizeof out->bytes);
    out->bits = is_v6 ? 128 : 32;
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, copy, out->bytes) == 1;
}

/* Decimal without sign or leading zeros, at most `most`. */
static bool read_mask(const char *p, size_t len, uint32_t most, uint32_t *out)
{
    if (len == 0 || len > 3 || (len > 1 && p[0] == '0'))
        return false;
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return *out <= most;
}

bool svl__cidr_read(svl_slice text, struct address *out, uint32_t *mask_bits)
{
    const char *p = text.data;
    const char *slash = text.len > 0 ? memchr(p, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - p) : text.len;
    if (!svl__address_read(p, len, out))
        return false;
    *mask_bits = out->bits;
    if (slash && !read_mask(slash + 1, text.len - len - 1, out->bits, mask_bits))
        return false;
    for (uint32_t bit = *mask_bits; bit < out->bits; bit++)
        out->bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    return true;
}
