/* observer.c - telling the layer above, without a lock held: one call to the one who listens now, none to
 * the one before it once it has been replaced. */
#include "base/thread.h"
#include "state.h"

void svl__store_observe(svl_store *store, const struct store_observer *observer)
{
    pthread_mutex_lock(&store->lock);
    store->observer = *observer;
    while (store->observer_calls > 0)
        svl__cond_wait(&store->progress, &store->lock, INT64_MAX);
    pthread_mutex_unlock(&store->lock);
}

static struct store_observer begin(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct store_observer observer = store->observer;
    store->observer_calls++;
    pthread_mutex_unlock(&store->lock);
    return observer;
}

static void end(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (--store->observer_calls == 0)
        pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
}

void svl__store_tell_written(svl_store *store, const struct batch *batch)
{
    struct store_observer observer = begin(store);
    if (observer.written)
        observer.written(batch->rings, batch->ring_count, observer.user);
    end(store);
}

void svl__store_tell_durable(svl_store *store, uint64_t id, uint64_t ticket)
{
    struct store_observer observer = begin(store);
    if (observer.durable)
        observer.durable(id, ticket, observer.user);
    end(store);
}

void svl__store_tell_ready(svl_store *store)
{
    struct store_observer observer = begin(store);
    if (observer.ready)
        observer.ready(observer.user);
    end(store);
}
