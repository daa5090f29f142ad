/* Cursors that follow: every record that matches, once, in order, as it becomes durable; and every way in
 * which a wait ends. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];
static svl_store *store;

static int start(void **state)
{
    (void)state;
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 8 << 20;
    o.block_bytes = 4096;
    o.commit_bytes = 65536;
    o.retain_records_max = 10000;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (store)
        assert_ok(svl_store_close(store));
    store = NULL;
    return 0;
}

/* Appends `n` records, the i-th of severity i % 20 and with its number as the key. */
static void append(uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++) {
        char key[32];
        snprintf(key, sizeof key, "%llu", (unsigned long long)i);
        svl_record record = { .severity = (uint32_t)(i % 20),
                              .key = slice_of(key),
                              .source = slice_of(i % 3 ? "often" : "seldom") };
        assert_ok(svl_store_append(store, &record, 1, NULL));
    }
}

static svl_cursor *follow(uint32_t flags, uint64_t tail)
{
    svl_query query;
    svl_cursor *cursor;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW | flags;
    query.tail = tail;
    assert_ok(svl_store_query(store, &query, &cursor));
    return cursor;
}

static void expect_ids(svl_cursor *cursor, uint64_t first, uint64_t last)
{
    const svl_record *record;
    for (uint64_t id = first; id <= last; id++) {
        assert_ok(svl_cursor_next(cursor, 5000, &record));
        assert_true(record->id == id);
    }
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_TIMEOUT);
    assert_null(record);
}

static void test_follower_when_records_come_then_each_once_in_order(void **state)
{
    (void)state;
    append(1, 30);
    svl_cursor *cursor = follow(0, 0);
    expect_ids(cursor, 1, 30);
    append(31, 1);
    expect_ids(cursor, 31, 31);
    append(32, 500);
    assert_ok(svl_store_commit(store, -1)); /* from the segment what was in memory */
    append(532, 10);
    expect_ids(cursor, 32, 541);
    svl_cursor_close(cursor);
}

static void test_follower_when_it_starts_at_the_tail_then_the_last_that_match(void **state)
{
    (void)state;
    append(1, 100);
    assert_ok(svl_store_commit(store, -1));
    append(101, 20);
    static const struct {
        uint64_t tail, first;
    } cases[] = { { 0, 121 }, { 1, 120 }, { 10, 111 }, { 50, 71 }, { 120, 1 }, { 5000, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_cursor *cursor = follow(SVL_QUERY_TAIL, cases[i].tail);
        expect_ids(cursor, cases[i].first, 120);
        svl_cursor_close(cursor);
    }
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_TAIL; /* and no more than that */
    query.tail = 2;
    query.source = slice_of("seldom");
    query.severity_min = 5;
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_true(record->id == 114);
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_true(record->id == 117);
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_END);
    svl_cursor_close(cursor);
}

static void test_follower_when_id_max_or_limit_is_reached_then_end(void **state)
{
    (void)state;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    append(1, 3);
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW;
    query.id_min = 3;
    query.id_max = 5;
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_TIMEOUT);
    append(4, 10);
    for (uint64_t id = 4; id <= 5; id++) {
        assert_ok(svl_cursor_next(cursor, 0, &record));
        assert_true(record->id == id);
    }
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_END);
    svl_cursor_close(cursor);
    query.id_min = 100; /* above what is there */
    query.id_max = 0;
    query.limit = 2;
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_int_equal(svl_cursor_next(cursor, 1, &record), SVL_E_TIMEOUT);
    append(14, 100);
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_true(record->id == 100);
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_END);
    svl_cursor_close(cursor);
}

static void test_query_when_flags_contradict_then_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        uint64_t tail;
    } cases[] = { { SVL_QUERY_BACKWARD | SVL_QUERY_FOLLOW, 0 },
                  { SVL_QUERY_BACKWARD | SVL_QUERY_TAIL, 1 },
                  { SVL_QUERY_FOLLOW, 1 },
                  { 0, 1 },
                  { 8, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_query query;
        svl_cursor *cursor;
        assert_ok(svl_query_init(&query, sizeof query));
        query.flags = cases[i].flags;
        query.tail = cases[i].tail;
        assert_int_equal(svl_store_query(store, &query, &cursor), SVL_E_INVALID);
        assert_null(cursor);
    }
}

struct waiter {
    svl_cursor *cursor;
    _Atomic int outcome; /* 1 while it waits */
};

static void *wait_for_one(void *argument)
{
    struct waiter *w = argument;
    const svl_record *record;
    atomic_store(&w->outcome, svl_cursor_next(w->cursor, -1, &record));
    return NULL;
}

static pthread_t start_waiter(struct waiter *w, svl_cursor *cursor)
{
    pthread_t thread;
    w->cursor = cursor;
    atomic_store(&w->outcome, 1);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_one, w), 0);
    nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    return thread;
}

static void test_wait_when_woken_then_again_and_none_is_missed(void **state)
{
    (void)state;
    struct waiter w;
    const svl_record *record;
    svl_cursor *cursor = follow(0, 0);
    pthread_t thread = start_waiter(&w, cursor);
    assert_int_equal(atomic_load(&w.outcome), 1);
    assert_ok(svl_store_wake(store));
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&w.outcome), SVL_E_AGAIN);
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_TIMEOUT);
    assert_ok(svl_store_wake(store)); /* nobody waits: the next wait ends */
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_AGAIN);
    append(1, 1);
    assert_ok(svl_cursor_next(cursor, -1, &record));
    svl_cursor_close(cursor);
}

static void test_wait_when_the_store_closes_then_closed_after_the_last_record(void **state)
{
    (void)state;
    struct waiter w;
    const svl_record *record;
    svl_cursor *waiting = follow(0, 0), *behind = follow(0, 0);
    pthread_t thread = start_waiter(&w, waiting);
    assert_ok(svl_store_close(store));
    store = NULL;
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&w.outcome), SVL_E_CLOSED);
    assert_int_equal(svl_cursor_next(behind, -1, &record), SVL_E_CLOSED);
    svl_cursor_close(waiting);
    svl_cursor_close(behind);
}

static void test_pipeline_when_stopped_then_followers_see_all_and_end(void **state)
{
    (void)state;
    svl_pipeline *p;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_open(temp_path(), NULL, &p));
    assert_ok(svl_start(p));
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW;
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    assert_ok(svl_wake(p));
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_AGAIN);
    for (int i = 0; i < 50; i++)
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "s", "text"));
    assert_ok(svl_stop(p, -1));
    for (int i = 0; i < 50; i++)
        assert_ok(svl_cursor_next(cursor, -1, &record));
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_CLOSED);
    assert_ok(svl_close(p));
    svl_cursor_close(cursor);
}

static void test_gap_when_retention_overtakes_a_follower_then_told(void **state)
{
    (void)state;
    enum { BODY = 200000 };
    static char body[BODY];
    uint64_t first, last, retired = 0;
    const svl_record *record;
    struct rng rng = { test_seed() };
    append(1, 10);
    svl_cursor *cursor = follow(0, 0);
    expect_ids(cursor, 1, 10);
    assert_ok(svl_cursor_gap(cursor, &first, &last));
    assert_true(first == 0 && last == 0);
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)rng_below(&rng, 256); /* a few segments of what does not compress */
    for (int i = 0; i < 120; i++) {
        svl_record large = { .body = { body, BODY } };
        assert_ok(svl_store_append(store, &large, 1, NULL));
    }
    append(1000, 10000); /* and as many as retention keeps */
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_store_retain(store, &retired));
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.first_id > 11);
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_true(record->id == stats.first_id);
    assert_ok(svl_cursor_gap(cursor, &first, &last));
    assert_true(first == 11);
    assert_true(last == stats.first_id - 1);
    assert_ok(svl_cursor_gap(cursor, &first, &last));
    assert_true(first == 0 && last == 0);
    svl_cursor_close(cursor);
}

static _Atomic bool stop_appending;

static void *append_for_a_while(void *unused)
{
    (void)unused;
    svl_record records[7];
    for (uint64_t i = 1; !atomic_load(&stop_appending); i++) {
        for (size_t k = 0; k < 7; k++)
            records[k] =
                (svl_record){ .source = slice_of(k % 2 ? "a" : "b"), .key = slice_of("key") };
        assert_ok(svl_store_append(store, records, 1 + i % 7, NULL));
        if (i % 50 == 0)
            svl_store_commit(store, 0); /* asked for, not waited for */
    }
    return NULL;
}

struct reader {
    const char *source;
    svl_cursor *cursor;
    uint64_t last_id, seen;
};

/* Follows all records of a source, or all; those of "a" and "b" by themselves are every second of a batch. */
static void *follow_to_the_end(void *argument)
{
    struct reader *r = argument;
    const svl_record *records;
    size_t n;
    int rc;
    while ((rc = svl_cursor_next_many(r->cursor, 20, 100, &records, &n)) == SVL_OK ||
           rc == SVL_E_TIMEOUT) {
        for (size_t i = 0; i < n; i++) {
            assert_true(records[i].id > r->last_id);
            assert_true(r->source || records[i].id == r->last_id + 1);
            r->last_id = records[i].id;
        }
        r->seen += n;
    }
    assert_int_equal(rc, SVL_E_CLOSED);
    svl_cursor_close(r->cursor);
    return NULL;
}

static void test_followers_when_many_beside_a_writer_then_none_misses_a_record(void **state)
{
    (void)state;
    pthread_t writer, threads[3];
    struct reader readers[3] = { { 0 }, { .source = "a" }, { .source = "b" } };
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW;
    atomic_store(&stop_appending, false);
    for (size_t i = 0; i < 3; i++) {
        query.source = slice_of(readers[i].source ? readers[i].source : "");
        assert_ok(svl_store_query(store, &query, &readers[i].cursor));
        assert_int_equal(pthread_create(&threads[i], NULL, follow_to_the_end, &readers[i]), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, append_for_a_while, NULL), 0);
    nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
    atomic_store(&stop_appending, true);
    pthread_join(writer, NULL);
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_ok(svl_store_close(store));
    store = NULL;
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_true(readers[0].seen == stats.last_id);
    assert_true(readers[1].seen + readers[2].seen == stats.last_id);
}

static int next_in_handler(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_cursor *cursor = *(svl_cursor **)user;
    const svl_record *found;
    (void)ingest;
    /* Not waiting is allowed, waiting is not. */
    record->severity = svl_cursor_next(cursor, 0, &found) == SVL_E_TIMEOUT &&
                               svl_cursor_next(cursor, 1, &found) == SVL_E_DEADLOCK
                           ? SVL_SEVERITY_INFO
                           : SVL_SEVERITY_ERROR;
    return SVL_OK;
}

static void test_wait_when_in_an_ingest_handler_then_deadlock(void **state)
{
    (void)state;
    svl_pipeline *p;
    svl_cursor *cursor;
    svl_query query;
    const svl_record *record;
    assert_ok(svl_open(temp_path(), NULL, &p));
    assert_ok(svl_on_ingest(p, NULL, next_in_handler, &cursor));
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW;
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    assert_ok(svl_start(p));
    assert_ok(svl_publish_text(p, 0, "s", "text"));
    assert_ok(svl_flush(p, -1));
    assert_ok(svl_cursor_next(cursor, -1, &record));
    assert_int_equal(record->severity, SVL_SEVERITY_INFO);
    svl_cursor_close(cursor);
    assert_ok(svl_close(p));
}

static void test_follower_when_in_a_forked_child_then_refused(void **state)
{
    (void)state;
    svl_cursor *cursor = follow(0, 0);
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const svl_record *record;
        uint64_t first, last;
        _exit(svl_cursor_next(cursor, -1, &record) != SVL_E_FORKED ||
              svl_cursor_gap(cursor, &first, &last) != SVL_E_FORKED ||
              svl_store_wake(store) != SVL_E_FORKED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    svl_cursor_close(cursor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follower_when_records_come_then_each_once_in_order,
                                        start, end),
        cmocka_unit_test_setup_teardown(
            test_follower_when_it_starts_at_the_tail_then_the_last_that_match, start, end),
        cmocka_unit_test_setup_teardown(test_follower_when_id_max_or_limit_is_reached_then_end,
                                        start, end),
        cmocka_unit_test_setup_teardown(test_query_when_flags_contradict_then_refused, start, end),
        cmocka_unit_test_setup_teardown(test_wait_when_woken_then_again_and_none_is_missed, start,
                                        end),
        cmocka_unit_test_setup_teardown(
            test_wait_when_the_store_closes_then_closed_after_the_last_record, start, end),
        cmocka_unit_test(test_pipeline_when_stopped_then_followers_see_all_and_end),
        cmocka_unit_test_setup_teardown(test_gap_when_retention_overtakes_a_follower_then_told,
                                        start, end),
        cmocka_unit_test_setup_teardown(
            test_followers_when_many_beside_a_writer_then_none_misses_a_record, start, end),
        cmocka_unit_test(test_wait_when_in_an_ingest_handler_then_deadlock),
        cmocka_unit_test_setup_teardown(test_follower_when_in_a_forked_child_then_refused, start,
                                        end),
    };
    int failed = cmocka_run_group_tests_name("store/follow", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
