/* Rulesets that change while other threads match: a rule is seen whole or not at all, and a file's rules all at
 * once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

#define READERS 3
#define ROUNDS 6000

static svl_ruleset *ruleset;
static _Atomic bool stop;
static _Atomic unsigned wrong, matches;

/* Each kind of condition, so that each index changes under its readers; and arrays, sets, `$or`s. */
static const char *const patterns[] = {
    "{\"s\":[\"text %u\"],\"n\":[%u]}",
    "{\"s\":[{\"prefix\":\"text\"}],\"a\":{\"b\":[\"x%u\"],\"c\":[%u]}}",
    "{\"s\":[{\"suffix\":\" %u\"},{\"equals-ignore-case\":\"TEXT %u\"}]}",
    "{\"s\":[{\"wildcard\":\"t*t *%u\"}],\"n\":[{\"numeric\":[\">=\",%u]}]}",
    "{\"ip\":[{\"cidr\":\"10.0.%u.0/24\"}],\"s\":[{\"anything-but\":\"text %u.\"}]}",
    "{\"$or\":[{\"s\":[\"text %u\"]},{\"n\":[%u]}],\"no\":[{\"exists\":false}]}",
    "{\"s\":[{\"prefix\":{\"equals-ignore-case\":\"TEXT %u\"}}],\"n\":[%u,null]}",
};
enum { PATTERNS = sizeof patterns / sizeof patterns[0], NUMBERS = 8 };

static size_t event_of(unsigned number, char *out, size_t size)
{
    return (size_t)snprintf(
        out, size,
        "{\"s\":\"text %u\",\"n\":%u,\"ip\":\"10.0.%u.1\",\"a\":[{\"b\":\"x%u\","
        "\"c\":%u},{\"b\":\"x\",\"c\":0}]}",
        number, number, number, number, number);
}

/* The rule of each pattern for number n has the id of both; events of other numbers do not match it, but where it
 * asks for "at least". */
static bool is_due(uint64_t id, unsigned number)
{
    return id % NUMBERS == number || (id / NUMBERS == 3 && id % NUMBERS <= number);
}

static void *match_always(void *argument)
{
    struct rng rng = { *(uint64_t *)argument };
    while (!stop) {
        char event[256];
        uint64_t ids[PATTERNS * NUMBERS];
        size_t n;
        unsigned number = (unsigned)rng_below(&rng, NUMBERS);
        size_t len = event_of(number, event, sizeof event);
        int rc = svl_ruleset_match_json(ruleset, event, len, 0, ids, PATTERNS * NUMBERS, &n);
        wrong += rc != SVL_OK;
        for (size_t i = 0; rc == SVL_OK && i < n; i++)
            wrong += !is_due(ids[i], number) || (i > 0 && ids[i] <= ids[i - 1]);
        matches += n > 0;
    }
    return NULL;
}

static void change_at_random(struct rng *rng)
{
    bool present[PATTERNS * NUMBERS] = { false };
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t id = rng_below(rng, PATTERNS * NUMBERS);
        char text[256];
        unsigned number = (unsigned)(id % NUMBERS);
        if (present[id]) {
            assert_ok(svl_ruleset_remove(ruleset, id));
        } else {
            /* Each pattern has its number twice, where it has two. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int len = snprintf(text, sizeof text, patterns[id / NUMBERS], number, number);
#pragma GCC diagnostic pop
            assert_ok(svl_ruleset_add(ruleset, id, text, (size_t)len, NULL));
        }
        present[id] = !present[id];
    }
    for (uint64_t id = 0; id < PATTERNS * NUMBERS; id++)
        if (present[id])
            assert_ok(svl_ruleset_remove(ruleset, id));
}

static void with_readers(void *(*run)(void *), void (*change)(struct rng *), struct rng *rng)
{
    pthread_t threads[READERS];
    uint64_t seeds[READERS];
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    stop = false;
    wrong = matches = 0;
    for (int i = 0; i < READERS; i++) {
        seeds[i] = rng_next(rng);
        assert_int_equal(pthread_create(&threads[i], NULL, run, &seeds[i]), 0);
    }
    do
        change(rng);
    while (matches == 0 && wrong == 0); /* on a busy machine readers may begin late */
    stop = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}

static void test_ruleset_when_it_changes_under_matches_then_no_rule_is_half_seen(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    svl_ruleset_stats stats = { .struct_size = sizeof stats };
    with_readers(match_always, change_at_random, &rng);
    assert_int_equal(wrong, 0);
    assert_true(matches > 0);
    /* Nothing of what went is left: two changes later also what readers had held. */
    assert_ok(svl_ruleset_add(ruleset, 1, "{\"z\":[1]}", 9, NULL));
    assert_ok(svl_ruleset_remove(ruleset, 1));
    assert_ok(svl_ruleset_stats_get(ruleset, &stats));
    assert_int_equal(stats.rules, 0);
    assert_int_equal(stats.paths, 0);
    assert_int_equal(stats.conditions, 0);
    assert_int_equal(stats.conjunctions, 0);
    assert_int_equal(stats.retired, 0);
    svl_ruleset_destroy(ruleset);
}

/* Every file has two rules that match all events, with names that change: a match sees both of one file. */
static void load_in_turn(struct rng *rng)
{
    (void)rng;
    for (int round = 0; round < ROUNDS / 3; round++) {
        char text[512];
        uint64_t loaded;
        int len =
            snprintf(text, sizeof text,
                     "{\"rules\":[{\"name\":\"a%d\",\"pattern\":{\"s\":[{\"exists\":true}]}},"
                     "{\"name\":\"b%d\",\"pattern\":{\"$or\":[{\"n\":[{\"exists\":true}]},{\"s\":["
                     "\"y\"]}]}},{\"name\":\"c\",\"pattern\":{\"n\":[\"no\"]}}]}",
                     round % 7, round % 7);
        assert_ok(svl_ruleset_load(ruleset, text, (size_t)len, &loaded, NULL));
        assert_int_equal(loaded, 3);
    }
}

static void *match_pairs(void *argument)
{
    (void)argument;
    while (!stop) {
        uint64_t ids[4];
        size_t n;
        static const char event[] = "{\"s\":\"x\",\"n\":1}";
        int rc = svl_ruleset_match_json(ruleset, event, strlen(event), 0, ids, 4, &n);
        wrong += rc != SVL_OK || (n != 0 && n != 2);
        matches += n == 2;
    }
    return NULL;
}

static void test_ruleset_when_files_are_loaded_under_matches_then_each_is_seen_whole(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    with_readers(match_pairs, load_in_turn, &rng);
    assert_int_equal(wrong, 0);
    assert_true(matches > 0);
    svl_ruleset_destroy(ruleset);
}

/* Files whose rule has another name each time, which its transformer tells. */
static void load_transformers(struct rng *rng)
{
    (void)rng;
    for (int round = 0; round < ROUNDS / 3; round++) {
        char text[256];
        int len = snprintf(text, sizeof text,
                           "{\"rules\":[{\"name\":\"rule %d\",\"pattern\":{\"n\":[1]},"
                           "\"transformer\":{\"InputTemplate\":\"<aws.events.rule-name>\"}}]}",
                           round % 5);
        assert_ok(svl_ruleset_load(ruleset, text, (size_t)len, NULL, NULL));
    }
}

static void *transform_always(void *argument)
{
    (void)argument;
    static const char event[] = "{\"n\":1}";
    while (!stop) {
        uint64_t id;
        size_t n, name_len, len;
        char name[64], out[80], expected[80];
        int rc = svl_ruleset_match_json(ruleset, event, strlen(event), 0, &id, 1, &n);
        wrong += rc != SVL_OK || n > 1;
        if (rc != SVL_OK || n != 1)
            continue;
        /* The rule may be gone by now: then both are, the later one at least. */
        int named = svl_ruleset_name(ruleset, id, name, sizeof name, &name_len);
        rc = svl_ruleset_transform_json(ruleset, id, event, strlen(event), out, sizeof out, &len);
        wrong += rc != SVL_OK && rc != SVL_E_NOT_FOUND;
        snprintf(expected, sizeof expected, "\"%s\"", name);
        wrong += named == SVL_OK && rc == SVL_OK && strcmp(out, expected) != 0;
        matches += rc == SVL_OK;
    }
    return NULL;
}

static void test_ruleset_when_files_are_loaded_under_transforms_then_each_ends_as_it_began(
    void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    with_readers(transform_always, load_transformers, &rng);
    assert_int_equal(wrong, 0);
    assert_true(matches > 0);
    svl_ruleset_destroy(ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ruleset_when_it_changes_under_matches_then_no_rule_is_half_seen),
        cmocka_unit_test(test_ruleset_when_files_are_loaded_under_matches_then_each_is_seen_whole),
        cmocka_unit_test(
            test_ruleset_when_files_are_loaded_under_transforms_then_each_ends_as_it_began),
    };
    return cmocka_run_group_tests_name("pattern/ruleset_threads", tests, NULL, NULL);
}
