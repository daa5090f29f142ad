/* records.c - the formulas. */
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/model.h"

#define BODY_BYTES_MAX 12288
#define TYPE_CHANGED "changed"

static uint64_t hash(uint64_t label)
{
    struct rng rng = { label };
    return rng_next(&rng);
}

/* --- numbers --- */

enum shaping shaping_of(uint64_t number)
{
    static const enum shaping rare[] = { SHAPE_CHANGE, SHAPE_DROP, SHAPE_SPLIT,
                                         SHAPE_ADD,    SHAPE_FAIL, SHAPE_BREAK };
    uint64_t h = hash(number);
    if (number % PUBLISHERS == APPENDER || h % 4 != 0)
        return SHAPE_KEEP;
    return rare[h / 4 % (sizeof rare / sizeof rare[0])];
}

uint64_t parts_of(uint64_t number)
{
    return 1 + hash(number) / 64 % (PARTS_MAX - 1);
}

bool is_text(uint64_t number)
{
    return number % PUBLISHERS == 0 && hash(number) / 1024 % 4 == 0;
}

static bool has_part(uint64_t number, uint64_t part)
{
    enum shaping shaping = shaping_of(number);
    if (part == 0)
        return shaping != SHAPE_DROP && shaping != SHAPE_SPLIT;
    return (shaping == SHAPE_SPLIT || shaping == SHAPE_ADD) && part <= parts_of(number);
}

uint64_t label_after(uint64_t label, unsigned publisher)
{
    uint64_t number = label >> 8, part = (label & 0xff) + 1;
    if (label == 0) {
        number = PUBLISHERS + publisher;
        part = 0;
    }
    for (;; number += PUBLISHERS, part = 0)
        for (; part < PARTS_MAX; part++)
            if (has_part(number, part))
                return number << 8 | part;
}

/* --- contents --- */

static char *put_body(uint64_t label, bool as_json, size_t *len)
{
    static _Thread_local char body[BODY_BYTES_MAX + 128];
    uint64_t h = hash(label ^ 1);
    size_t fill = h % 50 == 0   ? h / 64 % BODY_BYTES_MAX
                  : h % 10 == 0 ? h / 64 % 2048
                                : h / 64 % 128;
    int n = snprintf(body, sizeof body,
                     as_json ? "{\"n\":%llu,\"host\":\"h%u\",\"fill\":\"" : "n=%llu host=h%u ",
                     (unsigned long long)label, (unsigned)(h / 7 % 8));
    char *to = body + n;
    struct rng rng = { label };
    for (size_t i = 0; i < fill; i += 8) { /* hardly compressible, and letters all the same */
        uint64_t letters =
            (rng_next(&rng) & UINT64_C(0x0f0f0f0f0f0f0f0f)) + UINT64_C(0x6161616161616161);
        memcpy(to + i, &letters, fill - i < 8 ? fill - i : 8);
    }
    to += fill;
    if (as_json)
        to += snprintf(to, 4, "\"}");
    *len = (size_t)(to - body);
    return body;
}

static void fill_body(svl_record *r, uint64_t label)
{
    r->body.data = put_body(label, r->body_kind == SVL_BODY_JSON, &r->body.len);
}

/* A record of `number` of support/model.h, as text if it is one. */
static svl_record outline(uint64_t number, bool as_text)
{
    svl_record r = model_record(number);
    r.body = (svl_slice){ NULL, 0 };
    if (as_text)
        r = (svl_record){ .severity = r.severity, .source = r.source };
    return r;
}

svl_record record_published(uint64_t number)
{
    svl_record r = outline(number, is_text(number));
    fill_body(&r, number << 8);
    return r;
}

svl_record record_outline(uint64_t label)
{
    static _Thread_local char source[32];
    uint64_t rest = label_rest(label), number = rest >> 8;
    if (label_class(label) == CLASS_EMITTED) {
        svl_record r = outline(rest, false);
        int n = snprintf(source, sizeof source, "emitted.%u", label_subscription(label));
        r.source = (svl_slice){ source, (size_t)n };
        r.flags = 1; /* one hop */
        return r;
    }
    svl_record r = outline(number, is_text(number));
    if ((rest & 0xff) != 0)
        r.type = slice_of("part");
    else if (shaping_of(number) == SHAPE_CHANGE) {
        r.type = slice_of(TYPE_CHANGED);
        r.severity = 24 - r.severity;
    }
    return r;
}

svl_record record_stored(uint64_t label)
{
    svl_record r = record_outline(label);
    fill_body(&r, label);
    return r;
}

svl_record record_in_entry(uint64_t id)
{
    const struct entry *entry = entry_of(id);
    unsigned class_ = label_class(entry->label);
    svl_record r = { .severity = entry->severity, .key = { entry->key, entry->key_len } };
    if (class_ == CLASS_PUBLISHED || class_ == CLASS_EMITTED) {
        r = record_outline(entry->label);
    } else {
        r.source = slice_of(class_ == CLASS_LETTER ? "serverlog.deadletter"
                                                   : "serverlog.deadletter.resolved");
        r.type = slice_of(subscription_name(label_subscription(entry->label)));
    }
    r.id = id;
    r.time_ns = entry->time_ns;
    return r;
}

uint64_t label_in(const svl_record *record)
{
    const char *body = record->body.data;
    size_t skip = record->body_kind == SVL_BODY_JSON ? 5 : 2;
    if (record->body.len < skip + 8)
        return 0;
    return strtoull(body + skip, NULL, 10); /* no digit is the last byte */
}

/* --- comparing --- */

static bool same(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool same_attributes(const svl_record *a, const svl_record *b)
{
    if (a->attribute_count != b->attribute_count)
        return false;
    for (uint32_t i = 0; i < a->attribute_count; i++) {
        const svl_attribute *x = &a->attributes[i], *y = &b->attributes[i];
        if (x->kind != y->kind || x->i64 != y->i64 || !same(x->name, y->name) ||
            !same(x->bytes, y->bytes) || memcmp(&x->f64, &y->f64, sizeof x->f64) != 0)
            return false;
    }
    return true;
}

const char *record_difference(const svl_record *record, const svl_record *e)
{
    if (e->time_ns != 0 ? record->time_ns != e->time_ns : record->time_ns <= 0)
        return "time";
    if (record->severity != e->severity || record->body_kind != e->body_kind)
        return "severity or kind";
    if (record->flags != e->flags)
        return "flags";
    if (!same(record->source, e->source) || !same(record->type, e->type) ||
        !same(record->key, e->key))
        return "source, type or key";
    if (!same_attributes(record, e))
        return "attributes";
    return same(record->body, e->body) ? NULL : "body";
}

/* --- patterns --- */

static bool starts_with(svl_slice text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

static const svl_attribute *attribute(const svl_record *r, const char *name)
{
    for (uint32_t i = 0; i < r->attribute_count; i++)
        if (same(r->attributes[i].name, slice_of(name)))
            return &r->attributes[i];
    return NULL;
}

static const char *const patterns[PATTERNS] = {
    "{\"severity\":[{\"numeric\":[\">=\",17]}]}",
    "{\"source\":[\"source.1\",\"source.3\"],\"type\":[{\"exists\":false}]}",
    "{\"attributes\":{\"number\":[{\"numeric\":[\">\",100]}],\"text\":[{\"prefix\":\"value 1\"}]}}",
    "{\"key\":[{\"prefix\":\"host-00\"}],\"severity\":[{\"numeric\":[\"<\",9]}]}",
    "{\"type\":[\"" TYPE_CHANGED "\",\"part\"]}",
    "{\"attributes\":{\"text\":[{\"exists\":true}],\"part\":[{\"exists\":false}]}}",
};

const char *pattern_text(unsigned pattern)
{
    return patterns[pattern];
}

static bool has_key_prefix(svl_slice key, const char *prefix)
{
    bool is_utf8 = key.len == 0 || memchr(key.data, 0xff, key.len) == NULL;
    return is_utf8 && starts_with(key, prefix);
}

bool pattern_matches(unsigned pattern, const svl_record *r)
{
    const svl_attribute *text = attribute(r, "text"), *number = attribute(r, "number");
    switch (pattern) {
    case 0:
        return r->severity >= 17;
    case 1:
        return (same(r->source, slice_of("source.1")) || same(r->source, slice_of("source.3"))) &&
               r->type.len == 0;
    case 2:
        return number && number->i64 > 100 && text && starts_with(text->bytes, "value 1");
    case 3:
        return has_key_prefix(r->key, "host-00") && r->severity < 9;
    case 4:
        return same(r->type, slice_of(TYPE_CHANGED)) || same(r->type, slice_of("part"));
    default:
        return text && !attribute(r, "part");
    }
}

/* --- subscriptions --- */

const char *subscription_name(unsigned subscription)
{
    static const char *const names[SUBSCRIPTIONS] = { "everything", "wanted", "polled" };
    return names[subscription];
}

void subscription_filter(unsigned subscription, svl_filter *filter)
{
    if (subscription == 1)
        filter->pattern = patterns[0];
    if (subscription == 2) {
        filter->source = "source.*";
        filter->severity_min = 5;
    }
}

bool subscription_wants(unsigned subscription, uint64_t label)
{
    unsigned class_ = label_class(label);
    if (class_ != CLASS_PUBLISHED && class_ != CLASS_EMITTED)
        return false;
    svl_record r = record_outline(label);
    if (subscription == 1)
        return pattern_matches(0, &r);
    return subscription == 0 || (starts_with(r.source, "source.") && r.severity >= 5);
}

bool subscription_emits(unsigned subscription, uint64_t label)
{
    return label_class(label) == CLASS_PUBLISHED && hash(label) / 16 % 16 == subscription;
}
