/* stop.c - flush and stop: waiting for what was published, stage by stage. */
#include "base/callback.h"
#include "base/clock.h"
#include "base/thread.h"
#include "pipeline.h"

/* `lock` held, let go of meanwhile: false past `deadline_ns`. Without a pipeline thread the caller does its
 * work. */
static bool wait_for_drainer(svl_pipeline *p, int64_t deadline_ns)
{
    if (!svl__pipeline_is_threadless(p))
        return svl__cond_wait(&p->fed, &p->lock, deadline_ns);
    pthread_mutex_unlock(&p->lock);
    svl__pump_feed(p, deadline_ns);
    pthread_mutex_lock(&p->lock);
    return deadline_ns == INT64_MAX || svl__monotonic_ns() < deadline_ns;
}

/* Waits until everything before `position` in the ring is in the store's memory; `to_end`: and the drainer
 * has ended. */
static int wait_fed(svl_pipeline *p, uint64_t position, bool to_end, int64_t deadline_ns)
{
    int rc = SVL_OK;
    pthread_mutex_lock(&p->lock);
    while ((to_end || p->fed_position < position) && !p->drained_all && rc == SVL_OK)
        if (!wait_for_drainer(p, deadline_ns))
            rc = SVL_E_TIMEOUT;
    if (p->fed_position >= position && (!to_end || p->drained_all))
        rc = SVL_OK;
    else if (p->drained_all)
        rc = SVL_E_FAILED;
    pthread_mutex_unlock(&p->lock);
    return rc == SVL_E_FAILED ? svl__pipeline_failure(p) : rc;
}

int svl__pipeline_flush(svl_pipeline *p, int64_t deadline_ns)
{
    int rc = wait_fed(p, svl__ring_tail(p->ring), false, deadline_ns);
    return rc == SVL_OK ? svl__store_wait(p->store, svl__store_last_ticket(p->store), deadline_ns)
                        : rc;
}

int svl_flush(svl_pipeline *pipeline, int64_t timeout_ms)
{
    int rc = svl__pipeline_check(pipeline, "svl_flush");
    if (rc != SVL_OK)
        return rc;
    if (atomic_load_explicit(&pipeline->state, memory_order_acquire) == PIPELINE_OPENED)
        return svl__fail(SVL_E_STATE, "svl_flush() before svl_start()");
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    rc = svl__pump_take(pipeline);
    if (rc != SVL_OK)
        return rc;
    rc = svl__pipeline_flush(pipeline, deadline_ns);
    svl__pump_give(pipeline);
    /* Who has nothing to wait for is told all the same that nothing more will be stored. */
    bool has_failed = svl__store_has_failed(pipeline->store) ||
                      atomic_load_explicit(&pipeline->failed, memory_order_acquire);
    return rc == SVL_OK && has_failed ? svl__pipeline_failure(pipeline) : rc;
}

int svl__pipeline_stop(svl_pipeline *p, int64_t deadline_ns)
{
    uint32_t running = PIPELINE_RUNNING;
    atomic_compare_exchange_strong(&p->state, &running, PIPELINE_STOPPING);
    uint64_t tail = svl__ring_close(p->ring);
    pthread_mutex_lock(&p->lock);
    p->closed_tail = tail;
    pthread_mutex_unlock(&p->lock);
    svl__ring_wake(p->ring);
    int rc = wait_fed(p, tail, true, deadline_ns);
    if (rc == SVL_OK)
        rc = svl__store_wait(p->store, svl__store_last_ticket(p->store), deadline_ns);
    if (rc == SVL_OK)
        rc = svl__handlers_stop(p->handlers, svl__store_durable_id(p->store), deadline_ns);
    if (rc == SVL_E_FAILED)
        return svl__pipeline_failure(p);
    if (rc == SVL_OK) /* what the handlers emitted is durable too */
        rc = svl__store_wait(p->store, svl__store_last_ticket(p->store), deadline_ns);
    if (rc == SVL_OK) {
        atomic_store(&p->state, PIPELINE_STOPPED);
        svl__store_end_followers(p->store);
    }
    return rc;
}

int svl_wake(svl_pipeline *pipeline)
{
    int rc = svl__pipeline_check(pipeline, NULL);
    if (rc != SVL_OK)
        return rc;
    svl__handlers_wake(pipeline->handlers);
    atomic_store(&pipeline->pump.is_woken, true);
    if (svl__pipeline_is_threadless(pipeline))
        svl__pump_wake(pipeline);
    return svl_store_wake(pipeline->store);
}

int svl_stop(svl_pipeline *pipeline, int64_t timeout_ms)
{
    int rc = svl__pipeline_check(pipeline, "svl_stop");
    if (rc != SVL_OK)
        return rc;
    uint32_t state = atomic_load_explicit(&pipeline->state, memory_order_acquire);
    if (state == PIPELINE_OPENED)
        return svl__fail(SVL_E_STATE, "svl_stop() before svl_start()");
    if (state == PIPELINE_STOPPED)
        return SVL_OK;
    rc = svl__pump_take(pipeline);
    if (rc != SVL_OK)
        return rc;
    rc = svl__pipeline_stop(pipeline, svl__deadline_ns(timeout_ms));
    svl__pump_give(pipeline);
    return rc;
}
