/* pump.c - svl_pump() and its descriptor. */
#include "pump.h"

#include "base/clock.h"
#include "pipeline.h"

bool svl__pump_wake(void *pipeline)
{
    svl_pipeline *p = pipeline;
    svl__alarm_ring(&p->pump.alarm);
    return true;
}

void svl__pump_due(void *pipeline)
{
    svl_pipeline *p = pipeline;
    svl__alarm_due(&p->pump.alarm);
}

/* --- when; whoever has the pump --- */

/* Why there is nothing to do ever again; SVL_OK: there may be. */
static int is_over(svl_pipeline *p)
{
    if (atomic_load_explicit(&p->failed, memory_order_acquire))
        return SVL_E_FAILED;
    return atomic_load_explicit(&p->state, memory_order_acquire) == PIPELINE_STOPPED ? SVL_E_CLOSED
                                                                                     : SVL_OK;
}

static bool is_drained(svl_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool drained = p->drained_all;
    pthread_mutex_unlock(&p->lock);
    return drained;
}

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* The ring comes last: its sleep bit is set only if there is nothing else to do. */
static int64_t feed_due_ns(svl_pipeline *p)
{
    int64_t due_ns = svl__store_work_due_ns(p->store);
    return due_ns == 0 || is_drained(p) ? due_ns : earlier(due_ns, svl__drain_due_ns(p->drain));
}

static int64_t due_ns(svl_pipeline *p)
{
    if (is_over(p) != SVL_OK || atomic_load(&p->pump.is_woken))
        return 0;
    int64_t handlers_ns = svl__handlers_due_ns(p->handlers);
    return handlers_ns == 0 ? 0 : earlier(handlers_ns, feed_due_ns(p));
}

/* P2 */
static void arm(svl_pipeline *p)
{
    svl__alarm_arm(&p->pump.alarm);
    svl__alarm_set(&p->pump.alarm, due_ns(p));
}

int svl__pump_take(svl_pipeline *p)
{
    if (!svl__pipeline_is_threadless(p))
        return SVL_OK;
    if (atomic_exchange_explicit(&p->pump.is_taken, true, memory_order_acquire))
        return svl__fail(SVL_E_BUSY, "another thread pumps this pipeline");
    svl__alarm_disarm(&p->pump.alarm);
    return SVL_OK;
}

void svl__pump_give(svl_pipeline *p)
{
    if (!svl__pipeline_is_threadless(p))
        return;
    if (atomic_load(&p->pump.has_watcher))
        arm(p);
    atomic_store_explicit(&p->pump.is_taken, false, memory_order_release);
}

/* --- work --- */

/* A round over all rings, if the store takes records. */
static bool drain(svl_pipeline *p, size_t max_records, size_t *drained)
{
    *drained = 0;
    svl__attached_hear(p->attached);
    if (is_drained(p))
        return false;
    int rc = SVL_E_END;
    if (!svl__store_has_failed(p->store)) {
        if (!svl__store_accepts(p->store))
            return false;
        rc = svl__drain_step(p->drain, max_records, drained);
    }
    if (rc != SVL_OK)
        svl__drain_finish(p, rc == SVL_E_END ? SVL_OK : rc);
    return *drained > 0;
}

/* A step of everything. */
static bool work(svl_pipeline *p, size_t max_records, size_t *drained)
{
    bool any = drain(p, max_records, drained);
    any |= svl__store_work(p->store);
    any |= svl__handlers_work(p->handlers);
    return any;
}

void svl__pump_feed(svl_pipeline *p, int64_t deadline_ns)
{
    size_t drained;
    if (drain(p, SIZE_MAX, &drained) || svl__store_work(p->store))
        return;
    svl__alarm_arm(&p->pump.alarm);
    svl__alarm_set(&p->pump.alarm, is_drained(p) ? 0 : feed_due_ns(p));
    svl__alarm_wait(&p->pump.alarm, deadline_ns);
    svl__alarm_disarm(&p->pump.alarm);
}

static int pump(svl_pipeline *p, size_t max_records, int64_t deadline_ns, size_t *drained)
{
    for (;;) {
        int over = is_over(p);
        if (over == SVL_E_CLOSED)
            return svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
        if (work(p, max_records, drained))
            return SVL_OK;
        if (is_over(p) == SVL_E_FAILED)
            return svl__pipeline_failure(p);
        if (atomic_exchange(&p->pump.is_woken, false))
            return SVL_E_AGAIN;
        if (svl__monotonic_ns() >= deadline_ns)
            return SVL_E_TIMEOUT;
        arm(p);
        svl__alarm_wait(&p->pump.alarm, deadline_ns);
        svl__alarm_disarm(&p->pump.alarm);
    }
}

/* --- the host's calls --- */

static int check(const svl_pipeline *p, const char *function)
{
    int rc = svl__pipeline_check(p, NULL);
    if (rc == SVL_OK && !svl__pipeline_is_threadless(p))
        rc = svl__fail(SVL_E_STATE, "%s(): the pipeline has threads of its own; SVL_THREADLESS",
                       function);
    return rc;
}

static int check_started(const svl_pipeline *p, const char *function)
{
    int rc = svl__pipeline_check(p, function);
    if (rc == SVL_OK)
        rc = check(p, function);
    if (rc == SVL_OK && atomic_load_explicit(&p->state, memory_order_acquire) == PIPELINE_OPENED)
        rc = svl__fail(SVL_E_STATE, "%s() before svl_start()", function);
    return rc;
}

int svl_pump(svl_pipeline *pipeline, size_t max_records, int64_t timeout_ms, size_t *drained)
{
    if (drained)
        *drained = 0;
    int rc = check_started(pipeline, "svl_pump");
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    rc = svl__pump_take(pipeline);
    if (rc != SVL_OK)
        return rc;
    size_t n = 0;
    rc = pump(pipeline, max_records ? max_records : SIZE_MAX, deadline_ns, &n);
    svl__pump_give(pipeline);
    if (drained)
        *drained = n;
    return rc;
}

int svl_next_deadline_ns(svl_pipeline *pipeline, int64_t *deadline_ns)
{
    if (!deadline_ns)
        return svl__fail(SVL_E_INVALID, "deadline_ns is NULL");
    *deadline_ns = INT64_MAX;
    int rc = check_started(pipeline, "svl_next_deadline_ns");
    if (rc == SVL_OK)
        rc = svl__pump_take(pipeline);
    if (rc != SVL_OK)
        return rc;
    *deadline_ns = due_ns(pipeline);
    svl__pump_give(pipeline);
    return SVL_OK;
}

int svl_pump_fd(svl_pipeline *pipeline, int *fd)
{
    if (!fd)
        return svl__fail(SVL_E_INVALID, "fd is NULL");
    *fd = -1;
    int rc = check(pipeline, "svl_pump_fd");
    if (rc != SVL_OK)
        return rc;
    struct pump *pump = &pipeline->pump;
    /* Whoever pumps next makes it quiet; svl_start() looks too. */
    if (!atomic_exchange(&pump->has_watcher, true) &&
        atomic_load(&pipeline->state) != PIPELINE_OPENED)
        svl__alarm_ring(&pump->alarm);
    *fd = pump->alarm.fd;
    return SVL_OK;
}
