/* bus - a bus alone: a private ring, subscribers, and whoever pumps.
 *
 *     open --svl_bus_stop--> stopped --all handed out--> finished
 *                               (publishers: SVL_E_CLOSED)  (who pumps: SVL_E_CLOSED)
 *
 *   U1  one thread at a time pumps; what is its own passes from one to the next by `pumped`.
 *   U2  no callback is called with `lock` held. While one runs, `running` keeps its subscription: nobody
 *       else frees it.
 *   U3  the ring is released only behind records whose callbacks have returned.
 *
 * bus.c create, publish, stop, destroy · pump.c from the ring · subscribers.c to whom · thread.c a thread
 * that pumps. intake, gap and stall serve the pipeline too, dispatch it alone. */
#ifndef SVL_BUS_BUS_H
#define SVL_BUS_BUS_H

#include <pthread.h>
#include <serverlog/bus.h>
#include <stdatomic.h>

#include "base/callback.h"
#include "base/error.h"
#include "gap.h"
#include "intake.h"
#include "pattern/filter.h"
#include "record/wire.h"
#include "ring/ring.h"

struct svl_bus_subscription {
    svl_bus *bus;
    struct filter *filter;
    svl_bus_fn *callback;
    void *user;
    svl_released_fn *released;
    uint64_t since; /* the count of delivered records when it came: it sees those behind */
    bool detached;  /* called no more */
    bool leaves;    /* unsubscribed inside its own callback: who pumps frees it */
    svl_bus_subscription *next;
};

struct svl_bus {
    /* read by every publish, written rarely */
    uint64_t process_mark;
    struct ring *ring;
    struct intake intake;

    struct log_sink log;
    uint32_t destroy_timeout_ms;
    _Atomic uint64_t closed_tail; /* stopped: to be handed out up to here; UINT64_MAX: open */
    _Atomic bool broken;          /* the ring was written over: stopped for good */
    _Atomic bool pumped;          /* U1: acquire to take it, release to give it back */
    _Atomic bool woken;           /* svl_bus_wake() has not ended a wait yet */

    /* U1: who pumps */
    struct gap gap;
    struct callback_frame frame; /* entered while records are handed out */
    bool drops_ended; /* the last look at the ring's drops: nothing is counted any more */
    uint64_t stalls_told;
    int64_t next_look_ns; /* svl__ring_next_look_ns() */
    int64_t last_report_ns;
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    svl_bus_subscription *first;   /* in the order of subscription */
    svl_bus_subscription *running; /* written by who pumps: it alone reads it without `lock` */
    _Atomic bool is_changed;       /* subscriptions came or go since who pumps heeded it */

    _Atomic uint64_t delivered, calls, failures; /* counted by who pumps */

    pthread_t thread;
    bool has_thread;
    bool thread_ended;
    bool orphaned; /* svl_bus_destroy() has returned without the thread: it frees the bus */
    _Atomic bool abandoned; /* the thread ends with the record at hand */
};

/* bus.c. SVL_E_INVALID, SVL_E_FORKED; with `function` also SVL_E_DEADLOCK inside a callback. */
int svl__bus_check(const svl_bus *bus, const char *function);
/* No new records from now on. */
void svl__bus_close(svl_bus *bus);
/* Why there are none: SVL_E_CLOSED or SVL_E_CORRUPT, with words. */
int svl__bus_closed(const svl_bus *bus);
/* Nobody uses it any more. Takes half-built ones too. */
void svl__bus_free(svl_bus *bus);

/* pump.c. Whoever has `pumped`: as svl_bus_pump(), until `deadline_ns`. */
int svl__bus_pump(svl_bus *bus, size_t max_records, int64_t deadline_ns, size_t *delivered);
/* What is in the ring, taken out and counted. */
uint64_t svl__bus_discard(svl_bus *bus);

/* subscribers.c. Who pumps, in `frame`, hands out records one by one between begin and end. */
void svl__bus_deliver_begin(svl_bus *bus);
void svl__bus_deliver(svl_bus *bus, const svl_record *record);
void svl__bus_deliver_end(svl_bus *bus);
/* Around what takes its time between two records: others may have `lock` meanwhile. */
void svl__bus_let_go(svl_bus *bus);
void svl__bus_take_up(svl_bus *bus);
void svl__bus_subscriptions_free(svl_bus *bus);

/* thread.c */
int svl__bus_thread_start(svl_bus *bus);
/* Waits until everything is handed out, destroy_timeout_ms at most. SVL_E_TIMEOUT: a callback runs still,
 * and the thread frees the bus after it. */
int svl__bus_thread_end(svl_bus *bus);

#endif
