/* table.c - the writer's side. */
#include "table.h"

#define PLACES_MIN 16

char svl__table_removed;

static struct table_places *places_of(const struct table *table)
{
    return atomic_load_explicit(&((struct table *)(uintptr_t)table)->places, memory_order_relaxed);
}

static size_t size_of(const struct table_places *places)
{
    return sizeof *places + (places->mask + 1) * sizeof places->places[0];
}

static void put_into(struct table_places *places, uint64_t hash, void *item)
{
    size_t at = (size_t)hash & places->mask;
    while (atomic_load_explicit(&places->places[at].item, memory_order_relaxed))
        at = (at + 1) & places->mask;
    atomic_store_explicit(&places->places[at].hash, hash, memory_order_relaxed);
    atomic_store_explicit(&places->places[at].item, item, memory_order_release); /* T0: with T1 */
}

/* New places for twice what is live, and one more. */
static bool make_room(struct table *table, struct epoch *epoch)
{
    struct table_places *old = places_of(table);
    size_t n = PLACES_MIN, bytes;
    while (n < 4 * (table->live + 1))
        n *= 2;
    if (__builtin_mul_overflow(n, sizeof old->places[0], &bytes))
        return false;
    struct table_places *places = svl__epoch_allocate(epoch, sizeof *places + bytes);
    if (!places)
        return false;
    places->mask = n - 1;
    for (size_t i = 0; old && i <= old->mask; i++) {
        void *item = atomic_load_explicit(&old->places[i].item, memory_order_relaxed);
        if (item && item != &svl__table_removed)
            put_into(places, atomic_load_explicit(&old->places[i].hash, memory_order_relaxed),
                     item);
    }
    atomic_store_explicit(&table->places, places, memory_order_release); /* T2: pairs with T3 */
    table->used = table->live;
    if (old)
        svl__epoch_retire(epoch, &old->retired, size_of(old));
    return true;
}

bool svl__table_put(struct table *table, uint64_t hash, void *item, struct epoch *epoch)
{
    struct table_places *places = places_of(table);
    if ((!places || 2 * (table->used + 1) > places->mask + 1) && !make_room(table, epoch))
        return false;
    put_into(places_of(table), hash, item);
    table->used++;
    table->live++;
    return true;
}

void svl__table_replace(struct table *table, uint64_t hash, const void *item, void *by)
{
    struct table_places *places = places_of(table);
    size_t at = (size_t)hash & places->mask;
    while (atomic_load_explicit(&places->places[at].item, memory_order_relaxed) != item)
        at = (at + 1) & places->mask;
    atomic_store_explicit(&places->places[at].item, by, memory_order_release); /* T0: with T1 */
}

void svl__table_remove(struct table *table, uint64_t hash, const void *item)
{
    svl__table_replace(table, hash, item, &svl__table_removed);
    table->live--;
}

void *svl__table_walk(const struct table *table, size_t *at)
{
    struct table_places *places = places_of(table);
    while (places && *at <= places->mask) {
        void *item = atomic_load_explicit(&places->places[(*at)++].item, memory_order_relaxed);
        if (item && item != &svl__table_removed)
            return item;
    }
    return NULL;
}

void svl__table_destroy(struct table *table, struct epoch *epoch)
{
    struct table_places *places = places_of(table);
    if (places)
        svl__epoch_free(epoch, &places->retired, size_of(places));
}
