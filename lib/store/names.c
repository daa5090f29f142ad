/* names.c - dictionaries as bytes. */
#include "names.h"

#include <string.h>

#include "base/error.h"
#include "block_format.h"

static int damaged(const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "a dictionary: %s", what);
}

static void append_varint(struct buffer *out, uint64_t v)
{
    uint8_t *start = buffer_reserve(out, VARINT_BYTES_MAX);
    if (start)
        out->len += (size_t)(put_varint(start, v) - start);
}

uint8_t svl__names_encode(const svl_slice *names, uint32_t n, struct buffer *out)
{
    append_varint(out, n);
    for (uint32_t i = 0; i < n; i++)
        append_varint(out, names[i].len);
    for (uint32_t i = 0; i < n; i++)
        svl__buffer_append(out, names[i].data, names[i].len);
    return ENCODING_NAMES;
}

int svl__names_decode(uint8_t encoding, svl_slice raw, uint32_t max, svl_slice *names, uint32_t *n)
{
    *n = 0;
    if (encoding != ENCODING_NAMES)
        return svl__fail(SVL_E_VERSION, "names in encoding %u", encoding);
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t count = read_varint(&r);
    if (count == 0 || count > max)
        return damaged("its number of names");
    for (uint64_t i = 0; i < count; i++) {
        names[i].len = read_varint(&r);
        if (names[i].len > RECORD_NAME_MAX)
            return damaged("a name is too long");
    }
    for (uint64_t i = 0; i < count; i++)
        names[i].data = read_bytes(&r, names[i].len);
    if (r.failed || reader_left(&r) != 0)
        return damaged("its lengths do not add up");
    *n = (uint32_t)count;
    return SVL_OK;
}

/* --- keys --- */

#define COPY_BYTES 16 /* a short copy is one of this many: faster than one of just enough */

static size_t shared_len(svl_slice a, svl_slice b)
{
    const uint8_t *p = a.data, *q = b.data;
    size_t max = a.len < b.len ? a.len : b.len, n = 0;
    while (n < max && p[n] == q[n])
        n++;
    return n;
}

static void store_length(uint8_t *lengths, uint32_t i, size_t width, size_t len)
{
    if (width == 1)
        lengths[i] = (uint8_t)len;
    else
        store_u16(lengths + 2 * (size_t)i, (uint16_t)len);
}

static size_t load_length(const uint8_t *lengths, uint32_t i, size_t width)
{
    return width == 1 ? lengths[i] : load_u16(lengths + 2 * (size_t)i);
}

uint8_t svl__keys_encode(const svl_slice *keys, uint32_t n, struct buffer *out)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < n; i++)
        longest = keys[i].len > longest ? keys[i].len : longest;
    size_t width = longest <= UINT8_MAX ? 1 : 2, lengths_len = n * width;
    append_varint(out, n);
    uint8_t *shared = buffer_reserve(out, 1 + 2 * lengths_len);
    if (!shared)
        return ENCODING_KEYS;
    *shared++ = (uint8_t)width;
    size_t lengths_at = out->len + 1;
    for (uint32_t i = 0; i < n; i++) {
        size_t same = i > 0 ? shared_len(keys[i - 1], keys[i]) : 0;
        store_length(shared, i, width, same);
        store_length(shared + lengths_len, i, width, keys[i].len - same);
    }
    out->len += 1 + 2 * lengths_len;
    for (uint32_t i = 0; i < n && !out->failed; i++) {
        size_t same = load_length(out->data + lengths_at, i, width);
        svl__buffer_append(out, (const uint8_t *)keys[i].data + same, keys[i].len - same);
    }
    return ENCODING_KEYS;
}

/* Lengths and bytes of the keys, before they are put together. */
struct key_parts {
    const uint8_t *shared, *following; /* lengths */
    const uint8_t *bytes, *end;
    size_t width;
    size_t total; /* of the whole keys */
};

/* Are the lengths possible, and do they add up to the bytes? */
static int take_parts(svl_slice raw, uint32_t n, struct key_parts *parts)
{
    *parts = (struct key_parts){ 0 };
    struct reader r = reader_of(raw.data, raw.len);
    uint64_t count = read_varint(&r);
    parts->width = read_u8(&r);
    if (count != n || (parts->width != 1 && parts->width != 2))
        return damaged("its number of keys");
    parts->shared = read_bytes(&r, n * parts->width);
    parts->following = read_bytes(&r, n * parts->width);
    if (r.failed)
        return damaged("its lengths are cut off");
    size_t len = 0, bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t shared = load_length(parts->shared, i, parts->width);
        size_t following = load_length(parts->following, i, parts->width);
        if (shared > len || following == 0 || shared + following > RECORD_KEY_MAX)
            return damaged("the length of a key");
        len = shared + following;
        parts->total += len;
        bytes += following;
    }
    if (bytes != reader_left(&r))
        return damaged("its lengths do not add up");
    parts->bytes = r.at;
    parts->end = r.end;
    return SVL_OK;
}

/* `to` has space for COPY_BYTES; `from` may be read up to `end`. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t len, const uint8_t *end)
{
    if (len <= COPY_BYTES && (size_t)(end - from) >= COPY_BYTES) {
        uint8_t bytes[COPY_BYTES]; /* the two may overlap behind len */
        memcpy(bytes, from, sizeof bytes);
        memcpy(to, bytes, sizeof bytes);
    } else if (len > 0) {
        memcpy(to, from, len);
    }
}

int svl__keys_decode(uint8_t encoding, svl_slice raw, uint32_t n, struct space *bytes,
                     svl_slice *keys)
{
    if (encoding != ENCODING_KEYS)
        return svl__fail(SVL_E_VERSION, "keys in encoding %u", encoding);
    struct key_parts parts;
    int rc = take_parts(raw, n, &parts);
    if (rc != SVL_OK)
        return rc;
    uint8_t *out = space_take(bytes, parts.total + COPY_BYTES);
    if (!out)
        return SVL_E_NOMEM;
    const uint8_t *out_end = out + parts.total + COPY_BYTES, *before = out;
    size_t len_before = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t shared = load_length(parts.shared, i, parts.width);
        size_t following = load_length(parts.following, i, parts.width);
        /* All that is shared is cut off, so one byte tells the order. */
        if (shared < len_before && parts.bytes[0] <= before[shared])
            return damaged("its keys are not in order");
        copy(out, before, shared, out_end);
        copy(out + shared, parts.bytes, following, parts.end);
        keys[i] = (svl_slice){ out, shared + following };
        parts.bytes += following;
        before = out;
        len_before = shared + following;
        out += len_before;
    }
    return SVL_OK;
}
