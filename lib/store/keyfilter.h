/* keyfilter - what run of the key index a key may be in: spares the descents into all others.
 *
 * A split block Bloom filter a run (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007;
 * after Apache Parquet's, with seven words of 64 bits). A line of it fits a cache line and has a seal of its own, so
 * that a question reads one line and trusts no other. Two to four bytes a key, and a line at least; of some 500 keys
 * that a run does not have one may seem to be there.
 *
 *   F1  a key that is in a run is in its filter. A run that has none, or a damaged one, may have any key.
 *
 *   key     run number, native u64
 *   value   48 zeros, then lines of 64 bytes, at least one (behind the 16 bytes by which LMDB heads a value of many
 *           pages, a line is a cache line); a line:
 *             0   56   seven words, u64
 *             56  8    seal: XXH3-64 of the words, seeded with that of {run, number of lines, number of this one; u64
 *                      each}, seeded with the place (seal.h)
 *
 * A key's hash is its XXH3-64 seeded with the place: its lowest 42 bits name a bit of each word, six for each from the
 * first on; the 22 above, times the number of lines, shifted down by 22, are the line. */
#ifndef SVL_STORE_KEYFILTER_H
#define SVL_STORE_KEYFILTER_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include <serverlog/types.h>

#define FILTER_HEAD_BYTES 48
#define FILTER_LINE_BYTES 64
#define FILTER_LINE_KEYS 32
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
    uint8_t *lines; /* NULL: not made */
    uint64_t line_count, keys;
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
