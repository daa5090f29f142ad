/* match.c - from what an event's values meet to the rules that hold.
 *
 * Nodes that are reached wait on a list. A node is left by the edges whose condition was found: those of its own
 * where it has few, else by as many look-ups as conditions were found. A node that several edges lead to, and a
 * rule with several ends, is taken once. */
#include "match.h"

#include <stdlib.h>

#include "base/error.h"

/* With at most so many edges a node's own are gone through. */
#define FEW_EDGES 8

void svl__match_begin(struct match *m, const struct machine *machine, uint64_t time,
                      const struct match_limits *limits, uint32_t flags)
{
    m->machine = machine;
    m->time = time;
    m->limits = *limits;
    m->flags = flags;
    m->steps = 0;
    m->values = NULL;
    m->sole = NULL;
    m->leaves = LIST_IN(m->leaves_first);
    m->hits = LIST_IN(m->hits_first);
    m->arrays = LIST_IN(m->arrays_first);
    m->contexts = LIST_IN(m->contexts_first);
    m->nodes = LIST_IN(m->nodes_first);
    m->rules = LIST_IN(m->rules_first);
    m->text = LIST_IN(m->text_first);
    m->folded = LIST_IN(m->folded_first);
    svl__addresses_init(&m->found);
    svl__addresses_init(&m->visited);
    svl__match_restart(m);
}

void svl__match_restart(struct match *m)
{
    m->out_of_memory = false;
    m->has_trails = false;
    m->leaves.count = m->hits.count = m->arrays.count = m->nodes.count = m->rules.count = 0;
    svl__addresses_clear(&m->found);
    svl__addresses_clear(&m->visited);
    m->contexts.count = 1;
    *(struct event_context *)m->contexts.data = (struct event_context){ UINT32_MAX, 0 };
}

void svl__match_end(struct match *m)
{
    svl__list_free(&m->leaves);
    svl__list_free(&m->hits);
    svl__list_free(&m->arrays);
    svl__list_free(&m->contexts);
    svl__list_free(&m->nodes);
    svl__list_free(&m->rules);
    svl__list_free(&m->text);
    svl__list_free(&m->folded);
    svl__addresses_free(&m->found);
    svl__addresses_free(&m->visited);
}

static bool stays_met(const struct condition *c)
{
    return c->kind != CONDITION_NOT && c->kind != CONDITION_ABSENT;
}

bool svl__match_may_stop_at(const struct node *node)
{
    for (; node->condition; node = node->parent) {
        uint32_t count = 0;
        struct condition *const *members = condition_members(node->condition, &count);
        if (!stays_met(node->condition))
            return false;
        for (uint32_t i = 0; node->condition->kind == CONDITION_SET && i < count; i++)
            if (!stays_met(members[i]))
                return false;
    }
    return true;
}

static bool is_found(const struct match *m, const struct condition *c)
{
    uint32_t count;
    if (c->kind != CONDITION_SET)
        return addresses_get(&m->found, c) != 0;
    struct condition *const *members = condition_members(c, &count);
    for (uint32_t i = 0; i < count; i++)
        if (addresses_get(&m->found, members[i]) != 0)
            return true;
    return false;
}

bool svl__match_is_decided(const struct match *m)
{
    const struct node *node = m->sole;
    while (node->condition && is_found(m, node->condition))
        node = node->parent;
    return !node->condition && !m->has_trails;
}

/* Is it a member of these, which are sorted by address? */
static bool has_member(struct condition *const *members, uint32_t count, const struct condition *c)
{
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = low + (count - low) / 2;
        if (members[middle] == c)
            return true;
        if ((uintptr_t)members[middle] < (uintptr_t)c)
            low = middle + 1;
        else
            count = middle;
    }
    return false;
}

bool svl__match_not(const struct match *m, const struct condition *c, const struct leaf_found *leaf)
{
    uint32_t count;
    struct condition *const *members = condition_members(c, &count);
    const struct hit *hits = m->hits.data;
    for (uint32_t i = leaf->hits_from; i < leaf->hits_to; i++)
        if (has_member(members, count, hits[i].condition))
            return false;
    return true;
}

/* Does what the edge asks besides hold for some leaf? */
static bool passes(const struct match *m, const struct edge *edge)
{
    if (!edge->test)
        return true;
    uint32_t at = addresses_get(&m->found, edge->test->path);
    for (; at != 0; at = match_leaf(m, at)->previous)
        if (svl__match_not(m, edge->test, match_leaf(m, at)))
            return true;
    return false;
}

static void reach(struct match *m, struct node *node)
{
    if (node->edge_count > 1) {
        uint32_t *times = svl__addresses_at(&m->visited, node);
        if (!times)
            m->out_of_memory = true;
        if (!times || ++*times > 1)
            return;
    }
    struct node **place = list_add(&m->nodes, sizeof *place);
    if (place)
        *place = node;
    else
        m->out_of_memory = true;
}

static struct edge *load_edge(_Atomic(struct edge *) *from)
{
    return atomic_load_explicit(from, memory_order_acquire); /* M1: pairs with M0 */
}

static void follow_own(struct match *m, struct node *node)
{
    for (struct edge *e = load_edge(&node->out); e; e = load_edge(&e->next_out))
        if (addresses_get(&m->found, e->on) != 0 && passes(m, e))
            reach(m, e->to);
}

static void follow_found(struct match *m, const struct node *node, struct condition *condition)
{
    struct table_probe probe = table_probe(&m->machine->edges, edge_hash(node, condition));
    struct edge *e;
    while ((e = table_next(&probe))) {
        if (e->from != node || e->on != condition)
            continue;
        for (; e; e = load_edge(&e->next_same))
            if (passes(m, e))
                reach(m, e->to);
        return;
    }
}

static void follow(struct match *m, struct node *node)
{
    uint32_t edges = atomic_load_explicit(&node->out_count, memory_order_relaxed);
    if (edges <= FEW_EDGES || edges < m->hits.count) {
        follow_own(m, node);
    } else {
        const struct hit *hits = m->hits.data;
        for (uint32_t i = 0; i < m->hits.count; i++)
            if (hits[i].previous == 0 &&
                atomic_load_explicit(&hits[i].condition->edges, memory_order_relaxed) > 0)
                follow_found(m, node, hits[i].condition);
    }
    /* With arrays, ABSENT may hold in the elements that are taken, though not everywhere. */
    for (struct edge *e = load_edge(&node->absent); e; e = load_edge(&e->next_out))
        if (m->has_trails || addresses_get(&m->found, e->on->path) == 0)
            reach(m, e->to);
}

static bool is_seen(const struct match *m, struct rule *rule)
{
    return atomic_load_explicit(&rule->added, memory_order_relaxed) <= m->time &&
           m->time < atomic_load_explicit(&rule->removed, memory_order_relaxed);
}

static int add_rule(struct match *m, struct rule *rule)
{
    if (rule->end_count > 1) {
        uint32_t *times = svl__addresses_at(&m->visited, rule);
        if (!times)
            return SVL_E_NOMEM;
        if (++*times > 1)
            return SVL_OK;
    }
    uint64_t *place = list_add(&m->rules, sizeof *place);
    if (!place)
        return SVL_E_NOMEM;
    *place = rule->id;
    return SVL_OK;
}

/* The rules that end at a node whose conditions all hold somewhere. */
static int take_rules(struct match *m, struct node *node)
{
    bool is_asked = !m->has_trails, holds = true;
    struct rule_end *end = atomic_load_explicit(&node->rules, memory_order_acquire); /* M1 */
    int rc = SVL_OK;
    for (; rc == SVL_OK && end && holds;
         end = atomic_load_explicit(&end->next, memory_order_acquire)) {
        if (!is_seen(m, end->rule))
            continue;
        if (!is_asked)
            rc = svl__arrays_allow(m, node, &holds);
        is_asked = true;
        if (rc == SVL_OK && holds)
            rc = add_rule(m, end->rule);
    }
    return rc;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int svl__match_rules(struct match *m)
{
    int rc = SVL_OK;
    svl__addresses_clear(&m->visited);
    follow(m, m->machine->start);
    while (rc == SVL_OK && m->nodes.count > 0) {
        struct node *node = ((struct node **)m->nodes.data)[--m->nodes.count];
        rc = take_rules(m, node);
        if (rc == SVL_OK)
            follow(m, node);
    }
    if (rc == SVL_OK && m->out_of_memory)
        rc = svl__fail(SVL_E_NOMEM, "matching an event");
    if (m->rules.count > 1)
        qsort(m->rules.data, m->rules.count, sizeof(uint64_t), by_number);
    return rc;
}
