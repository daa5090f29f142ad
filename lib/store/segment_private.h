/* segment_private - struct segment, shared by the segment's files.
 *
 * The file's tables: "blocks" and "zones" (keys: first record id, native u64, MDB_INTEGERKEY; of a zone the value
 * is as in zone.c, with a seal behind it: seal.h), "keys" (keychunk.h), "keyfilters" (keyfilter.h; of before there are
 * segments without) and "meta", whose one entry "segment" is
 *
 *   offset  bytes  what
 *   0       4      format version, 1
 *   4       4      compatible feature flags
 *   8       4      incompatible feature flags
 *   12      4      number of runs in "keys"
 *   16      16     uuid of the segment
 *   32      16     uuid of the store
 *   48      8      first record id
 *   56      8      watermark: last record id, first - 1 while empty
 *   64      8      indexed_to: runs cover the blocks up to this id
 *   72      8      blocks · 80 raw bytes · 88 stored bytes
 *   96      8      time min · 104 time max · 112 ingest min · 120 ingest max
 *   128     8      XXH3-64 of bytes 0 to 127 */
#ifndef SVL_STORE_SEGMENT_PRIVATE_H
#define SVL_STORE_SEGMENT_PRIVATE_H

#include <stdatomic.h>

#include "base/error.h"
#include "keyruns.h"
#include "lmdb_env.h"
#include "seal.h"
#include "segment.h"

#define SEGMENT_VERSION 1
#define SEGMENT_META_BYTES 136
#define SEGMENT_ZONE_BYTES (ZONE_BYTES + SEAL_BYTES)

enum pages_state { PAGES_UNCHECKED, PAGES_WHOLE, PAGES_DAMAGED };

/* What is known of LMDB's pages, as far as one way to use them needs them. */
struct pages {
    _Atomic(enum pages_state) state;
    struct error_words damage;
};

struct segment {
    struct lmdb_env lmdb;
    MDB_dbi blocks, zones, keys, filters, meta;
    bool has_filters;
    uint8_t store_uuid[16];
    uint64_t zones_place, keys_place, filters_place; /* seal.h */
    pthread_mutex_t check_lock; /* while pages are checked; taken before `lock` */
    struct pages index_pages;   /* to ask the key index */
    struct pages commit_pages;  /* to write: all */
    pthread_mutex_t lock;       /* everything below; never held across I/O */
    struct segment_info info;
    uint32_t runs;
    uint64_t indexed_to;
    struct key_set *sets[RUN_BLOCKS + 1]; /* of the blocks above indexed_to that have keys */
    size_t set_count;
    size_t pending_blocks; /* all blocks above indexed_to */
    uint64_t pending_records, pending_key_bytes;
    uint64_t lost
        [RUN_BLOCKS]; /* of these, first ids of those that cannot be read: any key may be there */
    size_t lost_count;
};

/* segment_pages.c: the names of the tables of the key index, NULL at the end. */
extern const char *const svl__index_tables[];

/* Before LMDB walks the key index, or writes anything: the pages that it needs for it are checked by whoever is the
 * first. SVL_E_CORRUPT, with the same words each time, or SVL_E_IO, of a page that cannot be read: it must not. */
int svl__segment_check_index(struct segment *segment);

/* They are checked anew; of a segment that nobody writes to. */
void svl__segment_forget_pages(struct segment *segment);
/* They need not be checked: nobody but us has written them. */
void svl__segment_trust_pages(struct segment *segment);

/* The first `count` runs of its key index, which is checked, as `txn` sees them. */
struct key_runs svl__segment_runs(const struct segment *segment, MDB_txn *txn, uint32_t count);

/* segment_write.c */
void svl__segment_meta_encode(const struct segment *segment, uint8_t out[SEGMENT_META_BYTES]);

#endif
