/* keyruns - the B+tree key index, written in sorted runs.
 *
 * One random B+tree insert a record costs twenty times the append; so nothing is inserted at random.
 * After 256 blocks, 256 K records or 8 MiB of keys the sorted key sets of these blocks are merged into
 * one run, appended under its own number: packed pages, no page rewritten. A lookup descends once a run.
 *
 *   key    run number (big-endian u32), then the raw key
 *   value  the first record ids of the blocks that hold it: varints, the first as it is, then deltas */
#ifndef SVL_STORE_KEYRUNS_H
#define SVL_STORE_KEYRUNS_H

#include <errno.h>
#include <lmdb.h>

#include "base/bytes.h"
#include "block.h"

#define RUN_BLOCKS 256
#define RUN_RECORDS (256u << 10)
#define RUN_KEY_BYTES (8u << 20)

/* Appends the merge of `n` (at most RUN_BLOCKS) key sets, whose blocks ascend, as run `run`. Returns an
 * LMDB code. */
int svl__keyrun_append(MDB_txn *txn, MDB_dbi table, uint32_t run, struct key_set *const *sets,
                       size_t n);

/* Appends to `out` (u64 each, in no order, perhaps repeated) the first ids of the blocks that runs 0 to
 * runs - 1 name for keys that match. SVL_OK, SVL_E_CORRUPT, SVL_E_NOMEM; *code is LMDB's. */
int svl__keyruns_find(MDB_txn *txn, MDB_dbi table, uint32_t runs,
                      const struct key_condition *condition, struct buffer *out, int *code);

/* How many block ids all entries of the table name, together: likewise. */
int svl__keyruns_count(MDB_txn *txn, MDB_dbi table, uint64_t *ids, int *code);

/* Sorts ascending and drops repetitions. */
void svl__ids_sort_unique(struct buffer *ids);

#endif
