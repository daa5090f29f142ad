/* Patterns that are refused: each with the place that was found by hand, and nothing left behind. */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "support/support.h"

static const char *tables;

static int compile(const char *pattern, size_t length, svl_pattern_error *where)
{
    svl_pattern *compiled = (svl_pattern *)&compiled;
    *where = (svl_pattern_error){ .struct_size = sizeof *where };
    int rc = svl_pattern_compile(pattern, length, &compiled, where);
    assert_int_equal(where->code, rc);
    assert_true((compiled != NULL) == (rc == SVL_OK));
    assert_true((where->message[0] != 0) == (rc != SVL_OK));
    svl_pattern_destroy(compiled);
    return rc;
}

static void check_place(const struct refused_case *at, void *user)
{
    unsigned *wrong = user;
    svl_pattern_error where;
    int rc = compile(at->pattern, at->length, &where);
    bool path = strcmp(at->path, "-") == 0 || strcmp(at->path, where.path) == 0;
    if (rc == SVL_E_PATTERN && where.offset == at->offset && path)
        return;
    print_error("refused.txt:%u: %s at %llu, %s: %s\n  by hand at %zu, %s\n  pattern %s\n",
                at->line, svl_strerror(rc), (unsigned long long)where.offset, where.path,
                where.message, at->offset, at->path, at->pattern);
    (*wrong)++;
}

static void test_compile_when_not_a_pattern_then_refused_with_its_place(void **state)
{
    (void)state;
    unsigned wrong = 0;
    assert_in_range(refused_read(tables, check_place, &wrong), 120, 100000);
    assert_int_equal(wrong, 0);
}

static void check_add(const struct refused_case *at, void *user)
{
    svl_ruleset *ruleset = user;
    svl_pattern_error where = { .struct_size = sizeof where };
    assert_int_equal(svl_ruleset_add(ruleset, 1, at->pattern, at->length, &where), SVL_E_PATTERN);
    assert_int_equal(where.offset, at->offset);
    assert_int_equal(svl_ruleset_remove(ruleset, 1), SVL_E_NOT_FOUND);
}

static void test_ruleset_when_a_pattern_is_refused_then_as_before(void **state)
{
    (void)state;
    svl_ruleset *ruleset;
    static const char rule[] = "{\"a\":[\"x\"]}", event[] = "{\"a\":\"x\"}";
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    assert_ok(svl_ruleset_add(ruleset, 0, rule, strlen(rule), NULL));
    refused_read(tables, check_add, ruleset);
    uint64_t id;
    size_t matched;
    assert_ok(svl_ruleset_match_json(ruleset, event, strlen(event), 0, &id, 1, &matched));
    assert_int_equal(matched, 1);
    assert_int_equal(id, 0);
    svl_ruleset_destroy(ruleset);
}

static void test_compile_when_it_holds_bytes_that_json_does_not_then_refused_there(void **state)
{
    (void)state;
#define BYTES(text) text, sizeof text - 1
    static const struct {
        const char *pattern;
        size_t length;
        uint64_t offset;
    } cases[] = {
        { BYTES("{\"a\":[\"\xff\"]}"), 7 },             /* no lead byte */
        { BYTES("{\"a\":[\"x\x80\"]}"), 8 },            /* a continuation without one */
        { BYTES("{\"a\":[\"\xc0\x80\"]}"), 7 },         /* overlong */
        { BYTES("{\"a\":[\"\xed\xa0\x80\"]}"), 7 },     /* a surrogate */
        { BYTES("{\"a\":[\"\xf4\x90\x80\x80\"]}"), 7 }, /* beyond U+10FFFF */
        { BYTES("{\"a\":[\"\xe2\x82\"]}"), 7 },         /* cut short */
        { BYTES("{\"\xc3\":[\"x\"]}"), 2 },             /* in a name */
        { BYTES("{\"a\":[\"\n\"]}"), 7 },               /* a control character as it is */
        { BYTES("{\"a\":[\"\0\"]}"), 7 },
        { BYTES("{\"a\":[\"x\"]}\0"), 11 },
        { BYTES("\xef\xbb\xbf{\"a\":[\"x\"]}"), 0 }, /* a byte order mark */
    };
#undef BYTES
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        svl_pattern_error where;
        assert_int_equal(compile(cases[i].pattern, cases[i].length, &where), SVL_E_PATTERN);
        assert_int_equal(where.offset, cases[i].offset);
    }
}

static void test_compile_when_an_or_expands_to_more_than_1000_then_too_complex(void **state)
{
    (void)state;
    for (size_t i = 0; i < combinations_cases_count; i++) {
        char *pattern = combinations_pattern(&combinations_cases[i]);
        svl_pattern_error where;
        assert_int_equal(compile(pattern, strlen(pattern), &where),
                         combinations_cases[i].refused ? SVL_E_PATTERN_COMPLEX : SVL_OK);
        free(pattern);
    }
}

static void test_compile_when_deeper_than_64_levels_then_over_the_limit(void **state)
{
    (void)state;
    for (size_t levels = 62; levels < 68; levels++) {
        char pattern[1024] = "";
        for (size_t i = 0; i < levels; i++)
            strcat(pattern, "{\"a\":");
        strcat(pattern, "[1]");
        for (size_t i = 0; i < levels; i++)
            strcat(pattern, "}");
        svl_pattern_error where;
        assert_int_equal(compile(pattern, strlen(pattern), &where),
                         levels <= 64 ? SVL_OK : SVL_E_LIMIT);
    }
}

/* Dots are levels as objects are, also below objects. */
static void test_compile_when_dotted_deeper_than_64_levels_then_over_the_limit(void **state)
{
    (void)state;
    for (unsigned levels = 1; levels <= 80; levels++) {
        char text[1024] = "{\"a\":{\"a";
        svl_pattern *pattern;
        svl_pattern_error where = { .struct_size = sizeof where };
        for (unsigned i = 0; i < levels; i++)
            strcat(text, ".a");
        strcat(text, "\":[1]}}");
        int rc = svl_pattern_compile(text, strlen(text), &pattern, &where);
        assert_int_equal(rc, levels + 2 <= 64 ? SVL_OK : SVL_E_LIMIT);
        if (rc != SVL_OK)
            assert_int_equal(where.offset, strlen("{\"a\":{"));
        svl_pattern_destroy(pattern);
    }
}

static void test_compile_when_longer_than_64_kib_then_over_the_limit(void **state)
{
    (void)state;
    static char pattern[65537] = "{\"a\":[1]}";
    size_t length = strlen(pattern);
    memset(pattern + length, ' ', sizeof pattern - length);
    svl_pattern_error where;
    assert_int_equal(compile(pattern, 65536, &where), SVL_OK);
    assert_int_equal(compile(pattern, 65537, &where), SVL_E_LIMIT);
}

static void test_compile_when_a_name_is_given_twice_then_taken_with_a_warning(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        uint32_t warnings;
        uint64_t offset;
    } cases[] = {
        { "{\"a\":[1],\"b\":[2]}", 0, 0 },
        { "{\"a\":[1],\"b\":{\"a\":[2]}}", 0, 0 },
        { "{\"a\":[1],\"a\":[2]}", 1, 9 },
        { "{\"a\":[1],\"\\u0061\":[2]}", 1, 9 },
        { "{\"b\":{\"a\":[1],\"c\":[1],\"a\":[2]}}", 1, 22 },
        { "{\"a\":[1],\"a\":[2],\"a\":[3]}", 2, 9 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        svl_pattern_error where;
        assert_int_equal(compile(cases[i].pattern, strlen(cases[i].pattern), &where), SVL_OK);
        assert_int_equal(where.warnings, cases[i].warnings);
        assert_true((where.warning[0] != 0) == (cases[i].warnings > 0));
        if (cases[i].warnings > 0)
            assert_int_equal(where.warning_offset, cases[i].offset);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    tables = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compile_when_not_a_pattern_then_refused_with_its_place),
        cmocka_unit_test(test_ruleset_when_a_pattern_is_refused_then_as_before),
        cmocka_unit_test(test_compile_when_it_holds_bytes_that_json_does_not_then_refused_there),
        cmocka_unit_test(test_compile_when_an_or_expands_to_more_than_1000_then_too_complex),
        cmocka_unit_test(test_compile_when_deeper_than_64_levels_then_over_the_limit),
        cmocka_unit_test(test_compile_when_dotted_deeper_than_64_levels_then_over_the_limit),
        cmocka_unit_test(test_compile_when_longer_than_64_kib_then_over_the_limit),
        cmocka_unit_test(test_compile_when_a_name_is_given_twice_then_taken_with_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
