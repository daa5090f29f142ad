/* catalog - the truth about what exists: a small LMDB environment of its own.
 *
 *   C1  a segment exists when the catalog says so; its file is made durable before.
 *   C2  one change is one synced transaction: all of it or nothing.
 *   C3  readers copy what they need and hold no transaction.
 *
 * One unnamed table, keys with a one-byte prefix (a named one costs its own root path a commit). */
#ifndef SVL_STORE_CATALOG_H
#define SVL_STORE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "segment.h"

/* A crash ring that may hold records: its file is in `directory` (NUL-terminated, at most 255 bytes). */
struct ring_name {
    char directory[256];
    char name[64];
    bool made; /* the file was there: one that is missing has been removed by somebody */
};

/* The store's constant and slowly changing numbers. */
struct catalog_state {
    uint8_t store_uuid[16];
    uint64_t next_id_floor;   /* ids below were given */
    uint64_t retention_floor; /* ids below were retired */
    uint64_t watermark;       /* last record id that segments hold */
    uint64_t last_op;         /* last operation applied to the values below */
    int64_t ingest_last_ns;   /* newest ingest time given */
};

struct catalog_options {
    int directory; /* borrowed for the catalog's life */
    mode_t file_mode;
    uint32_t readers_max;
    bool read_only; /* another process may write it */
};

struct catalog;

/* Creates the environment of a new store, durable when it returns, with a new uuid. The file gets its
 * name only when it is whole: a crash leaves either no catalog or an empty one. */
int svl__catalog_create(const struct catalog_options *options);

/* Opens it: SVL_E_NOT_FOUND (no words) if there is none; SVL_E_CORRUPT, SVL_E_VERSION. Size and meta
 * pages are checked with pread before the file is mapped. */
int svl__catalog_open(const struct catalog_options *options, struct catalog **out);
void svl__catalog_close(struct catalog *catalog); /* NULL is fine */

void svl__catalog_state_get(struct catalog *catalog, struct catalog_state *state);

/* Reads state and segments anew, in one transaction: for who reads what another process writes. */
int svl__catalog_reload(struct catalog *catalog, struct catalog_state *state,
                        struct segment_info **segments, size_t *n);

/* All segments, ascending by first id: an array of *n, freed with svl__free(). */
int svl__catalog_segments(struct catalog *catalog, struct segment_info **out, size_t *n);

/* All crash rings: likewise. */
int svl__catalog_rings(struct catalog *catalog, struct ring_name **out, size_t *n);

/* A value put by an operation: appended to `out`. SVL_E_NOT_FOUND (no words). */
int svl__catalog_value(struct catalog *catalog, svl_slice key, struct buffer *out);

/* A change, put together and then committed or dropped. One thread at a time. */
struct catalog_change;
int svl__catalog_begin(struct catalog *catalog, struct catalog_change **out);
int svl__catalog_put_segment(struct catalog_change *change, const struct segment_info *info);
int svl__catalog_remove_segment(struct catalog_change *change, const struct segment_info *info);
int svl__catalog_put_ring(struct catalog_change *change, const struct ring_name *ring);
int svl__catalog_remove_ring(struct catalog_change *change, const struct ring_name *ring);
/* An operation's effect: an empty value with NULL data deletes. Key 1 to 480 bytes. */
int svl__catalog_put_value(struct catalog_change *change, svl_slice key, svl_slice value);
int svl__catalog_put_state(struct catalog_change *change, const struct catalog_state *state);
/* Ends the change in any case. SVL_E_NO_SPACE: nothing changed, may be tried again as a new change. A
 * failed flush: SVL_E_FAILED for good. */
int svl__catalog_commit(struct catalog_change *change);
void svl__catalog_abort(struct catalog_change *change);
/* svl__lmdb_lagging() of its file; after a commit, by one thread. */
int svl__catalog_lagging(struct catalog *catalog);

/* Checks every entry: names, ranges in order and without overlap, sizes. */
typedef void catalog_damage_fn(int32_t code, const char *what, void *user);
int svl__catalog_verify(struct catalog *catalog, catalog_damage_fn *damage, void *user);

/* True if `name` is one of the catalog's files. */
bool svl__catalog_owns(const char *name);

#endif
