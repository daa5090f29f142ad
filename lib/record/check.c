/* check.c - what a producer may put into a record. Every limit has its own code, so that a host can
 * tell what to mend without reading words. Finding what is wrong sets no words, so that a signal handler may
 * ask too; nor does it cost a sound record anything: every publish asks. */
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "wire.h"

/* Whoever finds a breach writes it down and answers false; nothing is written of a sound record. */
static bool breach(struct breach *b, int code, const char *what)
{
    *b = (struct breach){ code, what, 0, 0 };
    return false;
}

static bool above(struct breach *b, int code, const char *what, uint64_t value, uint64_t most)
{
    *b = (struct breach){ code, what, value, most };
    return false;
}

static bool check_slice(const svl_slice *slice, const char *what, struct breach *b)
{
    return slice->data || slice->len == 0 || breach(b, SVL_E_INVALID, what);
}

static bool check_text(const svl_slice *text, const char *what, struct breach *b)
{
    if (text->len == 0)
        return true;
    if (!text->data)
        return breach(b, SVL_E_INVALID, what);
    return svl__utf8_valid(text->data, text->len) || breach(b, SVL_E_UTF8, what);
}

static bool check_name(const svl_slice *name, const char *what, struct breach *b)
{
    if (name->len > RECORD_NAME_MAX)
        return above(b, SVL_E_NAME_TOO_LONG, what, name->len, RECORD_NAME_MAX);
    return check_text(name, what, b);
}

static bool check_value(const svl_attribute *attribute, struct breach *b)
{
    switch (attribute->kind) {
    case SVL_ATTRIBUTE_TEXT:
        return check_text(&attribute->bytes, "an attribute's text", b);
    case SVL_ATTRIBUTE_BYTES:
        return check_slice(&attribute->bytes, "an attribute's bytes", b);
    case SVL_ATTRIBUTE_I64:
    case SVL_ATTRIBUTE_F64:
        return true;
    case SVL_ATTRIBUTE_BOOL:
        return attribute->i64 == 0 || attribute->i64 == 1 ||
               breach(b, SVL_E_INVALID, "an attribute of kind bool is neither 0 nor 1");
    default:
        return above(b, SVL_E_ATTRIBUTES, "the kind of an attribute", attribute->kind,
                     SVL_ATTRIBUTE_BOOL);
    }
}

static bool check_attribute(const svl_attribute *attribute, struct breach *b)
{
    if (!check_name(&attribute->name, "an attribute's name", b))
        return false;
    if (attribute->name.len == 0)
        return breach(b, SVL_E_ATTRIBUTES, "an attribute without a name");
    if (attribute->reserved32 != 0 || attribute->reserved != 0)
        return breach(b, SVL_E_RESERVED, "a reserved member of an attribute is not zero");
    return check_value(attribute, b);
}

static bool check_attributes(const svl_record *record, struct breach *b)
{
    if (record->attribute_count > RECORD_ATTRIBUTES_MAX)
        return above(b, SVL_E_ATTRIBUTES, "attributes", record->attribute_count,
                     RECORD_ATTRIBUTES_MAX);
    if (record->attribute_count > 0 && !record->attributes)
        return breach(b, SVL_E_INVALID, "attribute_count without attributes");
    for (uint32_t i = 0; i < record->attribute_count; i++)
        if (!check_attribute(&record->attributes[i], b))
            return false;
    return true;
}

/* Adds up lengths that may still be anything. */
static bool check_size(const svl_record *record, uint32_t bytes_max, struct wire_size *size,
                       struct breach *b)
{
    uint64_t attributes = 0;
    bool overflow = false;
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        const svl_attribute *a = &record->attributes[i];
        bool has_bytes = a->kind == SVL_ATTRIBUTE_TEXT || a->kind == SVL_ATTRIBUTE_BYTES;
        size_t value = has_bytes ? a->bytes.len : sizeof(int64_t);
        attributes += WIRE_ATTRIBUTE_BYTES + a->name.len; /* names are short already */
        overflow |= __builtin_add_overflow(attributes, value, &attributes);
    }
    uint64_t record_bytes =
        WIRE_HEADER_BYTES + record->source.len + record->type.len + record->key.len;
    overflow |= __builtin_add_overflow(record_bytes, attributes, &record_bytes);
    overflow |= __builtin_add_overflow(record_bytes, record->body.len, &record_bytes);
    if (overflow || record_bytes > bytes_max)
        return above(b, SVL_E_RECORD_SIZE,
                     "bytes of a record (record_bytes_max, and published, an eighth of the ring)",
                     overflow ? UINT64_MAX : record_bytes, bytes_max);
    *size = (struct wire_size){ (uint32_t)record_bytes, (uint32_t)attributes };
    return true;
}

static bool is_own_source(const svl_slice *source)
{
    static const char prefix[] = "serverlog.";
    return source->len >= sizeof prefix - 1 && memcmp(source->data, prefix, sizeof prefix - 1) == 0;
}

static bool check_plain_members(const svl_record *record, struct breach *b)
{
    if (record->severity > SVL_SEVERITY_MAX)
        return above(b, SVL_E_INVALID, "severity", record->severity, SVL_SEVERITY_MAX);
    if (record->body_kind > SVL_BODY_BINARY)
        return above(b, SVL_E_INVALID, "body_kind", record->body_kind, SVL_BODY_BINARY);
    uint64_t rest = record->flags & ~(uint32_t)(SVL_RECORD_HOPS | SVL_RECORD_UNPROCESSED);
    for (size_t i = 0; i < sizeof record->reserved / sizeof record->reserved[0]; i++)
        rest |= record->reserved[i];
    return rest == 0 ||
           breach(b, SVL_E_RESERVED, "flags or a reserved member of the record is not zero");
}

bool svl__record_measure(const svl_record *record, const struct record_limits *limits,
                         struct wire_size *size, struct breach *b)
{
    if (!record)
        return breach(b, SVL_E_INVALID, "record is NULL");
    if (!check_plain_members(record, b) || !check_name(&record->source, "source", b) ||
        !check_name(&record->type, "type", b) || !check_slice(&record->key, "key", b) ||
        !check_slice(&record->body, "body", b) || !check_attributes(record, b))
        return false;
    if (record->key.len > RECORD_KEY_MAX)
        return above(b, SVL_E_KEY_TOO_LONG, "bytes of a key", record->key.len, RECORD_KEY_MAX);
    if (is_own_source(&record->source) && !limits->takes_own)
        return breach(b, SVL_E_RESERVED, "source \"serverlog.*\" is the library's own");
    return check_size(record, limits->bytes_max, size, b);
}

int svl__record_refuse(const struct breach *b)
{
    return b->most > 0 ? svl__fail(b->code, "%s: %llu; at most %llu", b->what,
                                   (unsigned long long)b->value, (unsigned long long)b->most)
                       : svl__fail(b->code, "%s", b->what);
}

int svl__record_check(const svl_record *record, uint32_t bytes_max, bool internal)
{
    struct record_limits limits = { .bytes_max = bytes_max, .takes_own = internal };
    struct wire_size size;
    struct breach b;
    return svl__record_measure(record, &limits, &size, &b) ? SVL_OK : svl__record_refuse(&b);
}
