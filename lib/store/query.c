/* query.c - a query checked and copied, and where its cursor starts. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "cursor.h"

#define QUERY_FIRST_SIZE sizeof(svl_query)

static int check_query(const svl_query *query)
{
    uint32_t known = SVL_QUERY_BACKWARD | SVL_QUERY_FOLLOW | SVL_QUERY_TAIL;
    if (query->flags & ~known)
        return svl__fail(SVL_E_INVALID, "svl_query.flags has unknown bits: %#x", query->flags);
    if (query->flags & SVL_QUERY_BACKWARD && query->flags != SVL_QUERY_BACKWARD)
        return svl__fail(SVL_E_INVALID, "SVL_QUERY_BACKWARD goes neither with SVL_QUERY_FOLLOW nor "
                                        "with SVL_QUERY_TAIL");
    if (query->tail != 0 && !(query->flags & SVL_QUERY_TAIL))
        return svl__fail(SVL_E_INVALID, "svl_query.tail without SVL_QUERY_TAIL");
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
    if (query->key_kind == SVL_KEY_ANY && query->key_low.len + query->key_high.len > 0)
        return svl__fail(SVL_E_INVALID, "a key of svl_query without a key_kind");
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

/* From the query's times, the second exclusive, 0 for none, to inclusive ones. */
static void take_times(struct conditions *c, const svl_query *query)
{
    c->time_min_ns = query->time_min_ns ? query->time_min_ns : INT64_MIN;
    c->time_max_ns = INT64_MAX;
    if (query->time_max_ns == INT64_MIN) { /* nothing is before it */
        c->time_min_ns = INT64_MAX;
        c->time_max_ns = INT64_MIN;
    } else if (query->time_max_ns != 0) {
        c->time_max_ns = query->time_max_ns - 1;
    }
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
    cursor->id_max = query->id_max ? query->id_max : UINT64_MAX;
    cursor->expected_id = query->id_min;
    cursor->follows = query->flags & SVL_QUERY_FOLLOW;
    take_times(c, query);
    c->severity_mask = SEVERITY_MASK_ANY << query->severity_min;
    c->backward = query->flags & SVL_QUERY_BACKWARD;
    c->key.kind = query->key_kind;
    c->key.low = copy_slice(&to, query->key_low);
    c->key.high = copy_slice(&to, query->key_high);
    c->source.text = copy_slice(&to, query->source);
    c->type.text = copy_slice(&to, query->type);
    cursor->limit = query->limit ? query->limit : UINT64_MAX;
    return SVL_OK;
}

/* The id of the record that `query->tail` matching ones begin with; *id stays where there are fewer. */
static int find_tail(svl_store *store, const svl_query *query, const struct selection *selection,
                     uint64_t *id)
{
    uint64_t durable_id = svl__store_durable_id(store);
    if (query->tail == 0) {
        *id = durable_id >= *id ? durable_id + 1 : *id;
        return SVL_OK;
    }
    svl_query backward = *query;
    backward.flags = SVL_QUERY_BACKWARD;
    backward.limit = query->tail;
    backward.tail = 0;
    svl_cursor *cursor;
    int rc = svl__store_query_selected(store, &backward, selection, &cursor);
    if (rc != SVL_OK)
        return rc;
    const svl_record *records;
    uint64_t found = 0, lowest = 0;
    size_t n;
    while ((rc = svl_cursor_next_many(cursor, 0, SIZE_MAX, &records, &n)) == SVL_OK ||
           svl__is_damage(rc) || rc == SVL_E_LIMIT) { /* told when the cursor comes to it */
        if (rc == SVL_OK)
            lowest = records[n - 1].id;
        found += n;
    }
    svl_cursor_close(cursor);
    if (found == query->tail)
        *id = lowest;
    return rc == SVL_E_END ? SVL_OK : rc;
}

static int start(svl_cursor *cursor, const svl_query *query)
{
    svl_store *store = cursor->store;
    int rc = copy_conditions(cursor, query);
    if (rc == SVL_OK && cursor->selection)
        svl__conditions_narrow(&cursor->conditions, &cursor->selection->bounds);
    if (rc == SVL_OK && store->reader)
        rc = cursor->follows ? svl__reader_listen(store) : SVL_OK;
    if (rc == SVL_OK && store->reader)
        rc = svl__reader_look(store);
    if (rc == SVL_OK)
        rc = svl__block_reader_create(&cursor->reader);
    if (rc == SVL_OK && query->flags & SVL_QUERY_TAIL)
        rc = find_tail(store, query, cursor->selection, &cursor->conditions.id_min);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    cursor->wakes_seen = store->wakes;
    pthread_mutex_unlock(&store->lock);
    return svl__snapshot_take(cursor);
}

/* `own` is what is freed with the cursor, `selection` what it asks. */
static int open_cursor(svl_store *store, const svl_query *query, const struct selection *selection,
                       struct selection *own, svl_cursor **out)
{
    svl_cursor *cursor = svl__calloc(1, sizeof *cursor);
    if (!cursor) {
        svl__selection_destroy(own);
        return SVL_E_NOMEM;
    }
    svl__store_hold(store);
    cursor->store = store;
    cursor->selection = selection;
    cursor->own_selection = own;
    int rc = start(cursor, query);
    if (rc != SVL_OK) {
        svl_cursor_close(cursor);
        return rc;
    }
    *out = cursor;
    return SVL_OK;
}

static int check(svl_store *store, const svl_query *query, svl_query *whole)
{
    int rc = svl__store_check_forked(store);
    if (rc == SVL_OK)
        rc = svl__options_copy(whole, sizeof *whole, query, QUERY_FIRST_SIZE, "svl_query");
    return rc == SVL_OK ? check_query(whole) : rc;
}

int svl_store_query(svl_store *store, const svl_query *query, svl_cursor **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    svl_query whole;
    struct selection *own = NULL;
    int rc = check(store, query, &whole);
    if (rc == SVL_OK && whole.pattern)
        rc = svl__selection_compile(whole.pattern, "svl_query.pattern", &own);
    return rc == SVL_OK ? open_cursor(store, &whole, own, own, out) : rc;
}

int svl__store_query_selected(svl_store *store, const svl_query *query,
                              const struct selection *selection, svl_cursor **out)
{
    *out = NULL;
    svl_query whole;
    int rc = check(store, query, &whole);
    return rc == SVL_OK ? open_cursor(store, &whole, selection, NULL, out) : rc;
}
