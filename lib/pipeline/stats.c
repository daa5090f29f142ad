/* stats.c - counts of ring and handlers. */
#include "base/options.h"
#include "pipeline.h"

#define STATS_FIRST_SIZE sizeof(svl_pipeline_stats)

static void add_ring(svl_pipeline *p, svl_pipeline_stats *now)
{
    if (atomic_load_explicit(&p->state, memory_order_acquire) == PIPELINE_OPENED)
        return;
    struct ring_stats ring;
    svl__ring_stats_get(p->ring, &ring);
    now->ring_is_crash_safe = svl__ring_is_shared(p->ring);
    now->ring_bytes = svl__ring_capacity(p->ring);
    now->ring_used_bytes = ring.used_bytes;
    now->ring_high_water_bytes = ring.high_water_bytes;
    now->stalled_claims = ring.stalled_claims;
    now->ring_recovered = p->ring_recovered;
    now->ring_unfinished = p->ring_unfinished;
    now->ring_missing = p->ring_missing;
}

int svl_pipeline_stats_get(svl_pipeline *pipeline, svl_pipeline_stats *stats)
{
    int rc = svl__pipeline_check(pipeline, NULL);
    if (rc != SVL_OK)
        return rc;
    struct dispatch_stats dispatch;
    struct handlers_stats handlers;
    svl__dispatch_stats_get(pipeline->dispatch, &dispatch);
    svl__handlers_stats_get(pipeline->handlers, &handlers);
    struct attached_stats attached;
    svl__attached_stats_get(pipeline->attached, &attached);
    svl_pipeline_stats now = {
        .published = atomic_load_explicit(&pipeline->published, memory_order_relaxed),
        .refused_full = atomic_load_explicit(&pipeline->intake.refused_full, memory_order_relaxed),
        .dropped_full = atomic_load_explicit(&pipeline->intake.dropped_full, memory_order_relaxed),
        .dropped_ingest = dispatch.dropped,
        .ingest_failures = dispatch.failures,
        .emitted = dispatch.emitted + handlers.emitted,
        .workers = handlers.workers,
        .dead_letters = handlers.dead_letters,
        .dropped_stored = handlers.dropped,
        .attached_publishers = attached.publishers,
        .attached_records = attached.records,
        .attached_refused = attached.refused,
        .attached_damaged = attached.damaged,
        .unprocessed = atomic_load_explicit(&pipeline->unprocessed, memory_order_relaxed),
        .suspects = svl__crash_suspects(pipeline->crash),
        .resolved = handlers.resolved,
        .gap_records = atomic_load_explicit(&pipeline->gap_records, memory_order_relaxed),
        .ring_damaged = atomic_load_explicit(&pipeline->ring_damaged, memory_order_relaxed),
    };
    add_ring(pipeline, &now);
    return svl__options_fill(stats, &now, sizeof now, STATS_FIRST_SIZE, "svl_pipeline_stats");
}
