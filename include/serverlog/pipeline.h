/* serverlog/pipeline.h - the whole way of a record, wired: publish, ingest handlers, store, stored
 * handlers.
 *
 *     svl_pipeline *log;
 *     if (svl_open("app.log", NULL, &log) != SVL_OK) ...
 *     svl_on_stored(log, ...);
 *     svl_start(log);
 *     svl_publish_text(log, SVL_SEVERITY_INFO, "app", "started");
 *     svl_close(log);
 *
 * Know before use:
 *   - register handlers between svl_open() and svl_start(): the records that a crash left in the ring
 *     go through them at start; publishing before it answers SVL_E_STATE;
 *   - a published record survives the death of the process at once (crash ring), and power loss when it
 *     is flushed: within sync_interval_ms, or when svl_flush() or svl_publish_sync() has returned;
 *   - a host that is an event loop opens with SVL_THREADLESS and calls svl_pump(): then no thread is started,
 *     handlers are called there, and SVL_FULL_BLOCK acts as SVL_FULL_FAIL;
 *   - open after fork(), not before. */
#ifndef SERVERLOG_PIPELINE_H
#define SERVERLOG_PIPELINE_H

#include <serverlog/handler.h>
#include <serverlog/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* svl_options.flags */
enum svl_pipeline_flag {
    SVL_PIPELINE_PRIVATE_RING = 1 /* no crash ring: records not flushed are lost with the process */
};

typedef struct svl_options {
    uint32_t struct_size;           /* set by svl_options_init() */
    uint32_t flags;                 /* SVL_PIPELINE_*, SVL_THREADLESS */
    const svl_store_options *store; /* NULL = all defaults */
    uint64_t ring_bytes; /* 8 MiB; 64 KiB to 1 GiB, a power of two; at least 8 record_bytes_max (the
                            default grows with it; for 64 KiB set that to 8 KiB). A published record
                            takes at most an eighth of it, 16 bytes of its own included */
    const char *ring_directory; /* "/dev/shm"; no tmpfs there: a private ring, and logged */
    uint32_t full_policy;       /* SVL_FULL_* */
    uint32_t block_timeout_ms;  /* 10,000; 1 to 3,600,000 */
    uint32_t ingest_emit_max;   /* 1,000; 1 to 100,000: records added for one */
    uint32_t close_timeout_ms;  /* 10,000; 1 to 3,600,000 */
    uint32_t workers_max;       /* 4; 1 to 256: threads for stored handlers, started when needed */
    uint32_t worker_idle_ms;    /* 5,000; 10 to 3,600,000: then an idle worker ends */
} svl_options;

/* Nothing goes unaccounted for. After svl_stop(), when it returned SVL_OK,
 *
 *     published + ring_recovered + attached_records + emitted + dead_letters + resolved + gap_records
 *         = dropped_ingest + ring_damaged
 *           + records_in - appended - clock_records of svl_store_stats, of the same pipeline's store
 *
 * while no svl_store_append() is under way. Of this process's calls those that gave SVL_E_FULL are refused_full; the
 * records that a call took, also those with SVL_E_DROPPED or SVL_E_TIMEOUT, are published + dropped_full. */
typedef struct svl_pipeline_stats {
    uint32_t struct_size;        /* set by the caller: sizeof */
    uint32_t ring_is_crash_safe; /* 1: a published record survives the process; 0: private memory */
    uint64_t ring_bytes;
    uint64_t ring_used_bytes;
    uint64_t ring_high_water_bytes;
    uint64_t published;       /* records drained from the ring since open */
    uint64_t refused_full;    /* publishes that got SVL_E_FULL */
    uint64_t dropped_full;    /* dropped by SVL_FULL_DROP_NEW since open */
    uint64_t dropped_ingest;  /* dropped by ingest handlers */
    uint64_t ingest_failures; /* calls that failed: the record was stored as it came */
    uint64_t emitted;         /* added by ingest and stored handlers */
    uint64_t ring_recovered;  /* records that a crash had left in the ring */
    uint64_t ring_unfinished; /* records half-written at a crash, skipped */
    uint64_t ring_missing;    /* crash rings that were gone at open: a reboot, or a cleaned tmpfs */
    uint64_t stalled_claims;  /* records being written for more than a second */
    uint64_t workers;         /* threads now */
    uint64_t dead_letters;    /* written for records that stored handlers gave up */
    uint64_t dropped_stored;  /* given up by stored handlers without one */
    uint64_t attached_publishers; /* rings of other processes now, also those that dead ones left */
    uint64_t attached_records;    /* records taken from them since open */
    uint64_t attached_refused;    /* records of theirs that broke a limit */
    uint64_t attached_damaged;    /* rings of theirs that are damaged or gone */
    uint64_t unprocessed;         /* stored with SVL_RECORD_UNPROCESSED */
    uint64_t suspects;            /* batches or records in a callback at a crash: to run alone */
    uint64_t resolved;            /* written for dead letters delivered again and settled */
    uint64_t gap_records;         /* written for what SVL_FULL_DROP_NEW dropped, in any process */
    uint64_t ring_damaged;        /* taken from a ring, but no record to be stored: skipped */
} svl_pipeline_stats;

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_options_init(svl_options *options, size_t size);

/* Opens a pipeline on the store in directory `path`, created where there is none.
 *
 * Result     *out is the pipeline, not started yet
 * Errors     as svl_store_open()
 * Ownership  *out is owned: svl_close(). path and options are copied
 * Thread     any thread
 * Blocks     on disk reads and flushes */
SVL_EXPORT int svl_open(const char *path, const svl_options *options, svl_pipeline **out);

/* Starts: hands the records that a crash left in the ring through the ingest handlers to the store,
 * then takes new ones. Those that were in a callback when the process died run alone: see svl_on_ingest().
 * A crash ring that another process uses is left to it, and the log told so: the store is a copy.
 *
 * Result     SVL_OK
 * Errors     SVL_E_STATE     started before
 *            SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_ACCESS, SVL_E_PATH  a crash ring that
 *                            is none, or not ours: named, left as it is
 *            SVL_E_RECORD_SIZE  a crash ring holds a record above record_bytes_max: open with more
 *            SVL_E_NO_SPACE, SVL_E_TIMEOUT  the disk is full, or takes nothing: what was in a crash
 *                            ring is stored once and in order whenever it can be: call again, or close
 *            SVL_E_NOMEM     nothing is lost: call again, or close
 *            SVL_E_RESOURCE  no threads, or no descriptors
 *            SVL_E_LIMIT     the catalog is full
 *            SVL_E_DEADLOCK  inside a callback
 *            SVL_E_INVALID, SVL_E_FAILED, SVL_E_IO, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     one thread at a time
 * Blocks     while recovered records are written; on a disk that takes nothing, and for a crash ring
 *            that another process uses, close_timeout_ms at most (a second at least) */
SVL_EXPORT int svl_start(svl_pipeline *pipeline);

/* Stops: refuses new records, wakes blocked publishers, drains and flushes what was published, hands
 * it to the stored handlers, waits for their callbacks. What waits for another attempt, is deferred or
 * paused is not waited for: it comes at the next start. May be repeated. Queries go on working; cursors
 * that follow end when they have seen everything.
 *
 * Result     SVL_OK
 * Errors     SVL_E_TIMEOUT   not all of this was done yet: call again, or close
 *            SVL_E_DEADLOCK  inside a callback: nothing is changed
 *            SVL_E_FAILED    something was not made durable
 *            SVL_E_NOMEM     not all positions of stored handlers were written: call again, or what they
 *                            have done comes again at the next start
 *            SVL_E_STATE     never started
 *            SVL_E_BUSY      with SVL_THREADLESS: another thread pumps
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     timeout_ms at most (-1 = without end); with SVL_THREADLESS also in callbacks: it calls them */
SVL_EXPORT int svl_stop(svl_pipeline *pipeline, int64_t timeout_ms);

/* Does a step of all work of a pipeline with SVL_THREADLESS, on this thread: takes records from the rings, its
 * own and those of attached processes, through the ingest handlers; writes, flushes, encodes and commits what
 * is due of it; calls the stored handlers that have something to do, one batch each; writes their positions.
 * Takes `max_records` of each ring at most; 0 = as many as make a round, 1,024 of its own, 256 of another
 * process'. Waits only when there is nothing of this to do.
 *
 *     while (svl_pump(log, 0, 0, NULL) == SVL_OK)
 *         ;                                          everything that can be done now is done
 *
 * Result     SVL_OK: something was done, and there may be more. *drained (may be NULL) is how many records were
 *            taken from the rings
 * Errors     SVL_E_TIMEOUT   there was nothing to do in time
 *            SVL_E_AGAIN     svl_wake() was called
 *            SVL_E_CLOSED    after svl_stop()
 *            SVL_E_BUSY      another thread pumps, or is in svl_flush(), svl_publish_sync() or svl_stop()
 *            SVL_E_DEADLOCK  inside a callback
 *            SVL_E_STATE     before svl_start(), or the pipeline was opened without SVL_THREADLESS
 *            SVL_E_FAILED    the store is in fail-stop
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     one thread at a time, it need not be the same
 * Blocks     on something to do, timeout_ms at most (0 = never, -1 = without end); on the disk; in callbacks */
SVL_EXPORT int svl_pump(svl_pipeline *pipeline, size_t max_records, int64_t timeout_ms,
                        size_t *drained);

/* When svl_pump() has something to do: for hosts that cannot poll a descriptor. It is what is known at the call:
 * nothing wakes a host that sleeps until then when another thread publishes, or another process by svl_attach().
 * So call svl_pump() at least as often as those are to be heard, or poll svl_pump_fd().
 *
 * Result     *deadline_ns is 0: now; INT64_MAX: not before something is published; else when CLOCK_MONOTONIC
 *            comes to it: a flush, a commit, a retry, a window, a position to write
 * Errors     SVL_E_BUSY, SVL_E_DEADLOCK, SVL_E_STATE, SVL_E_INVALID, SVL_E_FORKED  as svl_pump()
 * Ownership  the caller's memory
 * Thread     one thread at a time, as svl_pump()
 * Blocks     no */
SVL_EXPORT int svl_next_deadline_ns(svl_pipeline *pipeline, int64_t *deadline_ns);

/* A descriptor for an event loop: readable as long as svl_pump() would not wait, deadlines included. It is to be
 * polled (select, poll, epoll, level-triggered), never read; svl_pump() makes it quiet. Where another thread did
 * the work meanwhile it may be readable for nothing: then svl_pump() answers SVL_E_TIMEOUT.
 *
 * Result     *fd; the same at each call
 * Errors     SVL_E_STATE  the pipeline was opened without SVL_THREADLESS
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  *fd is borrowed until svl_close()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pump_fd(svl_pipeline *pipeline, int *fd);

/* Ends the wait of every cursor that follows this pipeline's store, as svl_store_wake(), of every
 * svl_consumer_poll(), in the same way, and of svl_pump(): the one going on now, or else the next.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_wake(svl_pipeline *pipeline);

/* Stops within close_timeout_ms and frees the pipeline. NULL is fine.
 *
 * Result     SVL_OK: all that was published is durable
 * Errors     SVL_E_TIMEOUT   closed, but not all was done in time: what is not stored stays in the crash
 *                            ring, what was not handed out comes at the next start. A callback that
 *                            still runs keeps what it uses, the store's lock too, until it returns
 *            SVL_E_DEADLOCK  inside a callback: nothing is closed
 *            SVL_E_BUSY      with SVL_THREADLESS: another thread pumps; nothing is closed
 *            SVL_E_FAILED, SVL_E_IO, SVL_E_NO_SPACE, SVL_E_NOMEM  closed, but something was not made
 *                            durable
 *            SVL_E_FORKED    in a child: nothing is done, the parent is undisturbed
 * Ownership  the handle is consumed, with its subscriptions and its store, except after
 *            SVL_E_DEADLOCK and SVL_E_BUSY; cursors stay valid
 * Thread     one thread at a time, and no other call may be in progress
 * Blocks     close_timeout_ms (a second at least), and a commit; with SVL_THREADLESS also in callbacks, as
 *            svl_stop() */
SVL_EXPORT int svl_close(svl_pipeline *pipeline);

/* Publishes a record.
 *
 * Result     SVL_OK: it is in the ring, safe against the death of the process where the ring is a
 *            crash ring
 * Errors     SVL_E_INVALID, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES,
 *            SVL_E_RECORD_SIZE, SVL_E_RESERVED, SVL_E_UTF8  the record breaks a limit
 *            SVL_E_FULL    no space, by the policy
 *            SVL_E_STATE   before svl_start()
 *            SVL_E_CLOSED  after svl_stop()
 *            SVL_E_FAILED  the store is in fail-stop
 *            SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread, lock-free: no lock, no allocation
 * Blocks     only with SVL_FULL_BLOCK and a full ring: block_timeout_ms at most. Never inside a
 *            callback */
SVL_EXPORT int svl_publish(svl_pipeline *pipeline, const svl_record *record);

/* Publishes from a signal handler: async-signal-safe. Not with SVL_FULL_BLOCK, as nobody may wait there.
 * svl_last_error() and errno stay as they were.
 *
 * Result     as svl_publish()
 * Errors     SVL_E_OPTION  the pipeline's full_policy is SVL_FULL_BLOCK; and those of svl_publish()
 * Ownership  copied
 * Thread     any thread, also in a signal handler, whatever it interrupted
 * Blocks     no */
SVL_EXPORT int svl_publish_signal(svl_pipeline *pipeline, const svl_record *record);

/* Publishes a text with the time of the call: svl_publish() for the plainest record. `source` may be
 * NULL: no source.
 *
 * Result     as svl_publish()
 * Errors     as svl_publish()
 * Ownership  copied
 * Thread     any thread, lock-free
 * Blocks     as svl_publish() */
SVL_EXPORT int svl_publish_text(svl_pipeline *pipeline, uint32_t severity, const char *source,
                                const char *text);

/* Publishes `n` records in order; stops at the first that is refused.
 *
 * Result     *published (may be NULL) is how many were taken, also after a failure
 * Errors     as svl_publish(), of the first record that was refused
 * Ownership  copied
 * Thread     any thread, lock-free
 * Blocks     as svl_publish(), for each record */
SVL_EXPORT int svl_publish_many(svl_pipeline *pipeline, const svl_record *records, size_t n,
                                size_t *published);

/* Publishes a record and waits until it is durable.
 *
 * Result     *id (may be NULL) is the record's id: safe against power loss
 * Errors     as svl_publish(), and
 *            SVL_E_TIMEOUT   published: it will be stored, but is not durable yet
 *            SVL_E_DROPPED   an ingest handler dropped it
 *            SVL_E_FULL      nothing was published: no space, or 1,024 callers wait already
 *            SVL_E_DEADLOCK  inside a callback: nothing was published
 *            SVL_E_BUSY      with SVL_THREADLESS: another thread pumps; nothing was published
 *            SVL_E_FAILED    the store is in fail-stop: it may be there after opening again
 * Ownership  copied
 * Thread     any thread
 * Blocks     on a flush, shared with all who wait at the time; timeout_ms at most (-1 = without end). With -1
 *            and without ingest handlers it writes and flushes itself while nobody else is at it, which is
 *            sooner done than by other threads; what the log callback is told then comes on this thread,
 *            and signals for it wait meanwhile.
 *            With SVL_THREADLESS also in ingest callbacks: it does what svl_pump() does before the flush */
SVL_EXPORT int svl_publish_sync(svl_pipeline *pipeline, const svl_record *record,
                                int64_t timeout_ms, uint64_t *id);

/* Waits until all that was published before is durable.
 *
 * Result     SVL_OK
 * Errors     SVL_E_STATE     before svl_start()
 *            SVL_E_DEADLOCK  inside a callback
 *            SVL_E_BUSY      with SVL_THREADLESS: another thread pumps
 *            SVL_E_INVALID, SVL_E_TIMEOUT, SVL_E_FAILED, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     on a flush, timeout_ms at most (-1 = without end); with SVL_THREADLESS also in ingest
 *            callbacks, as svl_publish_sync() */
SVL_EXPORT int svl_flush(svl_pipeline *pipeline, int64_t timeout_ms);

/* The pipeline's store, to query.
 *
 * Result     the store; NULL for NULL
 * Errors     none
 * Ownership  borrowed until svl_close()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT svl_store *svl_pipeline_store(svl_pipeline *pipeline);

/* Counts and sizes of ring and handlers.
 *
 * Result     *stats is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_pipeline_stats_get(svl_pipeline *pipeline, svl_pipeline_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
