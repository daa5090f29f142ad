/* query.c - a query checked and copied, and the snapshot that its cursor reads. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "cursor.h"

#define QUERY_FIRST_SIZE sizeof(svl_query)

static int check_query(const svl_query *query)
{
    if (query->flags & ~(uint32_t)SVL_QUERY_BACKWARD)
        return svl__fail(SVL_E_INVALID, "svl_query.flags has unknown bits: %#x", query->flags);
    if (query->key_kind > SVL_KEY_RANGE)
        return svl__fail(SVL_E_INVALID, "svl_query.key_kind is %u; SVL_KEY_*", query->key_kind);
    if (query->severity_min > SVL_SEVERITY_MAX)
        return svl__fail(SVL_E_INVALID, "svl_query.severity_min is %u; 0 to %d",
                         query->severity_min, SVL_SEVERITY_MAX);
    const svl_slice *slices[] = { &query->key_low, &query->key_high, &query->source, &query->type };
    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++)
        if (!slices[i]->data && slices[i]->len > 0)
            return svl__fail(SVL_E_INVALID, "a slice of svl_query has a length and no data");
    if (query->key_low.len > RECORD_KEY_MAX || query->key_high.len > RECORD_KEY_MAX)
        return svl__fail(SVL_E_KEY_TOO_LONG, "a key of svl_query; at most %d bytes",
                         RECORD_KEY_MAX);
    if (query->key_kind == SVL_KEY_EXACT && query->key_low.len == 0)
        return svl__fail(SVL_E_INVALID, "SVL_KEY_EXACT with an empty key_low");
    return SVL_OK;
}

static svl_slice copy_slice(uint8_t **to, svl_slice slice)
{
    svl_slice copy = { *to, slice.len };
    if (slice.len > 0)
        memcpy(*to, slice.data, slice.len);
    *to += slice.len;
    return copy;
}

static int copy_conditions(svl_cursor *cursor, const svl_query *query)
{
    size_t size = query->key_low.len + query->key_high.len + query->source.len + query->type.len;
    cursor->copied = svl__malloc(size);
    if (!cursor->copied)
        return SVL_E_NOMEM;
    uint8_t *to = cursor->copied;
    struct conditions *c = &cursor->conditions;
    c->id_min = query->id_min ? query->id_min : 1;
    c->id_max = query->id_max ? query->id_max : UINT64_MAX;
    c->time_min_ns = query->time_min_ns ? query->time_min_ns : INT64_MIN;
    c->time_max_ns = query->time_max_ns; /* no end is not INT64_MAX: a record may have that time */
    c->severity_min = query->severity_min;
    c->backward = query->flags & SVL_QUERY_BACKWARD;
    c->key.kind = query->key_kind;
    c->key.low = copy_slice(&to, query->key_low);
    c->key.high = copy_slice(&to, query->key_high);
    c->source = copy_slice(&to, query->source);
    c->type = copy_slice(&to, query->type);
    cursor->limit = query->limit ? query->limit : UINT64_MAX;
    return SVL_OK;
}

/* Q1: the durable end and the tail in one step, the segments after it: what was committed since lies
 * above committed_id and is read from the tail. */
static int take_snapshot(svl_cursor *cursor)
{
    svl_store *store = cursor->store;
    struct conditions *c = &cursor->conditions;
    pthread_mutex_lock(&store->lock);
    if (c->id_max > store->tail.durable_id)
        c->id_max = store->tail.durable_id;
    cursor->committed_id = store->committed_id;
    cursor->batch_from = store->tail.encoded_id + 1;
    uint64_t from = c->id_min > store->committed_id ? c->id_min : store->committed_id + 1;
    int rc = SVL_OK;
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
    cursor->explanation.segments = cursor->segment_count;
    return rc;
}

int svl_store_query(svl_store *store, const svl_query *query, svl_cursor **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    int rc = svl__store_check_forked(store);
    svl_query whole;
    if (rc == SVL_OK)
        rc = svl__options_copy(&whole, sizeof whole, query, QUERY_FIRST_SIZE, "svl_query");
    if (rc == SVL_OK)
        rc = check_query(&whole);
    if (rc != SVL_OK)
        return rc;
    svl_cursor *cursor = svl__calloc(1, sizeof *cursor);
    if (!cursor)
        return SVL_E_NOMEM;
    svl__store_hold(store);
    cursor->store = store;
    rc = copy_conditions(cursor, &whole);
    if (rc == SVL_OK)
        rc = svl__block_reader_create(&cursor->reader);
    if (rc == SVL_OK)
        rc = take_snapshot(cursor);
    if (rc != SVL_OK) {
        svl_cursor_close(cursor);
        return rc;
    }
    *out = cursor;
    return SVL_OK;
}
