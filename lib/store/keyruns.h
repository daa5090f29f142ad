/* keyruns - the B+tree key index, written in sorted runs.
 *
 * One random B+tree insert a record costs twenty times the append; so nothing is inserted at random.
 * After 256 blocks, 256 K records or 8 MiB of keys the sorted key sets of these blocks are merged into
 * one run, appended under its own number: packed pages, no page rewritten. A lookup descends once a run,
 * and reads there the one chunk that covers the key (keychunk.h: K1); for one key only where a filter says that it may
 * be (keyfilter.h: F1). */
#ifndef SVL_STORE_KEYRUNS_H
#define SVL_STORE_KEYRUNS_H

#include <errno.h>
#include <lmdb.h>

#include "base/bytes.h"
#include "block.h"
#include "keychunk.h"
#include "keyfilter.h"

#define RUN_RECORDS (256u << 10)
#define RUN_KEY_BYTES (8u << 20)

/* The runs of a segment: the table "keys", as a transaction sees it. */
struct key_runs {
    MDB_txn *txn;
    MDB_dbi table;
    uint64_t place; /* seal.h */
    uint32_t count;
    struct key_filters filters;
};

/* Appends the merge of `n` (at most RUN_BLOCKS) key sets, whose blocks ascend, as run `count`, and its filter. At least
 * one has a key. Returns an LMDB code. */
int svl__keyrun_append(const struct key_runs *runs, struct key_set *const *sets, size_t n);

/* Appends to `out` (u64 each, in no order, perhaps repeated) the first ids of the blocks that the runs
 * name for keys that match. SVL_OK, SVL_E_CORRUPT also for a chunk that is missing, SVL_E_NOMEM; *code is LMDB's.
 * *is_whole: none is left out, also with SVL_E_CORRUPT, of a filter then. */
int svl__keyruns_find(const struct key_runs *runs, const struct key_condition *condition,
                      struct buffer *out, bool *is_whole, int *code);

/* Checks that the table holds the runs and nothing else, each whole and in order: likewise. *ids is how many block ids
 * all keys have, together. Filters are checked by svl__keyfilters_check(). */
int svl__keyruns_check(const struct key_runs *runs, uint64_t *ids, int *code);

/* Each key of the run to `each`, ascending, also before damage is met: likewise. */
int svl__keyrun_each_key(const struct key_runs *runs, uint32_t run, key_fn *each, void *user,
                         int *code);

/* Sorts ascending and drops repetitions. */
void svl__ids_sort_unique(struct buffer *ids);

#endif
