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

static size_t shared_len(svl_slice a, svl_slice b)
{
    const uint8_t *p = a.data, *q = b.data;
    size_t max = a.len < b.len ? a.len : b.len, n = 0;
    while (n < max && p[n] == q[n])
        n++;
    return n;
}

static svl_slice without(svl_slice key, size_t n)
{
    return (svl_slice){ (const uint8_t *)key.data + n, key.len - n };
}

uint8_t svl__keys_encode(const svl_slice *keys, uint32_t n, struct buffer *out)
{
    append_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        size_t shared = i > 0 ? shared_len(keys[i - 1], keys[i]) : 0;
        append_varint(out, shared);
        append_varint(out, keys[i].len - shared);
    }
    for (uint32_t i = 0; i < n; i++) {
        svl_slice rest = without(keys[i], i > 0 ? shared_len(keys[i - 1], keys[i]) : 0);
        svl__buffer_append(out, rest.data, rest.len);
    }
    return ENCODING_KEYS;
}

/* First round: are the lengths possible, and how many bytes are the keys when whole? */
static int measure_keys(struct reader r, uint32_t n, size_t *bytes)
{
    uint64_t len_before = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t shared = read_varint(&r), rest = read_varint(&r);
        if (shared > len_before || rest == 0 || rest > RECORD_KEY_MAX ||
            shared + rest > RECORD_KEY_MAX)
            return damaged("the length of a key");
        len_before = shared + rest;
        *bytes += len_before;
    }
    return r.failed ? damaged("its lengths are cut off") : SVL_OK;
}

/* Second round, the lengths being good: `lengths` is at the first pair, `bytes` behind the last. */
static int build_keys(struct reader lengths, struct reader bytes, uint32_t n, uint8_t *out,
                      svl_slice *keys)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t shared = read_varint(&lengths), rest = read_varint(&lengths);
        const uint8_t *suffix = read_bytes(&bytes, rest);
        if (!suffix)
            return damaged("its bytes are cut off");
        if (shared > 0)
            memcpy(out, keys[i - 1].data, shared);
        memcpy(out + shared, suffix, rest);
        keys[i] = (svl_slice){ out, shared + rest };
        if (i > 0 &&
            svl__key_compare(without(keys[i - 1], shared), (svl_slice){ suffix, rest }) >= 0)
            return damaged("its keys are not in order");
        out += shared + rest;
    }
    return reader_left(&bytes) != 0 ? damaged("bytes behind its keys") : SVL_OK;
}

int svl__keys_decode(uint8_t encoding, svl_slice raw, uint32_t n, struct space *bytes,
                     svl_slice *keys)
{
    if (encoding != ENCODING_KEYS)
        return svl__fail(SVL_E_VERSION, "keys in encoding %u", encoding);
    struct reader lengths = reader_of(raw.data, raw.len);
    if (read_varint(&lengths) != n)
        return damaged("its number of keys");
    size_t total;
    int rc = measure_keys(lengths, n, &total);
    if (rc != SVL_OK)
        return rc;
    uint8_t *out = space_take(bytes, total);
    if (!out)
        return SVL_E_NOMEM;
    struct reader suffixes = lengths;
    for (uint32_t i = 0; i < 2 * n; i++)
        (void)read_varint(&suffixes);
    return build_keys(lengths, suffixes, n, out, keys);
}
