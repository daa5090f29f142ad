/* The reference matcher against the tables that were made by hand: each proves the other before the library is
 * compared with them. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "support/support.h"

static const char *tables;

struct run {
    struct reference *reference;
    unsigned wrong;
};

static void check_verdict(const struct verdict_case *at, void *user)
{
    struct run *run = user;
    if (!at->event) {
        size_t offset;
        reference_destroy(run->reference);
        run->reference = reference_compile(at->pattern, strlen(at->pattern), &offset);
        if (!run->reference)
            fail_msg("%s:%u: refused at byte %zu: %s", at->file, at->line, offset, at->pattern);
        return;
    }
    int verdict = reference_match(run->reference, at->event, strlen(at->event));
    if (verdict != at->verdict) {
        print_error("%s:%u: %s, by hand %s\n  pattern %s\n  event   %s\n", at->file, at->line,
                    verdict_word(verdict), verdict_word(at->verdict), at->pattern, at->event);
        run->wrong++;
    }
}

static void test_reference_when_given_the_verdicts_then_agrees(void **state)
{
    (void)state;
    struct run run = { NULL, 0 };
    assert_in_range(verdicts_read_all(tables, check_verdict, &run), 400, 100000);
    reference_destroy(run.reference);
    assert_int_equal(run.wrong, 0);
}

static void check_refusal(const struct refused_case *at, void *user)
{
    struct run *run = user;
    size_t offset;
    struct reference *reference = reference_compile(at->pattern, at->length, &offset);
    if (reference || offset != at->offset) {
        print_error("refused.txt:%u: %s at %zu, by hand refused at %zu\n  pattern %s\n", at->line,
                    reference ? "taken" : "refused", offset, at->offset, at->pattern);
        run->wrong++;
    }
    reference_destroy(reference);
}

static void test_reference_when_given_the_refused_patterns_then_refuses_them_there(void **state)
{
    (void)state;
    struct run run = { NULL, 0 };
    assert_in_range(refused_read(tables, check_refusal, &run), 120, 100000);
    assert_int_equal(run.wrong, 0);
}

static void test_reference_when_an_or_expands_to_more_than_1000_then_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < combinations_cases_count; i++) {
        char *pattern = combinations_pattern(&combinations_cases[i]);
        size_t offset;
        struct reference *reference = reference_compile(pattern, strlen(pattern), &offset);
        assert_int_equal(!reference, combinations_cases[i].refused);
        reference_destroy(reference);
        free(pattern);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    tables = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_when_given_the_verdicts_then_agrees),
        cmocka_unit_test(test_reference_when_given_the_refused_patterns_then_refuses_them_there),
        cmocka_unit_test(test_reference_when_an_or_expands_to_more_than_1000_then_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
