/* arrays.c - array consistency: of each array that several conditions pass through, one element for all.
 *
 * A context is an element that binds; in it lie leaves, and arrays with contexts of their own: a tree. One pass
 * over it in document order decides, for the conditions whose paths go through an array must all hold in one of
 * its elements, but for those that a leaf outside of it meets already. Contexts that are open are frames; when
 * one ends, it is known whether what is required of it holds, and its array takes that in.
 *
 *     frame: an event's or element's context
 *       direct     conditions that a leaf right here meets
 *       present    ... that may be absent, and have a leaf right here
 *       met        ... that an array here meets, in one of its elements
 *       outside    direct or present further out
 *       below      ... whose paths go through some array here
 *       array      ... through the array at hand
 *
 * A condition that may be absent is met in an element without a leaf of its path; and such an element counts only
 * when some other condition took it (`is_taken`), else all elements count, none of which may have the leaf.
 *
 * That is exact while a path goes through one array of a context at most, and no condition that may be absent has
 * a leaf both beside and inside of an array. Only an event that repeats a name, or has texts beside objects in an
 * array, is otherwise: search.c tries it out. */
#include "arrays.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { DIRECT, PRESENT, MET, OUTSIDE, BELOW, ARRAY, SETS };

struct context_frame {
    uint32_t context;
    uint32_t array;   /* at hand; UINT32_MAX: none yet */
    bool array_holds; /* in an element so far */
    bool is_taken;
    bool fails;
};

struct pass {
    const struct conjunction *c;
    uint32_t words;     /* of a set */
    struct list frames; /* struct context_frame */
    struct list sets;   /* uint64_t: SETS sets a frame */
    struct context_frame frames_first[8];
    uint64_t sets_first[8 * SETS];
    bool is_ambiguous; /* search.c is to decide */
    bool out_of_memory;
};

static struct context_frame *frame_at(const struct pass *p, uint32_t i)
{
    return (struct context_frame *)p->frames.data + i;
}

static uint64_t *set_of(const struct pass *p, uint32_t frame, uint32_t set)
{
    return (uint64_t *)p->sets.data + ((size_t)frame * SETS + set) * p->words;
}

/* Does the path go through, or end at, the array's? */
static bool goes_through(const struct path *path, const struct path *array)
{
    while (path->depth > array->depth)
        path = path->parent;
    return path == array;
}

static bool push(struct pass *p, uint32_t context)
{
    uint32_t top = p->frames.count, words = p->words;
    struct context_frame *frame = list_add(&p->frames, sizeof *frame);
    if (!frame || !svl__list_reserve(&p->sets, (top + 1) * SETS * words, sizeof(uint64_t))) {
        p->out_of_memory = true;
        return false;
    }
    p->sets.count = (top + 1) * SETS * words;
    *frame = (struct context_frame){ .context = context, .array = UINT32_MAX };
    memset(set_of(p, top, 0), 0, SETS * words * sizeof(uint64_t));
    for (uint32_t i = 0; top > 0 && i < words; i++) {
        set_of(p, top, OUTSIDE)[i] = set_of(p, top - 1, OUTSIDE)[i] | set_of(p, top - 1, DIRECT)[i];
        if (p->c->has_absent)
            set_of(p, top, OUTSIDE)[i] |= set_of(p, top - 1, PRESENT)[i];
    }
    return true;
}

/* All elements of the array at hand have been seen. */
static void end_array(struct pass *p, uint32_t at)
{
    struct context_frame *frame = frame_at(p, at);
    if (frame->array == UINT32_MAX)
        return;
    for (uint32_t i = 0; i < p->words; i++) {
        uint64_t through = set_of(p, at, ARRAY)[i];
        uint64_t required = through & ~set_of(p, at, OUTSIDE)[i] & ~set_of(p, at, DIRECT)[i];
        if (frame->array_holds)
            set_of(p, at, MET)[i] |= through;
        else if (required != 0)
            frame->fails = true;
    }
    frame->is_taken |= frame->array_holds;
}

/* An element of `array` comes next in the frame. */
static void begin_array(struct pass *p, uint32_t at, uint32_t array)
{
    struct context_frame *frame = frame_at(p, at);
    const struct match *m = p->c->match;
    const struct path *path = ((const struct event_array *)m->arrays.data)[array].path;
    if (frame->array == array)
        return;
    end_array(p, at);
    frame->array = array;
    frame->array_holds = false;
    memset(set_of(p, at, ARRAY), 0, p->words * sizeof(uint64_t));
    for (uint32_t i = 0; i < p->c->count; i++)
        if (goes_through(p->c->conditions[i]->path, path))
            set_bit(set_of(p, at, ARRAY), i);
    for (uint32_t i = 0; i < p->words; i++) {
        uint64_t through = set_of(p, at, ARRAY)[i], beside = set_of(p, at, BELOW)[i];
        if (p->c->has_absent)
            beside |=
                set_of(p, at, DIRECT)[i] | set_of(p, at, PRESENT)[i] | set_of(p, at, OUTSIDE)[i];
        if (through & beside)
            p->is_ambiguous = true;
        set_of(p, at, BELOW)[i] |= through;
    }
}

/* Does all hold in the frame that is required of it? For the event, frame 0, that is all there is. */
static bool holds(struct pass *p, uint32_t at)
{
    struct context_frame *frame = frame_at(p, at);
    bool is_taken = frame->is_taken;
    end_array(p, at);
    for (uint32_t i = 0; i < p->words; i++) {
        uint64_t rest =
            p->c->count - i * 64 >= 64 ? UINT64_MAX : (UINT64_C(1) << (p->c->count - i * 64)) - 1;
        uint64_t required =
            at > 0 ? set_of(p, at - 1, ARRAY)[i] & ~set_of(p, at, OUTSIDE)[i] : rest;
        uint64_t open = required & ~set_of(p, at, DIRECT)[i] & ~set_of(p, at, MET)[i];
        if (open & ~(p->c->may_be_absent[i] & ~set_of(p, at, PRESENT)[i]))
            return false;
        is_taken |= set_of(p, at, DIRECT)[i] != 0;
    }
    return !frame->fails && (at == 0 || is_taken || frame->is_taken);
}

static void pop(struct pass *p)
{
    uint32_t at = p->frames.count - 1;
    if (holds(p, at))
        frame_at(p, at - 1)->array_holds = true;
    p->frames.count--;
}

static bool is_open(const struct pass *p, uint32_t context)
{
    const struct match *m = p->c->match;
    uint32_t depth = ((const struct event_context *)m->contexts.data)[context].depth;
    return depth < p->frames.count && frame_at(p, depth)->context == context;
}

/* Closes the frames that `context` is not in, and opens those that it is in. */
static bool go_to(struct pass *p, uint32_t context)
{
    const struct match *m = p->c->match;
    const struct event_context *contexts = m->contexts.data;
    uint32_t open = context;
    while (!is_open(p, open))
        open = context_parent(m, open);
    while (p->frames.count > contexts[open].depth + 1)
        pop(p);
    /* From the outermost that is missing; few, so the way down is looked up from below each time. */
    while (frame_at(p, p->frames.count - 1)->context != context) {
        uint32_t next = context, depth = p->frames.count;
        while (contexts[next].depth > depth)
            next = context_parent(m, next);
        begin_array(p, depth - 1, context_array(m, next));
        if (p->is_ambiguous || !push(p, next))
            return false;
    }
    return true;
}

static bool pass_over(struct pass *p)
{
    const struct conjunction *c = p->c;
    if (!push(p, 0))
        return false;
    for (uint32_t i = 0; i < c->occurrence_count; i++) {
        const struct occurrence *o = &c->occurrences[i];
        if (!go_to(p, o->context))
            return false;
        set_bit(set_of(p, p->frames.count - 1, o->holds ? DIRECT : PRESENT), o->field);
    }
    while (p->frames.count > 1)
        pop(p);
    return holds(p, 0);
}

/* Gathering the occurrences. */

struct gathering {
    struct match *m;
    struct list *list;
    uint32_t field;
    bool out_of_memory;
};

static void add(struct gathering *g, uint32_t context, bool is_met)
{
    struct occurrence *o = list_add(g->list, sizeof *o);
    if (o)
        *o = (struct occurrence){ context, g->field, is_met };
    else
        g->out_of_memory = true;
}

static void add_leaves(struct gathering *g, const struct condition *c)
{
    uint32_t at = addresses_get(&g->m->found, c->path);
    for (; at != 0; at = match_leaf(g->m, at)->previous) {
        const struct leaf_found *leaf = match_leaf(g->m, at);
        if (c->kind == CONDITION_ABSENT || svl__match_not(g->m, c, leaf))
            add(g, leaf->context, c->kind != CONDITION_ABSENT);
    }
}

static void add_condition(struct gathering *g, const struct condition *c)
{
    if (c->kind == CONDITION_ABSENT || c->kind == CONDITION_NOT) {
        add_leaves(g, c);
        return;
    }
    uint32_t at = addresses_get(&g->m->found, c);
    for (; at != 0; at = match_hit(g->m, at)->previous)
        add(g, match_hit(g->m, at)->context, true);
}

static void gather(struct gathering *g, struct conjunction *c)
{
    for (g->field = 0; g->field < c->count; g->field++) {
        const struct condition *condition = c->conditions[g->field];
        struct condition *const *members = NULL;
        uint32_t n = 1;
        if (condition->kind == CONDITION_SET)
            members = condition_members(condition, &n);
        for (uint32_t i = 0; i < n; i++) {
            const struct condition *member = members ? members[i] : condition;
            if (member->kind == CONDITION_ABSENT) {
                set_bit(c->may_be_absent, g->field);
                c->has_absent = true;
            }
            add_condition(g, member);
        }
    }
}

static int by_context(const void *a, const void *b)
{
    uint32_t x = ((const struct occurrence *)a)->context;
    uint32_t y = ((const struct occurrence *)b)->context;
    return x < y ? -1 : x > y;
}

static int decide(const struct conjunction *c, bool *result)
{
    struct pass p = { .c = c, .words = (c->count + 63) / 64 };
    p.frames = LIST_IN(p.frames_first);
    p.sets = LIST_IN(p.sets_first);
    *result = pass_over(&p);
    svl__list_free(&p.frames);
    svl__list_free(&p.sets);
    if (p.out_of_memory)
        return SVL_E_NOMEM;
    return p.is_ambiguous ? svl__arrays_search(c, result) : SVL_OK;
}

int svl__arrays_allow(struct match *m, const struct node *node, bool *result)
{
    const struct condition *conditions_first[16];
    struct occurrence occurrences_first[48];
    uint64_t absent_first[1] = { 0 };
    struct list conditions = LIST_IN(conditions_first), occurrences = LIST_IN(occurrences_first);
    struct list absent = LIST_IN(absent_first);
    struct conjunction c = { .match = m, .count = node->depth };
    struct gathering g = { .m = m, .list = &occurrences };
    int rc = SVL_E_NOMEM;
    *result = false;
    if (!svl__list_reserve(&conditions, c.count, sizeof c.conditions[0]) ||
        !svl__list_reserve(&absent, (c.count + 63) / 64, sizeof(uint64_t)))
        goto end;
    c.conditions = conditions.data;
    c.may_be_absent = absent.data;
    memset(c.may_be_absent, 0, (c.count + 63) / 64 * sizeof(uint64_t));
    for (uint32_t i = c.count; i-- > 0; node = node->parent)
        c.conditions[i] = node->condition;
    gather(&g, &c);
    if (!g.out_of_memory) {
        qsort(occurrences.data, occurrences.count, sizeof(struct occurrence), by_context);
        c.occurrences = occurrences.data;
        c.occurrence_count = occurrences.count;
        rc = decide(&c, result);
    }
end:
    svl__list_free(&conditions);
    svl__list_free(&occurrences);
    svl__list_free(&absent);
    return rc;
}
