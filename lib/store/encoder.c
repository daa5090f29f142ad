/* encoder.c - batches into blocks, a whole block at a time, or what there is when a commit asks.
 *
 * Batches are held while their records are read outside the lock; a finished block enters the tail and
 * the batches that it covers leave it, in one step. Once all that is durable is encoded come those that wait for
 * their write, as far as they end a block: the flusher writes that instead, if it is there in time. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

#define RETRY_MS 100
#define BEHIND_BLOCKS 8

struct encoder {
    svl_store *store;
    struct block_builder *builder;
    struct batch **batches; /* held */
    size_t batch_count;
    uint64_t next_id;  /* to encode */
    uint64_t ahead_id; /* a block ends with it */
};

static void let_go(struct encoder *e)
{
    for (size_t i = 0; i < e->batch_count; i++)
        svl__batch_release(e->batches[i]);
    svl__free(e->batches);
    e->batches = NULL;
    e->batch_count = 0;
}

static bool has_work(const svl_store *store)
{
    uint64_t encoded_id = svl__tail_last_encoded(&store->tail);
    bool enough =
        store->tail.wire_bytes >= store->options.block_bytes || encoded_id < store->encode_wanted;
    return (enough && encoded_id < store->tail.durable_id) || encoded_id < store->encode_ahead;
}

bool svl__encoder_is_behind(const svl_store *store)
{
    return store->tail.wire_bytes >= BEHIND_BLOCKS * store->options.block_bytes;
}

/* Adds the batch's records from next_id on; SVL_E_FULL when the block is full. */
static int add_batch(struct encoder *e, const struct batch *batch)
{
    uint64_t last_id = svl__batch_last_id(batch);
    while (e->next_id <= last_id) {
        uint32_t i = (uint32_t)(e->next_id - batch->first_id);
        svl_slice wire = svl__batch_wire(batch, i);
        wire_prefetch(wire.data, wire.len);
        struct wire_view view;
        int rc = svl__wire_view(wire.data, wire.len, &view);
        if (rc == SVL_OK)
            rc = svl__block_builder_add(e->builder, e->next_id, svl__batch_ingest_ns(batch, i),
                                        &view);
        if (rc != SVL_OK)
            return rc;
        e->next_id++;
    }
    return SVL_OK;
}

/* A finished block goes into the tail. Without memory it is tried again: the records are in the
 * builder. */
static int finish_block(struct encoder *e)
{
    svl_store *store = e->store;
    struct block *block;
    int rc = svl__block_builder_finish(e->builder, &block);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    rc = svl__tail_add_block(&store->tail, block);
    bool ready = svl__store_turns_ready(store);
    svl__job_wake(store, JOB_COMMIT);
    pthread_mutex_unlock(&store->lock);
    if (rc != SVL_OK)
        svl__block_release(block); /* its records are in the batches still */
    if (ready)
        svl__store_tell_ready(store);
    return rc;
}

/* Encodes whole blocks from the held batches, and with `all` also what is left over. */
static int encode(struct encoder *e, bool all)
{
    for (size_t i = 0; i < e->batch_count;) {
        int rc = add_batch(e, e->batches[i]);
        if (rc == SVL_E_FULL) {
            rc = finish_block(e);
        } else if (rc == SVL_OK) {
            /* The store alone holds the batch then: its memory is soon used again. */
            bool ends_block = e->batches[i]->ends_block;
            svl__batch_release(e->batches[i]);
            e->batches[i++] = NULL;
            if (ends_block && svl__block_builder_count(e->builder) > 0)
                rc = finish_block(e);
        }
        if (rc != SVL_OK)
            return rc;
    }
    bool ends = all || e->next_id == e->ahead_id + 1; /* memory was short there the last time */
    if (svl__block_builder_raw_bytes(e->builder) >= e->store->options.block_bytes ||
        (ends && svl__block_builder_count(e->builder) > 0))
        return finish_block(e);
    return SVL_OK;
}

/* `lock` held: how many batches of the list follow record `*last_id`, up to the last that ends a block ahead;
 * those of the list are held if there is space for them at `held`. */
static size_t follow(const svl_store *store, struct batch *list, uint64_t *last_id,
                     struct batch **held)
{
    size_t n = 0;
    for (struct batch *b = list; b && *last_id < store->encode_ahead; b = b->next) {
        if (b->count == 0 || svl__batch_last_id(b) <= *last_id)
            continue;
        if (b->first_id > *last_id + 1)
            break; /* what is between is in the flusher's hands */
        if (held)
            held[n] = svl__batch_hold(b);
        n++;
        *last_id = svl__batch_last_id(b);
    }
    return n;
}

/* `lock` held: adds what is not durable yet, written or stamped. */
static int hold_ahead(struct encoder *e)
{
    svl_store *store = e->store;
    uint64_t from = store->tail.durable_id, last_id;
    if (e->next_id > from + 1)
        from = e->next_id - 1;
    last_id = from;
    size_t n = follow(store, store->written_first, &last_id, NULL);
    n += follow(store, store->queue_first, &last_id, NULL);
    if (n == 0)
        return SVL_OK;
    struct batch **batches = svl__realloc(e->batches, (e->batch_count + n) * sizeof *batches);
    if (!batches)
        return SVL_E_NOMEM;
    e->batches = batches;
    last_id = from;
    e->batch_count += follow(store, store->written_first, &last_id, batches + e->batch_count);
    e->batch_count += follow(store, store->queue_first, &last_id, batches + e->batch_count);
    return SVL_OK;
}

/* One round: hold what is not encoded, durable or, if no commit waits, ahead; encode it. */
int svl__encode_round(svl_store *store)
{
    struct encoder e = { .store = store, .builder = store->builder };
    pthread_mutex_lock(&store->lock);
    uint64_t encoded_id = svl__tail_last_encoded(&store->tail);
    e.ahead_id = store->encode_ahead;
    bool all = store->encode_wanted > encoded_id && store->tail.durable_id > encoded_id;
    /* What the builder holds already is in no block of the tail yet. */
    e.next_id = encoded_id + 1 + svl__block_builder_count(e.builder);
    int rc = svl__tail_hold_batches(&store->tail, e.next_id, store->tail.durable_id, &e.batches,
                                    &e.batch_count);
    if (rc == SVL_OK && !all)
        rc = hold_ahead(&e);
    pthread_mutex_unlock(&store->lock);
    if (rc == SVL_OK)
        rc = encode(&e, all);
    let_go(&e);
    return rc;
}

int svl__encode_all(svl_store *store)
{
    struct block_options options = { .codec = store->options.codec,
                                     .block_bytes = store->options.block_bytes };
    int rc = svl__block_builder_create(&options, &store->builder);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    store->encode_wanted = store->tail.durable_id;
    pthread_mutex_unlock(&store->lock);
    rc = svl__encode_round(store);
    svl__block_builder_destroy(store->builder);
    store->builder = NULL;
    return rc;
}

int64_t svl__encode_due_ns(const svl_store *store)
{
    if (!has_work(store) || store->closing || store->failed)
        return INT64_MAX;
    return store->encoder_short ? store->encode_retry_ns : 0;
}

/* Without memory the records stay where they are and in the journal; the memory limit holds feeding back. */
static void note_shortage(svl_store *store, bool is_short)
{
    pthread_mutex_lock(&store->lock);
    store->encoder_short = is_short;
    if (is_short) {
        store->encode_retry_ns = svl__monotonic_ns() + RETRY_MS * NS_PER_MS;
        svl__job_wake(store, JOB_COMMIT);
    }
    pthread_mutex_unlock(&store->lock);
}

void svl__encode_step(svl_store *store)
{
    int rc = svl__encode_round(store);
    if (rc == SVL_OK || rc == SVL_E_NOMEM)
        note_shortage(store, rc == SVL_E_NOMEM);
    else
        svl__store_fail(store, rc);
}
