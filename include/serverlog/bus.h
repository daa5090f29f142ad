/* serverlog/bus.h - the event bus, alone: from any thread to whoever subscribed, in this process; no store, no
 * files.
 *
 *     svl_bus *bus;
 *     if (svl_bus_create(NULL, &bus) != SVL_OK) ...
 *     svl_bus_subscribe(bus, NULL, on_event, NULL, NULL);
 *     svl_bus_publish(bus, &record);           any thread, lock-free
 *     svl_bus_pump(bus, 0, -1, NULL);          the host's loop: on_event() is called here
 *     svl_bus_destroy(bus);
 *
 * Know before use:
 *   - nothing is kept: what is in the ring when the process ends is gone;
 *   - callbacks run on the thread that pumps, or with SVL_BUS_THREAD on the bus' own; everybody gets the
 *     records in one order, that of the ring;
 *   - a thread that both publishes and pumps wants SVL_FULL_FAIL or SVL_FULL_DROP_NEW: with
 *     SVL_FULL_BLOCK and a full ring it would wait for itself until block_timeout_ms has passed;
 *   - records of source "serverlog.*" go only to subscribers that name that source;
 *   - create after fork(), not before. */
#ifndef SERVERLOG_BUS_H
#define SERVERLOG_BUS_H

#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_bus svl_bus;
typedef struct svl_bus_subscription svl_bus_subscription;

/* svl_bus_options.flags */
enum svl_bus_flag {
    SVL_BUS_THREAD = 1 /* the bus has a thread of its own, which pumps: for hosts without a loop */
};

typedef struct svl_bus_options {
    uint32_t struct_size; /* set by svl_bus_options_init() */
    uint32_t flags;       /* SVL_BUS_* */
    uint64_t ring_bytes; /* 8 MiB; 64 KiB to 1 GiB, a power of two; at least 8 record_bytes_max (the
                             default grows with it). A record takes at most an eighth of it, 8 bytes of
                             its own included */
    uint32_t record_bytes_max;   /* 1 MiB, or an eighth of ring_bytes if less; 256 to 128 MiB */
    uint32_t full_policy;        /* SVL_FULL_* */
    uint32_t block_timeout_ms;   /* 10,000; 1 to 3,600,000 */
    uint32_t destroy_timeout_ms; /* 10,000; 1 to 3,600,000: for a thread of its own to end */
    svl_log_fn *log;             /* NULL = none */
    void *log_user;
} svl_bus_options;

typedef struct svl_bus_subscription_options {
    uint32_t struct_size; /* set by svl_bus_subscription_options_init() */
    uint32_t reserved;    /* zero */
    svl_filter filter;
} svl_bus_subscription_options;

typedef struct svl_bus_stats {
    uint32_t struct_size;   /* set by the caller: sizeof */
    uint32_t subscriptions; /* now */
    uint64_t ring_bytes;
    uint64_t ring_used_bytes;
    uint64_t ring_high_water_bytes;
    uint64_t delivered;    /* records handed out, also those that nobody wanted; gap records too */
    uint64_t calls;        /* of callbacks */
    uint64_t failures;     /* calls that did not return SVL_OK */
    uint64_t refused_full; /* publishes that got SVL_E_FULL */
    uint64_t dropped_full; /* dropped by SVL_FULL_DROP_NEW */
    uint64_t stalled_claims; /* records being written for more than a second */
} svl_bus_stats;

/* Called for each record that the filter matches, in order, on the thread that pumps. `record` and all
 * it points to are borrowed until the callback returns; its id and ingest_ns are 0.
 *
 * May subscribe and unsubscribe, itself too, publish and stop the bus. Publishing never blocks here;
 * svl_bus_pump() and svl_bus_destroy() answer SVL_E_DEADLOCK.
 *
 * Returns SVL_OK; any other value is counted and reported, and changes nothing: the record goes on to
 * the other subscribers. */
typedef int svl_bus_fn(const svl_record *record, void *user);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_options_init(svl_bus_options *options, size_t size);

/* Creates a bus. It takes records at once; they wait in its ring until they are pumped.
 *
 * Result     *out is the bus
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION  the arguments
 *            SVL_E_RESOURCE  no thread
 *            SVL_E_NOMEM, SVL_E_IO
 * Ownership  *out is owned: svl_bus_destroy(). options are copied
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_create(const svl_bus_options *options, svl_bus **out);

/* Publishes a record.
 *
 * Result     SVL_OK: it is in the ring
 * Errors     SVL_E_INVALID, SVL_E_KEY_TOO_LONG, SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES,
 *            SVL_E_RECORD_SIZE, SVL_E_RESERVED, SVL_E_UTF8  the record breaks a limit
 *            SVL_E_FULL    no space, by the policy
 *            SVL_E_CLOSED  after svl_bus_stop()
 *            SVL_E_CORRUPT  something in this process wrote over the ring: destroy the bus
 *            SVL_E_FORKED
 * Ownership  copied
 * Thread     any thread, lock-free: no lock, no allocation
 * Blocks     only with SVL_FULL_BLOCK and a full ring: block_timeout_ms at most. Never inside a
 *            callback of this bus */
SVL_EXPORT int svl_bus_publish(svl_bus *bus, const svl_record *record);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_subscription_options_init(svl_bus_subscription_options *options,
                                                 size_t size);

/* Subscribes: `callback` gets what is handed out from now on and matches, what waits in the ring
 * included; inside a callback, from the next record on. Subscribers are called in the order in which they
 * subscribed. NULL options: everything. One whose pattern cannot be held against a record (there is no memory, or
 * SVL_E_LIMIT of svl_pattern_match_record()) is not called for it, which is logged and counted as a failure.
 *
 * Result     *out (may be NULL) is the subscription
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_RESERVED, SVL_E_NAME_TOO_LONG,
 *            SVL_E_KEY_TOO_LONG, SVL_E_UTF8  the arguments; `callback` is never called
 *            SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX, SVL_E_LIMIT  the filter's pattern, as svl_pattern_compile():
 *                          svl_last_error() says where and why
 *            SVL_E_CLOSED  after svl_bus_stop()
 *            SVL_E_CORRUPT  as svl_bus_publish()
 *            SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  options are copied; `user` must stay valid until it is unsubscribed or svl_bus_destroy() has
 *            returned, and after the latter's SVL_E_TIMEOUT until the callback has. *out is owned:
 *            svl_bus_unsubscribe(), or left to svl_bus_destroy(). The callback may be called before *out
 *            is set
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_subscribe(svl_bus *bus, const svl_bus_subscription_options *options,
                                 svl_bus_fn *callback, void *user, svl_bus_subscription **out);

/* Unsubscribes and waits for its callback; inside this very callback it is called no more after it has
 * returned. NULL is fine.
 *
 * Result     SVL_OK
 * Errors     SVL_E_FORKED
 * Ownership  the handle is consumed. `released` (may be NULL) is called with the subscription's user when
 *            that is free to go, exactly once: before this returns, or, inside its own callback, after
 *            that has returned
 * Thread     any thread
 * Blocks     while its callback runs; never inside a callback of this bus */
SVL_EXPORT int svl_bus_unsubscribe(svl_bus_subscription *subscription, svl_released_fn *released);

/* Hands out what is in the ring: each record, in order, to each subscriber that it matches, on this
 * thread. Waits only when there is none, or, with time left, for 1.5 us where the last pump has just found little;
 * hands out what is there then, `max_records` at most (0 = no limit), and not what is published meanwhile.
 *
 * Result     *delivered (may be NULL) is how many records were handed out: at least one
 * Errors     SVL_E_TIMEOUT   nothing came in time
 *            SVL_E_AGAIN     svl_bus_wake() was called
 *            SVL_E_CLOSED    the bus was stopped, and everything has been handed out
 *            SVL_E_BUSY      another thread pumps, or the bus has one of its own
 *            SVL_E_DEADLOCK  inside a callback of this bus
 *            SVL_E_CORRUPT   something in this process wrote over the ring: what is behind is lost
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     one thread at a time, it need not be the same
 * Blocks     on new records, timeout_ms at most (-1 = without end); in callbacks */
SVL_EXPORT int svl_bus_pump(svl_bus *bus, size_t max_records, int64_t timeout_ms,
                            size_t *delivered);

/* Ends the wait of svl_bus_pump(): the one going on now, or else the next, with SVL_E_AGAIN. So a thread
 * that set a flag and then calls this is not missed. Several calls may end one wait only.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_wake(svl_bus *bus);

/* Stops: refuses new records, and wakes publishers that are blocked. What was published is still handed
 * out; when that is done svl_bus_pump() answers SVL_E_CLOSED. May be repeated.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_stop(svl_bus *bus);

/* Stops and frees the bus. With SVL_BUS_THREAD everything that was published is handed out first; without
 * it the host pumps until SVL_E_CLOSED before this, or what is left is discarded. NULL is fine.
 *
 * Result     SVL_OK: all that was published has been handed out
 * Errors     SVL_E_DROPPED   destroyed, but not everything was handed out; the log callback is told how much
 *            SVL_E_TIMEOUT   destroyed, but a callback still runs: it keeps what it uses until it returns
 *            SVL_E_CORRUPT   destroyed; something in this process had written over the ring
 *            SVL_E_DEADLOCK  inside a callback of this bus: nothing is changed
 *            SVL_E_FORKED    in a child: nothing is done, the parent is undisturbed
 * Ownership  the handle is consumed, with its subscriptions, except after SVL_E_DEADLOCK
 * Thread     one thread at a time, and no other call may be in progress
 * Blocks     with SVL_BUS_THREAD: destroy_timeout_ms at most, and a second */
SVL_EXPORT int svl_bus_destroy(svl_bus *bus);

/* Counts and sizes.
 *
 * Result     *stats is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_bus_stats_get(svl_bus *bus, svl_bus_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
