/* workers.c - who has the turns: an elastic pool, no thread when nothing is pending, more as subscriptions
 * become ready, and an idle one ends; or, with SVL_THREADLESS, whoever pumps.
 *
 * Threads are counted, and joined when their place is needed again or at the end; one that svl_close() could
 * not wait for frees everything as the last to leave. The queue is first in, first out, so the least
 * recently served subscription comes next. */
#include "base/callback.h"
#include "base/clock.h"
#include "base/thread.h"
#include "subscription.h"

/* Another thread may be at work on the store: it tells nobody here. */
#define LOOK_MS 100

static void *run(void *worker);

/* --- `lock` held --- */

static void start_worker(struct handlers *h)
{
    struct worker *w = h->threads;
    if (h->workers >= h->options.workers_max)
        return;
    while (w->state == WORKER_RUNS)
        w++;
    if (w->state == WORKER_ENDED)
        pthread_join(w->thread, NULL); /* it needs no lock any more */
    w->state = WORKER_NONE;
    w->handlers = h;
    w->until_ns = INT64_MAX;
    if (svl__thread_start(&w->thread, "svl-worker", run, w) == SVL_OK) {
        w->state = WORKER_RUNS;
        h->workers++;
        h->short_of_threads = h->short_told = false;
    } else if (h->workers == 0) {
        h->short_of_threads = true;
    }
}

void svl__workers_join(struct handlers *h)
{
    for (uint32_t i = 0; i < h->options.workers_max; i++) {
        if (h->threads[i].state == WORKER_ENDED)
            pthread_join(h->threads[i].thread, NULL);
        h->threads[i].state = WORKER_NONE;
    }
}

void svl__workers_wake(struct handlers *h)
{
    if (!h->started || h->ending || h->failed)
        return;
    if (h->options.due) {
        h->options.due(h->options.due_user);
        return;
    }
    if (h->owes_wakes)
        h->wakes_owed++;
    else
        pthread_cond_signal(&h->work);
    if (h->ready_count + (svl__scanner_due_ns(h->scanner) == 0) > h->idle_workers)
        start_worker(h);
}

void svl__workers_owe_wakes(struct handlers *h)
{
    h->owes_wakes = true;
}

void svl__workers_pay_wakes(struct handlers *h)
{
    uint32_t wakes = h->wakes_owed < h->idle_workers ? h->wakes_owed : h->idle_workers;
    h->wakes_owed = 0;
    h->owes_wakes = false;
    pthread_mutex_unlock(&h->lock);
    for (; wakes > 0; wakes--)
        pthread_cond_signal(&h->work);
}

static int64_t checkpoint_due_ns(const svl_subscription *s)
{
    return s->checkpoint_ns + (int64_t)s->options.checkpoint_interval_ms * NS_PER_MS;
}

/* Writes the positions that are due: true if there was one. One that cannot be written is tried an interval
 * later. */
static bool write_due(struct handlers *h)
{
    int64_t now = svl__monotonic_ns();
    bool any = false;
    for (svl_subscription *s = h->alone, *next; s; s = next) {
        next = s->alone_next;
        if (!s->dirty || checkpoint_due_ns(s) > now)
            continue;
        any = true;
        if (svl__progress_save(s, false, NULL) != SVL_OK)
            s->checkpoint_ns = now;
        svl__scanner_join(s);
    }
    return any;
}

/* Makes ready what has waited long enough; returns when there is something to do next. */
static int64_t keep_time(struct handlers *h)
{
    int64_t now = svl__monotonic_ns(), next = svl__scanner_due_ns(h->scanner);
    for (svl_subscription *s = h->alone; s; s = s->alone_next) {
        if (s->pulls)
            continue; /* who polls looks at the clock */
        if (s->state == SUBSCRIPTION_WAITING && s->wait_until_ns <= now)
            svl__subscription_ready(s);
        if (s->state == SUBSCRIPTION_WAITING && s->wait_until_ns < next)
            next = s->wait_until_ns;
        if (s->dirty && checkpoint_due_ns(s) < next)
            next = checkpoint_due_ns(s);
    }
    return next;
}

/* `lock` held, let go for the callback: frees a subscription that was unsubscribed inside a callback while
 * this worker had it. */
static void leave(struct handlers *h, svl_subscription *s)
{
    svl_released_fn *released = s->released;
    void *user = s->user;
    svl__subscription_end(s);
    if (!released)
        return;
    struct callback_frame frame = { .kind = CALLBACK_STORED, .owner = h->options.store };
    pthread_mutex_unlock(&h->lock);
    svl__callback_enter(&frame);
    released(user);
    svl__callback_leave(&frame);
    pthread_mutex_lock(&h->lock);
}

void svl__subscription_settle(svl_subscription *s, enum subscription_state next)
{
    struct handlers *h = s->handlers;
    /* The turn looked up to an end that may have moved since. */
    bool behind =
        s->position < (h->stopping ? h->stop_id : h->durable_id) || svl__redrive_is_due(s);
    s->state = s->detached ? SUBSCRIPTION_HALTED : next;
    if (s->detached)
        return;
    if (s->paused)
        s->state = SUBSCRIPTION_PAUSED;
    else if (s->pulls && h->stopping)
        s->state = SUBSCRIPTION_HALTED; /* nobody polls any more */
    else if (next == SUBSCRIPTION_READY || (next == SUBSCRIPTION_IDLE && behind) ||
             (next == SUBSCRIPTION_WAITING && h->stopping && !s->waits_for_resources) ||
             svl__window_may_be_full(s) || next == SUBSCRIPTION_PAUSED)
        svl__subscription_queue(s); /* this worker looks there next */
    else if (next == SUBSCRIPTION_IDLE && h->stopping)
        s->state = SUBSCRIPTION_HALTED;
    svl__scanner_join(s);
}

/* `lock` held, let go while the subscription has its turn. `slot` is where this thread marks its callbacks. */
static void serve(struct handlers *h, uint32_t slot, svl_subscription *s)
{
    enum subscription_state next = SUBSCRIPTION_IDLE;
    s->state = SUBSCRIPTION_RUNNING;
    s->slot = slot;
    h->running++;
    pthread_mutex_unlock(&h->lock);
    svl__deliver(s, &next);
    svl__crash_save(h->options.crash);
    pthread_mutex_lock(&h->lock);
    if (s->paused) {
        pthread_mutex_unlock(&h->lock);
        svl__delivery_rest(s);
        pthread_mutex_lock(&h->lock);
    }
    h->running--;
    svl__subscription_settle(s, next);
    if (s->released_by_worker)
        leave(h, s);
    pthread_cond_broadcast(&h->changed);
}

/* When the first of the idle workers looks again by himself. */
static int64_t watched_ns(const struct handlers *h)
{
    int64_t first_ns = INT64_MAX;
    for (uint32_t i = 0; i < h->options.workers_max; i++) {
        const struct worker *w = &h->threads[i];
        if (w->state == WORKER_RUNS && w->until_ns < first_ns)
            first_ns = w->until_ns;
    }
    return first_ns;
}

/* Before a turn, however long: somebody else has to keep the time meanwhile. */
static void hand_over_time(struct handlers *h, int64_t next_ns)
{
    if (next_ns == INT64_MAX)
        return;
    if (h->idle_workers == 0)
        start_worker(h);
    else if (next_ns < watched_ns(h))
        pthread_cond_signal(&h->work);
}

/* `lock` held: nothing to do before `next_ns`. False: the worker ends; while there is a time to keep the
 * last idle one does not, and another leaves that to the rest. */
static bool rest(struct worker *self, int64_t next_ns)
{
    struct handlers *h = self->handlers;
    int64_t idle_ns = svl__monotonic_ns() + (int64_t)h->options.worker_idle_ms * NS_PER_MS;
    int64_t until_ns = next_ns < idle_ns ? next_ns : idle_ns;
    h->idle_workers++;
    self->until_ns = until_ns;
    bool woken = svl__cond_wait(&h->work, &h->lock, until_ns);
    self->until_ns = INT64_MAX;
    h->idle_workers--;
    if (woken || h->ready_first || next_ns < idle_ns)
        return true;
    int64_t due_ns = keep_time(h);
    /* What is due at this very moment is ready now, and perhaps nobody else is there for it. */
    if (h->idle_workers == 0)
        return due_ns != INT64_MAX || h->ready_first;
    hand_over_time(h, due_ns); /* they thought that this one keeps it */
    return false;
}

static void *run(void *argument)
{
    struct worker *self = argument;
    struct handlers *h = self->handlers;
    pthread_mutex_lock(&h->lock);
    while (!h->ending && !h->failed) {
        write_due(h);
        bool scanned = svl__scanner_turn(h->scanner);
        int64_t next_ns = keep_time(h);
        svl_subscription *s = svl__ready_take(h);
        if (!s && !scanned && !rest(self, next_ns))
            break;
        if (!s)
            continue;
        hand_over_time(h, next_ns);
        if (h->ready_first)
            svl__workers_wake(h);
        serve(h, (uint32_t)(self - h->threads) + 1, s);
    }
    h->workers--;
    bool orphaned = h->last != NULL, last = orphaned && h->workers + h->pulling == 0;
    self->state = orphaned ? WORKER_NONE : WORKER_ENDED;
    if (orphaned)
        pthread_detach(pthread_self());
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (last)
        svl__handlers_free(h);
    return NULL;
}

/* --- without workers --- */

/* `lock` held, let go of for the turns. Each subscription has one at most. */
static bool work(struct handlers *h)
{
    if (h->ending || h->failed || !h->started)
        return false;
    bool any = write_due(h);
    any |= svl__scanner_turn(h->scanner);
    keep_time(h);
    for (uint32_t n = h->ready_count; n > 0 && h->ready_first; n--) {
        serve(h, 1, svl__ready_take(h)); /* as the first worker */
        any = true;
    }
    return any;
}

bool svl__handlers_work(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    bool any = work(h);
    pthread_mutex_unlock(&h->lock);
    return any;
}

/* `lock` held. */
static int64_t due_ns(struct handlers *h)
{
    if (h->ending || h->failed || !h->started)
        return INT64_MAX;
    int64_t next_ns = keep_time(h);
    return h->ready_first || next_ns <= svl__monotonic_ns() ? 0 : next_ns;
}

int64_t svl__handlers_due_ns(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    int64_t next_ns = due_ns(h);
    pthread_mutex_unlock(&h->lock);
    return next_ns;
}

void svl__handlers_take_turns(struct handlers *h, int64_t deadline_ns)
{
    if (work(h))
        return;
    svl_store *store = h->options.store;
    pthread_mutex_unlock(&h->lock);
    bool worked = svl__store_work(store);
    int64_t until_ns = svl__store_work_due_ns(store), look_ns = svl__deadline_ns(LOOK_MS);
    pthread_mutex_lock(&h->lock);
    if (worked)
        return;
    int64_t own_ns = due_ns(h);
    until_ns = own_ns < until_ns ? own_ns : until_ns;
    until_ns = deadline_ns < until_ns ? deadline_ns : until_ns;
    svl__cond_wait(&h->changed, &h->lock, look_ns < until_ns ? look_ns : until_ns);
}
