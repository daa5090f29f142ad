/* utf8.c - RFC 3629, eight ASCII bytes at a time where there are that many. */
#include "utf8.h"

#include "bytes.h"

size_t svl__utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    size_t n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (n > left)
        return 0;
    uint8_t low = 0x80, high = 0xbf;
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return n;
}

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* By words, the last of which overlaps the one before: most texts are ASCII, and short. */
static bool is_ascii(const uint8_t *p, size_t len)
{
    uint64_t seen = 0;
    if (len >= 8) {
        for (size_t at = 0; at < len - 8; at += 8)
            seen |= load_u64(p + at);
        seen |= load_u64(p + len - 8);
    } else if (len >= 4) {
        seen = load_u32(p) | load_u32(p + len - 4);
    } else if (len > 0) {
        seen = (uint64_t)(p[0] | p[len / 2] | p[len - 1]);
    }
    return (seen & HIGH_BITS) == 0;
}

bool svl__utf8_valid(const void *text, size_t len)
{
    if (is_ascii(text, len))
        return true;
    const uint8_t *p = text;
    const uint8_t *end = p + len;
    while (p < end) {
        while (end - p >= 8 && (load_u64(p) & HIGH_BITS) == 0)
            p += 8;
        if (p == end)
            break;
        size_t n = svl__utf8_sequence(p, (size_t)(end - p));
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

size_t svl__utf8_encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n; --i > 0; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)(leads[n] | c);
    return n;
}

uint32_t svl__utf8_decode(const uint8_t *p, size_t left, size_t *taken)
{
    size_t n = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n > left)
        n = left;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    *taken = n;
    return c;
}
