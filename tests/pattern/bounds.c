/* The bounds of a pattern: what every record that matches it has. */
#include "pattern/bounds.h"

#include <string.h>

#include "support/support.h"

static void read_bounds(const char *text, struct pattern_bounds *bounds)
{
    svl_pattern *pattern;
    assert_ok(svl_pattern_compile(text, strlen(text), &pattern, NULL));
    assert_ok(svl__pattern_bounds(pattern, bounds));
    /* The slices are the pattern's. */
    static char texts[3][64];
    struct text_bound *bound[] = { &bounds->source, &bounds->type, &bounds->key };
    for (int i = 0; i < 3; i++) {
        memcpy(texts[i], bound[i]->text.data, bound[i]->text.len);
        bound[i]->text.data = texts[i];
    }
    svl_pattern_destroy(pattern);
}

static void test_texts_when_a_pattern_names_them_then_bounded_as_all_that_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *source;
        bool is_exact;
    } cases[] = {
        { "{\"source\":[\"shop\"]}", "shop", true },
        { "{\"source\":[\"shop\",\"shot\"]}", "sho", false },
        { "{\"source\":[\"shop\",\"shop\"]}", "shop", true },
        { "{\"source\":[{\"prefix\":\"shop.\"}]}", "shop.", false },
        { "{\"source\":[{\"wildcard\":\"shop.*\"}]}", "shop.", false },
        { "{\"source\":[{\"suffix\":\"shop\"}]}", "", false },
        { "{\"source\":[\"shop\",{\"exists\":false}]}", "", false },
        { "{\"source\":[{\"anything-but\":\"shop\"}]}", "", false },
        { "{\"a\":[\"shop\"]}", "", false },
        { "{\"a\":{\"source\":[\"shop\"]}}", "", false },
        { "{\"source\":[\"shop\"],\"$or\":[{\"a\":[1]},{\"source\":[{\"prefix\":\"s\"}]}]}", "shop",
          true },
        { "{\"$or\":[{\"source\":[\"a.b\"]},{\"source\":[{\"prefix\":\"a.c\"}]}]}", "a.", false },
        { "{\"$or\":[{\"source\":[\"a.b\"]},{\"type\":[\"t\"]}]}", "", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pattern_bounds b;
        read_bounds(cases[i].pattern, &b);
        assert_int_equal(b.source.text.len, strlen(cases[i].source));
        assert_memory_equal(b.source.text.data, cases[i].source, b.source.text.len);
        assert_int_equal(b.source.is_exact, cases[i].is_exact);
    }
}

static void test_numbers_when_a_pattern_names_them_then_bounded_as_all_that_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        double min, max;
    } cases[] = {
        { "{\"severity\":[17]}", 17, 17 },
        { "{\"severity\":[9,17]}", 9, 17 },
        { "{\"severity\":[{\"numeric\":[\">=\",9,\"<\",17]}]}", 9, 17 },
        { "{\"severity\":[{\"numeric\":[\">\",9,\"<\",17]}],\"$or\":[{\"severity\":[10]},{"
          "\"severity\":["
          "12]}]}",
          10, 12 },
    };
    struct pattern_bounds b;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_bounds(cases[i].pattern, &b);
        assert_true(b.severity_min == cases[i].min && b.severity_max == cases[i].max);
    }
    read_bounds("{\"severity\":[{\"anything-but\":9}]}", &b);
    assert_true(b.severity_min < 0 && b.severity_max > SVL_SEVERITY_MAX);
    assert_true(b.time_min_ns == INT64_MIN && b.time_max_ns == INT64_MAX);
    read_bounds(
        "{\"time-ns\":[{\"numeric\":[\">=\",1767225600123456789,\"<\",1767225600123456999]}]}", &b);
    assert_true(b.time_min_ns <= INT64_C(1767225600123456789) &&
                b.time_min_ns > INT64_C(1767225600123455000));
    assert_true(b.time_max_ns >= INT64_C(1767225600123456999) &&
                b.time_max_ns < INT64_C(1767225600123459000));
}

static void test_times_when_a_pattern_names_them_as_text_then_bounded_as_all_that_match(
    void **state)
{
    (void)state;
    static const int64_t day = INT64_C(86400000000000), new_year = INT64_C(1767225600000000000);
    static const struct {
        const char *pattern;
        int64_t min, max;
    } cases[] = {
        { "{\"time\":[\"2026-01-01T00:00:00.000000001Z\"]}", 1, 1 },
        { "{\"time\":[{\"prefix\":\"2026-01-01\"}]}", 0, 86399999999999 },
        { "{\"time\":[{\"prefix\":\"2026-01-01T0\"}]}", 0, 35999999999999 },
        { "{\"time\":[{\"prefix\":\"2026-01-02\"},{\"prefix\":\"2026-01-03T10\"}]}", 0,
          INT64_C(9) * 86400000000000 - 1 }, /* all that begins with 2026-01-0 */
        { "{\"time\":[{\"prefix\":\"2026-01-01\"}],\"time-ns\":[{\"numeric\":[\"<\",0]}]}", 0, 0 },
    };
    struct pattern_bounds b;
    for (size_t i = 0; i + 1 < sizeof cases / sizeof cases[0]; i++) {
        read_bounds(cases[i].pattern, &b);
        assert_true(b.time_min_ns == new_year + cases[i].min);
        assert_true(b.time_max_ns == new_year + cases[i].max);
    }
    read_bounds(cases[4].pattern, &b); /* no time is both */
    assert_true(b.time_min_ns > b.time_max_ns);
    read_bounds("{\"time\":[{\"prefix\":\"noon\"}]}", &b);
    assert_true(b.time_min_ns > b.time_max_ns);
    read_bounds("{\"time\":[{\"prefix\":\"2026\"},{\"exists\":true}]}", &b);
    assert_true(b.time_min_ns == INT64_MIN && b.time_max_ns == INT64_MAX);
    read_bounds("{\"time\":[{\"prefix\":\"2262-04-11T\"}]}", &b); /* the last day that there is */
    assert_true(b.time_min_ns > INT64_MAX - day && b.time_max_ns == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_when_a_pattern_names_them_then_bounded_as_all_that_match),
        cmocka_unit_test(
            test_times_when_a_pattern_names_them_as_text_then_bounded_as_all_that_match),
        cmocka_unit_test(test_numbers_when_a_pattern_names_them_then_bounded_as_all_that_match),
    };
    return cmocka_run_group_tests_name("pattern/bounds", tests, NULL, NULL);
}
