/* change.c - a rule comes, another goes: alone, and while another thread matches all the time. */
#include <pthread.h>
#include <sched.h>
#include <serverlog.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules.h"

enum company { ALONE, MATCHED };

struct change {
    svl_ruleset *ruleset;
    const struct rule_shape *shape;
    uint64_t oldest, next; /* numbers of rules; rule 0 stays */
    enum company company;
    _Atomic bool stop;
    _Atomic uint64_t matches;
    _Atomic int rc; /* of the matching thread */
};

static void *match_always(void *argument)
{
    struct change *c = argument;
    struct event event = event_of_documentation();
    while (!c->stop && c->rc == SVL_OK) {
        uint64_t id;
        size_t matched;
        c->rc = svl_ruleset_match_json(c->ruleset, event.text, event.len, 0, &id, 1, &matched);
        c->matches++;
    }
    return NULL;
}

static int change_rules(struct change *c, uint64_t times, struct span *span)
{
    int rc = SVL_OK;
    span_begin(span);
    for (uint64_t i = 0; i < times && rc == SVL_OK; i++) {
        rc = rules_add(c->ruleset, c->shape, c->next++);
        if (rc == SVL_OK)
            rc = svl_ruleset_remove(c->ruleset, c->oldest++);
    }
    span_end(span);
    return rc == SVL_OK ? 0 : bench_fail(svl_last_error());
}

static int change(void *state, uint64_t times, struct span *span)
{
    struct change *c = state;
    pthread_t thread;
    if (c->company == ALONE)
        return change_rules(c, times, span);
    c->stop = false;
    uint64_t before = c->matches;
    if (pthread_create(&thread, NULL, match_always, c) != 0)
        return bench_fail("no thread");
    while (c->matches == before)
        sched_yield();
    int rc = change_rules(c, times, span);
    c->stop = true;
    pthread_join(thread, NULL);
    return c->rc == SVL_OK ? rc : bench_fail(svl_strerror(c->rc));
}

static void release(void *state)
{
    struct change *c = state;
    svl_ruleset_destroy(c->ruleset);
    free(c);
}

static int add_change(struct figures *figures, const struct rule_shape *shape, uint64_t count,
                      enum company company)
{
    char name[72];
    struct change *c = calloc(1, sizeof *c);
    if (!c)
        return bench_fail("no memory");
    c->ruleset = rules_create(shape, count);
    c->shape = shape;
    c->oldest = 1;
    c->next = count;
    c->company = company;
    if (!c->ruleset) {
        release(c);
        return -1;
    }
    snprintf(name, sizeof name, "add, remove: %llu %s%s", (unsigned long long)count, shape->name,
             company == MATCHED ? ", matched meanwhile" : "");
    return figures_add(figures, name, 0, change, c, release);
}

int add_change_figures(struct figures *figures)
{
    int rc = add_change(figures, &rule_shapes[0], 10000, ALONE);
    if (rc == 0)
        rc = add_change(figures, &rule_shapes[0], 10000, MATCHED);
    for (unsigned i = 1; i < rule_shape_count && rc == 0; i++)
        rc = add_change(figures, &rule_shapes[i], 1000, ALONE);
    return rc;
}
