/* plan - a pattern's text taken apart: fields with the tests that they may meet, and how the fields are joined
 * by "and" and "or". What matches is made from it: a machine (machine.h), an explanation (explain.c), the
 * bounds of a query (bounds.c).
 *
 * parse.c objects, names and `$or` · leaf.c what a field may be · expand.c the combinations of `$or` ·
 * place.c where something is wrong
 *
 * Immutable once parsed. */
#ifndef SVL_PATTERN_PLAN_H
#define SVL_PATTERN_PLAN_H

#include <serverlog/pattern.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/json_scan.h"

#define PATTERN_BYTES_MAX_DEFAULT (UINT32_C(64) << 10)
#define PATTERN_DEPTH_MAX_DEFAULT 64
#define COMBINATIONS_MAX 1000
#define COMBINED_FIELDS_MAX 100000 /* of all combinations of a pattern together */
#define PLAN_NONE UINT32_MAX

/* What one condition asks of a field. The order is that in which a conjunction asks: what few events meet
 * comes first. */
enum condition_kind {
    CONDITION_STRING, /* bytes: the characters */
    CONDITION_NUMBER, /* bytes: struct number_bytes */
    CONDITION_FOLDED, /* equals-ignore-case; bytes: folded */
    CONDITION_CIDR4,  /* bytes: the address, masked, and the mask's bits */
    CONDITION_CIDR6,
    CONDITION_SUFFIX, /* bytes: backwards, as of the next but one */
    CONDITION_PREFIX,
    CONDITION_FOLDED_SUFFIX,
    CONDITION_FOLDED_PREFIX,
    CONDITION_WILDCARD, /* bytes: as wildcard.h says */
    CONDITION_NULL,
    CONDITION_TRUE,
    CONDITION_FALSE,
    CONDITION_RANGE,  /* bytes: struct range_bytes */
    CONDITION_SET,    /* one of its members holds */
    CONDITION_NOT,    /* there is a value, and no member holds for it: anything-but */
    CONDITION_EXISTS, /* there is a value */
    CONDITION_ABSENT  /* there is none */
};
#define CONDITION_KINDS (CONDITION_ABSENT + 1)

/* The bytes of a number: the double, and its text behind it. */
struct number_bytes {
    double value;
    uint8_t text[];
};

/* The bytes of a range: the bounds, and their texts behind them. An open bound is the largest double there is,
 * not strict, without a text. */
struct range_bytes {
    double low, high;
    uint32_t low_len, high_len;
    uint32_t low_strict, high_strict; /* the bound itself is outside */
    uint8_t texts[];
};

/* One element of a leaf array, or one of an anything-but. */
struct plan_test {
    uint32_t kind;
    uint32_t bytes_at, bytes_len; /* in the plan's bytes */
    uint32_t first, count;        /* of a NOT: its members in the plan's members */
    uint64_t text_at, text_len;   /* in the pattern's text: the element as it was written */
};

/* One step of a path. */
struct plan_level {
    uint32_t parent;              /* PLAN_NONE: below the root */
    uint32_t bytes_at, bytes_len; /* the name, in the plan's bytes */
};

struct plan_field {
    uint32_t level;
    uint32_t first, count; /* in the plan's tests */
    uint64_t text_at;      /* the leaf array, in the pattern's text */
};

enum clause_kind { CLAUSE_ALL, CLAUSE_ANY, CLAUSE_FIELD };

/* The pattern as a tree: an object is "all of its members", a `$or` "any of its objects". A parent comes before
 * its children; the first clause is the root. */
struct plan_clause {
    uint32_t kind;
    uint32_t parent;
    uint32_t field;        /* of a CLAUSE_FIELD */
    uint32_t dropped;      /* not 0: its name came again */
    uint32_t combinations; /* how many it stands for: at most COMBINATIONS_MAX */
    uint64_t combined;     /* fields of all of them together */
};

struct plan {
    struct buffer bytes, tests, members, levels, fields, clauses;
    uint32_t combinations;
};

struct plan_limits {
    uint32_t bytes_max, depth_max;
};

struct place;

/* Takes one pattern from the scan, which is right before it, and leaves the scan behind it. What is wrong is
 * told at `place`. Codes as svl_pattern_compile(). The plan is whole or empty, and to be freed in any case. */
int svl__plan_parse(struct plan *plan, struct json_scan *scan, const struct plan_limits *limits,
                    struct place *place);
void svl__plan_free(struct plan *plan);

/* expand.c: counts what the clauses stand for; SVL_E_PATTERN_COMPLEX. The last step of parsing. */
int svl__plan_count(struct plan *plan, struct place *place);
/* The fields of combination `number`: into `fields`, which has space for all; `picks` for as many clauses as
 * there are. Returns how many. */
uint32_t svl__plan_combination(const struct plan *plan, uint32_t number, uint32_t *picks,
                               uint32_t *fields);

/* leaf.c: the elements of a leaf array, behind its JSON_ARRAY, as the tests of a new field. */
int svl__plan_leaf(struct plan *plan, struct json_scan *scan, uint32_t level, struct place *place);

/* Is this the name of an operator? */
bool svl__is_operator(svl_slice name);

/* Space for one more of `size` bytes; NULL without memory. */
static inline void *plan_add(struct buffer *list, size_t size)
{
    void *p = buffer_reserve(list, size);
    if (p)
        list->len += size;
    return p;
}

#define PLAN_LIST(name, type)                                                                      \
    static inline type *plan_##name(const struct plan *plan, uint32_t i)                           \
    {                                                                                              \
        return (type *)(void *)plan->name##s.data + i;                                             \
    }                                                                                              \
    static inline uint32_t plan_##name##_count(const struct plan *plan)                            \
    {                                                                                              \
        return (uint32_t)(plan->name##s.len / sizeof(type));                                       \
    }
PLAN_LIST(test, struct plan_test)
PLAN_LIST(member, struct plan_test)
PLAN_LIST(level, struct plan_level)
PLAN_LIST(field, struct plan_field)
PLAN_LIST(clause, struct plan_clause)
#undef PLAN_LIST

static inline svl_slice plan_bytes(const struct plan *plan, uint32_t at, uint32_t len)
{
    return (svl_slice){ plan->bytes.data + at, len };
}

#endif
