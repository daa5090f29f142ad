/* drain.c - the pipeline thread: ring frames through the ingest handlers into the store, in rounds.
 *
 * A round takes what is there, up to ROUND_BYTES, runs the handlers, and feeds everything with one call.
 * What one ring record became is one group of items, which is never in two batches of the journal; each
 * item carries the position behind its ring record, so the journal knows exactly what it holds (W2). */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "bus/gap.h"
#include "bus/stall.h"
#include "ingest.h"
#include "record/wire.h"

#define ROUND_BYTES (256u << 10)
#define ROUND_FRAMES 1024
#define ACCEPT_POLL_MS 100
#define MEMORY_POLL_MS 10

/* A record whose publisher waits: told its id after the feed. */
struct waiter {
    struct slot_tag tag;
    size_t item;
};

struct drain {
    svl_pipeline *pipeline;
    struct ring *ring;
    struct buffer items;   /* struct feed_item: `wire` is an offset into `scratch` where `copied` */
    struct buffer copied;  /* one byte an item: 1 = in scratch */
    struct buffer scratch; /* records that handlers made or changed, and gap records */
    struct buffer waiters;
    struct dispatch_result result;
    struct buffer unprocessed; /* a record that has killed the process, flagged */
    size_t bytes;
    struct gap gap;
    bool gap_added; /* in this round */
    uint64_t stalls_told;
    bool patient; /* the live ring: waits for memory; else `failed` is set */
    int failed;
};

static struct feed_item *items_of(struct drain *d)
{
    return (struct feed_item *)(void *)d->items.data;
}

/* Room for what one ring record may become, so that adding it cannot fail half-way. */
static bool reserve(struct drain *d, size_t items, size_t bytes)
{
    bool ok = buffer_reserve(&d->items, items * sizeof(struct feed_item)) &&
              buffer_reserve(&d->copied, items) && buffer_reserve(&d->scratch, bytes) &&
              buffer_reserve(&d->waiters, sizeof(struct waiter));
    d->items.failed = d->copied.failed = d->scratch.failed = d->waiters.failed = false;
    return ok;
}

static void add_item(struct drain *d, const uint8_t *wire, uint32_t len, bool copy, bool follows,
                     uint64_t ring_end)
{
    struct feed_item item = { .wire = wire, .len = len, .follows = follows, .ring_end = ring_end };
    uint8_t copied = copy;
    if (copy) {
        item.wire = (const uint8_t *)(uintptr_t)d->scratch.len;
        svl__buffer_append(&d->scratch, wire, len);
    }
    svl__buffer_append(&d->items, &item, sizeof item);
    svl__buffer_append(&d->copied, &copied, 1);
    d->bytes += len;
}

/* What DROP_NEW dropped, as a record at the place where it is missing. */
static bool add_gap(struct drain *d, struct gap *told, uint64_t ring_end)
{
    struct gap_record gap;
    uint8_t wire[GAP_WIRE_BYTES_MAX];
    svl__gap_record(told, &gap);
    uint32_t len = svl__wire_size(&gap.record);
    svl__wire_encode(&gap.record, svl__wall_ns(), wire);
    if (!reserve(d, 1, len))
        return false;
    add_item(d, wire, len, true, false, ring_end);
    told->count = 0;
    d->gap_added = true;
    return true;
}

/* The records that dispatch made of one, as one group. */
static bool add_result(struct drain *d, const uint8_t *wire, uint64_t ring_end)
{
    const struct dispatch_result *r = &d->result;
    bool follows = false;
    if (!reserve(d, (size_t)r->count + 1, r->record_len + r->emits.len))
        return false;
    if (!r->dropped) {
        add_item(d, r->record, r->record_len, r->record != wire, false, ring_end);
        follows = true;
    }
    for (size_t at = 0; at < r->emits.len;) {
        uint32_t size = svl__wire_length(r->emits.data + at, r->emits.len - at);
        add_item(d, r->emits.data + at, size, true, follows, ring_end);
        follows = true;
        at += size;
    }
    return true;
}

static bool add_untouched(struct drain *d, const uint8_t *wire, uint32_t len, uint64_t ring_end)
{
    if (!reserve(d, 1, 0))
        return false;
    add_item(d, wire, len, false, false, ring_end);
    return true;
}

static void add_waiter(struct drain *d, struct slot_tag tag, size_t item)
{
    struct waiter waiter = { tag, item };
    if (tag.number != 0)
        svl__buffer_append(&d->waiters, &waiter, sizeof waiter);
}

static bool is_abandoned(const svl_pipeline *p)
{
    return atomic_load_explicit(&p->abandon, memory_order_relaxed);
}

/* Memory is short: what is at hand stays in the ring until there is some. False: nobody waits for it. */
static bool wait_for_memory(struct drain *d)
{
    struct timespec pause = { .tv_nsec = MEMORY_POLL_MS * NS_PER_MS };
    if (!d->patient || is_abandoned(d->pipeline)) {
        d->failed = SVL_E_NOMEM;
        return false;
    }
    nanosleep(&pause, NULL);
    return true;
}

/* What the ingest handlers make of one record. SVL_E_NOMEM, SVL_E_CLOSED: nobody waits for memory, or for them,
 * any more: nothing of it was added. */
static int add_record(struct drain *d, const struct ingest_record *r, bool *dropped)
{
    int rc = SVL_OK;
    /* Once: a handler is not called again because memory was short after it. */
    bool shaped = svl__dispatch_count(d->pipeline->dispatch) > 0;
    if (shaped)
        while ((rc = svl__ingest_run(d->pipeline, r, &d->result, &d->unprocessed)) == SVL_E_NOMEM &&
               wait_for_memory(d))
            ;
    if (rc != SVL_OK)
        return rc;
    while (!(shaped ? add_result(d, r->wire, r->end) : add_untouched(d, r->wire, r->len, r->end)))
        if (!wait_for_memory(d))
            return SVL_E_NOMEM;
    *dropped = shaped && d->result.dropped;
    return SVL_OK;
}

/* One frame. SVL_E_NOMEM, SVL_E_CLOSED: nobody waits for memory, or for its handlers, any more: nothing of
 * it was added, it stays in the ring. */
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
    size_t first = d->items.len / sizeof(struct feed_item);
    struct ingest_record record = { wire, len, svl__ring_uuid(d->ring), frame->end,
                                    svl__ring_is_shared(d->ring) };
    rc = add_record(d, &record, &dropped);
    if (rc != SVL_OK)
        return rc;
    if (dropped)
        svl__slots_dropped(d->pipeline->slots, tag);
    else
        add_waiter(d, tag, first);
    return SVL_OK;
}

static void tell_damaged(struct drain *d, int code)
{
    svl__log(d->pipeline->log, SVL_SEVERITY_ERROR, code,
             "a ring frame that holds no record was skipped: %s", svl_last_error());
}

static void begin_round(struct drain *d)
{
    d->items.len = d->copied.len = d->scratch.len = d->waiters.len = 0;
    d->bytes = 0;
    d->gap_added = false;
}

/* Takes frames until the round is full or the ring is empty; *end is the position behind all that was
 * taken or skipped. */
static size_t collect(struct drain *d, uint64_t *end)
{
    size_t frames = 0;
    struct ring_frame frame;
    const svl_pipeline *p = d->pipeline;
    begin_round(d);
    svl__gap_look(&d->gap, d->ring, svl__ring_dropped(d->ring));
    while (frames < ROUND_FRAMES && d->bytes < ROUND_BYTES && !is_abandoned(p) &&
           svl__ring_next(d->ring, &frame)) {
        if (d->gap.count != 0 && frame.end > d->gap.position)
            add_gap(d, &d->gap, *end);
        int rc = add_frame(d, &frame);
        if ((rc == SVL_E_RECORD_SIZE || rc == SVL_E_VERSION) && !d->patient)
            d->failed =
                rc; /* published, and to be stored: with other options, by a newer version */
        if (rc == SVL_E_NOMEM || rc == SVL_E_CLOSED || d->failed)
            return frames;
        if (rc != SVL_OK)
            tell_damaged(d, rc);
        *end = frame.end;
        frames++;
    }
    *end = svl__ring_drained(d->ring);
    if (d->gap.count != 0 && svl__ring_drained(d->ring) >= d->gap.position)
        add_gap(d, &d->gap, *end);
    return frames;
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

/* Nothing is added any more: what was copied has its place. */
static struct feed_item *place_items(struct drain *d, size_t count)
{
    struct feed_item *items = items_of(d);
    for (size_t i = 0; i < count; i++)
        if (d->copied.data[i])
            items[i].wire = d->scratch.data + (uintptr_t)items[i].wire;
    return items;
}

/* The ring's drops count as told once the gap record is written; perhaps it is already. */
static void await_gap(struct drain *d, uint64_t ticket)
{
    svl_pipeline *p = d->pipeline;
    uint64_t total = d->gap.total - d->gap.count;
    pthread_mutex_lock(&p->release_lock);
    bool written = p->written_ticket >= ticket;
    if (written)
        svl__ring_dropped_told(d->ring, total);
    p->gap_total = written ? 0 : total;
    p->gap_ticket = ticket;
    pthread_mutex_unlock(&p->release_lock);
}

static int feed(struct drain *d, uint64_t end)
{
    svl_pipeline *p = d->pipeline;
    size_t count = d->items.len / sizeof(struct feed_item);
    if (count == 0) {
        pass(p, d->ring, end);
        return SVL_OK;
    }
    struct feed_item *items = place_items(d, count);
    struct ring_position position = { .position = end };
    memcpy(position.uuid, svl__ring_uuid(d->ring), sizeof position.uuid);
    struct feed feed = {
        .items = items, .count = count, .ring = &position, .urgent = d->waiters.len > 0
    };
    pthread_mutex_lock(&p->release_lock);
    p->noted_position = end;
    pthread_mutex_unlock(&p->release_lock);
    uint64_t ticket;
    int rc;
    while ((rc = svl__store_feed(p->store, &feed, &ticket)) == SVL_E_NOMEM && wait_for_memory(d))
        ;
    if (rc != SVL_OK)
        return rc;
    if (d->gap_added)
        await_gap(d, ticket);
    const struct waiter *waiters = (const struct waiter *)(const void *)d->waiters.data;
    for (size_t i = 0; i < d->waiters.len / sizeof *waiters; i++)
        svl__slots_fed(p->slots, waiters[i].tag, items[waiters[i].item].id, ticket);
    if (d->waiters.len > 0)
        svl__slots_durable(p->slots, svl__store_durable_ticket(p->store));
    return SVL_OK;
}

/* All before `end` has been fed, or dropped: in the log its suspects are forgotten behind it. */
static void settle_suspects(const svl_pipeline *p, const uint8_t uuid[16], uint64_t end)
{
    svl__crash_settle(p->crash, MARKED_INGEST, svl__crash_ring(uuid), end);
    svl__crash_save(p->crash);
}

/* --- the rings of other processes --- */

static int feed_attached(struct drain *d, size_t i, uint64_t end)
{
    svl_pipeline *p = d->pipeline;
    struct attached *a = p->attached;
    size_t count = d->items.len / sizeof(struct feed_item);
    if (count == 0) {
        svl__attached_passed(a, i, end);
        return SVL_OK;
    }
    struct feed_item *items = place_items(d, count);
    struct ring_position position = { .position = end };
    memcpy(position.uuid, svl__attached_uuid(a, i), sizeof position.uuid);
    struct feed feed = {
        .items = items, .count = count, .ring = &position, .urgent = d->waiters.len > 0
    };
    svl__attached_note(a, i, end);
    uint64_t ticket;
    int rc;
    while ((rc = svl__store_feed(p->store, &feed, &ticket)) == SVL_E_NOMEM && wait_for_memory(d))
        ;
    if (rc != SVL_OK)
        return rc;
    const struct waiter *waiters = (const struct waiter *)(const void *)d->waiters.data;
    for (size_t k = 0; k < d->waiters.len / sizeof *waiters; k++) {
        struct outcome_tag tag = { waiters[k].tag.number, waiters[k].tag.generation };
        svl__attached_await(a, i, tag, items[waiters[k].item].id, ticket);
    }
    svl__attached_fed(a, i, end, ticket, d->gap_added);
    svl__attached_durable(a, svl__store_durable_ticket(p->store));
    return SVL_OK;
}

/* A ring's share of a round. *frames is how many records it gave. */
static int drain_attached(struct drain *d, size_t i, size_t *frames)
{
    struct attached *a = d->pipeline->attached;
    struct attached_record record;
    uint64_t before = svl__attached_end(a, i), end = before;
    struct gap *gap = svl__attached_gap(a, i);
    begin_round(d);
    while (!is_abandoned(d->pipeline) && svl__attached_next(a, i, &record)) {
        bool dropped;
        if (gap->count != 0 && record.end > gap->position)
            add_gap(d, gap, end);
        size_t first = d->items.len / sizeof(struct feed_item);
        struct ingest_record ingest = { record.wire, record.len, svl__attached_uuid(a, i),
                                        record.end, true };
        int rc = add_record(d, &ingest, &dropped);
        if (rc == SVL_E_NOMEM || rc == SVL_E_CLOSED)
            return SVL_OK; /* the pipeline is being closed: what was not fed stays in the ring */
        if (rc != SVL_OK) {
            tell_damaged(d, rc);
            continue;
        }
        if (dropped)
            svl__attached_dropped(a, i, record.tag);
        else
            add_waiter(d, (struct slot_tag){ record.tag.number, record.tag.generation }, first);
        end = record.end;
        ++*frames;
    }
    end = svl__attached_end(a, i);
    if (gap->count != 0 && svl__attached_is_behind(a, i, gap->position))
        add_gap(d, gap, end);
    *frames += end != before;
    int rc = end != before || d->items.len > 0 ? feed_attached(d, i, end) : SVL_OK;
    if (rc == SVL_OK)
        settle_suspects(d->pipeline, svl__attached_uuid(a, i), end);
    return rc;
}

/* One round over all of them. */
static int drain_all_attached(struct drain *d, size_t *frames)
{
    svl_pipeline *p = d->pipeline;
    int rc = SVL_OK;
    svl__attached_look(p->attached);
    for (size_t i = 0; i < ATTACH_SLOTS && rc == SVL_OK && !is_abandoned(p); i++)
        if (svl__attached_begin(p->attached, i))
            rc = drain_attached(d, i, frames);
    return rc;
}

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

/* The host stops. What was published by now is taken, and no more, however fast others go on. */
static int drain_last_attached(struct drain *d)
{
    svl_pipeline *p = d->pipeline;
    size_t frames = 1;
    int rc = SVL_OK;
    svl__attached_look(p->attached);
    svl__attached_end_here(p->attached);
    while (rc == SVL_OK && frames > 0 && wait_accepts(p)) {
        frames = 0;
        rc = drain_all_attached(d, &frames);
    }
    return rc;
}

static void drain_begin(struct drain *d, svl_pipeline *p, struct ring *ring, bool patient)
{
    *d = (struct drain){ .pipeline = p,
                         .ring = ring,
                         .patient = patient,
                         .gap.total = svl__ring_dropped_told_get(ring) };
    pthread_mutex_lock(&p->release_lock);
    p->releasing = ring;
    p->noted_position = p->released_position = svl__ring_drained(ring);
    p->passed_position = p->released_position;
    p->gap_total = 0;
    pthread_mutex_unlock(&p->release_lock);
}

static void drain_end(struct drain *d)
{
    svl__buffer_free(&d->items);
    svl__buffer_free(&d->copied);
    svl__buffer_free(&d->scratch);
    svl__buffer_free(&d->waiters);
    svl__buffer_free(&d->result.emits);
    svl__buffer_free(&d->unprocessed);
}

static void tell_fed(svl_pipeline *p, uint64_t position)
{
    pthread_mutex_lock(&p->lock);
    p->fed_position = position;
    pthread_cond_broadcast(&p->fed);
    pthread_mutex_unlock(&p->lock);
}

static bool is_finished(svl_pipeline *p, uint64_t position)
{
    pthread_mutex_lock(&p->lock);
    bool finished = p->closed_tail != UINT64_MAX && position >= p->closed_tail;
    pthread_mutex_unlock(&p->lock);
    return finished || is_abandoned(p);
}

/* The ring is closed and drained; what is counted now is the last. */
static int tell_last_gap(struct drain *d, uint64_t end)
{
    begin_round(d);
    svl__gap_look(&d->gap, d->ring, svl__ring_dropped_end(d->ring));
    while (d->gap.count != 0 && !add_gap(d, &d->gap, end) && wait_for_memory(d))
        ;
    return d->items.len > 0 ? feed(d, end) : SVL_OK;
}

void *svl__drain_run(void *argument)
{
    svl_pipeline *p = argument;
    struct drain d;
    drain_begin(&d, p, p->ring, true);
    uint64_t end = svl__ring_drained(p->ring);
    int rc = SVL_OK;
    while (rc == SVL_OK && wait_accepts(p)) {
        uint64_t before = end;
        size_t frames = collect(&d, &end);
        if (end != before || d.items.len > 0) {
            atomic_fetch_add_explicit(&p->published, frames, memory_order_relaxed);
            rc = feed(&d, end);
        }
        if (rc == SVL_OK && svl__ring_is_broken(p->ring))
            rc = svl__fail(SVL_E_CORRUPT, "something in this process wrote over the ring; what is "
                                          "whole in it is stored at the next start");
        bool finished = is_finished(p, end);
        if (rc == SVL_OK && finished && !is_abandoned(p))
            rc = tell_last_gap(&d, end);
        if (rc == SVL_OK && finished)
            rc = drain_last_attached(&d);
        if (rc == SVL_OK) {
            settle_suspects(p, svl__ring_uuid(p->ring), end);
            tell_fed(p, end);
        }
        if (finished)
            break;
        if (rc == SVL_OK)
            rc = drain_all_attached(&d, &frames);
        if (rc == SVL_OK && frames == 0 && svl__attached_arm(p->attached)) {
            svl__ring_sleep(p->ring, svl__attached_deadline_ns(p->attached));
            svl__stall_report(p->ring, &d.stalls_told, p->log);
        }
    }
    drain_end(&d);
    if (rc != SVL_OK && !is_abandoned(p))
        svl__pipeline_fail(p, rc);
    pthread_mutex_lock(&p->lock);
    p->drained_all = true;
    bool orphaned = p->drainer_orphaned;
    pthread_cond_broadcast(&p->fed);
    pthread_mutex_unlock(&p->lock);
    if (orphaned)
        svl__pipeline_let_go(p);
    return NULL;
}

int svl__drain_crashed(svl_pipeline *p, struct ring *ring, int64_t wait_ms)
{
    struct drain d;
    drain_begin(&d, p, ring, false);
    uint64_t end = svl__ring_drained(ring);
    int rc = SVL_OK;
    for (;;) {
        rc = svl__store_wait_accepts(p->store, svl__deadline_ns(wait_ms));
        if (rc != SVL_OK)
            break;
        uint64_t before = end;
        size_t frames = collect(&d, &end);
        rc = d.failed;
        if (rc == SVL_OK && (end != before || d.items.len > 0))
            rc = feed(&d, end);
        if (rc == SVL_OK)
            settle_suspects(p, svl__ring_uuid(ring), end);
        if (rc != SVL_OK || frames == 0)
            break;
        p->ring_recovered += frames;
    }
    if (rc == SVL_OK && d.gap.count != 0)
        rc = SVL_E_NOMEM; /* for the record that tells of it; nobody waits here */
    drain_end(&d);
    return rc;
}
