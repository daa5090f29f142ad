/* check.c - what a producer may put into a record. Every limit has its own code, so that a host can
 * tell what to mend without reading words. */
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "wire.h"

static int check_slice(const svl_slice *slice, const char *what)
{
    if (!slice->data && slice->len > 0)
        return svl__fail(SVL_E_INVALID, "%s has a length and no data", what);
    return SVL_OK;
}

static int check_name(const svl_slice *name, const char *what)
{
    int rc = check_slice(name, what);
    if (rc != SVL_OK)
        return rc;
    if (name->len > RECORD_NAME_MAX)
        return svl__fail(SVL_E_NAME_TOO_LONG, "%s of %zu bytes; at most %d", what, name->len,
                         RECORD_NAME_MAX);
    if (name->len > 0 && !svl__utf8_valid(name->data, name->len))
        return svl__fail(SVL_E_UTF8, "%s", what);
    return SVL_OK;
}

static int check_attribute(const svl_attribute *attribute)
{
    int rc = check_name(&attribute->name, "an attribute's name");
    if (rc != SVL_OK)
        return rc;
    if (attribute->name.len == 0)
        return svl__fail(SVL_E_ATTRIBUTES, "an attribute without a name");
    if (attribute->reserved32 != 0 || attribute->reserved != 0)
        return svl__fail(SVL_E_RESERVED, "a reserved member of an attribute is not zero");
    switch (attribute->kind) {
    case SVL_ATTRIBUTE_TEXT:
    case SVL_ATTRIBUTE_BYTES:
        rc = check_slice(&attribute->bytes, "an attribute's value");
        if (rc == SVL_OK && attribute->kind == SVL_ATTRIBUTE_TEXT && attribute->bytes.len > 0 &&
            !svl__utf8_valid(attribute->bytes.data, attribute->bytes.len))
            rc = svl__fail(SVL_E_UTF8, "an attribute of kind text");
        return rc;
    case SVL_ATTRIBUTE_I64:
    case SVL_ATTRIBUTE_F64:
        return SVL_OK;
    case SVL_ATTRIBUTE_BOOL:
        if (attribute->i64 != 0 && attribute->i64 != 1)
            return svl__fail(SVL_E_INVALID, "an attribute of kind bool is neither 0 nor 1");
        return SVL_OK;
    default:
        return svl__fail(SVL_E_ATTRIBUTES, "an attribute of unknown kind %u", attribute->kind);
    }
}

/* What svl__wire_size() will say, of lengths that may still be anything. */
static int check_size(const svl_record *record, uint32_t bytes_max)
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
    if (overflow || size > bytes_max)
        return svl__fail(SVL_E_RECORD_SIZE,
                         "a record of %llu bytes; at most %u (record_bytes_max, and published, an "
                         "eighth of the ring)",
                         (unsigned long long)size, bytes_max);
    return SVL_OK;
}

static bool is_reserved_source(const svl_slice *source)
{
    static const char prefix[] = "serverlog.";
    return source->len >= sizeof prefix - 1 && memcmp(source->data, prefix, sizeof prefix - 1) == 0;
}

static int check_attributes(const svl_record *record)
{
    if (record->attribute_count == 0)
        return SVL_OK;
    if (record->attribute_count > RECORD_ATTRIBUTES_MAX)
        return svl__fail(SVL_E_ATTRIBUTES, "%u attributes; at most %d", record->attribute_count,
                         RECORD_ATTRIBUTES_MAX);
    if (!record->attributes)
        return svl__fail(SVL_E_INVALID, "attribute_count without attributes");
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        int rc = check_attribute(&record->attributes[i]);
        if (rc != SVL_OK)
            return rc;
    }
    return SVL_OK;
}

static int check_plain_members(const svl_record *record)
{
    if (record->severity > SVL_SEVERITY_MAX)
        return svl__fail(SVL_E_INVALID, "severity %u; 0 to %d", record->severity, SVL_SEVERITY_MAX);
    if (record->body_kind > SVL_BODY_BINARY)
        return svl__fail(SVL_E_INVALID, "unknown body_kind %u", record->body_kind);
    uint64_t rest = record->flags & ~(uint32_t)SVL_RECORD_HOPS;
    for (size_t i = 0; i < sizeof record->reserved / sizeof record->reserved[0]; i++)
        rest |= record->reserved[i];
    if (rest != 0)
        return svl__fail(SVL_E_RESERVED, "flags or a reserved member of the record is not zero");
    return SVL_OK;
}

int svl__record_check(const svl_record *record, uint32_t bytes_max, bool internal)
{
    if (!record)
        return svl__fail(SVL_E_INVALID, "record is NULL");
    int rc = check_plain_members(record);
    if (rc == SVL_OK)
        rc = check_name(&record->source, "source");
    if (rc == SVL_OK)
        rc = check_name(&record->type, "type");
    if (rc == SVL_OK)
        rc = check_slice(&record->key, "key");
    if (rc == SVL_OK)
        rc = check_slice(&record->body, "body");
    if (rc == SVL_OK)
        rc = check_attributes(record);
    if (rc != SVL_OK)
        return rc;
    if (record->key.len > RECORD_KEY_MAX)
        return svl__fail(SVL_E_KEY_TOO_LONG, "a key of %zu bytes; at most %d", record->key.len,
                         RECORD_KEY_MAX);
    if (!internal && is_reserved_source(&record->source))
        return svl__fail(SVL_E_RESERVED, "source \"serverlog.*\" is the library's own");
    return check_size(record, bytes_max);
}
