/* Numbers: against strtod(), which rounds right too, and against values known by hand. */
#include "base/json_number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static void assert_as_strtod(const char *text)
{
    struct json_number n;
    bool finite = svl__json_number(slice_of(text), &n);
    double expected = strtod(text, NULL);
    if (n.value != expected)
        fail_msg("%.60s: %a, but strtod gives %a", text, n.value, expected);
    assert_int_equal(finite, isfinite(expected));
    assert_false(n.value == 0 && signbit(n.value));
}

static void test_number_when_at_an_edge_then_nearest_double(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "0e999999999999999999999",
        "1",
        "-1",
        "10",
        "0.1",
        "1e22",
        "1e23",
        "9007199254740992",
        "9007199254740993",
        "9007199254740995",
        "9007199254740993.0000000000000000000001",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231580793728971405301e276",
        "1e308",
        "1e309",
        "-1e309",
        "1e400",
        "1e99999999999999999999",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "4.9406564584124654e-324",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2e-324",
        "1e-324",
        "1e-400",
        "1e-99999999999999999999",
        "0.000000000000000000000000000000000000000000000000000000000000000000000001e72",
        "100000000000000000000000000000000000000000000000000000000000000000000000e-71",
        "6.0221407600e+23",
        "8.5e-1",
        "1E+2",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_as_strtod(texts[i]);
}

static void test_double_when_printed_then_read_back(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = rng_next(&rng);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        char text[64];
        snprintf(text, sizeof text, "%.*e", (int)rng_below(&rng, 20), value);
        assert_as_strtod(text);
    }
}

static void test_digits_when_random_then_nearest_double(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 100000; i++) {
        char text[96];
        size_t n = 0, digits = 1 + rng_below(&rng, 40), point = rng_below(&rng, 45);
        if (rng_below(&rng, 2))
            text[n++] = '-';
        for (size_t d = 0; d < digits; d++) {
            text[n++] = (char)('0' + (rng_below(&rng, 3) ? rng_below(&rng, 10) : 0));
            if (d == point && d + 1 < digits)
                text[n++] = '.';
        }
        if (rng_below(&rng, 2))
            n += (size_t)snprintf(text + n, 16, "e%d", (int)rng_below(&rng, 700) - 350);
        text[n] = 0;
        assert_as_strtod(text);
    }
}

/* A long double has bits enough for the middle between two doubles, and printf writes all of its digits. */
static void test_number_when_halfway_between_doubles_then_even_and_beside_it_the_nearer(
    void **state)
{
    (void)state;
    _Static_assert(LDBL_MANT_DIG > DBL_MANT_DIG, "the middle needs one bit more");
    struct rng rng = { test_seed() };
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = rng_next(&rng) >> 1;
        if (i % 3 == 0) /* subnormal */
            bits &= (UINT64_C(1) << 52) - 1;
        double low, high;
        memcpy(&low, &bits, sizeof low);
        bits++;
        memcpy(&high, &bits, sizeof high);
        if (!isfinite(high))
            continue;
        static char text[1300], beside[1310];
        snprintf(text, sizeof text, "%.1100Le", ((long double)low + (long double)high) / 2);
        assert_as_strtod(text);
        struct json_number n;
        svl__json_number(slice_of(text), &n);
        memcpy(&bits, &n.value, sizeof bits);
        assert_int_equal(bits & 1, 0);

        char *exponent = strchr(text, 'e');
        snprintf(beside, sizeof beside, "%.*s1%s", (int)(exponent - text), text, exponent);
        assert_as_strtod(beside);
        svl__json_number(slice_of(beside), &n);
        assert_true(n.value == high);

        char *last = exponent - 1;
        while (*last == '0' || *last == '.')
            last--;
        (*last)--;
        for (char *p = last + 1; p < exponent; p++)
            if (*p != '.')
                *p = '9';
        assert_as_strtod(text);
        svl__json_number(slice_of(text), &n);
        assert_true(n.value == low);
    }
}

static void test_double_when_more_numbers_may_have_it_then_ambiguous(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ambiguous;
    } cases[] = {
        { "5", false },
        { "123456789012345", false },
        { "1234567890123456", true },
        { "1234567890123450", false },
        { "0.000123456789012345", false },
        { "1.00000000000000000000", false },
        { "0", true },
        { "1e-400", true },
        { "5e-324", true },
        { "2.2250738585072e-308", true },
        { "2.23e-308", false },
        { "9007199254740993", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_number n;
        svl__json_number(slice_of(cases[i].text), &n);
        if (n.ambiguous != cases[i].ambiguous)
            fail_msg("%s", cases[i].text);
    }
}

static void test_numbers_when_compared_then_by_their_exact_values(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {
        { "5", "5.0", 0 },
        { "5", "5e0", 0 },
        { "5", "50e-1", 0 },
        { "5", "0.05E+2", 0 },
        { "500", "5e2", 0 },
        { "0", "-0", 0 },
        { "0", "0.000e55", 0 },
        { "-0.0", "0e-1", 0 },
        { "12.5", "1.25e1", 0 },
        { "9007199254740993", "9007199254740992", 1 },
        { "9007199254740993", "9007199254740993.0", 0 },
        { "9007199254740993", "9.007199254740993e15", 0 },
        { "0.1", "0.10000000000000000555", -1 },
        { "1e-400", "0", 1 },
        { "1e-400", "1e-401", 1 },
        { "-1e-400", "0", -1 },
        { "-1", "1", -1 },
        { "-2", "-1", -1 },
        { "-1", "-1.5", 1 },
        { "10", "9", 1 },
        { "1e1", "9", 1 },
        { "123", "1234", -1 },
        { "1.23", "1.234", -1 },
        { "1.2", "12", -1 },
        { "99", "100", -1 },
        { "1e400", "1e401", -1 },
        { "1e400", "10e399", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int order = svl__json_number_compare(slice_of(cases[i].a), slice_of(cases[i].b));
        int back = svl__json_number_compare(slice_of(cases[i].b), slice_of(cases[i].a));
        if (order != cases[i].order || back != -cases[i].order)
            fail_msg("%s and %s: %d, %d", cases[i].a, cases[i].b, order, back);
    }
}

/* Another spelling of a number is equal to it; one digit more or less in its last place is not. */
static void test_number_when_spelled_otherwise_then_equal(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 20000; i++) {
        uint64_t digits = 1 + rng_below(&rng, UINT64_C(1000000000000000000));
        int exponent = (int)rng_below(&rng, 40) - 20;
        char a[96], b[96], c[96];
        snprintf(a, sizeof a, "%llue%d", (unsigned long long)digits, exponent);
        snprintf(b, sizeof b, "%llu00.00E%+d", (unsigned long long)digits, exponent - 2);
        snprintf(c, sizeof c, "%llue%d", (unsigned long long)digits + 1, exponent);
        assert_int_equal(svl__json_number_compare(slice_of(a), slice_of(b)), 0);
        assert_int_equal(svl__json_number_compare(slice_of(a), slice_of(c)), -1);
        assert_int_equal(svl__json_number_compare(slice_of(c), slice_of(b)), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_when_at_an_edge_then_nearest_double),
        cmocka_unit_test(test_double_when_printed_then_read_back),
        cmocka_unit_test(test_digits_when_random_then_nearest_double),
        cmocka_unit_test(
            test_number_when_halfway_between_doubles_then_even_and_beside_it_the_nearer),
        cmocka_unit_test(test_double_when_more_numbers_may_have_it_then_ambiguous),
        cmocka_unit_test(test_numbers_when_compared_then_by_their_exact_values),
        cmocka_unit_test(test_number_when_spelled_otherwise_then_equal),
    };
    return cmocka_run_group_tests_name("base/json_number", tests, NULL, NULL);
}
