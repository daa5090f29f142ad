/* serverlog/handler.h - the functions: called for records, before and after they are stored.
 *
 * An INGEST handler runs inline, in order, before a record is stored: it may change, drop or add
 * records. A STORED handler gets durable records in batches, at least once, with a durable position,
 * retries and effects that are atomic with that position. What retention takes before it was handed
 * out is counted, and told to the log callback.
 *
 * Know before use:
 *   - handlers are registered between svl_open() and svl_start(); stored ones also later;
 *   - a callback that waits for the pipeline would wait for itself: such calls answer
 *     SVL_E_DEADLOCK; publishing from a callback never blocks (SVL_E_FULL);
 *   - records of source "serverlog.*" go only to handlers that name that source;
 *   - a record that a stored handler cannot do is kept as a dead letter and passed: look at them with
 *     svl_deadletter_list(), mend the handler, svl_deadletter_redrive();
 *   - a record that kills the process in a handler is found and set aside. What was in a callback when the
 *     process died is suspect: it comes one record at a time from then on, and while it does, no other callback of
 *     the pipeline runs. The first death counts against nobody; the process dying in three such runs of one record
 *     does: it is stored without ingest handlers (SVL_RECORD_UNPROCESSED), or given up by the subscription whose
 *     handler it was. So a callback must not wait for another one, and exit() and kill -9 in a run alone count
 *     like a crash of it. */
#ifndef SERVERLOG_HANDLER_H
#define SERVERLOG_HANDLER_H

#include <serverlog/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct svl_pipeline svl_pipeline;
typedef struct svl_subscription svl_subscription;
typedef struct svl_ingest svl_ingest;
typedef struct svl_batch svl_batch;

typedef struct svl_ingest_options {
    uint32_t struct_size; /* set by svl_ingest_options_init() */
    uint32_t reserved;    /* zero */
    svl_filter filter;
} svl_ingest_options;

/* Where a new subscription starts. */
enum svl_start_at {
    SVL_START_LATEST = 0,   /* ids after the registration */
    SVL_START_EARLIEST = 1, /* the oldest record kept */
    SVL_START_ID = 2        /* start_id */
};

/* svl_stored_options.on_failure: what becomes of a record that is given up. */
enum svl_on_failure {
    SVL_ON_FAILURE_DEADLETTER = 0, /* a dead letter is stored: see svl_deadletter_list() */
    SVL_ON_FAILURE_DROP = 1,       /* it is counted and told to the log callback */
    SVL_ON_FAILURE_PAUSE = 2       /* the subscription pauses before it */
};

typedef struct svl_stored_options {
    uint32_t struct_size; /* set by svl_stored_options_init() */
    uint32_t start_at;    /* SVL_START_*; only for a name that has no position yet */
    const char *name;     /* 1 to 128 of A-Z a-z 0-9 . _ -; NULL = no durable position */
    svl_filter filter;
    uint64_t start_id;               /* of SVL_START_ID */
    uint64_t batch_bytes_max;        /* 1 MiB; a larger record comes alone */
    uint32_t batch_records_max;      /* 100; at most 100,000 */
    uint32_t batch_window_ms;        /* 0: hand over what is there; else wait that long for more */
    uint32_t retry_attempts_max;     /* 10: then it is given up; UINT32_MAX = no limit */
    uint32_t retry_base_ms;          /* 100: the first wait; doubles with each attempt */
    uint32_t retry_max_ms;           /* 60,000: the longest wait */
    uint32_t checkpoint_interval_ms; /* 100: the position is made durable this often */
    uint32_t on_failure;             /* SVL_ON_FAILURE_* */
    uint32_t deadletter_streak_max;  /* 1,000 given up in a row: a pause; UINT32_MAX = none */
    uint64_t record_age_ms_max;      /* 0 = no limit; by ingest time; not with _PAUSE */
    uint32_t ack_deadline_ms;        /* 10,000; of a consumer: a batch is settled by then */
    uint32_t hops_max;               /* 16; 255 = no limit: one that came by more is given up */
    uint64_t reserved;               /* zero */
} svl_stored_options;

/* What svl_batch_flags() answers. */
enum svl_batch_flag {
    SVL_BATCH_REDRIVEN = 1,   /* dead letters delivered again: the original records */
    SVL_BATCH_AFTER_CRASH = 2 /* one record, that was in the callback when the process died */
};

typedef struct svl_subscription_info {
    uint32_t struct_size; /* set by the caller: sizeof */
    uint32_t paused;      /* 1: by svl_subscription_pause(), or by records that were given up */
    uint64_t position;    /* all records up to this id are done */
    uint64_t backlog;     /* ids behind the newest durable record */
    uint64_t in_flight;   /* records in the callback, or out to a consumer, now */
    uint64_t invocations;
    uint64_t records;  /* done */
    uint64_t failures; /* calls that failed, or marked a record as failed */
    uint64_t retries;
    uint64_t emitted;
    uint64_t lost;         /* retired by retention before they were handed out */
    uint32_t attempts;     /* of the batch that is being retried, 0 if none */
    int32_t last_code;     /* of the last failure, 0 if none */
    uint64_t dead_letters; /* written since it was opened */
    uint64_t dropped;      /* given up without a dead letter */
    uint64_t resolved;     /* dead letters that were delivered again and are settled */
    uint64_t skipped;      /* by svl_consumer_seek() */
    uint32_t redriving;    /* 1: dead letters wait to be delivered again */
    uint32_t reserved;
} svl_subscription_info;

/* Called for each record that the filter matches, in order, on the pipeline's thread; for what a crash
 * left in the ring, on the thread that calls svl_start().
 *
 * `record` may be changed: members assigned, attributes replaced; what it points to must stay valid
 * until the callback returns. `id` and `ingest_ns` are not given yet.
 *
 * Returns SVL_OK to store it, SVL_DROP to drop it, any other value to store it as it came: the
 * failure is counted and reported. A changed record that breaks a limit counts as a failure too. Want of
 * memory does not: the place for what a handler leaves was put aside when it was registered, and storing it
 * waits for memory; only svl_ingest_emit() can be short of it, and says so to the handler. */
typedef int svl_ingest_fn(svl_ingest *ingest, svl_record *record, void *user);

/* Called with a batch of durable records, in id order, on one of the pipeline's workers.
 *
 * Returns SVL_OK when the batch is done but for the records marked with svl_batch_fail() and its
 * family; any other value fails the whole batch: as long as it has attempts left the call is
 * repeated after a wait, with the records that are not done, and nothing behind them.
 *
 * When its attempts are used up, a batch that failed without marks is split until the record stands alone
 * that cannot be done: that one is given up, see SVL_ON_FAILURE_*. */
typedef int svl_stored_fn(svl_batch *batch, void *user);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_ingest_options_init(svl_ingest_options *options, size_t size);

/* Fills `options` with zeros (all defaults) and its size.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_stored_options_init(svl_stored_options *options, size_t size);

/* Registers an ingest handler. Handlers see a record in the order of their registration, each what
 * the one before it left. Of many handlers those that a record concerns are found at once. One whose pattern
 * cannot be held against a record (SVL_E_LIMIT of svl_pattern_match_record()) is not called for it, which is
 * logged and counted as a failure.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION, SVL_E_RESERVED, SVL_E_NAME_TOO_LONG,
 *            SVL_E_KEY_TOO_LONG, SVL_E_UTF8  the arguments; `handler` is never called
 *            SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX, SVL_E_LIMIT  the filter's pattern, as svl_pattern_compile():
 *                         svl_last_error() says where and why
 *            SVL_E_STATE  after svl_start()
 *            SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  options are copied; `user` must stay valid until svl_close() has returned, and after its
 *            SVL_E_TIMEOUT until the handler has
 * Thread     one thread at a time
 * Blocks     no */
SVL_EXPORT int svl_on_ingest(svl_pipeline *pipeline, const svl_ingest_options *options,
                             svl_ingest_fn *handler, void *user);

/* Adds a record after the one at hand: it is stored right behind it, in the same durable batch, and
 * is not seen by ingest handlers.
 *
 * Result     SVL_OK
 * Errors     those of svl_publish() for a record, and
 *            SVL_E_LIMIT  more than ingest_emit_max records, or too many bytes, for one record
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_ingest_emit(svl_ingest *ingest, const svl_record *record);

/* Registers a stored handler. With a name it goes on where that name was last done, also after a
 * crash; opening a name again with other settings updates them. The filter narrows what is read, as
 * svl_store_query() says; a record that its pattern cannot be held against is passed, and logged.
 *
 * Result     *out (may be NULL) is the subscription
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_OPTION, SVL_E_RESERVED, SVL_E_NAME_TOO_LONG,
 *            SVL_E_KEY_TOO_LONG, SVL_E_UTF8  the arguments; `handler` is never called
 *            SVL_E_PATTERN, SVL_E_PATTERN_COMPLEX, SVL_E_LIMIT  the filter's pattern, as svl_pattern_compile():
 *                          svl_last_error() says where and why
 *            SVL_E_BUSY    the name is open already
 *            SVL_E_CLOSED  after svl_stop()
 *            SVL_E_FAILED  the store is in fail-stop: nothing is handed out any more
 *            SVL_E_VERSION  the name's position is one of a newer version
 *            SVL_E_CORRUPT, SVL_E_IO, SVL_E_NOMEM, SVL_E_FORKED
 * Ownership  options are copied; `user` must stay valid until svl_unsubscribe() or svl_close() has
 *            returned, and after the latter's SVL_E_TIMEOUT until the handler has. *out is owned:
 *            svl_unsubscribe(), or left to svl_close(). The handler may be called before *out is set
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_on_stored(svl_pipeline *pipeline, const svl_stored_options *options,
                             svl_stored_fn *handler, void *user, svl_subscription **out);

/* Detaches a stored handler and waits for its callback. The name's position is kept. NULL is fine.
 *
 * Result     SVL_OK
 * Errors     SVL_E_DEADLOCK  inside this subscription's own callback: nothing is changed
 *            SVL_E_INVALID   a consumer's: svl_consumer_close()
 *            SVL_E_FORKED
 * Ownership  the handle is consumed, except after these errors. Inside another callback it does not
 *            wait: `released` (may be NULL) is called with the handler's user when that is free to go,
 *            in every case exactly once
 * Thread     any thread
 * Blocks     while its callback runs */
SVL_EXPORT int svl_unsubscribe(svl_subscription *subscription, svl_released_fn *released);

/* Stops delivery to a subscription; durable: it stays paused over restarts until it is resumed.
 *
 * Result     SVL_OK; a batch in the callback, or out to a consumer, is finished: in_flight of
 *            svl_subscription_info_get(). Where that is 0 no other comes before it is resumed
 * Errors     SVL_E_NOMEM, SVL_E_FAILED  it is paused, but a restart may not know it
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_subscription_pause(svl_subscription *subscription);

/* Resumes delivery, with the attempts of the batch at hand, and the times that a record has killed the process,
 * set back to none.
 *
 * Result     SVL_OK
 * Errors     SVL_E_NOMEM, SVL_E_FAILED  it is resumed, but a restart may not know it
 *            SVL_E_INVALID, SVL_E_FORKED
 * Ownership  nothing changes hands
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_subscription_resume(svl_subscription *subscription);

/* Position, counts and state.
 *
 * Result     *info is filled up to its struct_size
 * Errors     SVL_E_INVALID, SVL_E_STRUCT_SIZE, SVL_E_FORKED
 * Ownership  the caller's memory
 * Thread     any thread
 * Blocks     no */
SVL_EXPORT int svl_subscription_info_get(svl_subscription *subscription,
                                         svl_subscription_info *info);

/* The records of a batch, one contiguous array in id order.
 *
 * Result     *records is an array of *n records, at least one
 * Errors     SVL_E_INVALID
 * Ownership  borrowed until the callback returns or the batch is acknowledged
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_batch_records(svl_batch *batch, const svl_record **records, size_t *n);

/* Which attempt this is: 1 for the first.
 *
 * Result     the attempt number, 0 for NULL
 * Errors     none
 * Ownership  nothing changes hands
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT uint32_t svl_batch_attempt(const svl_batch *batch);

/* What is special about this batch.
 *
 * Result     SVL_BATCH_*, 0 for NULL
 * Errors     none
 * Ownership  nothing changes hands
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT uint32_t svl_batch_flags(const svl_batch *batch);

/* Marks record `i` as failed: the records before the first one that is failed or deferred are done, the
 * rest comes again after a wait; counts as an attempt.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID  no such record
 * Ownership  `reason` (may be NULL) is copied, up to 255 bytes
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_batch_fail(svl_batch *batch, size_t i, const char *reason);

/* Marks record `i` as one that can never be done: it is given up now (SVL_ON_FAILURE_*), and those behind it
 * are not held back. Behind a record that is failed or deferred, or when the call fails, it does not count:
 * the record comes again.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID  no such record
 *            SVL_E_LIMIT, SVL_E_NOMEM
 * Ownership  `reason` (may be NULL) is copied, up to 255 bytes
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_batch_reject(svl_batch *batch, size_t i, const char *reason);

/* Marks record `i` to come again in `delay_ms`, with all behind it; counts no attempt.
 *
 * Result     SVL_OK
 * Errors     SVL_E_INVALID  no such record, or a delay above 86,400,000
 * Ownership  nothing changes hands
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_batch_defer(svl_batch *batch, size_t i, uint32_t delay_ms);

/* Emits a record that record `i` caused: it is stored, in one durable batch with the subscription's
 * progress, when record `i` is done, and discarded when it is not: exactly once. Its hops
 * (SVL_RECORD_HOPS) are one more than those of record `i`: past the hops_max of a subscription it is given up.
 *
 * Result     SVL_OK
 * Errors     those of svl_publish() for a record, and
 *            SVL_E_LIMIT  more than 10,000 emits, or more bytes than a quarter of a journal file
 *            SVL_E_INVALID, SVL_E_NOMEM
 * Ownership  copied
 * Thread     callback only
 * Blocks     no */
SVL_EXPORT int svl_batch_emit(svl_batch *batch, size_t i, const svl_record *record);

#ifdef __cplusplus
}
#endif

#endif
