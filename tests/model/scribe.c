/* scribe.c - one record after the other. */
#include "scribe.h"

#include <string.h>

#include "records.h"
#include "support/support.h"

#define WHO "scribe"

static bool is(svl_slice text, const char *expected)
{
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static int64_t attribute_of(const svl_record *r, const char *name)
{
    for (uint32_t i = 0; i < r->attribute_count; i++)
        if (is(r->attributes[i].name, name))
            return r->attributes[i].i64;
    wrong(WHO, "record %llu has no attribute %s", (unsigned long long)r->id, name);
}

static bool has_attribute(const svl_record *r, const char *name, const char *text)
{
    for (uint32_t i = 0; i < r->attribute_count; i++)
        if (is(r->attributes[i].name, name))
            return !text || is(r->attributes[i].bytes, text);
    return false;
}

/* A record's own contents, against its label. */
static void check_contents(const svl_record *r, uint64_t label)
{
    svl_record expected = record_stored(label);
    const char *difference = record_difference(r, &expected);
    if (difference)
        wrong(WHO, "record %llu, label %#llx: not its %s", (unsigned long long)r->id,
              (unsigned long long)label, difference);
}

static uint64_t take_published(struct scribe *s, const svl_record *r, uint64_t label)
{
    uint64_t number = label >> 8, part = label & 0xff;
    unsigned p = (unsigned)(number % PUBLISHERS);
    uint64_t expected = label_after(s->last[p], p);
    if (label != expected || number >= NUMBERS_MAX)
        wrong(WHO, "record %llu is number %llu part %llu, behind number %llu part %llu",
              (unsigned long long)r->id, (unsigned long long)number, (unsigned long long)part,
              (unsigned long long)(s->last[p] >> 8), (unsigned long long)(s->last[p] & 0xff));
    if (number > atomic_load(&ledger->begun[p]))
        wrong(WHO, "record %llu was never published", (unsigned long long)r->id);
    if (s->last[p] >> 8 == number && s->last_id[p] + 1 != r->id)
        wrong(WHO, "number %llu: part %llu is not right behind the one before it",
              (unsigned long long)number, (unsigned long long)part);
    check_contents(r, label);
    s->last[p] = label;
    s->last_id[p] = r->id;
    s->severe += part == 0 && p != APPENDER && pattern_matches(0, r);
    atomic_store(&ledger->id_of[number], r->id);
    atomic_store(&s->numbers[p], number);
    return label;
}

static _Atomic uint8_t *fate_of(unsigned subscription, uint64_t id)
{
    if (id == 0 || id >= IDS_MAX)
        wrong(WHO, "an id of %llu as a cause", (unsigned long long)id);
    return &ledger->fates[subscription][id];
}

static uint64_t take_emitted(struct scribe *s, const svl_record *r, uint64_t label)
{
    unsigned subscription = label_subscription(label);
    uint64_t cause = label_rest(label);
    if (subscription >= SUBSCRIPTIONS || cause >= r->id)
        wrong(WHO, "record %llu: label %#llx", (unsigned long long)r->id,
              (unsigned long long)label);
    check_contents(r, label);
    if (atomic_fetch_or(fate_of(subscription, cause), FATE_EMITTED) & FATE_EMITTED)
        wrong(WHO, "what record %llu caused in %s is stored twice", (unsigned long long)cause,
              subscription_name(subscription));
    s->emitted[subscription]++;
    return label;
}

static void check_original(const svl_record *letter, uint64_t id)
{
    svl_record_buffer *buffer;
    must(svl_deadletter_original(letter, &buffer), WHO, "svl_deadletter_original");
    const svl_record *original = svl_record_buffer_record(buffer);
    if (original->id != id || id >= letter->id)
        wrong(WHO, "dead letter %llu: its original is %llu", (unsigned long long)letter->id,
              (unsigned long long)original->id);
    check_contents(original, entry_of(id)->label);
    svl_record_buffer_destroy(buffer);
}

static uint64_t take_letter(struct scribe *s, const svl_record *r, unsigned subscription)
{
    uint64_t id = (uint64_t)attribute_of(r, "original.id");
    bool again = has_attribute(r, "deadletter.previous", NULL);
    uint8_t before = atomic_fetch_or(fate_of(subscription, id), FATE_LETTER);
    if (!!(before & FATE_LETTER) != again || !(before & FATE_SHOWN))
        wrong(WHO, "dead letter %llu of record %llu in %s, fate %u%s", (unsigned long long)r->id,
              (unsigned long long)id, subscription_name(subscription), before,
              again ? ", again" : "");
    check_original(r, id);
    s->letters++;
    return label_make(CLASS_LETTER | subscription, id);
}

static uint64_t take_resolved(struct scribe *s, const svl_record *r, unsigned subscription)
{
    uint64_t id = (uint64_t)attribute_of(r, "original.id");
    _Atomic uint8_t *fate = fate_of(subscription, id);
    if (!(atomic_load(fate) & FATE_LETTER))
        wrong(WHO, "record %llu resolves what %llu never was", (unsigned long long)r->id,
              (unsigned long long)id);
    if (has_attribute(r, "deadletter.outcome", "done"))
        atomic_fetch_and(fate, (uint8_t)~FATE_LETTER);
    else if (!has_attribute(r, "deadletter.outcome", "again"))
        wrong(WHO, "record %llu has no outcome", (unsigned long long)r->id);
    s->resolved++;
    return label_make(CLASS_RESOLVED | subscription, id);
}

static uint64_t take_own(struct scribe *s, const svl_record *r)
{
    for (unsigned i = 0; i < SUBSCRIPTIONS; i++) {
        if (!is(r->type, subscription_name(i)))
            continue;
        if (is(r->source, "serverlog.deadletter"))
            return take_letter(s, r, i);
        if (is(r->source, "serverlog.deadletter.resolved"))
            return take_resolved(s, r, i);
    }
    wrong(WHO, "record %llu of source %.*s", (unsigned long long)r->id, (int)r->source.len,
          (const char *)r->source.data);
}

static uint64_t take(struct scribe *s, const svl_record *r)
{
    if (r->source.len > 10 && memcmp(r->source.data, "serverlog.", 10) == 0)
        return take_own(s, r);
    uint64_t label = label_in(r);
    if (label_class(label) == CLASS_EMITTED)
        return take_emitted(s, r, label);
    if (label_class(label) != CLASS_PUBLISHED)
        wrong(WHO, "record %llu: label %#llx", (unsigned long long)r->id,
              (unsigned long long)label);
    return take_published(s, r, label);
}

static void write_down(struct scribe *s, const svl_record *r)
{
    uint64_t known = atomic_load(&ledger->known);
    if (r->id != known + 1 || r->id >= IDS_MAX)
        wrong(WHO, "record %llu comes behind %llu", (unsigned long long)r->id,
              (unsigned long long)known);
    if (r->ingest_ns < s->ingest_ns)
        wrong(WHO, "record %llu was stored before the one before it", (unsigned long long)r->id);
    s->ingest_ns = r->ingest_ns;
    struct entry *entry = &ledger->entries[r->id];
    *entry = (struct entry){ .label = take(s, r), .time_ns = r->time_ns, .severity = r->severity };
    if (r->key.len <= sizeof entry->key) {
        entry->key_len = (uint32_t)r->key.len;
        if (r->key.len > 0)
            memcpy(entry->key, r->key.data, r->key.len);
    }
    atomic_store_explicit(&ledger->known, r->id, memory_order_release);
}

void *scribe_run(void *argument)
{
    struct scribe *s = argument;
    svl_query q;
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    int rc;
    must(svl_query_init(&q, sizeof q), WHO, "svl_query_init");
    q.flags = SVL_QUERY_FOLLOW;
    q.id_min = atomic_load(&ledger->known) + 1;
    must(svl_store_query(s->store, &q, &cursor), WHO, "svl_store_query");
    while ((rc = svl_cursor_next_many(cursor, -1, 256, &records, &n)) != SVL_E_CLOSED) {
        if (rc == SVL_E_AGAIN)
            continue;
        must(rc, WHO, "svl_cursor_next_many");
        for (size_t i = 0; i < n; i++)
            write_down(s, &records[i]);
        if (has_failed())
            break;
    }
    svl_cursor_close(cursor);
    return NULL;
}
