/* start.c - rings: the one to publish into, and those that crashes left.
 *
 * A crash ring's name is in the catalog before a record is in the ring, and goes from there after its
 * file is gone; so whatever a crash leaves is found. Recovered records go through the ingest handlers
 * like new ones, before any new one is taken. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/step.h"
#include "base/thread.h"
#include "pipeline.h"

/* svl_start() waits so long at least, whatever close_timeout_ms says: a disk may be slow. */
#define WAIT_MS_MIN 1000
#define LOOK_NS 10000000

/* `release_lock` held. What was never given to the store is another's that has this ring's uuid: a process that
 * attaches chooses its own. */
static void release(svl_pipeline *p, uint64_t position)
{
    if (position <= p->released_position || position > p->noted_position)
        return;
    if (position == p->noted_position && p->passed_position > position)
        position = p->noted_position = p->passed_position;
    svl__ring_release(p->releasing, position);
    p->released_position = position;
}

static void on_written(const struct ring_position *rings, uint32_t n, void *user)
{
    svl_pipeline *p = user;
    pthread_mutex_lock(&p->release_lock);
    for (uint32_t i = 0; i < n && p->releasing; i++) {
        const uint8_t *uuid = svl__ring_uuid(p->releasing);
        if (memcmp(rings[i].uuid, uuid, sizeof rings[i].uuid) == 0)
            release(p, rings[i].position);
        else if (svl__gap_is_told(uuid, rings[i].uuid))
            svl__ring_dropped_told(p->releasing, rings[i].position);
    }
    pthread_mutex_unlock(&p->release_lock);
    svl__attached_written(p->attached, rings, n);
}

static void on_failed(svl_pipeline *p)
{
    atomic_store_explicit(&p->failed, true, memory_order_release);
    svl__slots_fail(p->slots);
    svl__handlers_failed(p->handlers);
    if (atomic_load_explicit(&p->state, memory_order_acquire) != PIPELINE_OPENED)
        svl__ring_close(p->ring); /* wakes blocked publishers and the drainer */
}

/* The host is told last: its callback may block, and svl_close() does not wait for ever, but goes on to
 * free the handlers. */
void svl__pipeline_fail(svl_pipeline *p, int code)
{
    on_failed(p);
    if (!svl__store_has_failed(p->store)) /* it has told already */
        svl__log(p->log, SVL_SEVERITY_FATAL, code, "the pipeline has stopped: %s",
                 svl_last_error());
}

static void on_durable(uint64_t id, uint64_t ticket, void *user)
{
    svl_pipeline *p = user;
    svl__slots_durable(p->slots, ticket);
    svl__attached_durable(p->attached, ticket);
    svl__handlers_durable(p->handlers, id);
    if (svl__store_has_failed(p->store))
        on_failed(p);
}

void svl__pipeline_observe(svl_pipeline *p)
{
    struct store_observer observer = { .written = on_written, .durable = on_durable, .user = p };
    if (svl__pipeline_is_threadless(p))
        observer.due = observer.ready = svl__pump_due;
    svl__store_observe(p->store, &observer);
}

void svl__pipeline_observe_writes(svl_pipeline *p)
{
    struct store_observer observer = { .written = on_written, .user = p };
    svl__store_observe(p->store, &observer);
}

static uint64_t position_of(const uint8_t uuid[16], void *store)
{
    return svl__store_ring_position(store, uuid);
}

/* Drops that the journal tells of, by a process that was killed before its ring knew. */
static void take_told(svl_pipeline *p, struct ring *ring)
{
    uint8_t gap_uuid[16];
    svl__gap_uuid(svl__ring_uuid(ring), gap_uuid);
    svl__ring_dropped_told(ring, svl__store_ring_position(p->store, gap_uuid));
}

static void tell_recovered(svl_pipeline *p, const struct ring *ring)
{
    struct ring_recovery recovery;
    svl__ring_recovery_get(ring, &recovery);
    p->ring_unfinished += recovery.unfinished + recovery.gaps + recovery.damaged;
    svl__log(p->log, SVL_SEVERITY_INFO, SVL_OK,
             "crash ring: %llu records recovered, %llu half-written ones skipped",
             (unsigned long long)recovery.committed,
             (unsigned long long)(recovery.unfinished + recovery.gaps + recovery.damaged));
}

static void tell_missing(svl_pipeline *p, const struct ring_name *name)
{
    p->ring_missing++;
    svl__log(p->log, SVL_SEVERITY_WARN, SVL_OK,
             "crash ring %s/%s is gone (a reboot, or a cleaned tmpfs): what was published and not "
             "flushed is lost",
             name->directory, name->name);
}

/* An empty ring's end. First it is no longer `made`: killed in between, nobody misses its file. */
static int remove_ring(svl_pipeline *p, struct ring *ring, const struct ring_name *name)
{
    struct ring_name empty = *name;
    empty.made = false;
    int rc = svl__ring_is_empty(ring) ? svl__store_ring_put(p->store, &empty) : SVL_E_STATE;
    STEP("end of a ring: not missed any more");
    if (rc == SVL_OK)
        rc = svl__ring_unlink(ring);
    STEP("end of a ring: file gone");
    return rc == SVL_OK ? svl__store_ring_remove(p->store, name) : rc;
}

/* The tmpfs may be mounted later: the ring is looked for again at the next start. */
static bool is_unreachable(svl_pipeline *p, const struct ring_name *name)
{
    struct stat st;
    if (stat(name->directory, &st) == 0 || errno != ENOENT)
        return false;
    svl__log(
        p->log, SVL_SEVERITY_WARN, SVL_OK,
        "crash ring %s: there is no directory %s now; it is looked for again at the next start",
        name->name, name->directory);
    return true;
}

/* A catalog that names a ring in use was copied: the ring's process holds the lock of the store that it belongs to, as
 * this one holds the lock of this store. */
static int leave_to_original(svl_pipeline *p, const struct ring_name *name)
{
    svl__log(p->log, SVL_SEVERITY_ERROR, SVL_E_BUSY,
             "crash ring %s/%s is in use: this store is a copy of one that another process has "
             "open; the ring is left to that one, and what it had not flushed when it was copied "
             "is not here",
             name->directory, name->name);
    return svl__store_ring_remove(p->store, name);
}

/* How long svl_start() waits for a store that takes nothing. */
static int64_t wait_ms(const svl_pipeline *p)
{
    return p->options.close_timeout_ms > WAIT_MS_MIN ? p->options.close_timeout_ms : WAIT_MS_MIN;
}

/* Waits until all that was fed is durable, for as long as it goes on. */
static int wait_stored(svl_pipeline *p)
{
    uint64_t last = svl__store_last_ticket(p->store), durable;
    int rc;
    do {
        durable = svl__store_durable_ticket(p->store);
        rc = svl__store_wait(p->store, last, svl__deadline_ns(wait_ms(p)));
    } while (rc == SVL_E_TIMEOUT && svl__store_durable_ticket(p->store) > durable);
    return rc;
}

/* A process that is killed lets go of its store a moment before its ring, so one in use is waited for. */
static int open_ring(svl_pipeline *p, const struct ring_name *name, struct ring **out)
{
    const struct timespec look = { .tv_nsec = LOOK_NS };
    int64_t deadline_ns = svl__deadline_ns(wait_ms(p));
    int rc;
    while ((rc = svl__ring_open_crashed(name->directory, name->name, svl__store_uuid(p->store),
                                        position_of, p->store, out)) == SVL_E_BUSY &&
           svl__monotonic_ns() < deadline_ns)
        nanosleep(&look, NULL);
    return rc;
}

static void drop_recovered(svl_pipeline *p)
{
    pthread_mutex_lock(&p->release_lock);
    p->releasing = NULL;
    pthread_mutex_unlock(&p->release_lock);
    svl__crash_use(p->crash, NULL);
    svl__ring_destroy(p->recovered);
    p->recovered = NULL;
}

static int take_marks(svl_pipeline *p, const struct ring *ring)
{
    size_t bytes;
    void *page = svl__ring_extra(ring, &bytes);
    return svl__crash_take(p->crash, page, bytes, svl__deadline_ns(wait_ms(p)));
}

/* One ring that a crash left: into the store, durable, then gone. Killed in between, it starts again
 * where the journal has come to. In this process it is not opened again before all is stored that was fed
 * of it: the write releases it up to there, and nothing comes twice. */
static int recover_ring(svl_pipeline *p, const struct ring_name *name)
{
    struct ring *ring;
    if (is_unreachable(p, name))
        return SVL_OK;
    int rc = open_ring(p, name, &ring);
    if (rc == SVL_E_BUSY)
        return leave_to_original(p, name);
    if (rc == SVL_E_NOT_FOUND && name->made)
        tell_missing(p, name);
    if (rc == SVL_E_NOT_FOUND || rc == SVL_E_END)
        return svl__store_ring_remove(p->store, name);
    if (rc != SVL_OK)
        return rc;
    rc = take_marks(p, ring);
    if (rc != SVL_OK) {
        svl__ring_destroy(ring);
        return rc;
    }
    p->recovered = ring;
    take_told(p, ring);
    svl__mark_page_use_ring(p, ring);
    STEP("start: crash ring open");
    rc = svl__drain_crashed(p, ring, wait_ms(p));
    STEP("start: crash ring drained");
    int stored = wait_stored(p);
    STEP("start: crash ring stored");
    if (rc == SVL_OK)
        rc = stored;
    if (rc == SVL_OK)
        svl__crash_settle(p->crash, MARKED_INGEST, svl__crash_ring(svl__ring_uuid(ring)),
                          UINT64_MAX);
    if (rc == SVL_OK) {
        svl__ring_release(ring, svl__ring_drained(ring));
        tell_recovered(p, ring);
        rc = remove_ring(p, ring, name);
    }
    if (stored == SVL_OK)
        drop_recovered(p);
    return rc;
}

/* SVL_E_TIMEOUT, or what the store is short of. */
static int tell_waiting(svl_pipeline *p)
{
    int code = svl__store_waits_for(p->store);
    if (code == SVL_OK)
        return SVL_E_TIMEOUT;
    return svl__fail(code,
                     "what a crash left in the ring cannot be stored now; it stays there: call "
                     "svl_start() again, or close");
}

static int recover(svl_pipeline *p)
{
    struct ring_name *names = NULL;
    size_t n = 0;
    int rc = svl__mark_page_take_file(p, svl__deadline_ns(wait_ms(p)));
    if (rc == SVL_OK && p->recovered)
        rc = wait_stored(p);
    if (rc == SVL_OK && p->recovered)
        drop_recovered(p);
    if (rc == SVL_OK)
        rc = svl__store_rings(p->store, &names, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        rc = recover_ring(p, &names[i]);
    svl__free(names);
    svl__crash_save(p->crash);
    return rc == SVL_E_TIMEOUT ? tell_waiting(p) : rc;
}

/* The ring's end, when nothing publishes or drains any more: an empty one goes, what is left in a crash
 * ring stays for the next start. */
static void end_ring(svl_pipeline *p)
{
    if (!p->ring)
        return;
    pthread_mutex_lock(&p->release_lock);
    p->releasing = NULL;
    pthread_mutex_unlock(&p->release_lock);
    svl__crash_use(p->crash, NULL);
    int rc = svl__ring_is_shared(p->ring) ? remove_ring(p, p->ring, &p->ring_name) : SVL_OK;
    if (rc != SVL_OK && rc != SVL_E_STATE)
        svl__log(p->log, SVL_SEVERITY_WARN, rc,
                 "crash ring %s/%s stays until the next start, which removes it: %s",
                 p->ring_name.directory, p->ring_name.name, svl_last_error());
    svl__ring_destroy(p->ring);
    p->ring = NULL;
}

void svl__pipeline_end_rings(svl_pipeline *p)
{
    if (p->recovered)
        drop_recovered(p);
    end_ring(p);
}

static int name_ring(svl_pipeline *p)
{
    uint8_t random[16];
    int rc = svl__random(random, sizeof random);
    if (rc != SVL_OK)
        return rc;
    /* It fits: options.c. */
    snprintf(p->ring_name.directory, sizeof p->ring_name.directory, "%s", p->ring_directory);
    char *to = p->ring_name.name;
    to += sprintf(to, "serverlog-");
    for (size_t i = 0; i < sizeof random; i++)
        to += sprintf(to, "%02x", random[i]);
    return SVL_OK;
}

/* A crash ring; the catalog knows its name first, and then that it was made. */
static int create_crash_ring(svl_pipeline *p, const struct ring_options *options)
{
    p->ring_name.made = false;
    int rc = svl__store_ring_put(p->store, &p->ring_name);
    if (rc != SVL_OK)
        return rc;
    STEP("start: ring named");
    rc = svl__ring_create(options, &p->ring);
    STEP("start: ring made");
    if (rc != SVL_OK) {
        svl__store_ring_remove(p->store, &p->ring_name);
        return rc;
    }
    p->ring_name.made = true;
    rc = svl__store_ring_put(p->store, &p->ring_name);
    STEP("start: ring will be missed");
    if (rc != SVL_OK)
        end_ring(p);
    return rc;
}

static int create_ring(svl_pipeline *p)
{
    int rc = name_ring(p);
    if (rc != SVL_OK)
        return rc;
    struct ring_options options = { .capacity = p->options.ring_bytes,
                                    .directory = p->ring_name.directory,
                                    .name = p->ring_name.name };
    memcpy(options.store_uuid, svl__store_uuid(p->store), sizeof options.store_uuid);
    options.extra_bytes = MARK_PAGE_BYTES;
    if (!(p->options.flags & SVL_PIPELINE_PRIVATE_RING)) {
        rc = create_crash_ring(p, &options);
        if (rc == SVL_OK) {
            svl__mark_page_use_ring(p, p->ring);
            return SVL_OK;
        }
        if (svl__store_has_failed(p->store))
            return rc;
        svl__log(
            p->log, SVL_SEVERITY_WARN, rc,
            "no crash ring (%s): private memory is used, and records that are not flushed are lost "
            "with the process",
            svl_last_error());
    }
    options.directory = NULL;
    options.extra_bytes = 0;
    rc = svl__ring_create(&options, &p->ring);
    if (rc == SVL_OK)
        svl__mark_page_use_file(p);
    return rc;
}

/* By a thread, or by whoever pumps. */
static int start_draining(svl_pipeline *p)
{
    int rc = svl__drain_create(p, &p->drain);
    if (rc != SVL_OK)
        return rc;
    svl__attached_join(p->attached, p->ring);
    if (svl__pipeline_is_threadless(p)) {
        svl__ring_wake_by(p->ring, svl__pump_wake, p);
        return SVL_OK;
    }
    rc = svl__thread_start(&p->drainer, "svl-drain", svl__drain_run, p);
    p->drainer_runs = rc == SVL_OK;
    if (rc != SVL_OK) {
        svl__drain_destroy(p->drain);
        p->drain = NULL;
    }
    return rc;
}

int svl_start(svl_pipeline *pipeline)
{
    int rc = svl__pipeline_check(pipeline, "svl_start");
    if (rc != SVL_OK)
        return rc;
    if (atomic_load_explicit(&pipeline->state, memory_order_relaxed) != PIPELINE_OPENED)
        return svl__fail(SVL_E_STATE, "svl_start() was called before");
    rc = recover(pipeline);
    if (rc == SVL_OK)
        rc = create_ring(pipeline);
    if (rc == SVL_OK)
        rc = start_draining(pipeline);
    if (rc != SVL_OK) {
        svl__mark_page_end(pipeline); /* or the next start would take its file for a crash's */
        end_ring(pipeline);
        return rc;
    }
    svl__handlers_start(pipeline->handlers);
    atomic_store(&pipeline->state, PIPELINE_RUNNING);
    if (svl__store_has_failed(pipeline->store))
        on_failed(pipeline);
    if (svl__pump_take(pipeline) == SVL_OK)
        svl__pump_give(pipeline); /* the descriptor, if the host has it, says what there is to do */
    return SVL_OK;
}
