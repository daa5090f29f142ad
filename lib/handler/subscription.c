/* subscription.c - what the host does with a subscription: pause, resume, look, unsubscribe. */
#include <string.h>

#include "base/callback.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/thread.h"
#include "subscription.h"

#define INFO_FIRST_SIZE sizeof(svl_subscription_info)

static int check(const svl_subscription *s)
{
    if (!s)
        return svl__fail(SVL_E_INVALID, "subscription is NULL");
    return svl__store_check_forked(s->handlers->options.store);
}

int svl_subscription_pause(svl_subscription *s)
{
    int rc = check(s);
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    svl__scanner_leave(s);
    s->paused = true;
    if (s->state == SUBSCRIPTION_READY)
        svl__ready_remove(s);
    if (s->state != SUBSCRIPTION_RUNNING && s->state != SUBSCRIPTION_HELD &&
        s->state != SUBSCRIPTION_HALTED)
        s->state = SUBSCRIPTION_PAUSED;
    if (s->pulls)
        svl__pull_tell(s);
    rc = svl__progress_save(s, false, NULL);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int svl_subscription_resume(svl_subscription *s)
{
    int rc = check(s);
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    if (s->paused)
        svl__crash_forgive(h->options.crash, s->subject);
    s->paused = false;
    s->attempts = 0;
    s->batch_end = s->split_end = 0;
    s->streak = 0;
    /* What svl_flush() has just made durable is not missed: its waiters are told before these here. */
    svl__handlers_note_durable(h, svl__store_durable_id(h->options.store));
    if (s->state == SUBSCRIPTION_PAUSED) {
        s->state = h->stopping ? SUBSCRIPTION_HALTED : SUBSCRIPTION_IDLE;
        if (h->started && !h->stopping && (s->position < h->durable_id || svl__redrive_is_due(s)))
            svl__subscription_ready(s);
    }
    rc = svl__progress_save(s, false, NULL);
    svl__scanner_join(s);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int svl_subscription_info_get(svl_subscription *s, svl_subscription_info *info)
{
    int rc = check(s);
    if (rc != SVL_OK)
        return rc;
    struct handlers *h = s->handlers;
    uint64_t durable_id = svl__store_durable_id(h->options.store);
    pthread_mutex_lock(&h->lock);
    svl_subscription_info now = s->counts;
    now.paused = s->paused;
    now.position = svl__scanner_position(s);
    now.backlog = durable_id > now.position ? durable_id - now.position : 0;
    now.attempts = s->attempts;
    now.redriving = s->redrive.count > 0;
    pthread_mutex_unlock(&h->lock);
    return svl__options_fill(info, &now, sizeof now, INFO_FIRST_SIZE, "svl_subscription_info");
}

int svl_unsubscribe(svl_subscription *s, svl_released_fn *released)
{
    if (!s)
        return SVL_OK;
    int rc = check(s);
    if (rc != SVL_OK)
        return rc;
    if (svl__in_callback_of(s))
        return svl__fail(SVL_E_DEADLOCK,
                         "svl_unsubscribe() inside the subscription's own callback");
    if (s->pulls)
        return svl__fail(SVL_E_INVALID, "a consumer's subscription ends with svl_consumer_close()");
    struct handlers *h = s->handlers;
    void *user = s->user;
    bool may_wait = !svl__in_callback(h->options.store, 0);
    pthread_mutex_lock(&h->lock);
    svl__scanner_leave(s);
    s->detached = true;
    s->released = released;
    if (s->state == SUBSCRIPTION_READY) {
        svl__ready_remove(s);
        s->state = SUBSCRIPTION_IDLE;
    }
    if (s->state == SUBSCRIPTION_RUNNING && !may_wait) {
        s->released_by_worker = true;
        pthread_mutex_unlock(&h->lock);
        return SVL_OK;
    }
    while (s->state == SUBSCRIPTION_RUNNING)
        svl__cond_wait(&h->changed, &h->lock, INT64_MAX);
    svl__subscription_end(s);
    pthread_mutex_unlock(&h->lock);
    if (released)
        released(user);
    return SVL_OK;
}
