/* serverlog/store.h - the durable log, alone or a pipeline's.
 *
 *     svl_store *store;
 *     int rc = svl_store_open("app.log", NULL, &store);
 *
 * Know before use:
 *   - one writing process for a path: a second gets SVL_E_BUSY; others read along with
 *     SVL_STORE_READ_ONLY, and see a record as soon as it is durable;
 *   - a record is visible only once it is durable;
 *   - after a failed flush the store takes nothing more (SVL_E_FAILED): close it, open it again;
 *   - a local file system: on a network one open answers SVL_E_FILE_SYSTEM;
 *   - with SVL_THREADLESS it starts no thread: what is due of a flush, blocks and a commit is done by the calls
 *     that write, and a cursor that follows waits for another thread that writes. */
#ifndef SERVERLOG_STORE_H
#define SERVERLOG_STORE_H

#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_store svl_store;
typedef struct svl_cursor svl_cursor;
typedef struct svl_record_buffer svl_record_buffer;

/* svl_store_options.flags */
enum svl_store_flag {
    SVL_STORE_NO_CREATE = 1,       /* a path without a store is an error, SVL_E_NOT_FOUND */
    SVL_STORE_ANY_FILE_SYSTEM = 2, /* insist on a file system that is not known to be safe */
    SVL_STORE_READ_ONLY = 4        /* reads a store that another process may write meanwhile */
};

/* svl_store_options.codec: how blocks are compressed. */
enum svl_codec {
    SVL_CODEC_DEFAULT = 0, /* the best one built in: zstd, else LZ4, else none */
    SVL_CODEC_NONE = 1,
    SVL_CODEC_LZ4 = 2,
    SVL_CODEC_ZSTD = 3
};

typedef struct svl_store_options {
    uint32_t struct_size;      /* set by svl_store_options_init() */
    uint32_t flags;            /* SVL_STORE_*, SVL_THREADLESS */
    uint32_t file_mode;        /* 0600; of new files; directories get x where r is. At most 0666 */
    uint32_t codec;            /* SVL_CODEC_* */
    uint32_t record_bytes_max; /* 1 MiB; 256 to an eighth of journal_file_bytes_max and of
                                  segment_bytes, at most 32 MiB */
    uint32_t sync_interval_ms; /* 20; 1 to 60,000: longest wait of a record for its flush */
    uint32_t commit_age_ms;    /* 60,000; 10 to 3,600,000: records move to LMDB at this age */
    uint32_t readers_max;      /* 1,024; 8 to 65,536: LMDB's reader table */
    uint64_t commit_bytes;     /* 4 MiB; 64 KiB to 256 MiB of encoded blocks: then a commit */
    uint64_t tail_bytes;       /* 12 MiB; 1 MiB to 1 GiB in memory: then a commit; twice: wait */
    uint64_t journal_file_bytes_max; /* 16 MiB; 256 KiB to 1 GiB: journal files double up to this;
                                        when four wait for a commit, a commit, and
                                        up to five free ones are kept */
    uint64_t segment_bytes;          /* 256 MiB; 8 MiB to 16 GiB: map size of a segment */
    uint64_t block_bytes; /* 256 KiB; 4 KiB to 4 MiB, at most an eighth of segment_bytes: of records
                             in a block, uncompressed */
    uint64_t retain_bytes_max;   /* 0 = no limit; else at least 8 segment_bytes: of disk space,
                                    free journal files aside */
    uint64_t retain_records_max; /* 0 = no limit */
    uint64_t retain_age_ms_max;  /* 0 = no limit; by ingest time */
    svl_log_fn *log;             /* NULL = none */
    void *log_user;
} svl_store_options;

/* svl_query.key_kind */
enum svl_key_kind {
    SVL_KEY_ANY = 0,    /* no condition */
    SVL_KEY_EXACT = 1,  /* key == key_low */
    SVL_KEY_PREFIX = 2, /* key starts with key_low */
    SVL_KEY_RANGE = 3 /* key_low <= key < key_high, bytewise; an empty key_high is no bound. Records
                           without a key match no condition on keys */
};

/* svl_query.flags */
enum svl_query_flag {
    SVL_QUERY_BACKWARD = 1, /* newest first; goes with neither of the others */
    SVL_QUERY_FOLLOW = 2,   /* behind the newest record: goes on with what becomes durable */
    SVL_QUERY_TAIL = 4      /* starts with the last `tail` records that match, oldest first */
};

/* What to find: all conditions must hold. All zero (but struct_size) finds every record. */
typedef struct svl_query {
    uint32_t struct_size;  /* set by svl_query_init() */
    uint32_t flags;        /* SVL_QUERY_* */
    uint64_t id_min;       /* inclusive */
    uint64_t id_max;       /* inclusive; 0 = no bound */
    int64_t time_min_ns;   /* inclusive; 0 = no bound */
    int64_t time_max_ns;   /* exclusive; 0 = no bound */
    uint32_t severity_min; /* 0 = all */
    uint32_t key_kind;     /* SVL_KEY_* */
    svl_slice key_low;     /* with a key_kind */
    svl_slice key_high;    /* of SVL_KEY_RANGE */
    svl_slice source;      /* empty = all; else equal */
    svl_slice type;        /* empty = all; else equal */
    const char *pattern;   /* NULL = all; else JSON, in the language of serverlog-patterns(7) */
    uint64_t limit;        /* records at most; 0 = no limit */
    uint64_t tail;         /* with SVL_QUERY_TAIL; 0: starts behind the newest record */
} svl_query;

/* What a cursor has done so far: counts. */
typedef struct svl_cursor_explanation {
    uint32_t struct_size; /* set by the caller: sizeof */
    uint32_t reserved;
    uint64_t segments; /* segments in the snapshot that are not past the cursor's id range */
    uint64_t segments_skipped;    /* left out by their times, or the filter of their keys */
    uint64_t blocks;              /* blocks considered */
    uint64_t blocks_skipped_zone; /* left out by time or severity without being read */
    uint64_t blocks_skipped_key;  /* left out by the key index without being read */
    uint64_t blocks_decoded;      /* read, columns decoded */
    uint64_t chunks_decoded;      /* body chunks decompressed */
    uint64_t records_examined;    /* records whose columns were looked at */
    uint64_t records_returned;
} svl_cursor_explanation;

typedef struct svl_store_stats {
    uint32_t struct_size; /* set by the caller: sizeof */
    uint32_t failed;      /* 1 after fail-stop */
    uint64_t records;     /* visible now */
    uint64_t first_id;    /* oldest kept, 0 if empty */
    uint64_t last_id;     /* newest durable one, 0 if empty */
    uint64_t bytes_in;    /* wire bytes taken since open */
    uint64_t records_in;  /* records taken since open */
    uint64_t disk_bytes;  /* allocated by all files of the store */
    uint64_t segments;
    uint64_t journal_bytes_written; /* since open */
    uint64_t segment_bytes_written; /* since open: encoded blocks and key runs */
    uint64_t flushes;               /* journal flushes since open */
    uint64_t commits;               /* to segment and catalog, since open */
    uint64_t tail_bytes;            /* in memory now */
    uint64_t recovered_records;     /* taken from the journal at open */
    uint64_t retired_records;       /* by retention since open */
    uint64_t retired_bytes;
    uint64_t disk_full_waits; /* times that writing paused for a full disk */
    uint64_t damaged;  /* times since open that a damaged block, zone, key index or file was met */
    uint64_t appended; /* by svl_store_append(), of records_in */
    uint64_t clock_records; /* that tell of a step of the clock, of records_in */
} svl_store_stats;

/* One finding of svl_store_verify(): `what` names the file and the place. Borrowed until it returns. */
typedef void svl_damage_fn(int32_t code, const char *what, void *user);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE  a NULL, or a size that no version had
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_store_options_init(svl_store_options *options, size_t size);

/* Fills `query` with zeros (every record) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE  a NULL, or a size that no version had
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_query_init(svl_query *query, size_t size);

/* Opens the store in directory `path`, and creates it where there is none; what a crash left in the
 * journal is recovered first. With SVL_STORE_READ_ONLY it creates and changes nothing: it shows what the
 * process that writes there has made durable, or, without one, what the files prove to be. Each query
 * looks anew; one that follows is woken by the writer.
 *
 * Result     *out is the store
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION  the arguments
 *            SVL_E_CODEC        the codec of the options is not built in
 *            SVL_E_BUSY         another process writes there; or this process has it open, however
 *            SVL_E_PATH         not a directory, a symbolic link, not the caller's, or nowhere to make it
 *            SVL_E_NOT_FOUND    no store there, and SVL_STORE_NO_CREATE or SVL_STORE_READ_ONLY
 *            SVL_E_FOREIGN      the directory holds other files
 *            SVL_E_VERSION      written by a newer version
 *            SVL_E_CORRUPT      damaged: the text names file and place
 *            SVL_E_FILE_SYSTEM  a network file system
 *            SVL_E_ACCESS       no permission; a reader also needs to write the lock files of LMDB's
 *                               readers, and to be in the PID namespace of the writer
 *            SVL_E_NO_SPACE, SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE
 * Ownership  *out is owned: svl_store_close(). path and options are copied
 * Thread     any thread
 * Blocks     on disk reads and flushes */
SVL_EXPORT int svl_store_open(const char *path, const svl_store_options *options, svl_store **out);

/* Makes what was appended durable and frees the store. A pipeline's store is closed by svl_close().
 *
 * Result     SVL_OK also for NULL
 * Errors     SVL_E_INVALID  a pipeline's store: nothing is closed
 *            SVL_E_DEADLOCK  inside a callback of this store: nothing is closed
 *            SVL_E_FAILED, SVL_E_IO, SVL_E_NO_SPACE  closed, but something was not made durable
 *            SVL_E_FORKED   in a child: nothing is done, the parent is undisturbed
 * Ownership  the handle is consumed; cursors stay valid and are closed by their owners. Until the last
 *            of them is closed the path stays held: opening it again answers SVL_E_BUSY
 * Thread     one thread at a time, and no other call may be in progress
 * Blocks     on a flush and a commit */
SVL_EXPORT int svl_store_close(svl_store *store);

/* Appends `n` records as one durable batch: after a crash all or none of them are there. On a pipeline's
 * store too: past the ring and the ingest handlers.
 *
 * Result     *first_id (may be NULL) is the first record's id, 0 if `n` is 0; the others follow without a
 *            gap
 * Errors     SVL_E_INVALID, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES,
 *            SVL_E_RECORD_SIZE, SVL_E_RESERVED, SVL_E_UTF8  a record breaks a limit: nothing is stored
 *            SVL_E_LIMIT     the batch is larger than a quarter of a journal file
 *            SVL_E_FAILED    the store is in fail-stop: the batch may be there after opening again
 *            SVL_E_NO_SPACE  the disk is full: nothing is stored
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_NOMEM, SVL_E_RESOURCE, SVL_E_CLOSED, SVL_E_READ_ONLY, SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread
 * Blocks     on a flush, shared with all who wait at the time; on a pipeline's store that finds the disk
 *            full, until there is space if records of its ring have come in behind the batch meanwhile */
SVL_EXPORT int svl_store_append(svl_store *store, const svl_record *records, size_t n,
                                uint64_t *first_id);

/* Waits until all that was appended before is durable.
 *
 * Result     SVL_OK
 * Errors     SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_INVALID, SVL_E_TIMEOUT, SVL_E_FAILED, SVL_E_READ_ONLY, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     on a flush, timeout_ms at most (-1 = without end) */
SVL_EXPORT int svl_store_flush(svl_store *store, int64_t timeout_ms);

/* Moves all durable records into their LMDB segment now, instead of at commit_bytes or commit_age_ms.
 *
 * Result     SVL_OK
 * Errors     SVL_E_TIMEOUT   not committed yet; a full disk is waited for
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_INVALID, SVL_E_FAILED, SVL_E_READ_ONLY, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     on flushes, timeout_ms at most (-1 = without end) */
SVL_EXPORT int svl_store_commit(svl_store *store, int64_t timeout_ms);

/* Reads one record by its id.
 *
 * Result     *out holds a copy of the record
 * Errors     SVL_E_NOT_FOUND  never given, not durable yet, or retired
 *            SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_CODEC  its block or segment is damaged,
 *                             missing, or not readable here: the text names it
 *            SVL_E_ACCESS, SVL_E_PATH  the file of its segment may not be read, or is a link or no regular file
 *            SVL_E_INVALID, SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE, SVL_E_FORKED
 * Ownership  *out is owned: svl_record_buffer_destroy()
 * Thread     any thread
 * Blocks     on disk reads */
SVL_EXPORT int svl_store_get(svl_store *store, uint64_t id, svl_record_buffer **out);

/* The record in a buffer.
 *
 * Result     the record, NULL for NULL
 * Errors     none
 * Ownership  borrowed until the buffer is destroyed
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT const svl_record *svl_record_buffer_record(const svl_record_buffer *buffer);

/* Frees a buffer. NULL is fine.
 *
 * Result     none
 * Errors     none
 * Ownership  the buffer is consumed
 * Thread     one thread at a time
 * Blocks     no */
SVL_EXPORT void svl_record_buffer_destroy(svl_record_buffer *buffer);

/* Opens a cursor on what is durable now: a consistent snapshot, in id order. NULL finds everything. With
 * SVL_QUERY_FOLLOW it goes on from there with what becomes durable: every record that matches, once, in
 * order; while it waits it holds nothing.
 *
 * What every match of a pattern has as its time, severity, source, type or key is asked of columns and indexes
 * first, as if it stood in the query; bodies are read only for a pattern that names them, and of records that have
 * met all else of it.
 *
 * Result     *out stands before its first record
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_KEY_TOO_LONG  the query
 *            SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX, SVL_E_LIMIT  its pattern, as svl_pattern_compile():
 *                           svl_last_error() says where and why
 *            SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  *out is owned: svl_cursor_close(). The query is copied
 * Thread     any thread
 * Blocks     on disk reads */
SVL_EXPORT int svl_store_query(svl_store *store, const svl_query *query, svl_cursor **out);

/* Moves to the next record. Only a cursor that follows waits, up to `timeout_ms`; for others it has no
 * meaning.
 *
 * Result     *record is the record
 * Errors     SVL_E_END      no more records: behind the snapshot, id_max or limit
 *            SVL_E_TIMEOUT  following: nothing that matches came in time
 *            SVL_E_AGAIN    following: svl_store_wake() was called, or svl_wake()
 *            SVL_E_CLOSED   following: the store was closed or its pipeline stopped, and everything
 *                           was seen
 *            SVL_E_FAILED   following: the store is in fail-stop, and everything was seen
 *            SVL_E_DEADLOCK  following, inside an ingest callback, and timeout_ms is not 0
 *            SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_CODEC  a block or segment is damaged,
 *                           missing, or not readable here: the text names it; the next call goes on
 *                           after it. Of a damaged key index no record is lost: the next call goes on
 *                           with all blocks of its segment
 *            SVL_E_LIMIT    of a record svl_pattern_match_record() cannot tell whether the pattern matches it:
 *                           the text names it; the next call goes on after it
 *            SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE  the cursor stops here: it answers the same again
 *            SVL_E_ACCESS, SVL_E_PATH  likewise: the file of a segment may not be read, or is a link or no regular file
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  *record and all it points to are borrowed until the next call on this cursor
 * Thread     one thread at a time; the store may be written meanwhile
 * Blocks     on disk reads; following: up to timeout_ms */
SVL_EXPORT int svl_cursor_next(svl_cursor *cursor, int64_t timeout_ms, const svl_record **record);

/* Moves on by up to `max` records, those that one block has at hand: at least one.
 *
 * Result     *records is an array of *n records
 * Errors     as svl_cursor_next()
 * Ownership  the array is borrowed until the next call on this cursor
 * Thread     one thread at a time; the store may be written meanwhile
 * Blocks     as svl_cursor_next() */
SVL_EXPORT int svl_cursor_next_many(svl_cursor *cursor, int64_t timeout_ms, size_t max,
                                    const svl_record **records, size_t *n);

/* What retention took before this cursor came to it: ids from the query's id_min on (0: nothing is told of what went
 * before the query), or from where it had followed to. The records handed out last lie behind it. Gaps that were not
 * asked for are told as one, from the first id to the last.
 *
 * Result     *first_id and *last_id, inclusive; 0 and 0: nothing since the last call. Not for backward
 *            cursors, which end there
 * Errors     SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     one thread at a time
 * Blocks     no */
SVL_EXPORT int svl_cursor_gap(svl_cursor *cursor, uint64_t *first_id, uint64_t *last_id);

/* Ends the wait of every cursor that follows: the one going on now or else the next, with SVL_E_AGAIN. So
 * a thread that set a flag and then calls this is not missed.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_store_wake(svl_store *store);

/* What the cursor has read and skipped so far.
 *
 * Result     *explanation is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 * Ownership  the caller's memory
 * Thread     one thread at a time
 * Blocks     no */
SVL_EXPORT int svl_cursor_explain(const svl_cursor *cursor, svl_cursor_explanation *explanation);

/* Closes a cursor. NULL is fine. May be called after the store was closed.
 *
 * Result     none
 * Errors     none
 * Ownership  the handle is consumed, and what it lent
 * Thread     one thread at a time
 * Blocks     no */
SVL_EXPORT void svl_cursor_close(svl_cursor *cursor);

/* Applies the retention limits of the options now: whole segments, oldest first, never the active one.
 * The store does this by itself after each commit.
 *
 * Result     *records_retired (may be NULL) is how many records went
 * Errors     SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_INVALID, SVL_E_FAILED, SVL_E_IO, SVL_E_NO_SPACE, SVL_E_NOMEM, SVL_E_READ_ONLY, SVL_E_FORKED
 * Ownership  nothing changes hands; open cursors keep what they read
 * Thread     any thread
 * Blocks     on a catalog commit */
SVL_EXPORT int svl_store_retain(svl_store *store, uint64_t *records_retired);

/* Reads everything that the store holds at the call and checks it: every checksum, order, count and index entry; where
 * another process writes it, catalog and segments, and of the journal what was not read yet. Goes on after damage.
 * `damage` and `progress` may be NULL; progress counts bytes. A link, a file with a second one, or what is no regular
 * file where a segment's should be is a finding of SVL_E_PATH.
 *
 * Result     SVL_OK: no damage
 * Errors     what `progress` returned, if not SVL_OK
 *            SVL_E_CORRUPT   damage was found: each finding went to `damage`
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_ACCESS    the file of a segment may not be read; or read-only, and its writer is in another PID
 *                            namespace
 *            SVL_E_INVALID, SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread; the store may be written meanwhile
 * Blocks     on disk reads */
SVL_EXPORT int svl_store_verify(svl_store *store, svl_damage_fn *damage, svl_progress_fn *progress,
                                void *user);

/* Counts and sizes.
 *
 * Result     *stats is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 *            SVL_E_ACCESS, SVL_E_CORRUPT, SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE  where another process writes
 *                           the store: it looks what is durable, as a query does
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     while the catalog is committed or segments are removed, and where another process writes the store on
 *            disk reads; disk_bytes asks the file system once a file */
SVL_EXPORT int svl_store_stats_get(svl_store *store, svl_store_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
