/* condition.c - paths and conditions: each once, counted by those who use it, and entered where a value finds
 * it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "machine.h"
#include "range.h"

uint64_t svl__pattern_hash(uint64_t seed, const void *bytes, size_t len)
{
    return svl__checksum_seeded(bytes, len, seed);
}

struct path *svl__path_child(const struct machine *machine, const struct path *parent,
                             const uint8_t *name, size_t len)
{
    uint64_t hash = name_hash(parent, name, len);
    struct table_probe probe = table_probe(&machine->paths, hash);
    struct path *path;
    while ((path = table_next(&probe)))
        if (path->parent == parent && path->name_len == len && memcmp(path->name, name, len) == 0)
            return path;
    return NULL;
}

static size_t path_size(uint32_t name_len)
{
    return sizeof(struct path) + name_len;
}

struct path *svl__path_acquire(struct machine *machine, struct path *parent, svl_slice name)
{
    struct path *path = svl__path_child(machine, parent, name.data, name.len);
    if (path) {
        path->references++;
        return path;
    }
    path = svl__epoch_allocate(&machine->epoch, path_size((uint32_t)name.len));
    if (!path)
        return NULL;
    path->parent = parent;
    path->hash = name_hash(parent, name.data, name.len);
    path->seed = mixed(path->hash + machine->root->seed);
    path->depth = parent->depth + 1;
    path->references = 1;
    path->name_len = (uint32_t)name.len;
    memcpy(path->name, name.data, name.len);
    if (!svl__table_put(&machine->paths, path->hash, path, &machine->epoch)) {
        svl__epoch_free(&machine->epoch, &path->retired, path_size(path->name_len));
        return NULL;
    }
    parent->references++;
    parent->children++;
    atomic_fetch_or_explicit(&parent->children_filter, path_filter(path->name, name.len),
                             memory_order_relaxed);
    atomic_fetch_or_explicit(&parent->children_first, first_filter(path->name, name.len),
                             memory_order_relaxed);
    return path;
}

void svl__path_release(struct machine *machine, struct path *path)
{
    while (--path->references == 0) {
        struct path *parent = path->parent;
        struct path_trees *trees = atomic_load_explicit(&path->trees, memory_order_relaxed);
        svl__table_remove(&machine->paths, path->hash, path);
        if (--parent->children == 0) {
            atomic_store_explicit(&parent->children_filter, 0, memory_order_relaxed);
            atomic_store_explicit(&parent->children_first, 0, memory_order_relaxed);
        }
        if (trees)
            svl__epoch_retire(&machine->epoch, &trees->retired, sizeof *trees);
        svl__epoch_retire(&machine->epoch, &path->retired, path_size(path->name_len));
        path = parent;
    }
}

struct path_trees *svl__path_trees(struct machine *machine, struct path *path)
{
    struct path_trees *trees = atomic_load_explicit(&path->trees, memory_order_relaxed);
    if (trees)
        return trees;
    trees = svl__epoch_allocate(&machine->epoch, sizeof *trees);
    if (trees)
        atomic_store_explicit(&path->trees, trees, memory_order_release); /* M0: pairs with M1 */
    return trees;
}

/* The tree that a condition stands in; NULL: in none. */
static struct radix *tree_of(struct path_trees *trees, uint32_t kind)
{
    switch ((enum condition_kind)kind) {
    case CONDITION_PREFIX:
        return &trees->prefixes;
    case CONDITION_SUFFIX:
        return &trees->suffixes;
    case CONDITION_FOLDED_PREFIX:
        return &trees->folded_prefixes;
    case CONDITION_FOLDED_SUFFIX:
        return &trees->folded_suffixes;
    case CONDITION_CIDR4:
        return &trees->addresses4;
    case CONDITION_CIDR6:
        return &trees->addresses6;
    case CONDITION_RANGE:
        return &trees->ranges;
    default:
        return NULL;
    }
}

static bool stands_in_tree(uint32_t kind)
{
    return kind == CONDITION_PREFIX || kind == CONDITION_SUFFIX ||
           kind == CONDITION_FOLDED_PREFIX || kind == CONDITION_FOLDED_SUFFIX ||
           kind == CONDITION_CIDR4 || kind == CONDITION_CIDR6 || kind == CONDITION_RANGE;
}

/* The bit strings at which a condition stands in its tree. */
static uint32_t cut(uint32_t kind, svl_slice bytes, struct range_block blocks[RANGE_BLOCKS_MAX])
{
    struct range_bytes range;
    if (kind != CONDITION_RANGE)
        return stands_in_tree(kind) || kind == CONDITION_WILDCARD ? 1 : 0;
    memcpy(&range, bytes.data, sizeof range);
    return svl__range_cut(range.low, range.high, blocks);
}

static uint32_t bits_of(const struct condition *c)
{
    bool is_cidr = c->kind == CONDITION_CIDR4 || c->kind == CONDITION_CIDR6;
    return is_cidr ? c->bytes[c->len - 1] : c->len * 8;
}

static int enter_tree(struct machine *machine, struct condition *c,
                      const struct range_block *blocks)
{
    struct path_trees *trees = svl__path_trees(machine, c->path);
    if (!trees)
        return SVL_E_NOMEM;
    struct radix *tree = tree_of(trees, c->kind);
    struct posting *postings = condition_postings(c);
    for (uint32_t i = 0; i < c->posting_count; i++) {
        bool is_range = c->kind == CONDITION_RANGE;
        postings[i].owner = c;
        if (svl__radix_put(tree, is_range ? blocks[i].bytes : c->bytes,
                           is_range ? blocks[i].bits : bits_of(c), &postings[i], &machine->epoch))
            continue;
        while (i-- > 0)
            svl__radix_remove(tree, &postings[i], &machine->epoch);
        return SVL_E_NOMEM;
    }
    return SVL_OK;
}

static void leave_tree(struct machine *machine, struct condition *c)
{
    struct path_trees *trees = atomic_load_explicit(&c->path->trees, memory_order_relaxed);
    struct radix *tree = tree_of(trees, c->kind);
    for (uint32_t i = 0; i < c->posting_count; i++)
        svl__radix_remove(tree, &condition_postings(c)[i], &machine->epoch);
}

/* Where the path points at a condition itself; NULL: it does not. */
static _Atomic(struct condition *) *place_of(struct path *path, uint32_t kind)
{
    switch ((enum condition_kind)kind) {
    case CONDITION_EXISTS:
        return &path->exists;
    case CONDITION_TRUE:
        return &path->is_true;
    case CONDITION_FALSE:
        return &path->is_false;
    case CONDITION_NULL:
        return &path->is_null;
    default:
        return NULL;
    }
}

static void count_kind(struct path *path, uint32_t kind, uint32_t difference)
{
    path->counts[kind] += difference;
    uint32_t kinds = atomic_load_explicit(&path->kinds, memory_order_relaxed);
    uint32_t bit = UINT32_C(1) << kind;
    atomic_store_explicit(&path->kinds, path->counts[kind] ? kinds | bit : kinds & ~bit,
                          memory_order_relaxed);
}

static size_t condition_size(const struct condition *c)
{
    return sizeof *c + align_up(c->len, _Alignof(struct posting)) +
           c->posting_count * sizeof(struct posting);
}

/* Takes the condition from wherever a value finds it, but for the table. */
static void leave_places(struct machine *machine, struct condition *c)
{
    _Atomic(struct condition *) *place = place_of(c->path, c->kind);
    if (place)
        atomic_store_explicit(place, NULL, memory_order_release);
    if (stands_in_tree(c->kind))
        leave_tree(machine, c);
    if (c->kind == CONDITION_WILDCARD)
        svl__anchor_remove(machine, c);
    count_kind(c->path, c->kind, (uint32_t)-1);
}

static int enter_places(struct machine *machine, struct condition *c,
                        const struct range_block *blocks)
{
    _Atomic(struct condition *) *place = place_of(c->path, c->kind);
    int rc = SVL_OK;
    if (stands_in_tree(c->kind))
        rc = enter_tree(machine, c, blocks);
    if (c->kind == CONDITION_WILDCARD)
        rc = svl__anchor_put(machine, c);
    if (rc != SVL_OK)
        return rc;
    if (place)
        atomic_store_explicit(place, c, memory_order_release); /* M0: pairs with M1 */
    count_kind(c->path, c->kind, 1);
    if (!svl__table_put(&machine->conditions, c->hash, c, &machine->epoch)) {
        leave_places(machine, c);
        return SVL_E_NOMEM;
    }
    return SVL_OK;
}

/* A number is found by its double: what is equal by then is compared as text. */
static uint64_t hash_of(const struct path *path, uint32_t kind, svl_slice bytes)
{
    return value_hash(path, kind, bytes.data,
                      kind == CONDITION_NUMBER ? sizeof(double) : bytes.len);
}

struct condition *svl__condition_find(const struct machine *machine, const struct path *path,
                                      uint32_t kind, svl_slice bytes)
{
    struct table_probe probe = table_probe(&machine->conditions, hash_of(path, kind, bytes));
    struct condition *c;
    while ((c = table_next(&probe)))
        if (c->path == path && c->kind == kind && c->len == bytes.len &&
            memcmp(c->bytes, bytes.data, bytes.len) == 0)
            return c;
    return NULL;
}

struct condition *svl__condition_acquire(struct machine *machine, struct path *path, uint32_t kind,
                                         svl_slice bytes, int *code)
{
    struct range_block blocks[RANGE_BLOCKS_MAX];
    struct condition *c = svl__condition_find(machine, path, kind, bytes);
    *code = SVL_E_NOMEM;
    if (c) {
        c->references++;
        return c;
    }
    struct condition sized = { .len = (uint32_t)bytes.len,
                               .posting_count = cut(kind, bytes, blocks) };
    c = svl__epoch_allocate(&machine->epoch, condition_size(&sized));
    if (!c)
        return NULL;
    c->path = path;
    c->hash = hash_of(path, kind, bytes);
    c->references = 1;
    c->kind = kind;
    c->len = sized.len;
    c->posting_count = sized.posting_count;
    memcpy(c->bytes, bytes.data, bytes.len);
    int rc = enter_places(machine, c, blocks);
    if (rc != SVL_OK) {
        *code = rc;
        /* A reader may have come by a place that it has left again. */
        svl__epoch_retire(&machine->epoch, &c->retired, condition_size(c));
        return NULL;
    }
    path->references++;
    return c;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct condition *const *)a;
    uintptr_t y = (uintptr_t) * (struct condition *const *)b;
    return x < y ? -1 : x > y;
}

static void release_all(struct machine *machine, struct condition *const *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        svl__condition_release(machine, members[i]);
}

/* Sorts the members and drops those that come again; returns how many are left. */
static uint32_t without_repeats(struct machine *machine, struct condition **members, uint32_t count)
{
    uint32_t n = 0;
    qsort(members, count, sizeof members[0], by_address);
    for (uint32_t i = 0; i < count; i++) {
        if (n > 0 && members[n - 1] == members[i])
            svl__condition_release(machine, members[i]);
        else
            members[n++] = members[i];
    }
    return n;
}

struct condition *svl__condition_acquire_of(struct machine *machine, struct path *path,
                                            uint32_t kind, struct condition **members,
                                            uint32_t count, int *code)
{
    struct condition *exists = NULL;
    count = without_repeats(machine, members, count);
    if (kind == CONDITION_SET && count == 1)
        return members[0];
    if (kind == CONDITION_NOT) {
        exists =
            svl__condition_acquire(machine, path, CONDITION_EXISTS, (svl_slice){ "", 0 }, code);
        if (!exists) {
            release_all(machine, members, count);
            return NULL;
        }
    }
    svl_slice bytes = { members, count * sizeof members[0] };
    struct condition *c = svl__condition_acquire(machine, path, kind, bytes, code);
    /* Who comes first brings the references, the next ones have theirs in it. */
    if (!c || c->references > 1) {
        release_all(machine, members, count);
        if (exists)
            svl__condition_release(machine, exists);
    }
    return c;
}

/* What a condition held with it: its members, and the EXISTS of an anything-but. */
static void release_held(struct machine *machine, const struct condition *c)
{
    uint32_t count;
    struct condition *const *members = condition_members(c, &count);
    if (c->kind != CONDITION_SET && c->kind != CONDITION_NOT)
        return;
    release_all(machine, members, count);
    if (c->kind == CONDITION_NOT)
        svl__condition_release(machine,
                               atomic_load_explicit(&c->path->exists, memory_order_relaxed));
}

/* Depth: a set holds anything-buts, and these hold what holds nothing. */
void svl__condition_release(struct machine *machine, struct condition *condition)
{
    if (--condition->references > 0)
        return;
    struct path *path = condition->path;
    svl__table_remove(&machine->conditions, condition->hash, condition);
    leave_places(machine, condition);
    release_held(machine, condition);
    svl__epoch_retire(&machine->epoch, &condition->retired, condition_size(condition));
    svl__path_release(machine, path);
}
