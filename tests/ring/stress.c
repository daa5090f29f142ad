/* Many producers, a consumer that sleeps, a releaser behind it, waits for space: nothing is lost, doubled
 * or out of a producer's order. In builds with -Dsteps=true each atomic step may yield. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "ring/ring.h"
#include "support/support.h"

#define PRODUCERS 8
#define RECORDS 6000

static struct ring *ring;
static _Atomic uint64_t released_to;
static _Atomic bool finished;

static _Thread_local struct rng yields;

#if defined(SVL_STEPS)
static void yield_sometimes(const char *name)
{
    (void)name;
    if (rng_below(&yields, 16) == 0)
        sched_yield();
}
#endif

struct record {
    uint32_t producer;
    uint32_t number;
};

static void *produce(void *argument)
{
    uint32_t producer = (uint32_t)(uintptr_t)argument;
    yields.state = test_seed() + producer;
    for (uint32_t number = 0; number < RECORDS; number++) {
        uint32_t len = (uint32_t)(sizeof(struct record) + rng_below(&yields, 300));
        struct ring_slot slot;
        int rc = svl__ring_reserve_wait(ring, len, svl__deadline_ns(60000), &slot);
        if (rc != SVL_OK)
            return "reserve failed";
        struct record record = { producer, number };
        memcpy(slot.payload, &record, sizeof record);
        memset(slot.payload + sizeof record, (int)(number & 0xff), len - sizeof record);
        if (number % 97 == 96) {
            svl__ring_discard(&slot);
            continue;
        }
        svl__ring_commit(&slot);
    }
    return NULL;
}

/* As the flusher does: behind the consumer, on a thread of its own. */
static void *release(void *unused)
{
    (void)unused;
    uint64_t done = 0;
    while (!atomic_load(&finished) || done < atomic_load(&released_to)) {
        uint64_t to = atomic_load_explicit(&released_to, memory_order_acquire);
        if (to == done) {
            sched_yield();
            continue;
        }
        svl__ring_release(ring, to);
        done = to;
    }
    return NULL;
}

static void check_record(const struct ring_frame *frame, uint32_t next[PRODUCERS])
{
    struct record record;
    assert_true(frame->len >= sizeof record);
    memcpy(&record, frame->payload, sizeof record);
    assert_true(record.producer < PRODUCERS);
    uint32_t *expected = &next[record.producer];
    if (*expected % 97 == 96)
        ++*expected; /* that one was discarded */
    assert_int_equal(record.number, *expected);
    ++*expected;
    for (uint32_t i = sizeof record; i < frame->len; i++)
        assert_int_equal(frame->payload[i], record.number & 0xff);
}

static void test_producers_when_many_then_each_in_order_once(void **state)
{
    (void)state;
    struct ring_options options = { .capacity = RING_BYTES_MIN };
    assert_ok(svl__ring_create(&options, &ring));
#if defined(SVL_STEPS)
    svl__ring_step = yield_sometimes;
#endif
    yields.state = test_seed();
    pthread_t producers[PRODUCERS], releaser;
    uint32_t next[PRODUCERS] = { 0 };
    assert_int_equal(pthread_create(&releaser, NULL, release, NULL), 0);
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
    uint64_t left = 0;
    for (uint32_t n = 0; n < RECORDS; n++)
        left += n % 97 != 96;
    left *= PRODUCERS;
    while (left > 0) {
        struct ring_frame frame;
        if (!svl__ring_next(ring, &frame)) {
            atomic_store_explicit(&released_to, svl__ring_drained(ring), memory_order_release);
            svl__ring_sleep(ring, svl__deadline_ns(60000));
            continue;
        }
        check_record(&frame, next);
        left--;
        atomic_store_explicit(&released_to, frame.end, memory_order_release);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        void *result;
        pthread_join(producers[i], &result);
        assert_null(result);
    }
    atomic_store(&finished, true);
    pthread_join(releaser, NULL);
    svl__ring_destroy(ring);
}

static void *wake_later(void *argument)
{
    sched_yield();
    svl__ring_wake(argument);
    return NULL;
}

static void test_sleep_when_woken_before_or_during_then_ends(void **state)
{
    (void)state;
    struct ring_options options = { .capacity = RING_BYTES_MIN };
    struct ring *empty;
    assert_ok(svl__ring_create(&options, &empty));
    for (int i = 0; i < 200; i++) {
        pthread_t waker;
        assert_int_equal(pthread_create(&waker, NULL, wake_later, empty), 0);
        svl__ring_sleep(empty, INT64_MAX); /* hangs if the wake is lost */
        pthread_join(waker, NULL);
    }
    svl__ring_sleep(empty, svl__deadline_ns(1));
    svl__ring_sleep(empty, svl__deadline_ns(1));
    svl__ring_destroy(empty);
}

static void *wait_for_space(void *argument)
{
    struct ring_slot slot;
    int rc = svl__ring_reserve_wait(argument, 1000, INT64_MAX, &slot);
    return (void *)(intptr_t)rc;
}

static void test_space_when_waited_for_then_close_or_time_out_ends_it(void **state)
{
    (void)state;
    struct ring_options options = { .capacity = RING_BYTES_MIN };
    struct ring *full;
    struct ring_slot slot;
    assert_ok(svl__ring_create(&options, &full));
    while (svl__ring_reserve(full, 1000, &slot) == SVL_OK)
        svl__ring_commit(&slot);
    assert_int_equal(svl__ring_reserve_wait(full, 1000, svl__deadline_ns(2), &slot), SVL_E_FULL);
    pthread_t waiter;
    void *result;
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_space, full), 0);
    sched_yield();
    svl__ring_close(full);
    pthread_join(waiter, &result);
    assert_int_equal((int)(intptr_t)result, SVL_E_CLOSED);
    svl__ring_destroy(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_when_many_then_each_in_order_once),
        cmocka_unit_test(test_sleep_when_woken_before_or_during_then_ends),
        cmocka_unit_test(test_space_when_waited_for_then_close_or_time_out_ends_it),
    };
    return cmocka_run_group_tests_name("ring/stress", tests, NULL, NULL);
}
