/* Patterns and rulesets with allocations that fail: an error, nothing leaked, and the ruleset as it was. */
#include <string.h>

#include "support/support.h"

static const char *const patterns[] = {
    "{\"a\":[\"x\",{\"prefix\":\"y\"},{\"suffix\":\"z\"},{\"anything-but\":[\"q\",\"r\"]}],\"b\":{"
    "\"c\":["
    "{\"numeric\":[\">\",0.1,\"<\",99.7]},{\"exists\":false}]}}",
    "{\"$or\":[{\"a\":[{\"wildcard\":\"*long*text*\"}]},{\"a\":[{\"cidr\":\"10.0.0.0/"
    "9\"}]},{\"e.f\":["
    "null,true,5]}],\"b\":{\"c\":[{\"equals-ignore-case\":\"X\"},{\"exists\":false}]}}",
};
static const char event[] =
    "{\"a\":[{\"x\":1},\"\\u0078\",\"a long long text\"],\"b\":[{\"c\":5},{\"c\":"
    "\"x\"},{\"d\":[[{\"c\":7}]]}],\"e.f\":[1,2,5]}";

/* Fails the n-th allocation of `run`, for each n, until there are no more. */
static void sweep(int (*run)(void))
{
    for (uint64_t n = 1;; n++) {
        int64_t live = live_allocations();
        fail_malloc_after(n, true);
        int rc = run();
        uint64_t calls = fail_malloc_count();
        fail_malloc_after(0, false);
        assert_true(live_allocations() == live);
        if (calls < n) {
            assert_ok(rc);
            return;
        }
        assert_int_equal(rc, SVL_E_NOMEM);
    }
}

static int compile_match_explain(void)
{
    int rc = SVL_OK, matched;
    for (size_t i = 0; rc == SVL_OK && i < sizeof patterns / sizeof patterns[0]; i++) {
        svl_pattern *pattern;
        size_t needed;
        rc = svl_pattern_compile(patterns[i], strlen(patterns[i]), &pattern, NULL);
        if (rc == SVL_OK)
            rc = svl_pattern_match_json(pattern, event, strlen(event), 0, &matched);
        if (rc == SVL_OK)
            rc = svl_pattern_explain_json(pattern, event, strlen(event), SVL_EXPLAIN_JSON, NULL, 0,
                                          &needed);
        svl_pattern_destroy(pattern);
    }
    return rc;
}

static void test_pattern_when_an_allocation_fails_then_an_error_and_nothing_leaked(void **state)
{
    (void)state;
    sweep(compile_match_explain);
}

static int change(svl_ruleset *ruleset)
{
    static const char file[] = "{\"rules\":[{\"name\":\"a\",\"pattern\":{\"a\":[\"x\"]},"
                               "\"transformer\":{\"InputTemplate\":\"t\"}},{\"name\":\"b\","
                               "\"pattern\":{\"a\":[\"y\"]},\"state\":\"disabled\"}]}";
    uint64_t ids[4];
    size_t matched;
    int rc = svl_ruleset_load(ruleset, file, strlen(file), NULL, NULL);
    for (uint64_t i = 0; rc == SVL_OK && i < 2; i++)
        rc = svl_ruleset_add(ruleset, i, patterns[i], strlen(patterns[i]), NULL);
    if (rc == SVL_OK)
        rc = svl_ruleset_match_json(ruleset, event, strlen(event), 0, ids, 4, &matched);
    if (rc == SVL_OK)
        rc = svl_ruleset_remove(ruleset, 0);
    return rc;
}

static int create_and_change(void)
{
    svl_ruleset *ruleset;
    int rc = svl_ruleset_create(NULL, &ruleset);
    if (rc == SVL_OK)
        rc = change(ruleset);
    svl_ruleset_destroy(ruleset);
    return rc;
}

static void test_ruleset_when_an_allocation_fails_then_an_error_and_nothing_leaked(void **state)
{
    (void)state;
    sweep(create_and_change);
}

static void test_ruleset_when_adding_fails_then_it_is_as_before(void **state)
{
    (void)state;
    svl_ruleset *ruleset;
    svl_ruleset_stats before = { .struct_size = sizeof before }, after = before;
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    assert_ok(svl_ruleset_add(ruleset, 7, patterns[1], strlen(patterns[1]), NULL));
    assert_ok(svl_ruleset_stats_get(ruleset, &before));
    for (uint64_t n = 1;; n++) {
        fail_malloc_after(n, true);
        int rc = svl_ruleset_add(ruleset, 8, patterns[0], strlen(patterns[0]), NULL);
        fail_malloc_after(0, false);
        if (rc == SVL_OK)
            break;
        assert_int_equal(rc, SVL_E_NOMEM);
        assert_ok(svl_ruleset_stats_get(ruleset, &after));
        assert_int_equal(after.rules, before.rules);
        assert_int_equal(after.conditions, before.conditions);
        assert_int_equal(after.conjunctions, before.conjunctions);
        assert_int_equal(after.paths, before.paths);
    }
    svl_ruleset_destroy(ruleset);
}

static int load(svl_ruleset *ruleset, const char *text)
{
    return svl_ruleset_load(ruleset, text, strlen(text), NULL, NULL);
}

/* The rule "a" with id `id` is the only one that matches, and tells `told`. */
static void check_loaded(svl_ruleset *ruleset, uint64_t id, const char *told)
{
    static const char matching[] = "{\"a\":1}";
    uint64_t ids[2];
    size_t count, len;
    char out[32];
    assert_ok(svl_ruleset_match_json(ruleset, matching, strlen(matching), 0, ids, 2, &count));
    assert_int_equal(count, 1);
    assert_true(ids[0] == id);
    assert_ok(svl_ruleset_name(ruleset, id, out, sizeof out, &len));
    assert_string_equal(out, "a");
    assert_ok(
        svl_ruleset_transform_json(ruleset, id, matching, strlen(matching), out, sizeof out, &len));
    assert_string_equal(out, told);
}

static void test_ruleset_when_loading_fails_then_the_rules_before_are_whole(void **state)
{
    (void)state;
    static const char before[] =
        "{\"rules\":[{\"name\":\"a\",\"pattern\":{\"a\":[1]},\"transformer\":"
        "{\"InputTemplate\":\"before\"}},{\"name\":\"gone\",\"pattern\":{\"b\":[2]}}]}";
    static const char behind[] =
        "{\"rules\":[{\"name\":\"new\",\"pattern\":{\"c\":[{\"prefix\":\"p\"}]}},"
        "{\"name\":\"a\",\"pattern\":{\"$or\":[{\"a\":[1,2]},{\"d\":[{\"wildcard\":\"x*y\"}]}]},"
        "\"transformer\":{\"InputTemplate\":\"behind\"}}]}";
    svl_ruleset *ruleset;
    svl_ruleset_stats was = { .struct_size = sizeof was }, is = was;
    uint64_t id;
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    assert_ok(load(ruleset, before));
    assert_ok(svl_ruleset_find(ruleset, "a", &id));
    assert_ok(svl_ruleset_stats_get(ruleset, &was));
    for (uint64_t n = 1;; n++) {
        fail_malloc_after(n, true);
        int rc = load(ruleset, behind);
        fail_malloc_after(0, false);
        if (rc == SVL_OK)
            break;
        assert_int_equal(rc, SVL_E_NOMEM);
        check_loaded(ruleset, id, "before");
        assert_ok(svl_ruleset_stats_get(ruleset, &is));
        assert_int_equal(is.rules, was.rules);
        assert_int_equal(is.conditions, was.conditions);
        assert_int_equal(is.conjunctions, was.conjunctions);
        assert_int_equal(is.paths, was.paths);
        assert_int_equal(is.retired, 0);
    }
    check_loaded(ruleset, id, "behind");
    assert_int_equal(svl_ruleset_find(ruleset, "gone", &id), SVL_E_NOT_FOUND);
    svl_ruleset_destroy(ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_when_an_allocation_fails_then_an_error_and_nothing_leaked),
        cmocka_unit_test(test_ruleset_when_an_allocation_fails_then_an_error_and_nothing_leaked),
        cmocka_unit_test(test_ruleset_when_adding_fails_then_it_is_as_before),
        cmocka_unit_test(test_ruleset_when_loading_fails_then_the_rules_before_are_whole),
    };
    return cmocka_run_group_tests_name("pattern/memory", tests, NULL, NULL);
}
