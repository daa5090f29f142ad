/* expand.c - the combinations that a pattern stands for: of each `$or` one object, and with it all else.
 *
 * Combination k is k counted in digits: an "all" splits it among its children by division, an "any" goes to the
 * child that it falls to by subtraction. So each is found by itself, and none is kept. */
#include "place.h"
#include "plan.h"

/* Takes a child's combinations into its parent's; from one more than the most on they are all the same. */
static void join(struct plan_clause *parent, const struct plan_clause *child)
{
    uint64_t n = parent->combinations;
    if (parent->kind == CLAUSE_ALL) {
        parent->combined = parent->combined * child->combinations + child->combined * n;
        n *= child->combinations;
    } else {
        parent->combined += child->combined;
        n += child->combinations;
    }
    if (parent->combined > COMBINED_FIELDS_MAX)
        parent->combined = COMBINED_FIELDS_MAX + 1;
    parent->combinations = n > COMBINATIONS_MAX ? COMBINATIONS_MAX + 1 : (uint32_t)n;
}

int svl__plan_count(struct plan *plan, struct place *place)
{
    uint32_t n = plan_clause_count(plan);
    for (uint32_t i = 0; i < n; i++) {
        struct plan_clause *c = plan_clause(plan, i);
        c->combinations = c->kind != CLAUSE_ANY;
        c->combined = c->kind == CLAUSE_FIELD;
        if (c->parent != PLAN_NONE && plan_clause(plan, c->parent)->dropped)
            c->dropped = 1;
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        const struct plan_clause *c = plan_clause(plan, i);
        if (!c->dropped)
            join(plan_clause(plan, c->parent), c);
    }
    const struct plan_clause *root = plan_clause(plan, 0);
    plan->combinations = root->combinations;
    if (root->combinations > COMBINATIONS_MAX)
        return svl__place_fail(place, SVL_E_PATTERN_COMPLEX, 0,
                               "its $or's stand for more than %d combinations: split it into "
                               "several rules",
                               COMBINATIONS_MAX);
    if (root->combinations > 1 && root->combined > COMBINED_FIELDS_MAX)
        return svl__place_fail(place, SVL_E_PATTERN_COMPLEX, 0,
                               "the %u combinations of its $or's have more than %d fields in all: "
                               "split it into several rules",
                               root->combinations, COMBINED_FIELDS_MAX);
    return SVL_OK;
}

/* What of its parent's pick falls to clause `i`; PLAN_NONE: another object of the `$or` was picked. The parent's
 * pick becomes what is left for the children behind. */
static uint32_t take_pick(const struct plan_clause *parent, uint32_t *parents,
                          uint32_t combinations)
{
    uint32_t pick = *parents;
    if (pick == PLAN_NONE)
        return PLAN_NONE;
    if (parent->kind == CLAUSE_ALL) {
        *parents = pick / combinations;
        return pick % combinations;
    }
    bool falls_here = pick < combinations;
    *parents = falls_here ? PLAN_NONE : pick - combinations;
    return falls_here ? pick : PLAN_NONE;
}

uint32_t svl__plan_combination(const struct plan *plan, uint32_t number, uint32_t *picks,
                               uint32_t *fields)
{
    uint32_t count = 0;
    picks[0] = number;
    for (uint32_t i = 1; i < plan_clause_count(plan); i++) {
        const struct plan_clause *c = plan_clause(plan, i);
        picks[i] = PLAN_NONE;
        if (c->dropped)
            continue;
        picks[i] = take_pick(plan_clause(plan, c->parent), &picks[c->parent], c->combinations);
        if (picks[i] != PLAN_NONE && c->kind == CLAUSE_FIELD)
            fields[count++] = c->field;
    }
    return count;
}
