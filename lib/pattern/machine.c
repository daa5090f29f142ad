/* machine.c - rules: from a plan to conjunctions, published, and taken out again. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "place.h"

/* What linking a plan needs for a while. */
struct linking {
    struct machine *machine;
    const struct plan *plan;
    struct path **paths;           /* a level */
    struct condition **conditions; /* a field; NULL: of no combination */
    struct condition **list;       /* of the combination at hand; and the members of a field */
    uint32_t *picks, *fields;
    int code;
};

int svl__machine_init(struct machine *machine)
{
    uint64_t seed;
    *machine = (struct machine){ .root = NULL };
    svl__epoch_init(&machine->epoch);
    int rc = svl__random(&seed, sizeof seed);
    if (rc != SVL_OK)
        return rc;
    machine->root = svl__epoch_allocate(&machine->epoch, sizeof *machine->root);
    machine->start = svl__epoch_allocate(&machine->epoch, sizeof *machine->start);
    if (!machine->root || !machine->start)
        return SVL_E_NOMEM;
    machine->root->seed = seed;
    machine->root->references = 1;
    machine->start->hash = seed;
    machine->start->references = 1;
    return SVL_OK;
}

void svl__machine_destroy(struct machine *machine)
{
    struct epoch *epoch = &machine->epoch;
    struct rule *rule;
    size_t at = 0;
    while ((rule = svl__table_walk(&machine->rules, &at)))
        svl__machine_unlink(machine, rule);
    while ((rule = machine->removed_first)) {
        machine->removed_first = rule->next_removed;
        svl__machine_unlink(machine, rule);
    }
    svl__table_destroy(&machine->rules, epoch);
    svl__table_destroy(&machine->edges, epoch);
    svl__table_destroy(&machine->nodes, epoch);
    svl__table_destroy(&machine->grams, epoch);
    svl__table_destroy(&machine->conditions, epoch);
    svl__table_destroy(&machine->paths, epoch);
    if (machine->root)
        svl__epoch_free(epoch, &machine->root->retired, sizeof *machine->root);
    if (machine->start)
        svl__epoch_free(epoch, &machine->start->retired, sizeof *machine->start);
    svl__epoch_destroy(epoch);
}

static bool link_paths(struct linking *l)
{
    for (uint32_t i = 0; i < plan_level_count(l->plan); i++) {
        const struct plan_level *level = plan_level(l->plan, i);
        struct path *parent =
            level->parent == PLAN_NONE ? l->machine->root : l->paths[level->parent];
        l->paths[i] = svl__path_acquire(l->machine, parent,
                                        plan_bytes(l->plan, level->bytes_at, level->bytes_len));
        if (!l->paths[i])
            return false;
    }
    return true;
}

/* Of a NOT its members too, which have none. */
static struct condition *link_test(struct linking *l, struct path *path,
                                   const struct plan_test *test)
{
    uint32_t n = 0;
    if (test->kind != CONDITION_NOT)
        return svl__condition_acquire(l->machine, path, test->kind,
                                      plan_bytes(l->plan, test->bytes_at, test->bytes_len),
                                      &l->code);
    struct condition **members = svl__malloc(test->count * sizeof *members);
    if (!members)
        return NULL;
    for (; n < test->count; n++) {
        members[n] = link_test(l, path, plan_member(l->plan, test->first + n));
        if (!members[n])
            break;
    }
    struct condition *condition = NULL;
    if (n == test->count)
        condition =
            svl__condition_acquire_of(l->machine, path, CONDITION_NOT, members, n, &l->code);
    else
        while (n-- > 0)
            svl__condition_release(l->machine, members[n]);
    svl__free(members);
    return condition;
}

static bool link_field(struct linking *l, uint32_t i)
{
    const struct plan_field *field = plan_field(l->plan, i);
    struct path *path = l->paths[field->level];
    uint32_t n = 0;
    for (; n < field->count; n++) {
        l->list[n] = link_test(l, path, plan_test(l->plan, field->first + n));
        if (!l->list[n])
            break;
    }
    if (n == field->count)
        l->conditions[i] =
            svl__condition_acquire_of(l->machine, path, CONDITION_SET, l->list, n, &l->code);
    else
        while (n-- > 0)
            svl__condition_release(l->machine, l->list[n]);
    return l->conditions[i] != NULL;
}

/* A set is as late as its latest member, for it is met where that one is asked. */
static uint32_t order_of(const struct condition *c)
{
    uint32_t order = c->kind, count = 0;
    struct condition *const *members = condition_members(c, &count);
    for (uint32_t i = 0; c->kind == CONDITION_SET && i < count; i++)
        if (members[i]->kind > order)
            order = members[i]->kind;
    return order;
}

/* The same order in every rule, so that equal beginnings meet. */
static int by_order(const void *a, const void *b)
{
    const struct condition *x = *(struct condition *const *)a, *y = *(struct condition *const *)b;
    uint32_t x_order = order_of(x), y_order = order_of(y);
    if (x_order != y_order)
        return x_order < y_order ? -1 : 1;
    if (x->path != y->path && x->path->hash != y->path->hash)
        return x->path->hash < y->path->hash ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (uintptr_t)x < (uintptr_t)y ? -1 : (uintptr_t)x > (uintptr_t)y;
}

/* The node of one combination; the reference is the caller's. */
static struct node *link_combination(struct linking *l, uint32_t number)
{
    uint32_t n = svl__plan_combination(l->plan, number, l->picks, l->fields);
    for (uint32_t i = 0; i < n; i++)
        l->list[i] = l->conditions[l->fields[i]];
    qsort(l->list, n, sizeof l->list[0], by_order);
    struct node *node = l->machine->start;
    for (uint32_t i = 0; node && i < n; i++) {
        if (i > 0 && l->list[i] == l->list[i - 1])
            continue;
        struct node *next = svl__node_acquire(l->machine, node, l->list[i]);
        if (node != l->machine->start)
            svl__node_release(l->machine, node); /* its child has one */
        node = next;
    }
    return node;
}

static void put_end(struct rule_end *end, struct node *node, struct rule *rule)
{
    struct rule_end *next = atomic_load_explicit(&node->rules, memory_order_relaxed);
    end->rule = rule;
    end->node = node;
    atomic_init(&end->next, next);
    if (next)
        next->previous = end;
    atomic_store_explicit(&node->rules, end, memory_order_release); /* M0: pairs with M1 */
}

static void take_end(struct machine *machine, struct rule_end *end)
{
    struct rule_end *next = atomic_load_explicit(&end->next, memory_order_relaxed);
    atomic_store_explicit(end->previous ? &end->previous->next : &end->node->rules, next,
                          memory_order_release); /* M0: pairs with M1 */
    if (next)
        next->previous = end->previous;
    svl__node_release(machine, end->node);
}

static size_t rule_size(uint32_t ends)
{
    return sizeof(struct rule) + ends * sizeof(struct rule_end);
}

static uint64_t id_hash(const struct machine *machine, uint64_t id)
{
    return mixed(id ^ machine->root->seed);
}

/* Takes the ends of a rule that has been linked, or half linked. */
static void unlink_ends(struct machine *machine, struct rule *rule, uint32_t linked)
{
    while (linked-- > 0)
        take_end(machine, &rule->ends[linked]);
    svl__epoch_retire(&machine->epoch, &rule->retired, rule_size(rule->end_count));
}

static struct rule *link_rule(struct linking *l, uint64_t id)
{
    uint32_t n = l->plan->combinations;
    struct rule *rule = svl__epoch_allocate(&l->machine->epoch, rule_size(n));
    if (!rule)
        return NULL;
    rule->id = id;
    rule->hash = id_hash(l->machine, id);
    rule->end_count = n;
    atomic_init(&rule->added, UINT64_MAX);
    atomic_init(&rule->removed, UINT64_MAX);
    for (uint32_t i = 0; i < n; i++) {
        struct node *node = link_combination(l, i);
        if (!node) {
            unlink_ends(l->machine, rule, i);
            return NULL;
        }
        put_end(&rule->ends[i], node, rule);
    }
    return rule;
}

/* The fields that some combination has. */
static bool link_fields(struct linking *l)
{
    for (uint32_t i = 0; i < plan_clause_count(l->plan); i++) {
        const struct plan_clause *clause = plan_clause(l->plan, i);
        if (clause->kind == CLAUSE_FIELD && !clause->dropped && !link_field(l, clause->field))
            return false;
    }
    return true;
}

static bool allocate_linking(struct linking *l)
{
    uint32_t levels = plan_level_count(l->plan), fields = plan_field_count(l->plan);
    uint32_t tests = plan_test_count(l->plan), clauses = plan_clause_count(l->plan);
    l->paths = svl__calloc(levels, sizeof *l->paths);
    l->conditions = svl__calloc(fields, sizeof *l->conditions);
    l->list =
        svl__calloc(tests, sizeof *l->list); /* a field has a test, so it is enough for both */
    l->picks = svl__malloc(clauses * sizeof *l->picks);
    l->fields = svl__malloc(fields * sizeof *l->fields);
    return l->paths && l->conditions && l->list && l->picks && l->fields;
}

/* What the rule needs of paths and conditions, its nodes hold now. */
static void end_linking(struct linking *l)
{
    for (uint32_t i = 0; l->conditions && i < plan_field_count(l->plan); i++)
        if (l->conditions[i])
            svl__condition_release(l->machine, l->conditions[i]);
    for (uint32_t i = 0; l->paths && i < plan_level_count(l->plan); i++)
        if (l->paths[i])
            svl__path_release(l->machine, l->paths[i]);
    svl__free(l->paths);
    svl__free(l->conditions);
    svl__free(l->list);
    svl__free(l->picks);
    svl__free(l->fields);
}

/* What was taken out is in the past now; what nobody can look at any more is freed. */
static void settle(struct machine *machine)
{
    if (machine->epoch.first) {
        svl__epoch_advance(&machine->epoch);
        svl__epoch_collect(&machine->epoch);
    }
}

int svl__machine_link(struct machine *machine, const struct plan *plan, uint64_t id,
                      struct place *place, size_t offset, struct rule **out)
{
    struct linking l = { .machine = machine, .plan = plan, .code = SVL_E_NOMEM };
    struct rule *rule = NULL;
    if (allocate_linking(&l) && link_paths(&l) && link_fields(&l)) {
        l.code = SVL_E_NOMEM;
        rule = link_rule(&l, id);
    }
    if (rule && !svl__table_put(&machine->rules, rule->hash, rule, &machine->epoch)) {
        unlink_ends(machine, rule, rule->end_count);
        rule = NULL;
    }
    end_linking(&l);
    *out = rule;
    if (rule)
        return SVL_OK;
    settle(machine);
    if (l.code == SVL_E_PATTERN_COMPLEX)
        return svl__place_fail(
            place, l.code, offset,
            "all rules together have more than %d wildcards on one field, and each "
            "may have to be compared with its value",
            WILDCARDS_A_PATH_MAX);
    return l.code;
}

void svl__machine_unlink(struct machine *machine, struct rule *rule)
{
    if (atomic_load_explicit(&rule->removed, memory_order_relaxed) == UINT64_MAX)
        svl__table_remove(&machine->rules, rule->hash, rule);
    unlink_ends(machine, rule, rule->end_count);
}

struct rule *svl__machine_rule(const struct machine *machine, uint64_t id)
{
    struct table_probe probe = table_probe(&machine->rules, id_hash(machine, id));
    struct rule *rule;
    while ((rule = table_next(&probe)))
        if (rule->id == id)
            return rule;
    return NULL;
}

/* Unlinks the removed rules that no reader sees any more. */
static void unlink_removed(struct machine *machine)
{
    if (!machine->removed_first)
        return;
    uint64_t oldest = svl__epoch_oldest(&machine->epoch);
    struct rule *rule;
    while ((rule = machine->removed_first) &&
           atomic_load_explicit(&rule->removed, memory_order_relaxed) <= oldest) {
        machine->removed_first = rule->next_removed;
        svl__machine_unlink(machine, rule);
    }
    if (!machine->removed_first)
        machine->removed_last = NULL;
}

void svl__machine_publish(struct machine *machine, struct rule *const *added, size_t added_count,
                          struct rule *const *removed, size_t removed_count)
{
    uint64_t then = epoch_now(&machine->epoch) + 1;
    for (size_t i = 0; i < added_count; i++)
        atomic_store_explicit(&added[i]->added, then, memory_order_relaxed);
    for (size_t i = 0; i < removed_count; i++) {
        struct rule *rule = removed[i];
        svl__table_remove(&machine->rules, rule->hash, rule);
        atomic_store_explicit(&rule->removed, then, memory_order_relaxed);
        if (machine->removed_last)
            machine->removed_last->next_removed = rule;
        else
            machine->removed_first = rule;
        machine->removed_last = rule;
    }
    svl__epoch_advance(&machine->epoch);
    unlink_removed(machine);
    settle(machine);
}
