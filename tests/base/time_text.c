/* Times as text: by hand, and as the C library has them. */
#include "base/time_text.h"

#include <string.h>
#include <time.h>

#include "support/support.h"

static void test_time_when_written_then_as_by_hand(void **state)
{
    (void)state;
    static const struct {
        int64_t time_ns;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000000000Z" },
        { 1, "1970-01-01T00:00:00.000000001Z" },
        { -1, "1969-12-31T23:59:59.999999999Z" },
        { -1000000000, "1969-12-31T23:59:59.000000000Z" },
        { 951782400000000000, "2000-02-29T00:00:00.000000000Z" },
        { 1767225600123456789, "2026-01-01T00:00:00.123456789Z" },
        { INT64_MAX, "2262-04-11T23:47:16.854775807Z" },
        { INT64_MIN, "1677-09-21T00:12:43.145224192Z" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[TIME_TEXT_BYTES];
        assert_int_equal(svl__time_text(cases[i].time_ns, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

static void test_time_when_any_then_as_the_c_library_has_it(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 100000; i++) {
        int64_t time_ns = (int64_t)rng_next(&rng) >> rng_below(&rng, 20);
        int64_t seconds = time_ns / 1000000000, rest = time_ns % 1000000000;
        if (rest < 0)
            seconds--;
        time_t t = (time_t)seconds;
        struct tm tm;
        char expected[32], text[TIME_TEXT_BYTES];
        assert_non_null(gmtime_r(&t, &tm));
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.", &tm);
        assert_int_equal(svl__time_text(time_ns, text), 30);
        assert_memory_equal(text, expected, strlen(expected));
    }
}

static void test_range_when_of_a_beginning_then_all_that_begin_so(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 3000; i++) {
        int64_t time_ns = (int64_t)rng_next(&rng), first, last;
        char text[TIME_TEXT_BYTES], other[TIME_TEXT_BYTES];
        svl__time_text(time_ns, text);
        size_t len = rng_below(&rng, 31);
        assert_true(svl__time_text_range(text, len, &first, &last));
        assert_true(first <= time_ns && time_ns <= last);
        svl__time_text(first, other);
        assert_memory_equal(other, text, len);
        svl__time_text(last, other);
        assert_memory_equal(other, text, len);
        if (first > INT64_MIN) {
            svl__time_text(first - 1, other);
            assert_true(memcmp(other, text, len) < 0);
        }
        if (last < INT64_MAX) {
            svl__time_text(last + 1, other);
            assert_true(memcmp(other, text, len) > 0);
        }
    }
}

static void test_range_when_no_text_begins_so_then_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "noon", "2026-13", "1500", "9999", "2026-01-01T00:00:00.000000000Z!", "2026-02-30"
    };
    int64_t first, last;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(svl__time_text_range(none[i], strlen(none[i]), &first, &last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_when_written_then_as_by_hand),
        cmocka_unit_test(test_time_when_any_then_as_the_c_library_has_it),
        cmocka_unit_test(test_range_when_of_a_beginning_then_all_that_begin_so),
        cmocka_unit_test(test_range_when_no_text_begins_so_then_none),
    };
    return cmocka_run_group_tests_name("base/time_text", tests, NULL, NULL);
}
