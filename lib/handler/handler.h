/* handler - stored subscriptions: durable positions, batches, retries, effects, and the elastic workers
 * that run them. DELIVERY semantics: at least once, in log order (ORDERED).
 *
 *   D1  only durable records are handed out.
 *   D2  a position moves past a record only when the callback is done with it.
 *   D3  position, and the emits of the records it passes, are one durable batch.
 *   D4  a subscription has at most one batch in flight.
 *   D5  a record that is given up, its dead letter and the position behind it are one durable batch, and so
 *       are what a dead letter delivered again has caused and the record that resolves it.
 *
 * handler.h the face · registry.c who is subscribed · subscription.c what the host does with one ·
 * scanner.c which of those that have seen everything have something to do · progress.c durable positions ·
 * delivery.c a turn · reading.c its batch · triage.c what of it is shown · outcome.c what becomes of it ·
 * deadletter.c what was given up · redrive.c delivering it again · retry.c waits · workers.c the pool ·
 * pull.c turns on the host's threads · consumer.c its handles · batch.c what a callback may do ·
 * crash.c, marks.c, suspects.c callbacks that kill the process */
#ifndef SVL_HANDLER_HANDLER_H
#define SVL_HANDLER_HANDLER_H

#include <serverlog/consumer.h>
#include <stdbool.h>

#include "crash.h"
#include "store/store.h"

struct handlers;

struct handlers_options {
    svl_store *store;
    uint32_t workers_max;
    uint32_t worker_idle_ms;
    uint32_t record_bytes_max;
    struct crash_marker *crash; /* NULL: callbacks are not marked */
    /* With SVL_THREADLESS: there may be a turn sooner than svl__handlers_due_ns() said. Also with a lock held: to
     * pass it on, no more. NULL: workers are started. */
    void (*due)(void *due_user);
    void *due_user;
};

int svl__handlers_create(const struct handlers_options *options, struct handlers **out);

/* Registers; delivery begins with svl__handlers_start(). For svl_on_stored(). */
int svl__handlers_subscribe(struct handlers *handlers, const svl_stored_options *options,
                            svl_stored_fn *handler, void *user, svl_subscription **out);

/* For svl_consumer_open() and svl_wake(). Consumers and the batches that are out keep the memory of
 * `handlers` alive; what they are asked after its end they answer with SVL_E_CLOSED. */
int svl__handlers_consume(struct handlers *handlers, const svl_stored_options *options,
                          svl_consumer **out);
void svl__handlers_wake(struct handlers *handlers);

/* For svl_deadletter_list() and svl_deadletter_redrive(). */
int svl__handlers_dead_letters(struct handlers *handlers, const char *name, uint64_t id_min,
                               uint64_t id_max, svl_cursor **out);
int svl__handlers_redrive(struct handlers *handlers, const char *name, uint64_t id_min,
                          uint64_t id_max);

void svl__handlers_start(struct handlers *handlers);

/* Records up to `id` are durable: wakes who waits for them. From the store's observer: never blocks on
 * I/O or callbacks. */
void svl__handlers_durable(struct handlers *handlers, uint64_t id);

/* Without workers: a turn for each subscription that is ready, and the positions that are due. False: there was
 * none. One thread at a time. */
bool svl__handlers_work(struct handlers *handlers);
/* When there is one, monotonic: 0 = now, INT64_MAX = not known. */
int64_t svl__handlers_due_ns(struct handlers *handlers);

/* The store has failed: nothing is handed out or written any more. */
void svl__handlers_failed(struct handlers *handlers);

/* For svl_stop(): hands every subscription what lies up to `last_id`, without retry waits (what fails
 * stays for the next start) and nothing after it, waits for callbacks, writes all positions durably.
 * SVL_OK, SVL_E_TIMEOUT, SVL_E_FAILED, SVL_E_NOMEM (no words). May be repeated. Subscribing answers
 * SVL_E_CLOSED after it. */
int svl__handlers_stop(struct handlers *handlers, uint64_t last_id, int64_t deadline_ns);

/* Waits for the workers and frees everything, subscriptions not given back included. A callback that still
 * runs at `deadline_ns` keeps what it uses; the last one to return frees it: then SVL_E_TIMEOUT, and
 * `last` is called with `last_user` on that thread when all is free. */
int svl__handlers_destroy(struct handlers *handlers, int64_t deadline_ns, void (*last)(void *),
                          void *last_user);

struct handlers_stats {
    uint64_t workers;
    uint64_t emitted;
    uint64_t dead_letters;
    uint64_t dropped;
    uint64_t resolved;
    uint64_t callbacks_running;
};
void svl__handlers_stats_get(struct handlers *handlers, struct handlers_stats *stats);

#endif
