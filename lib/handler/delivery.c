/* delivery.c - one turn of a subscription: read a batch, call, apply the outcome. */
#include "delivery.h"
#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"

void svl__delivery_destroy(struct delivery *d)
{
    if (!d)
        return;
    svl__buffer_free(&d->batch.rejections);
    svl__buffer_free(&d->batch.reasons);
    svl__buffer_free(&d->batch.emits);
    svl__buffer_free(&d->batch.emit_list);
    svl__buffer_free(&d->records);
    svl__buffer_free(&d->attributes);
    svl__buffer_free(&d->bytes);
    svl__buffer_free(&d->ids);
    svl__free(d->decoded);
    svl__buffer_free(&d->items);
    svl__buffer_free(&d->letters);
    svl__free(d);
}

/* What a turn is to hand out. */
struct turn {
    uint64_t position, upto;
    uint32_t records_max;
    uint32_t attempt;
    bool stopping;
};

/* A batch that is not full waits for its window. */
static bool wait_for_window(svl_subscription *s, const struct turn *t,
                            enum subscription_state *next)
{
    const struct delivery *d = s->delivery;
    if (s->options.batch_window_ms == 0 || t->stopping || !d->at_end || t->attempt > 1 ||
        s->redriving || d->batch.count >= s->options.batch_records_max)
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

/* `lock` held. The log and the dead letters take turns; what has failed is finished first. */
static void choose_source(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    if (s->redriving && h->stopping) {
        s->attempts = 0;
        s->batch_end = s->split_end = 0;
        s->redriving = false;
    } else if (s->attempts == 0 && s->split_end == 0 && s->window_until_ns == 0) {
        s->redriving = svl__redrive_is_due(s) && (!s->redriving || s->position >= h->durable_id);
    }
}

/* `lock` held. */
static void plan(svl_subscription *s, struct turn *t)
{
    struct handlers *h = s->handlers;
    t->position = s->redriving ? s->redrive.ranges[0].next - 1 : s->position;
    t->upto = s->redriving ? s->redrive.ranges[0].last : h->stopping ? h->stop_id : h->durable_id;
    if (s->attempts > 0 && s->batch_end != 0 && s->batch_end < t->upto)
        t->upto = s->batch_end; /* the same records, not more: an attempt is theirs */
    if (s->split_end != 0 && s->split_end < t->upto)
        t->upto = s->split_end; /* those behind it have used up none */
    t->records_max = s->split_end ? s->split_records : s->options.batch_records_max;
    if (!s->pulls && svl__crash_concerns(h->options.crash, delivery_kind(s), s->subject))
        t->records_max = 1; /* no more is read than runs */
    t->attempt = s->split_end ? s->options.retry_attempts_max : s->attempts + 1;
    t->stopping = h->stopping;
}

static void begin_turn(svl_subscription *s, struct turn *t)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    choose_source(s);
    pthread_mutex_unlock(&h->lock);
    if (!s->redriving && !s->live.cursor) /* an open one still holds what it has come to */
        svl__reading_pass_retired(s);
    pthread_mutex_lock(&h->lock);
    plan(s, t);
    pthread_mutex_unlock(&h->lock);
}

/* Nothing to hand out was found: on to where was looked. */
static void pass(svl_subscription *s, enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    svl__set_position(s, s->delivery->scanned);
    s->dirty |= s->name && (s->redriving || s->position - s->saved >= SCANNED_IDS_MAX);
    pthread_mutex_unlock(&h->lock);
    *next = s->delivery->at_end ? SUBSCRIPTION_IDLE : SUBSCRIPTION_READY;
}

/* Reads the batch of this turn; false: there is none to show, and *next is set. */
static bool begin(svl_subscription *s, struct turn *t, enum subscription_state *next)
{
    begin_turn(s, t);
    int rc = prepare(s);
    if (rc == SVL_OK)
        rc = svl__reading_fill(s, t->position, t->records_max, t->upto);
    if (rc != SVL_OK) {
        svl__log(s->handlers->log, SVL_SEVERITY_ERROR, rc, "subscription %s: reading: %s",
                 svl__subscription_name(s), svl_last_error());
        svl__wait_for_resources(s, next);
        return false;
    }
    if (s->delivery->batch.count == 0) {
        pass(s, next);
        return false;
    }
    enum triage triage = svl__triage(s);
    if (triage != TRIAGE_SHOWN && triage != TRIAGE_ALONE) {
        svl__outcome_give_up(s, triage, next);
        return false;
    }
    if (triage == TRIAGE_SHOWN && wait_for_window(s, t, next))
        return false;
    s->window_until_ns = 0;
    return true;
}

/* Shows the batch, of which nothing is said yet. False: it was paused while the batch was read; who has
 * paused it, and sees nothing in flight, relies on that nothing comes. */
static bool present(svl_subscription *s, uint32_t attempt, enum subscription_state *next)
{
    struct svl_batch *batch = &s->delivery->batch;
    struct handlers *h = s->handlers;
    batch->attempt = attempt;
    batch->flags = (s->redriving ? SVL_BATCH_REDRIVEN : 0u) |
                   (s->delivery->run.alone ? SVL_BATCH_AFTER_CRASH : 0u);
    batch->rejections.len = batch->reasons.len = 0;
    batch->mark = MARK_NONE;
    batch->reason[0] = 0;
    batch->emits.len = batch->emit_list.len = 0;
    batch->record_bytes_max = h->options.record_bytes_max;
    batch->emit_bytes_max = svl__store_feed_bytes_max(h->options.store) - FEED_REST_BYTES;
    pthread_mutex_lock(&h->lock);
    bool shown = !s->paused;
    s->counts.invocations += shown;
    s->counts.in_flight = shown ? batch->count : 0;
    pthread_mutex_unlock(&h->lock);
    if (!shown)
        *next = SUBSCRIPTION_PAUSED;
    return shown;
}

/* Lets go of what the subscription holds of the store unless it goes on at once. */
static void rest_unless_ready(svl_subscription *s, enum subscription_state next)
{
    if (next != SUBSCRIPTION_READY)
        svl__reading_close_all(s);
}

bool svl__delivery_begin(svl_subscription *s, enum subscription_state *next)
{
    struct turn turn;
    if (begin(s, &turn, next) && present(s, turn.attempt, next))
        return true;
    rest_unless_ready(s, *next);
    return false;
}

int svl__delivery_end(svl_subscription *s, int rc, const char *reason,
                      enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    int stored = SVL_E_CLOSED;
    pthread_mutex_lock(&h->lock);
    s->counts.in_flight = 0;
    bool ending = h->ending || h->failed;
    pthread_mutex_unlock(&h->lock);
    if (ending)
        *next = SUBSCRIPTION_HALTED; /* closed meanwhile: it comes again at the next start */
    else
        stored = svl__outcome_apply(s, rc, reason, next);
    rest_unless_ready(s, *next);
    return stored;
}

void svl__delivery_rest(svl_subscription *s)
{
    svl__reading_close_all(s);
}

/* Closed before the call: it comes at the next start. */
static void take_back(svl_subscription *s, enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    s->counts.invocations--;
    s->counts.in_flight = 0;
    pthread_mutex_unlock(&h->lock);
    svl__reading_close_all(s);
    *next = SUBSCRIPTION_HALTED;
}

void svl__deliver(svl_subscription *s, enum subscription_state *next)
{
    if (!svl__delivery_begin(s, next))
        return;
    struct svl_batch *batch = &s->delivery->batch;
    struct callback_frame frame = { .kind = CALLBACK_STORED,
                                    .owner = s->handlers->options.store,
                                    .subscription = s };
    struct crash_marker *crash = s->handlers->options.crash;
    struct crash_run *run = &s->delivery->run;
    if (!svl__crash_enter(crash, s->slot, run)) {
        take_back(s, next);
        return;
    }
    svl__callback_enter(&frame);
    int rc = s->fn(batch, s->user);
    svl__callback_leave(&frame);
    svl__crash_leave(crash, s->slot, run);
    svl__delivery_end(s, rc, batch->reason, next);
}
