/* dictionary - distinct byte strings of a block under construction, numbered in order of first use. */
#ifndef SVL_STORE_DICTIONARY_H
#define SVL_STORE_DICTIONARY_H

#include <string.h>

#include "base/bytes.h"
#include "record/wire.h"

struct dictionary_entry {
    uint32_t offset; /* in bytes.data */
    uint32_t len;
    uint32_t hash;
};

struct dictionary {
    struct dictionary_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t *slots; /* 1 + number of an entry, 0 = free; a power of two, at most half in use */
    uint32_t slot_count;
    uint32_t last; /* asked for last: most streams repeat themselves */
    uint64_t seed; /* secret: nobody can choose strings that collide */
    struct buffer bytes;
};

/* An empty dictionary needs no memory: zeroed but for the seed. */
void svl__dictionary_free(struct dictionary *dictionary);
/* Forgets all but the first `count` entries; the memory is kept. */
void svl__dictionary_truncate(struct dictionary *dictionary, uint32_t count);

/* The number of `text`, which is copied if it is new. SVL_E_NOMEM: nothing has changed. */
int svl__dictionary_find_or_add(struct dictionary *dictionary, svl_slice text, uint32_t *number);

static inline svl_slice dictionary_at(const struct dictionary *dictionary, uint32_t number)
{
    const struct dictionary_entry *entry = &dictionary->entries[number];
    return (svl_slice){ dictionary->bytes.data + entry->offset, entry->len };
}

static inline int dictionary_number(struct dictionary *dictionary, svl_slice text, uint32_t *number)
{
    if (dictionary->count > 0) {
        svl_slice last = dictionary_at(dictionary, dictionary->last);
        if (last.len == text.len &&
            (text.len == 0 || memcmp(last.data, text.data, text.len) == 0)) {
            *number = dictionary->last;
            return SVL_OK;
        }
    }
    return svl__dictionary_find_or_add(dictionary, text, number);
}

#endif
