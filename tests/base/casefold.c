/* Simple case folding: characters by hand, and properties that hold for all of them. */
#include "base/casefold.h"

#include <string.h>

#include "base/utf8.h"
#include "support/support.h"

static void test_character_when_folded_then_one_other(void **state)
{
    (void)state;
    static const struct {
        uint32_t from, to;
    } cases[] = {
        { 'A', 'a' },         { 'Z', 'z' },         { 'a', 'a' },
        { '@', '@' },         { '[', '[' },         { 0, 0 },
        { 0x7f, 0x7f },       { 0xb5, 0x3bc },      { 0xc0, 0xe0 },
        { 0xd6, 0xf6 },       { 0xd7, 0xd7 },       { 0xde, 0xfe },
        { 0xdf, 0xdf },       { 0x100, 0x101 },     { 0x101, 0x101 },
        { 0x130, 0x130 },     { 0x131, 0x131 },     { 0x139, 0x13a },
        { 0x149, 0x149 },     { 0x178, 0xff },      { 0x17f, 's' },
        { 0x1c4, 0x1c6 },     { 0x1c5, 0x1c6 },     { 0x23a, 0x2c65 },
        { 0x345, 0x3b9 },     { 0x391, 0x3b1 },     { 0x3c2, 0x3c3 },
        { 0x3a3, 0x3c3 },     { 0x410, 0x430 },     { 0x531, 0x561 },
        { 0x10a0, 0x2d00 },   { 0x13a0, 0x13a0 },   { 0x13f8, 0x13f0 },
        { 0xab70, 0x13a0 },   { 0x1e9e, 0xdf },     { 0x1f88, 0x1f80 },
        { 0x1fbc, 0x1fb3 },   { 0x1f80, 0x1f80 },   { 0x2126, 0x3c9 },
        { 0x212a, 'k' },      { 0x212b, 0xe5 },     { 0x2160, 0x2170 },
        { 0x24b6, 0x24d0 },   { 0xff21, 0xff41 },   { 0xfb00, 0xfb00 },
        { 0x10400, 0x10428 }, { 0x1e900, 0x1e922 }, { 0x4e2d, 0x4e2d },
        { 0xd800, 0xd800 },   { 0xdfff, 0xdfff },   { 0x10ffff, 0x10ffff },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (svl__casefold(cases[i].from) != cases[i].to)
            fail_msg("U+%04X folds to U+%04X", cases[i].from, svl__casefold(cases[i].from));
}

/* CaseFolding.txt of Unicode 14.0, and that of 15.0, has 1,454 characters of status C or S. */
static void test_characters_when_folded_twice_then_as_once(void **state)
{
    (void)state;
    unsigned changed = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint32_t folded = svl__casefold(c);
        assert_true(folded < 0x110000 && !(folded >= 0xd800 && folded <= 0xdfff && folded != c));
        assert_int_equal(svl__casefold(folded), folded);
        changed += folded != c;
    }
    assert_int_equal(changed, 1454);
}

static void test_text_when_folded_then_equal_but_for_its_case(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
    } cases[] = {
        { "", "" },
        { "Hello, World 42", "hELLO, wORLD 42" },
        { "\xc3\x84RGER", "\xc3\xa4rger" },
        { "\xe2\x84\xaa", "k" },
        { "\xc8\xba\xc8\xba", "\xe2\xb1\xa5\xe2\xb1\xa5" },
        { "\xf0\x90\x90\x80!", "\xf0\x90\x90\xa8!" },
        { "\xed\xa0\x80"
          "A",
          "\xed\xa0\x80"
          "a" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t a[CASEFOLD_BYTES_MAX(32)], b[CASEFOLD_BYTES_MAX(32)];
        size_t m = svl__casefold_text((const uint8_t *)cases[i].a, strlen(cases[i].a), a);
        size_t n = svl__casefold_text((const uint8_t *)cases[i].b, strlen(cases[i].b), b);
        assert_true(m <= CASEFOLD_BYTES_MAX(strlen(cases[i].a)));
        assert_int_equal(m, n);
        assert_memory_equal(a, b, n);
    }
}

/* No character grows by more than CASEFOLD_BYTES_MAX allows. */
static void test_characters_when_folded_as_text_then_within_their_space(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t text[4], out[CASEFOLD_BYTES_MAX(4)];
        size_t taken, len = svl__utf8_encode(c, text);
        size_t n = svl__casefold_text(text, len, out);
        assert_true(n <= CASEFOLD_BYTES_MAX(len));
        assert_int_equal(svl__utf8_decode(out, n, &taken), svl__casefold(c));
        assert_int_equal(taken, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_character_when_folded_then_one_other),
        cmocka_unit_test(test_characters_when_folded_twice_then_as_once),
        cmocka_unit_test(test_text_when_folded_then_equal_but_for_its_case),
        cmocka_unit_test(test_characters_when_folded_as_text_then_within_their_space),
    };
    return cmocka_run_group_tests_name("base/casefold", tests, NULL, NULL);
}
