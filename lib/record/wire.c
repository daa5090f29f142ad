/* wire.c - the binary form of one record. Little-endian, no padding inside:
 *
 *   offset  bytes  what
 *   0       4      length of the whole record, these bytes included
 *   4       1      severity, 0..24
 *   5       1      body kind
 *   6       1      s = length of source
 *   7       1      t = length of type
 *   8       8      time, ns since the epoch
 *   16      4      b = length of body
 *   20      2      k = length of key, at most 480
 *   22      1      number of attributes
 *   23      1      format flags: a bit that the reader does not know makes the record unreadable
 *   24      4      a = length of the encoded attributes
 *   28      4      flags of the record
 *   32      s      source, then t type, k key, a attributes, b body
 *
 *   an attribute: kind u8 · name length u8 · value length u32 · name · value; numbers and booleans
 *   are 8 bytes.
 *
 * Id and ingest time are not in it: a container of records carries them once for all. */
#include "wire.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

#define FORMAT_FLAGS_KNOWN 0

_Static_assert(RECORD_NAME_MAX <= UINT8_MAX, "name lengths are one byte");
_Static_assert(RECORD_ATTRIBUTES_MAX <= UINT8_MAX, "the attribute count is one byte");
_Static_assert(RECORD_KEY_MAX <= UINT16_MAX, "the key length is two bytes");

static bool has_bytes(uint32_t kind)
{
    return kind == SVL_ATTRIBUTE_TEXT || kind == SVL_ATTRIBUTE_BYTES;
}

static size_t value_size(const svl_attribute *attribute)
{
    return has_bytes(attribute->kind) ? attribute->bytes.len : sizeof(int64_t);
}

static size_t attributes_size(const svl_record *record)
{
    size_t size = 0;
    for (uint32_t i = 0; i < record->attribute_count; i++)
        size += WIRE_ATTRIBUTE_BYTES + record->attributes[i].name.len +
                value_size(&record->attributes[i]);
    return size;
}

static struct wire_size measure(const svl_record *record)
{
    size_t attributes = attributes_size(record);
    size_t size = WIRE_HEADER_BYTES + record->source.len + record->type.len + record->key.len +
                  attributes + record->body.len;
    return (struct wire_size){ (uint32_t)size, (uint32_t)attributes };
}

uint32_t svl__wire_size(const svl_record *record)
{
    return measure(record).record;
}

static uint8_t *put(uint8_t *p, svl_slice slice)
{
    if (slice.len > 0)
        memcpy(p, slice.data, slice.len);
    return p + slice.len;
}

static uint8_t *put_attribute(uint8_t *p, const svl_attribute *attribute)
{
    size_t size = value_size(attribute);
    p[0] = (uint8_t)attribute->kind;
    p[1] = (uint8_t)attribute->name.len;
    store_u32(p + 2, (uint32_t)size);
    p = put(p + WIRE_ATTRIBUTE_BYTES, attribute->name);
    if (has_bytes(attribute->kind))
        return put(p, attribute->bytes);
    if (attribute->kind == SVL_ATTRIBUTE_F64)
        memcpy(p, &attribute->f64, size);
    else
        memcpy(p, &attribute->i64, size);
    return p + size;
}

void svl__wire_encode(const svl_record *record, int64_t time_ns, uint8_t *out)
{
    struct wire_size size = measure(record);
    svl__wire_encode_measured(record, &size, time_ns, out);
}

void svl__wire_encode_measured(const svl_record *record, const struct wire_size *size,
                               int64_t time_ns, uint8_t *out)
{
    store_u32(out, size->record);
    out[4] = (uint8_t)record->severity;
    out[5] = (uint8_t)record->body_kind;
    out[6] = (uint8_t)record->source.len;
    out[7] = (uint8_t)record->type.len;
    store_u64(out + 8, (uint64_t)(record->time_ns ? record->time_ns : time_ns));
    store_u32(out + 16, (uint32_t)record->body.len);
    store_u16(out + 20, (uint16_t)record->key.len);
    out[22] = (uint8_t)record->attribute_count;
    out[23] = 0;
    store_u32(out + 24, size->attributes);
    store_u32(out + 28, record->flags);

    uint8_t *p = out + WIRE_HEADER_BYTES;
    p = put(p, record->source);
    p = put(p, record->type);
    p = put(p, record->key);
    for (uint32_t i = 0; i < record->attribute_count; i++)
        p = put_attribute(p, &record->attributes[i]);
    put(p, record->body);
}

void svl__wire_add_flags(uint8_t *wire, uint32_t flags)
{
    store_u32(wire + 28, load_u32(wire + 28) | flags);
}

uint32_t svl__wire_length(const uint8_t *data, size_t left)
{
    if (left < WIRE_HEADER_BYTES)
        return 0;
    uint32_t length = load_u32(data);
    return length >= WIRE_HEADER_BYTES && length <= left ? length : 0;
}

/* The next `n` of the bytes at *p, which are there. */
static svl_slice next(const uint8_t **p, size_t n)
{
    svl_slice slice = { *p, n };
    *p += n;
    return slice;
}

/* The lengths of a record's parts, which are its own. */
struct lengths {
    uint32_t source, type, key, attributes, body;
};

static inline int read_lengths(const uint8_t *data, size_t len, struct lengths *out)
{
    if (len < WIRE_HEADER_BYTES || load_u32(data) != len)
        return svl__fail(SVL_E_CORRUPT, "a record of %zu bytes says another length", len);
    if (data[23] & ~FORMAT_FLAGS_KNOWN)
        return svl__fail(SVL_E_VERSION, "a record with format flags %#x", data[23]);
    struct lengths l = { data[6], data[7], load_u16(data + 20), load_u32(data + 24),
                         load_u32(data + 16) };
    if (data[4] > SVL_SEVERITY_MAX || l.key > RECORD_KEY_MAX)
        return svl__fail(SVL_E_CORRUPT, "a record with severity %u and a key of %u bytes", data[4],
                         l.key);
    if (WIRE_HEADER_BYTES + (uint64_t)l.source + l.type + l.key + l.attributes + l.body != len)
        return svl__fail(SVL_E_CORRUPT, "a record of %zu bytes whose parts do not add up", len);
    *out = l;
    return SVL_OK;
}

int svl__wire_view(const uint8_t *data, size_t len, struct wire_view *view)
{
    struct lengths l = { 0 };
    memset(view, 0, sizeof *view);
    int rc = read_lengths(data, len, &l);
    if (rc != SVL_OK)
        return rc;
    view->length = (uint32_t)len;
    view->severity = data[4];
    view->body_kind = data[5];
    view->time_ns = (int64_t)load_u64(data + 8);
    view->attribute_count = data[22];
    view->flags = load_u32(data + 28);

    const uint8_t *p = data + WIRE_HEADER_BYTES;
    view->source = next(&p, l.source);
    view->type = next(&p, l.type);
    view->key = next(&p, l.key);
    view->attributes = next(&p, l.attributes);
    view->body = next(&p, l.body);
    return SVL_OK;
}

static svl_slice take(struct reader *r, size_t n)
{
    const uint8_t *p = read_bytes(r, n);
    return (svl_slice){ p, p ? n : 0 };
}

static bool decode_attribute(struct reader *r, svl_attribute *out)
{
    memset(out, 0, sizeof *out);
    out->kind = read_u8(r);
    uint8_t name_len = read_u8(r);
    uint32_t value_len = read_u32(r);
    out->name = take(r, name_len);
    svl_slice value = take(r, value_len);
    if (r->failed || name_len == 0 || out->kind < SVL_ATTRIBUTE_TEXT ||
        out->kind > SVL_ATTRIBUTE_BOOL)
        return false;
    if (has_bytes(out->kind)) {
        out->bytes = value;
        return true;
    }
    if (value.len != sizeof(int64_t))
        return false;
    if (out->kind == SVL_ATTRIBUTE_F64)
        memcpy(&out->f64, value.data, sizeof out->f64);
    else
        memcpy(&out->i64, value.data, sizeof out->i64);
    return out->kind != SVL_ATTRIBUTE_BOOL || out->i64 == 0 || out->i64 == 1;
}

int svl__attributes_decode(svl_slice bytes, uint32_t count, svl_attribute *out)
{
    struct reader r = reader_of(bytes.data, bytes.len);
    for (uint32_t i = 0; i < count; i++)
        if (!decode_attribute(&r, &out[i]))
            return svl__fail(SVL_E_CORRUPT, "attribute %u of %u of a record", i + 1, count);
    if (reader_left(&r) != 0)
        return svl__fail(SVL_E_CORRUPT, "%zu bytes behind a record's attributes", reader_left(&r));
    return SVL_OK;
}

int svl__wire_check(const uint8_t *data, size_t len, struct wire_view *view)
{
    int rc = svl__wire_view(data, len, view);
    struct reader r = reader_of(view->attributes.data, view->attributes.len);
    svl_attribute attribute;
    for (uint32_t i = 0; rc == SVL_OK && i < view->attribute_count; i++)
        if (!decode_attribute(&r, &attribute))
            rc = svl__fail(SVL_E_CORRUPT, "attribute %u of %u of a record", i + 1,
                           view->attribute_count);
    if (rc == SVL_OK && reader_left(&r) != 0)
        rc = svl__fail(SVL_E_CORRUPT, "%zu bytes behind a record's attributes", reader_left(&r));
    return rc;
}

/* Not by way of a view: every record that is handed out comes through here. */
int svl__wire_decode(const uint8_t *data, size_t len, svl_attribute *attributes, svl_record *out)
{
    struct lengths l = { 0 };
    memset(out, 0, sizeof *out);
    int rc = read_lengths(data, len, &l);
    if (rc != SVL_OK)
        return rc;
    const uint8_t *p = data + WIRE_HEADER_BYTES;
    out->source = next(&p, l.source);
    out->type = next(&p, l.type);
    out->key = next(&p, l.key);
    svl_slice encoded = next(&p, l.attributes);
    out->body = next(&p, l.body);
    out->time_ns = (int64_t)load_u64(data + 8);
    out->severity = data[4];
    out->body_kind = data[5];
    out->flags = load_u32(data + 28);
    out->attribute_count = data[22];
    out->attributes = out->attribute_count > 0 ? attributes : NULL;
    if (out->attribute_count == 0 && encoded.len == 0)
        return SVL_OK;
    rc = svl__attributes_decode(encoded, out->attribute_count, attributes);
    if (rc != SVL_OK)
        memset(out, 0, sizeof *out);
    return rc;
}
