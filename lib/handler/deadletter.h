/* deadletter - records that a handler could not do, kept as records of their own, and which of them are
 * resolved.
 *
 * Both kinds have the subscription's name as their type (empty: it has none) and
 * "serverlog.deadletter/<name>" as their key, so that the key index finds them.
 *
 *   source "serverlog.deadletter": the original's wire form is its body (binary); its attributes are
 *     original.id                     i64
 *     original.ingest_ns              i64
 *     deadletter.condition            text, "attempts", "age", "reject", "crash" or "hops"
 *     deadletter.code                 i64, what the handler returned; SVL_FAIL for marks, 0 for none
 *     deadletter.attempts             i64, calls that failed with it, or killed the process
 *     deadletter.error                text, or bytes that are no UTF-8; missing where none was given
 *     deadletter.first_failure_ns     i64, missing where nothing failed
 *     deadletter.last_failure_ns      i64, likewise
 *     deadletter.previous             i64, the dead letter that was delivered again; missing: the record
 *   source "serverlog.deadletter.resolved": it has no body; its attributes are
 *     deadletter.id                   i64
 *     original.id                     i64
 *     deadletter.outcome              text, "done", "again" (a new dead letter stands before it) or
 *                                     "dropped"
 *
 *   L1  a dead letter is unresolved as long as no record behind it resolves it.
 *   L2  what a handler cannot do of these is dropped: a dead letter has no dead letter. */
#ifndef SVL_HANDLER_DEADLETTER_H
#define SVL_HANDLER_DEADLETTER_H

#include <serverlog/deadletter.h>
#include <stdbool.h>

#include "store/store.h"

enum deadletter_condition {
    CONDITION_ATTEMPTS,
    CONDITION_AGE,
    CONDITION_REJECT,
    CONDITION_CRASH,
    CONDITION_HOPS
};

/* Why a record is given up. */
struct giving_up {
    enum deadletter_condition condition;
    int code;
    uint32_t attempts;
    const char *error;         /* "": none */
    int64_t first_ns, last_ns; /* of the failures; 0: none */
};
const char *svl__deadletter_condition(enum deadletter_condition condition);

enum deadletter_outcome { OUTCOME_DONE, OUTCOME_AGAIN, OUTCOME_DROPPED };

/* What a dead letter has beyond its original, and a whole record that resolves one; at most. */
#define DEADLETTER_EXTRA_BYTES 1536
#define DEADLETTER_RESOLVED_BYTES 512

/* Append a wire record to `out`; without memory out->failed is set. `name` NULL: an unnamed subscription.
 * `previous` 0: the original is delivered for the first time. */
void svl__deadletter_append(struct buffer *out, const char *name, const svl_record *original,
                            const struct giving_up *why, uint64_t previous);
void svl__deadletter_append_resolved(struct buffer *out, const char *name, uint64_t letter_id,
                                     uint64_t original_id, enum deadletter_outcome outcome);

/* True for both kinds. */
bool svl__deadletter_is(const svl_record *record);

/* The original, with its id and ingest time; it points into the letter and into `attributes`, which has
 * space for RECORD_ATTRIBUTES_MAX. SVL_E_INVALID: no dead letter; SVL_E_CORRUPT, SVL_E_VERSION. */
int svl__deadletter_decode(const svl_record *letter, svl_attribute *attributes,
                           svl_record *original);

/* A cursor over the unresolved dead letters of `name` ("": unnamed subscriptions, NULL: all) with ids from
 * `id_min` to `id_max`. Records that resolve and cannot be read are passed, and `log` is told. */
int svl__deadletter_query(svl_store *store, const char *name, uint64_t id_min, uint64_t id_max,
                          svl_cursor **out);

#endif
