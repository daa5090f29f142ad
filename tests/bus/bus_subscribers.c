/* Subscribers that come and go while records flow: from callbacks, from other threads; who waits for whom,
 * and when `user` is free. */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "events.h"

static svl_bus *bus;
static struct seen seen, other;
static int releases;

static int start(void **state)
{
    (void)state;
    seen.n = other.n = 0;
    releases = 0;
    bus = create_bus(0, SVL_FULL_FAIL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    svl_bus_destroy(bus);
    return 0;
}

static void released(void *user)
{
    assert_non_null(user);
    releases++;
}

static void publish_some(int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        assert_ok(publish_number(bus, i, 0));
}

static void test_subscriber_when_unsubscribed_then_called_no_more_and_released(void **state)
{
    (void)state;
    svl_bus_subscription *subscription;
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, &subscription));
    assert_ok(svl_bus_subscribe(bus, NULL, see, &other, NULL));
    publish_some(2);
    pump_all(bus);
    publish_some(3);
    assert_ok(svl_bus_unsubscribe(subscription, released));
    assert_int_equal(releases, 1);
    pump_all(bus);
    assert_int_equal(seen.n, 2);
    assert_int_equal(other.n, 5);
    assert_true(stats_of(bus).subscriptions == 1);
}

/* --- in callbacks --- */

static svl_bus_subscription *own, *next_one;

static void released_in_callback(void *user)
{
    released(user);
    assert_int_equal(svl_bus_pump(bus, 0, 0, NULL), SVL_E_DEADLOCK);
}

static int leave(const svl_record *record, void *user)
{
    see(record, user);
    assert_ok(svl_bus_unsubscribe(own, released_in_callback));
    assert_int_equal(releases, 0); /* `user` is in use until this has returned */
    return SVL_OK;
}

static void test_subscriber_when_it_unsubscribes_itself_then_this_was_its_last_call(void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, leave, &seen, &own));
    assert_ok(svl_bus_subscribe(bus, NULL, see, &other, NULL));
    publish_some(3);
    assert_int_equal(pump_all(bus), 3);
    assert_int_equal(seen.n, 1);
    assert_int_equal(other.n, 3);
    assert_int_equal(releases, 1);
    assert_true(stats_of(bus).subscriptions == 1);
}

static int remove_next(const svl_record *record, void *user)
{
    see(record, user);
    assert_ok(svl_bus_unsubscribe(next_one, released));
    assert_int_equal(releases, seen.n == 1); /* at once: it is not in its callback */
    next_one = NULL;
    return SVL_OK;
}

static void test_subscriber_when_another_unsubscribes_it_then_not_called_for_this_record(
    void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, remove_next, &seen, NULL));
    assert_ok(svl_bus_subscribe(bus, NULL, see, &other, &next_one));
    publish_some(1);
    pump_all(bus);
    assert_int_equal(other.n, 0);
    assert_true(stats_of(bus).subscriptions == 1);
}

static int add_another(const svl_record *record, void *user)
{
    see(record, user);
    if (number_of(record) == 1)
        assert_ok(svl_bus_subscribe(bus, NULL, see, &other, NULL));
    return SVL_OK;
}

static void test_subscriber_when_added_in_a_callback_then_it_sees_the_next_record(void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, add_another, &seen, NULL));
    publish_some(4);
    pump_all(bus);
    assert_int_equal(seen.n, 4);
    assert_int_equal(other.n, 2);
    assert_true(other.numbers[0] == 2 && other.numbers[1] == 3);
}

static int wait_for_itself(const svl_record *record, void *user)
{
    size_t n = 9;
    see(record, user);
    assert_int_equal(svl_bus_pump(bus, 0, 0, &n), SVL_E_DEADLOCK);
    assert_int_equal(n, 0);
    assert_int_equal(svl_bus_destroy(bus), SVL_E_DEADLOCK);
    assert_ok(svl_bus_wake(bus));
    assert_true(stats_of(bus).calls == seen.n - 1);
    if (number_of(record) == 1)
        assert_ok(svl_bus_stop(bus));
    return SVL_OK;
}

static void test_callback_when_it_would_wait_for_itself_then_deadlock(void **state)
{
    (void)state;
    assert_ok(svl_bus_subscribe(bus, NULL, wait_for_itself, &seen, NULL));
    publish_some(3);
    assert_ok(svl_bus_pump(bus, 0, 0, NULL));
    assert_int_equal(seen.n, 3); /* stopped in the second: what was published still came */
    assert_int_equal(svl_bus_pump(bus, 0, 0, NULL), SVL_E_CLOSED);
}

static svl_bus *second;

static int pump_second(const svl_record *record, void *user)
{
    see(record, user);
    assert_ok(publish_number(second, number_of(record), 0));
    assert_ok(svl_bus_pump(second, 0, 0, NULL));
    return SVL_OK;
}

static void test_callback_when_it_pumps_another_bus_then_it_may(void **state)
{
    (void)state;
    second = create_bus(0, SVL_FULL_FAIL);
    assert_ok(svl_bus_subscribe(bus, NULL, pump_second, &seen, NULL));
    assert_ok(svl_bus_subscribe(second, NULL, see, &other, NULL));
    publish_some(2);
    pump_all(bus);
    assert_true(seen.n == 2 && other.n == 2);
    assert_ok(svl_bus_destroy(second));
}

/* --- from other threads --- */

static _Atomic int inside, may_return, holds;

static int hold(const svl_record *record, void *user)
{
    (void)record;
    (void)user;
    atomic_fetch_add(&holds, 1);
    atomic_store(&inside, 1);
    while (!atomic_load(&may_return))
        pause_ms(1);
    pause_ms(5);
    atomic_store(&inside, 0);
    return SVL_OK;
}

static void *pump_once(void *unused)
{
    assert_ok(svl_bus_pump(bus, 0, -1, NULL));
    return unused;
}

static void not_inside(void *user)
{
    assert_ptr_equal(user, &inside);
    assert_int_equal(atomic_load(&inside), 0);
    releases++;
}

static void *unsubscribe(void *subscription)
{
    assert_ok(svl_bus_unsubscribe(subscription, not_inside));
    assert_int_equal(atomic_load(&inside), 0);
    return NULL;
}

static void test_unsubscribe_when_its_callback_runs_elsewhere_then_it_waits(void **state)
{
    (void)state;
    svl_bus_subscription *subscription;
    pthread_t pump, thread;
    atomic_store(&may_return, 0);
    atomic_store(&holds, 0);
    assert_ok(svl_bus_subscribe(bus, NULL, hold, &inside, &subscription));
    publish_some(3);
    assert_int_equal(pthread_create(&pump, NULL, pump_once, NULL), 0);
    while (!atomic_load(&inside))
        pause_ms(1);
    assert_int_equal(svl_bus_pump(bus, 0, 0, NULL), SVL_E_BUSY);
    assert_int_equal(pthread_create(&thread, NULL, unsubscribe, subscription), 0);
    while (stats_of(bus).subscriptions > 0)
        pause_ms(1);
    assert_int_equal(releases, 0);
    atomic_store(&may_return, 1);
    pthread_join(thread, NULL);
    pthread_join(pump, NULL);
    assert_int_equal(releases, 1);
    assert_int_equal(atomic_load(&holds), 1); /* not for the records behind */
}

static _Atomic bool finished;

static int count_call(const svl_record *record, void *user)
{
    (void)record;
    atomic_fetch_add((_Atomic int *)user, 1);
    return SVL_OK;
}

static void *come_and_go(void *seed)
{
    struct rng rng = { (uint64_t)(uintptr_t)seed };
    while (!atomic_load(&finished)) {
        svl_bus_subscription *some[4];
        _Atomic int calls[4] = { 0 };
        for (int i = 0; i < 4; i++)
            assert_ok(svl_bus_subscribe(bus, NULL, count_call, (void *)&calls[i], &some[i]));
        if (rng_below(&rng, 4) == 0)
            pause_ms(1);
        for (int i = 0; i < 4; i++) {
            assert_ok(svl_bus_unsubscribe(some[i], NULL));
            atomic_store(&calls[i], INT_MIN); /* nobody calls any more: its memory may go */
        }
        for (int i = 0; i < 4; i++)
            assert_int_equal(atomic_load(&calls[i]), INT_MIN);
    }
    return NULL;
}

static void test_subscribers_when_they_come_and_go_all_the_time_then_one_that_stays_sees_all(
    void **state)
{
    (void)state;
    pthread_t threads[3];
    atomic_store(&finished, false);
    assert_ok(svl_bus_subscribe(bus, NULL, see, &seen, NULL));
    uint64_t seed = test_seed();
    for (uint64_t i = 0; i < 3; i++) {
        void *argument = (void *)(uintptr_t)(seed + i);
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, argument), 0);
    }
    for (int64_t i = 0; i < SEEN_MAX; i += 16) {
        for (int64_t k = i; k < i + 16; k++)
            assert_ok(publish_number(bus, k, 0));
        pump_all(bus);
    }
    atomic_store(&finished, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(seen.n, SEEN_MAX);
    for (int64_t i = 0; i < SEEN_MAX; i++)
        assert_true(seen.numbers[i] == i);
    assert_true(stats_of(bus).subscriptions == 1);
}

int main(void)
{
#define BUS_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
    const struct CMUnitTest tests[] = {
        BUS_TEST(test_subscriber_when_unsubscribed_then_called_no_more_and_released),
        BUS_TEST(test_subscriber_when_it_unsubscribes_itself_then_this_was_its_last_call),
        BUS_TEST(test_subscriber_when_another_unsubscribes_it_then_not_called_for_this_record),
        BUS_TEST(test_subscriber_when_added_in_a_callback_then_it_sees_the_next_record),
        BUS_TEST(test_callback_when_it_would_wait_for_itself_then_deadlock),
        BUS_TEST(test_callback_when_it_pumps_another_bus_then_it_may),
        BUS_TEST(test_unsubscribe_when_its_callback_runs_elsewhere_then_it_waits),
        BUS_TEST(test_subscribers_when_they_come_and_go_all_the_time_then_one_that_stays_sees_all),
    };
    return cmocka_run_group_tests_name("bus/bus_subscribers", tests, NULL, NULL);
}
