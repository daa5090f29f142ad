/* The harness's histogram beside a sorted array of the same values. */
#include "histogram.h"

#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define VALUES 20000

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Values of every magnitude. */
static uint64_t any_value(struct rng *rng)
{
    return rng_next(rng) >> rng_below(rng, 64);
}

static void test_quantile_when_values_are_random_then_it_is_the_sorted_one_or_a_64th_above(
    void **state)
{
    static const double parts[] = { 0, 0.0001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 };
    uint64_t *values = calloc(VALUES, sizeof *values);
    struct histogram *histogram = calloc(1, sizeof *histogram);
    struct rng rng = { test_seed() };
    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = any_value(&rng);
        histogram_add(histogram, values[i]);
    }
    qsort(values, VALUES, sizeof *values, compare);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        double rank = parts[i] * VALUES;
        size_t at = (size_t)rank + ((double)(size_t)rank < rank ? 1 : 0);
        uint64_t exact = values[at > 0 ? at - 1 : 0];
        uint64_t told = histogram_quantile(histogram, parts[i]);
        assert_true(told >= exact);
        assert_true(told - exact <= exact / HISTOGRAM_PARTS);
    }
    assert_int_equal(histogram->max, values[VALUES - 1]);
    assert_int_equal(histogram_quantile(histogram, 1), values[VALUES - 1]);
    free(values);
    free(histogram);
}

static void test_quantile_when_values_are_small_then_it_is_exact(void **state)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    (void)state;
    for (uint64_t i = 0; i < HISTOGRAM_PARTS; i++)
        histogram_add(histogram, i);
    for (uint64_t i = 1; i <= HISTOGRAM_PARTS; i++)
        assert_int_equal(histogram_quantile(histogram, (double)i / HISTOGRAM_PARTS), i - 1);
    free(histogram);
}

static void test_quantile_when_empty_then_0(void **state)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    (void)state;
    assert_int_equal(histogram_quantile(histogram, 0.5), 0);
    free(histogram);
}

static void test_add_when_a_value_is_the_largest_then_it_has_a_bucket(void **state)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    (void)state;
    histogram_add(histogram, UINT64_MAX);
    assert_int_equal(histogram_quantile(histogram, 0.5), UINT64_MAX);
    assert_int_equal(histogram->counts[HISTOGRAM_BUCKETS - 1], 1);
    free(histogram);
}

static void test_merge_when_two_then_it_is_the_histogram_of_all_values(void **state)
{
    struct histogram *parts = calloc(3, sizeof *parts); /* two halves, and all */
    struct rng rng = { test_seed() };
    (void)state;
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t value = any_value(&rng);
        histogram_add(&parts[i % 2], value);
        histogram_add(&parts[2], value);
    }
    histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &parts[2], sizeof parts[0]);
    free(parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_quantile_when_values_are_random_then_it_is_the_sorted_one_or_a_64th_above),
        cmocka_unit_test(test_quantile_when_values_are_small_then_it_is_exact),
        cmocka_unit_test(test_quantile_when_empty_then_0),
        cmocka_unit_test(test_add_when_a_value_is_the_largest_then_it_has_a_bucket),
        cmocka_unit_test(test_merge_when_two_then_it_is_the_histogram_of_all_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
