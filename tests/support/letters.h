/* letters.h - a handler that does what the records' bodies say, and what it leaves: dead letters, effects. */
#ifndef TESTS_SUPPORT_LETTERS_H
#define TESTS_SUPPORT_LETTERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support.h"

#define LETTERS_DONE_MAX 8192

static char path[512];
static svl_pipeline *pipeline;

struct script {
    int (*act)(svl_batch *batch, struct script *script); /* NULL: by the bodies */
    bool mended;                                         /* everything can be done */
    bool rejects_all;
    pthread_mutex_t lock;
    struct {
        uint64_t id;
        bool redriven;
    } done[LETTERS_DONE_MAX]; /* in the order in which they were done */
    _Atomic size_t done_count;
    _Atomic unsigned calls, redriven_calls;
    _Atomic unsigned inside; /* calls going on */
    _Atomic uint32_t last_attempt;
    svl_subscription *subscription;
};

/* A dead letter, taken apart. */
struct letter {
    uint64_t id, original_id;
    int64_t code, attempts, first_ns, last_ns, previous;
    char condition[16], error[256], type[129];
    uint32_t error_kind; /* 0: none */
    svl_record_buffer *original;
};

static inline int letters_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static inline void letters_sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

static inline bool letters_says(const svl_record *record, const char *text)
{
    return record->body.len >= strlen(text) && memcmp(record->body.data, text, strlen(text)) == 0;
}

static inline void letters_note(struct script *s, uint64_t id, bool redriven)
{
    pthread_mutex_lock(&s->lock);
    if (s->done_count < LETTERS_DONE_MAX) {
        s->done[s->done_count].id = id;
        s->done[s->done_count].redriven = redriven;
        s->done_count++;
    }
    pthread_mutex_unlock(&s->lock);
}

static inline bool letters_rejects(const struct script *s, const svl_record *record)
{
    return s->rejects_all ||
           (!s->mended && (letters_says(record, "reject") ||
                           (letters_says(record, "fail once, reject") && s->calls > 1)));
}

/* Does record `i` what its body says. False: the whole call fails. */
static inline bool letters_do(svl_batch *batch, struct script *s, const svl_record *record,
                              size_t i)
{
    svl_record reply = { .source = slice_of("out"), .key = record->key };
    assert_ok(svl_batch_emit(batch, i, &reply));
    if (letters_rejects(s, record))
        return svl_batch_reject(batch, i, "no good") == SVL_OK;
    if (!s->mended && letters_says(record, "fail"))
        return false;
    if (!s->mended && letters_says(record, "mark"))
        return svl_batch_fail(batch, i, "marked") == SVL_OK;
    return true;
}

/* Notes what is done: before the first record that is failed, but for those that are rejected. */
static inline int letters_by_bodies(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    bool redriven = svl_batch_flags(batch) & SVL_BATCH_REDRIVEN;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        if (!letters_do(batch, s, &records[i], i))
            return SVL_FAIL + 3;
    for (size_t i = 0; i < n; i++) {
        if (!s->mended && letters_says(&records[i], "mark"))
            break;
        if (!letters_rejects(s, &records[i]))
            letters_note(s, records[i].id, redriven);
    }
    return SVL_OK;
}

static inline int letters_handle(svl_batch *batch, void *user)
{
    struct script *s = user;
    assert_int_equal(atomic_fetch_add(&s->inside, 1), 0); /* D4 */
    s->calls++;
    s->redriven_calls += (svl_batch_flags(batch) & SVL_BATCH_REDRIVEN) != 0;
    s->last_attempt = svl_batch_attempt(batch);
    int rc = s->act ? s->act(batch, s) : letters_by_bodies(batch, s);
    atomic_fetch_sub(&s->inside, 1);
    return rc;
}

static inline svl_stored_options letters_quick(const char *name)
{
    svl_stored_options o;
    assert_ok(svl_stored_options_init(&o, sizeof o));
    o.name = name;
    o.retry_base_ms = 1;
    o.retry_max_ms = 2;
    o.checkpoint_interval_ms = 1;
    o.filter.source = "in";
    return o;
}

static inline void letters_open_with(struct script *s, const svl_stored_options *o,
                                     const svl_options *options)
{
    pthread_mutex_init(&s->lock, NULL);
    assert_ok(svl_open(path, options, &pipeline));
    assert_ok(svl_on_stored(pipeline, o, letters_handle, s, &s->subscription));
    assert_ok(svl_start(pipeline));
}

static inline void letters_open(struct script *s, const svl_stored_options *o)
{
    letters_open_with(s, o, NULL);
}

static inline void letters_publish(const char *body)
{
    assert_ok(svl_publish_text(pipeline, 9, "in", body));
}

static inline svl_subscription_info letters_info(const struct script *s)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(s->subscription, &info));
    return info;
}

static inline uint64_t letters_count(const char *name)
{
    uint64_t n;
    assert_ok(svl_deadletter_count(pipeline, name, &n));
    return n;
}

/* Until so many dead letters were written, and are durable. */
static inline void letters_wait(uint64_t n, const struct script *s)
{
    while (letters_info(s).dead_letters < n)
        letters_sleep_ms(1);
    assert_ok(svl_flush(pipeline, -1));
}

static inline void letters_wait_done(const struct script *s, size_t n)
{
    while (s->done_count < n)
        letters_sleep_ms(1);
}

/* Until so many records were done or given up. */
static inline void letters_wait_settled(const struct script *s, uint64_t n)
{
    svl_subscription_info info;
    do {
        letters_sleep_ms(1);
        info = letters_info(s);
    } while (info.records + info.dead_letters + info.dropped < n);
}

static inline void letters_wait_position(const struct script *s, uint64_t position)
{
    while (letters_info(s).position < position)
        letters_sleep_ms(1);
}

static inline void letters_take_attribute(struct letter *letter, const svl_attribute *a)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)a->name.len, (const char *)a->name.data);
    int64_t original_id = 0;
    struct {
        const char *name;
        int64_t *to;
    } numbers[] = { { "original.id", &original_id },
                    { "deadletter.code", &letter->code },
                    { "deadletter.attempts", &letter->attempts },
                    { "deadletter.first_failure_ns", &letter->first_ns },
                    { "deadletter.last_failure_ns", &letter->last_ns },
                    { "deadletter.previous", &letter->previous } };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0)
            *numbers[i].to = a->i64;
    if (original_id != 0)
        letter->original_id = (uint64_t)original_id;
    if (strcmp(name, "deadletter.condition") == 0)
        snprintf(letter->condition, sizeof letter->condition, "%.*s", (int)a->bytes.len,
                 (const char *)a->bytes.data);
    if (strcmp(name, "deadletter.error") == 0) {
        letter->error_kind = a->kind;
        snprintf(letter->error, sizeof letter->error, "%.*s", (int)a->bytes.len,
                 (const char *)a->bytes.data);
    }
}

/* The unresolved dead letters of `name`; each original is the caller's. */
static inline size_t letters_read(const char *name, struct letter *letters, size_t max)
{
    svl_cursor *cursor;
    const svl_record *record;
    size_t n = 0;
    int rc;
    assert_ok(svl_deadletter_list(pipeline, name, 0, 0, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        assert_true(n < max);
        struct letter *letter = &letters[n++];
        *letter = (struct letter){ .id = record->id };
        snprintf(letter->type, sizeof letter->type, "%.*s", (int)record->type.len,
                 (const char *)record->type.data);
        for (uint32_t i = 0; i < record->attribute_count; i++)
            letters_take_attribute(letter, &record->attributes[i]);
        assert_ok(svl_deadletter_original(record, &letter->original));
        assert_true(svl_record_buffer_record(letter->original)->id == letter->original_id);
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    return n;
}

static inline uint64_t letters_count_source(const char *source)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

static inline uint64_t letters_last_id(svl_pipeline *p)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    return stats.last_id;
}

static inline bool letters_equal(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool letters_same(const svl_record *a, const svl_record *b)
{
    bool same = a->id == b->id && a->time_ns == b->time_ns && a->ingest_ns == b->ingest_ns &&
                a->severity == b->severity && a->body_kind == b->body_kind &&
                a->flags == b->flags && letters_equal(a->source, b->source) &&
                letters_equal(a->type, b->type) && letters_equal(a->key, b->key) &&
                letters_equal(a->body, b->body) && a->attribute_count == b->attribute_count;
    for (uint32_t i = 0; same && i < a->attribute_count; i++)
        same = letters_equal(a->attributes[i].name, b->attributes[i].name) &&
               a->attributes[i].i64 == b->attributes[i].i64;
    return same;
}

/* Ids 1 to n but those left out were done, once each, in order. */
static inline void letters_assert_once_in_order(const struct script *s, const bool *left_out,
                                                uint64_t n)
{
    size_t at = 0;
    for (uint64_t id = 1; id <= n; id++)
        if (!left_out[id])
            assert_true(at < s->done_count && s->done[at++].id == id);
    assert_int_equal(at, s->done_count);
}

#endif
