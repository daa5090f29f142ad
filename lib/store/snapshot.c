/* snapshot.c - what a cursor reads: held segments, and of the tail held blocks and batches. */
#include "base/alloc.h"
#include "cursor.h"

/* The lowest id that is held, 0 if nothing is. */
static uint64_t lowest_id(const svl_cursor *cursor)
{
    if (cursor->segment_count > 0) {
        struct segment_info info;
        svl__segment_entry_info(&cursor->store->segments, cursor->segments[0], &info);
        return info.first_id;
    }
    if (cursor->block_count > 0)
        return cursor->blocks[0]->zone.first_id;
    return cursor->batch_count > 0 ? cursor->batches[0]->first_id : 0;
}

void svl__note_gap(svl_cursor *cursor, uint64_t first_id, uint64_t last_id)
{
    if (cursor->gap_first == 0)
        cursor->gap_first = first_id;
    cursor->gap_last = last_id;
}

/* Ids are given without a gap: what is missing at the beginning was retired. */
static void look_for_gap(svl_cursor *cursor)
{
    const struct conditions *c = &cursor->conditions;
    uint64_t expected = cursor->expected_id, lowest = lowest_id(cursor);
    if (lowest == 0)
        lowest = c->id_max + 1;
    if (expected != 0 && !c->backward && expected < lowest && expected <= c->id_max)
        svl__note_gap(cursor, expected, lowest - 1);
    cursor->expected_id = c->id_max + 1;
}

/* Segments that do not have the key are not looked into, whatever else is asked. */
static void sift(svl_cursor *cursor)
{
    const struct key_condition *key = &cursor->conditions.key;
    svl_store *store = cursor->store;
    size_t damaged;
    if (key->kind != SVL_KEY_EXACT || cursor->segment_count == 0)
        return;
    size_t kept = svl__segments_sift(&store->segments, key->low, cursor->segments,
                                     cursor->segment_count, &damaged);
    cursor->explanation.segments_skipped += cursor->segment_count - kept;
    cursor->segment_count = kept;
    if (damaged == 0)
        return;
    pthread_mutex_lock(&store->lock);
    store->stats.damaged += damaged;
    svl__filters_want(store);
    pthread_mutex_unlock(&store->lock);
}

/* The durable end and the tail in one step, the segments after it: what was committed since lies above
 * committed_id and is read from the tail. */
int svl__snapshot_take(svl_cursor *cursor)
{
    svl_store *store = cursor->store;
    struct conditions *c = &cursor->conditions;
    int rc = SVL_OK;
    pthread_mutex_lock(&store->lock);
    c->id_max = cursor->id_max < store->tail.durable_id ? cursor->id_max : store->tail.durable_id;
    cursor->committed_id = store->committed_id;
    cursor->tail_from = store->committed_id + 1;
    cursor->batch_from = store->tail.encoded_id + 1;
    uint64_t from = c->id_min > store->committed_id ? c->id_min : store->committed_id + 1;
    if (from <= c->id_max) {
        rc = svl__tail_hold_blocks(&store->tail, from, c->id_max, &cursor->blocks,
                                   &cursor->block_count);
        if (rc == SVL_OK)
            rc = svl__tail_hold_batches(&store->tail, from, c->id_max, &cursor->batches,
                                        &cursor->batch_count);
    }
    pthread_mutex_unlock(&store->lock);
    uint64_t to = c->id_max < cursor->committed_id ? c->id_max : cursor->committed_id;
    if (rc == SVL_OK && c->id_min <= to)
        rc = svl__segments_hold(&store->segments, c->id_min, to, &cursor->segments,
                                &cursor->segment_count);
    cursor->explanation.segments += cursor->segment_count;
    if (rc == SVL_OK)
        look_for_gap(cursor);
    if (rc == SVL_OK)
        sift(cursor);
    return rc;
}

void svl__snapshot_drop(svl_cursor *cursor)
{
    for (size_t i = 0; i < cursor->segment_count; i++)
        svl__segment_entry_release(&cursor->store->segments, cursor->segments[i]);
    for (size_t i = 0; i < cursor->block_count; i++)
        svl__block_release(cursor->blocks[i]);
    for (size_t i = 0; i < cursor->batch_count; i++)
        svl__batch_release(cursor->batches[i]);
    svl__free(cursor->segments);
    svl__free(cursor->blocks);
    svl__free(cursor->batches);
    cursor->segments = NULL;
    cursor->blocks = NULL;
    cursor->batches = NULL;
    cursor->segment_count = cursor->block_count = cursor->batch_count = 0;
    cursor->segment_next = cursor->block_next = cursor->batch_next = 0;
}
