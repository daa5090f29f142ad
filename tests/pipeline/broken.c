/* Something in the process writes over the live ring: the pipeline stops and says so to everybody, and what
 * is whole in the ring is stored at the next start. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pipeline/pipeline.h"
#include "ring/layout.h"
#include "support/support.h"

static char path[512];
static svl_options options;
static svl_store_options store_options;
static _Atomic int in_handler, may_return, fatal_words, log_may_return;

static void pause_ms(long ms)
{
    struct timespec t = { .tv_nsec = ms * 1000000 };
    nanosleep(&t, NULL);
}

static int hold_back(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    atomic_store(&in_handler, 1);
    while (!atomic_load(&may_return))
        pause_ms(1);
    return SVL_OK;
}

static void note_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)text;
    (void)user;
    if (level == SVL_SEVERITY_FATAL && code == SVL_E_CORRUPT)
        atomic_fetch_add(&fatal_words, 1);
    while (level == SVL_SEVERITY_FATAL && !atomic_load(&log_may_return))
        pause_ms(1);
}

static void assert_failed(int rc)
{
    assert_int_equal(rc, SVL_E_FAILED);
    assert_non_null(strstr(svl_last_error(), "open again"));
}

/* A pipeline with its thread in a handler and two records behind that one, the first of them at *second. */
static svl_pipeline *open_and_hold(uint32_t close_timeout_ms, uint64_t *second)
{
    svl_pipeline *p;
    snprintf(path, sizeof path, "%s", temp_path());
    atomic_store(&in_handler, 0);
    atomic_store(&may_return, 0);
    atomic_store(&fatal_words, 0);
    assert_ok(svl_store_options_init(&store_options, sizeof store_options));
    assert_ok(svl_options_init(&options, sizeof options));
    store_options.log = note_log;
    options.store = &store_options;
    options.close_timeout_ms = close_timeout_ms;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_on_ingest(p, NULL, hold_back, NULL));
    assert_ok(svl_start(p));
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "one"));
    while (!atomic_load(&in_handler))
        pause_ms(1);
    *second = svl__ring_tail(p->ring);
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "two"));
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "three"));
    return p;
}

static svl_pipeline *open_with_a_broken_ring(uint32_t close_timeout_ms)
{
    uint64_t second;
    svl_pipeline *p = open_and_hold(close_timeout_ms, &second);
    atomic_store(frame_header(p->ring, second), UINT64_C(0x4141414141414141));
    return p;
}

/* Only what is in the frame: the ring goes on. */
static void test_record_when_written_over_in_the_ring_then_skipped_and_counted(void **state)
{
    (void)state;
    uint64_t second;
    svl_pipeline *p = open_and_hold(0, &second);
    _Atomic uint64_t *record = frame_header(p->ring, second) + 2; /* behind header and tag */
    atomic_store(record, UINT64_MAX);
    atomic_store(&may_return, 1);
    assert_ok(svl_flush(p, -1));
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    svl_store_stats stored = { .struct_size = sizeof stored };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stored));
    assert_int_equal(stats.ring_damaged, 1);
    assert_int_equal(stats.published, 3);
    assert_int_equal(stored.records_in, 2);
    assert_ok(svl_close(p));
}

static void test_ring_when_written_over_then_stops_and_the_rest_comes_at_the_next_start(
    void **state)
{
    (void)state;
    atomic_store(&log_may_return, 1);
    svl_pipeline *p = open_with_a_broken_ring(0);
    atomic_store(&may_return, 1);
    svl_record record = { .source = slice_of("in"), .body = slice_of("four") };
    assert_failed(svl_publish_sync(p, &record, -1, NULL));
    assert_failed(svl_publish(p, &record));
    assert_failed(svl_flush(p, -1));
    assert_failed(svl_stop(p, -1));
    assert_int_equal(atomic_load(&fatal_words), 1);
    assert_int_equal(svl_close(p), SVL_E_FAILED);

    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_start(p));
    assert_ok(svl_flush(p, -1));
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_int_equal(stats.ring_unfinished, 1);
    assert_in_range(stats.ring_recovered, 1, 2); /* three, and four if it came in time */
    svl_store_stats stored = { .struct_size = sizeof stored };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stored));
    assert_int_equal(stored.records, 1 + stats.ring_recovered);
    assert_ok(svl_close(p));
}

/* The pipeline's thread is in the log's callback, and left to itself. */
static void test_log_when_it_blocks_then_all_others_know_and_close_frees_nothing_under_it(
    void **state)
{
    (void)state;
    atomic_store(&log_may_return, 0);
    svl_pipeline *p = open_with_a_broken_ring(20);
    atomic_store(&may_return, 1);
    while (!atomic_load(&fatal_words))
        pause_ms(1);
    assert_failed(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "four"));
    assert_int_equal(svl_close(p), SVL_E_TIMEOUT);
    atomic_store(&log_may_return, 1);
    int rc;
    while ((rc = svl_open(path, &options, &p)) == SVL_E_BUSY)
        pause_ms(1);
    assert_ok(rc);
    assert_ok(svl_close(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_when_written_over_in_the_ring_then_skipped_and_counted),
        cmocka_unit_test(
            test_ring_when_written_over_then_stops_and_the_rest_comes_at_the_next_start),
        cmocka_unit_test(
            test_log_when_it_blocks_then_all_others_know_and_close_frees_nothing_under_it),
    };
    int failed = cmocka_run_group_tests_name("pipeline/broken", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
