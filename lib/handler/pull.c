/* pull.c - turns of a polled subscription, on the host's threads.
 *
 *   U1  a turn's halves run under RUNNING, without the lock: nobody else has the subscription meanwhile.
 *   U2  a batch that is out belongs to its holder, its subscription's only while that holds: what comes too
 *       late is told by batch->subscription, which is NULL then.
 *   U3  each settled batch is written at once, with the next flush: no thread is there to do it later.
 *
 * A descriptor is a timer: run out while there is something to poll, set to when there will be, or not set. */
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "delivery.h"

static bool has_ended(const struct handlers *h)
{
    return h->stopping || h->ending || h->failed;
}

/* When a poll would not have to wait any more: 0 = now, INT64_MAX = not known. */
static int64_t due_ns(const svl_subscription *s)
{
    const struct handlers *h = s->handlers;
    if (has_ended(h))
        return 0;
    switch (s->state) {
    case SUBSCRIPTION_READY:
        return 0;
    case SUBSCRIPTION_WAITING:
        return s->wait_until_ns;
    case SUBSCRIPTION_HELD:
        return s->ack_deadline_ns;
    default:
        return INT64_MAX;
    }
}

static void set_timer(int fd, int64_t at_ns)
{
    struct itimerspec timer = { .it_value = { 0, 0 } };
    if (at_ns == 0)
        at_ns = 1; /* long past; 0 would unset it */
    if (at_ns != INT64_MAX) {
        timer.it_value.tv_sec = at_ns / NS_PER_S;
        timer.it_value.tv_nsec = at_ns % NS_PER_S;
    }
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

void svl__pull_tell(svl_subscription *s)
{
    int64_t due = due_ns(s);
    for (struct svl_consumer *c = s->consumers; c; c = c->next)
        if (c->fd >= 0)
            set_timer(c->fd, due);
    pthread_cond_broadcast(&s->handlers->polls);
}

void svl__pull_wait_idle(svl_subscription *s)
{
    while (s->state == SUBSCRIPTION_RUNNING)
        svl__cond_wait(&s->handlers->changed, &s->handlers->lock, INT64_MAX);
}

/* --- turns; `lock` held, let go of meanwhile --- */

static void enter(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    s->state = SUBSCRIPTION_RUNNING;
    h->pulling++;
    svl__pull_tell(s);
    pthread_mutex_unlock(&h->lock);
}

/* svl_close() did not wait for this turn: whoever leaves last frees everything. */
static bool is_last(struct handlers *h)
{
    h->pulling--;
    pthread_cond_broadcast(&h->changed);
    return h->last && h->workers + h->pulling == 0;
}

/* The turn is over, or its first half with a batch: HELD. False: the subscription is gone with the pipeline. */
static bool leave(svl_subscription *s, enum subscription_state next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    if (next == SUBSCRIPTION_HELD)
        s->state = next;
    else
        svl__subscription_settle(s, next);
    if (s->dirty)
        svl__progress_save(s, false, NULL); /* U3; without memory for it: with the next one */
    svl__pull_tell(s);
    if (!is_last(h))
        return true;
    pthread_mutex_unlock(&h->lock);
    svl__handlers_free(h);
    pthread_mutex_lock(&h->lock);
    return false;
}

/* The batch is its holder's alone from now on. */
static void part_with(svl_subscription *s)
{
    s->delivery->batch.subscription = NULL;
    s->delivery = NULL;
    s->holder = NULL;
    s->counts.in_flight = 0;
}

/* Its holder has not been heard of: a failed attempt. */
static void expire(svl_subscription *s)
{
    enum subscription_state next = SUBSCRIPTION_IDLE;
    struct svl_batch *batch = &s->delivery->batch;
    batch->subscription = NULL;
    batch->expiring = true;
    enter(s);
    svl__delivery_end(s, SVL_E_TIMEOUT, "not acknowledged in time", &next);
    pthread_mutex_lock(&s->handlers->lock);
    part_with(s);
    batch->expiring = false;
    pthread_mutex_unlock(&s->handlers->lock);
    leave(s, next);
}

void svl__pull_recall(svl_subscription *s)
{
    svl__reading_close_all(s);
    part_with(s);
    s->state = SUBSCRIPTION_IDLE;
}

/* Reads a batch: true, and it is out. */
static bool take(svl_consumer *c, svl_batch **out)
{
    svl_subscription *s = c->subscription;
    struct handlers *h = s->handlers;
    enum subscription_state next = SUBSCRIPTION_IDLE;
    enter(s);
    bool found = svl__delivery_begin(s, &next);
    pthread_mutex_lock(&h->lock);
    found &= !has_ended(h) && !s->detached;
    if (found) {
        struct svl_batch *batch = &s->delivery->batch;
        batch->handlers = h;
        batch->subscription = s;
        h->references++;
        s->holder = c;
        s->ack_deadline_ns = svl__deadline_ns(s->options.ack_deadline_ms);
        next = SUBSCRIPTION_HELD;
        *out = batch;
    } else {
        s->counts.in_flight = 0;
    }
    pthread_mutex_unlock(&h->lock);
    leave(s, next);
    return found;
}

/* What there is to do before a poll waits: SVL_E_AGAIN, nothing. */
static int step(svl_consumer *c, svl_batch **out)
{
    struct handlers *h = c->handlers;
    svl_subscription *s = c->subscription;
    if (h->failed && !h->ending)
        return svl__fail(SVL_E_FAILED, "close the pipeline and open it again");
    if (!s || has_ended(h))
        return svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    int64_t now = svl__monotonic_ns();
    if (s->state == SUBSCRIPTION_IDLE) /* what svl_flush() has just made durable is not missed */
        svl__handlers_note_durable(h, svl__store_durable_id(h->options.store));
    if (s->state == SUBSCRIPTION_HELD && s->ack_deadline_ns <= now)
        expire(s);
    else if (s->state == SUBSCRIPTION_WAITING && s->wait_until_ns <= now)
        svl__subscription_ready(s);
    else if (s->state == SUBSCRIPTION_READY)
        take(c, out);
    else
        return SVL_E_AGAIN;
    return SVL_OK;
}

int svl__pull_take(svl_consumer *c, int64_t deadline_ns, svl_batch **out)
{
    struct handlers *h = c->handlers;
    for (;;) {
        int rc = step(c, out);
        if (*out || (rc != SVL_OK && rc != SVL_E_AGAIN))
            return rc;
        if (rc == SVL_OK)
            continue;
        if (deadline_ns == 0)
            return SVL_E_AGAIN;
        if (c->wakes_seen != h->wakes) {
            c->wakes_seen = h->wakes;
            return SVL_E_AGAIN;
        }
        int64_t due = due_ns(c->subscription);
        int64_t until_ns = due < deadline_ns ? due : deadline_ns;
        if (!svl__cond_wait(&h->polls, &h->lock, until_ns) && until_ns == deadline_ns)
            return SVL_E_TIMEOUT;
    }
}

/* --- what a holder says --- */

/* The batch is current, and its time has not run out. */
static int check_current(svl_batch *batch)
{
    struct handlers *h = batch->handlers;
    while (batch->expiring)
        svl__cond_wait(&h->changed, &h->lock, INT64_MAX);
    if (h->ending)
        return svl__fail(SVL_E_CLOSED, "the pipeline has been closed: the batch comes again");
    if (!batch->subscription)
        return svl__fail(SVL_E_STALE,
                         "the batch was handed out again, or its consumer has gone on");
    if (h->failed)
        return svl__fail(SVL_E_FAILED, "close the pipeline and open it again");
    if (batch->subscription->ack_deadline_ns <= svl__monotonic_ns())
        return svl__fail(SVL_E_STALE, "the batch was not acknowledged in time");
    return SVL_OK;
}

int svl__pull_extend(svl_batch *batch, int64_t deadline_ns)
{
    int rc = check_current(batch);
    if (rc != SVL_OK)
        return rc;
    batch->subscription->ack_deadline_ns = deadline_ns;
    svl__pull_tell(batch->subscription);
    return SVL_OK;
}

/* What nobody else has any more. */
static void free_batch(svl_batch *batch)
{
    svl__delivery_destroy((struct delivery *)(void *)batch);
}

int svl__pull_settle(svl_batch *batch, int code, const char *reason)
{
    enum subscription_state next = SUBSCRIPTION_IDLE;
    int rc = check_current(batch);
    svl_subscription *s = batch->subscription;
    if (rc != SVL_OK) {
        if (s && rc == SVL_E_STALE) /* nobody has polled since its time ran out */
            expire(s);
        else if (s)
            svl__pull_recall(s);
        free_batch(batch);
        return rc;
    }
    batch->handlers = NULL;
    batch->subscription = NULL;
    s->holder = NULL;
    enter(s);
    rc = svl__delivery_end(s, code, reason, &next);
    leave(s, next);
    return rc == SVL_E_CLOSED ? svl__fail(rc, "the pipeline has been closed: the batch comes again")
                              : rc;
}
