/* Rejections, acknowledgements and dead letters delivered again with allocations that fail: an error and
 * another try, nothing leaked, and in the end each record is done once. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/support.h"

#define RECORDS 8

static char path[512];
static svl_pipeline *pipeline;
static uint64_t published;

static int open_pipeline(svl_consumer **c)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options on;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    store.record_bytes_max = 4096;
    store.block_bytes = 4096;
    store.journal_file_bytes_max = 256 << 10;
    store.segment_bytes = 8 << 20;
    store.sync_interval_ms = 1;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.close_timeout_ms = 1000;
    on.name = "work";
    on.filter.source = "in";
    on.start_at = SVL_START_EARLIEST;
    on.retry_base_ms = on.retry_max_ms = 1;
    on.batch_records_max = 3;
    *c = NULL;
    int rc = svl_open(path, &options, &pipeline);
    if (rc == SVL_OK)
        rc = svl_consumer_open(pipeline, &on, c);
    return rc;
}

/* Emits for each record; rejects what comes for the first time. */
static int settle(svl_batch *batch, bool rejects)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++) {
        svl_record reply = { .source = slice_of("echo"), .key = records[i].key };
        int rc = svl_batch_emit(batch, i, &reply);
        if (rc == SVL_OK && rejects && !(svl_batch_flags(batch) & SVL_BATCH_REDRIVEN))
            rc = svl_batch_reject(batch, i, "later");
        if (rc != SVL_OK) {
            assert_int_equal(rc, SVL_E_NOMEM);
            return svl_batch_nack(batch, SVL_FAIL, NULL);
        }
    }
    return svl_batch_ack(batch);
}

/* While memory is gone, the same batch comes again and again. */
static int work_off(svl_consumer *c, bool rejects, int64_t timeout_ms)
{
    svl_batch *batch;
    int rc;
    for (int shortages = 0; (rc = svl_consumer_poll(c, timeout_ms, &batch)) == SVL_OK;) {
        int settled = settle(batch, rejects);
        shortages = settled == SVL_E_NOMEM ? shortages + 1 : 0;
        if (settled != SVL_OK && (settled != SVL_E_NOMEM || shortages == 5))
            return settled;
    }
    return rc == SVL_E_TIMEOUT ? SVL_OK : rc;
}

static int script(void)
{
    svl_consumer *c;
    pipeline = NULL;
    int rc = open_pipeline(&c);
    if (rc == SVL_OK)
        rc = svl_start(pipeline);
    for (int i = 0; rc == SVL_OK && i < RECORDS; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i);
        svl_record record = { .source = slice_of("in"), .key = slice_of(key) };
        rc = svl_publish(pipeline, &record);
        published += rc == SVL_OK;
    }
    if (rc == SVL_OK)
        rc = svl_flush(pipeline, 1000);
    if (rc == SVL_OK)
        rc = work_off(c, true, 10);
    if (rc == SVL_OK)
        rc = svl_flush(pipeline, 1000);
    if (rc == SVL_OK)
        rc = svl_deadletter_redrive(pipeline, "work", 0, 0);
    if (rc == SVL_OK)
        rc = work_off(c, true, 10);
    int closed = svl_close(pipeline);
    assert_ok(svl_consumer_close(c));
    return rc == SVL_OK ? closed : rc;
}

static uint64_t count(const char *source)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(svl_pipeline_store(pipeline), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

/* With memory, everything that was published can be done: once. */
static void assert_all_done_once(void)
{
    svl_consumer *c;
    uint64_t left;
    assert_ok(open_pipeline(&c));
    assert_ok(svl_start(pipeline));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(work_off(c, false, 20));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_deadletter_redrive(pipeline, "work", 0, 0));
    assert_ok(work_off(c, false, 20));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_deadletter_count(pipeline, NULL, &left));
    assert_true(left == 0);
    assert_true(count("in") >= published);
    assert_int_equal(count("echo"), count("in"));
    assert_int_equal(count("serverlog.deadletter"), count("serverlog.deadletter.resolved"));
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void start_anew(void)
{
    remove_tree(path);
    published = 0;
}

static void sweep(bool once)
{
    snprintf(path, sizeof path, "%s", temp_path());
    for (int i = 0; i < 3; i++) { /* the C library keeps some threads' memory */
        start_anew();
        assert_ok(script());
    }
    start_anew();
    fail_malloc_after(0, false);
    assert_ok(script());
    uint64_t calls = fail_malloc_count(), failures = 0;
    struct rng rng = { test_seed() };
    for (uint64_t n = 1; n < calls;
         n += 1 + rng_below(&rng, calls / (uint64_t)test_times(12) + 1)) {
        start_anew();
        int64_t live = live_allocations();
        fail_malloc_after(n, once);
        int rc = script();
        fail_malloc_after(0, false);
        bool expected = rc == SVL_OK || rc == SVL_E_NOMEM || rc == SVL_E_FAILED ||
                        rc == SVL_E_RESOURCE || rc == SVL_E_TIMEOUT;
        if (!expected || live_allocations() != live)
            print_error("allocation %llu: %d, %s; %lld leaked\n", (unsigned long long)n, rc,
                        svl_last_error(), (long long)(live_allocations() - live));
        assert_true(expected);
        assert_int_equal(live_allocations(), live);
        failures += rc != SVL_OK;
        assert_all_done_once();
    }
    assert_true(failures > 0);
}

static void test_records_when_one_allocation_fails_then_each_done_once(void **state)
{
    (void)state;
    sweep(true);
}

static void test_records_when_memory_is_gone_then_each_done_once(void **state)
{
    (void)state;
    sweep(false);
}

static int count_records(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n, *count = user;
    assert_ok(svl_batch_records(batch, &records, &n));
    *count += n;
    return SVL_OK;
}

static void do_all(void)
{
    while (svl_pump(pipeline, 0, 0, NULL) == SVL_OK)
        ;
}

/* Nothing comes behind it that would make anybody look again. */
static void test_redrive_when_it_cannot_be_stored_then_what_was_published_is_handled(void **state)
{
    (void)state;
    enum { HANDLERS = 6 };
    static const char *const names[HANDLERS] = { "a", "b", "c", "d", "e", "f" };
    size_t counts[HANDLERS] = { 0 };
    svl_options options;
    svl_stored_options on;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    options.flags = SVL_THREADLESS;
    on.filter.source = "in";
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_open(path, &options, &pipeline));
    for (size_t i = 0; i < HANDLERS; i++) {
        on.name = names[i];
        assert_ok(svl_on_stored(pipeline, &on, count_records, &counts[i], NULL));
    }
    assert_ok(svl_start(pipeline));
    do_all();
    assert_ok(svl_publish_text(pipeline, 9, "in", "x"));
    assert_ok(svl_flush(pipeline, -1)); /* durable, and nobody has looked at it */
    fail_malloc_after(1, false);
    int rc = svl_deadletter_redrive(pipeline, names[0], 0, 0);
    fail_malloc_after(0, false);
    assert_int_equal(rc, SVL_E_NOMEM);
    do_all();
    for (size_t i = 0; i < HANDLERS; i++)
        assert_int_equal(counts[i], 1);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_when_one_allocation_fails_then_each_done_once),
        cmocka_unit_test(test_redrive_when_it_cannot_be_stored_then_what_was_published_is_handled),
        cmocka_unit_test(test_records_when_memory_is_gone_then_each_done_once),
    };
    int failed = cmocka_run_group_tests_name("handler/faults", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
