/* tail - the newest records in memory: batches as they came, then blocks once encoded.
 *
 *   L1  blocks hold the ids (committed_id, encoded_id], batches those above, in order, without a gap.
 *   L2  a batch or block that somebody holds is never changed; one that only the tail holds may grow.
 *   L3  what is above the durable id is never handed to a reader.
 *   L4  blocks ahead follow encoded_id without a gap, and end above the durable id: nobody but the flusher sees
 *       them, until the flush that makes their last record durable shows them.
 *
 * Nothing here locks: the store's lock is held by the caller of every function but the reference
 * counts. */
#ifndef SVL_STORE_TAIL_H
#define SVL_STORE_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "block.h"
#include "journal.h"
#include "store.h"
#include "values.h"

/* Records of `ingest_ns`, up to index `end` of the batch. */
struct ingest_run {
    uint32_t end;
    int64_t ingest_ns;
};

struct batch {
    uint64_t first_id;
    uint32_t count;
    uint64_t ticket;
    struct buffer wire;    /* records back to back */
    struct buffer offsets; /* u32 each: where record i starts */
    struct buffer runs;    /* struct ingest_run each */
    struct buffer ops;     /* encoded: values.h */
    struct values values;  /* what they set: made before they are written */
    uint32_t op_count;
    uint64_t last_op;
    uint32_t clock_records; /* of these records, that tell of a step of the clock */
    struct ring_position rings[JOURNAL_RINGS_MAX];
    uint32_t ring_count;
    bool refusable;     /* its feeds are: a full disk may refuse it whole */
    bool ends_block;    /* the encoder ends a block with its last record */
    bool is_stamped;    /* has its ingest time: may be encoded; guarded by the store's lock */
    int refused;        /* the code, if it was; guarded by the store's lock */
    struct batch *next; /* in the flusher's queue; among the spare ones */
    _Atomic uint32_t references;
    /* keymarks.h; NULL: none. Not counted as its memory, of which they are a seventeenth at most. */
    _Atomic(uint16_t *) key_marks;
};

struct batch *svl__batch_create(void);
struct batch *svl__batch_hold(struct batch *batch);
void svl__batch_release(struct batch *batch); /* NULL is fine */
uint64_t svl__batch_last_id(const struct batch *batch);
size_t svl__batch_memory(const struct batch *batch);
/* Space for `count` more records of `bytes` together, and their ingest time: then appending and
 * svl__batch_set_ingest() cannot fail. */
bool svl__batch_reserve(struct batch *batch, size_t count, size_t bytes);
void svl__batch_append(struct batch *batch, const uint8_t *wire, uint32_t len);
/* Record i: its wire bytes and ingest time. */
svl_slice svl__batch_wire(const struct batch *batch, uint32_t i);
int64_t svl__batch_ingest_ns(const struct batch *batch, uint32_t i);
/* All its records get this ingest time. */
bool svl__batch_set_ingest(struct batch *batch, int64_t ingest_ns);

/* Of batches kept, once encoded, for the memory that the next records need. */
#define SPARE_BYTES_MAX (UINT64_C(4) << 20)

struct tail {
    struct batch **batches; /* durable ones, ascending */
    size_t batch_first, batch_count, batch_capacity;
    struct block **blocks; /* ascending */
    size_t block_first, block_count, block_capacity;
    size_t ahead_count;   /* blocks behind these that are not shown yet (L4) */
    uint64_t bytes;       /* memory of both */
    uint64_t block_bytes; /* encoded bytes of the blocks */
    uint64_t wire_bytes;  /* of durable records that are not encoded yet */
    uint64_t encoded_id;  /* highest id in a block or below */
    uint64_t durable_id;
    struct batch *spares; /* empty ones, for their memory; not counted in `bytes` */
    uint64_t spare_bytes;
};

void svl__tail_free(struct tail *tail);
/* Takes a durable batch, and the caller's reference; small neighbours are merged; what blocks ahead cover is
 * shown as these. SVL_E_NOMEM: not taken. */
int svl__tail_add_batch(struct tail *tail, struct batch *batch);
/* Makes room so that the next `n` svl__tail_add_batch() cannot fail, whatever else is called between.
 * SVL_E_NOMEM. */
int svl__tail_reserve_batches(struct tail *tail, size_t n);
/* Takes a block that starts behind svl__tail_last_encoded(), and the caller's reference. One that is durable is
 * shown, and what it covers dropped; else it is ahead. */
int svl__tail_add_block(struct tail *tail, struct block *block);
/* The highest id in a block, shown or ahead, or below. */
uint64_t svl__tail_last_encoded(const struct tail *tail);
/* The blocks ahead that hold exactly the batch's records, into `out` (not held): how many; 0: there are none,
 * or more than `max`. */
size_t svl__tail_blocks_of(const struct tail *tail, const struct batch *batch, size_t max,
                           struct block **out);
/* An empty batch with the memory of one that was encoded, NULL if none is kept; and away with what is kept. */
struct batch *svl__tail_take_spare(struct tail *tail);
void svl__tail_drop_spares(struct tail *tail);
/* The last id of as many blocks, oldest first, as have `bytes` together; of all, if they have less. */
uint64_t svl__tail_last_within(const struct tail *tail, uint64_t bytes);
/* Drops the blocks that end at `id` or before: they are committed. */
void svl__tail_drop_blocks(struct tail *tail, uint64_t id);
/* Everything up to `id` is in segments: blocks and batches that end there go, and what begins before it is
 * looked at from `id` + 1 on. For who reads what another process writes. */
void svl__tail_pass(struct tail *tail, uint64_t id);
/* Batches that hold ids in [id_min, durable_id] above encoded_id: held, ascending, into a new array. */
int svl__tail_hold_batches(const struct tail *tail, uint64_t id_min, uint64_t id_max,
                           struct batch ***out, size_t *n);
int svl__tail_hold_blocks(const struct tail *tail, uint64_t id_min, uint64_t id_max,
                          struct block ***out, size_t *n);

#endif
