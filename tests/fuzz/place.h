/* place.h - a store for the targets whose input is one of its files: always of the same identity, in a directory on
 * tmpfs that is emptied for each input. */
#ifndef TESTS_FUZZ_PLACE_H
#define TESTS_FUZZ_PLACE_H

#include <serverlog.h>
#include <stdint.h>

#include "store/catalog.h"

/* Of the store, and of its segment. */
extern const uint8_t place_uuid[16];

/* The store's directory; and the one that it lies in. */
const char *place_store(void);
const char *place_parent(void);
int place_descriptor(void); /* of the store's directory */

/* The catalog of a store of this identity that names this segment and this ring (NULL: none); `next_id` is the first
 * id that it has not given. Made once, into memory: place_begin() puts it there. */
struct place_catalog {
    uint8_t *data;
    size_t len;
};
void place_catalog_make(struct place_catalog *catalog, const struct segment_info *segment,
                        const struct ring_name *ring, uint64_t next_id);
/* Empties the store's directory but for this catalog. */
void place_begin(const struct place_catalog *catalog);
void place_write(const char *directory, const char *name, const void *data, size_t len);
/* Appends a file's bytes. */
void place_read(const char *directory, const char *name, struct buffer *out);

/* SVL_OK, or an error that a damaged file may bring: else the process ends. */
int place_must_be_said(int rc);

/* What a query gave; the digest is that of the records in their order. */
struct reading {
    uint64_t records, damaged, last_id, digest;
};
/* Ids ascend, and damage is passed. */
void place_query(svl_store *store, const svl_query *query, struct reading *out);

#endif
