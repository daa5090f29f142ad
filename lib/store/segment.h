/* segment - one LMDB environment: a range of record ids, as blocks with their zones and key index.
 *
 *   S1  a segment's blocks lie without a gap from its first id to its watermark.
 *   S2  nothing is ever deleted or overwritten but the meta values: every table is appended to.
 *   S3  the watermark is written in the transaction that wrote the blocks up to it.
 *   S4  the map size is fixed at creation: a full map is SVL_E_FULL, and the caller rolls.
 *   S5  an LMDB read transaction never outlives one call.
 *
 * segment.c opening, creating, checking the file · segment_write.c commits · segment_read.c zones and
 * blocks · segment_index.c key lookup · segment_pages.c what LMDB may walk · keyruns.c the B+tree key index
 * in sorted runs · keyfilter.c their filters · seal.c what ends its values */
#ifndef SVL_STORE_SEGMENT_H
#define SVL_STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "block.h"

enum segment_state { SEGMENT_ACTIVE = 1, SEGMENT_FULL = 2, SEGMENT_SEALED = 3 };

/* A segment as the catalog knows it. */
struct segment_info {
    uint64_t first_id;
    uint64_t last_id; /* watermark; first_id - 1 while empty */
    uint32_t generation;
    uint32_t state; /* SEGMENT_* */
    uint8_t uuid[16];
    uint64_t map_bytes;
    uint64_t blocks;
    uint64_t raw_bytes;    /* wire bytes of its records */
    uint64_t stored_bytes; /* of its blocks */
    int64_t time_min_ns, time_max_ns;
    int64_t ingest_min_ns, ingest_max_ns;
};

/* "<first id, 20 digits>-<generation, 2 digits>.seg" */
#define SEGMENT_NAME_BYTES 32
void svl__segment_name(const struct segment_info *info, char out[SEGMENT_NAME_BYTES]);
/* True, with first id and generation, if `name` is a segment file's. */
bool svl__segment_name_parse(const char *name, uint64_t *first_id, uint32_t *generation);

/* No block was ever committed to the file: by its size, so that it may be torn. */
bool svl__segment_file_is_empty(int directory, const char *name);
/* With its lock file. */
void svl__segment_file_remove(int directory, const char *name);

struct segment_place {
    int directory; /* borrowed for the segment's life */
    mode_t file_mode;
    uint32_t readers_max;
    uint8_t store_uuid[16];
    bool *short_of_space; /* borrowed likewise: of lmdb_env.h */
    bool read_only;       /* another process may write there */
};

struct segment;

/* Creates the file of an empty segment, durable with its name in the directory when it returns; fills
 * info's uuid. A file of that name that the catalog does not name is replaced if it holds no record, a
 * creation that a crash cut off; else SVL_E_CORRUPT. */
int svl__segment_create(const struct segment_place *place, struct segment_info *info,
                        struct segment **out);

/* Opens an existing one for reading and writing. Header, size and identity are checked with pread
 * before the file is mapped, and all pages that LMDB walks to read blocks and zones: SVL_E_CORRUPT (also for ENOENT:
 * "is missing"), SVL_E_VERSION, SVL_E_FOREIGN. The watermark in the file may be above info->last_id (a crash between
 * the two commits): svl__segment_info() has the file's word. */
int svl__segment_open(const struct segment_place *place, const struct segment_info *info,
                      struct segment **out);

/* Blocks that cannot be read and so cannot be indexed: the segment stays readable, and is full. */
size_t svl__segment_lost_blocks(struct segment *segment);

/* Before anything is committed to it: SVL_E_CORRUPT, SVL_E_IO (a page cannot be read) if nothing may be. */
int svl__segment_check_commit(struct segment *segment);

/* Whether pages of its key index were checked; and need not be again, of one that was closed since. */
bool svl__segment_index_is_whole(const struct segment *segment);
void svl__segment_trust_index(struct segment *segment);

/* Another process has committed to it since: what is known of it, and the key sets, again. One thread at a
 * time, beside readers. */
int svl__segment_reload(struct segment *segment);

/* Unmaps and closes. NULL is fine. No other call may be in progress. */
void svl__segment_close(struct segment *segment);

/* A copy of what is known of it, as of its last commit. Any thread. */
void svl__segment_info_get(const struct segment *segment, struct segment_info *info);

/* --- writing: one thread --- */

/* Appends `n` blocks that follow its watermark, with their zones, and, where enough has gathered (256 K
 * records, 8 MiB of keys, or 256 blocks: see keyruns.c) or `finish` is set, sorted runs of the key
 * index, in synced LMDB transactions, of which those before a failure stay: the watermark tells which blocks are in.
 * SVL_E_FULL: the map is full, or a block is lost: roll. SVL_E_NO_SPACE: what is left may be tried again. Any other
 * error of a flush or of the meta page: SVL_E_FAILED for good. svl__segment_check_commit() has said SVL_OK. */
int svl__segment_commit(struct segment *segment, struct block *const *blocks, size_t n,
                        bool finish);

/* svl__lmdb_lagging() of its file; after a commit. */
int svl__segment_lagging(struct segment *segment);

/* What a block takes of a segment's map at most, its part of the key index included. */
uint64_t svl__segment_block_bytes(const struct block *block);

/* --- reading: any thread, beside a commit --- */

/* The zones of blocks that reach into ids [id_min, id_max], ascending or, with `backward`, descending:
 * up to `max` of them, those before a damaged one; SVL_E_CORRUPT if that comes first. */
int svl__segment_zones(struct segment *segment, uint64_t id_min, uint64_t id_max, bool backward,
                       struct zone *zones, size_t max, size_t *n);

/* Where a walk over zones goes on that met a damaged one at `id`: *next is the first id of the zone behind it,
 * UINT64_MAX if there is none; or, backward, the id before its own, 0 if there is none. */
int svl__segment_pass_zone(struct segment *segment, uint64_t id, bool backward, uint64_t *next);

/* Copies the block that starts at `first_id`, which a zone or the index names, into `out` (emptied
 * first). SVL_E_CORRUPT if it is not there. */
int svl__segment_read_block(struct segment *segment, uint64_t first_id, struct buffer *out);

/* The first record ids of the blocks in [id_min, id_max] that hold a key that matches, ascending, each
 * once: appended to `out` as u64. Runs are asked for what they cover, the key sets kept in memory for
 * the blocks above. SVL_E_CORRUPT if a part of the index that it reads is damaged: *is_whole says whether `out` leaves
 * none out all the same. */
int svl__segment_find_keys(struct segment *segment, const struct key_condition *condition,
                           uint64_t id_min, uint64_t id_max, struct buffer *out, bool *is_whole);

/* --- all keys, of a segment that nobody writes to: in groups, which together have each key of each block --- */

/* SVL_E_CORRUPT if not all keys can be told. */
int svl__segment_key_groups(struct segment *segment, uint32_t *groups);
/* Each key of a group to `each`, also before damage is met: SVL_E_CORRUPT, SVL_E_IO. */
int svl__segment_each_key(struct segment *segment, uint32_t group, key_fn *each, void *user);

/* Checks everything: LMDB's pages as far as we can without trusting them, each zone against its block,
 * ids without gap, every checksum, and every key of every block in the index and nothing else there (pages, and
 * that there is nothing else, only where nobody writes). Each key is asked of `filter` as well, unless that is NULL.
 * `is_active`: somebody may write to it. Findings go to `damage`; `progress` gets bytes done of stored_bytes. */
typedef void segment_damage_fn(int32_t code, const char *what, void *user);
typedef int segment_progress_fn(uint64_t bytes, void *user);
struct segment_filter;
int svl__segment_verify(struct segment *segment, const struct segment_filter *filter,
                        bool is_active, segment_damage_fn *damage, segment_progress_fn *progress,
                        void *user);

#endif
