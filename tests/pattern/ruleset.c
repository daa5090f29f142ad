/* Rulesets: ids, limits, files of rules, and arguments that are none. */
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static svl_ruleset *create(const svl_ruleset_options *options)
{
    svl_ruleset *ruleset;
    assert_ok(svl_ruleset_create(options, &ruleset));
    return ruleset;
}

static int add(svl_ruleset *ruleset, uint64_t id, const char *pattern)
{
    return svl_ruleset_add(ruleset, id, pattern, strlen(pattern), NULL);
}

static size_t match(svl_ruleset *ruleset, const char *event, uint64_t *ids, size_t capacity)
{
    size_t matched;
    assert_ok(svl_ruleset_match_json(ruleset, event, strlen(event), 0, ids, capacity, &matched));
    return matched;
}

static int load(svl_ruleset *ruleset, const char *text, svl_pattern_error *where)
{
    uint64_t loaded;
    return svl_ruleset_load(ruleset, text, strlen(text), &loaded, where);
}

static uint64_t id_of(svl_ruleset *ruleset, const char *name)
{
    uint64_t id;
    assert_ok(svl_ruleset_find(ruleset, name, &id));
    return id;
}

static void test_match_when_there_is_less_space_then_the_lowest_ids_and_the_whole_count(
    void **state)
{
    (void)state;
    svl_ruleset *ruleset = create(NULL);
    uint64_t ids[4] = { 0 };
    for (uint64_t id = 10; id > 0; id--)
        assert_ok(add(ruleset, id * 7, "{\"a\":[1]}"));
    assert_int_equal(match(ruleset, "{\"a\":1}", ids, 3), 10);
    assert_int_equal(ids[0], 7);
    assert_int_equal(ids[1], 14);
    assert_int_equal(ids[2], 21);
    assert_int_equal(ids[3], 0);
    assert_int_equal(match(ruleset, "{\"a\":1}", NULL, 0), 10);
    svl_ruleset_destroy(ruleset);
}

static void test_add_when_an_id_is_taken_or_the_limit_reached_then_refused(void **state)
{
    (void)state;
    svl_ruleset_options options;
    assert_ok(svl_ruleset_options_init(&options, sizeof options));
    options.rules_max = 2;
    svl_ruleset *ruleset = create(&options);
    assert_ok(add(ruleset, 1, "{\"a\":[1]}"));
    assert_int_equal(add(ruleset, 1, "{\"a\":[2]}"), SVL_E_BUSY);
    assert_ok(add(ruleset, 2, "{\"a\":[1]}"));
    assert_int_equal(add(ruleset, 3, "{\"a\":[1]}"), SVL_E_LIMIT);
    assert_int_equal(svl_ruleset_remove(ruleset, 3), SVL_E_NOT_FOUND);
    assert_ok(svl_ruleset_remove(ruleset, 1));
    assert_ok(add(ruleset, 1, "{\"a\":[2]}"));
    assert_int_equal(match(ruleset, "{\"a\":1}", NULL, 0), 1);
    assert_int_equal(match(ruleset, "{\"a\":2}", NULL, 0), 1);
    svl_ruleset_destroy(ruleset);
}

static void test_rules_when_parts_are_equal_then_kept_once(void **state)
{
    (void)state;
    svl_ruleset *ruleset = create(NULL);
    svl_ruleset_stats one = { .struct_size = sizeof one }, many = one;
    assert_ok(add(ruleset, 0, "{\"a\":{\"b\":[\"x\",\"y\"]},\"c\":[{\"prefix\":\"p\"}]}"));
    assert_ok(svl_ruleset_stats_get(ruleset, &one));
    for (uint64_t id = 1; id < 100; id++)
        assert_ok(add(ruleset, id, "{\"c\":[{\"prefix\":\"p\"}],\"a.b\":[\"y\",\"x\"]}"));
    assert_ok(svl_ruleset_stats_get(ruleset, &many));
    assert_int_equal(many.rules, 100);
    assert_int_equal(many.paths, one.paths);
    assert_int_equal(many.conditions, one.conditions);
    assert_int_equal(many.conjunctions, one.conjunctions);
    assert_true(many.bytes_a_rule < 512);
    svl_ruleset_destroy(ruleset);
}

static void test_options_when_out_of_range_then_refused(void **state)
{
    (void)state;
    static const struct {
        svl_ruleset_options options;
        int code;
    } cases[] = {
        { { .rules_max = 10000001 }, SVL_E_OPTION },
        { { .pattern_bytes_max = 1 }, SVL_E_OPTION },
        { { .pattern_bytes_max = (16 << 20) + 1 }, SVL_E_OPTION },
        { { .pattern_depth_max = 513 }, SVL_E_OPTION },
        { { .event_bytes_max = 1023 }, SVL_E_OPTION },
        { { .event_depth_max = 1025 }, SVL_E_OPTION },
        { { .reserved = 1 }, SVL_E_RESERVED },
        { { .event_depth_max = 1024, .pattern_depth_max = 512, .rules_max = 1 }, SVL_OK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_ruleset *ruleset;
        svl_ruleset_options options = cases[i].options;
        options.struct_size = sizeof options;
        assert_int_equal(svl_ruleset_create(&options, &ruleset), cases[i].code);
        assert_true((ruleset == NULL) == (cases[i].code != SVL_OK));
        svl_ruleset_destroy(ruleset);
    }
}

static void test_events_when_beyond_a_limit_then_refused(void **state)
{
    (void)state;
    svl_ruleset_options options;
    assert_ok(svl_ruleset_options_init(&options, sizeof options));
    options.event_bytes_max = 1024;
    options.event_depth_max = 4;
    svl_ruleset *ruleset = create(&options);
    size_t matched;
    static char long_event[1025];
    memset(long_event, ' ', sizeof long_event);
    memcpy(long_event, "{}", 2);
    assert_ok(add(ruleset, 0, "{\"a\":[1]}"));
    assert_ok(svl_ruleset_match_json(ruleset, long_event, 1024, 0, NULL, 0, &matched));
    assert_int_equal(svl_ruleset_match_json(ruleset, long_event, 1025, 0, NULL, 0, &matched),
                     SVL_E_LIMIT);
    static const char deep[] = "{\"a\":[[[1]]]}", deeper[] = "{\"a\":[[[[1]]]]}";
    assert_ok(svl_ruleset_match_json(ruleset, deep, strlen(deep), 0, NULL, 0, &matched));
    assert_int_equal(matched, 1);
    assert_int_equal(svl_ruleset_match_json(ruleset, deeper, strlen(deeper), 0, NULL, 0, &matched),
                     SVL_E_LIMIT);
    assert_int_equal(matched, 0);
    svl_ruleset_destroy(ruleset);
}

static const char file_one[] =
    "{\"rules\":[{\"name\":\"b\",\"pattern\":{\"a\":[1]}},"
    "{\"name\":\"a\",\"pattern\":{\"a\":[2]},\"state\":\"enabled\",\"transformer\":"
    "{\"InputPathsMap\":{\"x\":\"$.a\"},\"InputTemplate\":\"<aws.events.rule-name> saw <x>\"}},"
    "{\"pattern\":{\"a\":[1]},\"state\":\"disabled\",\"name\":\"c\"}]}";

static void test_load_when_a_file_follows_another_then_names_keep_their_ids(void **state)
{
    (void)state;
    svl_ruleset *ruleset = create(NULL);
    uint64_t ids[4], loaded;
    char name[8];
    size_t needed;
    assert_ok(add(ruleset, 5, "{\"a\":[1]}"));
    assert_ok(svl_ruleset_load(ruleset, file_one, strlen(file_one), &loaded, NULL));
    assert_int_equal(loaded, 2);
    uint64_t a = id_of(ruleset, "a"), b = id_of(ruleset, "b"), c = id_of(ruleset, "c");
    assert_true(a >> 63 && b >> 63 && c >> 63 && a != b && b != c && a != c);
    assert_int_equal(match(ruleset, "{\"a\":1}", ids, 4), 2);
    assert_true(ids[0] == 5 && ids[1] == b);
    assert_ok(svl_ruleset_name(ruleset, b, name, sizeof name, &needed));
    assert_string_equal(name, "b");
    assert_int_equal(needed, 1);
    assert_ok(
        load(ruleset,
             "{\"rules\":[{\"name\":\"c\",\"pattern\":{\"a\":[1]}},{\"name\":\"d\",\"pattern\":{"
             "\"a\":[1]}}]}",
             NULL));
    uint64_t d = id_of(ruleset, "d"), none;
    assert_int_equal(id_of(ruleset, "c"), c);
    assert_true(d != a && d != b && d != c);
    assert_int_equal(svl_ruleset_find(ruleset, "a", &none), SVL_E_NOT_FOUND);
    assert_int_equal(svl_ruleset_name(ruleset, a, NULL, 0, &needed), SVL_E_NOT_FOUND);
    assert_int_equal(match(ruleset, "{\"a\":1}", ids, 4), 3);
    assert_int_equal(match(ruleset, "{\"a\":2}", ids, 4), 0);
    /* Loaded rules are the file's alone. */
    assert_int_equal(svl_ruleset_remove(ruleset, c), SVL_E_NOT_FOUND);
    assert_ok(load(ruleset, "{\"rules\":[]}", NULL));
    assert_int_equal(match(ruleset, "{\"a\":1}", ids, 4), 1);
    svl_ruleset_destroy(ruleset);
}

static void test_load_when_a_rule_has_a_transformer_then_it_is_applied_by_id(void **state)
{
    (void)state;
    svl_ruleset *ruleset = create(NULL);
    char out[64];
    size_t needed;
    svl_record record = { .body_kind = SVL_BODY_TEXT };
    assert_ok(load(ruleset, file_one, NULL));
    assert_ok(svl_ruleset_transform_json(ruleset, id_of(ruleset, "a"), "{\"a\":2}", 7, out,
                                         sizeof out, &needed));
    assert_string_equal(out, "a saw 2");
    assert_ok(svl_ruleset_transform_record(ruleset, id_of(ruleset, "a"), &record, out, sizeof out,
                                           &needed));
    assert_string_equal(out, "a saw ");
    assert_int_equal(
        svl_ruleset_transform_json(ruleset, id_of(ruleset, "b"), "{}", 2, out, sizeof out, &needed),
        SVL_E_NOT_FOUND);
    svl_ruleset_destroy(ruleset);
}

static void test_load_when_a_file_is_wrong_then_told_where_and_nothing_changes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
        uint64_t offset;
        int code;
    } cases[] = {
        { "[]", "$", 0, SVL_E_PATTERN },
        { "{}", "$", 0, SVL_E_PATTERN },
        { "{\"rules\":{}}", "$.rules", 9, SVL_E_PATTERN },
        { "{\"rules\":[], \"more\":1}", "$.more", 13, SVL_E_PATTERN },
        { "{\"rules\":[]}x", "$", 12, SVL_E_PATTERN },
        { "{\"rules\":[7]}", "$.rules[0]", 10, SVL_E_PATTERN },
        { "{\"rules\":[{}]}", "$.rules[0]", 10, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\"}]}", "$.rules[0]", 10, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"\"}]}", "$.rules[0].name", 18, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":7}]}", "$.rules[0].name", 18, SVL_E_PATTERN },
        { "{\"rules\":[{\"nam\":7}]}", "$.rules[0].nam", 11, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"name\":\"y\"}]}", "$.rules[0].name", 22, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"pattern\":{\"a\":[{\"prefix\":1}]}}]}",
          "$.rules[0].pattern.a[0].prefix", 48, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"pattern\":{\"a\":[1]},\"state\":\"on\"}]}",
          "$.rules[0].state", 50, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"pattern\":{\"a\":[1]},\"transformer\":{\"X\":1}}]}",
          "$.rules[0].transformer", 57, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"pattern\":{\"a\":[1]}},{\"name\":\"x\",\"pattern\":{\"a\":"
          "[1]}}]}",
          "$.rules[1].name", 51, SVL_E_PATTERN },
        { "{\"rules\":[{\"name\":\"x\",\"pattern\":{\"a\":[1]}}", "$.rules[1]", 42, SVL_E_PATTERN },
    };
    svl_ruleset *ruleset = create(NULL);
    svl_ruleset_stats before = { .struct_size = sizeof before }, after = before;
    assert_ok(load(ruleset, file_one, NULL));
    assert_ok(svl_ruleset_stats_get(ruleset, &before));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_pattern_error where = { .struct_size = sizeof where };
        int rc = load(ruleset, cases[i].text, &where);
        if (rc != cases[i].code || where.offset != cases[i].offset ||
            strcmp(where.path, cases[i].path) != 0)
            fail_msg("%s\n  %d %s %llu %s", cases[i].text, rc, where.path,
                     (unsigned long long)where.offset, where.message);
        assert_int_equal(where.code, rc);
        assert_ok(svl_ruleset_stats_get(ruleset, &after));
        assert_int_equal(after.rules, before.rules);
        assert_int_equal(after.conditions, before.conditions);
    }
    assert_int_equal(match(ruleset, "{\"a\":1}", NULL, 0), 1);
    svl_ruleset_destroy(ruleset);
}

static void test_wildcards_when_too_many_on_one_field_then_too_complex(void **state)
{
    (void)state;
    enum { MOST = 65536 };
    svl_ruleset *ruleset = create(NULL);
    char pattern[64];
    for (uint64_t id = 0; id < MOST; id++) {
        snprintf(pattern, sizeof pattern, "{\"a\":[{\"wildcard\":\"*x%llu*\"}]}",
                 (unsigned long long)id);
        assert_ok(add(ruleset, id, pattern));
    }
    assert_int_equal(add(ruleset, MOST, "{\"a\":[{\"wildcard\":\"*y*\"}]}"), SVL_E_PATTERN_COMPLEX);
    assert_ok(add(ruleset, MOST, "{\"b\":[{\"wildcard\":\"*y*\"}]}"));
    assert_int_equal(match(ruleset, "{\"a\":\"--x77--\"}", NULL, 0), 2); /* 7 and 77 */
    svl_ruleset_destroy(ruleset);
}

/* Names that are repeated, each with an array of two elements: which of them are taken is a question with as many
 * answers as there are subsets. */
static void test_event_when_it_repeats_names_to_be_hard_then_an_error_soon(void **state)
{
    (void)state;
    enum { NAMES = 40 };
    char pattern[2048] = "{", event[8192] = "{";
    svl_pattern *compiled;
    int matched;
    for (int i = 0; i < NAMES; i++) {
        size_t p = strlen(pattern), e = strlen(event);
        snprintf(pattern + p, sizeof pattern - p, "%s\"a.x%d\":[1]", i ? "," : "", i);
        snprintf(event + e, sizeof event - e,
                 "%s\"a\":[{\"x%d\":1,\"x%d\":1},{\"x%d\":1,\"x%d\":1}]", i ? "," : "", i,
                 (i + 7) % (NAMES - 1), (i + 1) % NAMES, (i + 3) % (NAMES - 1));
    }
    strcat(pattern, ",\"a.none\":[{\"exists\":false}],\"b\":[{\"exists\":true}]}");
    strcat(event, ",\"a\":{\"none\":1},\"b\":1}");
    assert_ok(svl_pattern_compile(pattern, strlen(pattern), &compiled, NULL));
    assert_int_equal(svl_pattern_match_json(compiled, event, strlen(event), 0, &matched),
                     SVL_E_LIMIT);
    svl_pattern_destroy(compiled);
}

static void test_arguments_when_null_or_unknown_then_invalid(void **state)
{
    (void)state;
    svl_ruleset *ruleset = create(NULL);
    svl_pattern *pattern;
    svl_pattern_error small = { .struct_size = 8 };
    svl_record record = { .source = { NULL, 3 } };
    size_t n;
    int matched;
    uint64_t id;
    assert_int_equal(svl_pattern_compile(NULL, 0, &pattern, NULL), SVL_E_INVALID);
    assert_null(pattern);
    assert_ok(svl_pattern_compile("{\"a\":[1]}", 9, &pattern, NULL));
    assert_int_equal(svl_pattern_compile("{}", 2, NULL, NULL), SVL_E_INVALID);
    svl_pattern *none;
    assert_int_equal(svl_pattern_compile("{}", 2, &none, &small), SVL_E_STRUCT_SIZE);
    assert_int_equal(svl_pattern_match_json(NULL, "{}", 2, 0, &matched), SVL_E_INVALID);
    assert_int_equal(svl_pattern_match_json(pattern, NULL, 2, 0, &matched), SVL_E_INVALID);
    assert_int_equal(svl_pattern_match_json(pattern, "{}", 2, 2, &matched), SVL_E_INVALID);
    assert_int_equal(svl_pattern_match_json(pattern, "{}", 2, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_pattern_match_json(pattern, NULL, 0, 0, &matched), SVL_E_JSON);
    assert_int_equal(svl_pattern_match_record(pattern, NULL, 0, &matched), SVL_E_INVALID);
    assert_int_equal(svl_pattern_match_record(pattern, &record, 0, &matched), SVL_E_INVALID);
    assert_int_equal(svl_pattern_explain_json(pattern, "{}", 2, 2, NULL, 0, &n), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_create(NULL, NULL), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_add(NULL, 0, "{}", 2, NULL), SVL_E_INVALID);
    assert_int_equal(add(ruleset, UINT64_C(1) << 63, "{\"a\":[1]}"), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_add(ruleset, 0, "{\"a\":[1]}", 9, &small), SVL_E_STRUCT_SIZE);
    assert_int_equal(svl_ruleset_match_json(ruleset, "{}", 2, 0, NULL, 1, &n), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_match_record(ruleset, NULL, 0, NULL, 0, &n), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_find(ruleset, NULL, &id), SVL_E_INVALID);
    assert_int_equal(svl_ruleset_load(ruleset, NULL, 0, NULL, NULL), SVL_E_INVALID);
    svl_pattern_destroy(pattern);
    svl_pattern_destroy(NULL);
    svl_ruleset_destroy(ruleset);
    svl_ruleset_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_match_when_there_is_less_space_then_the_lowest_ids_and_the_whole_count),
        cmocka_unit_test(test_add_when_an_id_is_taken_or_the_limit_reached_then_refused),
        cmocka_unit_test(test_rules_when_parts_are_equal_then_kept_once),
        cmocka_unit_test(test_options_when_out_of_range_then_refused),
        cmocka_unit_test(test_events_when_beyond_a_limit_then_refused),
        cmocka_unit_test(test_load_when_a_file_follows_another_then_names_keep_their_ids),
        cmocka_unit_test(test_load_when_a_rule_has_a_transformer_then_it_is_applied_by_id),
        cmocka_unit_test(test_load_when_a_file_is_wrong_then_told_where_and_nothing_changes),
        cmocka_unit_test(test_wildcards_when_too_many_on_one_field_then_too_complex),
        cmocka_unit_test(test_event_when_it_repeats_names_to_be_hard_then_an_error_soon),
        cmocka_unit_test(test_arguments_when_null_or_unknown_then_invalid),
    };
    return cmocka_run_group_tests_name("pattern/ruleset", tests, NULL, NULL);
}
