/* svl_close() with a handler that does not return: it comes back in time, nothing is freed under the
 * handler, and what was not stored is there at the next start. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/support.h"

#define RECORDS 5

static char path[512];
static _Atomic int in_handler, may_return, calls;

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    atomic_store(&in_handler, 0);
    atomic_store(&may_return, 0);
    atomic_store(&calls, 0);
    return 0;
}

static void pause_ms(long ms)
{
    struct timespec t = { .tv_nsec = ms * 1000000 };
    nanosleep(&t, NULL);
}

static void wait_until(_Atomic int *flag)
{
    while (!atomic_load(flag))
        pause_ms(1);
}

static int stuck_ingest(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    atomic_fetch_add(&calls, 1);
    atomic_store(&in_handler, 1);
    wait_until(&may_return);
    return SVL_OK;
}

static int stuck_stored(svl_batch *batch, void *user)
{
    svl_record emitted = { .source = slice_of("late") };
    (void)user;
    atomic_fetch_add(&calls, 1);
    atomic_store(&in_handler, 1);
    wait_until(&may_return);
    return svl_batch_emit(batch, 0, &emitted); /* what it uses is still there */
}

static svl_pipeline *open_pipeline(void)
{
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_options_init(&options, sizeof options));
    options.close_timeout_ms = 20;
    assert_ok(svl_open(path, &options, &p));
    return p;
}

static void publish_all(svl_pipeline *p)
{
    for (int i = 0; i < RECORDS; i++)
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "t", "text"));
}

/* The handler's thread frees the store when it is done: then it can be opened again. */
static svl_pipeline *open_again(void)
{
    svl_pipeline *p;
    int rc;
    while ((rc = svl_open(path, NULL, &p)) == SVL_E_BUSY)
        pause_ms(1);
    assert_ok(rc);
    return p;
}

static uint64_t count(svl_pipeline *p, const char *source)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        n++;
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    return n;
}

static void test_close_when_an_ingest_handler_is_stuck_then_time_out_and_nothing_lost(void **state)
{
    (void)state;
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_on_ingest(p, NULL, stuck_ingest, NULL));
    assert_ok(svl_start(p));
    publish_all(p);
    wait_until(&in_handler);
    assert_int_equal(svl_publish_text(p, 99, "t", "severity"), SVL_E_INVALID);
    char words[512];
    svl_last_error_copy(words, sizeof words);
    assert_int_equal(svl_close(p), SVL_E_TIMEOUT);
    assert_string_equal(svl_last_error(), words); /* an outcome leaves them alone */
    assert_int_equal(svl_open(path, NULL, &p), SVL_E_BUSY);
    assert_null(p);
    atomic_store(&may_return, 1);
    p = open_again();
    assert_int_equal(atomic_load(&calls), 1); /* none was begun after the close */
    assert_ok(svl_start(p));
    assert_ok(svl_flush(p, -1));
    assert_int_equal(count(p, "t"), RECORDS);
    assert_ok(svl_close(p));
}

static _Atomic int second_calls;

static int second_ingest(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    atomic_fetch_add(&second_calls, 1);
    return SVL_OK;
}

/* By then its `user` may be gone: svl_close() waited for the first one only. */
static void test_close_when_an_ingest_handler_is_stuck_then_the_next_is_not_called_after_it(
    void **state)
{
    (void)state;
    atomic_store(&second_calls, 0);
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_on_ingest(p, NULL, stuck_ingest, NULL));
    assert_ok(svl_on_ingest(p, NULL, second_ingest, NULL));
    assert_ok(svl_start(p));
    publish_all(p);
    wait_until(&in_handler);
    assert_int_equal(svl_close(p), SVL_E_TIMEOUT);
    atomic_store(&may_return, 1);
    p = open_again();
    assert_int_equal(atomic_load(&second_calls), 0);
    assert_ok(svl_on_ingest(p, NULL, second_ingest, NULL));
    assert_ok(svl_start(p));
    assert_ok(svl_flush(p, -1));
    assert_int_equal(atomic_load(&second_calls), RECORDS);
    assert_int_equal(count(p, "t"), RECORDS);
    assert_ok(svl_close(p));
}

static void test_close_when_a_stored_handler_is_stuck_then_time_out_and_handed_out_again(
    void **state)
{
    (void)state;
    svl_stored_options on;
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "stuck";
    on.filter.source = "t";
    assert_ok(svl_on_stored(p, &on, stuck_stored, NULL, NULL));
    assert_ok(svl_start(p));
    publish_all(p);
    wait_until(&in_handler);
    assert_int_equal(svl_close(p), SVL_E_TIMEOUT);
    assert_int_equal(svl_open(path, NULL, &p), SVL_E_BUSY);
    atomic_store(&may_return, 1);
    p = open_again();
    assert_int_equal(atomic_load(&calls), 1);
    assert_int_equal(count(p, "late"), 0); /* closed before it returned: not taken */
    assert_ok(svl_on_stored(p, &on, stuck_stored, NULL, NULL));
    assert_ok(svl_start(p));
    assert_ok(svl_stop(p, -1));
    assert_true(atomic_load(&calls) > 1);
    assert_int_equal(count(p, "t"), RECORDS);
    assert_true(count(p, "late") > 0);
    assert_ok(svl_close(p));
}

static void test_close_when_never_started_then_ok(void **state)
{
    (void)state;
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_on_ingest(p, NULL, stuck_ingest, NULL));
    assert_ok(svl_close(p));
    assert_ok(svl_close(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            test_close_when_an_ingest_handler_is_stuck_then_time_out_and_nothing_lost, new_path),
        cmocka_unit_test_setup(
            test_close_when_an_ingest_handler_is_stuck_then_the_next_is_not_called_after_it,
            new_path),
        cmocka_unit_test_setup(
            test_close_when_a_stored_handler_is_stuck_then_time_out_and_handed_out_again, new_path),
        cmocka_unit_test_setup(test_close_when_never_started_then_ok, new_path),
    };
    int failed = cmocka_run_group_tests_name("pipeline/close", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
