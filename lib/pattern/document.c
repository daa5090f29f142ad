/* document.c - the members, in this order: severity, severity-text, id, time, time-ns, source, type,
 * detail-type, key, attributes, detail, body. What a record does not have is left out.
 *
 * Attributes are written in the order of their names, their dots before all other characters: so those below
 * one level stand together, and a level is opened once. An attribute "a" beside one "a.b" gives a name twice. */
#include "document.h"

#include <math.h>

#include "base/json_scan.h"
#include "base/json_write.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "record/wire.h"

const char *svl__severity_text(uint32_t severity)
{
    static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    _Static_assert(sizeof names / sizeof names[0] * 4 == SVL_SEVERITY_MAX, "a name for four each");
    return severity > 0 && severity <= SVL_SEVERITY_MAX ? names[(severity - 1) / 4] : "";
}

static void write_text_member(struct buffer *out, const char *name, svl_slice text)
{
    if (text.len == 0)
        return;
    json_write_raw(out, ",\"");
    json_write_raw(out, name);
    json_write_raw(out, "\":");
    svl__json_write_string(out, text.data, text.len);
}

static bool is_seen(const svl_attribute *a)
{
    switch (a->kind) {
    case SVL_ATTRIBUTE_TEXT:
    case SVL_ATTRIBUTE_I64:
    case SVL_ATTRIBUTE_BOOL:
        return true;
    case SVL_ATTRIBUTE_F64:
        return isfinite(a->f64);
    default:
        return false;
    }
}

static void write_attribute_value(struct buffer *out, const svl_attribute *a)
{
    if (a->kind == SVL_ATTRIBUTE_TEXT)
        svl__json_write_string(out, a->bytes.data, a->bytes.len);
    else if (a->kind == SVL_ATTRIBUTE_F64)
        svl__json_write_f64(out, a->f64);
    else if (a->kind == SVL_ATTRIBUTE_BOOL)
        json_write_raw(out, a->i64 ? "true" : "false");
    else
        svl__json_write_i64(out, a->i64);
}

/* Dots before all other characters. */
static bool comes_before(svl_slice a, svl_slice b)
{
    const uint8_t *p = a.data, *q = b.data;
    for (size_t i = 0; i < a.len && i < b.len; i++)
        if (p[i] != q[i])
            return q[i] != '.' && (p[i] == '.' || p[i] < q[i]);
    return a.len < b.len;
}

/* The attributes that are seen, in order. Returns how many. */
static unsigned sort_attributes(const svl_record *record, uint8_t order[RECORD_ATTRIBUTES_MAX])
{
    const svl_attribute *attributes = record->attributes;
    unsigned n = 0;
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        if (!is_seen(&attributes[i]))
            continue;
        unsigned at = n++;
        for (; at > 0 && comes_before(attributes[i].name, attributes[order[at - 1]].name); at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
    return n;
}

/* How much of two names is levels that both lie below: up to and with the last dot that they share. */
static size_t shared_levels(svl_slice a, svl_slice b)
{
    const char *p = a.data, *q = b.data;
    size_t shared = 0;
    for (size_t i = 0; i < a.len && i < b.len && p[i] == q[i]; i++)
        if (p[i] == '.')
            shared = i + 1;
    return shared;
}

/* Closes the levels of `name` behind its first `shared` bytes. */
static void close_levels(struct buffer *out, svl_slice name, size_t shared)
{
    const char *p = name.data;
    for (size_t i = shared; i < name.len; i++)
        if (p[i] == '.')
            json_write_raw(out, "}");
}

/* Opens the levels of `name` behind its first `shared` bytes, and writes what is behind the last dot. */
static void open_levels(struct buffer *out, svl_slice name, size_t shared)
{
    const char *p = name.data;
    size_t start = shared;
    for (size_t i = shared; i < name.len; i++)
        if (p[i] == '.') {
            svl__json_write_string(out, p + start, i - start);
            json_write_raw(out, ":{");
            start = i + 1;
        }
    svl__json_write_string(out, p + start, name.len - start);
    json_write_raw(out, ":");
}

static void write_attributes(struct buffer *out, const svl_record *record)
{
    uint8_t order[RECORD_ATTRIBUTES_MAX];
    unsigned n = sort_attributes(record, order);
    svl_slice before = { "", 0 };
    if (n == 0)
        return;
    json_write_raw(out, ",\"attributes\":{");
    for (unsigned i = 0; i < n; i++) {
        const svl_attribute *a = &record->attributes[order[i]];
        size_t shared = shared_levels(before, a->name);
        close_levels(out, before, shared);
        if (i > 0)
            json_write_raw(out, ",");
        open_levels(out, a->name, shared);
        write_attribute_value(out, a);
        before = a->name;
    }
    close_levels(out, before, 0);
    json_write_raw(out, "}");
}

static void write_body(struct buffer *out, const svl_record *record)
{
    if (record->body_kind == SVL_BODY_TEXT) {
        write_text_member(out, "body", record->body);
        return;
    }
    struct json_scan s;
    svl__json_start(&s, record->body.data, record->body.len, DOCUMENT_DEPTH_MAX);
    if (record->body_kind != SVL_BODY_JSON || !svl__json_check(&s))
        return;
    json_write_raw(out, ",\"detail\":");
    svl__buffer_append(out, record->body.data, record->body.len);
}

static void write_times(struct buffer *out, int64_t time_ns)
{
    char text[TIME_TEXT_BYTES];
    size_t len = svl__time_text(time_ns, text);
    write_text_member(out, "time", (svl_slice){ text, len });
    json_write_raw(out, ",\"time-ns\":");
    svl__json_write_i64(out, time_ns);
}

int svl__document_write(const svl_record *record, struct buffer *out)
{
    json_write_raw(out, "{\"severity\":");
    svl__json_write_u64(out, record->severity);
    const char *severity = svl__severity_text(record->severity);
    write_text_member(out, "severity-text", (svl_slice){ severity, strlen(severity) });
    if (record->id != 0) {
        json_write_raw(out, ",\"id\":");
        svl__json_write_u64(out, record->id);
    }
    if (record->time_ns != 0)
        write_times(out, record->time_ns);
    write_text_member(out, "source", record->source);
    write_text_member(out, "type", record->type);
    write_text_member(out, "detail-type", record->type);
    if (record->key.len > 0 && svl__utf8_valid(record->key.data, record->key.len))
        write_text_member(out, "key", record->key);
    write_attributes(out, record);
    write_body(out, record);
    json_write_raw(out, "}");
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}
