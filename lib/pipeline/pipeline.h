/* pipeline - the wiring: ring -> dispatch -> store -> handlers. The only folder that knows all parts.
 *
 *     opened --svl_start--> running --svl_stop--> stopping --drained, flushed, handed out--> stopped
 *        |                     |                      |
 *        |                     +--- the store fails --+--> failed (publishers: SVL_E_FAILED)
 *        +-------- svl_close: from every state, through stop --------> gone
 *
 *   W1  a record is fed in the order in which it was reserved in its ring.
 *   W2  the ring is released up to a position only when the journal holds everything before it.
 *   W3  nothing here is waited for while a lock is held, but its own condition variables.
 *
 * pipeline.c open, close · options.c · start.c rings, recovery · publish.c · drain.c, round.c the
 * pipeline thread · ingest.c a record through its handlers · mark_page.c where callbacks are marked ·
 * pump.c, alarm.c without threads · attached.c, attach_page.c, deaths.c rings of other processes · publisher.c
 * their side of it · slots.c svl_publish_sync()'s waiters · deadletters.c · stop.c flush and stop · stats.c */
#ifndef SVL_PIPELINE_PIPELINE_H
#define SVL_PIPELINE_PIPELINE_H

#include <pthread.h>
#include <serverlog/pipeline.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "attached.h"
#include "bus/dispatch.h"
#include "bus/intake.h"
#include "handler/handler.h"
#include "pump.h"
#include "ring/ring.h"
#include "slots.h"
#include "store/store.h"

enum pipeline_state { PIPELINE_OPENED, PIPELINE_RUNNING, PIPELINE_STOPPING, PIPELINE_STOPPED };

struct svl_pipeline {
    /* read by every publish, written rarely */
    uint64_t process_mark;
    _Atomic uint32_t state; /* enum pipeline_state; release on running: the ring is there */
    _Atomic bool failed;
    struct ring *ring;
    svl_store *store;
    struct intake intake;

    svl_options options;
    char *ring_directory;
    struct ring_name ring_name;
    const struct log_sink *log;
    struct dispatch *dispatch;
    struct handlers *handlers;
    struct slots *slots;
    struct attached *attached; /* NULL: nobody can attach */
    struct crash_marker *crash;
    void *marks; /* its page, where that is a file of its own; NULL: it is not */

    struct drain *drain;        /* from svl_start() on */
    pthread_mutex_t drain_turn; /* whose the drain is; the pipeline thread sleeps without it */
    struct pump pump;
    pthread_t drainer;
    bool drainer_runs;
    _Atomic bool abandon;     /* the drainer ends at once: close has waited long enough */
    _Atomic uint32_t holders; /* svl_close(), and what it could not wait for: the last one frees */

    pthread_mutex_t lock;
    pthread_cond_t fed;    /* fed_position or drained_all has changed */
    uint64_t fed_position; /* everything before it in the ring is in the store's memory */
    bool drained_all;      /* the drainer has ended: up to the closed tail, or failed */
    bool drainer_orphaned; /* svl_close() has returned without it: it is a holder */
    uint64_t closed_tail;

    pthread_mutex_t release_lock;
    struct ring *recovered;  /* a start has fed of it what is not stored yet; NULL: of none */
    struct ring *releasing;  /* the ring that `written` releases: the live or a recovered one */
    uint64_t noted_position; /* the highest one given to the store */
    uint64_t released_position;
    uint64_t
        passed_position; /* drained behind it, but nothing of that was stored: dropped records */

    _Atomic uint64_t published, unprocessed, gap_records, ring_damaged;
    uint64_t ring_recovered, ring_unfinished, ring_missing; /* set at start */
};

/* options.c */
int svl__pipeline_options_check(const svl_options *from, svl_options *to,
                                uint32_t record_bytes_max);

/* SVL_E_INVALID, SVL_E_FORKED; with `function` also SVL_E_DEADLOCK inside a callback. */
int svl__pipeline_check(const svl_pipeline *pipeline, const char *function);
int svl__pipeline_failure(svl_pipeline *pipeline);
bool svl__pipeline_is_threadless(const svl_pipeline *pipeline);

/* Frees everything with the last holder; else SVL_E_TIMEOUT. */
int svl__pipeline_let_go(svl_pipeline *pipeline);

/* start.c: the store's observer; the drainer's failure; the rings' end. */
void svl__pipeline_fail(svl_pipeline *pipeline, int code);
void svl__pipeline_observe(svl_pipeline *pipeline);
/* From now on only for the ring's sake: nobody is told any more. */
void svl__pipeline_observe_writes(svl_pipeline *pipeline);
void svl__pipeline_end_rings(svl_pipeline *pipeline);

/* mark_page.c. What a crash of a pipeline with a private ring has left; the page of this one; its end, when
 * nothing runs any more. */
int svl__mark_page_take_file(svl_pipeline *pipeline, int64_t deadline_ns);
void svl__mark_page_use_file(svl_pipeline *pipeline);
void svl__mark_page_use_ring(svl_pipeline *pipeline, const struct ring *ring);
void svl__mark_page_end(svl_pipeline *pipeline);

/* drain.c. Of the pipeline's ring and the attached ones, for the pipeline thread or whoever pumps. */
int svl__drain_create(svl_pipeline *pipeline, struct drain **out);
void svl__drain_destroy(struct drain *drain); /* NULL is fine */
/* A round over all rings, with `frames_max` records of each at most; *frames is how many it took. SVL_E_END: the
 * ring is closed, and everything is fed; SVL_E_CLOSED: given up; else why the pipeline has to stop. Short of memory
 * it is SVL_OK, and goes on later. */
int svl__drain_step(struct drain *drain, size_t frames_max, size_t *frames);
/* Sets the sleep bits: when the next step is due, monotonic: 0 = now, INT64_MAX = when something comes. */
int64_t svl__drain_due_ns(struct drain *drain);
/* For who waits for his record, however long, which is in the ring, and for which a wake is owed: takes the pipeline
 * thread's step, and the flusher's, if these sleep. */
void svl__drain_here(svl_pipeline *pipeline);
/* No step comes any more; `rc`: or because of this. */
void svl__drain_finish(svl_pipeline *pipeline, int rc);
void *svl__drain_run(void *pipeline);
/* Everything that a crashed ring holds, into the store: SVL_OK when it is all fed; SVL_E_TIMEOUT when the
 * store has taken nothing for `wait_ms`. */
int svl__drain_crashed(svl_pipeline *pipeline, struct ring *ring, int64_t wait_ms);

/* stop.c, with the pump taken: all that was published before is durable; stops by `deadline_ns`, also inside
 * svl_close(). */
int svl__pipeline_flush(svl_pipeline *pipeline, int64_t deadline_ns);
int svl__pipeline_stop(svl_pipeline *pipeline, int64_t deadline_ns);

#endif
