/* follow.c - a cursor that goes on with what becomes durable.
 *
 *     at the end of its snapshot --more is durable--> the next snapshot, from the next id on
 *                 |
 *                 +-- time-out, svl_store_wake(), the end of the store: an outcome; it may be asked again
 *
 * Nothing is held while it waits, so a follower that sleeps for a week pins neither memory nor segments;
 * what retention takes meanwhile is a gap that it is told of. */
#include "base/thread.h"
#include "cursor.h"

/* `lock` held. Waits until `id` is durable. */
static int wait_durable(svl_cursor *cursor, uint64_t id, int64_t deadline_ns)
{
    svl_store *store = cursor->store;
    for (;;) {
        if (cursor->wakes_seen != store->wakes) {
            cursor->wakes_seen = store->wakes;
            return SVL_E_AGAIN;
        }
        if (store->tail.durable_id >= id)
            return SVL_OK;
        if (store->failed)
            return svl__store_failure(store);
        if (store->followers_end)
            return svl__fail(SVL_E_CLOSED, "%s has stopped, and the cursor has seen everything",
                             store->path);
        if (!svl__cond_wait(&store->progress, &store->lock, deadline_ns))
            return SVL_E_TIMEOUT;
    }
}

int svl__cursor_follow(svl_cursor *cursor, int64_t deadline_ns)
{
    svl_store *store = cursor->store;
    uint64_t next_id = cursor->conditions.id_max + 1;
    if (next_id < cursor->conditions.id_min)
        next_id = cursor->conditions.id_min; /* it starts above what is durable */
    if (next_id > cursor->id_max)
        return SVL_E_END;
    svl__snapshot_drop(cursor);
    pthread_mutex_lock(&store->lock);
    int rc = wait_durable(cursor, next_id, deadline_ns);
    pthread_mutex_unlock(&store->lock);
    if (rc != SVL_OK)
        return rc;
    cursor->conditions.id_min = next_id;
    rc = svl__snapshot_take(cursor);
    if (rc != SVL_OK)
        cursor->failed = rc;
    return rc;
}

void svl__store_end_followers(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->followers_end = true;
    pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
}

int svl_store_wake(svl_store *store)
{
    int rc = svl__store_check_forked(store);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    store->wakes++;
    pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
    return SVL_OK;
}

int svl_cursor_gap(svl_cursor *cursor, uint64_t *first_id, uint64_t *last_id)
{
    if (first_id)
        *first_id = 0;
    if (last_id)
        *last_id = 0;
    if (!cursor || !first_id || !last_id)
        return svl__fail(SVL_E_INVALID, "cursor, first_id or last_id is NULL");
    if (svl__forked(cursor->store->process_mark))
        return svl__fail(SVL_E_FORKED, "the cursor was opened before fork()");
    *first_id = cursor->gap_first;
    *last_id = cursor->gap_last;
    cursor->gap_first = cursor->gap_last = 0;
    return SVL_OK;
}
