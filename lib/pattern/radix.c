/* radix.c - the tree, read by many and changed by one. */
#include "radix.h"

#include <string.h>

static unsigned bit_at(const uint8_t *bytes, uint32_t bit)
{
    return bytes[bit / 8] >> (7 - bit % 8) & 1u;
}

/* Where two strings first differ, from `done` on, which is known to be equal; `bits` where they do not. */
static uint32_t first_difference(const uint8_t *a, const uint8_t *b, uint32_t done, uint32_t bits)
{
    uint32_t byte = done / 8, end = (bits + 7) / 8;
    while (byte < end && a[byte] == b[byte])
        byte++;
    if (byte == end)
        return bits;
    uint32_t bit = byte * 8 + (uint32_t)__builtin_clz((unsigned)(a[byte] ^ b[byte])) - 24;
    return bit < bits ? bit : bits;
}

static bool begins_with(const uint8_t *bytes, const struct radix_node *node, uint32_t done)
{
    uint32_t whole = node->bits / 8, rest = node->bits % 8, from = done / 8;
    if (memcmp(bytes + from, node->bytes + from, whole - from) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ node->bytes[whole]) >> (8 - rest)) == 0;
}

struct posting *svl__radix_next(struct radix_walk *walk)
{
    struct radix_node *node = walk->node;
    while (node && node->bits <= walk->bits && begins_with(walk->bytes, node, walk->done)) {
        struct posting *found =
            atomic_load_explicit(&node->postings, memory_order_acquire); /* X1: with X0 */
        walk->done = node->bits;
        walk->node = NULL;
        if (node->bits < walk->bits)
            walk->node = atomic_load_explicit(&node->child[bit_at(walk->bytes, node->bits)],
                                              memory_order_acquire); /* X1: with X0 */
        if (found)
            return found;
        node = walk->node;
    }
    walk->node = NULL;
    return NULL;
}

/* The writer's side. Its own loads need no order. */

static struct radix_node *child_of(const struct radix_node *node, unsigned which)
{
    return atomic_load_explicit(&((struct radix_node *)(uintptr_t)node)->child[which],
                                memory_order_relaxed);
}

/* The pointer that leads to a node that is, or will be, below `parent`. */
static _Atomic(struct radix_node *) *link_of(struct radix *tree, struct radix_node *parent,
                                             const uint8_t *bytes)
{
    return parent ? &parent->child[bit_at(bytes, parent->bits)] : &tree->root;
}

static size_t node_size(uint32_t bits)
{
    return sizeof(struct radix_node) + (bits + 7) / 8;
}

static struct radix_node *new_node(const uint8_t *bytes, uint32_t bits, struct radix_node *parent,
                                   struct epoch *epoch)
{
    struct radix_node *node = svl__epoch_allocate(epoch, node_size(bits));
    if (!node)
        return NULL;
    node->bits = bits;
    node->parent = parent;
    memcpy(node->bytes, bytes, (bits + 7) / 8);
    if (bits % 8 != 0)
        node->bytes[bits / 8] &= (uint8_t)(0xff << (8 - bits % 8));
    return node;
}

static void publish(_Atomic(struct radix_node *) *link, struct radix_node *node)
{
    atomic_store_explicit(link, node, memory_order_release); /* X0: pairs with X1 */
}

/* A node for these bits above `below`, which begins with them. */
static struct radix_node *put_above(struct radix *tree, struct radix_node *below,
                                    const uint8_t *bytes, uint32_t bits, struct epoch *epoch)
{
    struct radix_node *parent = below->parent;
    struct radix_node *node = new_node(bytes, bits, parent, epoch);
    if (!node)
        return NULL;
    atomic_init(&node->child[bit_at(below->bytes, bits)], below);
    publish(link_of(tree, parent, bytes), node);
    below->parent = node;
    return node;
}

/* Two nodes: one for what `beside` and these bits have in common, and one for these bits. */
static struct radix_node *put_beside(struct radix *tree, struct radix_node *beside,
                                     const uint8_t *bytes, uint32_t bits, uint32_t common,
                                     struct epoch *epoch)
{
    struct radix_node *parent = beside->parent;
    struct radix_node *fork = new_node(bytes, common, parent, epoch);
    if (!fork)
        return NULL;
    struct radix_node *node = new_node(bytes, bits, fork, epoch);
    if (!node) {
        svl__epoch_free(epoch, &fork->retired, node_size(common));
        return NULL;
    }
    atomic_init(&fork->child[bit_at(beside->bytes, common)], beside);
    atomic_init(&fork->child[bit_at(bytes, common)], node);
    publish(link_of(tree, parent, bytes), fork);
    beside->parent = fork;
    return node;
}

/* The node of exactly these bits, made where there is none. */
static struct radix_node *node_for(struct radix *tree, const uint8_t *bytes, uint32_t bits,
                                   struct epoch *epoch)
{
    struct radix_node *parent = NULL;
    struct radix_node *node = atomic_load_explicit(&tree->root, memory_order_relaxed);
    while (node) {
        uint32_t least = node->bits < bits ? node->bits : bits;
        uint32_t common = first_difference(node->bytes, bytes, parent ? parent->bits : 0, least);
        if (common < least)
            return put_beside(tree, node, bytes, bits, common, epoch);
        if (node->bits > bits)
            return put_above(tree, node, bytes, bits, epoch);
        if (node->bits == bits)
            return node;
        parent = node;
        node = child_of(node, bit_at(bytes, node->bits));
    }
    node = new_node(bytes, bits, parent, epoch);
    if (node)
        publish(link_of(tree, parent, bytes), node);
    return node;
}

void svl__posting_put(_Atomic(struct posting *) *first, struct posting *posting)
{
    struct posting *next = atomic_load_explicit(first, memory_order_relaxed);
    posting->previous = NULL;
    atomic_init(&posting->next, next);
    if (next)
        next->previous = posting;
    atomic_store_explicit(first, posting, memory_order_release); /* X0: pairs with X1 */
}

void svl__posting_remove(_Atomic(struct posting *) *first, struct posting *posting)
{
    struct posting *next = atomic_load_explicit(&posting->next, memory_order_relaxed);
    atomic_store_explicit(posting->previous ? &posting->previous->next : first, next,
                          memory_order_release); /* X0: pairs with X1 */
    if (next)
        next->previous = posting->previous;
}

bool svl__radix_put(struct radix *tree, const uint8_t *bytes, uint32_t bits,
                    struct posting *posting, struct epoch *epoch)
{
    struct radix_node *node = node_for(tree, bytes, bits, epoch);
    if (!node)
        return false;
    posting->node = node;
    svl__posting_put(&node->postings, posting);
    return true;
}

/* Invariant 2: without postings and with one child or none, a node goes. */
static struct radix_node *drop_node(struct radix *tree, struct radix_node *node,
                                    struct epoch *epoch)
{
    struct radix_node *parent = node->parent, *left = child_of(node, 0), *right = child_of(node, 1);
    struct radix_node *below = left ? left : right;
    if (atomic_load_explicit(&node->postings, memory_order_relaxed) || (left && right))
        return NULL;
    publish(link_of(tree, parent, node->bytes), below);
    if (below)
        below->parent = parent;
    svl__epoch_retire(epoch, &node->retired, node_size(node->bits));
    return parent;
}

void svl__radix_remove(struct radix *tree, struct posting *posting, struct epoch *epoch)
{
    struct radix_node *node = posting->node;
    svl__posting_remove(&node->postings, posting);
    while (node)
        node = drop_node(tree, node, epoch);
}
