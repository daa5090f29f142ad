/* A consumer that polls: it is woken by a function, once for each time that it has armed, and also by the commit of
 * a claim that was open then. */
#include "base/clock.h"
#include "ring/ring.h"
#include "support/support.h"

static struct ring *ring;
static int wakes;

static bool count_wake(void *user)
{
    ++*(int *)user;
    return true;
}

static int open_ring(void **state)
{
    (void)state;
    struct ring_options options = { .capacity = 64 << 10 };
    wakes = 0;
    assert_ok(svl__ring_create(&options, &ring));
    svl__ring_wake_by(ring, count_wake, &wakes);
    return 0;
}

static int close_ring(void **state)
{
    (void)state;
    svl__ring_destroy(ring);
    return 0;
}

static struct ring_slot reserve(void)
{
    struct ring_slot slot;
    assert_ok(svl__ring_reserve(ring, 8, &slot));
    return slot;
}

static void commit(void)
{
    struct ring_slot slot = reserve();
    svl__ring_commit(&slot);
}

static bool arm(void)
{
    int64_t again_ns;
    bool armed = svl__ring_arm(ring, &again_ns);
    assert_true(again_ns == INT64_MAX);
    return armed;
}

static void take_all(void)
{
    struct ring_frame frame;
    while (svl__ring_next(ring, &frame))
        ;
    svl__ring_release(ring, svl__ring_drained(ring));
}

static void test_commit_when_nobody_polls_then_no_wake(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        commit();
    assert_int_equal(wakes, 0);
    assert_false(arm()); /* there is something to take */
    take_all();
    assert_true(arm());
}

static void test_commit_when_armed_then_one_wake(void **state)
{
    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_true(arm());
        commit();
        commit();
        assert_int_equal(wakes, i);
        take_all();
    }
}

static void test_claim_when_open_at_the_look_then_its_end_wakes(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) {
        struct ring_slot slot = reserve();
        int64_t again_ns;
        assert_true(svl__ring_arm(ring, &again_ns));
        assert_true(again_ns != INT64_MAX); /* a stalled one is to be found */
        assert_int_equal(wakes, i - 1);
        if (i == 1)
            svl__ring_commit(&slot);
        else
            svl__ring_discard(&slot);
        assert_int_equal(wakes, i);
        take_all();
        assert_true(svl__ring_drained(ring) == svl__ring_tail(ring));
    }
}

static void test_claims_when_the_later_one_ends_first_then_both_are_heard_of(void **state)
{
    (void)state;
    int64_t again_ns;
    struct ring_slot first = reserve(), second = reserve();
    assert_true(svl__ring_arm(ring, &again_ns));
    svl__ring_commit(&second);
    assert_int_equal(wakes, 1);
    take_all(); /* nothing: the first is open */
    assert_true(svl__ring_arm(ring, &again_ns));
    svl__ring_commit(&first);
    assert_int_equal(wakes, 2);
    take_all();
    assert_true(svl__ring_drained(ring) == svl__ring_tail(ring));
}

static void test_drop_when_armed_then_wakes_and_is_looked_at(void **state)
{
    (void)state;
    assert_true(arm());
    assert_true(svl__ring_count_dropped(ring));
    assert_int_equal(wakes, 1);
    assert_false(arm());
    assert_int_equal(svl__ring_dropped(ring), 1);
    assert_true(arm());
}

static void test_close_when_armed_then_wakes(void **state)
{
    (void)state;
    assert_true(arm());
    svl__ring_close(ring);
    assert_int_equal(wakes, 1);
}

static void test_look_when_little_was_found_then_the_next_is_a_moment_later(void **state)
{
    (void)state;
    assert_int_equal(svl__ring_next_look_ns(0), 0);
    assert_int_equal(svl__ring_next_look_ns(8192), 0);
    assert_int_not_equal(svl__ring_next_look_ns(8191), 0);
    int64_t start_ns = svl__monotonic_ns(), next_ns = svl__ring_next_look_ns(1);
    assert_true(next_ns > start_ns && next_ns <= svl__monotonic_ns() + NS_PER_MS);
    svl__spin_until(next_ns);
    assert_true(svl__monotonic_ns() >= next_ns);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ring, close_ring)
    const struct CMUnitTest tests[] = {
        TEST(test_commit_when_nobody_polls_then_no_wake),
        TEST(test_commit_when_armed_then_one_wake),
        TEST(test_claim_when_open_at_the_look_then_its_end_wakes),
        TEST(test_claims_when_the_later_one_ends_first_then_both_are_heard_of),
        TEST(test_drop_when_armed_then_wakes_and_is_looked_at),
        TEST(test_close_when_armed_then_wakes),
        TEST(test_look_when_little_was_found_then_the_next_is_a_moment_later),
    };
    return cmocka_run_group_tests_name("ring/polled", tests, NULL, NULL);
}
