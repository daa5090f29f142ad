/* subscription - struct svl_subscription and struct handlers, shared by the handler's files.
 *
 * A subscription's states, all under handlers->lock:
 *
 *              durable                worker takes it
 *     IDLE ---------------> READY ----------------------> RUNNING
 *       ^                    ^ ^                             |
 *       |   caught up        | +-- more to hand out ---------+
 *       +--------------------|-------------------------------+
 *                            |  time has come                | failed, deferred, window open
 *                         WAITING <--------------------------+
 *
 *     PAUSED   by the host, with its attempts used up, or with too many dead letters; resume -> READY
 *     HALTED   after svl_stop(): caught up, or failed or deferred in its last call; nothing more is
 *              handed out
 *
 * One that is polled has no worker: whoever polls or acknowledges has the turn, in two halves.
 *
 *     READY --poll--> RUNNING --a batch is there--> HELD --acknowledged, or too late--> RUNNING
 *
 *     HELD     a batch is out, until ack_deadline_ns
 *
 * A turn is of the log or, while dead letters are to be delivered again, of these (`redriving`); a batch with
 * its attempts and splits is of one of the two until it is settled.
 *
 * `detached` marks one that is being unsubscribed: it leaves for good when it is not RUNNING. */
#ifndef SVL_HANDLER_SUBSCRIPTION_H
#define SVL_HANDLER_SUBSCRIPTION_H

#include <pthread.h>
#include <serverlog/consumer.h>

#include "base/bytes.h"
#include "handler.h"
#include "pattern/filter.h"
#include "scanner.h"

enum subscription_state {
    SUBSCRIPTION_IDLE,
    SUBSCRIPTION_READY,
    SUBSCRIPTION_RUNNING,
    SUBSCRIPTION_WAITING,
    SUBSCRIPTION_HELD,
    SUBSCRIPTION_PAUSED,
    SUBSCRIPTION_HALTED
};

/* Dead letters to be delivered again, in the order in which that was asked for: ids, inclusive. What the
 * first range has to do begins at its `next`. */
#define REDRIVE_RANGES_MAX 16
struct redrive {
    uint32_t count;
    struct {
        uint64_t next, last;
    } ranges[REDRIVE_RANGES_MAX];
};

/* What is durable of a subscription. */
struct progress {
    uint64_t position; /* D2: done up to here */
    bool paused;
    struct redrive redrive;
};

/* Where a subscription that is not open any more has come to: newer than what is durable. */
struct parted {
    struct parted *next;
    struct progress progress;
    uint64_t resolved_id;
    uint64_t ticket; /* durable with it; UINT64_MAX: it could not be written */
    char name[];
};

struct svl_subscription {
    struct handlers *handlers;
    struct parted *parted; /* to be, with the name; NULL: no durable position */
    const char *name;      /* in `parted` */
    svl_stored_options options;
    struct filter *filter;
    svl_stored_fn *fn;
    void *user;
    svl_released_fn *released;
    bool detached;
    bool released_by_worker; /* unsubscribed inside a callback: whoever works on it frees it */
    enum subscription_state state;
    int64_t wait_until_ns;
    bool waits_for_resources; /* WAITING for memory or the disk: svl_stop() does not cut it short */
    uint64_t position;        /* D2: done up to here */
    bool paused;
    struct redrive redrive;
    bool dirty;            /* the durable position is behind and to be written */
    uint64_t saved;        /* the durable position, or on its way to the disk */
    int64_t checkpoint_ns; /* of the last one */
    bool redriving;        /* the batch at hand is of dead letters: the ids below are theirs */
    uint64_t resolved_id;  /* of the last record that resolved one */
    uint64_t
        redrive_after;  /* the first range begins when this is durable: what is resolved shows */
    uint32_t attempts;  /* failed ones of the record behind `position` */
    uint64_t batch_end; /* while `attempts` are counted: the failed batch ended here */
    uint64_t split_end; /* splitting a failed batch: up to this id; 0 = not */
    uint32_t split_records;
    int64_t failed_first_ns, failed_last_ns; /* wall: of these attempts */
    char error[256];                         /* of the last one */
    uint32_t streak;                         /* records given up since one was done */
    int64_t window_until_ns;                 /* 0 = none open */
    uint64_t window_id; /* the durable id when the open window was last looked at */
    svl_subscription_info counts;
    uint64_t subject;               /* of its marks */
    bool pulls;                     /* polled: `fn` is NULL */
    struct svl_consumer *consumers; /* of a polled one */
    struct svl_consumer *holder;    /* HELD: who has the batch */
    int64_t ack_deadline_ns;
    struct svl_subscription *next;       /* all */
    struct svl_subscription *name_next;  /* of the same hash */
    struct svl_subscription *alone_next; /* not scanned */
    struct svl_subscription **alone_at;  /* what points to it there */
    bool is_scanned; /* IDLE: the scanner looks for it; svl__scanner_position() is where it is */
    size_t rule;     /* the scanner's number of it, from 1; 0: none yet */
    struct svl_subscription *ready_next; /* the queue */

    /* alone whose turn it is */
    struct source {
        svl_cursor *cursor;
        uint64_t end; /* the cursor has seen everything up to here when it is at its end */
    } live, letters;
    struct delivery *delivery;
    int64_t limit_told_ns; /* of a record that the pattern cannot be asked of */
    uint32_t slot;         /* of the worker's marks */
    int64_t alone_told_ns;
};

/* Of names; a few to a place are fine. */
#define SUBSCRIPTION_HASHES 1024

enum worker_state { WORKER_NONE, WORKER_RUNS, WORKER_ENDED };

struct worker {
    struct handlers *handlers;
    pthread_t thread;
    enum worker_state state; /* ended: to be joined */
    int64_t until_ns;        /* it rests, and looks again by then; INT64_MAX: it does not rest */
};

/* A host's handle on a polled subscription; several may share one. */
struct svl_consumer {
    struct handlers *handlers;      /* held */
    svl_subscription *subscription; /* NULL: the pipeline has been closed */
    svl_consumer *next;             /* of the same subscription */
    uint64_t wakes_seen;
    int fd; /* a timer that has run out while there is something to poll; -1: nobody asked for it */
};

struct handlers {
    uint32_t references; /* the pipeline, each consumer and each batch that is out */
    uint64_t process_mark;
    struct handlers_options options;
    const struct log_sink *log;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* for workers */
    pthread_cond_t changed; /* for stop, unsubscribe and destroy */
    pthread_cond_t polls;   /* for those who poll */
    uint64_t wakes;
    uint32_t pulling; /* turns that hosts' threads have now */
    svl_subscription *first;
    svl_subscription *by_name[SUBSCRIPTION_HASHES];
    svl_subscription *alone; /* those that look for themselves: all but the scanned ones */
    uint32_t pushing;        /* how many have workers */
    struct scanner *scanner;
    struct parted *parted;
    unsigned loading; /* durable positions being read: no `parted` is dropped meanwhile */
    svl_subscription *ready_first, *ready_last;
    uint32_t ready_count;
    struct worker *threads; /* workers_max of them */
    uint32_t workers, idle_workers, running;
    uint32_t wakes_owed; /* how often `work` is to be signalled when the lock is let go of */
    bool owes_wakes;     /* it is put off till then */
    bool started, stopping, ending;
    bool failed; /* the store: nothing is handed out or written any more */
    uint64_t durable_id;
    uint64_t stop_id;
    uint64_t emitted, dead_letters, dropped, resolved;
    uint32_t unnamed;                  /* handlers without a name that were ever registered */
    bool short_of_threads, short_told; /* no worker could be started; the log was told */
    void (*last)(void *);
    void *last_user;
};

/* registry.c; `lock` held. Into the queue; ready: and a worker is woken for it. */
void svl__subscription_queue(svl_subscription *s);
void svl__subscription_ready(svl_subscription *s);
/* registry.c; `lock` held: on and off the list of those that are not scanned. */
void svl__alone_add(svl_subscription *s);
void svl__alone_remove(svl_subscription *s);
/* It waits for its window, and so much has come since that the batch may be full. */
bool svl__window_may_be_full(const svl_subscription *s);
/* Takes it off everything and frees it; nobody works for it. Its position is kept. */
void svl__subscription_end(svl_subscription *s);
void svl__ready_remove(svl_subscription *s);
svl_subscription *svl__ready_take(struct handlers *handlers);

/* registry.c; `lock` held. Records up to `id` are durable. */
void svl__handlers_note_durable(struct handlers *handlers, uint64_t id);
/* registry.c: lets go of a reference; the last one frees the memory. `lock` not held. */
void svl__handlers_release(struct handlers *handlers);
/* A subscription with its options checked; then with its position loaded, into the list, or SVL_E_BUSY,
 * SVL_E_CLOSED, SVL_E_FAILED. `c`: of a consumer, which takes part in the one of that name that is polled
 * already, if there is one; then `s` is not needed. */
int svl__subscription_create(struct handlers *handlers, const svl_stored_options *options,
                             svl_subscription **out);
int svl__subscription_admit(svl_subscription *s, svl_consumer *c);
void svl__subscription_free(svl_subscription *s);
svl_subscription *svl__subscription_find(struct handlers *handlers, const char *name);

/* consumer.c; `lock` held: takes part in an open subscription of that name: SVL_E_NOT_FOUND, there is none
 * that is polled. */
int svl__consumer_join(svl_consumer *c, const char *name);

/* pull.c; `lock` held. What may be polled has changed: tells those who wait, and the descriptors. */
void svl__pull_tell(svl_subscription *s);
/* Waits for a batch, or takes one: see svl_consumer_poll(). */
int svl__pull_take(svl_consumer *c, int64_t deadline_ns, svl_batch **out);
/* Applies what the holder of `batch` says of it; the batch goes with it. Lets go of the lock meanwhile. */
int svl__pull_settle(svl_batch *batch, int code, const char *reason);
/* Gives the holder of `batch` until then. */
int svl__pull_extend(svl_batch *batch, int64_t deadline_ns);
/* The batch that is out is not current any more; no attempt is counted. */
void svl__pull_recall(svl_subscription *s);
/* Waits until nobody has a turn. */
void svl__pull_wait_idle(svl_subscription *s);

/* registry.c: 1 to 128 of the allowed bytes. */
int svl__subscription_check_name(const char *name);
/* For messages. */
const char *svl__subscription_name(const svl_subscription *s);

/* registry.c: nobody works for it any more. */
void svl__handlers_free(struct handlers *handlers);

/* progress.c: the durable position. All but the first with `lock` held: positions enter the log in the
 * order in which they come about, so none goes back (feeding waits for nothing). */
int svl__progress_load(svl_subscription *s, bool *found);
/* The progress as it is now. */
struct progress svl__progress_of(const svl_subscription *s);
/* Feeds `feed`'s records and the progress as one batch. A subscription without a name has none. */
int svl__progress_feed(svl_subscription *s, struct feed *feed, const struct progress *progress,
                       uint64_t *ticket);
/* Feeds the progress as it is now; a failure leaves it dirty, to be tried again. */
int svl__progress_save(svl_subscription *s, bool urgent, uint64_t *ticket);

/* redrive.c; `lock` held. Whether dead letters are to be delivered again now. */
bool svl__redrive_is_due(const svl_subscription *s);
/* The first range is done up to `id`. */
void svl__redrive_advance(struct redrive *redrive, uint64_t id);

/* delivery.c: one turn of a running subscription; `lock` not held. Sets *next and, for WAITING,
 * wait_until_ns. */
void svl__deliver(svl_subscription *s, enum subscription_state *next);
/* Its two halves. The first one reads a batch: true, and it is to be shown; false, and *next is set. The
 * second applies what was said of it: SVL_OK, or why that could not be stored; the batch comes again. */
bool svl__delivery_begin(svl_subscription *s, enum subscription_state *next);
int svl__delivery_end(svl_subscription *s, int rc, const char *reason,
                      enum subscription_state *next);
/* Lets go of what a running subscription holds of the store: it will not go on at once. */
void svl__delivery_rest(svl_subscription *s);
void svl__delivery_destroy(struct delivery *delivery);

/* workers.c; `lock` held: the subscription's next state after its turn. */
void svl__subscription_settle(svl_subscription *s, enum subscription_state next);
/* workers.c; `lock` held. Without a thread to be had it sets short_of_threads, and the next record that
 * becomes durable tries again, or who stops. */
void svl__workers_wake(struct handlers *handlers);
/* `lock` held, and not let go of in between: idle workers that are to be woken from here on are so by the second, which
 * lets go of the lock before, as they take it. */
void svl__workers_owe_wakes(struct handlers *handlers);
void svl__workers_pay_wakes(struct handlers *handlers);
/* workers.c; `lock` held, let go of meanwhile. Without workers: does what there is to do now, or sleeps until then
 * or `deadline_ns`. */
void svl__handlers_take_turns(struct handlers *handlers, int64_t deadline_ns);
/* `lock` not held: waits for the last instructions of the workers that have ended. */
void svl__workers_join(struct handlers *handlers);

/* retry.c: how long to wait after `attempts` failed ones. */
int64_t svl__retry_wait_ns(const svl_stored_options *options, uint32_t attempts);

#endif
