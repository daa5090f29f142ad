/* What is JSON and what is not, by RFC 8259: one case a line, after the kinds of case that Seriot's "Parsing
 * JSON is a Minefield" lists. */
#include "base/json_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

struct verdict {
    const char *text;
    size_t len; /* 0: up to the NUL */
};
#define WITH_NUL(text)                                                                             \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

/* From memory of exactly its size, so that a sanitizer sees a read behind it. */
static bool check(const char *text, size_t len, struct json_scan *s)
{
    uint8_t *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy + 1, text, len);
    svl__json_start(s, copy + 1, len, 0);
    bool valid = svl__json_check(s);
    if (!valid)
        assert_true(s->error != NULL && s->error_at <= len);
    free(copy);
    return valid;
}

static void test_text_when_json_then_accepted(void **state)
{
    (void)state;
    static const char *const cases[] = {
        /* roots and space */
        "null",
        "true",
        "false",
        "0",
        "-0",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        " [] ",
        "\t\n\r []\r\n\t ",
        " 1",
        "1 ",
        "[ ]",
        "{ }",
        "[\n]",
        "{\n}",
        /* arrays */
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[[]]",
        "[[],[]]",
        "[{}]",
        "[null]",
        "[true,false,null]",
        "[\"\"]",
        "[\"a\",\"b\"]",
        "[1,[2,[3,[4]]]]",
        "[1\n,2]",
        "[{\"a\":[]},[{}]]",
        /* objects */
        "{\"a\":1}",
        "{\"a\":1,\"b\":2}",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "{\"\":0}",
        "{\"a\":{\"b\":{\"c\":{}}}}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":[]}",
        "{\"a\\u0000b\":1}",
        "{\"\\\"\":1}",
        "{\"\\ud800\":1}",
        "{\"\xc3\xa4\":1}",
        "{\"a\":\n1\n}",
        "{\"title\":\"\\u041f\\u043e\\u043b\\u0442\\u043e\\u0440\\u0430\"}",
        /* numbers */
        "1",
        "12",
        "-1",
        "-12",
        "10",
        "100",
        "0.0",
        "0.1",
        "-0.1",
        "1.5",
        "1.50",
        "0e0",
        "0e1",
        "0E1",
        "0e+1",
        "0e-1",
        "0E+1",
        "0E-1",
        "1e1",
        "1E1",
        "1e+1",
        "1e-1",
        "1.5e10",
        "1.5E-10",
        "-1.5e+10",
        "1e00",
        "1e01",
        "-0e0",
        "-0.0",
        "123456789012345678901234567890",
        "1e999",
        "-1e999",
        "1e-999",
        "0.00000000000000000000000000000000000000000000000001",
        "[-0,-1.0e+0]",
        /* strings */
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\"",
        "\"\\b\\f\\n\\r\\t\"",
        "\"\\u0041\"",
        "\"\\uabcd\\uABCD\"",
        "\"\\u0000\"",
        "\"\\\\u0041\"",
        "\"\\\\\\\"\"",
        "\"\x7f\"",
        "\"/\"",
        "\"'\"",
        "\"[]{},:\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800a\"",
        "\"\\ud800\\n\"",
        "\"\\uDADA\\u0041\"",
        "\"\\uFFFF\\uFFFE\"",
        "\"\xc2\x80\"",
        "\"\xdf\xbf\"",
        "\"\xe0\xa0\x80\"",
        "\"\xed\x9f\xbf\"",
        "\"\xee\x80\x80\"",
        "\"\xef\xbf\xbf\"",
        "\"\xf0\x90\x80\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xe2\x80\xa8\xe2\x80\xa9\"",
        "\"fifteen bytes..\"",
        "\"sixteen bytes...\"",
        "\"seventeen bytes..\"",
        "\"fifteen bytes..\\n\"",
        "\"sixteen bytes...\\n\"",
        "\"fifteen bytes..\xc3\xa4\"",
        "\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_scan s;
        if (!check(cases[i], strlen(cases[i]), &s))
            fail_msg("%s: %s at %zu", cases[i], s.error, s.error_at);
    }
}

static void test_text_when_no_json_then_refused(void **state)
{
    (void)state;
    static const struct verdict cases[] = {
        /* nothing, too much, another thing */
        { " ", 0 },
        { "\n", 0 },
        { "[] []", 0 },
        { "[]]", 0 },
        { "[]x", 0 },
        { "{}}", 0 },
        { "1 2", 0 },
        { "\"a\" \"b\"", 0 },
        { "null,", 0 },
        { ",", 0 },
        { ":", 0 },
        { "]", 0 },
        { "}", 0 },
        { "<.>", 0 },
        { "\xef\xbb\xbf{}", 0 },
        { "\xef\xbb\xbf", 0 },
        { "[]\xef\xbb\xbf", 0 },
        { "\xe5", 0 },
        { "// a\n[]", 0 },
        { "[]/**/", 0 },
        { "[]#", 0 },
        { "\f[]", 0 },
        { "\v[]", 0 },
        { "\xc2\xa0[]", 0 },
        { "\xe2\x81\xa0[]", 0 },
        { "a", 0 },
        { "'a'", 0 },
        { "\\u000A\"\"", 0 },
        WITH_NUL("\0"),
        WITH_NUL("[]\0"),
        WITH_NUL("[1,\0]"),
        WITH_NUL("\"a\0b\""),
        WITH_NUL("nul\0"),
        /* literals */
        { "nul", 0 },
        { "tru", 0 },
        { "fals", 0 },
        { "True", 0 },
        { "FALSE", 0 },
        { "Null", 0 },
        { "nullx", 0 },
        { "truefalse", 0 },
        { "[nul]", 0 },
        { "[truth]", 0 },
        { "undefined", 0 },
        { "NaN", 0 },
        { "Infinity", 0 },
        { "-Infinity", 0 },
        { "-NaN", 0 },
        { "[tru\x65\x65]", 0 },
        /* arrays */
        { "[", 0 },
        { "[1", 0 },
        { "[1,", 0 },
        { "[,", 0 },
        { "[,]", 0 },
        { "[1,]", 0 },
        { "[1,,2]", 0 },
        { "[,1]", 0 },
        { "[1 2]", 0 },
        { "[1:2]", 0 },
        { "[\"a\":1]", 0 },
        { "[1}", 0 },
        { "[}", 0 },
        { "[[]", 0 },
        { "[1,\n1\n,1", 0 },
        { "[a]", 0 },
        { "[*]", 0 },
        { "[\"a\"", 0 },
        { "[\"a", 0 },
        { "[\"\",", 0 },
        { "[{}", 0 },
        { "[][", 0 },
        { "[[[]]", 0 },
        /* objects */
        { "{", 0 },
        { "{\"a\"", 0 },
        { "{\"a\":", 0 },
        { "{\"a\":1", 0 },
        { "{\"a\":1,", 0 },
        { "{\"a\":1,}", 0 },
        { "{,}", 0 },
        { "{,\"a\":1}", 0 },
        { "{\"a\":1,,\"b\":2}", 0 },
        { "{\"a\"}", 0 },
        { "{\"a\":}", 0 },
        { "{\"a\" 1}", 0 },
        { "{\"a\",1}", 0 },
        { "{\"a\":1 \"b\":2}", 0 },
        { "{a:1}", 0 },
        { "{'a':1}", 0 },
        { "{1:1}", 0 },
        { "{null:1}", 0 },
        { "{[]:1}", 0 },
        { "{:1}", 0 },
        { "{\"a\"::1}", 0 },
        { "{\"a\":1:2}", 0 },
        { "{\"a\":1]", 0 },
        { "{]", 0 },
        { "{\"a\":x}", 0 },
        { "{\"a\":1}}", 0 },
        { "{\"a\":{}", 0 },
        { "{\"a\":\"b", 0 },
        { "{\"a", 0 },
        { "{\"a\":1}#", 0 },
        { "{\"a\":/*x*/1}", 0 },
        { "{\"a\":1;\"b\":2}", 0 },
        { "{\"\xff\":1}", 0 },
        { "{\"\\x\":1}", 0 },
        /* numbers */
        { "-", 0 },
        { "+", 0 },
        { "+1", 0 },
        { "++1", 0 },
        { "--1", 0 },
        { "- 1", 0 },
        { "-a", 0 },
        { "00", 0 },
        { "01", 0 },
        { "-01", 0 },
        { "012", 0 },
        { "-012", 0 },
        { ".", 0 },
        { ".1", 0 },
        { "-.1", 0 },
        { "1.", 0 },
        { "0.", 0 },
        { "1.e1", 0 },
        { "1..2", 0 },
        { "1.2.3", 0 },
        { "e1", 0 },
        { "1e", 0 },
        { "1E", 0 },
        { "1e+", 0 },
        { "1e-", 0 },
        { "0e", 0 },
        { "0e+", 0 },
        { "1ee1", 0 },
        { "1e1.5", 0 },
        { "1e1e1", 0 },
        { "1.0e", 0 },
        { "1.0e+", 0 },
        { "0x1", 0 },
        { "0x", 0 },
        { "1a", 0 },
        { "1 000", 0 },
        { "1,5", 0 },
        { "1_000", 0 },
        { "1/2", 0 },
        { "-1x", 0 },
        { "1+2", 0 },
        { "\xef\xbc\x91", 0 },
        { "[1]2", 0 },
        { "[0.3e+]", 0 },
        { "[9.e+]", 0 },
        { "[-2.]", 0 },
        /* strings */
        { "\"", 0 },
        { "\"a", 0 },
        { "\"\\\"", 0 },
        { "\"\\", 0 },
        { "\"\\a\"", 0 },
        { "\"\\x41\"", 0 },
        { "\"\\'\"", 0 },
        { "\"\\0\"", 0 },
        { "\"\\U0041\"", 0 },
        { "\"\\u\"", 0 },
        { "\"\\u4\"", 0 },
        { "\"\\u41\"", 0 },
        { "\"\\u004\"", 0 },
        { "\"\\u004g\"", 0 },
        { "\"\\u", 0 },
        { "\"\\u004", 0 },
        { "\"\\u00 1\"", 0 },
        { "\"\\ud800\\u\"", 0 },
        { "\"\\ud800\\ud8\"", 0 },
        { "\"\\ud800\\\"", 0 },
        { "\"\\ud800\\x\"", 0 },
        { "\"\t\"", 0 },
        { "\"\n\"", 0 },
        { "\"\r\"", 0 },
        { "\"\x1f\"", 0 },
        { "\"\x01\"", 0 },
        { "\"\\\n\"", 0 },
        { "\"\\\xc3\xa4\"", 0 },
        { "\"\x80\"", 0 },
        { "\"\xff\"", 0 },
        { "\"\xc0\x80\"", 0 },
        { "\"\xc1\xbf\"", 0 },
        { "\"\xc3\"", 0 },
        { "\"\xe0\x80\x80\"", 0 },
        { "\"\xed\xa0\x80\"", 0 },
        { "\"\xed\xbf\xbf\"", 0 },
        { "\"\xe2\x82\"", 0 },
        { "\"\xe2\x82", 0 },
        { "\"\xf0\x8f\xbf\xbf\"", 0 },
        { "\"\xf4\x90\x80\x80\"", 0 },
        { "\"\xf5\x80\x80\x80\"", 0 },
        { "\"\xfc\x83\xbf\xbf\xbf\xbf\"", 0 },
        { "\"sixteen bytes...\x1f\"", 0 },
        { "\"fifteen bytes..\xc3\"", 0 },
        { "\"sixteen bytes...", 0 },
        { "\xfe\xff", 0 },
        { "\xff\xfe[", 0 },
        WITH_NUL("\0[\0]"),
        WITH_NUL("[\0]\0"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_scan s;
        size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
        if (check(cases[i].text, len, &s))
            fail_msg("case %zu: %s", i, cases[i].text);
    }
    struct json_scan s;
    assert_false(check("", 0, &s));
    svl__json_start(&s, NULL, 0, 0);
    assert_false(svl__json_check(&s));
}

/* Every beginning of a document is refused, at its end. */
static void test_document_when_cut_then_refused_at_its_end(void **state)
{
    (void)state;
    static const char whole[] = " {\"a\" : [1.5e+3, -0, true, false, null, "
                                "\"x\\u00e4\\n\xe2\x82\xac\"], \"\" : {}, \"b\":[]} ";
    struct json_scan s;
    assert_true(check(whole, sizeof whole - 1, &s));
    assert_true(check(whole, sizeof whole - 2, &s));
    for (size_t len = 0; len < sizeof whole - 2; len++)
        assert_false(check(whole, len, &s));
}

static void test_error_when_found_then_its_place_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } cases[] = {
        { "", 0 },          { "[1,]", 3 },       { "{\"a\":1,}", 7 }, { "{\"a\" 1}", 5 },
        { "[01]", 1 },      { "[1x]", 2 },       { "[1.]", 3 },       { "[1e]", 3 },
        { "\"ab\\x\"", 3 }, { "\"a\\u12\"", 2 }, { "\"a\tb\"", 2 },   { "\"a\xff\"", 2 },
        { "[] x", 3 },      { "\"abc", 4 },      { "[tru]", 1 },      { "[1 2]", 3 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_scan s;
        assert_false(check(cases[i].text, strlen(cases[i].text), &s));
        if (s.error_at != cases[i].at)
            fail_msg("%s: %s at %zu", cases[i].text, s.error, s.error_at);
    }
}

static void test_containers_when_nested_then_as_deep_as_allowed(void **state)
{
    (void)state;
    static const struct {
        uint32_t depth_max, allowed;
    } cases[] = { { 0, JSON_DEPTH_DEFAULT },
                  { 1, 1 },
                  { 64, 64 },
                  { 65, 65 },
                  { JSON_DEPTH_LIMIT, JSON_DEPTH_LIMIT },
                  { JSON_DEPTH_LIMIT + 1, JSON_DEPTH_LIMIT },
                  { UINT32_MAX, JSON_DEPTH_LIMIT } };
    static char text[8 * (JSON_DEPTH_LIMIT + 1)];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint32_t depth = cases[i].allowed; depth <= cases[i].allowed + 1; depth++) {
            size_t n = 0;
            for (uint32_t d = 0; d < depth; d++)
                n += (size_t)snprintf(text + n, 8, "%s", d % 3 ? "[" : "{\"a\":");
            text[n++] = '1';
            for (uint32_t d = depth; d-- > 0;)
                text[n++] = d % 3 ? ']' : '}';
            struct json_scan s;
            svl__json_start(&s, text, n, cases[i].depth_max);
            assert_int_equal(svl__json_check(&s), depth == cases[i].allowed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_when_json_then_accepted),
        cmocka_unit_test(test_text_when_no_json_then_refused),
        cmocka_unit_test(test_document_when_cut_then_refused_at_its_end),
        cmocka_unit_test(test_error_when_found_then_its_place_is_told),
        cmocka_unit_test(test_containers_when_nested_then_as_deep_as_allowed),
    };
    return cmocka_run_group_tests_name("base/json_verdicts", tests, NULL, NULL);
}
