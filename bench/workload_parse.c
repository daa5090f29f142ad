/* workload_parse.c - one event of 346 bytes, as a cloud's event bus sends it: taken apart whole by others, matched
 * against rules by ours; what many rules cost, and what their changes do. */
#include <pthread.h>
#include <stdatomic.h>

#include "rules.h"

#define CHANGED_RULES 10000

static bool fits_parser(const struct peer *peer)
{
    return peer->parser != NULL;
}

extern const struct peer peer_rules;

static bool fits_rules(const struct peer *peer)
{
    return peer == &peer_rules;
}

static int parse(struct run *run)
{
    const struct parser_ops *ops = run->peer->parser;
    struct watch watch;
    void *parser = ops->open();
    int rc = parser ? 0 : bench_fail("a parser cannot be made");
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++)
        rc = ops->parse(parser, rules_event, RULES_EVENT_BYTES);
    watch_stop(&watch, run, run->records);
    if (parser)
        ops->close(parser);
    return rc;
}

static int match(struct run *run)
{
    struct watch watch;
    svl_ruleset *ruleset = rules_create(run->workload->keys);
    if (!ruleset)
        return -1;
    int rc = SVL_OK;
    watch_start(&watch);
    for (uint64_t i = 0; rc == SVL_OK && i < run->records; i++)
        rc = rules_match(ruleset, rules_event, RULES_EVENT_BYTES, 0);
    watch_stop(&watch, run, run->records);
    svl_ruleset_destroy(ruleset);
    return rc == SVL_OK ? 0 : bench_fail(svl_strerror(rc));
}

struct matching {
    svl_ruleset *ruleset;
    atomic_bool is_stopped;
    int rc;
};

static void *match_always(void *argument)
{
    struct matching *me = argument;
    while (!atomic_load(&me->is_stopped) && me->rc == SVL_OK)
        me->rc = rules_match(me->ruleset, rules_event, RULES_EVENT_BYTES, 0);
    return NULL;
}

/* The oldest goes for each that comes; rule 0 stays. */
static int change_rules(struct run *run, svl_ruleset *ruleset)
{
    struct watch watch;
    int rc = SVL_OK;
    watch_start(&watch);
    for (uint64_t i = 1; rc == SVL_OK && i <= run->records; i++) {
        rc = rules_add(ruleset, CHANGED_RULES + i - 1);
        if (rc == SVL_OK)
            rc = svl_ruleset_remove(ruleset, i);
    }
    watch_stop(&watch, run, run->records);
    return rc;
}

static int change(struct run *run)
{
    struct matching matching = { .ruleset = rules_create(CHANGED_RULES) };
    pthread_t threads[1];
    unsigned started = 0;
    if (!matching.ruleset)
        return -1;
    if (run->workload->threads > 0 &&
        pthread_create(&threads[started++], NULL, match_always, &matching) != 0)
        return bench_fail("no thread that matches");
    int rc = change_rules(run, matching.ruleset);
    atomic_store(&matching.is_stopped, true);
    if (started > 0)
        pthread_join(threads[0], NULL);
    svl_ruleset_destroy(matching.ruleset);
    rc = rc != SVL_OK ? rc : matching.rc;
    return rc == SVL_OK ? 0 : bench_fail(svl_strerror(rc));
}

#define RULES(part, text, parts, rule_count, thread_count, measured)                               \
    {                                                                                              \
        .name = part, .question = text, .charts = METRIC_BIT(METRIC_EACH_NS), .divisor = parts,    \
        .keys = rule_count, .threads = thread_count, .fits = fits_rules, .measure = measured       \
    }

const struct workload parse_workloads[] = {
    { .name = "parse",
      .question = "How long does it take to parse an event of 346 bytes?",
      .charts = METRIC_BIT(METRIC_EACH_NS),
      .divisor = 1,
      .fits = fits_parser,
      .measure = parse },
    RULES("rules/1", "How long is an event matched against 1 rule?", 1, 1, 0, match),
    RULES("rules/1000", "How long against 1,000?", 1, 1000, 0, match),
    RULES("rules/100000", "How long against 100,000?", 1, 100000, 0, match),
    RULES("rules-change/alone", "How long does it take to add a rule to 10,000 and remove one?", 10,
          CHANGED_RULES, 0, change),
    RULES("rules-change/matching", "How long while another thread matches?", 10, CHANGED_RULES, 1,
          change),
};
const size_t parse_workload_count = sizeof parse_workloads / sizeof parse_workloads[0];
