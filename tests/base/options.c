/* Sized structs: old and new callers meet. */
#include "base/options.h"

#include <string.h>

#include "support/support.h"

struct version_1 {
    uint32_t struct_size, a;
};
struct version_2 {
    uint32_t struct_size, a;
    uint64_t b;
};

static void test_options_when_null_then_all_defaults(void **state)
{
    (void)state;
    struct version_2 to = { 1, 2, 3 };
    assert_ok(svl__options_copy(&to, sizeof to, NULL, sizeof(struct version_1), "x"));
    assert_int_equal(to.a, 0);
    assert_true(to.b == 0);
}

static void test_options_when_older_then_tail_is_zero(void **state)
{
    (void)state;
    struct version_1 old;
    assert_ok(svl__options_init(&old, sizeof old, sizeof old, "x"));
    old.a = 7;
    struct version_2 to = { 1, 2, 3 };
    assert_ok(svl__options_copy(&to, sizeof to, &old, sizeof(struct version_1), "x"));
    assert_int_equal(to.a, 7);
    assert_true(to.b == 0);
}

static void test_options_when_newer_then_tail_must_be_zero(void **state)
{
    (void)state;
    struct version_2 new = { .struct_size = sizeof new, .a = 7 };
    struct version_1 to;
    assert_ok(svl__options_copy(&to, sizeof to, &new, sizeof to, "x"));
    assert_int_equal(to.a, 7);
    new.b = 1;
    assert_int_equal(svl__options_copy(&to, sizeof to, &new, sizeof to, "x"), SVL_E_STRUCT_SIZE);
}

static void test_options_when_size_cannot_be_then_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 0, 4, 7, 9, 5000, UINT32_MAX };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct version_2 from = { .struct_size = sizes[i] }, to;
        assert_int_equal(svl__options_copy(&to, sizeof to, &from, 8, "x"), SVL_E_STRUCT_SIZE);
        assert_int_equal(svl__options_init(&from, sizes[i], 8, "x"), SVL_E_STRUCT_SIZE);
        from.struct_size = sizes[i];
        assert_int_equal(svl__options_fill(&from, &to, sizeof to, 8, "x"), SVL_E_STRUCT_SIZE);
    }
    assert_int_equal(svl__options_init(NULL, 8, 8, "x"), SVL_E_INVALID);
}

static void test_result_when_filled_then_keeps_the_callers_size(void **state)
{
    (void)state;
    struct version_2 from = { .struct_size = 0, .a = 5, .b = 6 };
    struct version_1 old = { .struct_size = sizeof old };
    assert_ok(svl__options_fill(&old, &from, sizeof from, 8, "x"));
    assert_int_equal(old.a, 5);
    assert_int_equal(old.struct_size, sizeof old);
    struct {
        struct version_2 known;
        uint64_t later;
    } newer = { .known = { .struct_size = sizeof newer }, .later = 9 };
    assert_ok(svl__options_fill(&newer, &from, sizeof from, 8, "x"));
    assert_true(newer.known.b == 6 && newer.later == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_when_null_then_all_defaults),
        cmocka_unit_test(test_options_when_older_then_tail_is_zero),
        cmocka_unit_test(test_options_when_newer_then_tail_must_be_zero),
        cmocka_unit_test(test_options_when_size_cannot_be_then_refused),
        cmocka_unit_test(test_result_when_filled_then_keeps_the_callers_size),
    };
    return cmocka_run_group_tests_name("base/options", tests, NULL, NULL);
}
