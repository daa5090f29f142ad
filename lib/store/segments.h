/* segments - the set of a store's segments: which exist, which are open, who still reads them.
 *
 *   G1  an entry lives while the catalog names its segment or somebody holds it.
 *   G2  a retired segment's file is removed when its last holder lets go.
 *   G3  at most SEGMENTS_OPEN_MAX idle segments stay open: the least recently used is closed. Once nobody uses them are
 *       closed: one that has become full, as LMDB keeps what its commits wrote as memory; one that was only opened to
 *       make its filter.
 *
 * Any thread; its own lock. */
#ifndef SVL_STORE_SEGMENTS_H
#define SVL_STORE_SEGMENTS_H

#include <pthread.h>

#include "base/error.h"
#include "segment.h"

#define SEGMENTS_OPEN_MAX 64

struct segment_entry;

struct segment_set {
    pthread_mutex_t lock;
    struct segment_place place;
    bool short_of_space;
    struct segment_entry **entries; /* ascending; each held once by the set */
    size_t count, capacity;
    struct segment_entry *idle_newest, *idle_oldest; /* open, in use by nobody */
    size_t open_count;
    /* of who makes filters: at work on that of `making`; NULL: on none */
    struct filter_maker *maker;
    struct segment_info making;
    int64_t not_made_told_ns;
    const struct log_sink *log;
};

int svl__segments_init(struct segment_set *set, const struct segment_place *place,
                       const struct log_sink *log);
/* Closes everything; nobody may hold an entry any more. */
void svl__segments_free(struct segment_set *set);

/* All memory that adding a segment takes: what the catalog names must be added, so it is got before.
 * `opened` (may be NULL) is its open handle. One thread prepares and adds; svl__free() undoes it. */
int svl__segments_prepare(struct segment_set *set, const struct segment_info *info,
                          struct segment *opened, struct segment_entry **out);
/* Adds the segment behind all others; its handle is taken over. */
void svl__segments_add(struct segment_set *set, struct segment_entry *entry);
/* Takes a segment out of the set; its file goes with the last holder. */
void svl__segments_retire(struct segment_set *set, uint64_t first_id);

/* The set becomes what another process' catalog says: `infos`, ascending. Nothing is removed from the
 * disk. SVL_E_NOMEM: the set is as it was. */
int svl__segments_replace(struct segment_set *set, const struct segment_info *infos, size_t n);
/* The catalog names it no more. */
bool svl__segment_is_retired(struct segment_set *set, const struct segment_entry *entry);

void svl__segments_update(struct segment_set *set, const struct segment_info *info);
size_t svl__segments_count(struct segment_set *set);

/* The entries that reach into [id_min, id_max], held, ascending: an array of *n to svl__free() after
 * each was released. */
int svl__segments_hold(struct segment_set *set, uint64_t id_min, uint64_t id_max,
                       struct segment_entry ***out, size_t *n);
/* The newest one, held; NULL if there is none. */
struct segment_entry *svl__segments_hold_last(struct segment_set *set);
void svl__segment_entry_release(struct segment_set *set, struct segment_entry *entry);
void svl__segment_entry_info(struct segment_set *set, struct segment_entry *entry,
                             struct segment_info *info);

/* Of `n` held entries those that may have the key, at the front, in their order; the others are let go of. Returns how
 * many are left. *damaged: so many filters were found to be damaged, and their segments kept. */
size_t svl__segments_sift(struct segment_set *set, svl_slice key, struct segment_entry **entries,
                          size_t n, size_t *damaged);

/* It was found to be damaged: it is asked no more, and may be made again. */
void svl__segments_filter_damaged(struct segment_set *set, struct segment_entry *entry);

/* A step towards the filter of one full segment that has none, the newest. SVL_OK: there may be more to do; SVL_E_END:
 * there is not; a shortage: later. The log is told where one cannot be made: then its segment is asked instead. One
 * thread, of the process that writes. */
int svl__segments_make_filter(struct segment_set *set);

/* Opens the segment if it is not (or reads again what another process has added) and keeps it open until
 * svl__segment_unuse(). */
int svl__segment_use(struct segment_set *set, struct segment_entry *entry, struct segment **out);
void svl__segment_unuse(struct segment_set *set, struct segment_entry *entry);

#endif
