/* publish.c - the producers' side: check, reserve, encode in place, commit. No lock, no allocation.
 *
 * A ring frame is a slot tag (8 bytes, zero for all but svl_publish_sync()) and the wire record. */
#include <string.h>

#include "base/callback.h"
#include "base/clock.h"
#include "base/thread.h"
#include "pipeline.h"
#include "record/wire.h"

static int not_running(svl_pipeline *p)
{
    uint32_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
    if (state == PIPELINE_OPENED)
        return svl__fail(SVL_E_STATE, "publishing starts with svl_start()");
    if (atomic_load_explicit(&p->failed, memory_order_relaxed))
        return svl__pipeline_failure(p);
    return svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
}

/* The ring is full: what the bus' policy says. SVL_OK: *slot is reserved. One that waits for its id is not
 * dropped but told. */
static int reserve_full(svl_pipeline *p, uint32_t len, bool waits, int64_t deadline_ns,
                        struct ring_slot *slot)
{
    int rc = SVL_E_FULL;
    if (p->full_policy == SVL_FULL_DROP_NEW && !waits) {
        if (!svl__ring_count_dropped(p->ring))
            return SVL_E_CLOSED;
        atomic_fetch_add_explicit(&p->dropped_full, 1, memory_order_relaxed);
        return SVL_E_FULL;
    }
    if (p->full_policy == SVL_FULL_BLOCK && !svl__in_callback(p->store, 0))
        rc = svl__ring_reserve_wait(p->ring, len, deadline_ns, slot);
    if (rc == SVL_E_FULL)
        atomic_fetch_add_explicit(&p->refused_full, 1, memory_order_relaxed);
    return rc;
}

static int publish(svl_pipeline *p, const svl_record *record, struct slot_tag tag,
                   int64_t deadline_ns)
{
    int rc = svl__record_check(record, p->record_bytes_max, false);
    if (rc != SVL_OK)
        return rc;
    uint32_t size = svl__wire_size(record);
    int64_t time_ns = record->time_ns ? record->time_ns : svl__wall_ns();
    struct ring_slot slot;
    rc = svl__ring_reserve(p->ring, (uint32_t)sizeof tag + size, &slot);
    if (rc == SVL_E_FULL) {
        if (deadline_ns == 0)
            deadline_ns = svl__deadline_ns(p->block_timeout_ms);
        rc = reserve_full(p, (uint32_t)sizeof tag + size, tag.number != 0, deadline_ns, &slot);
    }
    if (rc == SVL_E_CLOSED)
        return not_running(p);
    if (rc != SVL_OK)
        return rc;
    memcpy(slot.payload, &tag, sizeof tag);
    svl__wire_encode(record, time_ns, slot.payload + sizeof tag);
    svl__ring_commit(&slot);
    return SVL_OK;
}

static int check(svl_pipeline *p)
{
    int rc = svl__pipeline_check(p, NULL);
    if (rc == SVL_OK &&
        (atomic_load_explicit(&p->state, memory_order_acquire) != PIPELINE_RUNNING ||
         atomic_load_explicit(&p->failed, memory_order_relaxed)))
        rc = not_running(p);
    return rc;
}

/* A record that DROP_NEW dropped and counted is no failure of the call. */
static int drop_is_ok(const svl_pipeline *p, int rc)
{
    return rc == SVL_E_FULL && p->full_policy == SVL_FULL_DROP_NEW ? SVL_OK : rc;
}

int svl_publish(svl_pipeline *pipeline, const svl_record *record)
{
    int rc = check(pipeline);
    if (rc != SVL_OK)
        return rc;
    return drop_is_ok(pipeline, publish(pipeline, record, (struct slot_tag){ 0, 0 }, 0));
}

int svl_publish_text(svl_pipeline *pipeline, uint32_t severity, const char *source,
                     const char *text)
{
    if (!text)
        return svl__fail(SVL_E_INVALID, "text is NULL");
    svl_record record = { .severity = severity,
                          .source = { source, source ? strlen(source) : 0 },
                          .body = { text, strlen(text) } };
    return svl_publish(pipeline, &record);
}

int svl_publish_many(svl_pipeline *pipeline, const svl_record *records, size_t n, size_t *published)
{
    if (published)
        *published = 0;
    int rc = check(pipeline);
    if (rc == SVL_OK && !records && n > 0)
        rc = svl__fail(SVL_E_INVALID, "records is NULL");
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        rc = svl_publish(pipeline, &records[i]);
        if (rc == SVL_OK && published)
            *published = i + 1;
    }
    return rc;
}

int svl_publish_sync(svl_pipeline *pipeline, const svl_record *record, int64_t timeout_ms,
                     uint64_t *id)
{
    if (id)
        *id = 0;
    int rc = svl__pipeline_check(pipeline, "svl_publish_sync");
    if (rc == SVL_OK)
        rc = check(pipeline);
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    int64_t full_deadline_ns = svl__deadline_ns(pipeline->block_timeout_ms);
    if (full_deadline_ns > deadline_ns)
        full_deadline_ns = deadline_ns;
    struct slot_tag tag;
    if (!svl__slots_take(pipeline->slots, &tag)) {
        atomic_fetch_add_explicit(&pipeline->refused_full, 1, memory_order_relaxed);
        return SVL_E_FULL;
    }
    rc = publish(pipeline, record, tag, full_deadline_ns);
    if (rc != SVL_OK) {
        svl__slots_give_back(pipeline->slots, tag);
        return rc;
    }
    uint64_t given;
    rc = svl__slots_wait(pipeline->slots, tag, deadline_ns, &given);
    if (rc == SVL_E_FAILED)
        return svl__pipeline_failure(pipeline);
    if (rc == SVL_OK && id)
        *id = given;
    return rc;
}
