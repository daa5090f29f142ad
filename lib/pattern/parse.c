/* parse.c - objects, names and `$or`s of a pattern.
 *
 *     struct frame: an object or the array of an `$or` that is open; the innermost one says what may come.
 *     A dotted name is a level a step, as if it were nested. A name that comes again in its object drops the
 *     clause of the first time.
 *
 * No recursion: the frames are a list, which depth_max bounds. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "place.h"
#include "plan.h"

struct frame {
    uint32_t clause; /* CLAUSE_ALL of an object, CLAUSE_ANY of an `$or` */
    uint32_t level;  /* below which its names lie */
    uint32_t steps;  /* of the names from the root down to `level` */
    uint64_t count;  /* members or elements so far */
    size_t text_at;
};

/* A name that its object has had: found by its hash. */
struct seen_name {
    uint32_t object; /* the clause */
    uint32_t clause; /* what the name led to */
    uint32_t bytes_at, bytes_len;
    uint32_t next; /* in the chain of its hash; PLAN_NONE: the last */
};

struct parser {
    struct plan *plan;
    struct json_scan *scan;
    struct place *place;
    const struct plan_limits *limits;
    struct buffer frames, seen;
    uint32_t *chains; /* heads of seen names, by hash */
    uint32_t chain_count;
    uint32_t objects; /* open */
};

bool svl__is_operator(svl_slice name)
{
    static const char *const names[] = {
        "prefix",       "suffix",   "numeric", "exists",
        "anything-but", "wildcard", "cidr",    "equals-ignore-case"
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name.len == strlen(names[i]) && memcmp(name.data, names[i], name.len) == 0)
            return true;
    return false;
}

static int fail_in_json(struct parser *p)
{
    struct json_scan *s = p->scan;
    bool too_deep = s->depth >= s->depth_max;
    return svl__place_fail(p->place, too_deep ? SVL_E_LIMIT : SVL_E_PATTERN, s->error_at, "%s",
                           s->error);
}

/* Decodes the scan's text behind the plan's bytes. False: no memory. */
static bool take_text(struct plan *plan, struct json_text text, uint32_t *at, uint32_t *len)
{
    uint8_t *out = buffer_reserve(&plan->bytes, text.len);
    if (!out)
        return false;
    *at = (uint32_t)plan->bytes.len;
    *len = (uint32_t)svl__json_decode(&text, out, text.len);
    plan->bytes.len += *len;
    return true;
}

static uint32_t add_clause(struct plan *plan, uint32_t kind, uint32_t parent, uint32_t field)
{
    uint32_t number = plan_clause_count(plan);
    struct plan_clause *clause = plan_add(&plan->clauses, sizeof *clause);
    if (!clause)
        return PLAN_NONE;
    *clause = (struct plan_clause){ .kind = kind, .parent = parent, .field = field };
    return number;
}

/* The levels of a name that may be dotted. */
static uint32_t add_levels(struct plan *plan, uint32_t parent, uint32_t at, uint32_t len)
{
    for (;;) {
        const uint8_t *name = plan->bytes.data + at;
        const uint8_t *dot = len > 0 ? memchr(name, '.', len) : NULL;
        uint32_t step = dot ? (uint32_t)(dot - name) : len;
        uint32_t number = plan_level_count(plan);
        struct plan_level *level = plan_add(&plan->levels, sizeof *level);
        if (!level)
            return PLAN_NONE;
        *level = (struct plan_level){ .parent = parent, .bytes_at = at, .bytes_len = step };
        if (!dot)
            return number;
        parent = number;
        at += step + 1;
        len -= step + 1;
    }
}

static uint32_t chain_of(const struct parser *p, uint32_t object, const uint8_t *name, uint32_t len)
{
    uint32_t hash = object * UINT32_C(0x9e3779b1) + len;
    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ name[i]) * UINT32_C(0x01000193);
    return (hash ^ hash >> 15) & (p->chain_count - 1);
}

static int grow_chains(struct parser *p)
{
    uint32_t n = p->chain_count ? p->chain_count * 4 : 64;
    uint32_t *chains = svl__malloc(n * sizeof *chains);
    if (!chains)
        return SVL_E_NOMEM;
    svl__free(p->chains);
    p->chains = chains;
    p->chain_count = n;
    memset(chains, 0xff, n * sizeof *chains);
    struct seen_name *seen = (void *)p->seen.data;
    for (uint32_t i = 0; i < p->seen.len / sizeof *seen; i++) {
        uint32_t *chain = &chains[chain_of(
            p, seen[i].object, p->plan->bytes.data + seen[i].bytes_at, seen[i].bytes_len)];
        seen[i].next = *chain;
        *chain = i;
    }
    return SVL_OK;
}

/* Notes that a name of `object` led to `clause`; what it led to before is dropped, with a warning. */
static int note_name(struct parser *p, uint32_t object, uint32_t clause, uint32_t at, uint32_t len,
                     size_t text_at)
{
    uint32_t count = (uint32_t)(p->seen.len / sizeof(struct seen_name));
    if (count >= p->chain_count && grow_chains(p) != SVL_OK)
        return SVL_E_NOMEM;
    const uint8_t *name = p->plan->bytes.data + at;
    uint32_t *chain = &p->chains[chain_of(p, object, name, len)];
    struct seen_name *seen = (void *)p->seen.data;
    for (uint32_t i = *chain; i != PLAN_NONE; i = seen[i].next) {
        if (seen[i].object != object || seen[i].bytes_len != len ||
            memcmp(p->plan->bytes.data + seen[i].bytes_at, name, len) != 0)
            continue;
        plan_clause(p->plan, seen[i].clause)->dropped = 1;
        seen[i].clause = clause;
        svl__place_warn(p->place, text_at, "given twice in one object: the last one counts");
        return SVL_OK;
    }
    struct seen_name *added = plan_add(&p->seen, sizeof *added);
    if (!added)
        return SVL_E_NOMEM;
    *added = (struct seen_name){ object, clause, at, len, *chain };
    *chain = count;
    return SVL_OK;
}

static struct frame *top(const struct parser *p)
{
    return (struct frame *)(void *)(p->frames.data + p->frames.len) - 1;
}

static int push(struct parser *p, uint32_t clause, uint32_t level, uint32_t steps)
{
    bool is_object = plan_clause(p->plan, clause)->kind == CLAUSE_ALL;
    size_t text_at = json_offset(p->scan);
    if (is_object && p->objects == p->limits->depth_max)
        return svl__place_fail(p->place, SVL_E_LIMIT, text_at,
                               "objects inside each other: at most %u levels",
                               p->limits->depth_max);
    struct frame *frame = plan_add(&p->frames, sizeof *frame);
    if (!frame)
        return SVL_E_NOMEM;
    *frame = (struct frame){ .clause = clause, .level = level, .steps = steps, .text_at = text_at };
    p->objects += is_object;
    return SVL_OK;
}

static void pop(struct parser *p)
{
    p->objects -= plan_clause(p->plan, top(p)->clause)->kind == CLAUSE_ALL;
    p->frames.len -= sizeof(struct frame);
}

/* Has this object, behind its JSON_OBJECT, a name that is an operator's? Leaves it. */
static bool has_operator(struct json_scan *s)
{
    while (svl__json_next(s) == JSON_NAME) {
        uint8_t name[32];
        struct json_text rest = s->text;
        size_t len = svl__json_decode(&rest, name, sizeof name);
        if ((rest.len == 0 && svl__is_operator((svl_slice){ name, len })) || !svl__json_skip(s))
            return true;
    }
    return false;
}

/* Is the value at hand that of an `$or`: an array of two or more objects, none of them an operator's? Where
 * it is not, `$or` is a name as any other. */
static bool is_or(struct json_scan s)
{
    uint64_t objects = 0;
    enum json_token token;
    if (svl__json_next(&s) != JSON_ARRAY)
        return false;
    while ((token = svl__json_next(&s)) == JSON_OBJECT) {
        objects++;
        if (has_operator(&s))
            return false;
    }
    /* Bad JSON in it is found, and told, when it is read. */
    return token == JSON_ERROR ? objects > 0 : token == JSON_ARRAY_END && objects >= 2;
}

static uint32_t count_steps(const uint8_t *name, uint32_t len)
{
    uint32_t steps = 1;
    for (uint32_t i = 0; i < len; i++)
        steps += name[i] == '.';
    return steps;
}

/* A name, its value next: a field, an object or an `$or`. */
static int take_member(struct parser *p)
{
    struct plan *plan = p->plan;
    struct frame frame = *top(p);
    struct json_text raw = p->scan->text;
    size_t text_at = json_offset(p->scan);
    uint32_t at, len;
    int rc = svl__place_enter(p->place, (svl_slice){ raw.data, raw.len });
    if (rc != SVL_OK || !take_text(plan, raw, &at, &len))
        return SVL_E_NOMEM;
    bool or = len == 3 && memcmp(plan->bytes.data + at, "$or", 3) == 0 && is_or(*p->scan);
    enum json_token token = svl__json_next(p->scan);
    if (token == JSON_ERROR)
        return fail_in_json(p);
    if (token != JSON_OBJECT && token != JSON_ARRAY)
        return svl__place_fail(
            p->place, SVL_E_PATTERN, json_offset(p->scan),
            "a field is an array of what it may be, [\"a\", \"b\"], or an object "
            "of the fields below it");
    uint32_t steps = frame.steps + (or ? 0 : count_steps(plan->bytes.data + at, len));
    if (steps > p->limits->depth_max)
        return svl__place_fail(p->place, SVL_E_LIMIT, text_at,
                               "names below each other, dots counted: at most %u levels",
                               p->limits->depth_max);
    uint32_t level = or ? frame.level : add_levels(plan, frame.level, at, len);
    uint32_t kind = or ? CLAUSE_ANY : token == JSON_OBJECT ? CLAUSE_ALL : CLAUSE_FIELD;
    uint32_t clause = add_clause(plan, kind, frame.clause, plan_field_count(plan));
    if ((! or &&level == PLAN_NONE) || clause == PLAN_NONE)
        return SVL_E_NOMEM;
    rc = note_name(p, frame.clause, clause, at, len, text_at);
    if (rc == SVL_OK && kind != CLAUSE_FIELD)
        return push(p, clause, level, steps);
    if (rc == SVL_OK)
        rc = svl__plan_leaf(plan, p->scan, level, p->place);
    svl__place_leave(p->place);
    return rc;
}

/* The next name, or the object's end. */
static int step_in_object(struct parser *p)
{
    struct frame *frame = top(p);
    switch (svl__json_next(p->scan)) {
    case JSON_NAME:
        frame->count++;
        return take_member(p);
    case JSON_OBJECT_END:
        if (frame->count == 0)
            return svl__place_fail(p->place, SVL_E_PATTERN, frame->text_at,
                                   "an empty object: name at least one field");
        pop(p);
        if (p->frames.len > 0)
            svl__place_leave(p->place);
        return SVL_OK;
    default:
        return fail_in_json(p);
    }
}

/* The next object of an `$or`, or its end. */
static int step_in_or(struct parser *p)
{
    struct frame *frame = top(p);
    int rc;
    switch (svl__json_next(p->scan)) {
    case JSON_OBJECT:
        rc = svl__place_enter_index(p->place, frame->count++);
        if (rc == SVL_OK) {
            uint32_t level = frame->level, steps = frame->steps;
            uint32_t clause = add_clause(p->plan, CLAUSE_ALL, frame->clause, 0);
            rc = clause == PLAN_NONE ? SVL_E_NOMEM : push(p, clause, level, steps);
        }
        return rc;
    case JSON_ARRAY_END:
        pop(p);
        svl__place_leave(p->place);
        return SVL_OK;
    default:
        return fail_in_json(p);
    }
}

static int check_length(struct parser *p)
{
    struct json_scan skipped = *p->scan;
    if (!svl__json_skip(&skipped))
        return SVL_OK; /* found, and told better, when it is read */
    svl_slice raw = json_raw(&skipped);
    if (raw.len > p->limits->bytes_max)
        return svl__place_fail(p->place, SVL_E_LIMIT, json_offset(&skipped),
                               "a pattern of %zu bytes: at most %u", raw.len, p->limits->bytes_max);
    return SVL_OK;
}

static int parse(struct parser *p)
{
    int rc = check_length(p);
    if (rc != SVL_OK)
        return rc;
    enum json_token token = svl__json_next(p->scan);
    if (token == JSON_ERROR)
        return fail_in_json(p);
    if (token != JSON_OBJECT)
        return svl__place_fail(p->place, SVL_E_PATTERN, json_offset(p->scan),
                               "a pattern is an object: {\"field\": [\"value\"]}");
    uint32_t root = add_clause(p->plan, CLAUSE_ALL, PLAN_NONE, 0);
    rc = root == PLAN_NONE ? SVL_E_NOMEM : push(p, root, PLAN_NONE, 0);
    while (rc == SVL_OK && p->frames.len > 0)
        rc = plan_clause(p->plan, top(p)->clause)->kind == CLAUSE_ALL ? step_in_object(p)
                                                                      : step_in_or(p);
    return rc == SVL_OK ? svl__plan_count(p->plan, p->place) : rc;
}

int svl__plan_parse(struct plan *plan, struct json_scan *scan, const struct plan_limits *limits,
                    struct place *place)
{
    *plan = (struct plan){ .combinations = 0 };
    struct parser p = { .plan = plan, .scan = scan, .place = place, .limits = limits };
    int rc = parse(&p);
    svl__buffer_free(&p.frames);
    svl__buffer_free(&p.seen);
    svl__free(p.chains);
    return rc;
}

void svl__plan_free(struct plan *plan)
{
    svl__buffer_free(&plan->bytes);
    svl__buffer_free(&plan->tests);
    svl__buffer_free(&plan->members);
    svl__buffer_free(&plan->levels);
    svl__buffer_free(&plan->fields);
    svl__buffer_free(&plan->clauses);
}
