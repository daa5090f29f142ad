/* Publishers on many threads and one that pumps, the host's or the bus' own: nothing is lost, doubled or
 * out of a publisher's order; waits end when they should. */
#include <pthread.h>
#include <stdatomic.h>

#include "events.h"

#define PUBLISHERS 4
#define RECORDS 5000

static svl_bus *bus;

/* What the subscriber has seen of each publisher. */
static int64_t next_of[PUBLISHERS];
static uint64_t seen_count, told_dropped;

static int see_in_order(const svl_record *record, void *user)
{
    (void)user;
    int64_t number = number_of(record), publisher = number / RECORDS;
    assert_true(publisher < PUBLISHERS);
    assert_true(number % RECORDS >= next_of[publisher]);
    next_of[publisher] = number % RECORDS + 1;
    seen_count++;
    return SVL_OK;
}

static int see_gap(const svl_record *record, void *user)
{
    (void)user;
    told_dropped += (uint64_t)record->attributes[0].i64;
    return SVL_OK;
}

static _Atomic uint64_t taken;

static void *publish_all(void *argument)
{
    int64_t first = (int64_t)(intptr_t)argument * RECORDS;
    for (int64_t i = 0; i < RECORDS; i++) {
        int rc = publish_number(bus, first + i, (size_t)i % 64);
        assert_true(rc == SVL_OK || rc == SVL_E_FULL);
        atomic_fetch_add(&taken, rc == SVL_OK);
    }
    return NULL;
}

static void *pump_to_the_end(void *unused)
{
    (void)unused;
    int rc;
    while ((rc = svl_bus_pump(bus, 100, -1, NULL)) == SVL_OK)
        ;
    return (void *)(intptr_t)rc;
}

static void subscribe_both(void)
{
    svl_bus_subscription_options options;
    assert_ok(svl_bus_subscription_options_init(&options, sizeof options));
    options.filter.source = "serverlog.gap";
    assert_ok(svl_bus_subscribe(bus, NULL, see_in_order, NULL, NULL));
    assert_ok(svl_bus_subscribe(bus, &options, see_gap, NULL, NULL));
    memset(next_of, 0, sizeof next_of);
    seen_count = told_dropped = 0;
    atomic_store(&taken, 0);
}

static void run_publishers(void)
{
    pthread_t threads[PUBLISHERS];
    for (intptr_t i = 0; i < PUBLISHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_all, (void *)i), 0);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
}

static void assert_nothing_lost(uint32_t policy)
{
    assert_true(seen_count + told_dropped == atomic_load(&taken));
    if (policy != SVL_FULL_FAIL)
        assert_true(atomic_load(&taken) == (uint64_t)PUBLISHERS * RECORDS);
    if (policy != SVL_FULL_DROP_NEW)
        assert_true(told_dropped == 0);
}

static svl_bus *create_patient(uint32_t flags, uint32_t policy)
{
    svl_bus_options options;
    svl_bus *made;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.flags = flags;
    options.ring_bytes = 64 << 10;
    options.full_policy = policy;
    options.block_timeout_ms = 600000;
    assert_ok(svl_bus_create(&options, &made));
    return made;
}

static void test_publishers_when_one_thread_pumps_then_nothing_lost_by_any_policy(void **state)
{
    (void)state;
    for (uint32_t policy = SVL_FULL_BLOCK; policy <= SVL_FULL_DROP_NEW; policy++) {
        pthread_t pump;
        void *result;
        bus = create_patient(0, policy);
        subscribe_both();
        assert_int_equal(pthread_create(&pump, NULL, pump_to_the_end, NULL), 0);
        run_publishers();
        assert_ok(svl_bus_stop(bus));
        pthread_join(pump, &result);
        assert_int_equal((int)(intptr_t)result, SVL_E_CLOSED);
        assert_nothing_lost(policy);
        assert_ok(svl_bus_destroy(bus));
    }
}

static void test_publishers_when_the_bus_has_a_thread_then_destroy_hands_out_the_rest(void **state)
{
    (void)state;
    for (uint32_t policy = SVL_FULL_BLOCK; policy <= SVL_FULL_DROP_NEW; policy++) {
        bus = create_patient(SVL_BUS_THREAD, policy);
        subscribe_both();
        assert_int_equal(svl_bus_pump(bus, 0, 0, NULL), SVL_E_BUSY);
        run_publishers();
        assert_ok(svl_bus_destroy(bus));
        assert_nothing_lost(policy);
    }
}

static void test_pump_when_a_record_comes_later_then_its_wait_ends(void **state)
{
    (void)state;
    pthread_t pump;
    void *result;
    bus = create_bus(0, SVL_FULL_FAIL);
    subscribe_both();
    assert_int_equal(pthread_create(&pump, NULL, pump_to_the_end, NULL), 0);
    for (int64_t i = 0; i < 20; i++) {
        pause_ms(1); /* it sleeps again by now, most often */
        assert_ok(publish_number(bus, i, 0));
    }
    while (stats_of(bus).delivered < 20)
        pause_ms(1);
    pause_ms(5);
    assert_ok(svl_bus_wake(bus));
    pthread_join(pump, &result);
    assert_int_equal((int)(intptr_t)result, SVL_E_AGAIN);
    assert_true(seen_count == 20);
    assert_int_equal(pthread_create(&pump, NULL, pump_to_the_end, NULL), 0);
    pause_ms(5);
    assert_ok(svl_bus_stop(bus));
    pthread_join(pump, &result);
    assert_int_equal((int)(intptr_t)result, SVL_E_CLOSED);
    assert_ok(svl_bus_destroy(bus));
}

/* --- a thread of its own, and a callback that does not return --- */

static _Atomic int inside, may_return;
static _Atomic bool returned;

static int hold(const svl_record *record, void *user)
{
    atomic_store(&inside, 1);
    while (!atomic_load(&may_return))
        pause_ms(1);
    assert_true(number_of(record) == 0); /* still there, and the only one */
    assert_ptr_equal(user, &inside);
    atomic_store(&returned, true);
    return SVL_OK;
}

static void test_destroy_when_a_callback_is_stuck_then_time_out_and_freed_after_it(void **state)
{
    (void)state;
    svl_bus_options options;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.flags = SVL_BUS_THREAD;
    options.destroy_timeout_ms = 10;
    assert_ok(svl_bus_create(&options, &bus));
    atomic_store(&may_return, 0);
    atomic_store(&returned, false);
    assert_ok(svl_bus_subscribe(bus, NULL, hold, &inside, NULL));
    for (int64_t i = 0; i < 3; i++)
        assert_ok(publish_number(bus, i, 0));
    while (!atomic_load(&inside))
        pause_ms(1);
    assert_int_equal(svl_bus_destroy(bus), SVL_E_TIMEOUT);
    assert_false(atomic_load(&returned));
    atomic_store(&may_return, 1);
    while (!atomic_load(&returned))
        pause_ms(1);
    pause_ms(20); /* a leak checker sees whether it was freed */
}

static int linger(const svl_record *record, void *user)
{
    (void)record;
    (void)user;
    pause_ms(5);
    return SVL_OK;
}

static void test_destroy_when_there_is_too_much_to_hand_out_then_dropped(void **state)
{
    (void)state;
    svl_bus_options options;
    assert_ok(svl_bus_options_init(&options, sizeof options));
    options.flags = SVL_BUS_THREAD;
    options.destroy_timeout_ms = 10;
    assert_ok(svl_bus_create(&options, &bus));
    assert_ok(svl_bus_subscribe(bus, NULL, linger, NULL, NULL));
    for (int64_t i = 0; i < 2000; i++)
        assert_ok(publish_number(bus, i, 0));
    assert_int_equal(svl_bus_destroy(bus), SVL_E_DROPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publishers_when_one_thread_pumps_then_nothing_lost_by_any_policy),
        cmocka_unit_test(test_publishers_when_the_bus_has_a_thread_then_destroy_hands_out_the_rest),
        cmocka_unit_test(test_pump_when_a_record_comes_later_then_its_wait_ends),
        cmocka_unit_test(test_destroy_when_a_callback_is_stuck_then_time_out_and_freed_after_it),
        cmocka_unit_test(test_destroy_when_there_is_too_much_to_hand_out_then_dropped),
    };
    return cmocka_run_group_tests_name("bus/bus_threads", tests, NULL, NULL);
}
