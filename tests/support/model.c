/* model.c - the list, and the conditions of a query spelled out. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_START INT64_C(1700000000000000000)

void model_add(struct model *model, uint64_t id, uint64_t number)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? model->capacity * 2 : 1024;
        model->records = realloc(model->records, model->capacity * sizeof *model->records);
        assert_non_null(model->records);
    }
    model->records[model->count++] = (struct model_record){ id, number };
}

void model_free(struct model *model)
{
    free(model->records);
    *model = (struct model){ 0 };
}

svl_record model_record(uint64_t number)
{
    static _Thread_local char source[32], type[32], key[64], body[2048], text[32];
    static _Thread_local svl_attribute attributes[3];
    struct rng rng = { number };
    svl_record r = { .time_ns = TIME_START + (int64_t)number * 1000000 -
                                (int64_t)rng_below(&rng, 50) * 1000000,
                     .severity = (uint32_t)rng_below(&rng, 25),
                     .body_kind = (uint32_t)rng_below(&rng, 3) };
    r.source = (svl_slice){ source, (size_t)snprintf(source, sizeof source, "source.%u",
                                                     (unsigned)rng_below(&rng, 5)) };
    if (rng_below(&rng, 3) == 0)
        r.type = (svl_slice){ type, (size_t)snprintf(type, sizeof type, "type%u",
                                                     (unsigned)rng_below(&rng, 40)) };
    if (rng_below(&rng, 4) != 0) {
        unsigned k = (unsigned)(rng_below(&rng, 100) * rng_below(&rng, 100));
        int n = snprintf(key, sizeof key, "host-%04u", k);
        if (k % 7 == 0)
            key[n++] = '\0';
        if (k % 11 == 0)
            key[n++] = '\xff';
        r.key = (svl_slice){ key, (size_t)n };
    }
    size_t len = rng_below(&rng, 20) == 0 ? rng_below(&rng, sizeof body) : rng_below(&rng, 160);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('a' + (number + i * i) % 26);
    r.body = (svl_slice){ body, len };
    if (rng_below(&rng, 8) == 0) {
        int n = snprintf(text, sizeof text, "value %u", (unsigned)number);
        attributes[0] = (svl_attribute){ .name = slice_of("text"),
                                         .bytes = { text, (size_t)n },
                                         .kind = SVL_ATTRIBUTE_TEXT };
        attributes[1] = (svl_attribute){ .name = slice_of("number"),
                                         .i64 = (int64_t)number,
                                         .kind = SVL_ATTRIBUTE_I64 };
        attributes[2] = (svl_attribute){ .name = slice_of("part"),
                                         .f64 = (double)number / 3,
                                         .kind = SVL_ATTRIBUTE_F64 };
        r.attributes = attributes;
        r.attribute_count = (uint32_t)(1 + rng_below(&rng, 3));
    }
    return r;
}

static void assert_slice(svl_slice a, svl_slice b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.data, b.data, a.len);
}

void model_assert_record(const svl_record *record, const struct model_record *expected)
{
    svl_record e = model_record(expected->number);
    assert_true(record->id == expected->id);
    assert_true(record->time_ns == e.time_ns);
    assert_int_equal(record->severity, e.severity);
    assert_int_equal(record->body_kind, e.body_kind);
    assert_slice(record->source, e.source);
    assert_slice(record->type, e.type);
    assert_slice(record->key, e.key);
    assert_slice(record->body, e.body);
    assert_int_equal(record->attribute_count, e.attribute_count);
    for (uint32_t i = 0; i < e.attribute_count; i++) {
        assert_slice(record->attributes[i].name, e.attributes[i].name);
        assert_slice(record->attributes[i].bytes, e.attributes[i].bytes);
        assert_true(record->attributes[i].i64 == e.attributes[i].i64);
        assert_true(record->attributes[i].f64 == e.attributes[i].f64);
        assert_int_equal(record->attributes[i].kind, e.attributes[i].kind);
    }
}

static int compare(svl_slice a, svl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool key_matches(const svl_query *q, svl_slice key)
{
    if (q->key_kind == SVL_KEY_ANY)
        return true;
    if (key.len == 0)
        return false;
    if (q->key_kind == SVL_KEY_EXACT)
        return compare(key, q->key_low) == 0;
    if (q->key_kind == SVL_KEY_PREFIX)
        return key.len >= q->key_low.len && memcmp(key.data, q->key_low.data, q->key_low.len) == 0;
    return compare(key, q->key_low) >= 0 && (q->key_high.len == 0 || compare(key, q->key_high) < 0);
}

bool model_matches(const svl_query *q, uint64_t id, const svl_record *r)
{
    return id >= q->id_min && (q->id_max == 0 || id <= q->id_max) &&
           (q->time_min_ns == 0 || r->time_ns >= q->time_min_ns) &&
           (q->time_max_ns == 0 || r->time_ns < q->time_max_ns) && r->severity >= q->severity_min &&
           (q->source.len == 0 || compare(r->source, q->source) == 0) &&
           (q->type.len == 0 || compare(r->type, q->type) == 0) && key_matches(q, r->key);
}

void model_assert_query(svl_store *store, const struct model *model, const svl_query *query)
{
    svl_cursor *cursor;
    assert_ok(svl_store_query(store, query, &cursor));
    const svl_record *records = NULL;
    size_t n = 0, at = 0;
    uint64_t found = 0;
    bool backward = query->flags & SVL_QUERY_BACKWARD;
    for (size_t i = 0; i < model->count && (query->limit == 0 || found < query->limit); i++) {
        const struct model_record *m = &model->records[backward ? model->count - 1 - i : i];
        svl_record expected = model_record(m->number);
        if (!model_matches(query, m->id, &expected))
            continue;
        if (at == n) {
            assert_ok(svl_cursor_next_many(cursor, 0, 1 + m->number % 300, &records, &n));
            at = 0;
        }
        model_assert_record(&records[at++], m);
        found++;
    }
    assert_int_equal(at, n);
    assert_int_equal(svl_cursor_next_many(cursor, 0, 1, &records, &n), SVL_E_END);
    assert_null(records);
    svl_cursor_explanation explanation = { .struct_size = sizeof explanation };
    assert_ok(svl_cursor_explain(cursor, &explanation));
    assert_true(explanation.records_returned == found);
    assert_true(explanation.blocks >= explanation.blocks_skipped_zone +
                                          explanation.blocks_skipped_key +
                                          explanation.blocks_decoded);
    svl_cursor_close(cursor);
}

svl_query model_random_query(struct rng *rng, const struct model *model)
{
    static _Thread_local char low[64], high[64], source[32], type[32];
    svl_query q;
    svl_query_init(&q, sizeof q);
    uint64_t first = model->count ? model->records[0].id : 1, n = model->count + 2;
    if (rng_below(rng, 3) == 0)
        q.id_min = first + rng_below(rng, n);
    if (rng_below(rng, 3) == 0)
        q.id_max = first + rng_below(rng, n);
    if (rng_below(rng, 3) == 0)
        q.time_min_ns = TIME_START + (int64_t)rng_below(rng, n) * 1000000;
    if (rng_below(rng, 3) == 0)
        q.time_max_ns = TIME_START + (int64_t)rng_below(rng, n) * 1000000;
    if (rng_below(rng, 3) == 0)
        q.severity_min = (uint32_t)rng_below(rng, 25);
    if (rng_below(rng, 4) == 0)
        q.source = (svl_slice){ source, (size_t)snprintf(source, sizeof source, "source.%u",
                                                         (unsigned)rng_below(rng, 6)) };
    if (rng_below(rng, 6) == 0)
        q.type = (svl_slice){ type, (size_t)snprintf(type, sizeof type, "type%u",
                                                     (unsigned)rng_below(rng, 41)) };
    q.key_kind = (uint32_t)(rng_below(rng, 2) ? rng_below(rng, 4) : 0);
    unsigned k = (unsigned)(rng_below(rng, 100) * rng_below(rng, 100));
    int len = snprintf(low, sizeof low, "host-%04u", k);
    if (q.key_kind != SVL_KEY_ANY)
        q.key_low = (svl_slice){ low, (size_t)len };
    if (q.key_kind == SVL_KEY_PREFIX)
        q.key_low.len = 5 + rng_below(rng, 5);
    if (q.key_kind == SVL_KEY_RANGE && rng_below(rng, 4) != 0) {
        len = snprintf(high, sizeof high, "host-%04u", k + (unsigned)rng_below(rng, 500));
        q.key_high = (svl_slice){ high, (size_t)len };
    }
    if (rng_below(rng, 3) == 0)
        q.limit = 1 + rng_below(rng, 50);
    if (rng_below(rng, 2) == 0)
        q.flags = SVL_QUERY_BACKWARD;
    return q;
}
