/* expand.c - the combinations that a pattern stands for: of each `$or` one object, and with it all else.
 *
 * Combination k is k counted in digits: an "all" splits it among its children by division, an "any" goes to the
 * child that it falls to by subtraction. So each is found by itself, and none is kept. */
#include "place.h"
#include "plan.h"

/* Adds or multiplies, and stays at one more than the most where it would be more. */
static uint32_t joined(uint32_t kind, uint32_t so_far, uint32_t more)
{
    uint64_t n = kind == CLAUSE_ALL ? (uint64_t)so_far * more : (uint64_t)so_far + more;
    return n > COMBINATIONS_MAX ? COMBINATIONS_MAX + 1 : (uint32_t)n;
}

int svl__plan_count(struct plan *plan, struct place *place)
{
    uint32_t n = plan_clause_count(plan), fields = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct plan_clause *c = plan_clause(plan, i);
        c->combinations = c->kind == CLAUSE_ANY ? 0 : 1;
        if (c->parent != PLAN_NONE && plan_clause(plan, c->parent)->dropped)
            c->dropped = 1;
        fields += c->kind == CLAUSE_FIELD && !c->dropped;
    }
    for (uint32_t i = n - 1; i > 0; i--) {
        struct plan_clause *c = plan_clause(plan, i), *parent = plan_clause(plan, c->parent);
        if (!c->dropped)
            parent->combinations = joined(parent->kind, parent->combinations, c->combinations);
    }
    plan->combinations = plan_clause(plan, 0)->combinations;
    if (plan->combinations > COMBINATIONS_MAX)
        return svl__place_fail(place, SVL_E_PATTERN_COMPLEX, 0,
                               "its $or's stand for more than %d combinations: split it into "
                               "several rules",
                               COMBINATIONS_MAX);
    if (plan->combinations > 1 && (uint64_t)plan->combinations * fields > COMBINED_FIELDS_MAX)
        return svl__place_fail(place, SVL_E_PATTERN_COMPLEX, 0,
                               "%u combinations of its $or's, of up to %u fields: their product is "
                               "at most %d",
                               plan->combinations, fields, COMBINED_FIELDS_MAX);
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
