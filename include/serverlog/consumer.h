/* serverlog/consumer.h - stored records polled, instead of by a callback: for hosts whose runtime cannot be
 * called from foreign threads.
 *
 *     svl_consumer_open(log, &options, &consumer);
 *     while (svl_consumer_poll(consumer, -1, &batch) == SVL_OK) {
 *         svl_batch_records(batch, &records, &n);
 *         ...
 *         svl_batch_ack(batch);
 *     }
 *     svl_consumer_close(consumer);
 *
 * A consumer and a handler are two faces of one thing, a subscription: position, retries, marks, emits and
 * dead letters are those of svl_on_stored() and its svl_batch functions.
 *
 * Know before use:
 *   - a batch that is not acknowledged within ack_deadline_ms counts as failed and comes again;
 *   - several consumers of one name share its subscription: one of them has a batch at a time, the others
 *     wait, so the log's order holds; the options of the first one are in force while any is open;
 *   - nothing runs in the background for it: retries, deadlines and positions are looked after when somebody
 *     polls or acknowledges. Each acknowledgement is written with the next flush;
 *   - a record that kills the process between poll and acknowledgement comes again at each start: only of
 *     callbacks it is known which one it was. svl_batch_reject() is how the host gives it up. */
#ifndef SERVERLOG_CONSUMER_H
#define SERVERLOG_CONSUMER_H

#include <serverlog/handler.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_consumer svl_consumer;

/* Opens a consumer. With a name it goes on where that name was last done.
 *
 * Result     *out is the consumer; records come after svl_start()
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION, SVL_E_RESERVED, SVL_E_NAME_TOO_LONG,
 *            SVL_E_KEY_TOO_LONG, SVL_E_UTF8  the arguments
 *            SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX, SVL_E_LIMIT  the filter's pattern, as svl_pattern_compile():
 *                          svl_last_error() says where and why
 *            SVL_E_BUSY    svl_on_stored() has the name open
 *            SVL_E_CLOSED  after svl_stop()
 *            SVL_E_FAILED  the store is in fail-stop
 *            SVL_E_VERSION  the name's position is one of a newer version
 *            SVL_E_CORRUPT, SVL_E_IO, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  options are copied. *out is owned: svl_consumer_close(), before or after svl_close()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_consumer_open(svl_pipeline *pipeline, const svl_stored_options *options,
                                 svl_consumer **out);

/* Takes the next batch.
 *
 * Result     *batch is a batch: its svl_batch functions work as in a callback, until it is acknowledged
 * Errors     SVL_E_AGAIN     timeout_ms is 0 and nothing is there now; or svl_wake() was called
 *            SVL_E_TIMEOUT   nothing came in time
 *            SVL_E_CLOSED    after svl_stop()
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_FAILED    the store is in fail-stop
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  *batch is owned: svl_batch_ack() or svl_batch_nack(), also when it is late, and after
 *            svl_consumer_close() and svl_close()
 * Thread     one thread at a time; on other consumers of the name meanwhile too
 * Blocks     timeout_ms at most (-1 = without end); on disk reads; where records are given up meanwhile,
 *            while the store takes none. With SVL_THREADLESS it waits for another thread that pumps: the one
 *            that does so polls with a timeout_ms of 0 */
SVL_EXPORT int svl_consumer_poll(svl_consumer *consumer, int64_t timeout_ms, svl_batch **batch);

/* A descriptor for poll(2), epoll(7) and event loops, level-triggered: readable while a poll would not
 * wait. Poll then until SVL_E_AGAIN, with a timeout_ms of 0; a poll may find that the filter lets nothing
 * pass. Never read from it.
 *
 * Result     *fd is the descriptor, always the same one; -1 after a failure
 * Errors     SVL_E_CLOSED  after svl_close(), where nobody had asked before
 *            SVL_E_INVALID, SVL_E_RESOURCE, SVL_E_NOMEM, SVL_E_IO, SVL_E_FORKED
 * Ownership  borrowed until svl_consumer_close()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_consumer_fd(svl_consumer *consumer, int *fd);

/* Goes to another place of the log: durable, for all consumers of the name. A batch that is out becomes
 * stale, attempts are counted anew; what is skipped is counted.
 *
 * Result     SVL_OK: the next batch begins there. `start_at` is SVL_START_EARLIEST, SVL_START_LATEST
 *            (behind what is durable now) or SVL_START_ID with `id`
 * Errors     SVL_E_INVALID   `start_at`, or an id of 0
 *            SVL_E_CLOSED    after svl_stop()
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_NOMEM, SVL_E_FAILED  it went there, but a restart may not know it
 *            SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     while another consumer of the name reads or settles a batch */
SVL_EXPORT int svl_consumer_seek(svl_consumer *consumer, uint32_t start_at, uint64_t id);

/* The consumer's subscription, to pause, resume and look at.
 *
 * Result     the subscription; NULL for NULL, and after svl_close()
 * Errors     none
 * Ownership  borrowed until svl_consumer_close() or svl_close()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT svl_subscription *svl_consumer_subscription(svl_consumer *consumer);

/* Closes a consumer. A batch that it still has becomes stale and comes again, without an attempt. NULL is
 * fine. May be called after svl_close().
 *
 * Result     SVL_OK
 * Errors     SVL_E_DEADLOCK  inside an ingest callback: nothing is closed
 *            SVL_E_FORKED    in a child: nothing is done
 * Ownership  the handle is consumed, and its descriptor, except after these errors
 * Thread     one thread at a time, and no poll of it may be in progress
 * Blocks     while another consumer of the name reads or settles a batch */
SVL_EXPORT int svl_consumer_close(svl_consumer *consumer);

/* Acknowledges a batch: as a callback that returns SVL_OK, marks and emits apply.
 *
 * Result     SVL_OK: durable with the next flush, in one batch with what was emitted
 * Errors     SVL_E_STALE     too late, or svl_consumer_seek() or svl_consumer_close() came first: nothing
 *                            of it is stored, its records come again or have come again
 *            SVL_E_CLOSED    after svl_close(): likewise
 *            SVL_E_NO_SPACE, SVL_E_NOMEM, SVL_E_RESOURCE  likewise: the store takes no records before there
 *                            is some again
 *            SVL_E_FAILED    likewise
 *            SVL_E_DEADLOCK  inside an ingest callback
 *            SVL_E_INVALID   NULL, or a callback's batch
 *            SVL_E_FORKED
 * Ownership  the batch is consumed, with all that it lent, except after SVL_E_DEADLOCK, SVL_E_INVALID and
 *            SVL_E_FORKED
 * Thread     any thread; one at a time for a batch
 * Blocks     with emits or dead letters, while the store takes no records */
SVL_EXPORT int svl_batch_ack(svl_batch *batch);

/* Fails a batch: as a callback that returns `code`. Marks and emits do not count.
 *
 * Result     SVL_OK: it comes again after a wait, or is given up with its attempts
 * Errors     as svl_batch_ack(), and
 *            SVL_E_INVALID  a `code` that is not positive
 * Ownership  as svl_batch_ack(). `reason` (may be NULL) is copied, up to 255 bytes
 * Thread     any thread; one at a time for a batch
 * Blocks     as svl_batch_ack() */
SVL_EXPORT int svl_batch_nack(svl_batch *batch, int32_t code, const char *reason);

/* Gives the holder of a batch more time, or less: until `deadline_ms` from now.
 *
 * Result     SVL_OK
 * Errors     SVL_E_STALE    too late: its records come again
 *            SVL_E_CLOSED   after svl_close()
 *            SVL_E_INVALID  NULL, a callback's batch, or a deadline that is not 1 to 86,400,000
 *            SVL_E_FAILED, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread; one at a time for a batch
 * Blocks     no */
SVL_EXPORT int svl_batch_extend(svl_batch *batch, uint32_t deadline_ms);

#ifdef __cplusplus
}
#endif

#endif
