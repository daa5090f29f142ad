/* A pipeline without threads of its own, used by several of the host's: one pumps, the others publish, append,
 * poll; a second one that would pump is told so. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/support.h"

#define PUBLISHERS 4
#define EACH 5000

static char path[512];
static svl_pipeline *pipeline;

static int open_pipeline(void **state)
{
    (void)state;
    svl_options options;
    svl_store_options store;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    snprintf(path, sizeof path, "%s", temp_path());
    store.record_bytes_max = 4096;
    store.sync_interval_ms = 1;
    store.commit_bytes = 64 << 10;
    store.block_bytes = 16 << 10;
    options.store = &store;
    options.flags = SVL_THREADLESS;
    options.ring_bytes = 64 << 10;
    assert_ok(svl_open(path, &options, &pipeline));
    return 0;
}

static void *publish_many(void *argument)
{
    const char *source = argument;
    for (uint64_t i = 1; i <= EACH; i++) {
        svl_record record = { .source = slice_of(source), .body = { &i, sizeof i } };
        int rc;
        while ((rc = svl_publish(pipeline, &record)) == SVL_E_FULL)
            sched_yield();
        assert_ok(rc);
    }
    return NULL;
}

static void *append_some(void *argument)
{
    (void)argument;
    svl_record record = { .source = slice_of("append") };
    for (int i = 0; i < 50; i++)
        assert_ok(svl_store_append(svl_pipeline_store(pipeline), &record, 1, NULL));
    return NULL;
}

static int count_all(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    *(uint64_t *)user += n;
    return SVL_OK;
}

/* Each record of `source` once, in order. */
static void check_source(const char *source)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK) {
        uint64_t number;
        memcpy(&number, record->body.data, sizeof number);
        assert_true(number == ++n);
    }
    svl_cursor_close(cursor);
    assert_int_equal(n, EACH);
}

static void run_publishers(bool by_descriptor)
{
    static char sources[PUBLISHERS][8];
    pthread_t threads[PUBLISHERS + 1];
    uint64_t seen = 0;
    const uint64_t all = PUBLISHERS * EACH + 50;
    int fd = -1;
    assert_ok(svl_on_stored(pipeline, NULL, count_all, &seen, NULL));
    if (by_descriptor)
        assert_ok(svl_pump_fd(pipeline, &fd));
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < PUBLISHERS; i++) {
        snprintf(sources[i], sizeof sources[i], "p%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, publish_many, sources[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[PUBLISHERS], NULL, append_some, NULL), 0);
    while (seen < all) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (by_descriptor)
            assert_int_equal(poll(&p, 1, 30000), 1); /* no wake is lost */
        int rc = svl_pump(pipeline, 0, by_descriptor ? 0 : -1, NULL);
        assert_true(rc == SVL_OK || (by_descriptor && rc == SVL_E_TIMEOUT));
    }
    for (int i = 0; i <= PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PUBLISHERS; i++)
        check_source(sources[i]);
    assert_int_equal(seen, all);
    assert_ok(svl_close(pipeline));
}

static void test_publish_when_other_threads_do_then_the_pumping_one_is_woken(void **state)
{
    (void)state;
    run_publishers(false);
}

static void test_publish_when_other_threads_do_then_the_descriptor_tells(void **state)
{
    (void)state;
    run_publishers(true);
}

static void *pump_until_woken(void *argument)
{
    int rc;
    do /* busy: the other one has just asked for the deadline */
        rc = svl_pump(pipeline, 0, -1, NULL);
    while (rc == SVL_OK || rc == SVL_E_BUSY);
    atomic_store((_Atomic int *)argument, rc);
    return NULL;
}

static void test_second_pumper_when_one_waits_then_busy(void **state)
{
    (void)state;
    _Atomic int woken = 0;
    pthread_t thread;
    svl_record record = { .body = slice_of("text") };
    int64_t deadline_ns;
    uint64_t id = 7;
    assert_ok(svl_start(pipeline));
    assert_int_equal(pthread_create(&thread, NULL, pump_until_woken, (void *)&woken), 0);
    while (svl_next_deadline_ns(pipeline, &deadline_ns) != SVL_E_BUSY)
        sched_yield();
    assert_int_equal(svl_pump(pipeline, 0, 0, NULL), SVL_E_BUSY);
    assert_int_equal(svl_flush(pipeline, -1), SVL_E_BUSY);
    assert_int_equal(svl_publish_sync(pipeline, &record, -1, &id), SVL_E_BUSY);
    assert_true(id == 0);
    assert_int_equal(svl_stop(pipeline, -1), SVL_E_BUSY);
    assert_int_equal(svl_close(pipeline), SVL_E_BUSY);
    assert_ok(svl_publish(pipeline, &record)); /* not stopped by what was refused */
    svl_store_stats stats = { .struct_size = sizeof stats };
    while (stats.records < 1)
        assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    assert_int_equal(atomic_load(&woken), 0);
    assert_ok(svl_wake(pipeline));
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&woken), SVL_E_AGAIN);
    assert_int_equal(stats.records, 1); /* svl_publish_sync() has published nothing */
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_close(pipeline));
}

static void *poll_one(void *consumer)
{
    svl_batch *batch;
    assert_ok(svl_consumer_poll(consumer, -1, &batch));
    assert_ok(svl_batch_ack(batch));
    return NULL;
}

static void *follow_one(void *cursor)
{
    const svl_record *record;
    assert_ok(svl_cursor_next(cursor, -1, &record));
    return NULL;
}

static void test_waiters_when_another_thread_pumps_then_served(void **state)
{
    (void)state;
    svl_stored_options on;
    svl_consumer *consumer;
    svl_query query;
    svl_cursor *cursor;
    pthread_t polls, follows;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    assert_ok(svl_query_init(&query, sizeof query));
    on.name = "pull";
    query.flags = SVL_QUERY_FOLLOW;
    assert_ok(svl_consumer_open(pipeline, &on, &consumer));
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    assert_ok(svl_start(pipeline));
    assert_int_equal(pthread_create(&polls, NULL, poll_one, consumer), 0);
    assert_int_equal(pthread_create(&follows, NULL, follow_one, cursor), 0);
    assert_ok(svl_publish_text(pipeline, 0, "s", "text"));
    svl_subscription_info info = { .struct_size = sizeof info };
    while (info.position < 1) {
        svl_pump(pipeline, 0, 1, NULL);
        assert_ok(svl_subscription_info_get(svl_consumer_subscription(consumer), &info));
    }
    pthread_join(polls, NULL);
    pthread_join(follows, NULL);
    svl_cursor_close(cursor);
    assert_ok(svl_consumer_close(consumer));
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_publish_when_other_threads_do_then_the_pumping_one_is_woken,
                               open_pipeline),
        cmocka_unit_test_setup(test_publish_when_other_threads_do_then_the_descriptor_tells,
                               open_pipeline),
        cmocka_unit_test_setup(test_second_pumper_when_one_waits_then_busy, open_pipeline),
        cmocka_unit_test_setup(test_waiters_when_another_thread_pumps_then_served, open_pipeline),
    };
    return cmocka_run_group_tests_name("pipeline/threadless_threads", tests, NULL, NULL);
}
