/* check.c - what a producer may put into a record. Every limit has its own code, so that a host can
 * tell what to mend without reading words. Finding what is wrong sets no words, so that a signal handler may
 * ask too. */
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "wire.h"

/* What is wrong: a code, what it is about, and, where it is a limit, the value and the most it may be. */
struct breach {
    int code;
    const char *what;
    unsigned long long value, most;
};

static const struct breach none = { SVL_OK, NULL, 0, 0 };

static struct breach breach(int code, const char *what)
{
    return (struct breach){ code, what, 0, 0 };
}

static struct breach above(int code, const char *what, unsigned long long value,
                           unsigned long long most)
{
    return (struct breach){ code, what, value, most };
}

static struct breach check_slice(const svl_slice *slice, const char *what)
{
    return !slice->data && slice->len > 0 ? breach(SVL_E_INVALID, what) : none;
}

static struct breach check_text(const svl_slice *text, const char *what)
{
    struct breach b = check_slice(text, what);
    if (b.code == SVL_OK && text->len > 0 && !svl__utf8_valid(text->data, text->len))
        b = breach(SVL_E_UTF8, what);
    return b;
}

static struct breach check_name(const svl_slice *name, const char *what)
{
    return name->len > RECORD_NAME_MAX
               ? above(SVL_E_NAME_TOO_LONG, what, name->len, RECORD_NAME_MAX)
               : check_text(name, what);
}

static struct breach check_attribute(const svl_attribute *attribute)
{
    struct breach b = check_name(&attribute->name, "an attribute's name");
    if (b.code != SVL_OK)
        return b;
    if (attribute->name.len == 0)
        return breach(SVL_E_ATTRIBUTES, "an attribute without a name");
    if (attribute->reserved32 != 0 || attribute->reserved != 0)
        return breach(SVL_E_RESERVED, "a reserved member of an attribute is not zero");
    switch (attribute->kind) {
    case SVL_ATTRIBUTE_TEXT:
        return check_text(&attribute->bytes, "an attribute's text");
    case SVL_ATTRIBUTE_BYTES:
        return check_slice(&attribute->bytes, "an attribute's bytes");
    case SVL_ATTRIBUTE_I64:
    case SVL_ATTRIBUTE_F64:
        return none;
    case SVL_ATTRIBUTE_BOOL:
        return attribute->i64 == 0 || attribute->i64 == 1
                   ? none
                   : breach(SVL_E_INVALID, "an attribute of kind bool is neither 0 nor 1");
    default:
        return above(SVL_E_ATTRIBUTES, "the kind of an attribute", attribute->kind,
                     SVL_ATTRIBUTE_BOOL);
    }
}

static struct breach check_attributes(const svl_record *record)
{
    if (record->attribute_count > RECORD_ATTRIBUTES_MAX)
        return above(SVL_E_ATTRIBUTES, "attributes", record->attribute_count,
                     RECORD_ATTRIBUTES_MAX);
    if (record->attribute_count > 0 && !record->attributes)
        return breach(SVL_E_INVALID, "attribute_count without attributes");
    struct breach b = none;
    for (uint32_t i = 0; b.code == SVL_OK && i < record->attribute_count; i++)
        b = check_attribute(&record->attributes[i]);
    return b;
}

/* What svl__wire_size() will say, of lengths that may still be anything. */
static struct breach check_size(const svl_record *record, uint32_t bytes_max)
{
    uint64_t size = WIRE_HEADER_BYTES + record->source.len + record->type.len + record->key.len;
    bool overflow = __builtin_add_overflow(size, record->body.len, &size);
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        const svl_attribute *a = &record->attributes[i];
        bool has_bytes = a->kind == SVL_ATTRIBUTE_TEXT || a->kind == SVL_ATTRIBUTE_BYTES;
        size_t value = has_bytes ? a->bytes.len : sizeof(int64_t);
        overflow |= __builtin_add_overflow(size, WIRE_ATTRIBUTE_BYTES + a->name.len, &size);
        overflow |= __builtin_add_overflow(size, value, &size);
    }
    if (overflow)
        size = UINT64_MAX;
    return size > bytes_max
               ? above(SVL_E_RECORD_SIZE,
                       "bytes of a record (record_bytes_max, and published, an eighth of the ring)",
                       size, bytes_max)
               : none;
}

static bool is_reserved_source(const svl_slice *source)
{
    static const char prefix[] = "serverlog.";
    return source->len >= sizeof prefix - 1 && memcmp(source->data, prefix, sizeof prefix - 1) == 0;
}

static struct breach check_plain_members(const svl_record *record)
{
    if (record->severity > SVL_SEVERITY_MAX)
        return above(SVL_E_INVALID, "severity", record->severity, SVL_SEVERITY_MAX);
    if (record->body_kind > SVL_BODY_BINARY)
        return above(SVL_E_INVALID, "body_kind", record->body_kind, SVL_BODY_BINARY);
    uint64_t rest = record->flags & ~(uint32_t)(SVL_RECORD_HOPS | SVL_RECORD_UNPROCESSED);
    for (size_t i = 0; i < sizeof record->reserved / sizeof record->reserved[0]; i++)
        rest |= record->reserved[i];
    return rest != 0
               ? breach(SVL_E_RESERVED, "flags or a reserved member of the record is not zero")
               : none;
}

static struct breach find_breach(const svl_record *record, uint32_t bytes_max, bool internal)
{
    if (!record)
        return breach(SVL_E_INVALID, "record is NULL");
    struct breach b = check_plain_members(record);
    if (b.code == SVL_OK)
        b = check_name(&record->source, "source");
    if (b.code == SVL_OK)
        b = check_name(&record->type, "type");
    if (b.code == SVL_OK)
        b = check_slice(&record->key, "key");
    if (b.code == SVL_OK)
        b = check_slice(&record->body, "body");
    if (b.code == SVL_OK)
        b = check_attributes(record);
    if (b.code != SVL_OK)
        return b;
    if (record->key.len > RECORD_KEY_MAX)
        return above(SVL_E_KEY_TOO_LONG, "bytes of a key", record->key.len, RECORD_KEY_MAX);
    if (!internal && is_reserved_source(&record->source))
        return breach(SVL_E_RESERVED, "source \"serverlog.*\" is the library's own");
    return check_size(record, bytes_max);
}

int svl__record_check_quietly(const svl_record *record, uint32_t bytes_max)
{
    return find_breach(record, bytes_max, false).code;
}

int svl__record_check(const svl_record *record, uint32_t bytes_max, bool internal)
{
    struct breach b = find_breach(record, bytes_max, internal);
    if (b.code == SVL_OK)
        return SVL_OK;
    return b.most > 0 ? svl__fail(b.code, "%s: %llu; at most %llu", b.what, b.value, b.most)
                      : svl__fail(b.code, "%s", b.what);
}
