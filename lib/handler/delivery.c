/* delivery.c - one turn of a subscription: read a batch, call, apply the outcome. */
#include "delivery.h"
#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"

/* A position that only passes records of no interest is written each time it has come this far: what a
 * crash makes it look at again. */
#define SCANNED_IDS_MAX 65536

void svl__delivery_destroy(struct delivery *d)
{
    if (!d)
        return;
    svl__buffer_free(&d->batch.emits);
    svl__buffer_free(&d->batch.emit_list);
    svl__buffer_free(&d->records);
    svl__buffer_free(&d->attributes);
    svl__buffer_free(&d->bytes);
    svl__buffer_free(&d->items);
    svl__free(d);
}

static int call(svl_subscription *s, uint32_t attempt)
{
    struct svl_batch *batch = &s->delivery->batch;
    struct handlers *h = s->handlers;
    batch->attempt = attempt;
    batch->mark = MARK_NONE;
    batch->reason[0] = 0;
    batch->emits.len = batch->emit_list.len = 0;
    batch->record_bytes_max = h->options.record_bytes_max;
    batch->emit_bytes_max = svl__store_feed_bytes_max(h->options.store) - 1024;
    struct callback_frame frame = { .kind = CALLBACK_STORED,
                                    .owner = h->options.store,
                                    .subscription = s };
    svl__callback_enter(&frame);
    int rc = s->fn(batch, s->user);
    svl__callback_leave(&frame);
    return rc;
}

/* A batch that is not full waits for its window. */
static bool wait_for_window(svl_subscription *s, uint32_t attempt, bool stopping,
                            enum subscription_state *next)
{
    const struct delivery *d = s->delivery;
    if (s->options.batch_window_ms == 0 || stopping || !d->at_end || attempt > 1 ||
        d->batch.count >= s->options.batch_records_max)
        return false;
    int64_t now = svl__monotonic_ns();
    if (s->window_until_ns == 0)
        s->window_until_ns = now + (int64_t)s->options.batch_window_ms * NS_PER_MS;
    if (now >= s->window_until_ns)
        return false;
    s->wait_until_ns = s->window_until_ns;
    s->window_id = d->scanned;
    s->waits_for_resources = false;
    *next = SUBSCRIPTION_WAITING;
    return true;
}

static int prepare(svl_subscription *s)
{
    if (!s->delivery)
        s->delivery = svl__calloc(1, sizeof *s->delivery);
    return s->delivery ? SVL_OK : SVL_E_NOMEM;
}

static void deliver(svl_subscription *s, enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    if (!s->cursor) /* an open one still holds what it has come to */
        svl__reading_pass_retired(s);
    pthread_mutex_lock(&h->lock);
    uint64_t position = s->position, upto = h->stopping ? h->stop_id : h->durable_id;
    if (s->attempts > 0 && s->batch_end != 0 && s->batch_end < upto)
        upto = s->batch_end; /* the same records, not more: an attempt is theirs */
    uint32_t max = s->split_end ? s->split_records : s->options.batch_records_max;
    uint32_t attempt = s->split_end ? s->options.retry_attempts_max : s->attempts + 1;
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);

    int rc = prepare(s);
    if (rc == SVL_OK)
        rc = svl__reading_fill(s, position, max, upto);
    if (rc != SVL_OK) {
        svl__log(h->log, SVL_SEVERITY_ERROR, rc, "subscription %s: reading: %s",
                 s->name ? s->name : "(unnamed)", svl_last_error());
        svl__wait_for_resources(s, next);
        return;
    }
    if (s->delivery->batch.count == 0) {
        pthread_mutex_lock(&h->lock);
        svl__set_position(s, s->delivery->scanned);
        s->dirty |= s->name && s->position - s->saved >= SCANNED_IDS_MAX;
        pthread_mutex_unlock(&h->lock);
        *next = s->delivery->at_end ? SUBSCRIPTION_IDLE : SUBSCRIPTION_READY;
        return;
    }
    if (wait_for_window(s, attempt, stopping, next))
        return;
    s->window_until_ns = 0;
    pthread_mutex_lock(&h->lock);
    s->counts.invocations++;
    s->counts.in_flight = s->delivery->batch.count;
    pthread_mutex_unlock(&h->lock);
    rc = call(s, attempt);
    pthread_mutex_lock(&h->lock);
    s->counts.in_flight = 0;
    bool ending = h->ending || h->failed;
    pthread_mutex_unlock(&h->lock);
    if (ending)
        *next = SUBSCRIPTION_HALTED; /* closed meanwhile: it comes again at the next start */
    else
        svl__outcome_apply(s, rc, next);
}

void svl__delivery_rest(svl_subscription *s)
{
    svl__reading_close(s);
}

void svl__deliver(svl_subscription *s, enum subscription_state *next)
{
    deliver(s, next);
    if (*next != SUBSCRIPTION_READY)
        svl__reading_close(s);
}
