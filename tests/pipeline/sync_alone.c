/* svl_publish_sync() of one thread, while nobody else is at work: without a time-out the caller flushes himself; with
 * one, or with ingest handlers, which run on the pipeline's thread, he does not. And what becomes of such a flush when
 * a signal comes, or the disk fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
static _Atomic bool interrupts, fails;
static _Atomic unsigned signals_seen;

static void see_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

/* As where a flush can be interrupted: a signal that this thread does not block ends it. */
static bool is_interrupted(void)
{
    unsigned before = atomic_load(&signals_seen);
    if (atomic_load(&interrupts) && gettid() == atomic_load(&here))
        pthread_kill(pthread_self(), SIGUSR1);
    return atomic_load(&signals_seen) != before;
}

int fdatasync(int fd)
{
    if (atomic_load(&fails) || is_interrupted()) {
        errno = atomic_load(&fails) ? EIO : EINTR;
        return -1;
    }
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

static void test_sync_when_a_signal_comes_amid_the_flush_then_stored(void **state)
{
    (void)state;
    struct sigaction see = { .sa_handler = see_signal }, before;
    sigaction(SIGUSR1, &see, &before);
    atomic_store(&interrupts, true);
    assert_true(publish_alone(-1, NULL) > 0);
    atomic_store(&interrupts, false);
    assert_true(atomic_load(&signals_seen) > 0); /* behind it */
    sigaction(SIGUSR1, &before, NULL);
}

static void *publish_until_failed(void *stored)
{
    svl_record record = { .source = slice_of("sync"), .body = slice_of("one of some") };
    uint64_t id, *last_id = stored;
    int rc;
    while ((rc = svl_publish_sync(pipeline, &record, -1, &id)) == SVL_OK)
        *last_id = id;
    assert_int_equal(rc, SVL_E_FAILED);
    return NULL;
}

/* Whoever it is that finds it: nobody waits for ever. */
static void test_sync_when_the_flush_fails_then_all_are_told(void **state)
{
    (void)state;
    static const struct timespec pause = { 0, 10000000 };
    for (int round = 0; round < test_times(10); round++) {
        pthread_t threads[4];
        uint64_t last_ids[4] = { 0 }, last_id = 0;
        char path[512];
        snprintf(path, sizeof path, "%s", temp_path());
        assert_ok(svl_open(path, NULL, &pipeline));
        assert_ok(svl_start(pipeline));
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, publish_until_failed, &last_ids[i]);
        nanosleep(&pause, NULL);
        atomic_store(&fails, true);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            last_id = last_ids[i] > last_id ? last_ids[i] : last_id;
        }
        assert_int_equal(svl_flush(pipeline, -1), SVL_E_FAILED);
        assert_int_equal(svl_close(pipeline), SVL_E_FAILED);
        atomic_store(&fails, false);
        svl_store *store;
        svl_store_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_store_open(path, NULL, &store));
        assert_ok(svl_store_stats_get(store, &stats));
        assert_true(stats.last_id >= last_id);
        assert_ok(svl_store_close(store));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_when_nobody_is_at_work_then_flushed_by_the_caller),
        cmocka_unit_test(test_sync_when_it_has_a_time_out_or_handlers_then_flushed_by_the_flusher),
        cmocka_unit_test(test_sync_when_a_signal_comes_amid_the_flush_then_stored),
        cmocka_unit_test(test_sync_when_the_flush_fails_then_all_are_told),
    };
    int failed = cmocka_run_group_tests_name("pipeline/sync_alone", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
