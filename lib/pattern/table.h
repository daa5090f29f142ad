/* table - pointers found by a hash, by readers that take no lock, while one writer changes them.
 *
 * Open addressing, at most half full. A place is written once: its hash, then (T0) its item. A removed item
 * leaves a mark that is not used again; when marks and items fill the half, the items go into new places, which
 * are published by one pointer (T2), and the old ones are retired. So a reader that found the places (T3) and
 * an item (T1) sees the hash and all that was written into the item before.
 *
 * What an item is, and when two are equal, only the caller knows: it goes through the items of one hash. */
#ifndef SVL_PATTERN_TABLE_H
#define SVL_PATTERN_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "epoch.h"

struct table_place {
    _Atomic uint64_t hash;
    _Atomic(void *) item; /* NULL: free, and was never used */
};

struct table_places {
    struct retired retired;
    size_t mask; /* their number less one, a power of two less one */
    struct table_place places[];
};

struct table {
    _Atomic(struct table_places *) places; /* NULL: nothing was ever put */
    size_t used;                           /* places with items or marks */
    size_t live;                           /* items */
};

/* Goes through the items of one hash. */
struct table_probe {
    const struct table_places *places;
    size_t at;
    uint64_t hash;
};

extern char svl__table_removed; /* its address is the mark */

static inline struct table_probe table_probe(const struct table *table, uint64_t hash)
{
    /* T3: pairs with T2 */
    const struct table_places *places =
        atomic_load_explicit(&((struct table *)(uintptr_t)table)->places, memory_order_acquire);
    return (struct table_probe){ places, places ? (size_t)hash & places->mask : 0, hash };
}

/* The next item, NULL behind the last one. */
static inline void *table_next(struct table_probe *probe)
{
    if (!probe->places)
        return NULL;
    for (;;) {
        struct table_place *place =
            (struct table_place *)(uintptr_t)&probe->places->places[probe->at];
        void *item = atomic_load_explicit(&place->item, memory_order_acquire); /* T1: with T0 */
        if (!item)
            return NULL;
        probe->at = (probe->at + 1) & probe->places->mask;
        if (item != &svl__table_removed &&
            atomic_load_explicit(&place->hash, memory_order_relaxed) == probe->hash)
            return item;
    }
}

/* The writer's. Puts an item: false without memory. */
bool svl__table_put(struct table *table, uint64_t hash, void *item, struct epoch *epoch);
/* Puts another item of the same hash into the place of one that is there. */
void svl__table_replace(struct table *table, uint64_t hash, const void *item, void *by);
void svl__table_remove(struct table *table, uint64_t hash, const void *item);
/* Goes through all items: *at starts as 0. NULL behind the last one. Nothing may be put meanwhile. */
void *svl__table_walk(const struct table *table, size_t *at);
/* Frees the places, items apart: no reader may be in. */
void svl__table_destroy(struct table *table, struct epoch *epoch);

#endif
