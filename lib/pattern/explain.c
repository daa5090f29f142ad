/* explain.c - why an event matches a pattern or not, field by field.
 *
 * The event is matched as ever, and the values that were looked at are kept. Then each field of the pattern is
 * asked for itself: what is wanted there, as it was written, what the event has there, and whether one does. When
 * all fields do and the pattern does not, it is the arrays: no choice of elements does for all together.
 *
 *     {"fields":[{"field":"detail.total","offset":20,"wanted":[{"numeric":[">",100]}],"found":[20],"values":1,
 *                 "matched":false,"reason":"..."},...],
 *      "matched":false,"reason":"..."} */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_write.h"
#include "document.h"
#include "pattern.h"

#define VALUES_SHOWN_MAX 16 /* of a field */
#define VALUE_SHOWN_MAX 256 /* bytes of a string or number */

struct explanation {
    const svl_pattern *pattern;
    struct match *match;
    const struct path **paths; /* a level */
    struct buffer out;
    uint32_t form;
    bool all_match; /* the fields that are in no $or */
    bool has_or;
};

/* What is told of one field. */
struct finding {
    const struct plan_field *field;
    const struct path *path;
    uint64_t values;
    bool matches;
    const char *reason;
};

static void raw(struct explanation *e, const char *text)
{
    json_write_raw(&e->out, text);
}

/* The member that a test of an anything-but stands for. */
static const struct condition *find_condition(const struct explanation *e, const struct path *path,
                                              const struct plan_test *test)
{
    const struct plan *plan = &e->pattern->plan;
    return svl__condition_find(&e->pattern->machine, path, test->kind,
                               plan_bytes(plan, test->bytes_at, test->bytes_len));
}

/* Was one of its members met by this leaf? */
static bool is_excluded(const struct explanation *e, const struct plan_test *test,
                        const struct leaf_found *leaf)
{
    const struct hit *hits = e->match->hits.data;
    for (uint32_t i = 0; i < test->count; i++) {
        const struct plan_test *member = plan_member(&e->pattern->plan, test->first + i);
        const struct condition *c = find_condition(e, leaf->path, member);
        for (uint32_t at = leaf->hits_from; c && at < leaf->hits_to; at++)
            if (hits[at].condition == c)
                return true;
    }
    return false;
}

static bool test_holds(const struct explanation *e, const struct path *path,
                       const struct plan_test *test)
{
    uint32_t at = addresses_get(&e->match->found, path);
    if (test->kind == CONDITION_ABSENT)
        return at == 0;
    if (test->kind != CONDITION_NOT) {
        const struct condition *c = find_condition(e, path, test);
        return c && addresses_get(&e->match->found, c) != 0;
    }
    for (; at != 0; at = match_leaf(e->match, at)->previous)
        if (!is_excluded(e, test, match_leaf(e->match, at)))
            return true;
    return false;
}

static const char *reason_of(const struct explanation *e, const struct finding *f)
{
    const struct plan_test *first = plan_test(&e->pattern->plan, f->field->first);
    if (f->matches)
        return "";
    if (f->values == 0)
        return "the event has no value there";
    return f->field->count == 1 && first->kind == CONDITION_ABSENT
               ? "the event has a value there, and must have none"
               : "no value there is one that is wanted";
}

static struct finding look_at(const struct explanation *e, uint32_t number)
{
    const struct value_seen *values = e->match->values->data;
    struct finding f = { .field = plan_field(&e->pattern->plan, number) };
    f.path = e->paths[f.field->level];
    for (uint32_t i = 0; i < e->match->values->count; i++)
        f.values += values[i].path == f.path;
    for (uint32_t i = 0; i < f.field->count && !f.matches; i++)
        f.matches = test_holds(e, f.path, plan_test(&e->pattern->plan, f.field->first + i));
    f.reason = reason_of(e, &f);
    return f;
}

static void write_name(struct explanation *e, const struct path *path)
{
    const struct path *steps[128];
    uint32_t n = 0;
    for (; path->parent && n < 128; path = path->parent)
        steps[n++] = path;
    while (n-- > 0) {
        if (e->form == SVL_EXPLAIN_JSON)
            svl__json_write_characters(&e->out, steps[n]->name, steps[n]->name_len);
        else
            svl__buffer_append(&e->out, steps[n]->name, steps[n]->name_len);
        if (n > 0)
            raw(e, ".");
    }
}

/* The elements of the leaf array, as they were written. */
static void write_wanted(struct explanation *e, const struct plan_field *field)
{
    const struct plan *plan = &e->pattern->plan;
    for (uint32_t i = 0; i < field->count; i++) {
        const struct plan_test *test = plan_test(plan, field->first + i);
        raw(e, i > 0 ? "," : "[");
        svl__buffer_append(&e->out, e->pattern->text + test->text_at, (size_t)test->text_len);
    }
    raw(e, "]");
}

/* A value as it stands in the event; of a long one its beginning, between escapes. */
static void write_value(struct explanation *e, const struct value_seen *value)
{
    uint8_t text[VALUE_SHOWN_MAX];
    struct json_text rest = value->text;
    switch (value->token) {
    case JSON_STRING:
        raw(e, "\"");
        svl__json_write_characters(&e->out, text, svl__json_decode(&rest, text, sizeof text));
        raw(e, rest.len > 0 ? "...\"" : "\"");
        break;
    case JSON_NUMBER:
        if (rest.len > VALUE_SHOWN_MAX)
            raw(e, "\"a number of very many digits\"");
        else
            svl__buffer_append(&e->out, rest.data, rest.len);
        break;
    default:
        raw(e, value->token == JSON_TRUE ? "true" : value->token == JSON_FALSE ? "false" : "null");
        break;
    }
}

static void write_found(struct explanation *e, const struct path *path)
{
    const struct value_seen *values = e->match->values->data;
    uint32_t shown = 0;
    raw(e, "[");
    for (uint32_t i = 0; i < e->match->values->count && shown < VALUES_SHOWN_MAX; i++) {
        if (values[i].path != path)
            continue;
        raw(e, shown++ > 0 ? "," : "");
        write_value(e, &values[i]);
    }
    raw(e, "]");
}

static void write_field_text(struct explanation *e, const struct finding *f)
{
    write_name(e, f->path);
    raw(e, f->matches ? ": matches. Wanted " : ": does not match. Wanted ");
    write_wanted(e, f->field);
    if (f->values == 0) {
        raw(e, "; the event has no value there\n");
        return;
    }
    raw(e, "; found ");
    write_found(e, f->path);
    if (f->values > VALUES_SHOWN_MAX) {
        raw(e, " and more, ");
        svl__json_write_u64(&e->out, f->values);
        raw(e, " in all");
    }
    raw(e, "\n");
}

static void write_field_json(struct explanation *e, const struct finding *f)
{
    raw(e, "{\"field\":\"");
    write_name(e, f->path);
    raw(e, "\",\"offset\":");
    svl__json_write_u64(&e->out, f->field->text_at);
    raw(e, ",\"wanted\":");
    write_wanted(e, f->field);
    raw(e, ",\"found\":");
    write_found(e, f->path);
    raw(e, ",\"values\":");
    svl__json_write_u64(&e->out, f->values);
    raw(e, f->matches ? ",\"matched\":true,\"reason\":\"" : ",\"matched\":false,\"reason\":\"");
    raw(e, f->reason);
    raw(e, "\"}");
}

static bool is_in_or(const struct plan *plan, const struct plan_clause *clause)
{
    while (clause->parent != PLAN_NONE && clause->kind != CLAUSE_ANY)
        clause = plan_clause(plan, clause->parent);
    return clause->kind == CLAUSE_ANY;
}

static void write_fields(struct explanation *e)
{
    const struct plan *plan = &e->pattern->plan;
    bool is_first = true;
    for (uint32_t i = 0; i < plan_clause_count(plan); i++) {
        const struct plan_clause *clause = plan_clause(plan, i);
        if (clause->kind != CLAUSE_FIELD || clause->dropped)
            continue;
        struct finding f = look_at(e, clause->field);
        bool in_or = is_in_or(plan, clause);
        e->has_or |= in_or;
        e->all_match &= f.matches || in_or;
        if (e->form == SVL_EXPLAIN_JSON && !is_first)
            raw(e, ",");
        is_first = false;
        if (e->form == SVL_EXPLAIN_JSON)
            write_field_json(e, &f);
        else
            write_field_text(e, &f);
    }
}

static const char *verdict_of(const struct explanation *e, bool matched)
{
    if (matched)
        return "the event matches";
    if (!e->all_match)
        return "the event does not match: a field does not";
    return e->has_or
               ? "the event does not match: no object of an $or does, or its fields do only in "
                 "different elements of an array"
               : "the event does not match: its fields do, but only in different elements of an "
                 "array";
}

static int write_all(struct explanation *e)
{
    const struct plan *plan = &e->pattern->plan;
    uint32_t levels = plan_level_count(plan);
    e->paths = svl__malloc(levels * sizeof *e->paths);
    if (!e->paths)
        return SVL_E_NOMEM;
    for (uint32_t i = 0; i < levels; i++) {
        const struct plan_level *level = plan_level(plan, i);
        const struct path *parent =
            level->parent == PLAN_NONE ? e->pattern->machine.root : e->paths[level->parent];
        svl_slice name = plan_bytes(plan, level->bytes_at, level->bytes_len);
        /* NULL where a name that came again has dropped it. */
        e->paths[i] =
            parent ? svl__path_child(&e->pattern->machine, parent, name.data, name.len) : NULL;
    }
    bool matched = e->match->rules.count > 0, is_json = e->form == SVL_EXPLAIN_JSON;
    raw(e, is_json ? "{\"fields\":[" : "");
    write_fields(e);
    raw(e, !is_json  ? ""
           : matched ? "],\"matched\":true,\"reason\":\""
                     : "],\"matched\":false,\"reason\":\"");
    raw(e, verdict_of(e, matched));
    raw(e, is_json ? "\"}" : "\n");
    svl__free(e->paths);
    return e->out.failed ? SVL_E_NOMEM : SVL_OK;
}

static void copy_out(const struct buffer *from, char *buffer, size_t capacity, size_t *needed)
{
    *needed = from->len;
    if (!buffer || capacity == 0)
        return;
    size_t n = from->len < capacity - 1 ? from->len : capacity - 1;
    memcpy(buffer, from->data, n);
    buffer[n] = 0;
}

static int explain(const svl_pattern *pattern, svl_slice json, uint32_t form, char *buffer,
                   size_t capacity, size_t *needed)
{
    struct match m;
    struct value_seen values_first[16];
    struct list values = LIST_IN(values_first);
    struct explanation e = { .pattern = pattern, .match = &m, .form = form, .all_match = true };
    svl__match_begin(&m, &pattern->machine, UINT64_MAX - 1, &svl__match_limits_default, 0);
    m.values = &values;
    int rc = svl__match_walk(&m, pattern->machine.root, json, WALK_EVENT);
    if (rc == SVL_OK)
        rc = svl__match_rules(&m);
    if (rc == SVL_OK)
        rc = write_all(&e);
    if (rc == SVL_OK)
        copy_out(&e.out, buffer, capacity, needed);
    svl__buffer_free(&e.out);
    svl__list_free(&values);
    svl__match_end(&m);
    return rc;
}

static int check(const void *pattern, const void *event, size_t len, uint32_t form, size_t *needed)
{
    if (needed)
        *needed = 0;
    if (form > SVL_EXPLAIN_JSON)
        return svl__fail(SVL_E_INVALID, "form is %u; SVL_EXPLAIN_TEXT or SVL_EXPLAIN_JSON", form);
    return svl__match_check(pattern, event, len, 0, needed);
}

int svl_pattern_explain_json(const svl_pattern *pattern, const char *json, size_t len,
                             uint32_t form, char *buffer, size_t capacity, size_t *needed)
{
    int rc = check(pattern, json, len, form, needed);
    return rc == SVL_OK ? explain(pattern, (svl_slice){ json, len }, form, buffer, capacity, needed)
                        : rc;
}

int svl_pattern_explain_record(const svl_pattern *pattern, const svl_record *record, uint32_t form,
                               char *buffer, size_t capacity, size_t *needed)
{
    struct buffer document = { .data = NULL };
    int rc = check(pattern, record, 1, form, needed);
    if (rc == SVL_OK)
        rc = svl__match_check_record(record);
    if (rc == SVL_OK)
        rc = svl__document_write(record, &document);
    if (rc == SVL_OK)
        rc = explain(pattern, (svl_slice){ document.data, document.len }, form, buffer, capacity,
                     needed);
    svl__buffer_free(&document);
    return rc;
}
