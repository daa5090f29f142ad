/* The library against the reference, on random patterns and events: verdicts, refusals, errors; a pattern alone and as
 * one rule of a ruleset that changes. 20,000 pairs, in the slow suite 1,000,000. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "reference.h"
#include "shrink.h"

struct counts {
    uint64_t pairs, matched, refused, errors;
};

/* What the library says, in the reference's words; -1: something that it must not say. */
static int library_verdict(const svl_pattern *pattern, const struct generated *event,
                           uint32_t flags)
{
    int matched = -1;
    int rc = svl_pattern_match_json(pattern, event->text, event->length, flags, &matched);
    if (rc == SVL_E_JSON && matched == 0)
        return REFERENCE_ERROR;
    if (rc == SVL_OK && (matched == 0 || matched == 1))
        return matched ? REFERENCE_YES : REFERENCE_NO;
    return -1;
}

/* Checked, the library sees every error; unchecked, it may pass over one. */
static bool agrees(const svl_pattern *pattern, const struct generated *event, int wanted)
{
    if (library_verdict(pattern, event, SVL_JSON_CHECK) != wanted)
        return false;
    int unchecked = library_verdict(pattern, event, 0);
    return unchecked == wanted || (wanted == REFERENCE_ERROR && unchecked >= 0);
}

struct pair {
    struct reference *reference;
    svl_pattern *pattern;
    size_t offset; /* of the reference's refusal */
    int rc;
};

static void open_pair(struct pair *pair, const struct generated *text)
{
    pair->reference = reference_compile(text->text, text->length, &pair->offset);
    pair->rc = svl_pattern_compile(text->text, text->length, &pair->pattern, NULL);
}

static void close_pair(struct pair *pair)
{
    reference_destroy(pair->reference);
    svl_pattern_destroy(pair->pattern);
}

static bool same_refusal(const struct pair *pair)
{
    return pair->reference ? pair->rc == SVL_OK
                           : pair->rc == SVL_E_PATTERN || pair->rc == SVL_E_PATTERN_COMPLEX;
}

static bool differs(const struct generated *pattern, const struct generated *event, void *user)
{
    (void)user;
    struct pair pair;
    open_pair(&pair, pattern);
    bool different = !same_refusal(&pair);
    if (!different && pair.reference)
        different = !agrees(pair.pattern, event,
                            (int)reference_match(pair.reference, event->text, event->length));
    close_pair(&pair);
    return different;
}

static void print_text(const char *what, const struct generated *text)
{
    print_error("  %s %.*s\n", what, (int)text->length, text->text);
}

static const char *said(int verdict)
{
    static const char *const words[] = { "no", "yes", "error", "unknown" };
    return verdict < 0 ? svl_last_error() : words[verdict];
}

/* Shows a pair on which the two differ, whole and made smaller, and ends the test. */
static void fail_pair(const struct generated *pattern, const struct generated *event)
{
    static struct generated small_pattern, small_event;
    small_pattern = *pattern;
    small_event = *event;
    print_text("pattern", pattern);
    print_text("event  ", event);
    shrink(&small_pattern, &small_event, differs, NULL);
    print_error("or smaller\n");
    print_text("pattern", &small_pattern);
    print_text("event  ", &small_event);
    struct pair pair;
    open_pair(&pair, &small_pattern);
    if (!same_refusal(&pair))
        fail_msg("the library: %s; the reference %s",
                 pair.rc == SVL_OK ? "taken" : svl_last_error(),
                 pair.reference ? "takes it" : "refuses it");
    int wanted = (int)reference_match(pair.reference, small_event.text, small_event.length);
    int checked = library_verdict(pair.pattern, &small_event, SVL_JSON_CHECK);
    if (checked == wanted)
        checked = library_verdict(pair.pattern, &small_event, 0);
    fail_msg("the library: %s; the reference: %s", said(checked), said(wanted));
}

/* An event, and now and then something that is none. */
static void make_event(struct rng *rng, struct generated *event)
{
    generate_event(rng, event);
    if (rng_below(rng, 100) < 3)
        generate_damage(rng, event);
}

static void make_pattern(struct rng *rng, const struct generated *event, struct generated *pattern)
{
    generate_pattern(rng, event, pattern);
    if (rng_below(rng, 100) < 3)
        generate_damage(rng, pattern);
}

static void count(struct counts *counts, int verdict)
{
    counts->pairs++;
    counts->matched += verdict == REFERENCE_YES;
    counts->errors += verdict == REFERENCE_ERROR;
}

static void test_pattern_when_compared_with_the_reference_then_agrees(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    static struct generated event, pattern;
    struct counts counts = { 0 };
    const uint64_t pairs = (uint64_t)test_times(10000);
    while (counts.pairs < pairs) {
        make_event(rng, &event);
        for (int i = 0; i < 4; i++) {
            struct pair pair;
            make_pattern(rng, &event, &pattern);
            open_pair(&pair, &pattern);
            if (!same_refusal(&pair))
                fail_pair(&pattern, &event);
            counts.refused += !pair.reference;
            if (pair.reference) {
                int wanted = (int)reference_match(pair.reference, event.text, event.length);
                if (!agrees(pair.pattern, &event, wanted))
                    fail_pair(&pattern, &event);
                count(&counts, wanted);
            }
            close_pair(&pair);
        }
    }
    print_message("%llu pairs, %llu matched, %llu errors, %llu patterns refused\n",
                  (unsigned long long)counts.pairs, (unsigned long long)counts.matched,
                  (unsigned long long)counts.errors, (unsigned long long)counts.refused);
    assert_in_range(counts.matched * 100 / counts.pairs, 30, 70); /* a test that says something */
    assert_in_range(counts.errors, 1, counts.pairs / 10);
    assert_in_range(counts.refused, 1, counts.pairs / 3);
}

enum { RULES = 300, EVENTS = 10 };

struct rules {
    svl_ruleset *ruleset;
    struct generated texts[RULES];
    struct reference *references[RULES]; /* NULL: no rule has this id now */
};

static void drop_rule(struct rules *rules, uint64_t id)
{
    if (rules->references[id])
        assert_ok(svl_ruleset_remove(rules->ruleset, id));
    reference_destroy(rules->references[id]);
    rules->references[id] = NULL;
}

static void change_rule(struct rng *rng, struct rules *rules, uint64_t id,
                        const struct generated *event)
{
    size_t offset;
    struct generated *text = &rules->texts[id];
    drop_rule(rules, id);
    generate_pattern(rng, event, text);
    rules->references[id] = reference_compile(text->text, text->length, &offset);
    if (rules->references[id])
        assert_ok(svl_ruleset_add(rules->ruleset, id, text->text, text->length, NULL));
}

static void check_count(const struct rules *rules)
{
    svl_ruleset_stats stats = { .struct_size = sizeof stats };
    uint64_t there = 0;
    for (uint64_t id = 0; id < RULES; id++)
        there += rules->references[id] != NULL;
    assert_ok(svl_ruleset_stats_get(rules->ruleset, &stats));
    assert_int_equal(stats.rules, there);
}

/* Of an event without errors, the same unchecked. */
static int match_rules(struct rules *rules, const struct generated *event, uint64_t *ids,
                       size_t *found)
{
    uint64_t unchecked[RULES];
    size_t found_unchecked;
    int rc = svl_ruleset_match_json(rules->ruleset, event->text, event->length, SVL_JSON_CHECK, ids,
                                    RULES, found);
    if (rc != SVL_OK)
        return rc;
    assert_ok(svl_ruleset_match_json(rules->ruleset, event->text, event->length, 0, unchecked,
                                     RULES, &found_unchecked));
    assert_int_equal(*found, found_unchecked);
    assert_memory_equal(ids, unchecked, *found * sizeof *ids);
    return rc;
}

/* The ids that match, exactly those of the reference. */
static void check_event(struct rules *rules, const struct generated *event, struct counts *counts)
{
    uint64_t ids[RULES];
    size_t found = 0, next = 0;
    int rc = match_rules(rules, event, ids, &found);
    for (uint64_t id = 0; id < RULES; id++) {
        if (!rules->references[id])
            continue;
        int wanted = (int)reference_match(rules->references[id], event->text, event->length);
        int answer = rc == SVL_OK       ? next < found && ids[next] == id
                     : rc == SVL_E_JSON ? REFERENCE_ERROR
                                        : -1;
        if (answer != wanted) {
            print_text("pattern", &rules->texts[id]);
            print_text("event  ", event);
            if (differs(&rules->texts[id], event, NULL))
                fail_pair(&rules->texts[id], event);
            fail_msg("as a rule among others: %s; alone, and the reference: %s", said(answer),
                     said(wanted));
        }
        next += answer == REFERENCE_YES;
        count(counts, wanted);
    }
    assert_int_equal(next, found);
}

static void test_ruleset_when_rules_come_and_go_then_those_match_that_the_reference_says(
    void **state)
{
    (void)state;
    struct rng seeded = { test_seed() ^ 0x5851f42d }, *rng = &seeded;
    static struct rules rules;
    static struct generated events[EVENTS];
    struct counts counts = { 0 };
    const uint64_t pairs = (uint64_t)test_times(10000);
    while (counts.pairs < pairs) {
        assert_ok(svl_ruleset_create(NULL, &rules.ruleset));
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < EVENTS; i++)
                make_event(rng, &events[i]);
            for (uint64_t id = 0; id < RULES; id++)
                if (rng_below(rng, 3) != 0)
                    change_rule(rng, &rules, id, &events[rng_below(rng, EVENTS)]);
                else if (rng_below(rng, 3) == 0)
                    drop_rule(&rules, id);
            check_count(&rules);
            for (size_t i = 0; i < EVENTS; i++)
                check_event(&rules, &events[i], &counts);
        }
        for (uint64_t id = 0; id < RULES; id++)
            drop_rule(&rules, id);
        check_count(&rules);
        svl_ruleset_destroy(rules.ruleset);
    }
    print_message("%llu pairs, %llu matched\n", (unsigned long long)counts.pairs,
                  (unsigned long long)counts.matched);
    assert_in_range(counts.matched * 100 / counts.pairs, 2, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_when_compared_with_the_reference_then_agrees),
        cmocka_unit_test(
            test_ruleset_when_rules_come_and_go_then_those_match_that_the_reference_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
