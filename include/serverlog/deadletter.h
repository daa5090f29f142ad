/* serverlog/deadletter.h - records that a stored handler could not do: find them, deliver them again.
 *
 *     svl_deadletter_list(log, "alert", 0, 0, &cursor);    look at them, mend the handler
 *     svl_deadletter_redrive(log, "alert", 0, 0);          deliver them again
 *
 * A dead letter is a record of source "serverlog.deadletter" whose type is the subscription's name. It holds
 * the whole original, so it outlives it; its attributes say what happened:
 *
 *     original.id, original.ingest_ns     of the record
 *     deadletter.condition                "attempts", "age", "reject", "crash" or "hops"
 *     deadletter.code                     what the handler returned; SVL_FAIL for a mark, 0 for nothing
 *     deadletter.attempts                 calls that failed with it, or in which the process died
 *     deadletter.error                    the last reason that was given, if one was
 *     deadletter.first_failure_ns, deadletter.last_failure_ns     if a call failed with it
 *     deadletter.previous                 the dead letter that was delivered again, if one was
 *
 * One that was delivered again and is settled is resolved, by a record of source
 * "serverlog.deadletter.resolved" with the same type. Its attributes: deadletter.id, original.id, and
 * deadletter.outcome, "done", "again" (a new dead letter was written) or "dropped".
 *
 * Know before use:
 *   - both kinds are ordinary records: retention takes them, queries find them, and handlers see them that
 *     name their source; what such a handler cannot do of them is dropped, not dead-lettered. */
#ifndef SERVERLOG_DEADLETTER_H
#define SERVERLOG_DEADLETTER_H

#include <serverlog/handler.h>
#include <serverlog/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Finds the dead letters of a subscription that are not resolved, in id order.
 *
 * Result     *out stands before the first one with an id from `id_min` to `id_max` (0 = no bound) that is
 *            durable now
 * Errors     SVL_E_INVALID  the name
 *            SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE, SVL_E_FORKED
 * Ownership  *out is owned: svl_cursor_close(). `subscription` is borrowed; NULL: all subscriptions, "":
 *            those without a name
 * Thread     any thread
 * Blocks     on disk reads */
SVL_EXPORT int svl_deadletter_list(svl_pipeline *pipeline, const char *subscription,
                                   uint64_t id_min, uint64_t id_max, svl_cursor **out);

/* Counts what svl_deadletter_list() finds.
 *
 * Result     *count is how many dead letters are not resolved
 * Errors     SVL_E_INVALID  the name
 *            SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_CODEC  some cannot be read: *count is how
 *                           many can
 *            SVL_E_IO, SVL_E_NOMEM, SVL_E_RESOURCE, SVL_E_FORKED
 * Ownership  `subscription` is borrowed: as svl_deadletter_list()
 * Thread     any thread
 * Blocks     on disk reads */
SVL_EXPORT int svl_deadletter_count(svl_pipeline *pipeline, const char *subscription,
                                    uint64_t *count);

/* The record that a dead letter holds: as it was handed out, with its id.
 *
 * Result     *original holds a copy of the record
 * Errors     SVL_E_INVALID  `letter` is no dead letter
 *            SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_NOMEM
 * Ownership  *original is owned: svl_record_buffer_destroy()
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_deadletter_original(const svl_record *letter, svl_record_buffer **original);

/* Delivers dead letters again, to the subscription that gave them up, with their attempts set back: in the
 * order of their ids, in turn with what is new, in batches of their own (SVL_BATCH_REDRIVEN) that have no
 * age. What is settled is resolved, in one durable batch with the effects; what is given up again becomes a
 * new dead letter. It is remembered over restarts, like a pause.
 *
 * Result     SVL_OK: those with ids from `id_min` to `id_max` (0 = no bound) that are durable and not
 *            resolved now are going to be delivered
 * Errors     SVL_E_NOT_FOUND  no subscription of that name is open
 *            SVL_E_INVALID  the name, or a range that ends before it begins
 *            SVL_E_BUSY     16 ranges of this subscription wait already
 *            SVL_E_CLOSED   after svl_stop()
 *            SVL_E_FAILED, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  `subscription` is borrowed
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_deadletter_redrive(svl_pipeline *pipeline, const char *subscription,
                                      uint64_t id_min, uint64_t id_max);

#ifdef __cplusplus
}
#endif

#endif
