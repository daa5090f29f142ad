/* workers.c - the elastic pool: no thread when nothing is pending, more as subscriptions become ready,
 * and an idle one ends.
 *
 * Threads are detached and counted; whoever takes the count to zero after the end frees everything. The
 * queue is first in, first out, so the least recently served subscription comes next. */
#include "base/clock.h"
#include "base/thread.h"
#include "subscription.h"

static void *run(void *handlers);

/* `lock` held. */
void svl__workers_wake(struct handlers *h)
{
    if (!h->started || h->ending)
        return;
    pthread_cond_signal(&h->work);
    if (h->idle_workers > 0 || h->workers >= h->options.workers_max)
        return;
    pthread_t thread;
    if (svl__thread_start(&thread, "svl-worker", run, h) == SVL_OK) {
        pthread_detach(thread);
        h->workers++;
        h->short_of_threads = h->short_told = false;
    } else if (h->workers == 0) {
        h->short_of_threads = true;
    }
}

/* `lock` held: makes ready what has waited long enough; returns when the next one has. */
static int64_t next_time(struct handlers *h)
{
    int64_t now = svl__monotonic_ns(), next = INT64_MAX;
    for (svl_subscription *s = h->first; s; s = s->next) {
        if (s->state == SUBSCRIPTION_WAITING) {
            if (s->wait_until_ns <= now)
                svl__subscription_ready(s);
            else if (s->wait_until_ns < next)
                next = s->wait_until_ns;
        }
        if (s->dirty) {
            int64_t due = s->checkpoint_ns + (int64_t)s->options.checkpoint_interval_ms * NS_PER_MS;
            if (due < next)
                next = due;
        }
    }
    return next;
}

/* `lock` held: writes the positions that are due. */
static void write_due(struct handlers *h)
{
    int64_t now = svl__monotonic_ns();
    for (svl_subscription *s = h->first; s; s = s->next)
        if (s->dirty &&
            s->checkpoint_ns + (int64_t)s->options.checkpoint_interval_ms * NS_PER_MS <= now)
            svl__progress_save(s, false, NULL);
}

/* `lock` held, let go for the callback: frees a subscription that was unsubscribed inside a callback while
 * this worker had it. */
static void leave(struct handlers *h, svl_subscription *s)
{
    svl_released_fn *released = s->released;
    void *user = s->user;
    svl__subscription_free(s);
    pthread_mutex_unlock(&h->lock);
    if (released)
        released(user);
    pthread_mutex_lock(&h->lock);
}

/* `lock` held: the subscription's next state after its turn. */
static void settle(struct handlers *h, svl_subscription *s, enum subscription_state next)
{
    s->state = next;
    if (s->detached)
        return;
    if (s->paused)
        s->state = SUBSCRIPTION_PAUSED;
    else if (next == SUBSCRIPTION_IDLE && h->stopping)
        s->state = SUBSCRIPTION_HALTED;
    else if (next == SUBSCRIPTION_READY ||
             (next == SUBSCRIPTION_IDLE && s->position < h->durable_id) ||
             (next == SUBSCRIPTION_WAITING && h->stopping)) {
        s->state = SUBSCRIPTION_IDLE;
        svl__subscription_ready(s);
    }
}

/* `lock` held, let go while the subscription has its turn. */
static void serve(struct handlers *h, svl_subscription *s)
{
    enum subscription_state next = SUBSCRIPTION_IDLE;
    s->state = SUBSCRIPTION_RUNNING;
    h->running++;
    pthread_mutex_unlock(&h->lock);
    svl__deliver(s, &next);
    pthread_mutex_lock(&h->lock);
    h->running--;
    settle(h, s, next);
    if (s->released_by_worker)
        leave(h, s);
    pthread_cond_broadcast(&h->changed);
}

/* `lock` held: nothing to do. False: the worker ends. */
static bool rest(struct handlers *h, int64_t next_ns)
{
    int64_t idle_ns = svl__monotonic_ns() + (int64_t)h->options.worker_idle_ms * NS_PER_MS;
    bool keeps_time = next_ns != INT64_MAX && h->idle_workers == 0;
    h->idle_workers++;
    bool woken = svl__cond_wait(&h->work, &h->lock, next_ns < idle_ns ? next_ns : idle_ns);
    h->idle_workers--;
    return woken || keeps_time || next_ns < idle_ns || h->ready_first;
}

static void *run(void *argument)
{
    struct handlers *h = argument;
    pthread_mutex_lock(&h->lock);
    while (!h->ending) {
        write_due(h);
        int64_t next_ns = next_time(h);
        svl_subscription *s = svl__ready_take(h);
        if (s)
            serve(h, s);
        else if (!rest(h, next_ns))
            break;
    }
    h->workers--;
    bool last = h->ending && h->workers == 0 && h->last;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (last)
        svl__handlers_free(h);
    return NULL;
}
