/* The time left that a run tells, by hand. */
#include "progress.h"

#include "support/support.h"

#define S INT64_C(1000000000)

static void test_time_left_when_work_is_done_at_a_rate_then_the_rest_takes_as_long_for_its_part(
    void **state)
{
    static const struct {
        double done;
        int64_t took_ns;
        const char *left;
    } cases[] = {
        { 0, 0, "time left unknown yet" },
        { 0, 100 * S, "time left unknown yet" }, /* the first measurement is a long one */
        { 50, 2 * S, "time left unknown yet" },  /* too little to go by */
        { 50, 40 * S, "about 40 s left" },
        { 99, 99 * S, "about 10 s left" }, /* nothing is told finer than it is known */
        { 25, 60 * S, "about 3 min left" },
        { 10, 3600 * S, "about 9.0 h left" },
        { 100, 40 * S, "about 10 s left" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct progress progress = { .work = 100, .done = cases[i].done, .start_ns = 7 * S };
        char left[64];
        progress_left(&progress, progress.start_ns + cases[i].took_ns, left, sizeof left);
        assert_string_equal(left, cases[i].left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_time_left_when_work_is_done_at_a_rate_then_the_rest_takes_as_long_for_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
