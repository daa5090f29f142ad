/* One producer, one consumer: every size, every place in the ring, in order. */
#include <stdlib.h>
#include <string.h>

#include "ring/ring.h"
#include "support/support.h"

#define CAPACITY RING_BYTES_MIN

static struct ring *create(void)
{
    struct ring_options options = { .capacity = CAPACITY };
    struct ring *ring;
    assert_ok(svl__ring_create(&options, &ring));
    assert_false(svl__ring_is_shared(ring));
    return ring;
}

static void publish(struct ring *ring, uint32_t len, uint8_t fill)
{
    struct ring_slot slot;
    assert_ok(svl__ring_reserve(ring, len, &slot));
    memset(slot.payload, fill, len);
    svl__ring_commit(&slot);
}

static void expect(struct ring *ring, uint32_t len, uint8_t fill)
{
    struct ring_frame frame;
    assert_true(svl__ring_next(ring, &frame));
    assert_int_equal(frame.len, len);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(frame.payload[i], fill);
    svl__ring_release(ring, frame.end);
}

static void test_payload_when_of_any_size_anywhere_then_comes_out_whole(void **state)
{
    (void)state;
    struct ring *ring = create();
    uint32_t max = svl__ring_payload_max(ring);
    struct rng rng = { test_seed() };
    for (int i = 0; i < 20000; i++) {
        uint32_t len = 1 + (uint32_t)rng_below(&rng, i % 7 == 0 ? max : 200);
        publish(ring, len, (uint8_t)i);
        expect(ring, len, (uint8_t)i);
    }
    struct ring_frame frame;
    assert_false(svl__ring_next(ring, &frame));
    struct ring_stats stats;
    svl__ring_stats_get(ring, &stats);
    assert_true(stats.used_bytes == 0 && !svl__ring_is_broken(ring));
    svl__ring_destroy(ring);
}

static void test_size_when_at_its_limits_then_taken_or_refused(void **state)
{
    (void)state;
    struct ring *ring = create();
    struct ring_slot slot;
    uint32_t max = svl__ring_payload_max(ring);
    assert_int_equal(svl__ring_reserve(ring, 0, &slot), SVL_E_RECORD_SIZE);
    assert_int_equal(svl__ring_reserve(ring, max + 1, &slot), SVL_E_RECORD_SIZE);
    publish(ring, max, 1);
    publish(ring, 1, 2);
    expect(ring, max, 1);
    expect(ring, 1, 2);
    svl__ring_destroy(ring);
}

static void test_ring_when_full_then_says_so_until_released(void **state)
{
    (void)state;
    struct ring *ring = create();
    struct ring_slot slot;
    uint32_t n = 0;
    int rc;
    while ((rc = svl__ring_reserve(ring, 56, &slot)) == SVL_OK) {
        svl__ring_commit(&slot);
        n++;
    }
    assert_int_equal(rc, SVL_E_FULL);
    assert_int_equal(n, CAPACITY / 64);
    struct ring_frame frame;
    assert_true(svl__ring_next(ring, &frame));
    assert_int_equal(svl__ring_reserve(ring, 56, &slot), SVL_E_FULL); /* taken is not released */
    svl__ring_release(ring, frame.end);
    assert_ok(svl__ring_reserve(ring, 56, &slot));
    svl__ring_discard(&slot);
    while (svl__ring_next(ring, &frame))
        n--;
    assert_int_equal(n, 1); /* all but the discarded one and the first */
    svl__ring_release(ring, svl__ring_drained(ring));
    svl__ring_destroy(ring);
}

static void test_frame_when_not_committed_then_holds_back_those_behind(void **state)
{
    (void)state;
    struct ring *ring = create();
    struct ring_slot first, second;
    struct ring_frame frame;
    assert_ok(svl__ring_reserve(ring, 8, &first));
    assert_ok(svl__ring_reserve(ring, 8, &second));
    svl__ring_commit(&second);
    assert_false(svl__ring_next(ring, &frame));
    svl__ring_commit(&first);
    assert_true(svl__ring_next(ring, &frame));
    assert_true(svl__ring_next(ring, &frame));
    assert_false(svl__ring_next(ring, &frame));
    svl__ring_destroy(ring);
}

static void test_ring_when_closed_then_refuses_and_tells_the_tail(void **state)
{
    (void)state;
    struct ring *ring = create();
    struct ring_slot slot;
    publish(ring, 8, 1);
    uint64_t tail = svl__ring_close(ring);
    assert_true(tail == 16 && svl__ring_close(ring) == tail);
    assert_int_equal(svl__ring_reserve(ring, 8, &slot), SVL_E_CLOSED);
    assert_int_equal(svl__ring_reserve_wait(ring, 8, INT64_MAX, &slot), SVL_E_CLOSED);
    expect(ring, 8, 1);
    assert_true(svl__ring_drained(ring) == tail);
    svl__ring_destroy(ring);
}

static void test_dropped_when_counted_then_taken_once(void **state)
{
    (void)state;
    struct ring *ring = create();
    assert_true(svl__ring_count_dropped(ring));
    assert_true(svl__ring_count_dropped(ring));
    assert_true(svl__ring_dropped(ring) == 2);
    svl__ring_dropped_told(ring, 3); /* nobody counted so many */
    assert_true(svl__ring_dropped_told_get(ring) == 0);
    svl__ring_dropped_told(ring, 2);
    svl__ring_dropped_told(ring, 1);
    assert_true(svl__ring_dropped_told_get(ring) == 2);
    assert_true(svl__ring_dropped_end(ring) == 2);
    assert_false(svl__ring_count_dropped(ring));
    svl__ring_destroy(ring);
}

static void test_drop_when_counted_before_the_sleep_then_not_slept_through(void **state)
{
    (void)state;
    struct ring *ring = create();
    uint32_t word;
    assert_true(svl__ring_count_dropped(ring));
    assert_false(svl__ring_sleep_begin(ring, INT64_MAX, &word));
    assert_true(svl__ring_dropped(ring) == 1);
    assert_true(svl__ring_sleep_begin(ring, INT64_MAX, &word));
    svl__ring_sleep_end(ring);
    svl__ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload_when_of_any_size_anywhere_then_comes_out_whole),
        cmocka_unit_test(test_size_when_at_its_limits_then_taken_or_refused),
        cmocka_unit_test(test_ring_when_full_then_says_so_until_released),
        cmocka_unit_test(test_frame_when_not_committed_then_holds_back_those_behind),
        cmocka_unit_test(test_ring_when_closed_then_refuses_and_tells_the_tail),
        cmocka_unit_test(test_dropped_when_counted_then_taken_once),
        cmocka_unit_test(test_drop_when_counted_before_the_sleep_then_not_slept_through),
    };
    return cmocka_run_group_tests_name("ring/order", tests, NULL, NULL);
}
