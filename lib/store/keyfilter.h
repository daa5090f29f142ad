/* keyfilter - what run of the key index a key may be in: spares the descents into all others.
 *
 * A split block Bloom filter a run (bloom.h). Two to four bytes a key, and a line at least.
 *
 *   F1  a key that is in a run is in its filter. A run that has none, or a damaged one, may have any key.
 *
 *   key     run number, native u64
 *   value   48 zeros, then the lines, of the filter whose number is the run's, at least one (behind the 16 bytes by
 *           which LMDB heads a value of many pages, a line is a cache line) */
#ifndef SVL_STORE_KEYFILTER_H
#define SVL_STORE_KEYFILTER_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "bloom.h"

#define FILTER_HEAD_BYTES 48
#define FILTERS_ASKED_MAX 64

/* The table "keyfilters", as a transaction sees it. */
struct key_filters {
    MDB_txn *txn;
    MDB_dbi table;
    uint64_t place; /* seal.h */
    bool are_there; /* a segment of an older store has no such table */
};

/* A filter in the making: begun for as many keys as there may be, put at the size for those there were. */
struct key_filter_writer {
    const struct key_filters *filters;
    struct bloom bloom; /* without lines: not made */
    uint64_t keys;
};

/* Of at most `keys_max` keys, at least 1; at most RUN_BLOCKS times as many as there are. Returns an error number; to be
 * ended also then. */
int svl__keyfilter_begin(struct key_filter_writer *writer, const struct key_filters *filters,
                         uint64_t keys_max);
/* Each key once. */
void svl__keyfilter_add(struct key_filter_writer *writer, svl_slice key);
/* Puts it as that of `run`, of which at least one key was added. Returns an LMDB code. */
int svl__keyfilter_put(struct key_filter_writer *writer, uint32_t run);
void svl__keyfilter_end(struct key_filter_writer *writer);

/* Of the `n` runs from `first` on, 1 to FILTERS_ASKED_MAX, those that may have the key: bit i of *runs is run first
 * + i. SVL_E_CORRUPT if what it reads is damaged: *runs is right all the same (F1). *code is LMDB's. */
int svl__keyfilters_ask(const struct key_filters *filters, svl_slice key, uint32_t first,
                        uint32_t n, uint64_t *runs, int *code);

/* Checks that each filter is whole, and of one of the `runs`: likewise. That it has all keys of its run is seen by
 * asking for them. */
int svl__keyfilters_check(const struct key_filters *filters, uint32_t runs, int *code);

#endif
