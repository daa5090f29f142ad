/* publish.c - the producers' side: into the ring, no lock, no allocation.
 *
 * A ring frame is a slot tag (8 bytes, zero for all but svl_publish_sync()) and the wire record. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "pipeline.h"

static int not_running(svl_pipeline *p)
{
    uint32_t state = atomic_load_explicit(&p->state, memory_order_relaxed);
    if (state == PIPELINE_OPENED)
        return svl__fail(SVL_E_STATE, "publishing starts with svl_start()");
    if (atomic_load_explicit(&p->failed, memory_order_relaxed))
        return svl__pipeline_failure(p);
    return svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
}

/* `owes_wake`: as in struct intake_item. */
static int publish(svl_pipeline *p, const svl_record *record, struct slot_tag tag,
                   int64_t deadline_ns, bool *owes_wake)
{
    struct intake_item item = { .record = record,
                                .tag = &tag,
                                .deadline_ns = deadline_ns,
                                .is_waited_for = tag.number != 0,
                                .owes_wake = owes_wake };
    int rc = svl__intake_put(&p->intake, p->ring, &item);
    return rc == SVL_E_CLOSED ? not_running(p) : rc;
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

int svl_publish(svl_pipeline *pipeline, const svl_record *record)
{
    int rc = check(pipeline);
    return rc == SVL_OK ? publish(pipeline, record, (struct slot_tag){ 0, 0 }, 0, NULL) : rc;
}

int svl_publish_signal(svl_pipeline *p, const svl_record *record)
{
    if (!p)
        return SVL_E_INVALID;
    if (svl__forked(p->process_mark))
        return SVL_E_FORKED;
    uint32_t state = atomic_load_explicit(&p->state, memory_order_acquire);
    if (state == PIPELINE_OPENED)
        return SVL_E_STATE;
    struct slot_tag tag = { 0, 0 };
    struct intake_item item = { .record = record, .tag = &tag };
    int error = errno, rc = SVL_E_CLOSED;
    bool failed = atomic_load_explicit(&p->failed, memory_order_relaxed);
    if (state == PIPELINE_RUNNING && !failed)
        rc = svl__intake_put_in_signal(&p->intake, p->ring, &item);
    if (rc == SVL_E_CLOSED && atomic_load_explicit(&p->failed, memory_order_relaxed))
        rc = SVL_E_FAILED;
    errno = error;
    return rc;
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

/* Who waits without end may as well do the work, if nobody is at it: one thread that writes, flushes and goes on is
 * sooner done than three that wake each other. Ingest handlers run on the pipeline's thread, though. */
static bool may_help(const svl_pipeline *p, int64_t deadline_ns)
{
    return deadline_ns == INT64_MAX && svl__dispatch_count(p->dispatch) == 0 &&
           !svl__pipeline_is_threadless(p);
}

static int publish_and_wait(svl_pipeline *p, const svl_record *record, int64_t deadline_ns,
                            uint64_t *id)
{
    int64_t full_deadline_ns = svl__deadline_ns(p->intake.block_timeout_ms);
    if (full_deadline_ns > deadline_ns)
        full_deadline_ns = deadline_ns;
    struct slot_tag tag;
    if (!svl__slots_take(p->slots, &tag)) {
        atomic_fetch_add_explicit(&p->intake.refused_full, 1, memory_order_relaxed);
        return SVL_E_FULL;
    }
    bool helps = may_help(p, deadline_ns), owes_wake = false;
    int rc = publish(p, record, tag, full_deadline_ns, helps ? &owes_wake : NULL);
    if (rc != SVL_OK) {
        svl__slots_give_back(p->slots, tag);
        return rc;
    }
    if (svl__pipeline_is_threadless(
            p)) /* nobody else makes it durable; the slot says how it went */
        svl__pipeline_flush(p, deadline_ns);
    if (owes_wake)
        svl__drain_here(p);
    rc = svl__slots_wait(p->slots, tag, deadline_ns, id);
    return rc == SVL_E_FAILED ? svl__pipeline_failure(p) : rc;
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
    rc = svl__pump_take(pipeline);
    if (rc != SVL_OK)
        return rc;
    uint64_t given = 0;
    rc = publish_and_wait(pipeline, record, deadline_ns, &given);
    svl__pump_give(pipeline);
    if (id)
        *id = given;
    return rc;
}
