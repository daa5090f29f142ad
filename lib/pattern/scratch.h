/* scratch - lists and sets that a match needs for its while: they begin in memory of the match's own, on the
 * caller's stack, and move to the heap when an event needs more. */
#ifndef SVL_PATTERN_SCRATCH_H
#define SVL_PATTERN_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
    void *data;
    void *first; /* where it begins */
    uint32_t count, capacity;
};

/* An inline beginning: `memory` is an array. */
#define LIST_IN(memory)                                                                            \
    ((struct list){ (memory), (memory), 0, sizeof(memory) / sizeof((memory)[0]) })

/* Space for `count` of `size` bytes in all; false without memory. */
bool svl__list_reserve(struct list *list, uint32_t count, size_t size);
void svl__list_free(struct list *list);

/* The new last element, not initialized; NULL without memory. */
static inline void *list_add(struct list *list, size_t size)
{
    if (list->count == list->capacity && !svl__list_reserve(list, list->count + 1, size))
        return NULL;
    return (uint8_t *)list->data + size * list->count++;
}

/* Numbers by address. */
struct address_place {
    const void *address;
    uint32_t round; /* of the map: another one is an empty place */
    uint32_t number;
};

#define ADDRESSES_FIRST 32
struct address_map {
    struct address_place *places;
    uint32_t mask, count, round;
    struct address_place first[ADDRESSES_FIRST];
};

/* Makes it empty; the first time and later. */
void svl__addresses_init(struct address_map *map);
void svl__addresses_clear(struct address_map *map);
void svl__addresses_free(struct address_map *map);
/* The number of an address, which is 0 when it is new; NULL without memory. Valid until the next new one. */
uint32_t *svl__addresses_at(struct address_map *map, const void *address);

static inline uint32_t address_hash(const void *address)
{
    return (uint32_t)((uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* The number of an address; 0: it has none. */
static inline uint32_t addresses_get(const struct address_map *map, const void *address)
{
    for (uint32_t at = address_hash(address) & map->mask;; at = (at + 1) & map->mask) {
        const struct address_place *place = &map->places[at];
        if (place->round != map->round)
            return 0;
        if (place->address == address)
            return place->number;
    }
}

#endif
