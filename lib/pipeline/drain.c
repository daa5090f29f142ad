/* drain.c - ring frames through the ingest handlers into the store, in rounds: by the pipeline thread, by
 * whoever pumps, or at start, of a ring that a crash left.
 *
 * A round takes what is there, up to ROUND_BYTES, runs the handlers, and feeds everything with one call.
 * What one ring record became is one group of items, which is never in two batches of the journal; each
 * item carries the position behind its ring record, so the journal knows exactly what it holds (W2).
 *
 *     rest --a frame is taken, handlers run--> held --added--> rest --the round is full--> unfed --fed--> rest
 *
 * Nothing here waits. Short of memory a round stays where it is, held or unfed, and the next step goes on
 * from there: no handler is called twice, nothing is left out. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "bus/stall.h"
#include "ingest.h"
#include "record/wire.h"
#include "round.h"

#define ROUND_BYTES (256u << 10)
#define ROUND_FRAMES 1024
#define ACCEPT_POLL_MS 100
#define MEMORY_POLL_MS 10
#define OWN_RING ATTACH_SLOTS /* the number of the ring that is no attached one */

struct drain {
    svl_pipeline *pipeline;
    struct ring *ring;
    struct round round;
    struct dispatch_result result;
    struct buffer unprocessed; /* a record that has killed the process, flagged */
    size_t frames_max;         /* of a ring in this round */
    struct gap gap;
    uint64_t stalls_told;
    bool patient;            /* the live ring: what cannot be stored now can be later */
    size_t at;               /* the ring of this round: an attached one's number, or OWN_RING */
    uint64_t end;            /* behind all that this round has taken of it or skipped */
    uint64_t own_end;        /* the own ring's at the end of its last round */
    bool is_ending;          /* the own ring is done: what is left of the others was fixed */
    bool is_unfed;           /* collected, and not in the store yet */
    bool is_helped;          /* the step of one who waits for his record, and flushes it himself */
    bool is_held;            /* a record is taken of the ring, and not in the round yet */
    bool is_shaped;          /* that one: the handlers have run, `result` is what became of it */
    struct ring_frame frame; /* the one held, of the own ring */
    struct attached_record record; /* the one held, of an attached one */
    int64_t retry_ns;              /* short of memory: when to go on; 0 = not */
};

static bool is_abandoned(const svl_pipeline *p)
{
    return atomic_load_explicit(&p->abandon, memory_order_relaxed);
}

/* What the ingest handlers make of one record. SVL_E_NOMEM, SVL_E_CLOSED (nobody waits for them any more): nothing
 * of it was added. */
static int add_record(struct drain *d, const struct ingest_record *r, bool *dropped)
{
    int rc = SVL_OK;
    bool has_handlers = svl__dispatch_count(d->pipeline->dispatch) > 0;
    /* Once: a handler is not called again because memory was short after it. */
    if (has_handlers && !d->is_shaped)
        rc = svl__ingest_run(d->pipeline, r, &d->result, &d->unprocessed);
    if (rc != SVL_OK)
        return rc;
    d->is_shaped = has_handlers;
    if (!(has_handlers ? svl__round_add_result(&d->round, &d->result, r->wire, r->end)
                       : svl__round_add(&d->round, r->wire, r->len, r->end)))
        return SVL_E_NOMEM;
    d->is_shaped = false;
    *dropped = has_handlers && d->result.dropped;
    return SVL_OK;
}

/* One frame. SVL_E_NOMEM, SVL_E_CLOSED: nothing of it was added, it stays in the ring. */
static int add_frame(struct drain *d, const struct ring_frame *frame)
{
    struct slot_tag tag;
    if (frame->len < sizeof tag)
        return svl__fail(SVL_E_CORRUPT, "a frame of %u bytes", frame->len);
    memcpy(&tag, frame->payload, sizeof tag);
    const uint8_t *wire = frame->payload + sizeof tag;
    uint32_t len = frame->len - (uint32_t)sizeof tag;
    struct wire_view view;
    int rc = svl__wire_check(wire, len, &view);
    uint32_t max = svl__store_options(d->pipeline->store)->record_bytes_max;
    if (rc == SVL_OK && len > max)
        rc = svl__fail(SVL_E_RECORD_SIZE,
                       "the ring holds a record of %u bytes; open with a record_bytes_max of that "
                       "at least (now %u)",
                       len, max);
    if (rc != SVL_OK)
        return rc;
    bool dropped;
    size_t first = round_count(&d->round);
    struct ingest_record record = { wire, len, svl__ring_uuid(d->ring), frame->end,
                                    svl__ring_is_shared(d->ring) };
    rc = add_record(d, &record, &dropped);
    if (rc != SVL_OK)
        return rc;
    if (dropped)
        svl__slots_dropped(d->pipeline->slots, tag);
    else
        svl__round_add_waiter(&d->round, tag, first);
    return SVL_OK;
}

static void tell_damaged(struct drain *d, int code)
{
    atomic_fetch_add_explicit(&d->pipeline->ring_damaged, 1, memory_order_relaxed);
    svl__log(d->pipeline->log, SVL_SEVERITY_ERROR, code,
             "a ring frame that holds no record was skipped: %s", svl_last_error());
}

static void begin_round(struct drain *d, size_t at)
{
    svl__round_begin(&d->round);
    d->at = at;
}

/* The next record is at hand: the one held, or a new one. */
static bool hold_frame(struct drain *d)
{
    if (!d->is_held)
        d->is_held = svl__ring_next(d->ring, &d->frame);
    return d->is_held;
}

/* Takes frames until the round is full or the ring is empty. SVL_E_NOMEM: the next one is held; also, of a
 * crashed ring: SVL_E_RECORD_SIZE, SVL_E_VERSION. */
static int collect(struct drain *d, size_t *frames)
{
    begin_round(d, OWN_RING);
    svl__gap_look(&d->gap, d->ring, svl__ring_dropped(d->ring));
    while (*frames < d->frames_max && d->round.bytes < ROUND_BYTES && !is_abandoned(d->pipeline) &&
           hold_frame(d)) {
        if (d->gap.count != 0 && d->frame.end > d->gap.position)
            svl__round_add_gap(&d->round, &d->gap, d->end);
        wire_prefetch(d->frame.payload, d->frame.len);
        int rc = add_frame(d, &d->frame);
        if (rc == SVL_E_NOMEM || rc == SVL_E_CLOSED)
            return rc;
        if ((rc == SVL_E_RECORD_SIZE || rc == SVL_E_VERSION) && !d->patient)
            return rc; /* published, and to be stored: with other options, by a newer version */
        if (rc != SVL_OK)
            tell_damaged(d, rc);
        d->is_held = false;
        d->end = d->frame.end;
        ++*frames;
    }
    if (!d->is_held)
        d->end = svl__ring_drained(d->ring);
    if (d->gap.count != 0 && d->end >= d->gap.position)
        svl__round_add_gap(&d->round, &d->gap, d->end);
    return SVL_OK;
}

/* Nothing of the round is stored: the ring may go on as soon as what was stored before is written. */
static void pass(svl_pipeline *p, struct ring *ring, uint64_t end)
{
    pthread_mutex_lock(&p->release_lock);
    p->passed_position = end;
    if (p->released_position == p->noted_position) {
        svl__ring_release(ring, end);
        p->noted_position = p->released_position = end;
    }
    pthread_mutex_unlock(&p->release_lock);
}

/* The round has its ids and its ticket: of the own ring. */
static void settle_own(struct drain *d, const struct feed_item *items, uint64_t ticket)
{
    svl_pipeline *p = d->pipeline;
    size_t n;
    const struct waiter *waiters = svl__round_waiters(&d->round, &n);
    for (size_t i = 0; i < n; i++)
        svl__slots_fed(p->slots, waiters[i].tag, items[waiters[i].item].id, ticket);
    if (n > 0)
        svl__slots_durable(p->slots, svl__store_durable_ticket(p->store));
}

/* The same of an attached one. */
static void settle_attached(struct drain *d, const struct feed_item *items, uint64_t ticket)
{
    struct attached *a = d->pipeline->attached;
    size_t n;
    const struct waiter *waiters = svl__round_waiters(&d->round, &n);
    for (size_t k = 0; k < n; k++) {
        struct outcome_tag tag = { waiters[k].tag.number, waiters[k].tag.generation };
        svl__attached_await(a, d->at, tag, items[waiters[k].item].id, ticket);
    }
    svl__attached_fed(a, d->at, d->end, ticket);
    svl__attached_durable(a, svl__store_durable_ticket(d->pipeline->store));
}

/* The uuid of the round's ring. */
static const uint8_t *uuid_of(const struct drain *d)
{
    return d->at == OWN_RING ? svl__ring_uuid(d->ring)
                             : svl__attached_uuid(d->pipeline->attached, d->at);
}

static uint64_t capacity_of(const struct drain *d)
{
    return d->at == OWN_RING ? svl__ring_capacity(d->ring)
                             : svl__attached_capacity(d->pipeline->attached, d->at);
}

/* How many of its ring's drops are told with the round. */
static struct ring_position told_with(const struct drain *d)
{
    const struct gap *gap =
        d->at == OWN_RING ? &d->gap : svl__attached_gap(d->pipeline->attached, d->at);
    struct ring_position told = { .position = gap->total - gap->count };
    svl__gap_uuid(uuid_of(d), told.uuid);
    return told;
}

/* The round is about to be fed. How many bytes of its ring then wait for the journal. */
static uint64_t note(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    if (d->at != OWN_RING)
        return svl__attached_note(p->attached, d->at, d->end);
    pthread_mutex_lock(&p->release_lock);
    p->noted_position = d->end;
    uint64_t held = d->end - p->released_position;
    pthread_mutex_unlock(&p->release_lock);
    return held;
}

/* All before the round's end has been fed, or dropped: in the log its suspects are forgotten behind it. */
static void settle_suspects(const struct drain *d)
{
    struct crash_marker *crash = d->pipeline->crash;
    svl__crash_settle(crash, MARKED_INGEST, svl__crash_ring(uuid_of(d)), d->end);
    svl__crash_save(crash);
}

static int feed_items(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    bool is_own = d->at == OWN_RING;
    size_t count = round_count(&d->round);
    d->is_unfed = count > 0;
    if (count == 0 && is_own)
        pass(p, d->ring, d->end);
    else if (count == 0)
        svl__attached_passed(p->attached, d->at, d->end);
    if (count == 0)
        return SVL_OK;
    struct feed_item *items = svl__round_items(&d->round);
    struct ring_position position = { .position = d->end };
    memcpy(position.uuid, uuid_of(d), sizeof position.uuid);
    const struct ring_position told = told_with(d);
    struct feed feed = { .items = items,
                         .count = count,
                         .ring = &position,
                         .told = d->round.has_gap ? &told : NULL,
                         .told_item = d->round.gap_item,
                         .urgent = d->round.waiters.len > 0,
                         .flushed_by_caller = d->is_helped };
    /* The rest of the ring is for the producers, however long the journal would hold it. */
    feed.space_wanted = note(d) >= capacity_of(d) / 4;
    uint64_t ticket;
    int rc = svl__store_feed(p->store, &feed, &ticket);
    if (rc != SVL_OK)
        return rc;
    d->is_unfed = false;
    atomic_fetch_add_explicit(&p->gap_records, d->round.has_gap, memory_order_relaxed);
    if (is_own)
        settle_own(d, items, ticket);
    else
        settle_attached(d, items, ticket);
    return SVL_OK;
}

/* The round into the store. SVL_E_NOMEM: it stays as it is. */
static int feed(struct drain *d)
{
    int rc = feed_items(d);
    if (rc == SVL_OK)
        settle_suspects(d);
    return rc;
}

/* --- the own ring --- */

static void tell_fed(svl_pipeline *p, uint64_t position)
{
    pthread_mutex_lock(&p->lock);
    p->fed_position = position;
    pthread_cond_broadcast(&p->fed);
    pthread_mutex_unlock(&p->lock);
}

static int feed_own(struct drain *d)
{
    int rc = feed(d);
    if (rc != SVL_OK)
        return rc;
    d->own_end = d->end;
    tell_fed(d->pipeline, d->end);
    return SVL_OK;
}

/* One round. *frames is how many records it gave. */
static int drain_own(struct drain *d, size_t *frames)
{
    size_t n = 0;
    d->end = d->own_end;
    int rc = collect(d, &n);
    *frames += n;
    atomic_fetch_add_explicit(&d->pipeline->published, n, memory_order_relaxed);
    int fed = d->end != d->own_end || round_count(&d->round) > 0 ? feed_own(d) : SVL_OK;
    return fed != SVL_OK ? fed : rc;
}

static bool is_finished(svl_pipeline *p, uint64_t position)
{
    pthread_mutex_lock(&p->lock);
    bool finished = p->closed_tail != UINT64_MAX && position >= p->closed_tail;
    pthread_mutex_unlock(&p->lock);
    return finished;
}

/* The ring is closed and drained; what is counted now is the last. */
static int tell_last_gap(struct drain *d)
{
    begin_round(d, OWN_RING);
    d->end = d->own_end;
    svl__gap_look(&d->gap, d->ring, svl__ring_dropped_end(d->ring));
    if (d->gap.count != 0 && !svl__round_add_gap(&d->round, &d->gap, d->end))
        return SVL_E_NOMEM;
    return round_count(&d->round) > 0 ? feed(d) : SVL_OK;
}

/* --- the rings of other processes --- */

static bool hold_record(struct drain *d)
{
    if (!d->is_held)
        d->is_held = svl__attached_next(d->pipeline->attached, d->at, &d->record);
    return d->is_held;
}

/* A ring's share of a round, and the record held before it. `end` is where the ring's last one has come to. */
static int drain_attached(struct drain *d, size_t i, uint64_t end, size_t *frames)
{
    struct attached *a = d->pipeline->attached;
    struct gap *gap = svl__attached_gap(a, i);
    int rc = SVL_OK;
    size_t n = 0;
    begin_round(d, i);
    d->end = end;
    while (n < d->frames_max && !is_abandoned(d->pipeline) && hold_record(d)) {
        bool dropped;
        if (gap->count != 0 && d->record.end > gap->position)
            svl__round_add_gap(&d->round, gap, d->end);
        size_t first = round_count(&d->round);
        struct ingest_record ingest = { d->record.wire, d->record.len, svl__attached_uuid(a, i),
                                        d->record.end, true };
        rc = add_record(d, &ingest, &dropped);
        if (rc == SVL_E_NOMEM || rc == SVL_E_CLOSED)
            break;
        if (rc != SVL_OK)
            tell_damaged(d, rc);
        else if (dropped)
            svl__attached_dropped(a, i, d->record.tag);
        else
            svl__round_add_waiter(
                &d->round, (struct slot_tag){ d->record.tag.number, d->record.tag.generation },
                first);
        d->is_held = false;
        d->end = d->record.end;
        n++;
    }
    if (rc == SVL_E_CLOSED)
        return rc; /* what was not fed stays in the ring */
    if (!d->is_held)
        d->end = svl__attached_end(a, i);
    if (!d->is_held && gap->count != 0 && svl__attached_is_behind(a, i, gap->position))
        svl__round_add_gap(&d->round, gap, d->end);
    *frames += n > 0 ? n : d->end != end;
    int fed = d->end != end || round_count(&d->round) > 0 ? feed(d) : SVL_OK;
    return fed != SVL_OK ? fed : rc;
}

/* One round over all of them. */
static int drain_all_attached(struct drain *d, size_t *frames)
{
    svl_pipeline *p = d->pipeline;
    int rc = SVL_OK;
    svl__attached_look(p->attached);
    for (size_t i = 0; i < ATTACH_SLOTS && rc == SVL_OK && !is_abandoned(p); i++)
        if (svl__attached_begin(p->attached, i))
            rc = drain_attached(d, i, svl__attached_end(p->attached, i), frames);
    return rc;
}

/* The pipeline stops. What was published by now is taken of the others' rings, and no more, however fast they go
 * on. */
static int begin_end(struct drain *d)
{
    int rc = tell_last_gap(d);
    if (rc != SVL_OK)
        return rc;
    svl__attached_look(d->pipeline->attached);
    svl__attached_end_here(d->pipeline->attached);
    d->is_ending = true;
    return SVL_OK;
}

/* --- steps --- */

static void drain_begin(struct drain *d, svl_pipeline *p, struct ring *ring, bool patient)
{
    *d = (struct drain){ .pipeline = p,
                         .ring = ring,
                         .patient = patient,
                         .frames_max = ROUND_FRAMES,
                         .own_end = svl__ring_drained(ring),
                         .gap.total = svl__ring_dropped_told_get(ring) };
    pthread_mutex_lock(&p->release_lock);
    p->releasing = ring;
    p->noted_position = p->released_position = svl__ring_drained(ring);
    p->passed_position = p->released_position;
    pthread_mutex_unlock(&p->release_lock);
}

static void drain_end(struct drain *d)
{
    svl__round_free(&d->round);
    svl__buffer_free(&d->result.emits);
    svl__buffer_free(&d->unprocessed);
}

int svl__drain_create(svl_pipeline *p, struct drain **out)
{
    *out = svl__calloc(1, sizeof **out);
    if (!*out)
        return SVL_E_NOMEM;
    drain_begin(*out, p, p->ring, true);
    return SVL_OK;
}

void svl__drain_destroy(struct drain *d)
{
    if (!d)
        return;
    drain_end(d);
    svl__free(d);
}

/* What a shortage of memory has held up. */
static int resume(struct drain *d, size_t *frames)
{
    bool is_own = d->at == OWN_RING;
    int rc = SVL_OK;
    if (d->is_unfed)
        rc = is_own ? feed_own(d) : feed(d);
    if (rc != SVL_OK || !d->is_held || is_own)
        return rc;
    d->frames_max = 1; /* what is behind it comes when the ring has been looked at again */
    return drain_attached(d, d->at, d->end, frames);
}

static int step(struct drain *d, size_t frames_max, size_t *frames)
{
    svl_pipeline *p = d->pipeline;
    int rc = resume(d, frames);
    d->frames_max = frames_max < ROUND_FRAMES ? frames_max : ROUND_FRAMES;
    if (rc == SVL_OK)
        rc = drain_own(d, frames);
    if (rc == SVL_OK && svl__ring_is_broken(p->ring))
        rc = svl__fail(SVL_E_CORRUPT, "something in this process wrote over the ring; what is "
                                      "whole in it is stored at the next start");
    bool is_last = rc == SVL_OK && is_finished(p, d->own_end);
    if (is_last && !d->is_ending)
        rc = begin_end(d);
    size_t before = *frames;
    if (rc == SVL_OK)
        rc = drain_all_attached(d, frames);
    return rc == SVL_OK && is_last && *frames == before ? SVL_E_END : rc;
}

int svl__drain_step(struct drain *d, size_t frames_max, size_t *frames)
{
    *frames = 0;
    int rc = step(d, frames_max, frames);
    d->retry_ns = rc == SVL_E_NOMEM ? svl__deadline_ns(MEMORY_POLL_MS) : 0;
    return rc == SVL_E_NOMEM ? SVL_OK : rc;
}

int64_t svl__drain_due_ns(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    int64_t again_ns = d->retry_ns;
    if (!svl__store_accepts(p->store))
        return INT64_MAX; /* it says so when that turns */
    if (again_ns == 0) {
        if (is_finished(p, d->own_end) || !svl__attached_arm(p->attached) ||
            !svl__ring_arm(p->ring, &again_ns))
            return 0;
        int64_t attached_ns = svl__attached_deadline_ns(p->attached);
        again_ns = attached_ns < again_ns ? attached_ns : again_ns;
        svl__stall_report(p->ring, &d->stalls_told, p->log);
    }
    return again_ns <= svl__monotonic_ns() ? 0 : again_ns;
}

void svl__drain_finish(svl_pipeline *p, int rc)
{
    if (rc != SVL_OK && !is_abandoned(p))
        svl__pipeline_fail(p, rc);
    pthread_mutex_lock(&p->lock);
    p->drained_all = true;
    bool orphaned = p->drainer_orphaned;
    pthread_cond_broadcast(&p->fed);
    pthread_mutex_unlock(&p->lock);
    if (orphaned)
        svl__pipeline_let_go(p);
}

/* --- the pipeline thread --- */

/* Waits until the store takes records; false: it never will again, or nobody waits for it any more. */
static bool wait_accepts(svl_pipeline *p)
{
    while (!is_abandoned(p)) {
        int rc = svl__store_wait_accepts(p->store, svl__deadline_ns(ACCEPT_POLL_MS));
        if (rc != SVL_E_TIMEOUT)
            return rc == SVL_OK;
    }
    return false;
}

/* `drain_turn` held, let go of while it sleeps. */
static void sleep_until_due(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    int64_t until_ns = svl__attached_deadline_ns(p->attached);
    uint32_t word;
    if (svl__ring_sleep_begin(p->ring, until_ns, &word)) {
        pthread_mutex_unlock(&p->drain_turn);
        svl__ring_sleep_wait(p->ring, until_ns, word);
        pthread_mutex_lock(&p->drain_turn);
        svl__ring_sleep_end(p->ring);
    }
    svl__stall_report(p->ring, &d->stalls_told, p->log);
}

/* One step, and the sleep behind it. */
static int take_turn(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    struct timespec pause = { .tv_nsec = MEMORY_POLL_MS * NS_PER_MS };
    size_t frames;
    pthread_mutex_lock(&p->drain_turn);
    uint64_t from = svl__ring_drained(p->ring);
    int rc = svl__drain_step(d, SIZE_MAX, &frames);
    int64_t next_look_ns = svl__ring_next_look_ns(svl__ring_drained(p->ring) - from);
    bool is_short = d->retry_ns != 0;
    if (rc == SVL_OK && !is_short && frames == 0 && svl__attached_arm(p->attached))
        sleep_until_due(d);
    pthread_mutex_unlock(&p->drain_turn);
    if (rc == SVL_OK && is_short)
        nanosleep(&pause, NULL);
    else if (rc == SVL_OK && next_look_ns != 0)
        svl__spin_until(next_look_ns);
    return rc;
}

/* `drain_turn` held. True: all is fed, and the pipeline thread sleeps on. */
static bool take_step_here(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    size_t frames;
    if (!svl__store_accepts(p->store))
        return false;
    d->is_helped = true;
    int rc = svl__drain_step(d, SIZE_MAX, &frames);
    d->is_helped = false;
    return rc == SVL_OK && d->retry_ns == 0 && svl__attached_arm(p->attached) &&
           svl__ring_sleeps_on(p->ring);
}

/* What this step does not do, and why, the pipeline thread finds again. */
void svl__drain_here(svl_pipeline *p)
{
    bool is_done = false;
    struct lent_thread lent;
    svl__lent_begin(&lent);
    if (pthread_mutex_trylock(&p->drain_turn) == 0) {
        is_done = take_step_here(p->drain);
        pthread_mutex_unlock(&p->drain_turn);
    }
    if (!is_done)
        svl__ring_wake(p->ring);
    svl__store_flush_here(p->store);
    svl__lent_end(&lent);
}

void *svl__drain_run(void *argument)
{
    svl_pipeline *p = argument;
    int rc = SVL_OK;
    while (rc == SVL_OK && wait_accepts(p))
        rc = take_turn(p->drain);
    svl__drain_finish(p, rc == SVL_E_END || rc == SVL_E_CLOSED ? SVL_OK : rc);
    return NULL;
}

/* --- at start --- */

int svl__drain_crashed(svl_pipeline *p, struct ring *ring, int64_t wait_ms)
{
    struct drain d;
    drain_begin(&d, p, ring, false);
    int rc = SVL_OK;
    size_t frames = 1;
    while (rc == SVL_OK && frames > 0) {
        rc = svl__store_wait_accepts(p->store, svl__deadline_ns(wait_ms));
        if (rc != SVL_OK)
            break;
        frames = 0;
        d.end = d.own_end;
        rc = collect(&d, &frames);
        int fed =
            rc == SVL_OK && (d.end != d.own_end || round_count(&d.round) > 0) ? feed(&d) : SVL_OK;
        rc = fed != SVL_OK ? fed : rc;
        d.own_end = d.end;
        p->ring_recovered += rc == SVL_OK ? frames : 0;
    }
    if (rc == SVL_OK && d.gap.count != 0)
        rc = SVL_E_NOMEM; /* for the record that tells of it; nobody waits here */
    drain_end(&d);
    return rc;
}
