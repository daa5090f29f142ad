/* journal - the durable acknowledgement: batches of records and operations, appended and flushed.
 *
 *   J1  a batch starts at a multiple of 4 KiB and no page is written twice in one life of a file.
 *   J2  a batch is either whole or not there after any crash; its header names its predecessor.
 *   J3  nothing is durable before svl__journal_flush() has returned; what it covered stays.
 *   J4  before the first batch of the next file counts as flushed, the old file has been flushed.
 *   J5  an open starts on a fresh file with a new salt; old files stay until the fresh one, with copies
 *       of what was not proven durable, is itself durable: a crash during recovery starts it again.
 *
 * journal.h the face · journal_format.h the byte table · journal_write.c files, append, flush, recycle
 * · journal_scan.c reading files · journal_recover.c reading back after a crash · journal_live.c reading
 * what another process writes */
#ifndef SVL_STORE_JOURNAL_H
#define SVL_STORE_JOURNAL_H

#include <serverlog/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define JOURNAL_PAGE 4096
#define JOURNAL_RINGS_MAX 64
#define JOURNAL_SECTIONS_MAX 64

/* Up to where of a ring's bytes this batch holds the records. */
struct ring_position {
    uint8_t uuid[16];
    uint64_t position;
};

enum journal_section_kind {
    JOURNAL_WIRE = 1, /* wire records, back to back: `count` of them */
    JOURNAL_BLOCK =
        2, /* one encoded block (block.h): the next `count` records, of the batch's ingest time */
    JOURNAL_OPS = 3 /* operations: opaque to the journal */
};

struct journal_section {
    uint32_t kind;
    uint32_t count; /* records in it; operations in an OPS section */
    const void *data;
    size_t len;
};

/* A batch, as it is written and as recovery hands it back. */
struct journal_batch {
    uint64_t sequence; /* given by svl__journal_write() */
    uint64_t first_id; /* of its first record; the next id if it has none */
    uint64_t count;    /* records in all sections */
    uint64_t last_op;  /* sequence number of its newest operation, or of the last one before it */
    int64_t ingest_ns;
    const struct ring_position *rings;
    uint32_t ring_count;
    uint32_t section_count;
    const struct journal_section *sections;
};

struct journal_options {
    int directory; /* borrowed for the journal's life */
    mode_t file_mode;
    uint64_t file_bytes_first; /* the first file; files double with the load */
    uint64_t file_bytes_max;
    uint8_t store_uuid[16];
    bool live; /* another process writes: nothing is changed, and what is gone is no damage */
};

struct journal;

/* Called for each batch that a crash (or a clean close) left, in order: exactly those of the durable
 * log plus those after it that are whole. Any return but SVL_OK ends the open with it. */
typedef int journal_replay_fn(const struct journal_batch *batch, void *user);

struct journal_recovery {
    uint64_t batches; /* replayed */
    uint64_t copied;  /* of these, copied into the fresh file: not proven durable before */
    uint64_t torn;    /* 1 if the log ended in a torn batch */
    uint64_t files;   /* journal files found */
};

/* Opens the journal of a directory (none: starts one), replays, and makes the fresh file durable
 * before it returns: then every replayed batch is durable. `replay` is called before that, so the
 * caller must show nothing to anyone until this has returned SVL_OK.
 * Where there is none a new one is begun: counts->files is 0.
 * SVL_E_CORRUPT: a batch that was proven durable is damaged; the words name file, offset, sequence. */
int svl__journal_open(const struct journal_options *options, journal_replay_fn *replay, void *user,
                      struct journal_recovery *recovery, struct journal **out);

/* Closes without flushing; the files stay. NULL is fine. */
void svl__journal_close(struct journal *journal);

/* The largest batch that can be written, in bytes of sections (a quarter of a file at its maximum). */
uint64_t svl__journal_batch_bytes_max(const struct journal *journal);

/* Appends a batch: one pwritev; not durable yet. Sets batch->sequence. Takes the next file (recycled
 * or new, prewritten) when this one is full, which flushes the old one. SVL_E_LIMIT: too large.
 * A shortage (is_shortage()): nothing counts as written, the call may be repeated. Any other
 * error: the journal has failed, every later call answers SVL_E_FAILED. One thread at a time. */
int svl__journal_write(struct journal *journal, struct journal_batch *batch);

/* Flushes what was written before the call; *durable is the highest durable sequence. A failed flush is
 * for good: SVL_E_FAILED from then on. May run while another thread is in svl__journal_write(). */
int svl__journal_flush(struct journal *journal, uint64_t *durable);

/* The file that is written to, by its salt, and up to where the log is flushed. */
void svl__journal_position(struct journal *journal, uint64_t *salt, uint64_t *durable_seq);

/* What waits for a commit in so many of the largest files makes one due. */
#define JOURNAL_LIVE_FILES_MAX 4

/* Files whose batches hold only records up to `last_id` and operations up to `last_op`, durable
 * elsewhere, are free to be written over: as many as this call has freed are kept, at least 2, at most those that wait
 * for a commit and one more. Called by the committer; may run beside the other two. */
void svl__journal_recycle(struct journal *journal, uint64_t last_id, uint64_t last_op);

/* Removes the free files: nobody is about to write, or the disk is full. True: there were some. Called by the
 * committer, or when it has ended; may run beside the first two. */
bool svl__journal_trim(struct journal *journal);

/* Bytes in files that cannot be recycled yet, the one being written included: for pressure. */
uint64_t svl__journal_live_bytes(struct journal *journal);

struct journal_stats {
    uint64_t bytes_written;
    uint64_t flushes;
    uint64_t files;
    uint64_t disk_bytes;
    uint64_t free_bytes; /* of these in files that hold nothing, for what comes next */
    int64_t flush_ns_max;
};
void svl__journal_stats_get(struct journal *journal, struct journal_stats *stats);

/* Checks every batch of the files in use: checksum, chain, order. May run beside the other calls.
 * `damage` is told each finding; SVL_E_CORRUPT if there was one. */
typedef void journal_damage_fn(int32_t code, const char *what, void *user);
int svl__journal_verify(struct journal *journal, journal_damage_fn *damage, void *user);

/* True if `name` is one of the journal's files. */
bool svl__journal_owns(const char *name);

#endif
