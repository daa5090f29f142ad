/* Something in the process writes over the live ring: the pipeline stops and says so to everybody, and what
 * is whole in the ring is stored at the next start. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pipeline/pipeline.h"
#include "ring/layout.h"
#include "support/support.h"

static _Atomic int in_handler, may_return, fatal_words;

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
}

static void assert_failed(int rc)
{
    assert_int_equal(rc, SVL_E_FAILED);
    assert_non_null(strstr(svl_last_error(), "open again"));
}

static void test_ring_when_written_over_then_stops_and_the_rest_comes_at_the_next_start(
    void **state)
{
    (void)state;
    char path[512];
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.log = note_log;
    options.store = &store;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_on_ingest(p, NULL, hold_back, NULL));
    assert_ok(svl_start(p));
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "one"));
    while (!atomic_load(&in_handler))
        pause_ms(1);
    uint64_t second = svl__ring_tail(p->ring);
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "two"));
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "three"));
    atomic_store(frame_header(p->ring, second), UINT64_C(0x4141414141414141));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_ring_when_written_over_then_stops_and_the_rest_comes_at_the_next_start),
    };
    int failed = cmocka_run_group_tests_name("pipeline/broken", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
