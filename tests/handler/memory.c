/* Subscribing with allocations that fail: refused, or subscribed, and then the place where a new name starts
 * becomes durable. */
#include <stdio.h>

#include "base/clock.h"
#include "handler/subscription.h"
#include "store/state.h"
#include "support/support.h"

static char path[512];
static svl_store *store;
static struct handlers *handlers;

static int done(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

static int subscribe(unsigned number, svl_subscription **s)
{
    char name[32];
    svl_stored_options o;
    assert_ok(svl_stored_options_init(&o, sizeof o));
    snprintf(name, sizeof name, "name-%u", number);
    o.name = name;
    return svl__handlers_subscribe(handlers, &o, done, NULL, s);
}

/* What a crash now would leave. */
static bool has_durable_position(const svl_subscription *s)
{
    svl_subscription found = { .handlers = handlers, .name = s->name };
    bool is_there;
    assert_ok(svl_store_flush(store, -1));
    assert_ok(svl__progress_load(&found, &is_there));
    return is_there && found.position == s->position;
}

static void open_with_workers(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, NULL, &store));
    const struct handlers_options options = {
        .store = store, .workers_max = 1, .worker_idle_ms = 5000, .record_bytes_max = 4096
    };
    assert_ok(svl__handlers_create(&options, &handlers));
}

static void close_all(void)
{
    assert_ok(svl__handlers_destroy(handlers, INT64_MAX, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void test_subscribe_when_memory_is_short_then_refused_or_its_start_is_not_forgotten(
    void **state)
{
    (void)state;
    unsigned refused = 0, late = 0, whole = 0;
    open_with_workers();
    for (unsigned n = 1; whole < 3; n++) {
        svl_subscription *s;
        svl_record record = { .source = slice_of("in") };
        assert_ok(svl_store_append(store, &record, 1, NULL)); /* each starts somewhere else */
        fail_malloc_after(n, true);
        int rc = subscribe(n, &s);
        bool all_given = fail_malloc_count() < n;
        fail_malloc_after(0, false);
        if (rc != SVL_OK) {
            assert_int_equal(rc, SVL_E_NOMEM);
            assert_null(s);
            refused++;
            continue;
        }
        whole += all_given;
        if (!s->dirty) {
            assert_true(has_durable_position(s));
            continue;
        }
        assert_false(has_durable_position(s));
        late++;
    }
    assert_true(refused > 0 && late > 0);
    svl__handlers_start(handlers); /* a worker that comes by writes what is due */
    svl_record record = { .source = slice_of("in") };
    assert_ok(svl_store_append(store, &record, 1, NULL));
    svl__handlers_durable(handlers, svl__store_durable_id(store));
    int64_t deadline_ns = svl__deadline_ns(30000);
    assert_ok(svl__handlers_stop(handlers, svl__store_durable_id(store), deadline_ns));
    for (svl_subscription *s = handlers->first; s; s = s->next)
        assert_true(!s->dirty && has_durable_position(s));
    close_all();
}

static void test_stop_when_there_is_no_memory_for_the_positions_then_says_so_and_may_be_repeated(
    void **state)
{
    (void)state;
    svl_subscription *s;
    open_with_workers();
    assert_ok(subscribe(1, &s));
    assert_ok(svl_store_flush(store, -1));
    s->position = 7; /* as if seven records were done */
    fail_malloc_after(1, false);
    int rc = svl__handlers_stop(handlers, 0, INT64_MAX);
    fail_malloc_after(0, false);
    assert_int_equal(rc, SVL_E_NOMEM);
    assert_false(has_durable_position(s));
    assert_ok(svl__handlers_stop(handlers, 0, INT64_MAX));
    assert_true(has_durable_position(s));
    close_all();
}

static void test_subscribe_when_the_store_has_failed_then_refused(void **state)
{
    (void)state;
    svl_subscription *s = (svl_subscription *)(void *)1;
    open_with_workers();
    svl__store_fail(store, SVL_E_IO);
    assert_int_equal(subscribe(1, &s), SVL_E_FAILED); /* its start cannot be kept */
    assert_null(s);
    svl__handlers_failed(handlers);
    assert_int_equal(svl__handlers_subscribe(handlers, NULL, done, NULL, &s), SVL_E_FAILED);
    assert_ok(svl__handlers_destroy(handlers, INT64_MAX, NULL, NULL));
    assert_int_equal(svl_store_close(store), SVL_E_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_subscribe_when_memory_is_short_then_refused_or_its_start_is_not_forgotten),
        cmocka_unit_test(
            test_stop_when_there_is_no_memory_for_the_positions_then_says_so_and_may_be_repeated),
        cmocka_unit_test(test_subscribe_when_the_store_has_failed_then_refused),
    };
    int failed = cmocka_run_group_tests_name("handler/memory", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
