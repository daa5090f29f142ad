/* What is written is valid JSON, and reads back as what it was. */
#include "base/json_write.h"

#include <math.h>

#include "base/json_number.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "support/support.h"

static void assert_written(struct buffer *out, const char *expected)
{
    assert_false(out->failed);
    assert_int_equal(out->len, strlen(expected));
    assert_memory_equal(out->data, expected, out->len);
    svl__buffer_free(out);
}

static void test_string_when_written_then_escaped_where_it_must_be(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        { "", "\"\"" },
        { "plain", "\"plain\"" },
        { "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
        { "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
        { "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "\xed\xa0\x80", "\"\\ud800\"" },
        { "\xed\xbf\xbf!", "\"\\udfff!\"" },
        { "\xff", "\"\xef\xbf\xbd\"" },
        { "a\xc3", "\"a\xef\xbf\xbd\"" },
        { "\xed\xa0", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = { 0 };
        svl__json_write_string(&out, cases[i].text, strlen(cases[i].text));
        assert_written(&out, cases[i].json);
    }
    struct buffer out = { 0 };
    svl__json_write_string(&out, "a\0b", 3);
    assert_written(&out, "\"a\\u0000b\"");
}

static void test_string_when_any_characters_then_reads_back(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 20000; i++) {
        uint8_t text[256], decoded[256 * 6];
        size_t len = 0, characters = rng_below(&rng, 40);
        for (size_t c = 0; c < characters; c++) {
            static const uint32_t ranges[] = { 0x30, 0x80, 0x800, 0x10000, 0x110000 };
            uint32_t character = (uint32_t)rng_below(&rng, ranges[rng_below(&rng, 5)]);
            if (character >= 0xd800 && character <= 0xdfff) /* of these, two may become one */
                continue;
            len += svl__utf8_encode(character, text + len);
        }
        struct buffer out = { 0 };
        svl__json_write_string(&out, text, len);
        struct json_scan s;
        svl__json_start(&s, out.data, out.len, 0);
        assert_int_equal(svl__json_next(&s), JSON_STRING);
        size_t n = svl__json_decode(&s.text, decoded, sizeof decoded);
        assert_int_equal(n, len);
        assert_memory_equal(decoded, text, len);
        assert_int_equal(svl__json_next(&s), JSON_END);
        svl__buffer_free(&out);
    }
}

static void test_integer_when_written_then_its_digits(void **state)
{
    (void)state;
    struct buffer out = { 0 };
    svl__json_write_u64(&out, 0);
    json_write_raw(&out, " ");
    svl__json_write_u64(&out, UINT64_MAX);
    json_write_raw(&out, " ");
    svl__json_write_i64(&out, INT64_MIN);
    json_write_raw(&out, " ");
    svl__json_write_i64(&out, INT64_MAX);
    assert_written(&out, "0 18446744073709551615 -9223372036854775808 9223372036854775807");
}

static void test_double_when_written_then_in_few_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *json;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { -1.5, "-1.5" },
        { 0.1, "0.1" },
        { 0.3, "0.3" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1e20, "100000000000000000000" },
        { 1e21, "1e+21" },
        { 1.5e300, "1.5e+300" },
        { 1e-7, "0.0000001" },
        { 1e-8, "1e-8" },
        { 123456.789, "123456.789" },
        { 5e-324, "4.94065645841247e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { INFINITY, "null" },
        { NAN, "null" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = { 0 };
        svl__json_write_f64(&out, cases[i].value);
        assert_written(&out, cases[i].json);
    }
}

static void test_double_when_random_then_valid_and_reads_back(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = rng_next(&rng);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (i % 2)
            value = (double)(int64_t)bits / 1024;
        if (!isfinite(value))
            continue;
        struct buffer out = { 0 };
        svl__json_write_f64(&out, value);
        struct json_scan s;
        svl__json_start(&s, out.data, out.len, 0);
        assert_int_equal(svl__json_next(&s), JSON_NUMBER);
        assert_int_equal(svl__json_next(&s), JSON_END);
        struct json_number back;
        assert_true(svl__json_number((svl_slice){ out.data, out.len }, &back));
        assert_true(back.value == value);
        svl__buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_string_when_written_then_escaped_where_it_must_be),
        cmocka_unit_test(test_string_when_any_characters_then_reads_back),
        cmocka_unit_test(test_integer_when_written_then_its_digits),
        cmocka_unit_test(test_double_when_written_then_in_few_digits),
        cmocka_unit_test(test_double_when_random_then_valid_and_reads_back),
    };
    return cmocka_run_group_tests_name("base/json_write", tests, NULL, NULL);
}
