/* ring.c - reserving, committing, taking, releasing. The argument, edge by edge (ORDERS.md has them all, with what
 * breaks without each):
 *
 * Producers take their span by one CAS on the tail and never wait for each other. The tail counts bytes
 * and never wraps, so no ABA. A span that would cross the end of the ring is preceded by padding up to
 * that end, claimed in the same CAS: payloads are contiguous.
 *
 *   A1 acquire, reserve's load of head or its cache <- A2 release, store of head after zeroing: a
 *      producer that finds its span free finds it zeroed too, and its own stores come after.
 *   A3 acq_rel, the reserving CAS <-> A4 acq_rel, fetch_or of the sleep bit (wake.c): the consumer goes to
 *      sleep at a tail that is its own position; whoever reserves after that sees and clears the bit,
 *      and owes a wake. So no flag is loaded after the commit, and no fence stands between.
 *   A5 release, store of the committed header -> A6 acquire, the consumer's load of it: the payload is
 *      complete before its header says so (R2).
 *   A10 (commit_and_look) the same between a commit and the sleep bit of a consumer that does not wait for
 *      open claims: seq_cst, header then bit here, bit then header there (foreign.c, svl__ring_arm).
 *   A7 release fence between the BUSY header and the payload: for the crash only. SIGKILL cuts a thread
 *      between two instructions, and what it stored stays in the page; program order is what recovery
 *      needs: a zero header proves that nothing of the span was touched (R3). No edge between threads
 *      depends on it, which is as well, since ThreadSanitizer does not know fences.
 *   A8 acquire, the tail once more when it was found closed <- A9 release, fetch_or of the closed bit
 *      (wake.c): whoever is refused sees what was stored before the ring was closed, that is, why.
 *
 * Releasing: consumed, then zeroing (A11, a fence for the crash as A7: a release store would let the zeroing pass it),
 * then head (A2). Killed in between, recovery starts at consumed, and what lies before it may be half zeroed: it is not
 * looked at. */
#include "ring.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/step.h"
#include "layout.h"

#define CACHE_LINE UINT64_C(64)
/* Some 200 ns of publishing, which is what a line takes from afar; long frames the processor foresees itself. */
#define FETCH_AHEAD 1024
#define FETCH_BYTES_MAX 512

uint64_t svl__ring_capacity(const struct ring *ring)
{
    return ring->capacity;
}

uint32_t svl__ring_payload_max(const struct ring *ring)
{
    return ring->payload_max;
}

bool svl__ring_is_shared(const struct ring *ring)
{
    return ring->shared;
}

const uint8_t *svl__ring_uuid(const struct ring *ring)
{
    return ring->uuid;
}

uint64_t svl__ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->tail, memory_order_acquire) & TAIL_POSITION;
}

/* Is [.., end) within the capacity behind the head? */
static bool has_space(struct ring *ring, uint64_t end)
{
    struct ring_control *c = ring->control;
    uint64_t head = atomic_load_explicit(&c->head_cache, memory_order_acquire); /* A1 */
    if (end - head <= ring->capacity)
        return true;
    head = atomic_load_explicit(&c->head, memory_order_acquire);       /* A1 */
    atomic_store_explicit(&c->head_cache, head, memory_order_release); /* A2, passed on */
    return end - head <= ring->capacity;
}

/* What the next frames will be written to is on its way while this one is: a ring is larger than a core's cache, and
 * was zeroed by another core. Only a hint. */
static inline void fetch_ahead(const struct ring *ring, uint64_t position, uint64_t bytes)
{
    uint64_t at = (position + FETCH_AHEAD) & ring->mask;
    uint64_t n = bytes < FETCH_BYTES_MAX ? bytes : FETCH_BYTES_MAX;
    if (n > ring->capacity - at)
        n = ring->capacity - at;
    for (uint64_t i = 0; i < n; i += CACHE_LINE)
        __builtin_prefetch(ring->data + at + i, 1);
}

/* The span is ours: headers first, so that a crash from here on leaves a length to skip by. */
static void begin_frame(struct ring *ring, uint64_t position, uint64_t padding, uint32_t len,
                        struct ring_slot *slot)
{
    STEP("ring: reserved");
    fetch_ahead(ring, position, frame_bytes(len));
    if (padding > 0) {
        uint32_t flags = FRAME_PAD | (uint32_t)(padding - FRAME_HEADER);
        atomic_store_explicit(frame_header(ring, position), make_header(ring, position, flags),
                              memory_order_release);
        position += padding;
        STEP("ring: padded");
    }
    atomic_store_explicit(frame_header(ring, position),
                          make_header(ring, position, FRAME_BUSY | len), memory_order_relaxed);
    ring_crash_fence(); /* A7 */
    STEP("ring: busy header");
    slot->ring = ring;
    slot->payload = ring->data + (position & ring->mask) + FRAME_HEADER;
    slot->position = position + frame_bytes(len);
    slot->len = len;
}

int svl__ring_reserve(struct ring *ring, uint32_t len, struct ring_slot *slot)
{
    if (len == 0 || len > ring->payload_max)
        return svl__fail(SVL_E_RECORD_SIZE, "%u bytes for the ring; at most %u", len,
                         ring->payload_max);
    uint64_t bytes = frame_bytes(len);
    uint64_t tail = atomic_load_explicit(&ring->control->tail, memory_order_relaxed);
    for (;;) {
        if (tail & TAIL_CLOSED) {
            atomic_load_explicit(&ring->control->tail, memory_order_acquire); /* A8 */
            return SVL_E_CLOSED;
        }
        uint64_t position = tail & TAIL_POSITION;
        uint64_t to_end = ring->capacity - (position & ring->mask);
        uint64_t padding = to_end < bytes ? to_end : 0;
        uint64_t end = position + padding + bytes;
        STEP("ring: tail read");
        if (!has_space(ring, end)) {
            /* The tail may be old: full only if it still stands. */
            uint64_t now = atomic_load_explicit(&ring->control->tail, memory_order_relaxed);
            if (now == tail)
                return SVL_E_FULL;
            tail = now;
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&ring->control->tail, &tail, end,
                                                  memory_order_acq_rel, /* A3 */
                                                  memory_order_relaxed)) {
            slot->owes_wake = tail & TAIL_SLEEPS;
            begin_frame(ring, position, padding, len, slot);
            return SVL_OK;
        }
    }
}

/* A consumer of several rings, or that polls, does not wait for an open claim, it goes to sleep: so whoever
 * commits looks whether it did. Here the header is stored, then the bit looked at; there the bit is set, then the
 * header looked at (foreign.c, wake.c): all of it sequentially consistent (A10). True: a wake is owed. */
static bool commit_and_look(struct ring *ring, uint64_t position, uint64_t header)
{
    atomic_exchange_explicit(frame_header(ring, position), header, memory_order_seq_cst); /* A5 */
    STEP("ring: committed, bit not looked at");
    if (!(atomic_load_explicit(&ring->control->tail, memory_order_seq_cst) & TAIL_SLEEPS)) /* A10 */
        return false;
    return atomic_fetch_and_explicit(&ring->control->tail, ~TAIL_SLEEPS, memory_order_seq_cst) &
           TAIL_SLEEPS;
}

static void end_frame(struct ring_slot *slot, uint32_t flags)
{
    struct ring *ring = slot->ring;
    uint64_t position = slot->position - frame_bytes(slot->len);
    STEP("ring: payload written");
    uint64_t header = make_header(ring, position, flags | slot->len);
    if (ring->commit_looks)
        slot->owes_wake |= commit_and_look(ring, position, header);
    else
        atomic_store_explicit(frame_header(ring, position), header, memory_order_release); /* A5 */
    STEP("ring: committed");
    if (slot->owes_wake)
        svl__ring_pay_wake(ring);
}

void svl__ring_commit(struct ring_slot *slot)
{
    end_frame(slot, 0);
}

void svl__ring_discard(struct ring_slot *slot)
{
    end_frame(slot, FRAME_DISCARD);
}

/* --- the consumer --- */

uint64_t svl__ring_drained(const struct ring *ring)
{
    return ring->drained;
}

static void set_drained(struct ring *ring, uint64_t position)
{
    ring->drained = position;
    atomic_store_explicit(&ring->drained_seen, position, memory_order_relaxed);
}

/* Of a live ring its tail, of a crashed one its last. Seldom: a look at the tail takes its cache line away from the
 * producers. */
uint64_t svl__ring_look(struct ring *ring)
{
    ring->limit = ring->crashed ? ring->crash_tail : svl__ring_tail(ring);
    uint64_t used = ring->limit - atomic_load_explicit(&ring->control->head, memory_order_relaxed);
    if (used > atomic_load_explicit(&ring->high_water, memory_order_relaxed))
        atomic_store_explicit(&ring->high_water, used, memory_order_relaxed);
    return ring->limit;
}

/* Is `header` one that a producer wrote for this position, with a span that fits? */
bool svl__ring_is_frame(const struct ring *ring, uint64_t position, uint64_t header, uint64_t limit)
{
    uint32_t flags = (uint32_t)header, len = flags & FRAME_LENGTH;
    if ((uint32_t)(header >> 32) != frame_stamp(ring, position))
        return false;
    uint64_t bytes = frame_bytes(len), to_end = ring->capacity - (position & ring->mask);
    if (bytes > limit - position || bytes > to_end)
        return false;
    if (flags & FRAME_PAD)
        return bytes == to_end && !(flags & (FRAME_BUSY | FRAME_DISCARD)) && len % 8 == 0;
    return len > 0 && len <= ring->payload_max;
}

/* Goes on by 8 to the next header with a right stamp, or to the limit. */
uint64_t svl__ring_resynchronise(const struct ring *ring, uint64_t position, uint64_t limit)
{
    for (position += 8; position < limit; position += 8) {
        uint64_t header = atomic_load_explicit(frame_header(ring, position), memory_order_acquire);
        if (header != 0 && svl__ring_is_frame(ring, position, header, limit))
            break;
    }
    return position < limit ? position : limit;
}

/* In a crashed ring: a zero header is a span reserved and untouched; what is no frame is damage. */
static void skip_to_next(struct ring *ring, uint64_t position, uint64_t header, uint64_t limit)
{
    if (header == 0)
        ring->recovery.gaps++;
    else
        ring->recovery.damaged++;
    set_drained(ring, svl__ring_resynchronise(ring, position, limit));
}

bool svl__ring_is_broken(const struct ring *ring)
{
    return ring->broken;
}

bool svl__ring_next(struct ring *ring, struct ring_frame *frame)
{
    while (ring->drained < ring->limit || ring->drained < svl__ring_look(ring)) {
        uint64_t position = ring->drained, limit = ring->limit;
        uint64_t header =
            atomic_load_explicit(frame_header(ring, position), memory_order_acquire); /* A6 */
        if (header == 0 && !ring->crashed)
            return false; /* reserved a moment ago */
        if (header == 0 || !svl__ring_is_frame(ring, position, header, limit)) {
            ring->broken = !ring->crashed;
            if (ring->broken)
                return false;
            skip_to_next(ring, position, header, limit);
            continue;
        }
        uint32_t flags = (uint32_t)header, len = flags & FRAME_LENGTH;
        if ((flags & FRAME_BUSY) && !ring->crashed)
            return false;
        set_drained(ring, position + frame_bytes(len));
        if (flags & FRAME_BUSY) {
            ring->recovery.unfinished++;
        } else if (flags & FRAME_DISCARD) {
            ring->recovery.discarded++;
        } else if (!(flags & FRAME_PAD)) {
            ring->recovery.committed++;
            frame->payload = ring->data + (position & ring->mask) + FRAME_HEADER;
            frame->len = len;
            frame->end = ring->drained;
            return true;
        }
    }
    return false;
}

void svl__ring_zero(struct ring *ring, uint64_t from, uint64_t to)
{
    uint64_t at = from & ring->mask, n = to - from;
    uint64_t first = ring->capacity - at < n ? ring->capacity - at : n;
    memset(ring->data + at, 0, first);
    memset(ring->data, 0, n - first);
}

void svl__ring_release(struct ring *ring, uint64_t position)
{
    struct ring_control *c = ring->control;
    uint64_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
    if (position <= head)
        return;
    atomic_store_explicit(&c->consumed, position, memory_order_relaxed);
    ring_crash_fence(); /* A11 */
    STEP("ring: consumed");
    svl__ring_zero(ring, head, position);
    STEP("ring: zeroed");
    /* A2; and sequentially consistent for B3 (wake.c). */
    atomic_exchange_explicit(&c->head, position, memory_order_seq_cst);
    STEP("ring: head moved");
    svl__ring_tell_space(ring, position);
}

void svl__ring_recovery_get(const struct ring *ring, struct ring_recovery *recovery)
{
    *recovery = ring->recovery;
}

void svl__ring_stats_get(struct ring *ring, struct ring_stats *stats)
{
    uint64_t head = atomic_load_explicit(&ring->control->head, memory_order_relaxed);
    uint64_t tail = svl__ring_tail(ring);
    stats->used_bytes = tail > head ? tail - head : 0;
    stats->high_water_bytes = atomic_load_explicit(&ring->high_water, memory_order_relaxed);
    if (stats->high_water_bytes < stats->used_bytes)
        stats->high_water_bytes = stats->used_bytes;
    stats->stalled_claims = atomic_load_explicit(&ring->stalled, memory_order_relaxed);
    stats->stalled_ns_max = atomic_load_explicit(&ring->stalled_ns_max, memory_order_relaxed);
}
