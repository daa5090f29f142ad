/* consumer.c - the host's handles on a polled subscription: consumers, and the batches that they were given. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"
#include "base/thread.h"
#include "batch.h"
#include "delivery.h"

#define ACK_MS_MAX 86400000u

/* May the caller use, and with `function` wait for, these handlers? After svl_close() too. */
static int check(const struct handlers *h, const char *function)
{
    if (svl__forked(h->process_mark))
        return svl__fail(SVL_E_FORKED, "the pipeline was opened before fork(); open after it");
    if (function && svl__in_callback(h->options.store, CALLBACK_INGEST))
        return svl__fail(SVL_E_DEADLOCK, "%s() inside an ingest callback", function);
    return SVL_OK;
}

static int check_consumer(const svl_consumer *c, const char *function)
{
    return c ? check(c->handlers, function) : svl__fail(SVL_E_INVALID, "consumer is NULL");
}

static int check_batch(const svl_batch *batch, const char *function)
{
    if (!batch)
        return svl__fail(SVL_E_INVALID, "batch is NULL");
    if (!batch->handlers)
        return svl__fail(SVL_E_INVALID, "what becomes of a callback's batch is what it returns");
    return check(batch->handlers, function);
}

/* --- consumers --- */

int svl__consumer_join(svl_consumer *c, const char *name)
{
    svl_subscription *s = name ? svl__subscription_find(c->handlers, name) : NULL;
    if (!s || !s->pulls)
        return SVL_E_NOT_FOUND;
    if (s->detached)
        return svl__fail(SVL_E_BUSY, "subscription %s is being closed", name);
    c->subscription = s;
    c->next = s->consumers;
    s->consumers = c;
    return SVL_OK;
}

int svl__handlers_consume(struct handlers *h, const svl_stored_options *options, svl_consumer **out)
{
    svl_subscription *s;
    svl_consumer *c = svl__calloc(1, sizeof *c);
    if (!c)
        return SVL_E_NOMEM;
    c->handlers = h;
    c->fd = -1;
    int rc = svl__subscription_create(h, options, &s);
    if (rc == SVL_OK) {
        s->pulls = true;
        rc = svl__subscription_admit(s, c);
    }
    if (s && (rc != SVL_OK || c->subscription != s))
        svl__subscription_free(s);
    if (rc != SVL_OK) {
        svl__free(c);
        return rc;
    }
    pthread_mutex_lock(&h->lock);
    h->references++;
    c->wakes_seen = h->wakes;
    pthread_mutex_unlock(&h->lock);
    *out = c;
    return SVL_OK;
}

void svl__handlers_wake(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    h->wakes++;
    pthread_cond_broadcast(&h->polls);
    pthread_mutex_unlock(&h->lock);
}

int svl_consumer_poll(svl_consumer *consumer, int64_t timeout_ms, svl_batch **batch)
{
    if (!batch)
        return svl__fail(SVL_E_INVALID, "batch is NULL");
    *batch = NULL;
    int rc = check_consumer(consumer, "svl_consumer_poll");
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = consumer->handlers;
    int64_t deadline_ns = timeout_ms == 0 ? 0 : svl__deadline_ns(timeout_ms);
    pthread_mutex_lock(&h->lock);
    rc = svl__pull_take(consumer, deadline_ns, batch);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int svl_consumer_fd(svl_consumer *consumer, int *fd)
{
    if (!fd)
        return svl__fail(SVL_E_INVALID, "fd is NULL");
    *fd = -1;
    int rc = check_consumer(consumer, NULL);
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = consumer->handlers;
    pthread_mutex_lock(&h->lock);
    if (consumer->fd < 0 && !consumer->subscription)
        rc = svl__fail(SVL_E_CLOSED, "the pipeline has been closed");
    else if (consumer->fd < 0)
        consumer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (rc == SVL_OK && consumer->fd < 0)
        rc = svl__fail_errno(errno, "timerfd_create()");
    if (rc == SVL_OK && consumer->subscription)
        svl__pull_tell(consumer->subscription);
    if (rc == SVL_OK)
        *fd = consumer->fd;
    pthread_mutex_unlock(&h->lock);
    return rc;
}

/* `lock` held. */
static int seek(svl_subscription *s, uint32_t start_at, uint64_t id)
{
    struct handlers *h = s->handlers;
    svl_store *store = h->options.store;
    svl__pull_wait_idle(s);
    if (s->state == SUBSCRIPTION_HELD)
        svl__pull_recall(s);
    else
        svl__delivery_rest(s);
    uint64_t before = s->position;
    s->redriving = false;
    s->window_until_ns = 0;
    s->split_end = 0;
    svl__set_position(s, start_at == SVL_START_EARLIEST ? svl__store_first_id(store) - 1
                         : start_at == SVL_START_ID     ? id - 1
                                                        : svl__store_durable_id(store));
    s->counts.skipped += s->position > before ? s->position - before : 0;
    int rc = svl__progress_save(s, false, NULL);
    if (s->state != SUBSCRIPTION_HALTED) {
        s->state = s->paused ? SUBSCRIPTION_PAUSED : SUBSCRIPTION_IDLE;
        if (!s->paused && h->started && (s->position < h->durable_id || svl__redrive_is_due(s)))
            svl__subscription_ready(s);
    }
    svl__pull_tell(s);
    return rc;
}

int svl_consumer_seek(svl_consumer *consumer, uint32_t start_at, uint64_t id)
{
    int rc = check_consumer(consumer, "svl_consumer_seek");
    if (rc == SVL_OK && start_at > SVL_START_ID)
        rc = svl__fail(SVL_E_INVALID, "start_at is %u; SVL_START_*", start_at);
    if (rc == SVL_OK && start_at == SVL_START_ID && id == 0)
        rc = svl__fail(SVL_E_INVALID, "id is 0; ids start at 1");
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = consumer->handlers;
    pthread_mutex_lock(&h->lock);
    if (!consumer->subscription || h->stopping || h->ending)
        rc = svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    else
        rc = seek(consumer->subscription, start_at, id);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

svl_subscription *svl_consumer_subscription(svl_consumer *consumer)
{
    if (!consumer || svl__forked(consumer->handlers->process_mark))
        return NULL;
    pthread_mutex_lock(&consumer->handlers->lock);
    svl_subscription *s = consumer->subscription;
    pthread_mutex_unlock(&consumer->handlers->lock);
    return s;
}

/* `lock` held. Its batch comes again, to another one. */
static void retire(svl_consumer *c)
{
    svl_subscription *s = c->subscription;
    struct handlers *h = c->handlers;
    struct svl_consumer **at = &s->consumers;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!s->consumers)
        s->detached = true;
    svl__pull_wait_idle(s);
    if (s->state == SUBSCRIPTION_HELD && s->holder == c) {
        svl__pull_recall(s);
        svl__subscription_settle(s, SUBSCRIPTION_READY);
        svl__pull_tell(s);
    }
    if (s->consumers)
        return;
    if (s->state == SUBSCRIPTION_HELD)
        svl__pull_recall(s);
    svl__subscription_end(s);
    pthread_cond_broadcast(&h->changed);
}

int svl_consumer_close(svl_consumer *consumer)
{
    if (!consumer)
        return SVL_OK;
    int rc = check(consumer->handlers, "svl_consumer_close");
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = consumer->handlers;
    pthread_mutex_lock(&h->lock);
    if (consumer->subscription)
        retire(consumer);
    pthread_mutex_unlock(&h->lock);
    if (consumer->fd >= 0)
        close(consumer->fd);
    svl__free(consumer);
    svl__handlers_release(h);
    return SVL_OK;
}

/* --- batches --- */

static int settle(svl_batch *batch, int code, const char *reason)
{
    struct handlers *h = batch->handlers;
    pthread_mutex_lock(&h->lock);
    int rc = svl__pull_settle(batch, code, reason);
    pthread_mutex_unlock(&h->lock);
    svl__handlers_release(h);
    return rc;
}

int svl_batch_ack(svl_batch *batch)
{
    int rc = check_batch(batch, "svl_batch_ack");
    return rc == SVL_OK ? settle(batch, SVL_OK, batch->reason) : rc;
}

int svl_batch_nack(svl_batch *batch, int32_t code, const char *reason)
{
    int rc = check_batch(batch, "svl_batch_nack");
    if (rc == SVL_OK && code <= 0)
        rc = svl__fail(SVL_E_INVALID, "code is %d; SVL_FAIL, or a positive one of your own", code);
    return rc == SVL_OK ? settle(batch, code, reason ? reason : "") : rc;
}

int svl_batch_extend(svl_batch *batch, uint32_t deadline_ms)
{
    int rc = check_batch(batch, NULL);
    if (rc == SVL_OK && (deadline_ms == 0 || deadline_ms > ACK_MS_MAX))
        rc = svl__fail(SVL_E_INVALID, "a deadline of %u ms; 1 to %u", deadline_ms, ACK_MS_MAX);
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = batch->handlers;
    pthread_mutex_lock(&h->lock);
    rc = svl__pull_extend(batch, svl__deadline_ns(deadline_ms));
    pthread_mutex_unlock(&h->lock);
    return rc;
}
