/* record.c - a record as the document that a pattern sees (serverlog/pattern.h), without writing that document:
 * each member is a value at its path, if some rule names it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "document.h"
#include "match.h"

/* The path of a name below another; NULL: nobody asks for it. */
static struct path *path_of(const struct match *m, const struct path *below, const char *name)
{
    return svl__match_descend(m, below, (const uint8_t *)name, strlen(name));
}

static void give_text(struct match *m, struct path *path, svl_slice text)
{
    struct value value = { .token = JSON_STRING, .text = { text.data, text.len, false } };
    svl__match_value(m, path, 0, &value);
}

static void give_member(struct match *m, const char *name, svl_slice text)
{
    struct path *path = text.len > 0 ? path_of(m, m->machine->root, name) : NULL;
    if (path)
        give_text(m, path, text);
}

static void give_number_text(struct match *m, struct path *path, const char *text)
{
    struct value value = { .token = JSON_NUMBER,
                           .text = { (const uint8_t *)text, strlen(text), false } };
    svl__match_value(m, path, 0, &value);
}

static void give_signed(struct match *m, struct path *path, int64_t number)
{
    char text[24];
    if (!path)
        return;
    snprintf(text, sizeof text, "%lld", (long long)number);
    give_number_text(m, path, text);
}

static void give_unsigned(struct match *m, struct path *path, uint64_t number)
{
    char text[24];
    if (!path)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    give_number_text(m, path, text);
}

static void give_time(struct match *m, int64_t time_ns)
{
    char text[TIME_TEXT_BYTES];
    struct path *path = path_of(m, m->machine->root, "time");
    give_signed(m, path_of(m, m->machine->root, "time-ns"), time_ns);
    if (path)
        give_text(m, path, (svl_slice){ text, svl__time_text(time_ns, text) });
}

static void give_severity(struct match *m, uint32_t severity)
{
    const char *name = svl__severity_text(severity);
    give_unsigned(m, path_of(m, m->machine->root, "severity"), severity);
    give_member(m, "severity-text", (svl_slice){ name, strlen(name) });
}

static void give_attribute(struct match *m, struct path *path, const svl_attribute *a)
{
    struct value value = { .token = JSON_NUMBER };
    switch (a->kind) {
    case SVL_ATTRIBUTE_TEXT:
        give_text(m, path, a->bytes);
        break;
    case SVL_ATTRIBUTE_I64:
        give_signed(m, path, a->i64);
        break;
    case SVL_ATTRIBUTE_F64:
        value.number.value = a->f64 == 0 ? 0 : a->f64;
        if (isfinite(a->f64)) /* else JSON has no such value */
            svl__match_value(m, path, 0, &value);
        break;
    case SVL_ATTRIBUTE_BOOL:
        value.token = a->i64 ? JSON_TRUE : JSON_FALSE;
        svl__match_value(m, path, 0, &value);
        break;
    default:
        break;
    }
}

static void give_attributes(struct match *m, const svl_record *record)
{
    struct path *below = path_of(m, m->machine->root, "attributes");
    for (uint32_t i = 0; below && i < record->attribute_count; i++) {
        const svl_attribute *a = &record->attributes[i];
        struct path *path = svl__match_descend(m, below, a->name.data, a->name.len);
        if (path && a->kind != SVL_ATTRIBUTE_BYTES)
            give_attribute(m, path, a);
    }
}

static void give_envelope(struct match *m, const svl_record *record)
{
    if (record->id != 0)
        give_unsigned(m, path_of(m, m->machine->root, "id"), record->id);
    if (record->time_ns != 0)
        give_time(m, record->time_ns);
    give_severity(m, record->severity);
    give_member(m, "source", record->source);
    give_member(m, "type", record->type);
    give_member(m, "detail-type", record->type);
    if (record->key.len > 0 && path_of(m, m->machine->root, "key") &&
        svl__utf8_valid(record->key.data, record->key.len))
        give_member(m, "key", record->key);
    if (record->body_kind == SVL_BODY_TEXT)
        give_member(m, "body", record->body);
    give_attributes(m, record);
}

int svl__match_check_record(const svl_record *record)
{
    const svl_slice *members[] = { &record->source, &record->type, &record->key, &record->body };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (!members[i]->data && members[i]->len > 0)
            return svl__fail(SVL_E_INVALID, "a member of the record has a length and no data");
    if (record->attribute_count > 0 && !record->attributes)
        return svl__fail(SVL_E_INVALID, "attribute_count without attributes");
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        const svl_attribute *a = &record->attributes[i];
        if ((!a->name.data && a->name.len > 0) || (!a->bytes.data && a->bytes.len > 0))
            return svl__fail(SVL_E_INVALID, "an attribute has a length and no data");
    }
    return SVL_OK;
}

int svl__match_walk_record(struct match *m, const svl_record *record)
{
    int rc = svl__match_check_record(record);
    if (rc != SVL_OK)
        return rc;
    const struct path *detail = path_of(m, m->machine->root, "detail");
    bool has_detail = record->body_kind == SVL_BODY_JSON && record->body.len > 0;
    if (has_detail && detail)
        rc = svl__match_walk(m, detail, record->body, WALK_BODY);
    else if (has_detail && m->flags & SVL_JSON_CHECK)
        rc = svl__match_check_json(m, record->body);
    if ((rc == SVL_E_JSON || rc == SVL_E_LIMIT) && !(m->flags & SVL_JSON_CHECK)) {
        svl__match_restart(m); /* it is no JSON, or too deep or large: so there is no detail */
        rc = SVL_OK;
    }
    if (rc == SVL_OK)
        give_envelope(m, record);
    if (rc == SVL_OK && m->out_of_memory)
        rc = svl__fail(SVL_E_NOMEM, "matching a record");
    return rc;
}
