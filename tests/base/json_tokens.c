/* The scanner, token by token: what it hands out, what it passes over, how text decodes. */
#include "base/json_scan.h"

#include <stdio.h>
#include <string.h>

#include "support/support.h"

/* Longer than what is looked at at once. */
#define LONG_TEXT "\"a text of more bytes than the sixteen of a chunk or the 64 of a block: these\""

static struct json_scan start(const char *text)
{
    struct json_scan s;
    svl__json_start(&s, text, strlen(text), 0);
    return s;
}

static void assert_text(const struct json_scan *s, const char *expected)
{
    assert_int_equal(s->text.len, strlen(expected));
    assert_memory_equal(s->text.data, expected, s->text.len);
}

static void assert_raw(const struct json_scan *s, const char *expected)
{
    svl_slice raw = json_raw(s);
    assert_int_equal(raw.len, strlen(expected));
    assert_memory_equal(raw.data, expected, raw.len);
}

static void test_document_when_read_then_token_by_token(void **state)
{
    (void)state;
    static const struct {
        enum json_token token;
        const char *text; /* NULL: has none */
        bool escaped;
        uint32_t depth;
        size_t at;
    } expected[] = {
        { JSON_OBJECT, NULL, false, 1, 0 },        { JSON_NAME, "a", false, 1, 2 },
        { JSON_ARRAY, NULL, false, 2, 7 },         { JSON_NUMBER, "-1.5e3", false, 2, 8 },
        { JSON_TRUE, NULL, false, 2, 15 },         { JSON_FALSE, NULL, false, 2, 20 },
        { JSON_NULL, NULL, false, 2, 26 },         { JSON_ARRAY_END, NULL, false, 1, 30 },
        { JSON_NAME, "b\\n", true, 1, 33 },        { JSON_STRING, "\\u00e4\\\\", true, 1, 39 },
        { JSON_NAME, "", false, 1, 50 },           { JSON_OBJECT, NULL, false, 2, 54 },
        { JSON_OBJECT_END, NULL, false, 1, 55 },   { JSON_NAME, "s", false, 1, 57 },
        { JSON_STRING, "\xc3\xa4", false, 1, 61 }, { JSON_OBJECT_END, NULL, false, 0, 65 },
        { JSON_END, NULL, false, 0, 67 },          { JSON_END, NULL, false, 0, 67 },
    };
    struct json_scan s =
        start("{ \"a\" :[-1.5e3,true,false,null], \"b\\n\":\"\\u00e4\\\\\",\"\": {},"
              "\"s\":\"\xc3\xa4\"} ");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(svl__json_next(&s), expected[i].token);
        assert_int_equal(s.depth, expected[i].depth);
        if (expected[i].at != json_offset(&s))
            fail_msg("token %zu at %zu", i, json_offset(&s));
        if (expected[i].text) {
            assert_text(&s, expected[i].text);
            assert_int_equal(s.text.escaped, expected[i].escaped);
        }
    }
    assert_null(s.error);
}

static void test_error_when_found_then_nothing_else_comes(void **state)
{
    (void)state;
    struct json_scan s = start("[1,x,2]");
    assert_int_equal(svl__json_next(&s), JSON_ARRAY);
    assert_int_equal(svl__json_next(&s), JSON_NUMBER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(svl__json_next(&s), JSON_ERROR);
        assert_int_equal(s.error_at, 3);
        assert_non_null(s.error);
        assert_false(svl__json_skip(&s));
        assert_false(svl__json_leave(&s));
    }
}

static void test_value_when_skipped_then_its_bytes_are_told(void **state)
{
    (void)state;
    static const char *const values[] = {
        "1",
        "-1.5E+3",
        "true",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"}\"",
        "\"a\\\\\\\"b\"",
        "{}",
        "[]",
        "[[],[]]",
        "{\"a\":[{}]}",
        "[\"]\",\"\\\"]\",\"\\\\\"]",
        "{\"}\":\"{\"}",
        "[1, 2 , 3 ]",
        LONG_TEXT,
        ("[" LONG_TEXT ",[[[[]]]]]"),
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"x\": %s ,\"y\":2}", values[i]);
        struct json_scan s = start(text);
        assert_int_equal(svl__json_next(&s), JSON_OBJECT);
        assert_int_equal(svl__json_next(&s), JSON_NAME);
        assert_true(svl__json_skip(&s));
        assert_raw(&s, values[i]);
        assert_int_equal(s.depth, 1);
        assert_int_equal(svl__json_next(&s), JSON_NAME);
        assert_text(&s, "y");
        assert_int_equal(svl__json_next(&s), JSON_NUMBER);
        assert_raw(&s, "2");
        assert_int_equal(svl__json_next(&s), JSON_OBJECT_END);
        assert_int_equal(svl__json_next(&s), JSON_END);

        s = start(values[i]);
        assert_true(svl__json_skip(&s));
        assert_raw(&s, values[i]);
        assert_int_equal(svl__json_next(&s), JSON_END);
    }
}

static void test_container_when_left_then_the_outer_one_goes_on(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":{\"b\":[1,{\"c\":2},[3]],\"d\":\"]}\"},\"e\":4}";
    struct json_scan s = start(text);
    /* Behind each token inside of "a"'s value: to its end, level by level. */
    for (int tokens = 3;; tokens++) {
        s = start(text);
        for (int i = 0; i < tokens; i++)
            svl__json_next(&s);
        if (s.depth < 2)
            break;
        while (s.depth > 1)
            assert_true(svl__json_leave(&s));
        assert_int_equal(svl__json_next(&s), JSON_NAME);
        assert_text(&s, "e");
        assert_true(svl__json_leave(&s));
        assert_int_equal(s.depth, 0);
        assert_int_equal(svl__json_next(&s), JSON_END);
    }
    s = start(text);
    svl__json_next(&s);
    svl__json_next(&s);
    svl__json_next(&s);
    assert_true(svl__json_leave(&s));
    assert_raw(&s, "{\"b\":[1,{\"c\":2},[3]],\"d\":\"]}\"}");
}

static void test_value_when_it_has_no_end_then_skip_and_leave_fail(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",        " ",    "[",   "{\"a\":1",          "\"abc", "\"a\\",
        "\"a\\\"", "[\"]", "[[]", "[\"\\\\\\\"]",      "[\\]",  ",",
        "}",       "]",    "#",   "\"sixteen bytes..."
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_scan s = start(texts[i]);
        if (svl__json_skip(&s))
            fail_msg("%s", texts[i]);
        assert_non_null(s.error);
        assert_true(s.error_at <= strlen(texts[i]));
        assert_int_equal(svl__json_next(&s), JSON_ERROR);
    }
    struct json_scan s = start("[1,2");
    svl__json_next(&s);
    assert_false(svl__json_leave(&s));
    assert_int_equal(s.error_at, 4);
    assert_int_equal(svl__json_next(&s), JSON_ERROR);
}

static void test_scan_when_copied_then_both_go_on(void **state)
{
    (void)state;
    struct json_scan s = start("[1,[2],3]");
    svl__json_next(&s);
    svl__json_next(&s);
    struct json_scan copy = s;
    assert_true(svl__json_leave(&s));
    assert_int_equal(svl__json_next(&s), JSON_END);
    assert_int_equal(svl__json_next(&copy), JSON_ARRAY);
    assert_true(svl__json_check(&copy));
}

static const struct {
    const char *raw, *decoded;
} decodings[] = {
    { "", "" },
    { "plain", "plain" },
    { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
    { "a\\nb\\nc", "a\nb\nc" },
    { "\\u0041\\u00e4\\u20AC", "A\xc3\xa4\xe2\x82\xac" },
    { "\\u007f\\u0080\\u07ff\\u0800\\uffff", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf" },
    { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
    { "\\uD800\\uDC00\\uDBFF\\uDFFF", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
    { "\xf0\x9f\x98\x80\xc3\xa4", "\xf0\x9f\x98\x80\xc3\xa4" },
    { "\\ud800", "\xed\xa0\x80" },
    { "\\udfff", "\xed\xbf\xbf" },
    { "\\ud800\\ud800", "\xed\xa0\x80\xed\xa0\x80" },
    { "\\ud83d\\ud83d\\ude00", "\xed\xa0\xbd\xf0\x9f\x98\x80" },
    { "\\udc00\\ud800", "\xed\xb0\x80\xed\xa0\x80" },
    { "\\ud800x\\udc00", "\xed\xa0\x80x\xed\xb0\x80" },
    { "\\ud800\\\\udc00", "\xed\xa0\x80\\udc00" },
    { "\\\\u0041", "\\u0041" },
};

static void test_text_when_decoded_then_its_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decodings / sizeof decodings[0]; i++) {
        char quoted[128];
        uint8_t out[128];
        snprintf(quoted, sizeof quoted, "\"%s\"", decodings[i].raw);
        struct json_scan s = start(quoted);
        assert_int_equal(svl__json_next(&s), JSON_STRING);
        struct json_text rest = s.text;
        size_t n = svl__json_decode(&rest, out, s.text.len);
        assert_int_equal(rest.len, 0);
        assert_int_equal(n, strlen(decodings[i].decoded));
        assert_memory_equal(out, decodings[i].decoded, n);
    }
}

static void test_text_when_decoded_in_parts_then_whole_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decodings / sizeof decodings[0]; i++)
        for (size_t capacity = 4; capacity < 9; capacity++) {
            struct json_text rest = { (const uint8_t *)decodings[i].raw, strlen(decodings[i].raw),
                                      strchr(decodings[i].raw, '\\') != NULL };
            uint8_t out[128];
            size_t n = 0;
            while (rest.len > 0) {
                size_t part = svl__json_decode(&rest, out + n, capacity);
                assert_true(part > 0 && part <= capacity);
                n += part;
                assert_true(rest.len == 0 || (rest.data[0] & 0xc0) != 0x80);
            }
            assert_int_equal(n, strlen(decodings[i].decoded));
            assert_memory_equal(out, decodings[i].decoded, n);
        }
}

static void test_text_when_there_is_no_space_then_nothing_is_taken(void **state)
{
    (void)state;
    static const char *const texts[] = { "\xe2\x82\xac", "\\u20ac", "\\ud83d\\ude00" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_text rest = { (const uint8_t *)texts[i], strlen(texts[i]),
                                  texts[i][0] == '\\' };
        uint8_t out[2];
        assert_int_equal(svl__json_decode(&rest, out, sizeof out), 0);
        assert_int_equal(rest.len, strlen(texts[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_when_read_then_token_by_token),
        cmocka_unit_test(test_error_when_found_then_nothing_else_comes),
        cmocka_unit_test(test_value_when_skipped_then_its_bytes_are_told),
        cmocka_unit_test(test_container_when_left_then_the_outer_one_goes_on),
        cmocka_unit_test(test_value_when_it_has_no_end_then_skip_and_leave_fail),
        cmocka_unit_test(test_scan_when_copied_then_both_go_on),
        cmocka_unit_test(test_text_when_decoded_then_its_characters),
        cmocka_unit_test(test_text_when_decoded_in_parts_then_whole_characters),
        cmocka_unit_test(test_text_when_there_is_no_space_then_nothing_is_taken),
    };
    return cmocka_run_group_tests_name("base/json_tokens", tests, NULL, NULL);
}
