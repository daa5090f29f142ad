/* Events that are made to cost much: what they cost is linear in their length, or they are refused. A test that does
 * not end shows that it is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define REPEATS 200000 /* their square is too much for a test */

/* `before`, `repeated` as often as it takes with commas between, and `behind`. */
static char *repeat(const char *before, const char *repeated, const char *behind)
{
    size_t size = strlen(before) + (strlen(repeated) + 1) * REPEATS + strlen(behind) + 1;
    char *text = malloc(size), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < REPEATS; i++)
        at += sprintf(at, i > 0 ? ",%s" : "%s", repeated);
    sprintf(at, "%s", behind);
    return text;
}

static void test_event_when_it_is_made_to_cost_much_then_it_ends(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *before, *repeated, *behind;
        int code, matched;
    } cases[] = {
        /* Each b is tried, and for each of them the c at the end is in the way. */
        { "{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}", "{\"a\":[", "{\"b\":1}",
          "],\"a\":[{\"c\":1}]}", SVL_OK, 0 },
        { "{\"a\":{\"b\":[1],\"c\":[{\"exists\":false}]}}", "{\"a\":[", "{\"b\":1,\"c\":1}",
          "],\"a\":[{\"b\":1}]}", SVL_E_LIMIT, 0 },
        { "{\"a\":{\"b\":[1],\"c\":[2]}}", "{\"a\":[", "{\"b\":1},{\"c\":2}", "]}", SVL_OK, 0 },
        { "{\"a\":{\"b\":[1],\"c\":[2],\"d\":[3]}}", "{\"a\":[", "{\"b\":1},{\"c\":2}",
          "],\"a\":[{\"d\":3}]}", SVL_E_LIMIT, 0 },
        { "{\"a\":[{\"anything-but\":[1,2]}]}", "{\"a\":[", "1,2", "]}", SVL_OK, 0 },
        { "{\"a\":[{\"wildcard\":\"*ab*abc*abcd*\"}]}", "{\"a\":\"", "ab", "\"}", SVL_OK, 0 },
        { "{\"a\":[{\"wildcard\":\"*ab*abc*abcd*\"}]}", "{\"a\":[", "\"xabxabcxabc\"", "]}", SVL_OK,
          0 },
        { "{\"a\":{\"b\":[{\"exists\":false}]}}", "{\"a\":[", "[[[{\"b\":1}]]]", "]}", SVL_OK, 0 },
        { "{\"a\":[1],\"b\":[2]}", "{", "\"a\":1", "}", SVL_OK, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_pattern *pattern;
        int matched;
        char *event = repeat(cases[i].before, cases[i].repeated, cases[i].behind);
        assert_ok(svl_pattern_compile(cases[i].pattern, strlen(cases[i].pattern), &pattern, NULL));
        int rc = svl_pattern_match_json(pattern, event, strlen(event), 0, &matched);
        if (rc != cases[i].code || matched != cases[i].matched)
            fail_msg("case %zu: %s, matched %d", i, svl_strerror(rc), matched);
        svl_pattern_destroy(pattern);
        free(event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_when_it_is_made_to_cost_much_then_it_ends),
    };
    return cmocka_run_group_tests_name("pattern/hostile", tests, NULL, NULL);
}
