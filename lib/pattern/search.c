/* search.c - array consistency by trying: for each condition a leaf that meets it, or none where it may be absent,
 * such that no two leaves lie in different elements of one array, and no leaf of an absent one is left.
 *
 * Exact for every event, and for one that repeats names as often as it likes there is nothing quicker known (the
 * question is that of satisfiability). So the steps are counted, and an event that takes too many is an error. */
#include <stdlib.h>

#include "arrays.h"
#include "base/alloc.h"
#include "base/error.h"

#define STEPS_MAX UINT64_C(1000000) /* an event */
#define NOT_TAKEN UINT32_MAX

struct choice {
    uint32_t from, to; /* the condition's occurrences that hold, in `places` */
    uint32_t at;       /* the one that is tried; to: it is absent */
    uint32_t context;  /* that is taken; NOT_TAKEN: absent */
};

struct search {
    const struct conjunction *c;
    struct choice *choices;              /* a condition */
    uint32_t *places;                    /* contexts, condition by condition */
    const struct occurrence **obstacles; /* leaves of what may be absent */
    uint32_t obstacle_count;
};

/* Can both lie in what is taken? Where their ways out meet, they must not come from two elements of one array. */
static bool agree(const struct match *m, uint32_t a, uint32_t b)
{
    uint32_t a_last = NOT_TAKEN, b_last = NOT_TAKEN;
    while (a != b) {
        if (a > b) {
            a_last = a;
            a = context_parent(m, a);
        } else {
            b_last = b;
            b = context_parent(m, b);
        }
    }
    return a_last == NOT_TAKEN || b_last == NOT_TAKEN ||
           context_array(m, a_last) != context_array(m, b_last);
}

/* Does a context agree with what the first `count` conditions take? */
static bool agrees(const struct search *s, uint32_t context, uint32_t count)
{
    s->c->match->steps += count + 1;
    for (uint32_t i = 0; i < count; i++)
        if (s->choices[i].context != NOT_TAKEN &&
            !agree(s->c->match, context, s->choices[i].context))
            return false;
    return true;
}

/* All are chosen: is what is absent not there? */
static bool leaves_none(const struct search *s)
{
    for (uint32_t i = 0; i < s->obstacle_count; i++) {
        const struct occurrence *o = s->obstacles[i];
        s->c->match->steps++;
        if (s->choices[o->field].context == NOT_TAKEN && agrees(s, o->context, s->c->count))
            return false;
    }
    return true;
}

/* The next choice for a condition, behind the one that is tried; false: there is none. */
static bool choose(const struct search *s, uint32_t field)
{
    struct choice *choice = &s->choices[field];
    while (choice->at < choice->to) {
        choice->context = s->places[choice->at++];
        if (agrees(s, choice->context, field))
            return true;
    }
    choice->context = NOT_TAKEN;
    return choice->at++ == choice->to && has_bit(s->c->may_be_absent, field);
}

static int try_all(const struct search *s, bool *holds)
{
    uint32_t field = 0, count = s->c->count;
    *holds = false;
    for (;;) {
        if (s->c->match->steps > STEPS_MAX)
            return svl__fail(SVL_E_LIMIT,
                             "an event that repeats names with arrays below them, in more "
                             "ways than can be tried");
        if (choose(s, field)) {
            if (field + 1 < count) {
                field++;
                s->choices[field].at = s->choices[field].from;
            } else if (leaves_none(s)) {
                *holds = true;
                return SVL_OK;
            }
        } else if (field-- == 0) {
            return SVL_OK;
        }
    }
}

/* Each condition's places, each context once: the occurrences are sorted by it; and the obstacles. */
static void lay_out(struct search *s)
{
    const struct conjunction *c = s->c;
    for (uint32_t i = 0; i < c->occurrence_count; i++)
        s->choices[c->occurrences[i].field].to++;
    for (uint32_t field = 0, from = 0; field < c->count; field++) {
        struct choice *choice = &s->choices[field];
        uint32_t n = choice->to;
        choice->from = choice->at = choice->to = from;
        from += n;
    }
    for (uint32_t i = 0; i < c->occurrence_count; i++) {
        const struct occurrence *o = &c->occurrences[i];
        struct choice *choice = &s->choices[o->field];
        if (!o->holds)
            s->obstacles[s->obstacle_count++] = o;
        else if (choice->to == choice->from || s->places[choice->to - 1] != o->context)
            s->places[choice->to++] = o->context;
    }
}

int svl__arrays_search(const struct conjunction *c, bool *holds)
{
    struct search s = { .c = c };
    s.choices = svl__calloc(c->count, sizeof *s.choices);
    s.places = svl__malloc(c->occurrence_count * sizeof *s.places);
    s.obstacles = svl__malloc(c->occurrence_count * sizeof *s.obstacles);
    int rc = SVL_E_NOMEM;
    if (s.choices && s.places && s.obstacles) {
        lay_out(&s);
        rc = try_all(&s, holds);
    }
    svl__free(s.choices);
    svl__free(s.places);
    svl__free(s.obstacles);
    return rc;
}
