/* Steps of the clock: told when they are more than an hour, and retention waits after one forward. */
#include "base/clock.h"
#include "store/clockwatch.h"
#include "support/support.h"

#define HOUR (3600 * NS_PER_S)

static void test_clock_when_it_drifts_then_no_step(void **state)
{
    (void)state;
    struct clock_watch w;
    assert_true(svl__clock_watch_start(&w, 100 * HOUR, 5, 0, 0) == 0);
    assert_true(svl__clock_watch_step(&w, 100 * HOUR + 50 * NS_PER_S, 10) == 0);
    assert_true(svl__clock_watch_step(&w, 130 * HOUR, 30 * HOUR) == 0);
}

static void test_clock_when_set_then_step_and_only_once(void **state)
{
    (void)state;
    struct clock_watch w;
    svl__clock_watch_start(&w, 100 * HOUR, 0, 0, 0);
    assert_true(svl__clock_watch_step(&w, 103 * HOUR, HOUR) == 2 * HOUR);
    assert_true(svl__clock_watch_step(&w, 103 * HOUR, HOUR) == 0);
    assert_true(svl__clock_watch_step(&w, 50 * HOUR, HOUR) == -53 * HOUR);
}

static void test_clock_when_wrong_at_start_then_step_against_the_log(void **state)
{
    (void)state;
    struct clock_watch w;
    assert_true(svl__clock_watch_start(&w, 100 * HOUR, 0, 100 * HOUR - 5, 0) == 0);
    assert_true(svl__clock_watch_start(&w, 100 * HOUR, 0, 200 * HOUR, 0) == -100 * HOUR);
    assert_true(svl__clock_watch_start(&w, 900 * HOUR, 0, 200 * HOUR, 0) == 700 * HOUR);
}

static void test_retention_when_clock_stepped_forward_then_goes_by_the_old_for_an_hour(void **state)
{
    (void)state;
    struct clock_watch w;
    svl__clock_watch_start(&w, 100 * HOUR, 0, 0, 0);
    svl__clock_watch_step(&w, 1000 * HOUR, 0);
    assert_true(svl__clock_watch_retention_ns(&w, 1000 * HOUR, 0) == 100 * HOUR);
    assert_true(svl__clock_watch_retention_ns(&w, 1001 * HOUR, HOUR) == 1001 * HOUR);
    svl__clock_watch_step(&w, 10 * HOUR, HOUR); /* back: goes by the clock at once */
    assert_true(svl__clock_watch_retention_ns(&w, 10 * HOUR, HOUR) == 10 * HOUR);
}

static void test_retention_when_a_step_forward_is_taken_back_in_part_then_still_waits(void **state)
{
    (void)state;
    struct clock_watch w;
    svl__clock_watch_start(&w, 100 * HOUR, 0, 0, 0);
    svl__clock_watch_step(&w, 90000 * HOUR, 0);
    svl__clock_watch_step(&w, 89998 * HOUR, 0);
    assert_true(svl__clock_watch_retention_ns(&w, 89998 * HOUR, 0) == 100 * HOUR);
    svl__clock_watch_step(&w, 90003 * HOUR, 0);
    assert_true(svl__clock_watch_retention_ns(&w, 90003 * HOUR, 0) == 100 * HOUR);
    svl__clock_watch_step(&w, 90 * HOUR, 0);
    assert_true(svl__clock_watch_retention_ns(&w, 90 * HOUR, 0) == 90 * HOUR);
}

/* As a hand-made journal or value may have them. */
static void test_clock_when_the_log_holds_any_numbers_then_the_largest_steps(void **state)
{
    (void)state;
    struct clock_watch w;
    assert_true(svl__clock_watch_start(&w, 100 * HOUR, 0, INT64_MIN, 0) == INT64_MAX);
    assert_true(svl__clock_watch_retention_ns(&w, 100 * HOUR, 0) == 100 * HOUR - INT64_MAX);
    assert_true(svl__clock_watch_start(&w, 100 * HOUR, 0, INT64_MAX, 0) == 100 * HOUR - INT64_MAX);
    assert_true(svl__clock_watch_retention_ns(&w, 100 * HOUR, 0) == 100 * HOUR);
    svl__clock_watch_start(&w, 100 * HOUR, 0, INT64_MIN, INT64_MAX);
    assert_true(svl__clock_watch_retention_ns(&w, 100 * HOUR, 0) == 100 * HOUR - INT64_MAX);
    svl__clock_watch_start(&w, 100 * HOUR, 0, 200 * HOUR, INT64_MIN);
    assert_true(svl__clock_watch_retention_ns(&w, 100 * HOUR, 0) == 100 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_when_it_drifts_then_no_step),
        cmocka_unit_test(test_clock_when_set_then_step_and_only_once),
        cmocka_unit_test(test_clock_when_wrong_at_start_then_step_against_the_log),
        cmocka_unit_test(
            test_retention_when_clock_stepped_forward_then_goes_by_the_old_for_an_hour),
        cmocka_unit_test(test_retention_when_a_step_forward_is_taken_back_in_part_then_still_waits),
        cmocka_unit_test(test_clock_when_the_log_holds_any_numbers_then_the_largest_steps),
    };
    return cmocka_run_group_tests_name("store/clock", tests, NULL, NULL);
}
