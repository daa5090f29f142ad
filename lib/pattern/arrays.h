/* arrays - where the conditions of one conjunction hold, for arrays.c, which decides events as they are, and
 * search.c, which decides those that repeat names. */
#ifndef SVL_PATTERN_ARRAYS_H
#define SVL_PATTERN_ARRAYS_H

#include "match.h"

/* A condition of the conjunction and a leaf of its path: the condition holds for it, or, where the condition may
 * hold for want of a leaf, one is there. */
struct occurrence {
    uint32_t context;
    uint32_t field; /* the condition's number */
    bool holds;
};

struct conjunction {
    struct match *match;
    uint32_t count;                      /* of conditions */
    const struct condition **conditions; /* by number */
    struct occurrence *occurrences;      /* sorted by context */
    uint32_t occurrence_count;
    uint64_t *may_be_absent; /* a bit a condition: an ABSENT, or a set that holds one */
    bool has_absent;         /* one of them is not 0 */
};

static inline uint32_t context_parent(const struct match *m, uint32_t context)
{
    uint32_t array = ((const struct event_context *)m->contexts.data)[context].array;
    return ((const struct event_array *)m->arrays.data)[array].context;
}

static inline uint32_t context_array(const struct match *m, uint32_t context)
{
    return ((const struct event_context *)m->contexts.data)[context].array;
}

static inline bool has_bit(const uint64_t *bits, uint32_t bit)
{
    return bits[bit / 64] >> bit % 64 & 1;
}

static inline void set_bit(uint64_t *bits, uint32_t bit)
{
    bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* search.c: tries all choices, up to a number of steps an event. SVL_OK, SVL_E_NOMEM or SVL_E_LIMIT. */
int svl__arrays_search(const struct conjunction *c, bool *holds);

#endif
