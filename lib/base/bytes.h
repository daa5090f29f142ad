/* bytes - little-endian numbers, varints and bounded buffers: how every format here is read and
 * written. Reading goes through struct reader only, so that no decoder does pointer arithmetic of its
 * own: past the end it yields zeros and remembers that it failed, and the caller asks once. */
#ifndef SVL_BASE_BYTES_H
#define SVL_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats are little-endian and so far only read and written on little-endian machines"
#endif

#define VARINT_BYTES_MAX 10

static inline uint16_t load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_u16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void store_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void store_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* Writes LEB128; returns the byte behind it. At most VARINT_BYTES_MAX. */
static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Signed numbers as varints: small magnitudes become small numbers. */
static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Bytes from outside, read in order. `failed` sticks. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t len)
{
    static const uint8_t nothing[1];
    const uint8_t *p = data ? data : nothing;
    return (struct reader){ p, p + (data ? len : 0), false };
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next `n` bytes, NULL if there are fewer. */
static inline const uint8_t *read_bytes(struct reader *r, size_t n)
{
    if (n > reader_left(r)) {
        r->failed = true;
        r->at = r->end;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline uint8_t read_u8(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 1);
    return p ? *p : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 2);
    return p ? load_u16(p) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 4);
    return p ? load_u32(p) : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 8);
    return p ? load_u64(p) : 0;
}

/* A varint; one that is longer than 64 bits fails. */
static inline uint64_t read_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end)
            break;
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    r->failed = true;
    r->at = r->end;
    return 0;
}

static inline size_t align_up(size_t n, size_t alignment)
{
    return (n + alignment - 1) & ~(alignment - 1);
}

/* A growing buffer. After a failed allocation `failed` sticks and nothing is written any more. */
struct buffer {
    uint8_t *data;
    size_t len;
    size_t capacity;
    bool failed;
};

/* Space for `n` more bytes (0 too), not yet counted into len; NULL only without memory. */
uint8_t *svl__buffer_reserve(struct buffer *b, size_t n);
void svl__buffer_append(struct buffer *b, const void *data, size_t n);
void svl__buffer_free(struct buffer *b);

static inline uint8_t *buffer_reserve(struct buffer *b, size_t n)
{
    if (b->data && b->capacity - b->len >= n && !b->failed)
        return b->data + b->len;
    return svl__buffer_reserve(b, n);
}

#endif
