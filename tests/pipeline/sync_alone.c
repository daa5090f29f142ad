/* svl_publish_sync() of one thread, while nobody else is at work: without a time-out the caller flushes himself; with
 * one, or with ingest handlers, which run on the pipeline's thread, he does not. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define RECORDS 20

static svl_pipeline *pipeline;
static _Atomic long flushes_here, flushes;
static _Atomic pid_t here;

int fdatasync(int fd)
{
    atomic_fetch_add(&flushes, 1);
    atomic_fetch_add(&flushes_here, gettid() == atomic_load(&here));
    return (int)syscall(SYS_fdatasync, fd);
}

static int keep(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest, (void)record, (void)user;
    return SVL_OK;
}

/* How many flushes were this thread's, of RECORDS publishes with pauses between them. */
static long publish_alone(int64_t timeout_ms, svl_ingest_fn *handler)
{
    static const struct timespec pause = { 0, 20000000 };
    svl_record record = { .source = slice_of("sync"), .body = slice_of("alone") };
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_open(path, NULL, &pipeline));
    if (handler)
        assert_ok(svl_on_ingest(pipeline, NULL, handler, NULL));
    assert_ok(svl_start(pipeline));
    atomic_store(&here, gettid());
    atomic_store(&flushes_here, 0);
    atomic_store(&flushes, 0);
    for (uint64_t i = 1, id; i <= RECORDS; i++) {
        nanosleep(&pause, NULL); /* the threads go to sleep */
        assert_ok(svl_publish_sync(pipeline, &record, timeout_ms, &id));
        assert_int_equal(id, i);
        assert_true(atomic_load(&flushes) >= (long)i);
    }
    long mine = atomic_load(&flushes_here);
    atomic_store(&here, 0);
    assert_ok(svl_close(pipeline));
    return mine;
}

static void test_sync_when_nobody_is_at_work_then_flushed_by_the_caller(void **state)
{
    (void)state;
    assert_true(publish_alone(-1, NULL) > 0);
}

static void test_sync_when_it_has_a_time_out_or_handlers_then_flushed_by_the_flusher(void **state)
{
    (void)state;
    assert_int_equal(publish_alone(60000, NULL), 0);
    assert_int_equal(publish_alone(-1, keep), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_when_nobody_is_at_work_then_flushed_by_the_caller),
        cmocka_unit_test(test_sync_when_it_has_a_time_out_or_handlers_then_flushed_by_the_flusher),
    };
    int failed = cmocka_run_group_tests_name("pipeline/sync_alone", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
