/* transform.c - applies a transformer: every variable's value is found once, as a piece of JSON, and then the
 * parts are written one behind the other.
 *
 * What is written is counted before it is: memory is bounded by the limits of transform.h, and by what they
 * become when each byte needs an escape. */
#include "transform.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/json_write.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "document.h"
#include "jsonpath.h"
#include "record/wire.h"

struct rendering {
    const svl_transformer *transformer;
    svl_slice event;                                                /* valid JSON */
    svl_slice values[TRANSFORM_VALUES];                             /* JSON; data NULL: missing */
    struct buffer made[TRANSFORM_VALUES - TRANSFORM_VARIABLES_MAX]; /* of reserved ones */
    struct buffer out;
};

static struct buffer *made(struct rendering *r, enum reserved variable)
{
    return &r->made[variable - TRANSFORM_VARIABLES_MAX];
}

/* The event without the members of its root that are called "detail". */
static void write_without_detail(struct buffer *out, svl_slice event)
{
    static const svl_slice detail = { "detail", 6 };
    struct json_scan s;
    svl__json_start(&s, event.data, event.len, JSON_DEPTH_LIMIT);
    if (svl__json_next(&s) != JSON_OBJECT) {
        svl__buffer_append(out, event.data, event.len);
        return;
    }
    json_write_raw(out, "{");
    for (bool first = true; svl__json_next(&s) == JSON_NAME;) {
        const uint8_t *member = s.token;
        bool is_detail = svl__json_equals(&s.text, detail);
        svl__json_skip(&s);
        if (is_detail)
            continue;
        if (!first)
            json_write_raw(out, ",");
        first = false;
        svl__buffer_append(out, member, (size_t)(s.at - member));
    }
    json_write_raw(out, "}");
}

static void find_paths(struct rendering *r)
{
    const svl_transformer *t = r->transformer;
    for (uint32_t i = 0; i < t->variable_count; i++) {
        svl_slice path = transform_bytes(t, t->paths[i].at, t->paths[i].len);
        svl_slice value;
        if (t->used[i] && svl__jsonpath_find(path, r->event, &value))
            r->values[i] = value;
    }
}

/* `ingest_ns` is 0 and `rule` NULL where there is none. */
static int make_reserved(struct rendering *r, int64_t ingest_ns, const char *rule)
{
    const bool *used = r->transformer->used;
    r->values[RESERVED_EVENT_JSON] = r->event;
    if (used[RESERVED_EVENT])
        write_without_detail(made(r, RESERVED_EVENT), r->event);
    if (used[RESERVED_INGESTION_TIME] && ingest_ns != 0) {
        char text[TIME_TEXT_BYTES];
        size_t len = svl__time_text(ingest_ns, text);
        svl__json_write_string(made(r, RESERVED_INGESTION_TIME), text, len);
    }
    if (used[RESERVED_RULE_NAME] && rule)
        svl__json_write_string(made(r, RESERVED_RULE_NAME), rule, strlen(rule));
    for (uint32_t i = RESERVED_EVENT; i < TRANSFORM_VALUES; i++) {
        const struct buffer *b = made(r, i);
        if (b->failed)
            return SVL_E_NOMEM;
        if (b->len > 0)
            r->values[i] = (svl_slice){ b->data, b->len };
    }
    return SVL_OK;
}

static bool is_string(svl_slice value)
{
    return ((const char *)value.data)[0] == '"';
}

/* The characters of a string of JSON; a lone surrogate is none, and becomes U+FFFD. */
static void write_decoded(struct buffer *out, svl_slice inside)
{
    struct json_text text = { inside.data, inside.len, true };
    uint8_t *start = buffer_reserve(out, inside.len);
    if (!start)
        return;
    size_t len = svl__json_decode(&text, start, inside.len);
    for (size_t i = 0; i + 3 <= len; i++)
        if (start[i] == 0xed && start[i + 1] >= 0xa0)
            memcpy(start + i, "\xef\xbf\xbd", 3);
    out->len += len;
}

static void write_value(struct buffer *out, svl_slice value, enum part_form form)
{
    if (!value.data) {
        if (form == PART_VALUE)
            json_write_raw(out, "null");
        return;
    }
    svl_slice inside = value;
    if (is_string(value))
        inside = (svl_slice){ (const char *)value.data + 1, value.len - 2 };
    if (form == PART_VALUE || (form == PART_TEXT && !is_string(value)))
        svl__buffer_append(out, value.data, value.len);
    else if (form == PART_TEXT)
        write_decoded(out, inside);
    else if (is_string(value))
        svl__buffer_append(out, inside.data, inside.len);
    else
        svl__json_write_characters(out, value.data, value.len);
}

static int render(struct rendering *r)
{
    const svl_transformer *t = r->transformer;
    size_t count;
    const struct part *parts = transform_parts(t, &count);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].form == PART_LITERAL)
            svl__buffer_append(&r->out, t->bytes.data + parts[i].at, parts[i].len);
        else
            write_value(&r->out, r->values[parts[i].variable], parts[i].form);
        if (r->out.failed)
            return SVL_E_NOMEM;
        if (r->out.len > TRANSFORM_OUTPUT_MAX)
            return svl__fail(SVL_E_LIMIT,
                             "a transformer's output of more than %u bytes; let its "
                             "template have less of the event",
                             TRANSFORM_OUTPUT_MAX);
    }
    return SVL_OK;
}

static void hand_out(const struct rendering *r, char *buffer, size_t capacity, size_t *needed)
{
    *needed = r->out.len;
    if (!buffer || capacity == 0)
        return;
    if (capacity <= r->out.len) {
        buffer[0] = 0;
        return;
    }
    if (r->out.len > 0)
        memcpy(buffer, r->out.data, r->out.len);
    buffer[r->out.len] = 0;
}

struct source {
    svl_slice event;
    int64_t ingest_ns;
    const char *rule;
};

static int apply(const svl_transformer *t, const struct source *source, char *buffer,
                 size_t capacity, size_t *needed)
{
    struct rendering r = { .transformer = t, .event = source->event };
    find_paths(&r);
    int rc = make_reserved(&r, source->ingest_ns, source->rule);
    if (rc == SVL_OK)
        rc = render(&r);
    if (rc == SVL_OK)
        hand_out(&r, buffer, capacity, needed);
    for (size_t i = 0; i < sizeof r.made / sizeof r.made[0]; i++)
        svl__buffer_free(&r.made[i]);
    svl__buffer_free(&r.out);
    return rc;
}

static int check_rule(const char *rule)
{
    if (rule && !svl__utf8_valid(rule, strlen(rule)))
        return svl__fail(SVL_E_UTF8, "the rule's name");
    return SVL_OK;
}

static int check_size(size_t len)
{
    if (len > TRANSFORM_INPUT_MAX)
        return svl__fail(SVL_E_LIMIT, "an event of %zu bytes; at most %u", len,
                         TRANSFORM_INPUT_MAX);
    return SVL_OK;
}

static int check_json(const char *json, size_t len)
{
    struct json_scan s;
    svl__json_start(&s, json, len, DOCUMENT_DEPTH_MAX);
    if (svl__json_check(&s))
        return SVL_OK;
    return svl__fail(s.depth == DOCUMENT_DEPTH_MAX ? SVL_E_LIMIT : SVL_E_JSON, "byte %zu: %s",
                     s.error_at, s.error);
}

int svl_transformer_apply_json(const svl_transformer *transformer, const char *json, size_t len,
                               const char *rule, char *buffer, size_t capacity, size_t *needed)
{
    if (needed)
        *needed = 0;
    if (!transformer || !needed || (!json && len > 0))
        return svl__fail(SVL_E_INVALID, "a transformer, an event and `needed` must be given");
    int rc = check_rule(rule);
    if (rc == SVL_OK)
        rc = check_size(len);
    if (rc == SVL_OK)
        rc = check_json(json, len);
    if (rc != SVL_OK)
        return rc;
    struct source source = { { json, len }, 0, rule };
    return apply(transformer, &source, buffer, capacity, needed);
}

int svl_transformer_apply_record(const svl_transformer *transformer, const svl_record *record,
                                 const char *rule, char *buffer, size_t capacity, size_t *needed)
{
    if (needed)
        *needed = 0;
    if (!transformer || !record || !needed)
        return svl__fail(SVL_E_INVALID, "a transformer, a record and `needed` must be given");
    struct buffer document = { 0 };
    int rc = check_rule(rule);
    if (rc == SVL_OK)
        rc = svl__record_check(record, TRANSFORM_INPUT_MAX, true);
    if (rc == SVL_OK)
        rc = svl__document_write(record, &document);
    if (rc == SVL_OK)
        rc = check_size(document.len);
    if (rc == SVL_OK) {
        struct source source = { { document.data, document.len }, record->ingest_ns, rule };
        rc = apply(transformer, &source, buffer, capacity, needed);
    }
    svl__buffer_free(&document);
    return rc;
}

uint32_t svl_transformer_body_kind(const svl_transformer *transformer)
{
    return transformer ? transformer->body_kind : SVL_BODY_TEXT;
}

svl_transformer *svl__transformer_share(svl_transformer *transformer)
{
    atomic_fetch_add_explicit(&transformer->references, 1, memory_order_relaxed);
    return transformer;
}

void svl_transformer_destroy(svl_transformer *transformer)
{
    /* T4, T5: pair with each other, release with acquire */
    if (!transformer ||
        atomic_fetch_sub_explicit(&transformer->references, 1, memory_order_acq_rel) > 1)
        return;
    svl__buffer_free(&transformer->bytes);
    svl__buffer_free(&transformer->parts);
    svl__free(transformer);
}
