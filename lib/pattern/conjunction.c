/* conjunction.c - nodes, and the edges that lead to them.
 *
 * A node's edges are part of its memory: one where its condition is a single one, one a member where it is a set.
 * An edge waits for a condition that values find; for an anything-but it waits for EXISTS, and asks then; for
 * ABSENT it waits for nothing, and stands in a list of its own. */
#include "machine.h"

static uint64_t node_hash(const struct node *parent, const struct condition *condition)
{
    return mixed(parent->hash * 3 + mixed(condition->hash));
}

static size_t node_size(uint32_t edges)
{
    return sizeof(struct node) + edges * sizeof(struct edge);
}

static struct node *find(const struct machine *machine, const struct node *parent,
                         const struct condition *condition, uint64_t hash)
{
    struct table_probe probe = table_probe(&machine->nodes, hash);
    struct node *node;
    while ((node = table_next(&probe)))
        if (node->parent == parent && node->condition == condition)
            return node;
    return NULL;
}

static struct edge *find_same(const struct machine *machine, const struct edge *edge, uint64_t hash)
{
    struct table_probe probe = table_probe(&machine->edges, hash);
    struct edge *e;
    while ((e = table_next(&probe)))
        if (e->from == edge->from && e->on == edge->on)
            return e;
    return NULL;
}

static void set_condition(struct edge *edge, struct condition *condition)
{
    bool is_not = condition->kind == CONDITION_NOT;
    edge->test = is_not ? condition : NULL;
    edge->on =
        is_not ? atomic_load_explicit(&condition->path->exists, memory_order_relaxed) : condition;
}

/* Puts an edge into a list that begins at `first`. */
static void put_out(_Atomic(struct edge *) *first, struct edge *edge)
{
    struct edge *next = atomic_load_explicit(first, memory_order_relaxed);
    atomic_init(&edge->next_out, next);
    if (next)
        next->previous_out = edge;
    atomic_store_explicit(first, edge, memory_order_release); /* M0: pairs with M1 */
}

/* Behind the first of the same, which is the one that the table has. */
static void put_same(struct edge *first, struct edge *edge)
{
    struct edge *next = atomic_load_explicit(&first->next_same, memory_order_relaxed);
    atomic_init(&edge->next_same, next);
    edge->previous_same = first;
    if (next)
        next->previous_same = edge;
    atomic_store_explicit(&first->next_same, edge, memory_order_release); /* M0: with M1 */
}

static bool link_edge(struct machine *machine, struct edge *edge)
{
    struct node *from = edge->from;
    if (edge->on->kind == CONDITION_ABSENT) {
        put_out(&from->absent, edge);
        return true;
    }
    uint64_t hash = edge_hash(from, edge->on);
    struct edge *same = find_same(machine, edge, hash);
    if (same)
        put_same(same, edge);
    else if (!svl__table_put(&machine->edges, hash, edge, &machine->epoch))
        return false;
    put_out(&from->out, edge);
    atomic_fetch_add_explicit(&from->out_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&edge->on->edges, 1, memory_order_relaxed);
    return true;
}

static void take_out(_Atomic(struct edge *) *first, struct edge *edge)
{
    struct edge *next = atomic_load_explicit(&edge->next_out, memory_order_relaxed);
    atomic_store_explicit(edge->previous_out ? &edge->previous_out->next_out : first, next,
                          memory_order_release); /* M0: pairs with M1 */
    if (next)
        next->previous_out = edge->previous_out;
}

static void take_same(struct machine *machine, struct edge *edge)
{
    struct edge *next = atomic_load_explicit(&edge->next_same, memory_order_relaxed);
    uint64_t hash = edge_hash(edge->from, edge->on);
    if (edge->previous_same)
        atomic_store_explicit(&edge->previous_same->next_same, next, memory_order_release);
    else if (next)
        svl__table_replace(&machine->edges, hash, edge, next);
    else
        svl__table_remove(&machine->edges, hash, edge);
    if (next)
        next->previous_same = edge->previous_same;
}

static void unlink_edge(struct machine *machine, struct edge *edge)
{
    struct node *from = edge->from;
    if (edge->on->kind == CONDITION_ABSENT) {
        take_out(&from->absent, edge);
        return;
    }
    take_same(machine, edge);
    take_out(&from->out, edge);
    atomic_fetch_sub_explicit(&from->out_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&edge->on->edges, 1, memory_order_relaxed);
}

static bool link_edges(struct machine *machine, struct node *node, struct node *parent)
{
    uint32_t members = 1;
    struct condition *const *list = &node->condition;
    if (node->condition->kind == CONDITION_SET)
        list = condition_members(node->condition, &members);
    for (uint32_t i = 0; i < node->edge_count; i++) {
        struct edge *edge = &node->edges[i];
        edge->from = parent;
        edge->to = node;
        set_condition(edge, list[i]);
        if (link_edge(machine, edge))
            continue;
        while (i-- > 0)
            unlink_edge(machine, &node->edges[i]);
        return false;
    }
    return true;
}

struct node *svl__node_acquire(struct machine *machine, struct node *parent,
                               struct condition *condition)
{
    uint64_t hash = node_hash(parent, condition);
    struct node *node = find(machine, parent, condition, hash);
    if (node) {
        node->references++;
        return node;
    }
    uint32_t edges = 1;
    if (condition->kind == CONDITION_SET)
        condition_members(condition, &edges);
    node = svl__epoch_allocate(&machine->epoch, node_size(edges));
    if (!node)
        return NULL;
    node->parent = parent;
    node->condition = condition;
    node->hash = hash;
    node->references = 1;
    node->edge_count = edges;
    node->depth = parent->depth + 1;
    if (!svl__table_put(&machine->nodes, hash, node, &machine->epoch)) {
        svl__epoch_free(&machine->epoch, &node->retired, node_size(edges));
        return NULL;
    }
    if (!link_edges(machine, node, parent)) {
        svl__table_remove(&machine->nodes, hash, node);
        /* A reader may have come by an edge that was taken out again. */
        svl__epoch_retire(&machine->epoch, &node->retired, node_size(edges));
        return NULL;
    }
    parent->references++;
    condition->references++;
    return node;
}

void svl__node_release(struct machine *machine, struct node *node)
{
    while (--node->references == 0 && node->parent) {
        struct node *parent = node->parent;
        for (uint32_t i = 0; i < node->edge_count; i++)
            unlink_edge(machine, &node->edges[i]);
        svl__table_remove(&machine->nodes, node->hash, node);
        svl__condition_release(machine, node->condition);
        svl__epoch_retire(&machine->epoch, &node->retired, node_size(node->edge_count));
        node = parent;
    }
}
