/* state - struct svl_store, and what the coordinator's files share.
 *
 * One lock, `lock`, guards everything below it here; no I/O happens under it, and no callback. A store
 * has three jobs, done in steps (jobs.c):
 *
 *     flusher    flusher.c    journal write, journal flush
 *     encoder    encoder.c    batches -> blocks, ahead of their write if there is time
 *     committer  committer.c  blocks -> segment -> catalog, retention
 *
 * Each has a thread, which takes a step when one is due; with SVL_THREADLESS whoever waits takes them, one
 * at a time. svl_store_append(), svl__store_feed() and queries run on the caller's threads. */
#ifndef SVL_STORE_STATE_H
#define SVL_STORE_STATE_H

#include <pthread.h>

#include "bell.h"
#include "clockwatch.h"
#include "lock.h"
#include "reader.h"
#include "segments.h"
#include "store.h"
#include "tail.h"
#include "values.h"

/* The value that keeps a clock_watch's forward_ns over a close: i64, none while it is 0. */
#define CLOCK_FORWARD_KEY "clock/forward"

enum job { JOB_FLUSH, JOB_ENCODE, JOB_COMMIT, JOBS };

struct store_job {
    svl_store *store;
    const struct job_kind *kind;
    pthread_cond_t wake;
    pthread_t thread;
    bool runs;
    bool is_taken;    /* somebody takes a step: its thread, or who waits for what it does */
    int64_t until_ns; /* its thread sleeps until then; INT64_MIN: it does not */
};

struct svl_store {
    _Atomic uint32_t references; /* the handle and each cursor */
    uint64_t process_mark;
    bool owned; /* by a pipeline */
    char *path;
    int directory;
    svl_store_options options;
    struct log_sink log;
    struct store_lock *writer_lock;
    struct catalog *catalog;
    struct journal *journal;
    struct store_reader
        *reader;       /* of a read-only store, which has no journal and no threads below */
    struct bell *bell; /* the writer's */
    struct segment_set segments;
    struct block_builder *builder; /* the encoder's */
    uint8_t uuid[16];

    pthread_mutex_t lock;
    pthread_cond_t progress; /* durable, committed, accepting or failed has changed */
    struct store_job jobs[JOBS];
    bool working; /* without threads: somebody is taking steps */

    struct store_observer observer;
    unsigned observer_calls; /* going on now */

    uint64_t wakes;     /* svl_store_wake() was called this often */
    bool followers_end; /* who has seen everything that is durable is at the end */

    bool ending;       /* about to be closed: nothing waits for disk space any more */
    bool closing;      /* no new feeds; the threads finish what is there and end */
    int failed;        /* 0, or the code of the failure that stopped the store */
    bool failure_told; /* to the observer */
    /* 0, or why what is fed, or commits, wait and are tried again: is_shortage() */
    int write_waits, commit_waits;
    int64_t write_retry_ns, encode_retry_ns, commit_retry_ns; /* monotonic: when */
    bool not_accepting; /* somebody was told so, and is to hear when it turns */

    /* feeding */
    uint64_t next_id;
    uint64_t next_ticket; /* of the open batch */
    uint64_t last_op;
    struct batch *open; /* takes feeds; NULL if none was fed since the flusher took the last one */
    struct batch *queue_first, *queue_last; /* full ones before it */
    uint64_t unwritten_bytes;
    uint64_t block_fed;    /* wire bytes fed since a batch has ended a block */
    int64_t held_since_ns; /* monotonic: when the oldest of these batches was begun */
    bool write_wanted;     /* somebody wants his ring's space back */

    /* flushing */
    uint64_t flush_wanted;   /* highest ticket that somebody waits for */
    uint64_t durable_ticket; /* all up to it are durable */
    int64_t ingest_last_ns;
    struct clock_watch clock;
    int64_t clock_kept_ns;         /* flusher's: its forward_ns as fed last for the next open */
    int64_t clock_step_ns;         /* found at open, for the flusher to tell; 0 = none */
    int64_t last_flush_ns;         /* monotonic: when it began */
    int64_t last_records_flush_ns; /* of these the last that had records in it */
    uint64_t
        step_ticket; /* flusher's: the batch whose record tells of a step of the clock; 0 = none */
    struct batch *written_first, *written_last; /* in the journal, not flushed yet */
    size_t written_batches, written_values;     /* in that list */

    /* encoding and committing */
    struct tail tail;
    struct values values; /* durable operations that the catalog does not have yet */
    uint64_t durable_op;
    int64_t durable_ingest_ns; /* of the newest durable batch */
    uint64_t encode_wanted;    /* encode up to this id also what makes no whole block */
    uint64_t encode_ahead;     /* encode up to this id what waits for its write; 0 = nothing */
    bool encoder_short;        /* of memory: it tries again and again */
    uint64_t commit_wanted, commit_done; /* numbers of requests */
    uint64_t commit_upto; /* a commit waits for the blocks up to this id; 0 = none does */
    uint64_t
        commit_asked; /* the last request that it answers: later ones may be for later records */
    uint64_t committed_id;
    uint64_t committed_op;
    bool commit_given_up;          /* while ending, for want of space: the journal holds it all */
    bool roll_wanted;              /* the next commit begins a segment */
    bool filters_wanted;           /* of full segments: there may be some to make */
    bool filters_wait;             /* for what was short: the next commit wants them */
    uint64_t damaged_segment;      /* committer's: the one told last, by its first id */
    int64_t oldest_uncommitted_ns; /* monotonic; 0 = nothing waits for a commit */

    pthread_mutex_t retain_lock;  /* one retention at a time; before catalog_lock */
    pthread_mutex_t catalog_lock; /* one change at a time: committer, rings, retention */
    struct catalog_state catalog_state;
    uint64_t retired_records, retired_bytes; /* since open; guarded by catalog_lock */

    svl_store_stats stats;                                  /* the counters; guarded by `lock` */
    struct ring_position ring_positions[JOURNAL_RINGS_MAX]; /* found at open */
    uint32_t ring_position_count;
};

/* flusher.c, encoder.c, committer.c. With `lock` held, when the job's next step is due, monotonic: 0 = now,
 * INT64_MAX = not known. `lock` not held, one at a time: does what is due of it; after a failure the store
 * has failed. */
int64_t svl__flush_due_ns(const svl_store *store);
int64_t svl__encode_due_ns(const svl_store *store);
int64_t svl__commit_due_ns(const svl_store *store);
void svl__flush_step(svl_store *store);
void svl__encode_step(svl_store *store);
void svl__commit_step(svl_store *store);

/* jobs.c. A thread for each job; none with SVL_THREADLESS. */
int svl__jobs_start(svl_store *store);
/* Everything that is to be done before the store closes is done, and the threads have ended. */
void svl__jobs_end(svl_store *store);
/* `lock` not held. In a threadless store that nobody works for, whoever has fed it does what that made due. */
void svl__jobs_catch_up(svl_store *store);
/* `lock` held: when the job is due has changed; its thread is woken if that is sooner than it knows. */
void svl__job_wake(svl_store *store, enum job job);
/* The same, and lets go of `lock`; a thread, which takes it, is woken only then. */
void svl__job_wake_and_unlock(svl_store *store, enum job job);
/* `lock` held, let go of meanwhile. For who waits for what the job does, however long: takes the step that is due
 * himself where its thread sleeps, which saves two changes of threads. */
void svl__job_take(svl_store *store, enum job job);
void svl__jobs_wake(svl_store *store);
/* `lock` held, let go of meanwhile: waits for `progress`, false past `deadline_ns`. Without threads the
 * caller takes steps instead, as long as one is due. */
bool svl__store_wait_progress(svl_store *store, int64_t deadline_ns);

/* encoder.c: `lock` held: so much is durable and not encoded that nothing will be before its write. */
bool svl__encoder_is_behind(const svl_store *store);

/* encoder.c: one round of the encoder's work, for recovery before the thread runs. */
int svl__encode_round(svl_store *store);
/* encoder.c: all that is in batches, with a builder of its own: for a reader. */
int svl__encode_all(svl_store *store);

/* recover.c: the catalog's state, and the store's uuid for its parts. */
void svl__store_identify(svl_store *store);
/* flusher.c: rings the bell with what is durable. */
void svl__store_tell_others(svl_store *store);

/* recover.c: one batch of the journal into the tail, in a reader as well. A journal_replay_fn. */
int svl__store_replay(const struct journal_batch *batch, void *store);

/* recover.c: journal into tail; ids, operations and ring positions go on where they were. */
int svl__store_recover(svl_store *store);

/* committer.c: `lock` held: asks for a commit of all that is durable; it is done when commit_done has come
 * to the number returned (0: nothing is to do). */
uint64_t svl__commit_request(svl_store *store);

/* committer.c: `lock` held: there may be filters of segments to make; of a reader that is somebody else's. */
void svl__filters_want(svl_store *store);

/* rings.c: the positions that the catalog has kept; one more, from the journal; all of them into the
 * catalog. */
int svl__rings_load(svl_store *store);
void svl__rings_note(svl_store *store, const struct ring_position *ring);
int svl__rings_keep(svl_store *store);

/* retain.c: with catalog_lock not held. */
int svl__store_retain_now(svl_store *store, uint64_t *records);

/* store.c: fail-stop with the code of a failure, in the words of svl_last_error(); wakes everybody, the
 * flusher too, which tells the observer. `lock` not held. */
void svl__store_fail(svl_store *store, int code);
/* SVL_E_FAILED with words. */
int svl__store_failure(const svl_store *store);
void svl__store_hold(svl_store *store);
/* svl__store_check_forked(), and SVL_E_DEADLOCK inside an ingest callback of it. */
int svl__store_check_wait(const svl_store *store, const char *function);

/* svl__store_check_wait(), and SVL_E_READ_ONLY. */
int svl__store_check_write(const svl_store *store, const char *function);

/* feed.c: feeds one atomic batch and waits until it is durable; a full disk refuses it, SVL_E_NO_SPACE, or
 * lets it wait if something was fed behind it that may not be refused. */
int svl__store_feed_durably(svl_store *store, struct feed *feed);

/* feed.c: waits until svl__store_accepts(), while that only takes time: a shortage's code when what would
 * make room waits itself. */
int svl__store_wait_room(svl_store *store);

/* feed.c: `lock` held: bytes in memory, and whether feeding should pause. */
uint64_t svl__store_memory(const svl_store *store);
bool svl__store_accepts_locked(const svl_store *store);
/* `lock` held: true if the observer's `ready` is to be called after it was let go. */
bool svl__store_turns_ready(svl_store *store);

/* observer.c: the observer's calls; `lock` not held. */
void svl__store_tell_written(svl_store *store, const struct batch *batch);
void svl__store_tell_durable(svl_store *store, uint64_t id, uint64_t ticket);
void svl__store_tell_ready(svl_store *store);

#endif
