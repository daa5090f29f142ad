/* Many producers; a consumer that sleeps, or polls; a releaser behind it; waits for space, or drops: nothing is lost,
 * doubled or out of a producer's order, and every drop is told. A lost wake is a hang. In builds with -Dsteps=true each
 * atomic step may yield. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "ring/layout.h"
#include "support/support.h"

#define PRODUCERS_MAX 16
#define RECORDS 24000 /* of all producers */
#define DISCARDED_EVERY 97

static struct ring *ring;
static _Atomic uint64_t released_to;
static _Atomic bool finished;

static const struct stress_case {
    uint32_t producers;
    bool polls; /* the consumer, on a descriptor */
    bool drops; /* the producers, when the ring is full */
} cases[] = {
    { .producers = 1 },
    { .producers = 2 },
    { .producers = 4 },
    { .producers = 8 },
    { .producers = 16 },
    { .producers = 1, .polls = true },
    { .producers = 3, .polls = true },
    { .producers = 16, .polls = true },
    { .producers = 2, .drops = true },
    { .producers = 5, .polls = true, .drops = true },
    { .producers = 16, .drops = true },
};
static const struct stress_case *now;

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

static uint32_t records_each(void)
{
    return RECORDS / now->producers;
}

static bool is_discarded(uint32_t number)
{
    return !now->drops && number % DISCARDED_EVERY == DISCARDED_EVERY - 1;
}

/* SVL_E_DROPPED: counted. */
static int reserve(uint32_t len, struct ring_slot *slot)
{
    if (!now->drops)
        return svl__ring_reserve_wait(ring, len, svl__deadline_ns(60000), slot);
    int rc = svl__ring_reserve(ring, len, slot);
    return rc == SVL_E_FULL && svl__ring_count_dropped(ring) ? SVL_E_DROPPED : rc;
}

static void *produce(void *argument)
{
    uint32_t producer = (uint32_t)(uintptr_t)argument;
    yields.state = test_seed() + producer;
    for (uint32_t number = 0; number < records_each(); number++) {
        uint32_t len = (uint32_t)(sizeof(struct record) + rng_below(&yields, 300));
        struct ring_slot slot;
        int rc = reserve(len, &slot);
        if (rc == SVL_E_DROPPED)
            continue;
        if (rc != SVL_OK)
            return "reserve failed";
        struct record record = { producer, number };
        memcpy(slot.payload, &record, sizeof record);
        memset(slot.payload + sizeof record, (int)(number & 0xff), len - sizeof record);
        if (is_discarded(number)) {
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
    yields.state = test_seed() + PRODUCERS_MAX;
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

static void check_record(const struct ring_frame *frame, uint32_t next[PRODUCERS_MAX])
{
    struct record record;
    assert_true(frame->len >= sizeof record);
    memcpy(&record, frame->payload, sizeof record);
    assert_true(record.producer < now->producers);
    uint32_t *expected = &next[record.producer];
    if (is_discarded(*expected))
        ++*expected;
    if (now->drops)
        assert_true(record.number >= *expected);
    else
        assert_int_equal(record.number, *expected);
    *expected = record.number + 1;
    for (uint32_t i = sizeof record; i < frame->len; i++)
        assert_int_equal(frame->payload[i], record.number & 0xff);
}

static bool make_readable(void *user)
{
    uint64_t one = 1;
    return write(*(int *)user, &one, sizeof one) == sizeof one;
}

/* Until there is something to take. A stalled claim is not looked for: what is not woken hangs. */
static void wait_for_more(int fd)
{
    int64_t again_ns;
    uint64_t count;
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    if (!now->polls) {
        svl__ring_sleep(ring, INT64_MAX);
    } else if (svl__ring_arm(ring, &again_ns)) {
        assert_int_equal(poll(&polled, 1, -1), 1);
        assert_int_equal(read(fd, &count, sizeof count), sizeof count);
    }
}

static uint64_t records_expected(void)
{
    uint64_t n = 0;
    for (uint32_t number = 0; number < records_each(); number++)
        n += !is_discarded(number);
    return n * now->producers;
}

static void consume_all(int fd)
{
    uint32_t next[PRODUCERS_MAX] = { 0 };
    uint64_t taken = 0, expected = records_expected();
    while (taken + svl__ring_dropped(ring) < expected) {
        struct ring_frame frame = { .len = 0 };
        uint64_t before = taken;
        while (svl__ring_next(ring, &frame)) {
            check_record(&frame, next);
            taken++;
            atomic_store_explicit(&released_to, frame.end, memory_order_release);
        }
        assert_false(svl__ring_is_broken(ring));
        atomic_store_explicit(&released_to, svl__ring_drained(ring), memory_order_release);
        if (taken == before && taken + svl__ring_dropped(ring) < expected)
            wait_for_more(fd);
    }
    assert_true(taken + svl__ring_dropped_end(ring) == expected);
}

static void run_case(void)
{
    struct ring_options options = { .capacity = RING_BYTES_MIN };
    int fd = eventfd(0, EFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(svl__ring_create(&options, &ring));
    if (now->polls)
        svl__ring_wake_by(ring, make_readable, &fd);
#if defined(SVL_STEPS)
    svl__ring_step = yield_sometimes;
#endif
    atomic_store(&finished, false);
    atomic_store(&released_to, 0);
    yields.state = test_seed();
    pthread_t producers[PRODUCERS_MAX], releaser;
    assert_int_equal(pthread_create(&releaser, NULL, release, NULL), 0);
    for (uintptr_t i = 0; i < now->producers; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
    consume_all(fd);
    for (uint32_t i = 0; i < now->producers; i++) {
        void *result;
        pthread_join(producers[i], &result);
        assert_null(result);
    }
    atomic_store(&finished, true);
    pthread_join(releaser, NULL);
#if defined(SVL_STEPS)
    svl__ring_step = NULL;
#endif
    svl__ring_destroy(ring);
    close(fd);
}

static void test_producers_when_many_then_each_in_order_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        now = &cases[i];
        run_case();
    }
}

/* --- close --- */

#define CLOSE_ROUNDS 200
#define CLOSE_PRODUCERS 4

static void *produce_until_closed(void *committed)
{
    struct ring_slot slot;
    yields.state = test_seed() + (uintptr_t)committed;
    for (;;) {
        int rc = svl__ring_reserve_wait(ring, 2000, INT64_MAX, &slot);
        if (rc != SVL_OK)
            return rc == SVL_E_CLOSED ? NULL : "neither reserved nor closed";
        memset(slot.payload, 0x55, 2000);
        svl__ring_commit(&slot);
        ++*(uint64_t *)committed;
    }
}

static void *close_ring(void *unused)
{
    (void)unused;
    yields.state = test_seed();
    for (uint64_t n = rng_below(&yields, 50); n > 0; n--)
        sched_yield();
    atomic_store(&released_to, svl__ring_close(ring));
    svl__ring_wake(ring);
    return NULL;
}

static void test_close_when_producers_are_at_it_then_what_was_committed_comes_and_no_more(
    void **state)
{
    (void)state;
    struct ring_options options = { .capacity = RING_BYTES_MIN };
#if defined(SVL_STEPS)
    svl__ring_step = yield_sometimes;
#endif
    for (int round = 0; round < CLOSE_ROUNDS; round++) {
        pthread_t producers[CLOSE_PRODUCERS], closer;
        uint64_t committed[CLOSE_PRODUCERS] = { 0 }, taken = 0, sum = 0;
        assert_ok(svl__ring_create(&options, &ring));
        atomic_store(&released_to, UINT64_MAX);
        for (size_t i = 0; i < CLOSE_PRODUCERS; i++)
            assert_int_equal(
                pthread_create(&producers[i], NULL, produce_until_closed, &committed[i]), 0);
        assert_int_equal(pthread_create(&closer, NULL, close_ring, NULL), 0);
        while (svl__ring_drained(ring) != atomic_load(&released_to)) {
            struct ring_frame frame;
            if (svl__ring_next(ring, &frame)) {
                taken++;
                svl__ring_release(ring, frame.end);
            } else {
                svl__ring_release(ring, svl__ring_drained(ring));
                if (svl__ring_drained(ring) != atomic_load(&released_to))
                    svl__ring_sleep(ring, INT64_MAX);
            }
        }
        for (size_t i = 0; i < CLOSE_PRODUCERS; i++) {
            void *result;
            pthread_join(producers[i], &result);
            assert_null(result);
            sum += committed[i];
        }
        pthread_join(closer, NULL);
        assert_true(taken == sum && svl__ring_tail(ring) == svl__ring_drained(ring));
        svl__ring_destroy(ring);
    }
#if defined(SVL_STEPS)
    svl__ring_step = NULL;
#endif
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

static struct ring *create_full(void)
{
    struct ring_options options = { .capacity = RING_BYTES_MIN };
    struct ring *full;
    struct ring_slot slot;
    assert_ok(svl__ring_create(&options, &full));
    while (svl__ring_reserve(full, 1000, &slot) == SVL_OK)
        svl__ring_commit(&slot);
    return full;
}

/* A thread in wait_for_space(), most likely asleep by now; without end: a wake that is missed is a test that hangs. */
static pthread_t start_waiter(struct ring *full)
{
    pthread_t waiter;
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_space, full), 0);
    while (atomic_load(&full->control->space_waiters) == 0)
        sched_yield();
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    return waiter;
}

static void end_waiter(struct ring *full, pthread_t waiter, int expected)
{
    void *result;
    pthread_join(waiter, &result);
    assert_int_equal((int)(intptr_t)result, expected);
    assert_int_equal(atomic_load(&full->control->space_waiters), 0);
    svl__ring_destroy(full);
}

static void test_space_when_closed_under_a_sleeper_then_it_wakes(void **state)
{
    (void)state;
    struct ring *full = create_full();
    pthread_t waiter = start_waiter(full);
    svl__ring_close(full);
    end_waiter(full, waiter, SVL_E_CLOSED);
}

/* More is taken than is released: the ring is not empty, as far as producers can see. */
static void test_space_when_half_of_it_is_released_then_who_sleeps_wakes(void **state)
{
    (void)state;
    struct ring *full = create_full();
    pthread_t waiter = start_waiter(full);
    struct ring_frame frame;
    uint64_t half = 0;
    while (svl__ring_next(full, &frame))
        half = frame.end <= RING_BYTES_MIN / 2 ? frame.end : half;
    svl__ring_release(full, half);
    end_waiter(full, waiter, SVL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_when_many_then_each_in_order_once),
        cmocka_unit_test(
            test_close_when_producers_are_at_it_then_what_was_committed_comes_and_no_more),
        cmocka_unit_test(test_sleep_when_woken_before_or_during_then_ends),
        cmocka_unit_test(test_space_when_waited_for_then_close_or_time_out_ends_it),
        cmocka_unit_test(test_space_when_closed_under_a_sleeper_then_it_wakes),
        cmocka_unit_test(test_space_when_half_of_it_is_released_then_who_sleeps_wakes),
    };
    return cmocka_run_group_tests_name("ring/stress", tests, NULL, NULL);
}
