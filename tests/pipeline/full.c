/* A full ring: each policy does what it says, and drops leave a record where they were missing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/slots.h"
#include "support/support.h"

static char path[512];
static _Atomic bool held;
static svl_pipeline *pipeline;

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static void short_sleep(void)
{
    struct timespec t = { 0, 1000000 };
    nanosleep(&t, NULL);
}

/* An ingest handler that keeps the pipeline's thread while `held`. */
static int hold(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    while (atomic_load(&held))
        short_sleep();
    return SVL_OK;
}

static void open_ring(uint32_t policy, uint64_t ring_bytes)
{
    svl_store_options store;
    svl_options options;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.record_bytes_max = 4096;
    options.store = &store;
    options.ring_bytes = ring_bytes;
    options.full_policy = policy;
    options.block_timeout_ms = 20;
    assert_ok(svl_open(path, &options, &pipeline));
    assert_ok(svl_on_ingest(pipeline, NULL, hold, NULL));
    assert_ok(svl_start(pipeline));
}

static void open_with(uint32_t policy)
{
    open_ring(policy, 64 << 10);
}

static int publish_one(void)
{
    static char body[1000];
    svl_record record = { .source = slice_of("s"), .body = { body, sizeof body } };
    return svl_publish(pipeline, &record);
}

static unsigned publish_until_full(void)
{
    unsigned n = 0;
    while (publish_one() == SVL_OK)
        n++;
    return n;
}

static svl_pipeline_stats stats_now(void)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(pipeline, &stats));
    return stats;
}

static uint64_t stored(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    return stats.records;
}

static void test_ring_when_full_and_fail_then_refused_and_counted(void **state)
{
    (void)state;
    atomic_store(&held, true);
    open_with(SVL_FULL_FAIL);
    unsigned n = publish_until_full();
    assert_true(n > 30 && n < 66);
    assert_int_equal(publish_one(), SVL_E_FULL);
    assert_true(stats_now().refused_full == 2);
    atomic_store(&held, false);
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(publish_one());
    assert_ok(svl_flush(pipeline, -1));
    assert_true(stored() == n + 1);
    assert_ok(svl_close(pipeline));
}

static void test_ring_when_full_and_block_then_waits_and_times_out(void **state)
{
    (void)state;
    atomic_store(&held, true);
    open_with(SVL_FULL_BLOCK);
    unsigned n = publish_until_full(); /* the last one waited its time */
    assert_int_equal(publish_one(), SVL_E_FULL);
    svl_record record = { .source = slice_of("s"), .body = { (char[1000]){ 0 }, 1000 } };
    assert_int_equal(svl_publish_sync(pipeline, &record, 1, NULL), SVL_E_FULL);
    atomic_store(&held, false);
    for (int i = 0; i < 500; i++) { /* waits for space again and again, and gets it */
        int rc;
        while ((rc = publish_one()) == SVL_E_FULL)
            ; /* a busy machine, and its time was over */
        assert_ok(rc);
    }
    assert_ok(svl_flush(pipeline, -1));
    assert_true(stored() == n + 500);
    assert_ok(svl_close(pipeline));
}

struct gaps {
    uint64_t dropped, records, last_id;
};

static struct gaps gaps_told(void)
{
    struct gaps gaps = { 0 };
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("serverlog.gap");
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK) {
        assert_int_equal(record->attribute_count, 1);
        gaps.dropped += (uint64_t)record->attributes[0].i64;
        gaps.last_id = record->id;
        gaps.records++;
    }
    svl_cursor_close(cursor);
    return gaps;
}

static void test_ring_when_full_and_drop_then_a_gap_record_says_how_many(void **state)
{
    (void)state;
    atomic_store(&held, true);
    open_with(SVL_FULL_DROP_NEW);
    while (stats_now().dropped_full == 0)
        assert_ok(publish_one());
    for (int i = 0; i < 41; i++)
        assert_ok(publish_one());
    assert_true(stats_now().dropped_full == 42);
    atomic_store(&held, false);
    while (gaps_told().dropped <
           42) /* drops of a round are told with the next, behind what is there then */
        assert_ok(svl_flush(pipeline, -1));
    struct gaps gaps = gaps_told();
    assert_true(gaps.dropped == 42);
    assert_ok(publish_one());
    assert_ok(svl_flush(pipeline, -1));
    assert_true(gaps_told().dropped == 42);
    assert_int_equal(stats_now().gap_records, gaps.records);
    assert_true(gaps.last_id > 1 &&
                gaps.last_id < stored()); /* between those before and those after */
    assert_ok(svl_close(pipeline));
}

static void test_slots_when_all_are_taken_then_full_until_their_records_are_durable(void **state)
{
    (void)state;
    svl_record record = { .source = slice_of("s") };
    open_ring(SVL_FULL_FAIL, 1 << 20);
    for (int round = 0; round < 2; round++) {
        uint64_t refused = stats_now().refused_full, before = stored();
        int rc;
        atomic_store(&held, true);
        for (int i = 0; i < SLOTS; i++) /* who does not wait leaves the slot to its record */
            assert_int_equal(svl_publish_sync(pipeline, &record, 0, NULL), SVL_E_TIMEOUT);
        assert_int_equal(svl_publish_sync(pipeline, &record, -1, NULL), SVL_E_FULL);
        assert_true(stats_now().refused_full == refused + 1);
        assert_ok(svl_publish(pipeline, &record)); /* it is not the ring that is full */
        atomic_store(&held, false);
        assert_ok(svl_flush(pipeline, -1));
        assert_true(stored() == before + SLOTS + 1); /* what was refused was not published */
        while ((rc = svl_publish_sync(pipeline, &record, -1, NULL)) == SVL_E_FULL)
            short_sleep(); /* the slots are told a moment after who flushes */
        assert_ok(rc);
    }
    assert_ok(svl_close(pipeline));
}

static void *publish_and_wait(void *unused)
{
    (void)unused;
    int rc;
    do
        rc = publish_one();
    while (rc == SVL_OK || rc == SVL_E_FULL);
    return (void *)(intptr_t)rc;
}

static void test_publishers_when_blocked_then_stop_wakes_them(void **state)
{
    (void)state;
    atomic_store(&held, true);
    open_with(SVL_FULL_BLOCK);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_and_wait, NULL), 0);
    for (int i = 0; i < 10; i++)
        short_sleep();
    assert_int_equal(svl_stop(pipeline, 1), SVL_E_TIMEOUT);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_int_equal((int)(intptr_t)result, SVL_E_CLOSED);
    }
    atomic_store(&held, false);
    assert_ok(svl_stop(pipeline, -1));
    assert_ok(svl_close(pipeline));
}

static int take(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

static int released;

static void count_released(void *user)
{
    (void)user;
    released++;
}

static void test_pipeline_when_forked_then_the_child_is_told(void **state)
{
    (void)state;
    atomic_store(&held, false);
    open_with(SVL_FULL_FAIL);
    svl_stored_options on;
    svl_subscription *s, *other;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "forked";
    assert_ok(svl_on_stored(pipeline, &on, take, NULL, &s));
    assert_ok(publish_one());
    pid_t child = fork();
    if (child == 0) {
        svl_record record = { .source = slice_of("s") };
        svl_subscription_info info = { .struct_size = sizeof info };
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        bool ok = svl_publish(pipeline, &record) == SVL_E_FORKED &&
                  svl_publish_sync(pipeline, &record, 0, NULL) == SVL_E_FORKED &&
                  svl_publish_text(pipeline, 0, "s", "t") == SVL_E_FORKED &&
                  svl_flush(pipeline, 0) == SVL_E_FORKED && svl_stop(pipeline, 0) == SVL_E_FORKED &&
                  svl_start(pipeline) == SVL_E_FORKED &&
                  svl_on_ingest(pipeline, NULL, hold, NULL) == SVL_E_FORKED &&
                  svl_on_stored(pipeline, NULL, take, NULL, &other) == SVL_E_FORKED && !other &&
                  svl_subscription_pause(s) == SVL_E_FORKED &&
                  svl_subscription_resume(s) == SVL_E_FORKED &&
                  svl_subscription_info_get(s, &info) == SVL_E_FORKED &&
                  svl_unsubscribe(s, count_released) == SVL_E_FORKED && released == 0 &&
                  svl_publish_many(pipeline, &record, 1, NULL) == SVL_E_FORKED &&
                  svl_wake(pipeline) == SVL_E_FORKED &&
                  svl_pipeline_stats_get(pipeline, &stats) == SVL_E_FORKED &&
                  svl_close(pipeline) == SVL_E_FORKED;
        _exit(ok ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(publish_one());
    assert_ok(svl_flush(pipeline, -1));
    assert_true(stored() == 2);
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(s, &info));
    assert_false(info.paused);
    assert_ok(svl_unsubscribe(s, count_released));
    assert_int_equal(released, 1);
    assert_ok(svl_close(pipeline));
}

static void test_option_when_out_of_range_then_refused(void **state)
{
    (void)state;
    svl_options o;
    svl_pipeline *p;
#define REFUSED(member, value)                                                                     \
    assert_ok(svl_options_init(&o, sizeof o));                                                     \
    o.member = (value);                                                                            \
    p = (svl_pipeline *)1;                                                                         \
    assert_int_equal(svl_open(path, &o, &p), SVL_E_OPTION);                                        \
    assert_null(p);                                                                                \
    assert_non_null(strstr(svl_last_error(), #member))
    REFUSED(flags, 2);
    REFUSED(full_policy, 3);
    REFUSED(ring_bytes, 65535);
    REFUSED(ring_bytes, 3 << 20);
    REFUSED(ring_bytes, UINT64_C(2) << 30);
    REFUSED(ring_directory, "relative");
    REFUSED(block_timeout_ms, 3600001);
    REFUSED(ingest_emit_max, 100001);
    REFUSED(close_timeout_ms, 3600001);
    REFUSED(workers_max, 257);
    REFUSED(worker_idle_ms, 9);
    REFUSED(worker_idle_ms, 3600001);
#undef REFUSED
    assert_ok(svl_options_init(&o, sizeof o));
    o.ring_bytes = 64 << 10; /* less than 8 records of the default size */
    assert_int_equal(svl_open(path, &o, &p), SVL_E_OPTION);
    o.struct_size = 3;
    assert_int_equal(svl_open(path, &o, &p), SVL_E_STRUCT_SIZE);
    assert_int_equal(svl_open(NULL, NULL, &p), SVL_E_INVALID);
    assert_int_equal(svl_open(path, NULL, NULL), SVL_E_INVALID);
}

int main(void)
{
#define FULL_TEST(f) cmocka_unit_test_setup(f, new_path)
    const struct CMUnitTest tests[] = {
        FULL_TEST(test_ring_when_full_and_fail_then_refused_and_counted),
        FULL_TEST(test_ring_when_full_and_block_then_waits_and_times_out),
        FULL_TEST(test_ring_when_full_and_drop_then_a_gap_record_says_how_many),
        FULL_TEST(test_slots_when_all_are_taken_then_full_until_their_records_are_durable),
        FULL_TEST(test_publishers_when_blocked_then_stop_wakes_them),
        FULL_TEST(test_pipeline_when_forked_then_the_child_is_told),
        FULL_TEST(test_option_when_out_of_range_then_refused),
    };
    return cmocka_run_group_tests_name("pipeline/full", tests, NULL, NULL);
}
