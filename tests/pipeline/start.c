/* svl_start() with what a crash left in a ring: when it fails half-way, what it has stored does not come
 * again, at a second try or after a close; what only a newer version can read is kept. The executable's own
 * fdatasync() stands before the C library's. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "pipeline/pipeline.h"
#include "record/wire.h"
#include "ring/layout.h"
#include "support/support.h"

#define SMALL 3000 /* more than one round of draining */

static char path[512];
static _Atomic int flushes_left; /* up to the one that fails; 0: none does */

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    if (atomic_load(&flushes_left) > 0 && atomic_fetch_sub(&flushes_left, 1) == 1) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static svl_pipeline *open_with(uint32_t record_bytes_max)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.record_bytes_max = record_bytes_max;
    options.store = &store;
    assert_ok(svl_open(path, &options, &p));
    return p;
}

static int never_returns(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    for (;;)
        pause();
    return SVL_OK;
}

/* Many small records and a large one behind them, none of them stored. */
static void crash_with_a_full_ring(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char large[8192];
        svl_record last = { .source = slice_of("in"), .body = { large, sizeof large } };
        svl_pipeline *p = open_with(16384);
        assert_ok(svl_on_ingest(p, NULL, never_returns, NULL));
        assert_ok(svl_start(p));
        for (int i = 0; i < SMALL; i++)
            assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "small"));
        assert_ok(svl_publish(p, &last));
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t count(svl_pipeline *p)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        n++;
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    return n;
}

static void assert_all_once(void)
{
    svl_pipeline *p = open_with(16384);
    assert_ok(svl_start(p));
    assert_ok(svl_flush(p, -1));
    assert_int_equal(count(p), SMALL + 1);
    assert_ok(svl_close(p));
}

static void test_start_when_it_has_failed_and_is_called_again_then_nothing_comes_twice(void **state)
{
    (void)state;
    crash_with_a_full_ring();
    svl_pipeline *p = open_with(4096);
    for (int i = 0; i < 3; i++)
        assert_int_equal(svl_start(p), SVL_E_RECORD_SIZE);
    assert_ok(svl_close(p));
    assert_all_once();
}

static void test_start_when_it_has_failed_and_was_closed_then_nothing_comes_twice(void **state)
{
    (void)state;
    crash_with_a_full_ring();
    svl_pipeline *p = open_with(4096);
    assert_int_equal(svl_start(p), SVL_E_RECORD_SIZE);
    assert_ok(svl_close(p));
    assert_all_once();
}

static int start_on_a_full_disk(svl_pipeline *p)
{
    set_disk_full(true);
    int rc = svl_start(p);
    set_disk_full(false);
    return rc;
}

static svl_pipeline *open_impatient(uint32_t record_bytes_max)
{
    svl_pipeline *p = open_with(record_bytes_max);
    p->options.close_timeout_ms = 1; /* a second, then */
    return p;
}

static void test_start_when_the_disk_is_full_then_says_so_and_stores_all_once_later(void **state)
{
    (void)state;
    crash_with_a_full_ring();
    svl_pipeline *p = open_impatient(16384);
    for (int i = 0; i < 2; i++)
        assert_int_equal(start_on_a_full_disk(p), SVL_E_NO_SPACE);
    assert_ok(svl_start(p));
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_int_equal(stats.ring_recovered, SMALL + 1);
    assert_int_equal(count(p), SMALL + 1);
    assert_ok(svl_stop(p, -1));
    assert_ok(svl_close(p));
    assert_all_once();
}

/* Between the two starts what the first one fed is written, and leaves the ring. */
static void test_start_when_the_disk_was_full_and_a_record_is_refused_then_nothing_comes_twice(
    void **state)
{
    (void)state;
    crash_with_a_full_ring();
    svl_pipeline *p = open_impatient(4096);
    int rc = start_on_a_full_disk(p);
    assert_true(rc == SVL_E_RECORD_SIZE || rc == SVL_E_NO_SPACE); /* whichever it met first */
    assert_int_equal(start_on_a_full_disk(p), SVL_E_NO_SPACE);
    assert_ok(svl_store_flush(svl_pipeline_store(p), -1));
    for (int i = 0; i < 2; i++)
        assert_int_equal(svl_start(p), SVL_E_RECORD_SIZE);
    assert_ok(svl_close(p));
    assert_all_once();
}

static void test_start_when_the_disk_is_full_and_it_is_closed_then_the_ring_keeps_all(void **state)
{
    (void)state;
    crash_with_a_full_ring();
    svl_pipeline *p = open_impatient(16384);
    set_disk_full(true);
    assert_int_equal(svl_start(p), SVL_E_NO_SPACE);
    assert_int_equal(svl_close(p), SVL_E_NO_SPACE);
    set_disk_full(false);
    assert_all_once();
}

/* A record in the ring gets a format flag that this version does not know. */
static void crash_with_a_newer_record(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static const char body[] = "from the future";
        svl_pipeline *p = open_with(16384);
        assert_ok(svl_on_ingest(p, NULL, never_returns, NULL));
        assert_ok(svl_start(p));
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "holds back the rest"));
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", body));
        uint8_t *at = p->ring->data;
        while (memcmp(at, body, sizeof body - 1) != 0)
            at++;
        at[-(ptrdiff_t)(WIRE_HEADER_BYTES + strlen("in")) + 23] = 1;
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void remove_rings(svl_pipeline *p)
{
    struct ring_name *names;
    size_t n;
    assert_ok(svl__store_rings(svl_pipeline_store(p), &names, &n));
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        char file[512];
        snprintf(file, sizeof file, "%s/%s", names[i].directory, names[i].name);
        assert_int_equal(unlink(file), 0); /* it was kept */
    }
    svl__free(names);
}

static void test_start_when_a_newer_version_has_left_a_record_then_refused_and_kept(void **state)
{
    (void)state;
    crash_with_a_newer_record();
    for (int i = 0; i < 2; i++) {
        svl_pipeline *p = open_with(16384);
        assert_int_equal(svl_start(p), SVL_E_VERSION);
        if (i == 1)
            remove_rings(p);
        assert_ok(svl_close(p));
    }
}

/* A flush of its catalog: memory that does not outlive the process would be no way out. */
static void test_start_when_a_flush_fails_then_fails_and_is_never_less_safe(void **state)
{
    unsigned failed = 0;
    bool struck = true;
    for (int n = 1; struck; n++) {
        new_path(state);
        svl_pipeline *p = open_with(4096);
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        atomic_store(&flushes_left, n);
        int rc = svl_start(p);
        struck = atomic_exchange(&flushes_left, 0) == 0;
        assert_int_equal(rc, struck ? SVL_E_FAILED : SVL_OK);
        assert_ok(svl_pipeline_stats_get(p, &stats));
        assert_true(rc != SVL_OK || stats.ring_is_crash_safe);
        if (struck)
            assert_int_equal(svl_start(p), SVL_E_FAILED);
        failed += struck;
        svl_close(p);
        p = open_with(4096);
        assert_ok(svl_start(p));
        assert_ok(svl_close(p));
    }
    assert_true(failed > 1);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_start_when_it_has_failed_and_is_called_again_then_nothing_comes_twice, new_path),
        cmocka_unit_test_setup(
            test_start_when_it_has_failed_and_was_closed_then_nothing_comes_twice, new_path),
        cmocka_unit_test_setup(
            test_start_when_the_disk_is_full_then_says_so_and_stores_all_once_later, new_path),
        cmocka_unit_test_setup(
            test_start_when_the_disk_was_full_and_a_record_is_refused_then_nothing_comes_twice,
            new_path),
        cmocka_unit_test_setup(
            test_start_when_the_disk_is_full_and_it_is_closed_then_the_ring_keeps_all, new_path),
        cmocka_unit_test_setup(
            test_start_when_a_newer_version_has_left_a_record_then_refused_and_kept, new_path),
        cmocka_unit_test(test_start_when_a_flush_fails_then_fails_and_is_never_less_safe),
    };
    int failed = cmocka_run_group_tests_name("pipeline/start", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
