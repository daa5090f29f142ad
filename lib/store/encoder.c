/* encoder.c - durable batches into blocks, a whole block at a time, or what there is when a commit asks.
 *
 * Batches are held while their records are read outside the lock; a finished block enters the tail and
 * the batches that it covers leave it, in one step. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

#define RETRY_MS 100

struct encoder {
    svl_store *store;
    struct block_builder *builder;
    struct batch **batches; /* held */
    size_t batch_count;
    uint64_t next_id; /* to encode */
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
    const struct tail *tail = &store->tail;
    return tail->wire_bytes >= store->options.block_bytes ||
           (tail->encoded_id < store->encode_wanted && tail->encoded_id < tail->durable_id);
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
        } else if (rc == SVL_OK) { /* the tail alone holds it then: its memory is soon used again */
            svl__batch_release(e->batches[i]);
            e->batches[i++] = NULL;
        }
        if (rc != SVL_OK)
            return rc;
    }
    if (svl__block_builder_raw_bytes(e->builder) >= e->store->options.block_bytes ||
        (all && svl__block_builder_count(e->builder) > 0))
        return finish_block(e);
    return SVL_OK;
}

/* One round: hold what is durable and not encoded, encode it. */
int svl__encode_round(svl_store *store)
{
    struct encoder e = { .store = store, .builder = store->builder };
    pthread_mutex_lock(&store->lock);
    bool all = store->encode_wanted > store->tail.encoded_id;
    /* What the builder holds already is not in the tail's encoded part yet. */
    e.next_id = store->tail.encoded_id + 1 + svl__block_builder_count(e.builder);
    int rc = svl__tail_hold_batches(&store->tail, e.next_id, store->tail.durable_id, &e.batches,
                                    &e.batch_count);
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
