/* expectation.c - marks, and records by formula. */
#include "expectation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const sources[] = { "input", "large", "plain", "split", "echo" };

static void full(const char *what)
{
    fprintf(stderr, "expectation: too many %s\n", what);
    exit(1);
}

static void add_generation(struct expectation *e, uint64_t first, uint64_t generation)
{
    if (e->generations == GENERATIONS_MAX)
        full("generations");
    e->submitted = first - 1;
    while (e->groups > 0 && e->group_end[e->groups - 1] > e->submitted)
        e->groups--;
    e->generation[e->generations].first = first;
    e->generation[e->generations++].generation = generation;
}

void expectation_apply(struct expectation *e, const struct op *op)
{
    if (op->kind == MARK_GROUP) {
        if (e->groups == GROUPS_MAX)
            full("groups");
        e->submitted = e->group_end[e->groups++] = op->a;
    }
    if (op->kind == MARK_ACK && op->a >= e->acked) {
        e->acked = op->a;
        e->acked_id = op->b;
    }
    if (op->kind == MARK_GENERATION)
        add_generation(e, op->a, op->b);
}

uint64_t expectation_generation(const struct expectation *e, uint64_t number)
{
    for (size_t i = e->generations; i-- > 0;)
        if (e->generation[i].first <= number)
            return e->generation[i].generation;
    return 0;
}

bool expectation_may_end(const struct expectation *e, uint64_t number)
{
    if (number == 0 || number == e->acked)
        return true;
    for (size_t i = e->groups; i-- > 0 && e->group_end[i] >= number;)
        if (e->group_end[i] == number)
            return true;
    return false;
}

/* Mostly short; some take several pages. */
static size_t body_bytes(enum stream stream, uint64_t number)
{
    if (stream == STREAM_LARGE)
        return 30000;
    return number % 23 == 7 ? 5000 + number * 311 % 6000 : number * 37 % 600;
}

void record_make(struct made_record *out, enum stream stream, uint64_t number, uint64_t generation)
{
    struct rng rng = { number * 1009 + generation * 31 + (uint64_t)stream };
    size_t len = body_bytes(stream, number);
    uint64_t bits = rng_next(&rng);
    for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
        if (stream != STREAM_PLAIN)
            bits = rng_next(&rng);
        memcpy(out->body + at, &bits, sizeof bits);
    }
    int n = snprintf(out->key, sizeof out->key, "%08llu/%llu", (unsigned long long)number,
                     (unsigned long long)generation);
    out->attribute = (svl_attribute){ .name = slice_of("number"),
                                      .i64 = (int64_t)number,
                                      .kind = SVL_ATTRIBUTE_I64 };
    out->record = (svl_record){ .time_ns = INT64_C(1700000000000000000) + (int64_t)number,
                                .severity = (uint32_t)(number % 25),
                                .source = slice_of(sources[stream]),
                                .key = { out->key, (size_t)n },
                                .attributes = &out->attribute,
                                .attribute_count = 1,
                                .body = { out->body, len },
                                .body_kind = SVL_BODY_BINARY };
}

static bool same(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool record_parse(const svl_record *record, enum stream *stream, uint64_t *number,
                  uint64_t *generation)
{
    char key[40];
    unsigned long long a, b;
    if (record->key.len >= sizeof key)
        return false;
    memcpy(key, record->key.data, record->key.len);
    key[record->key.len] = 0;
    if (sscanf(key, "%llu/%llu", &a, &b) != 2)
        return false;
    *number = a;
    *generation = b;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        *stream = (enum stream)i;
        if (same(record->source, slice_of(sources[i])))
            return true;
    }
    return false;
}

bool record_equals(const svl_record *record, const svl_record *expected)
{
    return record->time_ns == expected->time_ns && record->severity == expected->severity &&
           record->body_kind == expected->body_kind && same(record->source, expected->source) &&
           same(record->key, expected->key) && same(record->body, expected->body) &&
           record->attribute_count == 1 && record->attributes[0].kind == SVL_ATTRIBUTE_I64 &&
           record->attributes[0].i64 == expected->attributes[0].i64;
}
