/* The library against the verdicts that were made by hand: each pattern alone, and all of them as the rules of one
 * ruleset. */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "support/support.h"

static const char *tables;

struct run {
    svl_pattern *pattern;
    svl_ruleset *ruleset;
    uint64_t rules; /* those of the patterns so far have the ids from 0 */
    unsigned wrong;
};

static void tell(struct run *run, const struct verdict_case *at, const char *by, int rc,
                 int matched)
{
    print_error("%s:%u: %s: %s, by hand %s\n  pattern %s\n  event   %s\n", at->file, at->line, by,
                rc == SVL_OK ? matched ? "yes" : "no" : svl_strerror(rc), verdict_word(at->verdict),
                at->pattern, at->event);
    run->wrong++;
}

static bool is_verdict(int verdict, int rc, int matched)
{
    return verdict == REFERENCE_ERROR ? rc == SVL_E_JSON && matched == 0
                                      : rc == SVL_OK && matched == (verdict == REFERENCE_YES);
}

static void check_pattern(const struct verdict_case *at, void *user)
{
    struct run *run = user;
    if (!at->event) {
        svl_pattern_destroy(run->pattern);
        int rc = svl_pattern_compile(at->pattern, strlen(at->pattern), &run->pattern, NULL);
        if (rc != SVL_OK) /* its verdicts are then all wrong, not the rest of the tables */
            print_error("%s:%u: %s\n  pattern %s\n", at->file, at->line, svl_last_error(),
                        at->pattern);
        return;
    }
    static const uint32_t flags[] = { 0, SVL_JSON_CHECK };
    for (size_t i = 0; i < 2; i++) {
        int matched = -1;
        int rc =
            svl_pattern_match_json(run->pattern, at->event, strlen(at->event), flags[i], &matched);
        if (!is_verdict(at->verdict, rc, matched))
            tell(run, at, flags[i] ? "checked" : "alone", rc, matched);
    }
}

static void test_pattern_when_given_the_verdicts_then_agrees(void **state)
{
    (void)state;
    struct run run = { .pattern = NULL };
    assert_in_range(verdicts_read_all(tables, check_pattern, &run), 400, 100000);
    svl_pattern_destroy(run.pattern);
    assert_int_equal(run.wrong, 0);
}

static void add_rule(const struct verdict_case *at, void *user)
{
    struct run *run = user;
    if (!at->event)
        assert_ok(
            svl_ruleset_add(run->ruleset, run->rules++, at->pattern, strlen(at->pattern), NULL));
}

static bool holds(const uint64_t *ids, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* Whether the rule of the case's pattern is among those that its event matches. What is malformed is an error only
 * where some rule looks at it. */
static void check_rule(const struct verdict_case *at, void *user)
{
    struct run *run = user;
    if (!at->event) {
        run->rules++;
        return;
    }
    static uint64_t ids[4096];
    size_t count = 0;
    int rc = svl_ruleset_match_json(run->ruleset, at->event, strlen(at->event), SVL_JSON_CHECK, ids,
                                    sizeof ids / sizeof *ids, &count);
    int matched = holds(ids, count, run->rules - 1);
    if (!is_verdict(at->verdict, rc, matched))
        tell(run, at, "in a ruleset", rc, matched);
    for (size_t i = 1; i < count; i++)
        assert_true(ids[i - 1] < ids[i]);
}

static void test_ruleset_when_all_the_patterns_are_its_rules_then_each_has_its_verdict(void **state)
{
    (void)state;
    struct run run = { .pattern = NULL };
    assert_ok(svl_ruleset_create(NULL, &run.ruleset));
    verdicts_read_all(tables, add_rule, &run);
    run.rules = 0;
    assert_in_range(verdicts_read_all(tables, check_rule, &run), 400, 100000);
    svl_ruleset_destroy(run.ruleset);
    assert_int_equal(run.wrong, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    tables = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_when_given_the_verdicts_then_agrees),
        cmocka_unit_test(
            test_ruleset_when_all_the_patterns_are_its_rules_then_each_has_its_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
