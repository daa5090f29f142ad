/* pipeline.c - opening and closing: the order of steps. */
#include "pipeline.h"

#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"
#include "base/thread.h"

/* What a thread that is not in a handler needs to end, at most. */
#define END_MS 1000

int svl__pipeline_check(const svl_pipeline *p, const char *function)
{
    if (!p)
        return svl__fail(SVL_E_INVALID, "pipeline is NULL");
    if (svl__forked(p->process_mark))
        return svl__fail(SVL_E_FORKED, "the pipeline was opened before fork(); open after it");
    if (function && svl__in_callback(p->store, 0))
        return svl__fail(SVL_E_DEADLOCK, "%s() inside a callback of the same pipeline", function);
    return SVL_OK;
}

bool svl__pipeline_is_threadless(const svl_pipeline *p)
{
    return p->options.flags & SVL_THREADLESS;
}

int svl__pipeline_failure(svl_pipeline *p)
{
    if (svl__store_has_failed(p->store))
        return svl__fail(SVL_E_FAILED, "close and open again, what is in the crash ring is then "
                                       "stored");
    if (atomic_load_explicit(&p->failed, memory_order_relaxed))
        return svl__fail(SVL_E_FAILED, "the pipeline's log was told of a failure; close and open "
                                       "again");
    return svl__fail(SVL_E_FAILED, "the pipeline was closed before everything was stored");
}

static uint64_t position_of(const uint8_t uuid[16], void *store)
{
    return svl__store_ring_position(store, uuid);
}

/* Without it everything else works. */
static void allow_attaching(svl_pipeline *p)
{
    const svl_store_options *store = svl__store_options(p->store);
    struct attached_options attached = { .directory = svl__store_directory(p->store),
                                         .file_mode = store->file_mode,
                                         .store_uuid = svl__store_uuid(p->store),
                                         .record_bytes_max = store->record_bytes_max,
                                         .position_of = position_of,
                                         .user = p->store,
                                         .log = p->log };
    if (svl__pipeline_is_threadless(p)) {
        attached.wake = svl__pump_due;
        attached.wake_user = p;
    }
    int rc = svl__attached_create(&attached, &p->attached);
    if (rc == SVL_OK && svl__pipeline_is_threadless(p))
        rc = svl__alarm_add(&p->pump.alarm, svl__attached_fd(p->attached));
    if (rc != SVL_OK) {
        svl__attached_destroy(p->attached);
        p->attached = NULL;
    }
    if (rc != SVL_OK)
        svl__log(p->log, SVL_SEVERITY_WARN, rc, "no other process can publish here: %s",
                 svl_last_error());
}

static int create_parts(svl_pipeline *p)
{
    const svl_store_options *store = svl__store_options(p->store);
    struct dispatch_options dispatch = { .owner = p->store,
                                         .record_bytes_max = store->record_bytes_max,
                                         .emit_max = p->options.ingest_emit_max,
                                         .emit_bytes_max = svl__store_feed_bytes_max(p->store) -
                                                           store->record_bytes_max,
                                         .ends = &p->abandon,
                                         .log = p->log };
    int rc = svl__dispatch_create(&dispatch, &p->dispatch);
    if (rc == SVL_OK)
        rc = svl__slots_create(&p->slots);
    if (rc == SVL_OK)
        rc = svl__crash_create(p->store, &p->crash);
    struct handlers_options handlers = { .store = p->store,
                                         .workers_max = p->options.workers_max,
                                         .worker_idle_ms = p->options.worker_idle_ms,
                                         .record_bytes_max = store->record_bytes_max,
                                         .crash = p->crash };
    if (svl__pipeline_is_threadless(p)) {
        handlers.due = svl__pump_due;
        handlers.due_user = p;
    }
    if (rc == SVL_OK)
        rc = svl__handlers_create(&handlers, &p->handlers);
    return rc;
}

/* Frees what is there once nothing runs any more. Returns what closing the store said. The ring ends after
 * the last write: what is in the journal leaves it. */
static int free_pipeline(svl_pipeline *p)
{
    struct error_words words;
    int rc = p->store ? svl__store_end(p->store) : SVL_OK;
    svl__words_keep(&words);
    if (p->store)
        svl__attached_durable(p->attached, svl__store_durable_ticket(p->store));
    svl__attached_remove_done(p->attached);
    svl__mark_page_end(p);
    svl__pipeline_end_rings(p);
    svl__attached_destroy(p->attached);
    if (p->store)
        svl__store_release(p->store);
    svl__crash_destroy(p->crash);
    svl__alarm_end(&p->pump.alarm);
    svl__drain_destroy(p->drain);
    svl__dispatch_destroy(p->dispatch);
    svl__slots_destroy(p->slots);
    pthread_cond_destroy(&p->fed);
    pthread_mutex_destroy(&p->drain_turn);
    pthread_mutex_destroy(&p->release_lock);
    pthread_mutex_destroy(&p->lock);
    svl__free(p->ring_directory);
    svl__free(p);
    svl__words_restore(&words);
    return rc;
}

int svl__pipeline_let_go(svl_pipeline *p)
{
    if (atomic_fetch_sub(&p->holders, 1) == 1)
        return free_pipeline(p);
    return SVL_E_TIMEOUT;
}

static void let_go(void *pipeline)
{
    svl__pipeline_let_go(pipeline);
}

static int create_object(svl_pipeline **out)
{
    *out = svl__calloc(1, sizeof **out);
    if (!*out)
        return SVL_E_NOMEM;
    svl_pipeline *p = *out;
    p->process_mark = svl__process_mark();
    p->closed_tail = UINT64_MAX;
    p->pump.alarm = (struct alarm){ -1, -1, -1, INT64_MAX, false };
    atomic_init(&p->holders, 1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->release_lock, NULL);
    pthread_mutex_init(&p->drain_turn, NULL);
    svl__cond_init(&p->fed);
    return SVL_OK;
}

/* `options` and `store` are checked and whole; their pointers are the caller's. */
static int open_parts(svl_pipeline *p, const char *path, const svl_options *options,
                      const svl_store_options *store)
{
    int rc = svl__store_open_owned(path, store, &p->store);
    if (rc != SVL_OK)
        return rc;
    p->log = svl__store_log(p->store);
    p->options = *options;
    if (svl__pipeline_is_threadless(p)) {
        rc = svl__alarm_begin(&p->pump.alarm);
        if (rc != SVL_OK)
            return rc;
        if (p->options.full_policy == SVL_FULL_BLOCK)
            p->options.full_policy = SVL_FULL_FAIL; /* who waits may be who would make room */
    }
    struct intake_options intake = { .ring_bytes = p->options.ring_bytes,
                                     .record_bytes_max = store->record_bytes_max,
                                     .full_policy = p->options.full_policy,
                                     .block_timeout_ms = p->options.block_timeout_ms };
    svl__intake_init(&p->intake, p->store, sizeof(struct slot_tag), &intake);
    p->ring_directory = svl__strdup(p->options.ring_directory);
    p->options.ring_directory = p->ring_directory;
    p->options.store = NULL;
    rc = p->ring_directory ? create_parts(p) : SVL_E_NOMEM;
    if (rc == SVL_OK) {
        allow_attaching(p);
        svl__pipeline_observe(p);
    }
    return rc;
}

int svl_open(const char *path, const svl_options *options, svl_pipeline **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    svl_options checked;
    svl_store_options store;
    int rc = svl__pipeline_options_check(options, &checked, 0);
    if (rc == SVL_OK)
        rc = svl__store_options_check(checked.store, &store);
    if (rc == SVL_OK && store.flags & SVL_STORE_READ_ONLY)
        rc = svl__fail(SVL_E_OPTION, "a pipeline writes: its store cannot be SVL_STORE_READ_ONLY");
    if (rc == SVL_OK && store.flags & SVL_THREADLESS && !(checked.flags & SVL_THREADLESS))
        rc =
            svl__fail(SVL_E_OPTION, "SVL_THREADLESS belongs into svl_options.flags: its store then "
                                    "has no threads either");
    store.struct_size = sizeof store;
    store.flags |= checked.flags & SVL_THREADLESS;
    if (rc == SVL_OK) /* nothing is made on the disk before all options are known to be right */
        rc = svl__pipeline_options_check(options, &checked, store.record_bytes_max);
    if (rc != SVL_OK)
        return rc;
    svl_pipeline *p;
    rc = create_object(&p);
    if (rc != SVL_OK)
        return rc;
    rc = open_parts(p, path, &checked, &store);
    if (rc != SVL_OK) {
        struct error_words words;
        svl__words_keep(&words);
        if (p->handlers)
            svl__handlers_destroy(p->handlers, INT64_MAX, NULL, NULL);
        free_pipeline(p);
        svl__words_restore(&words);
        return rc;
    }
    *out = p;
    return SVL_OK;
}

/* Waits for the drainer until `deadline_ns`; one that is in an ingest handler then is left to itself. */
static void end_drainer(svl_pipeline *p, int64_t deadline_ns)
{
    if (!p->drainer_runs)
        return;
    atomic_store(&p->abandon, true);
    svl__ring_wake(p->ring);
    pthread_mutex_lock(&p->lock);
    while (!p->drained_all && svl__cond_wait(&p->fed, &p->lock, deadline_ns))
        ;
    p->drainer_orphaned = !p->drained_all;
    if (p->drainer_orphaned)
        atomic_fetch_add(&p->holders, 1);
    bool orphaned = p->drainer_orphaned;
    pthread_mutex_unlock(&p->lock);
    if (orphaned)
        pthread_detach(p->drainer);
    else
        pthread_join(p->drainer, NULL);
}

/* The same for the stored handlers. */
static void end_handlers(svl_pipeline *p, int64_t deadline_ns)
{
    atomic_fetch_add(&p->holders, 1);
    if (svl__handlers_destroy(p->handlers, deadline_ns, let_go, p) == SVL_OK)
        atomic_fetch_sub(&p->holders, 1);
}

int svl_close(svl_pipeline *pipeline)
{
    if (!pipeline)
        return SVL_OK;
    int rc = svl__pipeline_check(pipeline, "svl_close");
    if (rc != SVL_OK)
        return rc;
    svl_pipeline *p = pipeline;
    rc = svl__pump_take(p);
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(p->options.close_timeout_ms);
    if (atomic_load(&p->state) != PIPELINE_OPENED)
        rc = svl__pipeline_stop(p, deadline_ns);
    struct error_words words;
    svl__words_keep(&words);
    int64_t soon_ns = svl__deadline_ns(END_MS);
    if (deadline_ns < soon_ns)
        deadline_ns = soon_ns;
    svl__crash_end(p->crash);
    end_drainer(p, deadline_ns);
    svl__pipeline_observe_writes(p);
    end_handlers(p, deadline_ns);
    int closed = svl__pipeline_let_go(p);
    if (closed != SVL_OK)
        return closed;
    svl__words_restore(&words);
    return rc;
}

int svl_on_ingest(svl_pipeline *pipeline, const svl_ingest_options *options, svl_ingest_fn *handler,
                  void *user)
{
    int rc = svl__pipeline_check(pipeline, NULL);
    if (rc == SVL_OK && atomic_load(&pipeline->state) != PIPELINE_OPENED)
        rc = svl__fail(SVL_E_STATE, "ingest handlers are registered before svl_start()");
    return rc == SVL_OK ? svl__dispatch_add(pipeline->dispatch, options, handler, user) : rc;
}

int svl_on_stored(svl_pipeline *pipeline, const svl_stored_options *options, svl_stored_fn *handler,
                  void *user, svl_subscription **out)
{
    if (out)
        *out = NULL;
    int rc = svl__pipeline_check(pipeline, NULL);
    if (rc == SVL_OK && atomic_load(&pipeline->state) > PIPELINE_RUNNING)
        rc = svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    return rc == SVL_OK ? svl__handlers_subscribe(pipeline->handlers, options, handler, user, out)
                        : rc;
}

int svl_consumer_open(svl_pipeline *pipeline, const svl_stored_options *options, svl_consumer **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    int rc = svl__pipeline_check(pipeline, NULL);
    if (rc == SVL_OK && atomic_load(&pipeline->state) > PIPELINE_RUNNING)
        rc = svl__fail(SVL_E_CLOSED, "the pipeline has been stopped");
    return rc == SVL_OK ? svl__handlers_consume(pipeline->handlers, options, out) : rc;
}

svl_store *svl_pipeline_store(svl_pipeline *pipeline)
{
    return pipeline ? pipeline->store : NULL;
}
