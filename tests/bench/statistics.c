/* The harness's medians, ratios and exponents, by hand. */
#include <math.h>

#include "results.h"
#include "support/support.h"

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void test_median_when_counts_differ_then_the_middle_or_the_mean_of_two(void **state)
{
    static const struct {
        double samples[5];
        unsigned count;
        double median;
    } cases[] = {
        { { 7 }, 1, 7 },
        { { 9, 1 }, 2, 5 },
        { { 5, 1, 3 }, 3, 3 },
        { { 4, 1, 3, 2 }, 4, 2.5 },
        { { 1, 1e9, 2, 2, 1 }, 5, 2 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(is_near(median_of(cases[i].samples, cases[i].count), cases[i].median));
}

static void test_ratio_when_all_samples_agree_then_the_interval_is_a_point(void **state)
{
    static const double a[] = { 6, 6, 6 }, b[] = { 3, 3, 3 };
    struct ratio ratio = ratio_of(a, 3, b, 3);
    (void)state;
    assert_true(is_near(ratio.value, 2) && is_near(ratio.low, 2) && is_near(ratio.high, 2));
}

static void test_ratio_when_samples_spread_then_the_interval_holds_it_and_no_impossible_one(
    void **state)
{
    static const double a[] = { 10, 12, 11, 30, 9 }, b[] = { 5, 6, 4, 5, 20 };
    struct ratio ratio = ratio_of(a, 5, b, 5), again = ratio_of(a, 5, b, 5);
    (void)state;
    assert_true(is_near(ratio.value, 11.0 / 5));
    assert_true(ratio.low < ratio.value && ratio.value < ratio.high);
    assert_true(ratio.low >= 9.0 / 20 && ratio.high <= 30.0 / 4);
    assert_memory_equal(&ratio, &again, sizeof ratio);
}

static void test_exponent_when_the_cost_is_a_power_then_it_is_found(void **state)
{
    static const double sizes[] = { 1e5, 1e6, 1e7 };
    static const double exponents[] = { -0.5, 0, 0.3, 1, 2 };
    (void)state;
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        double costs[3];
        for (int k = 0; k < 3; k++)
            costs[k] = 42 * pow(sizes[k], exponents[i]);
        assert_true(fabs(exponent_of(sizes, costs, 3) - exponents[i]) < 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median_when_counts_differ_then_the_middle_or_the_mean_of_two),
        cmocka_unit_test(test_ratio_when_all_samples_agree_then_the_interval_is_a_point),
        cmocka_unit_test(
            test_ratio_when_samples_spread_then_the_interval_holds_it_and_no_impossible_one),
        cmocka_unit_test(test_exponent_when_the_cost_is_a_power_then_it_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
