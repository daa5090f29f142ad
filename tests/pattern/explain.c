/* Explanations: which field fails and why, in words and as JSON. */
#include <stdio.h>
#include <string.h>

#include "base/json_scan.h"
#include "support/support.h"

static char out[4096];

static void explain(const char *pattern, const char *event, uint32_t form)
{
    svl_pattern *compiled;
    size_t needed;
    assert_ok(svl_pattern_compile(pattern, strlen(pattern), &compiled, NULL));
    assert_ok(
        svl_pattern_explain_json(compiled, event, strlen(event), form, out, sizeof out, &needed));
    assert_int_equal(needed, strlen(out));
    svl_pattern_destroy(compiled);
}

static void test_explain_when_asked_for_words_then_a_line_a_field(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *event, *words;
    } cases[] = {
        { "{\"a\":[\"x\"]}", "{\"a\":\"x\"}",
          "a: matches. Wanted [\"x\"]; found [\"x\"]\nthe event matches\n" },
        { "{\"a\":[\"x\"]}", "{}",
          "a: does not match. Wanted [\"x\"]; the event has no value there\n"
          "the event does not match: a field does not\n" },
        { "{\"a\":{\"b\":[1, {\"prefix\": \"p\"}]},\"c\":[{\"exists\":false}]}",
          "{\"a.b\":[2,\"q\\n\",true,null],\"c\":1.50}",
          "a.b: does not match. Wanted [1,{\"prefix\": \"p\"}]; found [2,\"q\\n\",true,null]\n"
          "c: does not match. Wanted [{\"exists\":false}]; found [1.50]\n"
          "the event does not match: a field does not\n" },
        { "{\"a\":{\"b\":[1],\"c\":[2]}}", "{\"a\":[{\"b\":1,\"c\":3},{\"b\":2,\"c\":2}]}",
          "a.b: matches. Wanted [1]; found [1,2]\na.c: matches. Wanted [2]; found [3,2]\n"
          "the event does not match: its fields do, but only in different elements of an array\n" },
        { "{\"$or\":[{\"a\":[1]},{\"b\":[{\"anything-but\":2}]}]}", "{\"b\":2}",
          "a: does not match. Wanted [1]; the event has no value there\n"
          "b: does not match. Wanted [{\"anything-but\":2}]; found [2]\n"
          "the event does not match: no object of an $or does, or its fields do only in different "
          "elements of an array\n" },
        { "{\"a\":[1],\"a\":[2]}", "{\"a\":2}",
          "a: matches. Wanted [2]; found [2]\nthe event matches\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        explain(cases[i].pattern, cases[i].event, SVL_EXPLAIN_TEXT);
        assert_string_equal(out, cases[i].words);
    }
}

static void test_explain_when_asked_for_json_then_one_valid_object(void **state)
{
    (void)state;
    static const char *const events[] = {
        "{}",
        "{\"a\\n\\\"\":{\"\":\"\\ud800\\u0001\"}}",
        "{\"a\\n\\\"\":{\"\":[1e5,\"\\ud83d\\ude00\",false,\"\\\\\",[],{},[null]]}}",
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct json_scan scan;
        explain("{\"a\\n\\\"\":{\"\":[\"\\u0000\",{\"wildcard\":\"*\\\\*\"}]}}", events[i],
                SVL_EXPLAIN_JSON);
        svl__json_start(&scan, out, strlen(out), 0);
        assert_true(svl__json_check(&scan));
    }
    explain("{\"a\":{\"b\":[1]}}", "{\"a\":{\"b\":2}}", SVL_EXPLAIN_JSON);
    assert_string_equal(
        out, "{\"fields\":[{\"field\":\"a.b\",\"offset\":10,\"wanted\":[1],\"found\":[2],"
             "\"values\":1,\"matched\":false,\"reason\":\"no value there is one that is "
             "wanted\"}],\"matched\":false,\"reason\":\"the event does not match: a field "
             "does not\"}");
}

static void test_explain_when_there_are_many_values_then_the_first_and_their_count(void **state)
{
    (void)state;
    char event[4096] = "{\"a\":[";
    for (int i = 0; i < 100; i++)
        snprintf(event + strlen(event), sizeof event - strlen(event), "%d,", i);
    snprintf(event + strlen(event), sizeof event - strlen(event), "100]}");
    explain("{\"a\":[101]}", event, SVL_EXPLAIN_TEXT);
    assert_non_null(
        strstr(out, "found [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15] and more, 101 in all\n"));
}

static void test_explain_when_of_a_record_then_as_of_its_document(void **state)
{
    (void)state;
    svl_pattern *pattern;
    static const char text[] = "{\"severity\":[17],\"detail\":{\"n\":[{\"numeric\":[\">\",5]}]}}";
    svl_record record = { .severity = 17,
                          .body_kind = SVL_BODY_JSON,
                          .body = { "{\"n\":5}", strlen("{\"n\":5}") } };
    size_t needed, measured;
    assert_ok(svl_pattern_compile(text, strlen(text), &pattern, NULL));
    assert_ok(
        svl_pattern_explain_record(pattern, &record, SVL_EXPLAIN_TEXT, out, sizeof out, &needed));
    assert_string_equal(out,
                        "severity: matches. Wanted [17]; found [17]\n"
                        "detail.n: does not match. Wanted [{\"numeric\":[\">\",5]}]; found [5]\n"
                        "the event does not match: a field does not\n");
    assert_ok(svl_pattern_explain_record(pattern, &record, SVL_EXPLAIN_TEXT, NULL, 0, &measured));
    assert_int_equal(measured, needed);
    assert_ok(svl_pattern_explain_record(pattern, &record, SVL_EXPLAIN_TEXT, out, 9, &measured));
    assert_int_equal(measured, needed);
    assert_string_equal(out, "severity");
    svl_pattern_destroy(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explain_when_asked_for_words_then_a_line_a_field),
        cmocka_unit_test(test_explain_when_asked_for_json_then_one_valid_object),
        cmocka_unit_test(test_explain_when_there_are_many_values_then_the_first_and_their_count),
        cmocka_unit_test(test_explain_when_of_a_record_then_as_of_its_document),
    };
    return cmocka_run_group_tests_name("pattern/explain", tests, NULL, NULL);
}
