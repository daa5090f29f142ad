/* outcome.c - what becomes of a batch after the call: effects and position into the log, another attempt,
 * a split, a pause.
 *
 * Without marks a failed call says nothing of which record it was. When its attempts are used up, the
 * batch is split: halves are tried until the record stands alone that cannot be done; splits are not
 * attempts. That record pauses the subscription. */
#include "base/clock.h"
#include "delivery.h"

#define ACCEPT_POLL_MS 100

void svl__set_position(svl_subscription *s, uint64_t position)
{
    s->position = position;
    s->attempts = 0;
    s->batch_end = 0;
    if (position >= s->split_end)
        s->split_end = 0;
}

/* The emits of the first `done` records, as items of one feed. */
static int gather_emits(struct delivery *d, size_t done)
{
    const struct emit *emits = (const struct emit *)(const void *)d->batch.emit_list.data;
    size_t n = d->batch.emit_list.len / sizeof *emits;
    d->items.len = 0;
    for (size_t i = 0; i < n; i++) {
        if (emits[i].cause >= done)
            continue;
        struct feed_item item = { .wire = d->batch.emits.data + emits[i].offset,
                                  .len = emits[i].len };
        svl__buffer_append(&d->items, &item, sizeof item);
    }
    if (d->items.failed) {
        svl__buffer_free(&d->items);
        return SVL_E_NOMEM;
    }
    return SVL_OK;
}

/* Waits until the store takes records; SVL_E_CLOSED when it does not and somebody waits for this turn. */
static int wait_accepts(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    int rc;
    do {
        rc = svl__store_wait_accepts(h->options.store, svl__deadline_ns(ACCEPT_POLL_MS));
        pthread_mutex_lock(&h->lock);
        if (rc == SVL_E_TIMEOUT && (h->ending || s->detached))
            rc = SVL_E_CLOSED;
        pthread_mutex_unlock(&h->lock);
    } while (rc == SVL_E_TIMEOUT);
    return rc;
}

/* `lock` held. D3: the emits and the position, in one batch of the journal; without emits the position may
 * wait for the next checkpoint. */
static int move(svl_subscription *s, uint64_t position, size_t done)
{
    struct delivery *d = s->delivery;
    struct feed feed = { .items = (struct feed_item *)(void *)d->items.data,
                         .count = d->items.len / sizeof(struct feed_item) };
    int rc = feed.count > 0 ? svl__progress_feed(s, &feed, position, s->paused, NULL) : SVL_OK;
    if (rc != SVL_OK)
        return rc;
    s->dirty |= feed.count == 0 && done > 0 && s->name;
    svl__set_position(s, position);
    s->counts.records += done;
    s->counts.emitted += feed.count;
    s->handlers->emitted += feed.count;
    return SVL_OK;
}

/* Records [0, done) are done. */
static int advance(svl_subscription *s, size_t done)
{
    struct handlers *h = s->handlers;
    struct delivery *d = s->delivery;
    uint64_t position = s->position;
    if (done == d->batch.count)
        position = d->scanned;
    else if (done > 0)
        position = d->batch.records[done].id - 1;
    if (position == s->position)
        return SVL_OK;
    int rc = gather_emits(d, done);
    if (rc == SVL_OK && d->items.len > 0)
        rc = wait_accepts(s);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&h->lock);
    rc = move(s, position, done);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static void wait_for(svl_subscription *s, int64_t wait_ns, enum subscription_state *next)
{
    s->wait_until_ns = svl__monotonic_ns() + wait_ns;
    s->waits_for_resources = false;
    *next = SUBSCRIPTION_WAITING;
}

void svl__wait_for_resources(svl_subscription *s, enum subscription_state *next)
{
    wait_for(s, (int64_t)s->options.retry_base_ms * NS_PER_MS, next);
    s->waits_for_resources = true;
}

static bool is_stopping(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);
    return stopping;
}

static void give_up(svl_subscription *s, int code, uint64_t id, uint32_t attempts,
                    enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    s->paused = true;
    svl__progress_save(s, false, NULL);
    pthread_mutex_unlock(&h->lock);
    *next = SUBSCRIPTION_PAUSED;
    svl__log(
        h->log, SVL_SEVERITY_ERROR, code,
        "subscription %s is paused: record %llu failed in %u attempts%s%s; mend the handler, then "
        "svl_subscription_resume()",
        s->name ? s->name : "(unnamed)", (unsigned long long)id, attempts,
        s->delivery->batch.reason[0] ? ": " : "", s->delivery->batch.reason);
}

/* The first record that is not done has failed: try again, split, or give up. */
static void after_failure(svl_subscription *s, int code, bool marked, size_t left,
                          enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    const svl_record *head = &s->delivery->batch.records[s->delivery->batch.count - left];
    pthread_mutex_lock(&h->lock);
    s->counts.failures++;
    s->counts.last_code = code;
    if (s->split_end == 0)
        s->attempts++;
    if (s->batch_end == 0)
        s->batch_end = s->delivery->batch.records[s->delivery->batch.count - 1].id;
    bool stopping = h->stopping;
    uint32_t max = s->options.retry_attempts_max;
    uint32_t attempts = s->split_end ? max : s->attempts;
    bool exhausted = (max != UINT32_MAX && attempts >= max) || s->split_end != 0;
    if (exhausted && !marked && left > 1) {
        if (s->split_end == 0)
            s->split_end = s->delivery->batch.records[s->delivery->batch.count - 1].id;
        s->split_records = (uint32_t)(left / 2);
    }
    pthread_mutex_unlock(&h->lock);
    if (exhausted && (marked || left == 1)) {
        give_up(s, code, head->id, attempts, next);
    } else if (exhausted) {
        *next = SUBSCRIPTION_READY;
    } else if (stopping) {
        *next = SUBSCRIPTION_HALTED;
    } else {
        pthread_mutex_lock(&h->lock);
        s->counts.retries++;
        pthread_mutex_unlock(&h->lock);
        wait_for(s, svl__retry_wait_ns(&s->options, attempts), next);
    }
}

void svl__outcome_apply(svl_subscription *s, int rc, enum subscription_state *next)
{
    struct svl_batch *batch = &s->delivery->batch;
    size_t done = rc != SVL_OK ? 0 : batch->mark != MARK_NONE ? batch->mark_at : batch->count;
    int stored = advance(s, done);
    if (stored != SVL_OK) {
        /* The effects were not taken: nothing of the batch is done, and no attempt counted. */
        svl__reading_close(s);
        if (stored == SVL_E_FAILED || stored == SVL_E_CLOSED)
            *next = SUBSCRIPTION_HALTED;
        else
            svl__wait_for_resources(s, next);
        return;
    }
    if (done == batch->count) {
        *next = SUBSCRIPTION_READY;
        return;
    }
    svl__reading_close(s);
    if (rc == SVL_OK && batch->mark == MARK_DEFER && is_stopping(s->handlers))
        *next = SUBSCRIPTION_HALTED; /* it comes again at the next start */
    else if (rc == SVL_OK && batch->mark == MARK_DEFER)
        wait_for(s, (int64_t)batch->defer_ms * NS_PER_MS, next);
    else
        after_failure(s, rc != SVL_OK ? rc : SVL_FAIL, rc == SVL_OK, batch->count - done, next);
}
