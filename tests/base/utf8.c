/* UTF-8 as RFC 3629 has it. */
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static void test_text_when_valid_then_accepted(void **state)
{
    (void)state;
    static const char *const valid[] = { "",
                                         "plain ascii, longer than eight bytes",
                                         "\xc3\xa4\xc3\xb6\xc3\xbc",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xf4\x8f\xbf\xbf",
                                         "\xee\x80\x80",
                                         "\xed\x9f\xbf",
                                         "12345678\xc3\xa4" };
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        assert_true(svl__utf8_valid(valid[i], strlen(valid[i])));
    assert_true(svl__utf8_valid("a\0b", 3));
}

static void test_text_when_not_valid_then_refused(void **state)
{
    (void)state;
    static const char *const invalid[] = { "\x80",
                                           "\xc0\x80",
                                           "\xc1\xbf",
                                           "\xc3",
                                           "\xe0\x80\x80",
                                           "\xe0\x9f\xbf",
                                           "\xed\xa0\x80",
                                           "\xed\xbf\xbf",
                                           "\xe2\x82",
                                           "\xf0\x80\x80\x80",
                                           "\xf0\x8f\xbf\xbf",
                                           "\xf4\x90\x80\x80",
                                           "\xf5\x80\x80\x80",
                                           "\xff",
                                           "12345678\xc3",
                                           "\xc3(",
                                           "\xe2(\xa1",
                                           "\xf0\x9f\x98(" };
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        assert_false(svl__utf8_valid(invalid[i], strlen(invalid[i])));
}

/* Words are looked at where there are eight bytes, and where there are fewer: every byte counts in both. */
static void test_text_when_one_byte_is_not_ascii_then_refused_wherever_it_is(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 40; len++) {
        uint8_t *text = malloc(len); /* of its own, so that a sanitizer sees what lies behind */
        assert_non_null(text);
        memset(text, 'a', len);
        assert_true(svl__utf8_valid(text, len));
        for (size_t at = 0; at < len; at++) {
            text[at] = 0x80;
            assert_false(svl__utf8_valid(text, len));
            text[at] = 'a';
        }
        free(text);
    }
}

/* Against the definition: encode every code point, and only these sequences are valid. */
static void test_every_code_point_when_encoded_then_accepted_unless_surrogate(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x110000; c++) {
        uint8_t b[4];
        size_t n;
        if (c < 0x80) {
            b[0] = (uint8_t)c;
            n = 1;
        } else if (c < 0x800) {
            b[0] = (uint8_t)(0xc0 | c >> 6);
            b[1] = (uint8_t)(0x80 | (c & 0x3f));
            n = 2;
        } else if (c < 0x10000) {
            b[0] = (uint8_t)(0xe0 | c >> 12);
            b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
            b[2] = (uint8_t)(0x80 | (c & 0x3f));
            n = 3;
        } else {
            b[0] = (uint8_t)(0xf0 | c >> 18);
            b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
            b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
            b[3] = (uint8_t)(0x80 | (c & 0x3f));
            n = 4;
        }
        bool expected = !(c >= 0xd800 && c <= 0xdfff) && c <= 0x10ffff;
        assert_int_equal(svl__utf8_valid(b, n), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_when_valid_then_accepted),
        cmocka_unit_test(test_text_when_not_valid_then_refused),
        cmocka_unit_test(test_text_when_one_byte_is_not_ascii_then_refused_wherever_it_is),
        cmocka_unit_test(test_every_code_point_when_encoded_then_accepted_unless_surrogate),
    };
    return cmocka_run_group_tests_name("base/utf8", tests, NULL, NULL);
}
