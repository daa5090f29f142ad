/* A bus with allocations that fail: an error, nothing leaked, and what was published comes out. */
#include "events.h"

#define RECORDS 8

static struct seen seen;

static int script(svl_bus **bus)
{
    svl_bus_subscription_options options;
    svl_bus_subscription *subscription;
    assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
    options.filter.source = "s";
    int rc = svl_bus_create(NULL, bus);
    if (rc == SVL_OK)
        rc = svl_bus_subscribe(*bus, &options, see, &seen, &subscription);
    if (rc == SVL_OK)
        rc = svl_bus_subscribe(*bus, &options, see, &seen, NULL);
    if (rc == SVL_OK)
        rc = svl_bus_unsubscribe(subscription, NULL);
    return rc;
}

static void test_bus_when_an_allocation_fails_then_an_error_and_nothing_leaked(void **state)
{
    (void)state;
    svl_bus *bus;
    fail_malloc_after(0, false);
    assert_ok(script(&bus));
    uint64_t calls = fail_malloc_count();
    assert_ok(svl_bus_destroy(bus));
    int64_t live = live_allocations();
    assert_true(calls >= 5);
    for (uint64_t n = 1; n <= calls; n++) {
        fail_malloc_after(n, true);
        int rc = script(&bus);
        fail_malloc_after(0, false);
        assert_int_equal(rc, SVL_E_NOMEM);
        assert_ok(svl_bus_destroy(bus)); /* NULL where create failed */
        assert_true(live_allocations() == live);
    }
}

static void test_bus_when_memory_is_gone_then_publish_and_pump_need_none(void **state)
{
    (void)state;
    svl_bus *bus;
    size_t n;
    assert_ok(script(&bus));
    seen.n = 0;
    fail_malloc_after(1, false);
    for (int64_t i = 0; i < RECORDS; i++)
        assert_int_equal(publish_number(bus, i, 0), SVL_OK);
    int rc = svl_bus_pump(bus, 0, 0, &n);
    uint64_t calls = fail_malloc_count();
    fail_malloc_after(0, false);
    assert_ok(rc);
    assert_true(calls == 0);
    assert_true(n == RECORDS && seen.n == RECORDS);
    assert_ok(svl_bus_destroy(bus));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bus_when_an_allocation_fails_then_an_error_and_nothing_leaked),
        cmocka_unit_test(test_bus_when_memory_is_gone_then_publish_and_pump_need_none),
    };
    return cmocka_run_group_tests_name("bus/bus_faults", tests, NULL, NULL);
}
