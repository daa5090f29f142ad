/* svl_publish_sync() from many threads, with a time-out and without one, where the caller may do the work of the
 * pipeline's threads, among others who do not wait: each is answered with an id of its own. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "support/support.h"

#define THREADS 8
#define EACH 60

static char path[512];
static svl_pipeline *pipeline;

static svl_record record_of(const char *body)
{
    return (svl_record){ .source = slice_of("sync"), .body = slice_of(body) };
}

static int start(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_start(pipeline));
    return 0;
}

static uint64_t count_stored(svl_store *store)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_store_query(store, NULL, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

struct publisher {
    int64_t timeout_ms; /* 0: does not wait */
    uint64_t ids[EACH];
};

static void *publish_all(void *argument)
{
    struct publisher *me = argument;
    svl_record record = record_of("one of many");
    for (int i = 0; i < EACH; i++)
        if (me->timeout_ms == 0)
            assert_ok(svl_publish(pipeline, &record));
        else
            assert_ok(svl_publish_sync(pipeline, &record, me->timeout_ms, &me->ids[i]));
    return NULL;
}

static void test_sync_when_many_publish_in_all_ways_then_each_has_an_id_of_its_own(void **state)
{
    (void)state;
    static struct publisher publishers[THREADS];
    static unsigned seen[THREADS * EACH + 1];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        publishers[i].timeout_ms = i % 4 == 3 ? 0 : i % 4 == 2 ? 60000 : -1;
        assert_int_equal(pthread_create(&threads[i], NULL, publish_all, &publishers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_ok(svl_flush(pipeline, -1));
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < EACH && publishers[i].timeout_ms != 0; k++) {
            assert_in_range(publishers[i].ids[k], 1, THREADS * EACH);
            assert_int_equal(seen[publishers[i].ids[k]]++, 0);
        }
    assert_int_equal(count_stored(svl_pipeline_store(pipeline)), THREADS * EACH);
    assert_ok(svl_close(pipeline));
}

struct endless {
    uint64_t stored; /* answered with an id */
    int last;
};

static void *publish_until_closed(void *argument)
{
    struct endless *me = argument;
    svl_record record = record_of("until the end");
    uint64_t id, before = 0;
    while ((me->last = svl_publish_sync(pipeline, &record, -1, &id)) == SVL_OK) {
        assert_true(id > before);
        before = id;
        me->stored++;
    }
    return NULL;
}

/* Whoever is at the work of the pipeline's threads when these end finishes it, or leaves it to them. */
static void test_sync_when_stopped_amid_then_each_is_stored_or_refused(void **state)
{
    for (int round = 0; round < test_times(20); round++) {
        struct endless all[4] = { { 0 } };
        pthread_t threads[4];
        uint64_t stored = 0;
        start(state);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, publish_until_closed, &all[i]), 0);
        struct timespec pause = { .tv_nsec = round % 5 * 1000000 };
        nanosleep(&pause, NULL);
        assert_ok(svl_stop(pipeline, -1));
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(all[i].last, SVL_E_CLOSED);
            stored += all[i].stored;
        }
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_pipeline_stats_get(pipeline, &stats));
        assert_int_equal(stats.published, stored);
        assert_int_equal(count_stored(svl_pipeline_store(pipeline)), stored);
        assert_ok(svl_close(pipeline));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_sync_when_many_publish_in_all_ways_then_each_has_an_id_of_its_own, start),
        cmocka_unit_test(test_sync_when_stopped_amid_then_each_is_stored_or_refused),
    };
    int failed = cmocka_run_group_tests_name("pipeline/sync", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
