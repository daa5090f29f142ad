/* machine - many patterns as one structure, in which the cost of a match follows the event and not the number
 * of patterns.
 *
 *     paths          a tree of names: what of an event is looked at, the rest is passed over
 *     conditions     at each path, each once, however many rules ask for it: found from a value by a hash
 *                    (exact), a radix tree (prefix, suffix, block of addresses, range) or a few bytes
 *                    of its text (wildcard)
 *     conjunctions   a tree as well: a node stands for a list of conditions that hold together, its edges add
 *                    one more. Lists are sorted, cheap and rare conditions first, so equal beginnings are
 *                    shared. A rule hangs at the node of its whole list, one with `$or` at several
 *
 *     rule 1: {"a": ["x"], "b": [{"exists": true}]}         root -- a is "x" --> o -- b exists --> o rule 1
 *     rule 2: {"a": ["x"]}                                                        \- rule 2
 *
 * An event gives its values; each is looked up at its path; then from the root, edges are followed whose
 * condition was found. What an edge leads to is looked up by node and condition, so a node with many edges is
 * left by as many look-ups as the event found conditions.
 *
 * condition.c conditions, shared and counted · anchor.c wildcards and what they are found by · lookup.c from a
 * value to its conditions · conjunction.c nodes and edges · machine.c rules · match.c a match · arrays.c,
 * search.c which elements of arrays it may take
 *
 * 1. One thread changes it at a time (its owner's lock), any number match meanwhile: everything here is either
 *    never changed once published, or atomic, or the writer's alone, and freed by epochs (epoch.h).
 * 2. Publishing is one release store (M0), following an acquire load (M1); what is taken out keeps its own
 *    pointers until no reader is left.
 * 3. A rule counts from the time of the clock in `added` until the one in `removed`; its pieces are linked before
 *    the former has come, and unlinked when no reader looks at a time before the latter. So a reader sees all
 *    of a change or nothing of it. */
#ifndef SVL_PATTERN_MACHINE_H
#define SVL_PATTERN_MACHINE_H

#include "epoch.h"
#include "plan.h"
#include "radix.h"
#include "table.h"

#define GRAM_BYTES 4
#define GRAM_FILTER_BITS 4096
#define WILDCARDS_A_PATH_MAX 65536

/* The trees of a path, made when the first condition needs one. */
struct path_trees {
    struct retired retired;
    struct radix prefixes, suffixes, folded_prefixes, folded_suffixes;
    struct radix addresses4, addresses6, ranges;
    _Atomic uint64_t grams_filter[GRAM_FILTER_BITS / 64]; /* bits of gram_filter() of whole grams */
};

struct path {
    struct retired retired;
    struct path *parent;
    uint64_t hash;
    uint64_t seed;                    /* of the hashes of what lies at it and below */
    _Atomic uint64_t children_filter; /* bits of path_filter() of the children's names */
    _Atomic uint64_t children_first;  /* ... of first_filter() */
    _Atomic uint32_t kinds;           /* a bit a kind of condition here */
    _Atomic uint32_t grams;           /* a bit a length of wildcards' grams here */
    _Atomic(struct path_trees *) trees;
    _Atomic(struct condition *) exists, is_true, is_false, is_null;
    uint32_t depth;
    uint32_t references; /* the writer's, as all below */
    uint32_t children;
    uint32_t counts[CONDITION_KINDS]; /* of `kinds` */
    uint32_t gram_counts[GRAM_BYTES]; /* of `grams`: by length less one */
    uint32_t wildcards;
    uint32_t name_len;
    uint8_t name[];
};

struct condition {
    struct retired retired;
    struct path *path;
    uint64_t hash;
    uint32_t references; /* the writer's */
    uint32_t kind;
    uint32_t len; /* of bytes; SET, NOT: they are `struct condition *`, sorted by address */
    uint32_t posting_count; /* behind the bytes */
    _Atomic uint32_t edges; /* that wait for it */
    struct gram *gram;      /* of a wildcard: by which it is found */
    uint8_t bytes[];
};

/* Bytes that stand in the wildcards which are found by them: GRAM_BYTES of them, less only for a wildcard without
 * so many in a row. */
struct gram {
    struct retired retired;
    struct path *path;
    uint64_t hash;
    _Atomic(struct posting *) postings;
    uint32_t wildcards; /* the writer's: how many */
    uint32_t len;
    uint8_t bytes[GRAM_BYTES];
};

struct edge {
    struct node *from, *to;
    struct condition *on;   /* the edge is looked at when this one was found */
    struct condition *test; /* and this one is asked then: a NOT; NULL: no more is to be asked */
    _Atomic(struct edge *) next_out;           /* of those that leave `from` */
    _Atomic(struct edge *) next_same;          /* of those of the same `from` and `on` */
    struct edge *previous_out, *previous_same; /* the writer's */
};

/* A rule, at the end of one of its conjunctions. */
struct rule_end {
    struct rule *rule;
    struct node *node;
    _Atomic(struct rule_end *) next;
    struct rule_end *previous; /* the writer's */
};

struct node {
    struct retired retired;
    struct node *parent;
    struct condition *condition; /* NULL: the root */
    uint64_t hash;
    _Atomic(struct edge *) out;    /* by conditions that are found */
    _Atomic(struct edge *) absent; /* by ABSENT, and sets that hold it */
    _Atomic(struct rule_end *) rules;
    _Atomic uint32_t out_count;
    uint32_t references; /* the writer's: children, and rules that end here */
    uint32_t edge_count; /* that lead here: several where the condition is a set */
    uint32_t depth;      /* conditions from the root */
    struct edge edges[];
};

struct rule {
    struct retired retired;
    uint64_t id;
    uint64_t hash;
    _Atomic uint64_t added, removed; /* times of the clock; UINT64_MAX: not yet */
    struct rule *next_removed;       /* the writer's: among those still to be unlinked */
    uint32_t end_count;
    struct rule_end ends[];
};

struct machine {
    struct epoch epoch;
    struct table paths, conditions, grams, nodes, edges, rules;
    struct path *root;
    struct node *start;
    struct rule *removed_first, *removed_last;
};

/* SVL_OK, SVL_E_NOMEM, or SVL_E_IO: the hashes' seed comes from the system's randomness, so that nobody can
 * make up rules or events whose hashes are equal. */
int svl__machine_init(struct machine *machine);
void svl__machine_destroy(struct machine *machine);

/* Links a plan as rule `id`, which no reader sees before svl__machine_publish(). On failure nothing is left;
 * what is wrong with it is told at `place`, as of byte `offset`. */
int svl__machine_link(struct machine *machine, const struct plan *plan, uint64_t id,
                      struct place *place, size_t offset, struct rule **out);
/* The rules of one change: all appear and disappear at once. What can be freed then, is. */
void svl__machine_publish(struct machine *machine, struct rule *const *added, size_t added_count,
                          struct rule *const *removed, size_t removed_count);
/* Undoes svl__machine_link() before publishing. */
void svl__machine_unlink(struct machine *machine, struct rule *rule);
struct rule *svl__machine_rule(const struct machine *machine, uint64_t id);

/* condition.c: the writer's. A reference is the caller's. NULL: *code says what failed, where there is one, else
 * memory. */
struct path *svl__path_acquire(struct machine *machine, struct path *parent, svl_slice name);
void svl__path_release(struct machine *machine, struct path *path);
struct condition *svl__condition_acquire(struct machine *machine, struct path *path, uint32_t kind,
                                         svl_slice bytes, int *code);
/* One that is there already: for who does not change the machine. NULL: none. */
struct condition *svl__condition_find(const struct machine *machine, const struct path *path,
                                      uint32_t kind, svl_slice bytes);
void svl__condition_release(struct machine *machine, struct condition *condition);
/* A set or an anything-but of members, whose references are taken over, also on failure. */
struct condition *svl__condition_acquire_of(struct machine *machine, struct path *path,
                                            uint32_t kind, struct condition **members,
                                            uint32_t count, int *code);

static inline struct condition **condition_members(const struct condition *c, uint32_t *count)
{
    *count = c->len / (uint32_t)sizeof(struct condition *);
    return (struct condition **)(uintptr_t)c->bytes;
}

static inline struct posting *condition_postings(struct condition *c)
{
    return (struct posting *)(void *)(c->bytes + align_up(c->len, _Alignof(struct posting)));
}

/* anchor.c: the writer's, for conditions of kind WILDCARD. SVL_OK, SVL_E_NOMEM, or, without words,
 * SVL_E_PATTERN_COMPLEX: WILDCARDS_A_PATH_MAX. */
int svl__anchor_put(struct machine *machine, struct condition *condition);
void svl__anchor_remove(struct machine *machine, struct condition *condition);
struct path_trees *svl__path_trees(struct machine *machine, struct path *path);

/* conjunction.c: the writer's. */
struct node *svl__node_acquire(struct machine *machine, struct node *parent,
                               struct condition *condition);
void svl__node_release(struct machine *machine, struct node *node);

/* The hashes that readers and the writer share. */
uint64_t svl__pattern_hash(uint64_t seed, const void *bytes, size_t len);

static inline uint64_t mixed(uint64_t x)
{
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 32;
}

/* What is looked up at a path: conditions and grams by their bytes, kind by kind. */
static inline uint64_t value_hash(const struct path *path, uint32_t kind, const void *bytes,
                                  size_t len)
{
    return svl__pattern_hash(path->seed + kind, bytes, len);
}

static inline uint64_t name_hash(const struct path *parent, const void *name, size_t len)
{
    return svl__pattern_hash(~parent->seed, name, len);
}

static inline uint64_t edge_hash(const struct node *from, const struct condition *on)
{
    return mixed(from->hash ^ mixed(on->hash));
}

/* A bit of a name, of its length and both ends: a name whose bit no child has is no child. */
static inline uint64_t path_filter(const uint8_t *name, size_t len)
{
    unsigned bit = len == 0 ? 0 : (unsigned)(len * 11 + name[0] * 5u + name[len - 1]);
    return UINT64_C(1) << bit % 64;
}

/* A bit of the first byte of a name's first step: a name whose bit no child has leads to none. */
static inline uint64_t first_filter(const uint8_t *name, size_t len)
{
    return len == 0 || name[0] == '.' ? 1 : UINT64_C(2) << name[0] % 63;
}

/* A bit of a whole gram: one whose bit is not set is none. */
static inline uint32_t gram_filter(const uint8_t *bytes)
{
    return (load_u32(bytes) * UINT32_C(0x9e3779b1)) >> 20;
}
_Static_assert(GRAM_BYTES == 4 && GRAM_FILTER_BITS == 1 << 12,
               "gram_filter() has 12 bits of 4 bytes");

/* The child of that name; NULL: none. */
struct path *svl__path_child(const struct machine *machine, const struct path *parent,
                             const uint8_t *name, size_t len);

static inline bool path_has(const struct path *path, uint32_t kind)
{
    uint32_t kinds =
        atomic_load_explicit(&((struct path *)(uintptr_t)path)->kinds, memory_order_relaxed);
    return kinds >> kind & 1;
}

#endif
