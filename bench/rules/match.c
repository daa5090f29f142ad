/* match.c - what a match costs: by the number of rules, their shape, the event's size; and the shapes
 * that others have published figures of. */
#include <serverlog.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules.h"

#define ROTATING 4096
#define ROTATING_STEP 24 /* over nearly all of 100,000 rules */

/* Rule 0 matches, and no other; of anything-but none. */
const struct rule_shape rule_shapes[] = {
    { "exact", { "{\"source\":[\"aws.ec2\"],\"detail\":{\"instance-id\":[\"i-######\"]}}" }, 6, 1 },
    { "prefix", { "{\"resources\":[{\"prefix\":\"arn:aws:ec2:us-west-1:12345678####\"}]}" }, 4, 1 },
    { "suffix", { "{\"resources\":[{\"suffix\":\"abc####\"}]}" }, 4, 1 },
    { "ignore-case",
      { "{\"detail\":{\"instance-id\":[{\"equals-ignore-case\":\"I-######\"}]}}" },
      6,
      1 },
    { "numeric",
      { "{\"detail\":{\"c-count\":[{\"numeric\":[\">=\",1###0,\"<\",1###9]}]}}" },
      3,
      1 },
    { "cidr", { "{\"detail\":{\"source-ip\":[{\"cidr\":\"10.1#.1##.0/24\"}]}}" }, 3, 1 },
    { "wildcard",
      { "{\"resources\":[{\"wildcard\":\"arn:aws:ec2:*:12345678####:instance/*0\"}]}" },
      4,
      1 },
    { "anything-but, all have the value",
      { "{\"detail\":{\"state\":[{\"anything-but\":[\"terminated\",\"x###\"]}]}}" },
      3,
      0 },
    { "anything-but, all hold, and exact",
      { "{\"detail\":{\"state\":[{\"anything-but\":[\"x###\"]}],\"instance-id\":[\"i-000###\"]}}" },
      3,
      1 },
};
const unsigned rule_shape_count = sizeof rule_shapes / sizeof rule_shapes[0];

static int match(void *state, uint64_t times, struct span *span)
{
    struct match_state *m = state;
    uint64_t ids[16];
    size_t matched;
    unsigned which = m->next;
    span_begin(span);
    for (uint64_t i = 0; i < times; i++) {
        int rc = svl_ruleset_match_json(m->ruleset, m->event.text + which * m->event.len,
                                        m->event.len, m->flags, ids, 16, &matched);
        if (rc != m->expected)
            return bench_fail(svl_strerror(rc));
        which = which + 1 == m->events ? 0 : which + 1;
    }
    span_end(span);
    m->next = which;
    return 0;
}

static void release_match(void *state)
{
    struct match_state *m = state;
    if (m->release_ruleset)
        m->release_ruleset(m->ruleset);
    if (m->release_text)
        m->release_text((void *)(uintptr_t)m->event.text);
    free(m);
}

/* Each event once: what is measured must be the right thing. */
static int check(struct match_state *m, size_t matches)
{
    for (unsigned i = 0; i < m->events; i++) {
        uint64_t ids[16];
        size_t matched;
        m->expected = svl_ruleset_match_json(m->ruleset, m->event.text + i * m->event.len,
                                             m->event.len, m->flags, ids, 16, &matched);
        if (m->expected == SVL_E_LIMIT && matches == MATCHES_ANY)
            continue;
        if (m->expected != SVL_OK)
            return bench_fail(svl_last_error());
        if (matched != matches && matches != MATCHES_ANY)
            return bench_fail("an event is matched by other rules than it should be");
    }
    return 0;
}

int add_match(struct figures *figures, const char *name, const struct match_state *match_of,
              size_t matches)
{
    struct match_state *m = malloc(sizeof *m);
    if (!m)
        return bench_fail("no memory");
    *m = *match_of;
    if (!m->ruleset || !m->event.text || check(m, matches) != 0) {
        fprintf(stderr, "serverlog-bench-rules: %s cannot be measured\n", name);
        release_match(m);
        return -1;
    }
    char full[96];
    snprintf(full, sizeof full, "%s%s", name, m->expected == SVL_OK ? "" : " (refused)");
    return figures_add(figures, full, m->event.len, match, m, release_match);
}

/* Against all sizes of events. The first of them owns the ruleset, where `release_ruleset` is given: figures are
 * destroyed from the last to the first. */
static int add_sizes(struct figures *figures, const char *name, svl_ruleset *ruleset,
                     size_t matches, void (*release_ruleset)(svl_ruleset *ruleset))
{
    int rc = 0;
    for (unsigned i = 0; i < EVENT_SIZES && rc == 0; i++) {
        struct match_state m = { .ruleset = ruleset,
                                 .event = event_of_size(i),
                                 .events = 1,
                                 .release_ruleset = i == 0 ? release_ruleset : NULL };
        rc = add_match(figures, name, &m, matches);
    }
    return rc;
}

/* The bar's event; then another event each time, and all sizes. */
static int add_exact(struct figures *figures, uint64_t count)
{
    char name[64];
    struct match_state m = { .ruleset = rules_create(&rule_shapes[0], count),
                             .event = event_of_documentation(),
                             .events = 1,
                             .release_ruleset = svl_ruleset_destroy };
    snprintf(name, sizeof name, "%llu exact", (unsigned long long)count);
    if (add_match(figures, name, &m, 1) != 0)
        return -1;
    m.release_ruleset = NULL;
    m.flags = SVL_JSON_CHECK;
    snprintf(name, sizeof name, "%llu exact, all checked", (unsigned long long)count);
    if (add_match(figures, name, &m, 1) != 0)
        return -1;
    m.flags = 0;
    m.event = (struct event){ events_rotating(ROTATING, ROTATING_STEP), event_sizes[0] };
    m.events = ROTATING;
    m.release_text = free;
    snprintf(name, sizeof name, "%llu exact, 4,096 events in turn", (unsigned long long)count);
    size_t matches = count > ROTATING_STEP * (ROTATING - 1) ? 1 : MATCHES_ANY;
    if (add_match(figures, name, &m, matches) != 0)
        return -1;
    snprintf(name, sizeof name, "%llu exact", (unsigned long long)count);
    return add_sizes(figures, name, m.ruleset, 1, NULL);
}

int add_match_figures(struct figures *figures)
{
    static const uint64_t counts[] = { 1, 1000, 100000 };
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (add_exact(figures, counts[i]) != 0)
            return -1;
    for (unsigned i = 1; i < rule_shape_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "1000 %s", rule_shapes[i].name);
        if (add_sizes(figures, name, rules_create(&rule_shapes[i], 1000), rule_shapes[i].matches,
                      svl_ruleset_destroy) != 0)
            return -1;
    }
    return 0;
}
