/* A bus whose ring is full: each policy does what it says, and drops leave a record where they were
 * missing. */
#include <pthread.h>
#include <stdatomic.h>

#include "events.h"

#define PADDING 1000

static svl_bus *bus;
static struct seen seen;

static int start(void **state)
{
    (void)state;
    seen.n = 0;
    return 0;
}

static size_t publish_until_full(void)
{
    int64_t n = 0;
    int rc;
    while ((rc = publish_number(bus, n, PADDING)) == SVL_OK)
        n++;
    assert_int_equal(rc, SVL_E_FULL);
    return (size_t)n;
}

static void test_ring_when_full_and_fail_then_refused_and_counted(void **state)
{
    (void)state;
    bus = create_bus(0, SVL_FULL_FAIL);
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    size_t n = publish_until_full();
    assert_true(n > 30 && n < 66);
    assert_int_equal(publish_number(bus, 0, PADDING), SVL_E_FULL);
    assert_true(stats_of(bus).refused_full == 2);
    assert_int_equal(pump_all(bus), n);
    assert_ok(publish_number(bus, (int64_t)n, PADDING));
    assert_int_equal(pump_all(bus), 1);
    for (size_t i = 0; i <= n; i++)
        assert_true(seen.numbers[i] == (int64_t)i);
    assert_ok(svl_bus_destroy(bus));
}

static void test_ring_when_full_and_block_then_waits_its_time(void **state)
{
    (void)state;
    bus = create_bus(0, SVL_FULL_BLOCK);
    struct timespec before, after;
    size_t n = publish_until_full();
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(publish_number(bus, 0, PADDING), SVL_E_FULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 19);
    assert_true(stats_of(bus).refused_full == 2);
    assert_int_equal(pump_all(bus), n);
    assert_ok(svl_bus_destroy(bus));
}

/* --- drops --- */

static uint64_t told;
static size_t told_at; /* how many had been seen then */

static int see_gap(const svl_record *record, void *user)
{
    (void)user;
    assert_int_equal(record->severity, SVL_SEVERITY_WARN);
    assert_int_equal(record->attribute_count, 1);
    assert_true(record->time_ns > 0);
    told += (uint64_t)record->attributes[0].i64;
    told_at = seen.n;
    return SVL_OK;
}

static void subscribe_gaps(void)
{
    svl_bus_subscription_options options;
    assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
    options.filter.source = "serverlog.gap";
    assert_ok(svl_bus_subscribe(bus, &options, see_gap, NULL, NULL));
    told = 0;
    told_at = 0;
}

static void test_ring_when_full_and_drop_then_a_gap_record_says_how_many_and_where(void **state)
{
    (void)state;
    bus = create_bus(0, SVL_FULL_DROP_NEW);
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL)); /* sees no gap record */
    subscribe_gaps();
    size_t kept = 0;
    for (int64_t i = 0; stats_of(bus).dropped_full == 0; i++, kept++)
        assert_ok(publish_number(bus, i, PADDING));
    kept--;
    for (int i = 0; i < 41; i++)
        assert_ok(publish_number(bus, 1000, PADDING));
    assert_true(stats_of(bus).dropped_full == 42);
    size_t n;
    assert_ok(svl_bus_pump(bus, 5, 0, &n)); /* the gap is behind what was there */
    assert_int_equal(n, 5);
    assert_true(told == 0);
    assert_ok(publish_number(bus, 2000, PADDING));
    assert_int_equal(pump_all(bus), kept - 5 + 1 + 1);
    assert_true(told == 42);
    assert_int_equal(told_at, kept);
    assert_true(seen.n == kept + 1 && seen.numbers[kept] == 2000);
    assert_true(stats_of(bus).dropped_full == 42 && stats_of(bus).refused_full == 0);
    assert_ok(svl_bus_destroy(bus));
}

static void test_drops_when_stopped_then_told_before_closed(void **state)
{
    (void)state;
    bus = create_bus(0, SVL_FULL_DROP_NEW);
    subscribe_gaps();
    while (stats_of(bus).dropped_full < 7)
        assert_ok(publish_number(bus, 1, PADDING));
    assert_ok(svl_bus_stop(bus));
    assert_int_equal(publish_number(bus, 1, PADDING), SVL_E_CLOSED);
    pump_all(bus);
    assert_true(told == 7);
    assert_ok(svl_bus_destroy(bus));
    bus = create_bus(0, SVL_FULL_DROP_NEW);
    while (stats_of(bus).dropped_full < 7)
        assert_ok(publish_number(bus, 1, PADDING));
    assert_int_equal(svl_bus_destroy(bus), SVL_E_DROPPED);
}

/* --- in a callback --- */

static int published_inside;

static int publish_much(const svl_record *record, void *user)
{
    (void)record;
    (void)user;
    int rc;
    while ((rc = publish_number(bus, 1, PADDING)) == SVL_OK)
        ;
    published_inside = rc;
    return SVL_OK;
}

static void test_publish_when_full_and_block_inside_a_callback_then_it_does_not_wait(void **state)
{
    (void)state;
    svl_bus_options options;
    struct timespec before, after;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.ring_bytes = 64 << 10;
    options.full_policy = SVL_FULL_BLOCK;
    options.block_timeout_ms = 60000;
    assert_ok(svl_bus_create(&options, &bus));
    assert_ok(svl_bus_subscribe(bus, NULL, publish_much, NULL, NULL));
    assert_ok(publish_number(bus, 0, PADDING));
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_ok(svl_bus_pump(bus, 1, 0, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(published_inside, SVL_E_FULL);
    assert_true(after.tv_sec - before.tv_sec < 30);
    assert_int_equal(svl_bus_destroy(bus), SVL_E_DROPPED);
}

/* --- publishers that wait --- */

static _Atomic int refused;

static void *publish_and_wait(void *unused)
{
    (void)unused;
    int rc;
    do {
        rc = publish_number(bus, 1, PADDING);
        if (rc == SVL_E_FULL)
            atomic_fetch_add(&refused, 1);
    } while (rc == SVL_OK || rc == SVL_E_FULL);
    return (void *)(intptr_t)rc;
}

static void test_publishers_when_blocked_then_stop_wakes_them(void **state)
{
    (void)state;
    svl_bus_options options;
    pthread_t threads[4];
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.ring_bytes = 64 << 10;
    options.block_timeout_ms = 600000;
    assert_ok(svl_bus_create(&options, &bus));
    atomic_store(&refused, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_and_wait, NULL), 0);
    while (stats_of(bus).ring_used_bytes < 60 << 10)
        pause_ms(1);
    pause_ms(10);
    assert_ok(svl_bus_stop(bus));
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_int_equal((int)(intptr_t)result, SVL_E_CLOSED);
    }
    assert_int_equal(atomic_load(&refused), 0);
    assert_true(pump_all(bus) > 30);
    assert_ok(svl_bus_destroy(bus));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ring_when_full_and_fail_then_refused_and_counted, start),
        cmocka_unit_test_setup(test_ring_when_full_and_block_then_waits_its_time, start),
        cmocka_unit_test_setup(
            test_ring_when_full_and_drop_then_a_gap_record_says_how_many_and_where, start),
        cmocka_unit_test_setup(test_drops_when_stopped_then_told_before_closed, start),
        cmocka_unit_test_setup(
            test_publish_when_full_and_block_inside_a_callback_then_it_does_not_wait, start),
        cmocka_unit_test_setup(test_publishers_when_blocked_then_stop_wakes_them, start),
    };
    return cmocka_run_group_tests_name("bus/bus_full", tests, NULL, NULL);
}
