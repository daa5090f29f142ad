/* json_vector - how json_scan.c looks at many bytes of JSON at once: SSE2 (every x86-64 has it) or NEON
 * (every 64-bit ARM). Elsewhere, and with SVL_JSON_PLAIN, JSON_VECTORS is 0 and the scanner goes byte by
 * byte: tests/base/json_plain.c holds the two together. */
#ifndef SVL_BASE_JSON_VECTOR_H
#define SVL_BASE_JSON_VECTOR_H

#include <stdint.h>

/* A bit a byte of a block of 64, the first byte in the lowest. */
#define JSON_BLOCK 64
struct json_block {
    uint64_t quotes, backslashes;
    uint64_t opens, closes; /* brackets and braces */
};

/* '{' and '}' are '[' and ']' with this bit, and nothing else becomes them by it. */
#define JSON_BRACE_BIT 0x20

#if !defined(SVL_JSON_PLAIN) && defined(__SSE2__)
#define JSON_VECTORS 1
#include <emmintrin.h>

#define JSON_CHUNK 16

/* The place in 16 bytes of the first that is no printable ASCII, a quote or a backslash; 16: none is. */
static inline unsigned find_special(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i found =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    /* As signed bytes, 0x80 and above are below 0x20 too. */
    found = _mm_or_si128(found, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(found) | 0x10000u);
}

/* The place in 16 bytes of the first quote or backslash; 16: none is. */
static inline unsigned find_quote(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i found =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(found) | 0x10000u);
}

static inline uint64_t equal_bits(const __m128i v[4], char c)
{
    __m128i match = _mm_set1_epi8(c);
    uint64_t first = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[0], match));
    uint64_t second = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[1], match));
    uint64_t third = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[2], match));
    uint64_t fourth = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v[3], match));
    return first | second << 16 | third << 32 | fourth << 48;
}

static inline struct json_block json_block(const uint8_t *p)
{
    const __m128i *from = (const __m128i *)(const void *)p;
    const __m128i brace = _mm_set1_epi8(JSON_BRACE_BIT);
    const __m128i v[4] = { _mm_loadu_si128(from), _mm_loadu_si128(from + 1),
                           _mm_loadu_si128(from + 2), _mm_loadu_si128(from + 3) };
    const __m128i braces[4] = { _mm_or_si128(v[0], brace), _mm_or_si128(v[1], brace),
                                _mm_or_si128(v[2], brace), _mm_or_si128(v[3], brace) };
    return (struct json_block){ equal_bits(v, '"'), equal_bits(v, '\\'), equal_bits(braces, '{'),
                                equal_bits(braces, '}') };
}

#elif !defined(SVL_JSON_PLAIN) && defined(__ARM_NEON) && defined(__aarch64__)
#define JSON_VECTORS 1
#include <arm_neon.h>

#define JSON_CHUNK 16

/* The first byte of `found` that is not zero: narrowed to four bits a byte, for want of a movemask. */
static inline unsigned first_found(uint8x16_t found)
{
    uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(found), 4);
    uint64_t bits = vget_lane_u64(vreinterpret_u64_u8(narrow), 0);
    return bits ? (unsigned)__builtin_ctzll(bits) / 4 : 16;
}

/* The place in 16 bytes of the first that is no printable ASCII, a quote or a backslash; 16: none is. */
static inline unsigned find_special(const uint8_t *p)
{
    uint8x16_t v = vld1q_u8(p);
    uint8x16_t found = vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')));
    int8x16_t as_signed = vreinterpretq_s8_u8(v);
    return first_found(vorrq_u8(found, vcltq_s8(as_signed, vdupq_n_s8(0x20))));
}

/* The place in 16 bytes of the first quote or backslash; 16: none is. */
static inline unsigned find_quote(const uint8_t *p)
{
    uint8x16_t v = vld1q_u8(p);
    return first_found(vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\'))));
}

/* Adds up pairs until each byte holds the bits of eight. */
static inline uint64_t equal_bits(const uint8x16_t v[4], uint8_t c)
{
    static const uint8_t weights[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    uint8x16_t weight = vld1q_u8(weights), match = vdupq_n_u8(c);
    uint8x16_t low =
        vpaddq_u8(vandq_u8(vceqq_u8(v[0], match), weight), vandq_u8(vceqq_u8(v[1], match), weight));
    uint8x16_t high =
        vpaddq_u8(vandq_u8(vceqq_u8(v[2], match), weight), vandq_u8(vceqq_u8(v[3], match), weight));
    low = vpaddq_u8(low, high);
    low = vpaddq_u8(low, low);
    return vgetq_lane_u64(vreinterpretq_u64_u8(low), 0);
}

static inline struct json_block json_block(const uint8_t *p)
{
    uint8x16_t v[4], braces[4];
    for (unsigned i = 0; i < 4; i++) {
        v[i] = vld1q_u8(p + i * 16);
        braces[i] = vorrq_u8(v[i], vdupq_n_u8(JSON_BRACE_BIT));
    }
    return (struct json_block){ equal_bits(v, '"'), equal_bits(v, '\\'), equal_bits(braces, '{'),
                                equal_bits(braces, '}') };
}

#else
#define JSON_VECTORS 0
#endif

#endif
