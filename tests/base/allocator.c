/* The host's memory functions: all of the library's own memory comes from them and goes back, and where they
 * have none it is an error. The order of the tests matters: they are given once a process. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "support/support.h"

static _Atomic int64_t live, calls;
static _Atomic int64_t fail_after = INT64_MAX;
static int me;

static bool fails(const void *user)
{
    assert_ptr_equal(user, &me);
    return atomic_fetch_add(&calls, 1) >= atomic_load(&fail_after);
}

/* Before each piece stands a mark: what is given back was given out here. */
#define MARK UINT64_C(0x6b72616d6b72616d)
struct piece {
    uint64_t mark[2];
};

static void *take(size_t size, void *user)
{
    struct piece *piece = fails(user) ? NULL : malloc(sizeof *piece + size);
    if (!piece)
        return NULL;
    piece->mark[0] = piece->mark[1] = MARK;
    atomic_fetch_add(&live, 1);
    return piece + 1;
}

static void give_back(void *memory, void *user)
{
    struct piece *piece = (struct piece *)memory - 1;
    assert_ptr_equal(user, &me);
    assert_true(piece->mark[0] == MARK && piece->mark[1] == MARK);
    piece->mark[0] = 0;
    atomic_fetch_sub(&live, 1);
    free(piece);
}

static void *take_again(void *memory, size_t size, void *user)
{
    struct piece *piece = (struct piece *)memory - 1;
    assert_true(piece->mark[0] == MARK && piece->mark[1] == MARK);
    piece = fails(user) ? NULL : realloc(piece, sizeof *piece + size);
    return piece ? piece + 1 : NULL;
}

static const svl_allocator ours = { sizeof ours, 0, take, take_again, give_back, &me };

static void test_allocator_when_incomplete_then_refused(void **state)
{
    (void)state;
    svl_allocator wrong = ours;
    assert_int_equal(svl_allocator_set(NULL), SVL_E_INVALID);
    wrong.release = NULL;
    assert_int_equal(svl_allocator_set(&wrong), SVL_E_INVALID);
    wrong = ours;
    wrong.reserved = 1;
    assert_int_equal(svl_allocator_set(&wrong), SVL_E_RESERVED);
    wrong = ours;
    wrong.struct_size = 8;
    assert_int_equal(svl_allocator_set(&wrong), SVL_E_STRUCT_SIZE);
}

static int echo(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        svl_record reply = { .source = slice_of("echo") };
        rc = svl_batch_emit(batch, i, &reply);
    }
    return rc;
}

/* A little of everything. */
static int use(const char *path)
{
    svl_pipeline *p;
    svl_options options;
    svl_stored_options on;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "echo";
    on.filter.source = "in";
    assert_ok(svl_options_init(&options, sizeof options));
    options.close_timeout_ms = 1;
    int rc = svl_open(path, &options, &p);
    if (rc != SVL_OK)
        return rc;
    rc = svl_on_stored(p, &on, echo, NULL, NULL);
    if (rc == SVL_OK)
        rc = svl_start(p);
    for (int i = 0; rc == SVL_OK && i < 100; i++)
        rc = svl_publish_text(p, SVL_SEVERITY_INFO, "in", "text");
    if (rc == SVL_OK)
        rc = svl_stop(p, atomic_load(&fail_after) == INT64_MAX ? -1 : 20);
    if (rc == SVL_OK)
        rc = svl_store_query(svl_pipeline_store(p), NULL, &cursor);
    if (rc == SVL_OK) {
        while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
            ;
        rc = rc == SVL_E_END ? SVL_OK : rc;
        svl_cursor_close(cursor);
    }
    int closed = svl_close(p);
    return rc == SVL_OK ? closed : rc;
}

static void test_allocator_when_given_then_all_memory_comes_from_it_and_goes_back(void **state)
{
    (void)state;
    assert_ok(svl_allocator_set(&ours));
    assert_ok(use(temp_path()));
    assert_true(atomic_load(&calls) > 100);
    assert_true(atomic_load(&live) == 0);
}

static void test_allocator_when_something_was_allocated_then_too_late(void **state)
{
    (void)state;
    assert_int_equal(svl_allocator_set(&ours), SVL_E_STATE);
}

static void test_allocator_when_it_has_none_then_error_and_nothing_kept(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 60; n += 1 + n / 5) {
        atomic_store(&calls, 0);
        atomic_store(&fail_after, n);
        int rc = use(temp_path());
        atomic_store(&fail_after, INT64_MAX);
        assert_int_not_equal(rc, SVL_OK);
        for (int i = 0; i < 5000 && atomic_load(&live) != 0;
             i++) /* the last callback to return frees */
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        assert_true(atomic_load(&live) == 0);
    }
    assert_ok(use(temp_path()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocator_when_incomplete_then_refused),
        cmocka_unit_test(test_allocator_when_given_then_all_memory_comes_from_it_and_goes_back),
        cmocka_unit_test(test_allocator_when_something_was_allocated_then_too_late),
        cmocka_unit_test(test_allocator_when_it_has_none_then_error_and_nothing_kept),
    };
    int failed = cmocka_run_group_tests_name("base/allocator", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
