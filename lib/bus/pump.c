/* pump.c - from the ring to the subscribers, on the thread that pumps.
 *
 * A pump hands out what was in the ring when it began, so that it ends while others go on publishing. Records
 * are handed out in place: their bytes are the ring's until all callbacks have returned (U3). */
#include <stdint.h>

#include "base/clock.h"
#include "bus.h"
#include "stall.h"

/* The ring is released in portions: publishers that wait get room before a long pump is over. */
#define RELEASE_PART 16

static bool is_abandoned(const svl_bus *bus)
{
    return atomic_load_explicit(&bus->abandoned, memory_order_relaxed);
}

static void look_for_drops(svl_bus *bus)
{
    if (bus->drops_ended)
        return;
    uint64_t closed_tail = atomic_load_explicit(&bus->closed_tail, memory_order_acquire);
    bus->drops_ended = svl__ring_drained(bus->ring) >= closed_tail;
    svl__gap_look(&bus->gap, bus->ring,
                  bus->drops_ended ? svl__ring_dropped_end(bus->ring)
                                   : svl__ring_dropped(bus->ring));
}

static void deliver_gap(svl_bus *bus)
{
    struct gap_record gap;
    svl__gap_record(&bus->gap, &gap);
    bus->gap.count = 0;
    gap.record.time_ns = svl__wall_ns();
    svl__bus_deliver(bus, &gap.record);
}

static void report_frame(svl_bus *bus, int rc)
{
    svl__bus_let_go(bus);
    svl__log(&bus->log, SVL_SEVERITY_ERROR, rc, "a ring frame that holds no record was skipped: %s",
             svl_last_error());
    svl__bus_take_up(bus);
}

static void deliver_frame(svl_bus *bus, const struct ring_frame *frame)
{
    svl_record record;
    int rc = svl__wire_decode(frame->payload, frame->len, bus->attributes, &record);
    if (rc == SVL_OK)
        svl__bus_deliver(bus, &record);
    else
        report_frame(bus, rc);
}

/* Publishers that wait for room need no lock. */
static void release(svl_bus *bus, uint64_t position)
{
    svl__bus_let_go(bus);
    svl__ring_release(bus->ring, position);
    svl__bus_take_up(bus);
}

static size_t deliver_all(svl_bus *bus, size_t max)
{
    struct ring *ring = bus->ring;
    uint64_t portion = svl__ring_capacity(ring) / RELEASE_PART;
    uint64_t at = svl__ring_drained(ring), released = at, end = svl__ring_look(ring);
    size_t n = 0;
    for (; n < max && !is_abandoned(bus); n++) {
        struct ring_frame frame;
        if (bus->gap.count != 0 && at >= bus->gap.position) {
            deliver_gap(bus);
        } else if (at < end && svl__ring_next(ring, &frame)) {
            wire_prefetch(frame.payload, frame.len);
            deliver_frame(bus, &frame);
            at = frame.end;
        } else {
            break;
        }
        if (at - released >= portion) {
            release(bus, at);
            released = at;
        }
    }
    return n;
}

static size_t hand_out(svl_bus *bus, size_t max)
{
    look_for_drops(bus);
    bus->frame = (struct callback_frame){ .kind = CALLBACK_BUS, .owner = bus };
    svl__callback_enter(&bus->frame);
    svl__bus_deliver_begin(bus);
    size_t n = deliver_all(bus, max);
    svl__bus_deliver_end(bus);
    svl__callback_leave(&bus->frame);
    svl__ring_release(bus->ring, svl__ring_drained(bus->ring));
    return n;
}

/* Nothing behind can be found any more. */
static int stop_broken(svl_bus *bus)
{
    atomic_store_explicit(&bus->broken, true, memory_order_relaxed);
    svl__bus_close(bus);
    return svl__bus_closed(bus);
}

int svl__bus_pump(svl_bus *bus, size_t max_records, int64_t deadline_ns, size_t *delivered)
{
    for (;;) {
        if (bus->next_look_ns != 0 && bus->next_look_ns < deadline_ns)
            svl__spin_until(bus->next_look_ns);
        uint64_t from = svl__ring_drained(bus->ring);
        *delivered = hand_out(bus, max_records);
        uint64_t bytes = svl__ring_drained(bus->ring) - from;
        bus->next_look_ns = *delivered < max_records ? svl__ring_next_look_ns(bytes) : 0;
        if (*delivered > 0)
            return SVL_OK;
        if (svl__ring_is_broken(bus->ring))
            return stop_broken(bus);
        if (bus->drops_ended)
            return svl__bus_closed(bus);
        if (atomic_exchange_explicit(&bus->woken, false, memory_order_acquire))
            return SVL_E_AGAIN;
        if (svl__monotonic_ns() >= deadline_ns)
            return SVL_E_TIMEOUT;
        svl__ring_sleep(bus->ring, deadline_ns);
        svl__stall_report(bus->ring, &bus->stalls_told, &bus->log);
    }
}

int svl_bus_pump(svl_bus *bus, size_t max_records, int64_t timeout_ms, size_t *delivered)
{
    if (delivered)
        *delivered = 0;
    int rc = svl__bus_check(bus, "svl_bus_pump");
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    if (atomic_exchange_explicit(&bus->pumped, true, memory_order_acquire))
        return svl__fail(SVL_E_BUSY, "another thread pumps this bus");
    size_t n;
    rc = svl__bus_pump(bus, max_records ? max_records : SIZE_MAX, deadline_ns, &n);
    atomic_store_explicit(&bus->pumped, false, memory_order_release);
    if (delivered)
        *delivered = n;
    return rc;
}

int svl_bus_wake(svl_bus *bus)
{
    int rc = svl__bus_check(bus, NULL);
    if (rc != SVL_OK)
        return rc;
    atomic_store_explicit(&bus->woken, true, memory_order_release);
    svl__ring_wake(bus->ring);
    return SVL_OK;
}

uint64_t svl__bus_discard(svl_bus *bus)
{
    struct ring_frame frame;
    uint64_t n = 0;
    while (svl__ring_next(bus->ring, &frame))
        n++;
    if (svl__ring_is_broken(bus->ring))
        stop_broken(bus);
    look_for_drops(bus);
    return n + bus->gap.count;
}
