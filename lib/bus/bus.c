/* bus.c - a bus' life: create, publish, stop, destroy. */
#include "bus.h"

#include "base/alloc.h"
#include "base/callback.h"
#include "base/options.h"
#include "base/thread.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_bus_options)
#define STATS_FIRST_SIZE sizeof(svl_bus_stats)
#define RECORD_BYTES_MIN 256
#define DESTROY_TIMEOUT_MS_DEFAULT 10000
#define DESTROY_TIMEOUT_MS_MAX 3600000

int svl_bus_options_init(svl_bus_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_bus_options");
}

static int check_record_bytes(svl_bus_options *o)
{
    uint32_t max = RING_BYTES_MAX / RING_FRAME_PART;
    uint64_t part = o->ring_bytes / RING_FRAME_PART;
    if (o->record_bytes_max == 0)
        o->record_bytes_max = o->ring_bytes != 0 && part < RECORD_BYTES_DEFAULT
                                  ? (uint32_t)part
                                  : RECORD_BYTES_DEFAULT;
    else if (o->record_bytes_max < RECORD_BYTES_MIN || o->record_bytes_max > max)
        return svl__fail(SVL_E_OPTION, "record_bytes_max is %u; %d to %u", o->record_bytes_max,
                         RECORD_BYTES_MIN, max);
    return SVL_OK;
}

static int check_options(const svl_bus_options *from, svl_bus_options *o,
                         struct intake_options *intake)
{
    int rc = svl__options_copy(o, sizeof *o, from, OPTIONS_FIRST_SIZE, "svl_bus_options");
    if (rc == SVL_OK && (o->flags & ~(uint32_t)SVL_BUS_THREAD))
        rc = svl__fail(SVL_E_OPTION, "flags has unknown bits: %#x", o->flags);
    if (rc == SVL_OK)
        rc = check_record_bytes(o);
    if (o->destroy_timeout_ms == 0)
        o->destroy_timeout_ms = DESTROY_TIMEOUT_MS_DEFAULT;
    if (rc == SVL_OK && o->destroy_timeout_ms > DESTROY_TIMEOUT_MS_MAX)
        rc = svl__fail(SVL_E_OPTION, "destroy_timeout_ms is %u; at most %d", o->destroy_timeout_ms,
                       DESTROY_TIMEOUT_MS_MAX);
    *intake = (struct intake_options){ .ring_bytes = o->ring_bytes,
                                       .record_bytes_max = o->record_bytes_max,
                                       .full_policy = o->full_policy,
                                       .block_timeout_ms = o->block_timeout_ms };
    return rc == SVL_OK ? svl__intake_options_check(intake) : rc;
}

int svl__bus_check(const svl_bus *bus, const char *function)
{
    if (!bus)
        return svl__fail(SVL_E_INVALID, "bus is NULL");
    if (svl__forked(bus->process_mark))
        return svl__fail(SVL_E_FORKED, "the bus was created before fork(); create after it");
    if (function && svl__in_callback(bus, 0))
        return svl__fail(SVL_E_DEADLOCK, "%s() inside a callback of the same bus", function);
    return SVL_OK;
}

static int create_object(svl_bus **out)
{
    *out = NULL;
    svl_bus *bus = svl__calloc(1, sizeof *bus);
    if (!bus)
        return SVL_E_NOMEM;
    int rc = svl__cond_init(&bus->changed);
    if (rc != SVL_OK) {
        svl__free(bus);
        return rc;
    }
    pthread_mutex_init(&bus->lock, NULL);
    bus->process_mark = svl__process_mark();
    atomic_init(&bus->closed_tail, UINT64_MAX);
    *out = bus;
    return SVL_OK;
}

int svl_bus_create(const svl_bus_options *options, svl_bus **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    svl_bus_options checked;
    struct intake_options intake;
    svl_bus *bus;
    int rc = check_options(options, &checked, &intake);
    if (rc == SVL_OK)
        rc = create_object(&bus);
    if (rc != SVL_OK)
        return rc;
    bus->log = (struct log_sink){ checked.log, checked.log_user };
    bus->destroy_timeout_ms = checked.destroy_timeout_ms;
    svl__intake_init(&bus->intake, bus, 0, &intake);
    struct ring_options ring = { .capacity = intake.ring_bytes };
    rc = svl__ring_create(&ring, &bus->ring);
    if (rc == SVL_OK && (checked.flags & SVL_BUS_THREAD))
        rc = svl__bus_thread_start(bus);
    if (rc != SVL_OK) {
        svl__bus_free(bus);
        return rc;
    }
    *out = bus;
    return SVL_OK;
}

void svl__bus_free(svl_bus *bus)
{
    svl__bus_subscriptions_free(bus);
    svl__ring_destroy(bus->ring);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    svl__free(bus);
}

int svl_bus_publish(svl_bus *bus, const svl_record *record)
{
    int rc = svl__bus_check(bus, NULL);
    if (rc != SVL_OK)
        return rc;
    struct intake_item item = { .record = record };
    rc = svl__intake_put(&bus->intake, bus->ring, &item);
    return rc == SVL_E_CLOSED ? svl__bus_closed(bus) : rc;
}

void svl__bus_close(svl_bus *bus)
{
    uint64_t tail = svl__ring_close(bus->ring);
    atomic_store_explicit(&bus->closed_tail, tail, memory_order_release);
    svl__ring_wake(bus->ring); /* whoever pumps may have gone to sleep before it was stored */
}

int svl__bus_closed(const svl_bus *bus)
{
    if (atomic_load_explicit(&bus->broken, memory_order_relaxed))
        return svl__fail(SVL_E_CORRUPT, "something in this process wrote over the bus' ring");
    return svl__fail(SVL_E_CLOSED, "the bus has been stopped");
}

int svl_bus_stop(svl_bus *bus)
{
    int rc = svl__bus_check(bus, NULL);
    if (rc == SVL_OK)
        svl__bus_close(bus);
    return rc;
}

int svl_bus_destroy(svl_bus *bus)
{
    if (!bus)
        return SVL_OK;
    int rc = svl__bus_check(bus, "svl_bus_destroy");
    if (rc != SVL_OK)
        return rc;
    svl__bus_close(bus);
    if (bus->has_thread && svl__bus_thread_end(bus) != SVL_OK)
        return svl__fail(SVL_E_TIMEOUT,
                         "a callback has not returned; what it uses is freed when it "
                         "has, what was not handed out is discarded");
    uint64_t left = svl__bus_discard(bus);
    if (left > 0)
        svl__log(&bus->log, SVL_SEVERITY_WARN, SVL_E_DROPPED,
                 "%llu records were not handed out before svl_bus_destroy(): discarded",
                 (unsigned long long)left);
    rc = atomic_load_explicit(&bus->broken, memory_order_relaxed) ? svl__bus_closed(bus) : SVL_OK;
    svl__bus_free(bus);
    return rc == SVL_OK && left > 0 ? SVL_E_DROPPED : rc;
}

int svl_bus_stats_get(svl_bus *bus, svl_bus_stats *stats)
{
    int rc = svl__bus_check(bus, NULL);
    if (rc != SVL_OK)
        return rc;
    struct ring_stats ring;
    svl__ring_stats_get(bus->ring, &ring);
    svl_bus_stats now = {
        .ring_bytes = svl__ring_capacity(bus->ring),
        .ring_used_bytes = ring.used_bytes,
        .ring_high_water_bytes = ring.high_water_bytes,
        .refused_full = atomic_load_explicit(&bus->intake.refused_full, memory_order_relaxed),
        .dropped_full = atomic_load_explicit(&bus->intake.dropped_full, memory_order_relaxed),
        .stalled_claims = ring.stalled_claims,
    };
    now.delivered = atomic_load_explicit(&bus->delivered, memory_order_relaxed);
    now.calls = atomic_load_explicit(&bus->calls, memory_order_relaxed);
    now.failures = atomic_load_explicit(&bus->failures, memory_order_relaxed);
    pthread_mutex_lock(&bus->lock);
    for (const svl_bus_subscription *s = bus->first; s; s = s->next)
        now.subscriptions += !s->detached;
    pthread_mutex_unlock(&bus->lock);
    return svl__options_fill(stats, &now, sizeof now, STATS_FIRST_SIZE, "svl_bus_stats");
}
