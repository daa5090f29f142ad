/* radix - bit strings, of which those are found that a given one begins with: a compressed binary tree.
 *
 *     [root "10"] -- 0 -- ["1001"*]            a lookup of 100111... gives "1001", not "11..."
 *               `--- 1 -- ["1011"] -- 0 -- ...
 *
 * One tree serves prefixes, suffixes (backwards), blocks of addresses, and ranges of numbers (range.h).
 *
 * 1. A node holds its whole bit string; its children's begin with it, and differ in the bit behind it.
 * 2. A node without postings has two children; so a lookup passes at most as many nodes as the given string
 *    has bits, and one without a match ends at the first bit that differs.
 * 3. Readers take no lock: a node or posting is whole before one store publishes it (X0, pairs with X1), and
 *    what is taken out is retired, still pointing where it pointed. */
#ifndef SVL_PATTERN_RADIX_H
#define SVL_PATTERN_RADIX_H

#include <stdbool.h>
#include <stddef.h>

#include "epoch.h"

struct radix_node;

/* What stands at a bit string: one of several owners, part of the owner's memory. */
struct posting {
    void *owner;
    _Atomic(struct posting *) next;
    struct posting *previous; /* the writer's */
    struct radix_node *node;  /* the writer's: where it stands */
};

struct radix {
    _Atomic(struct radix_node *) root;
};

struct radix_node {
    struct retired retired;
    struct radix_node *parent; /* the writer's */
    _Atomic(struct radix_node *) child[2];
    _Atomic(struct posting *) postings;
    uint32_t bits;
    uint8_t
        bytes[]; /* the bits, from the highest of the first byte; the rest of the last is zero */
};

/* A lookup, which goes from the shortest to the longest that was found. */
struct radix_walk {
    const uint8_t *bytes;
    uint32_t bits, done;
    struct radix_node *node;
};

static inline struct radix_walk radix_walk(const struct radix *tree, const uint8_t *bytes,
                                           uint32_t bits)
{
    struct radix_node *root = atomic_load_explicit(&((struct radix *)(uintptr_t)tree)->root,
                                                   memory_order_acquire); /* X1: with X0 */
    return (struct radix_walk){ bytes, bits, 0, root };
}

/* The postings of the next bit string that the given one begins with; NULL: no more. */
struct posting *svl__radix_next(struct radix_walk *walk);

static inline struct posting *posting_next(struct posting *posting)
{
    return atomic_load_explicit(&posting->next, memory_order_acquire); /* X1: with X0 */
}

/* The writer's, for lists of postings. */
void svl__posting_put(_Atomic(struct posting *) *first, struct posting *posting);
void svl__posting_remove(_Atomic(struct posting *) *first, struct posting *posting);

/* The writer's. Puts a posting, its owner set: false without memory. */
bool svl__radix_put(struct radix *tree, const uint8_t *bytes, uint32_t bits,
                    struct posting *posting, struct epoch *epoch);
/* Takes a posting out; what the tree no longer needs is retired. */
void svl__radix_remove(struct radix *tree, struct posting *posting, struct epoch *epoch);

#endif
