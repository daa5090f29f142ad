/* peer_log.c - ours as a store: a pipeline with default options for what is written, so crash ring, journal, blocks
 * and key index; the store alone for what is read. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MANY 1024

struct log {
    svl_pipeline *pipeline; /* NULL: opened to read */
    svl_store *store;
};

static void *log_open(const char *path, const struct store_wish *wish)
{
    struct log *me = calloc(1, sizeof *me);
    int rc = me ? SVL_OK : SVL_E_NOMEM;
    if (rc == SVL_OK && wish->purpose == PURPOSE_READ) {
        rc = svl_store_open(path, NULL, &me->store);
    } else if (rc == SVL_OK) {
        rc = bench_open_pipeline(path, &me->pipeline);
        if (rc == SVL_OK)
            rc = svl_start(me->pipeline);
        me->store = svl_pipeline_store(me->pipeline);
    }
    if (rc == SVL_OK)
        return me;
    bench_fail(svl_last_error());
    free(me);
    return NULL;
}

static int checked(int rc)
{
    return rc == SVL_OK ? 0 : bench_fail(svl_last_error());
}

static int log_append(void *store, const struct line *line)
{
    struct log *me = store;
    return checked(svl_publish(me->pipeline, &line->record));
}

static int log_finish(void *store)
{
    struct log *me = store;
    int rc = svl_flush(me->pipeline, -1);
    return checked(rc == SVL_OK ? svl_store_commit(me->store, -1) : rc);
}

static int log_append_durable(void *store, const struct line *line)
{
    struct log *me = store;
    return checked(svl_publish_sync(me->pipeline, &line->record, -1, NULL));
}

/* Called with some records; adds up what it looks for. */
typedef void look_fn(const svl_record *records, size_t n, void *user);

static int64_t look_at_all(svl_store *store, const svl_query *query, look_fn *look, void *user)
{
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    int64_t count = 0;
    int rc = svl_store_query(store, query, &cursor);
    if (rc != SVL_OK)
        return checked(rc);
    while ((rc = svl_cursor_next_many(cursor, 0, MANY, &records, &n)) == SVL_OK) {
        look(records, n, user);
        count += (int64_t)n;
    }
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? count : checked(rc);
}

static void read_bodies(const svl_record *records, size_t n, void *user)
{
    uint64_t *bytes = user;
    for (size_t i = 0; i < n; i++)
        *bytes += bench_sum(records[i].body.data, records[i].body.len) ? records[i].body.len : 0;
}

static int64_t log_scan(void *store, uint64_t *bytes)
{
    return look_at_all(((struct log *)store)->store, NULL, read_bodies, bytes);
}

static void read_times(const svl_record *records, size_t n, void *user)
{
    for (size_t i = 0; i < n; i++)
        *(int64_t *)user += records[i].time_ns;
}

static int64_t log_count_errors(void *store)
{
    svl_query query;
    int64_t times = 0;
    svl_query_init(&query, sizeof query);
    query.severity_min = SVL_SEVERITY_ERROR;
    return look_at_all(((struct log *)store)->store, &query, read_times, &times);
}

static int64_t log_count_key(void *store, svl_slice key)
{
    svl_query query;
    uint64_t bytes = 0;
    svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = key;
    return look_at_all(((struct log *)store)->store, &query, read_bodies, &bytes);
}

static int64_t log_first_since(void *store, int64_t time_ns)
{
    svl_query query;
    int64_t times = 0;
    svl_query_init(&query, sizeof query);
    query.time_min_ns = time_ns;
    query.limit = 1;
    int64_t count = look_at_all(((struct log *)store)->store, &query, read_times, &times);
    return count == 1 ? times : count;
}

struct newest {
    uint64_t bytes;
    int64_t time_ns;
};

static void read_newest(const svl_record *records, size_t n, void *user)
{
    struct newest *newest = user;
    read_bodies(records, n, &newest->bytes);
    newest->time_ns = records[n - 1].time_ns;
}

static int64_t log_newest_of_key(void *store, svl_slice key, unsigned n)
{
    svl_query query;
    struct newest newest = { 0 };
    svl_query_init(&query, sizeof query);
    query.flags = SVL_QUERY_BACKWARD;
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = key;
    query.limit = n;
    int64_t count = look_at_all(((struct log *)store)->store, &query, read_newest, &newest);
    return count > 0 ? newest.time_ns : count;
}

struct search {
    const char *word;
    size_t len;
    int64_t count;
};

static void search_bodies(const svl_record *records, size_t n, void *user)
{
    struct search *search = user;
    for (size_t i = 0; i < n; i++)
        search->count +=
            memmem(records[i].body.data, records[i].body.len, search->word, search->len) != NULL;
}

static int64_t log_count_word(void *store, const char *word)
{
    struct search search = { .word = word, .len = strlen(word) };
    int64_t rc = look_at_all(((struct log *)store)->store, NULL, search_bodies, &search);
    return rc < 0 ? rc : search.count;
}

static int log_close(void *store)
{
    struct log *me = store;
    int rc = me->pipeline ? svl_close(me->pipeline) : svl_store_close(me->store);
    free(me);
    return checked(rc);
}

/* --- the way into it, as a queue whose consumer is the store --- */

static void *ring_open(const struct queue_wish *wish)
{
    struct store_wish bulk = { .purpose = PURPOSE_BULK };
    return log_open(wish->path, &bulk);
}

static int ring_send(void *queue, unsigned producer, const void *message, unsigned bytes,
                     uint64_t n)
{
    struct log *me = queue;
    svl_record record = { .time_ns = 1, .body = { message, bytes } };
    int rc = SVL_OK;
    (void)producer;
    for (uint64_t i = 0; rc == SVL_OK && i < n; i++)
        rc = svl_publish(me->pipeline, &record);
    return checked(rc);
}

static int ring_drain(void *queue)
{
    return checked(svl_flush(((struct log *)queue)->pipeline, -1));
}

static void ring_close(void *queue)
{
    log_close(queue);
}

static const struct queue_ops ring_ops = { .is_by_value = true,
                                           .open = ring_open,
                                           .send = ring_send,
                                           .drain = ring_drain,
                                           .close = ring_close };
static const struct store_ops ops = { .open = log_open,
                                      .append = log_append,
                                      .finish = log_finish,
                                      .append_durable = log_append_durable,
                                      .scan = log_scan,
                                      .count_errors = log_count_errors,
                                      .count_key = log_count_key,
                                      .newest_of_key = log_newest_of_key,
                                      .first_since = log_first_since,
                                      .count_word = log_count_word,
                                      .close = log_close,
                                      .indexes = INDEX_KEY | INDEX_TIME,
                                      .disk_factor = 0.6 };

const struct peer peer_log = { .name = "serverlog",
                               .title = "serverlog",
                               .is_ours = true,
                               .version = svl_version,
                               .queue = &ring_ops,
                               .store = &ops };
