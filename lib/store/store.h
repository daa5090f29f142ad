/* store - the coordinator of journal, tail, segments and catalog; this is the face for the layers above
 * (bus, handler, pipeline). Hosts see <serverlog/store.h>.
 *
 * The flow of a record:
 *
 *     feed -> open batch -> [flusher] journal write -> journal flush = durable, visible
 *                                 -> [encoder] blocks -> [committer] segment, then catalog
 *
 *   T1  ids are given when a record is fed, in feed order, without a gap.
 *   T2  visible = durable: nothing above the durable end is ever shown.
 *   T3  a record leaves a place only after its next place is committed in the catalog.
 *   T4  after a failed write or flush nothing is acknowledged any more (SVL_E_FAILED).
 *
 * store.c open and close · tail.c batches in memory · jobs.c who works: flusher.c, encoder.c, committer.c ·
 * recover.c · query.c, cursor.c, follow.c · retain.c · verify.c */
#ifndef SVL_STORE_STORE_H
#define SVL_STORE_STORE_H

#include <serverlog/store.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "catalog.h"
#include "journal.h"

/* Who wants to know. All are called without a lock held, one at a time for each kind; none may wait for
 * the store. NULL members are not called. */
struct store_observer {
    /* The records of ring bytes up to these positions are in the journal file: the ring may be released (they
     * survive the process; not yet power loss). What was fed as `told` is among them. Flusher thread, for batches that
     * hold something of a ring, in their order. */
    void (*written)(const struct ring_position *rings, uint32_t n, void *user);
    /* Everything up to record `id` and feed ticket `ticket` is durable. Flusher thread; also once after
     * the store has failed, with the last values. */
    void (*durable)(uint64_t id, uint64_t ticket, void *user);
    /* svl__store_accepts() turned true again, or the store failed. */
    void (*ready)(void *user);
    /* Of a threadless store: there may be work sooner than svl__store_work_due_ns() said. Also while a lock is
     * held: to pass it on, no more. */
    void (*due)(void *user);
    void *user;
};

/* As svl_store_open(), for a pipeline: only svl__store_close_owned() closes it. */
int svl__store_open_owned(const char *path, const svl_store_options *options, svl_store **out);
/* From now on this one is told instead of the one before: of everything, in between nothing is left out.
 * When it returns no call of the one before is going on, and none comes any more. */
void svl__store_observe(svl_store *store, const struct store_observer *observer);
/* Closing in two steps: everything becomes durable that can, and the writing threads end; reading, and the
 * crash rings' names, go on working until the store is freed. As svl_store_close(). */
int svl__store_end(svl_store *store);
void svl__store_release(svl_store *store);
/* Nothing will become durable any more: who follows is told, once it has seen everything. */
void svl__store_end_followers(svl_store *store);
int svl__store_close_owned(svl_store *store);
/* SVL_OK if a store may be opened with these options: for whoever opens more than a store. `whole` gets
 * the defaults filled in. */
int svl__store_options_check(const svl_store_options *from, svl_store_options *whole);

/* SVL_E_FORKED, with words, in a child of the process that opened it. */
int svl__store_check_forked(const svl_store *store);

/* For a pipeline with SVL_THREADLESS: takes the steps of the store's own work that are due, a write, a flush,
 * a block, a commit at most each. False: none was, or another thread takes them. */
bool svl__store_work(svl_store *store);
/* When the next one is due, monotonic: 0 = now, INT64_MAX = not known. */
int64_t svl__store_work_due_ns(svl_store *store);

/* The options in force, defaults filled in. */
const svl_store_options *svl__store_options(const svl_store *store);
const struct log_sink *svl__store_log(const svl_store *store);
const uint8_t *svl__store_uuid(const svl_store *store);
int svl__store_directory(const svl_store *store); /* borrowed */

/* One record to feed: wire bytes, checked already. */
struct feed_item {
    const uint8_t *wire; /* borrowed until feed returns */
    uint32_t len;
    bool follows;      /* belongs to the item before it: never in another batch */
    uint64_t ring_end; /* position behind the ring record that it came from; 0 without a ring */
    uint64_t id;       /* out */
};

/* A durable value under a key: replaced, or deleted where value.data is NULL. Key 1 to 480 bytes, value
 * at most 64 KiB. */
struct store_op {
    svl_slice key;
    svl_slice value;
};

/* What is made durable together. Items are in one batch if `atomic`; else a batch may end between two
 * groups of items that follow each other. Operations are in the batch of the last item. */
struct feed {
    struct feed_item *items;
    size_t count;
    const struct store_op *ops;
    size_t op_count;
    const struct ring_position
        *ring; /* the ring they came from, and the position behind all that was
                                         taken from it, dropped records included; NULL: no ring */
    const struct ring_position
        *told; /* a number under another uuid, in the batch of item `told_item`; NULL: none */
    size_t told_item;
    bool tells_clock; /* its record tells of a step of the clock */
    bool atomic;
    bool urgent;            /* somebody waits: flush as soon as possible */
    bool flushed_by_caller; /* who calls svl__store_flush_here() next: the flusher is not woken */
    bool space_wanted;      /* of its ring much is fed and not written: write soon */
    bool
        refusable; /* a full disk may refuse it instead of waiting, while nothing follows that may not
                       be: it is not missed, or its batch is looked at */
};

/* Gives ids and takes everything into memory. *ticket (may be NULL) is for svl__store_wait(). Never
 * waits; may overrun the memory limit by this one feed: ask svl__store_accepts() first.
 * SVL_E_FAILED, SVL_E_LIMIT (atomic and too large), SVL_E_NOMEM: nothing was taken. Any thread. */
int svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket);

/* False while twice tail_bytes are in memory or the disk is full: stop feeding; `ready` is called when
 * it turns. */
bool svl__store_accepts(svl_store *store);

/* Waits until svl__store_accepts(), SVL_E_TIMEOUT or SVL_E_FAILED. */
int svl__store_wait_accepts(svl_store *store, int64_t deadline_ns);

/* What writing or committing is short of and tries again for: SVL_E_NO_SPACE, SVL_E_NOMEM (bare codes);
 * SVL_OK: nothing. */
int svl__store_waits_for(svl_store *store);

/* Waits until what `ticket` stands for is durable, asking for a flush now: SVL_OK, SVL_E_TIMEOUT,
 * SVL_E_FAILED. `deadline_ns` is monotonic, INT64_MAX = never. */
int svl__store_wait(svl_store *store, uint64_t ticket, int64_t deadline_ns);

/* Writes and flushes what is fed, on this thread, if the flusher sleeps; else it is left to that. For whoever waits for
 * it anyway, however long, and holds no lock: what is told of it, the observer and the log are, is told by him. */
void svl__store_flush_here(svl_store *store);

/* The last ticket given: waiting for it waits for all that was fed. */
uint64_t svl__store_last_ticket(svl_store *store);

/* All tickets up to this one are durable. */
uint64_t svl__store_durable_ticket(svl_store *store);

/* The largest bytes of wire records and operations that one atomic feed can hold. */
uint64_t svl__store_feed_bytes_max(const svl_store *store);

uint64_t svl__store_durable_id(svl_store *store); /* newest visible record, 0 if none was ever */
uint64_t svl__store_first_id(svl_store *store);   /* oldest kept; durable + 1 if none */
bool svl__store_has_failed(svl_store *store);

struct selection;
/* svl_store_query() with a pattern that is compiled already, borrowed as long as there is the cursor; NULL:
 * none. The query's own is not looked at. */
int svl__store_query_selected(svl_store *store, const svl_query *query,
                              const struct selection *selection, svl_cursor **out);
/* Before a cursor's first step: it leaves out the records with these ids, u64 each, ascending. Takes the
 * buffer over. */
void svl__cursor_leave_out(svl_cursor *cursor, struct buffer *ids);
/* A code that names damage, behind which a cursor goes on. */
bool svl__is_damage(int rc);
/* A copy of `record`, as svl_store_get() gives one; NULL without memory. */
svl_record_buffer *svl__record_buffer_create(const svl_record *record);

/* The newest durable value of a key, appended to `out`: SVL_E_NOT_FOUND (no words). */
int svl__store_value(svl_store *store, svl_slice key, struct buffer *out);

/* Crash rings that the catalog knows. One is put before its file is made, and again, `made`, before a
 * record goes into it; removing comes after the file is gone. All durable when they return. */
int svl__store_rings(svl_store *store, struct ring_name **out, size_t *n);
int svl__store_ring_put(svl_store *store, const struct ring_name *ring);
int svl__store_ring_remove(svl_store *store, const struct ring_name *ring);
/* Up to where the journal held the records of the ring with this uuid at open; 0 = none. */
uint64_t svl__store_ring_position(svl_store *store, const uint8_t uuid[16]);

#endif
