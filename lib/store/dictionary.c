/* dictionary.c - a hash table with linear probing over entries that stay in order. */
#include "dictionary.h"

#include "base/alloc.h"
#include "base/checksum.h"

#define ENTRIES_MIN 64

void svl__dictionary_free(struct dictionary *dictionary)
{
    svl__free(dictionary->entries);
    svl__free(dictionary->slots);
    svl__buffer_free(&dictionary->bytes);
    *dictionary = (struct dictionary){ .seed = dictionary->seed };
}

/* The slot where entry `number` is: it is there. */
static uint32_t slot_of(const struct dictionary *dictionary, uint32_t number)
{
    uint32_t slot = dictionary->entries[number].hash & (dictionary->slot_count - 1);
    while (dictionary->slots[slot] != number + 1)
        slot = (slot + 1) & (dictionary->slot_count - 1);
    return slot;
}

void svl__dictionary_truncate(struct dictionary *dictionary, uint32_t count)
{
    if (count == 0 && dictionary->count > dictionary->slot_count / 16) {
        memset(dictionary->slots, 0, dictionary->slot_count * sizeof *dictionary->slots);
        dictionary->count = 0;
    }
    /* Last in, first out: no entry was placed because of one that was added after it. */
    while (dictionary->count > count)
        dictionary->slots[slot_of(dictionary, --dictionary->count)] = 0;
    dictionary->last = 0;
    dictionary->bytes.len =
        count > 0 ? dictionary->entries[count - 1].offset + dictionary->entries[count - 1].len : 0;
}

static void place(struct dictionary *dictionary, uint32_t number)
{
    uint32_t slot = dictionary->entries[number].hash & (dictionary->slot_count - 1);
    while (dictionary->slots[slot] != 0)
        slot = (slot + 1) & (dictionary->slot_count - 1);
    dictionary->slots[slot] = number + 1;
}

static int grow(struct dictionary *dictionary)
{
    uint32_t capacity = dictionary->capacity ? dictionary->capacity * 2 : ENTRIES_MIN;
    uint32_t *slots = svl__calloc((size_t)capacity * 2, sizeof *slots);
    struct dictionary_entry *entries =
        slots ? svl__realloc(dictionary->entries, (size_t)capacity * sizeof *entries) : NULL;
    if (!entries) {
        svl__free(slots);
        return SVL_E_NOMEM;
    }
    svl__free(dictionary->slots);
    dictionary->entries = entries;
    dictionary->slots = slots;
    dictionary->capacity = capacity;
    dictionary->slot_count = capacity * 2;
    for (uint32_t i = 0; i < dictionary->count; i++)
        place(dictionary, i);
    return SVL_OK;
}

static int add(struct dictionary *dictionary, svl_slice text, uint32_t hash)
{
    if (dictionary->count == dictionary->capacity) {
        int rc = grow(dictionary);
        if (rc != SVL_OK)
            return rc;
    }
    /* A byte more than needed: also the empty string has a place. */
    uint8_t *copy = buffer_reserve(&dictionary->bytes, text.len + 1);
    if (!copy) {
        dictionary->bytes.failed = false;
        return SVL_E_NOMEM;
    }
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    uint32_t offset = (uint32_t)dictionary->bytes.len;
    dictionary->bytes.len += text.len;
    dictionary->entries[dictionary->count] =
        (struct dictionary_entry){ offset, (uint32_t)text.len, hash };
    place(dictionary, dictionary->count++);
    return SVL_OK;
}

int svl__dictionary_find_or_add(struct dictionary *dictionary, svl_slice text, uint32_t *number)
{
    uint32_t hash = (uint32_t)svl__checksum_seeded(text.data, text.len, dictionary->seed);
    uint32_t mask = dictionary->slot_count - 1;
    for (uint32_t slot = hash & mask; dictionary->count > 0 && dictionary->slots[slot] != 0;
         slot = (slot + 1) & mask) {
        uint32_t candidate = dictionary->slots[slot] - 1;
        svl_slice known = dictionary_at(dictionary, candidate);
        if (dictionary->entries[candidate].hash == hash && known.len == text.len &&
            (text.len == 0 || memcmp(known.data, text.data, text.len) == 0)) {
            *number = dictionary->last = candidate;
            return SVL_OK;
        }
    }
    int rc = add(dictionary, text, hash);
    if (rc == SVL_OK)
        *number = dictionary->last = dictionary->count - 1;
    return rc;
}
