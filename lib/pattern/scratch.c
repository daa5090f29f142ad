/* scratch.c - growing, and starting again. */
#include "scratch.h"

#include <string.h>

#include "base/alloc.h"

bool svl__list_reserve(struct list *list, uint32_t count, size_t size)
{
    uint32_t capacity = list->capacity < 16 ? 16 : list->capacity;
    size_t bytes;
    if (count <= list->capacity)
        return true;
    while (capacity < count)
        if (__builtin_mul_overflow(capacity, 2, &capacity))
            capacity = UINT32_MAX;
    if (__builtin_mul_overflow((size_t)capacity, size, &bytes))
        return false;
    void *grown = svl__realloc(list->data == list->first ? NULL : list->data, bytes);
    if (!grown)
        return false;
    if (list->data == list->first && list->count > 0)
        memcpy(grown, list->data, list->count * size);
    list->data = grown;
    list->capacity = capacity;
    return true;
}

void svl__list_free(struct list *list)
{
    if (list->data != list->first)
        svl__free(list->data);
}

void svl__addresses_init(struct address_map *map)
{
    memset(map->first, 0, sizeof map->first);
    map->places = map->first;
    map->mask = ADDRESSES_FIRST - 1;
    map->count = 0;
    map->round = 1;
}

/* A round more: what is in the places is of the past. */
void svl__addresses_clear(struct address_map *map)
{
    map->count = 0;
    if (++map->round == 0) {
        memset(map->places, 0, ((size_t)map->mask + 1) * sizeof map->places[0]);
        map->round = 1;
    }
}

void svl__addresses_free(struct address_map *map)
{
    if (map->places != map->first)
        svl__free(map->places);
}

static struct address_place *place_of(struct address_map *map, const void *address)
{
    uint32_t at = address_hash(address) & map->mask;
    while (map->places[at].round == map->round && map->places[at].address != address)
        at = (at + 1) & map->mask;
    return &map->places[at];
}

static bool grow(struct address_map *map)
{
    struct address_map grown = *map;
    grown.mask = map->mask * 2 + 1;
    grown.places = svl__calloc((size_t)grown.mask + 1, sizeof grown.places[0]);
    grown.round = 1;
    if (!grown.places)
        return false;
    for (uint32_t i = 0; i <= map->mask; i++) {
        if (map->places[i].round != map->round)
            continue;
        struct address_place *place = place_of(&grown, map->places[i].address);
        *place = map->places[i];
        place->round = grown.round;
    }
    svl__addresses_free(map);
    map->places = grown.places;
    map->mask = grown.mask;
    map->round = grown.round;
    return true;
}

uint32_t *svl__addresses_at(struct address_map *map, const void *address)
{
    struct address_place *place = place_of(map, address);
    if (place->round == map->round)
        return &place->number;
    if (2 * (map->count + 1) > map->mask + 1) {
        if (!grow(map))
            return NULL;
        place = place_of(map, address);
    }
    map->count++;
    *place = (struct address_place){ .address = address, .round = map->round };
    return &place->number;
}
