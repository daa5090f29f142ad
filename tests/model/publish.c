/* publish.c - what each call promises is noted where the others hold the store to it. */
#include "publish.h"

#include <stdio.h>
#include <string.h>

#include "records.h"

#define MANY_MAX 16
#define AHEAD_MAX 4000 /* numbers that the scribe may be behind */

static const char *name_of(const struct publisher *me)
{
    static const char *const names[PUBLISHERS] = { "publisher 0", "publisher 1", "publisher 2",
                                                   "appender" };
    return names[me->number];
}

/* Records in memory of their own: a formula's live until the next one. */
struct record_copies {
    svl_record records[MANY_MAX];
    svl_attribute attributes[MANY_MAX][4];
    char bytes[MANY_MAX][16384];
};

static svl_slice keep_slice(svl_slice from, char **to)
{
    if (from.len > 0)
        memcpy(*to, from.data, from.len);
    svl_slice kept = { *to, from.len };
    *to += from.len;
    return kept;
}

static void copy_record(struct record_copies *copies, size_t i, uint64_t number)
{
    svl_record *r = &copies->records[i];
    char *to = copies->bytes[i];
    *r = record_published(number);
    r->source = keep_slice(r->source, &to);
    r->type = keep_slice(r->type, &to);
    r->key = keep_slice(r->key, &to);
    r->body = keep_slice(r->body, &to);
    *to++ = 0; /* a body may be published as text */
    for (uint32_t k = 0; k < r->attribute_count; k++) {
        copies->attributes[i][k] = r->attributes[k];
        copies->attributes[i][k].bytes = keep_slice(r->attributes[k].bytes, &to);
    }
    r->attributes = r->attribute_count > 0 ? copies->attributes[i] : NULL;
}

static void begin(const struct publisher *me, uint64_t number)
{
    atomic_store(&ledger->begun[me->number], number);
}

/* What was told to be `id` has to be that number when the scribe comes to it. */
static void told(const struct publisher *me, uint64_t id, uint64_t number)
{
    acknowledge(id);
    if (await_known(id) && entry_of(id)->label != number << 8)
        wrong(name_of(me), "number %llu was told to be record %llu, which is %#llx",
              (unsigned long long)number, (unsigned long long)id,
              (unsigned long long)entry_of(id)->label);
}

static int publish_sync(struct publisher *me, uint64_t number, const svl_record *record)
{
    uint64_t id = 0;
    bool drops = shaping_of(number) == SHAPE_DROP || shaping_of(number) == SHAPE_SPLIT;
    int rc = svl_publish_sync(me->pipeline, record, -1, &id);
    if (rc == SVL_OK && !drops)
        told(me, id, number);
    if ((rc == SVL_E_DROPPED) != drops && rc != SVL_E_FULL)
        wrong(name_of(me), "svl_publish_sync gave %d: %s", rc, svl_last_error());
    return rc == SVL_E_DROPPED ? SVL_OK : rc;
}

static int publish_one(struct publisher *me, uint64_t number, const svl_record *record)
{
    if (is_text(number)) {
        char source[64];
        snprintf(source, sizeof source, "%.*s", (int)record->source.len,
                 (const char *)record->source.data);
        return svl_publish_text(me->pipeline, record->severity, source, record->body.data);
    }
    if (me->number == 1 && rng_below(&me->rng, 8) == 0)
        return publish_sync(me, number, record);
    return svl_publish(me->pipeline, record);
}

/* Numbers from `number` on; how many were taken. */
static size_t publish_some(struct publisher *me, struct record_copies *copies, uint64_t number)
{
    size_t n = me->number == 2 ? 1 + rng_below(&me->rng, MANY_MAX) : 1, taken = 0;
    for (size_t i = 0; i < n; i++)
        copy_record(copies, i, number + i * PUBLISHERS);
    begin(me, number + (n - 1) * PUBLISHERS);
    int rc;
    if (n > 1) {
        rc = svl_publish_many(me->pipeline, copies->records, n, &taken);
    } else {
        rc = publish_one(me, number, copies->records);
        taken = rc == SVL_OK;
    }
    if (rc == SVL_E_FULL) {
        me->refused++;
        sleep_us(200);
    } else if (!has_failed()) {
        must(rc, name_of(me), "publishing");
    }
    me->published += taken;
    return taken;
}

static size_t append_some(struct publisher *me, struct record_copies *copies, uint64_t number)
{
    size_t n = 1 + rng_below(&me->rng, MANY_MAX);
    uint64_t first;
    for (size_t i = 0; i < n; i++)
        copy_record(copies, i, number + i * PUBLISHERS);
    begin(me, number + (n - 1) * PUBLISHERS);
    must(svl_store_append(svl_pipeline_store(me->pipeline), copies->records, n, &first),
         name_of(me), "svl_store_append");
    for (size_t i = 0; i < n && !has_failed(); i++)
        told(me, first + i, number + i * PUBLISHERS);
    me->appended += n;
    sleep_us((long)rng_below(&me->rng, 20000));
    return n;
}

static void flush(struct publisher *me, uint64_t last)
{
    must(svl_flush(me->pipeline, -1), name_of(me), "svl_flush");
    atomic_store(&ledger->flushed[me->number], last);
}

/* The ledger is not endless, and who reads it takes a while. */
static void keep_pace(struct publisher *me, uint64_t number)
{
    while (number / PUBLISHERS >
               atomic_load(&me->scribe->numbers[me->number]) / PUBLISHERS + AHEAD_MAX &&
           !has_failed())
        sleep_us(1000);
    if (rng_below(&me->rng, 16) == 0)
        sleep_us((long)rng_below(&me->rng, 2500));
}

void *publisher_run(void *argument)
{
    static _Thread_local struct record_copies copies;
    struct publisher *me = argument;
    /* All before it was published, in this life or an earlier one. */
    uint64_t next = atomic_load(&ledger->begun[me->number]);
    next = next == 0 ? PUBLISHERS + me->number : next + PUBLISHERS;
    while (!has_failed() &&
           (!atomic_load(me->ends) || atomic_load(&ledger->begun[me->number]) >= next)) {
        size_t n = me->number == APPENDER ? append_some(me, &copies, next)
                                          : publish_some(me, &copies, next);
        next += n * PUBLISHERS;
        if (me->number != APPENDER && n > 0 && rng_below(&me->rng, 100) == 0)
            flush(me, next - PUBLISHERS);
        keep_pace(me, next);
    }
    return NULL;
}
