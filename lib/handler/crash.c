/* crash.c - who may run when, and what a dead process has left.
 *
 *   X6 release, the count of suspects <- X7 acquire, before a callback: whoever sees none has nobody beside him who
 *      must run alone, as the last such run is over. */
#include "crash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/thread.h"
#include "suspects.h"

/* Who has waited so long says so. */
#define WAIT_TOLD_MS 1000

struct crash_marker {
    svl_store *store;
    const struct log_sink *log;
    void *page;
    _Atomic size_t count; /* of suspects */

    pthread_mutex_t lock;
    pthread_cond_t passed; /* the gate may be open again */
    uint32_t running;      /* gated callbacks that others may run beside */
    uint32_t alone_waiting;
    bool alone_runs;
    bool ended;
    bool waiting_told; /* since somebody left last */
    struct suspects suspects;
    _Atomic bool dirty; /* not fed yet */
    uint64_t ticket;    /* of the last feed */
};

int svl__crash_create(svl_store *store, struct crash_marker **out)
{
    *out = NULL;
    struct crash_marker *m = svl__calloc(1, sizeof *m);
    if (!m)
        return SVL_E_NOMEM;
    m->store = store;
    m->log = svl__store_log(store);
    pthread_mutex_init(&m->lock, NULL);
    svl__cond_init(&m->passed);
    int rc = svl__suspects_load(store, &m->suspects);
    atomic_init(&m->count, svl__suspects_count(&m->suspects));
    if (rc != SVL_OK) {
        svl__crash_destroy(m);
        return rc;
    }
    *out = m;
    return SVL_OK;
}

void svl__crash_destroy(struct crash_marker *m)
{
    if (!m)
        return;
    svl__suspects_free(&m->suspects);
    pthread_cond_destroy(&m->passed);
    pthread_mutex_destroy(&m->lock);
    svl__free(m);
}

uint64_t svl__crash_ring(const uint8_t uuid[16])
{
    return load_u64(uuid);
}

uint64_t svl__crash_subscription(const char *name, uint32_t number)
{
    return name ? svl__checksum(name, strlen(name)) : number;
}

/* --- the list; `lock` held --- */

static void changed(struct crash_marker *m)
{
    atomic_store_explicit(&m->dirty, true, memory_order_relaxed);
    atomic_store_explicit(&m->count, svl__suspects_count(&m->suspects),
                          memory_order_release); /* X6 */
}

static int save(struct crash_marker *m)
{
    if (!atomic_load_explicit(&m->dirty, memory_order_relaxed))
        return SVL_OK;
    int rc = svl__suspects_save(m->store, &m->suspects, &m->ticket);
    atomic_store_explicit(&m->dirty, rc != SVL_OK, memory_order_relaxed);
    return rc;
}

/* --- at the start --- */

/* What was found in a page. */
struct found {
    uint32_t marks, crashes;
};

static int add(struct crash_marker *m, const struct marked *what, uint32_t alone,
               struct found *found)
{
    bool is_news = false;
    uint32_t crashes = alone < CRASHES_MAX ? alone : CRASHES_MAX;
    bool full = svl__suspects_count(&m->suspects) == SUSPECTS_MAX;
    int rc = svl__suspects_add(&m->suspects, what, crashes, &is_news);
    if (is_news && full && svl__suspects_count(&m->suspects) == SUSPECTS_MAX && crashes == 0)
        svl__log(m->log, SVL_SEVERITY_WARN, SVL_E_LIMIT,
                 "more than %d records were in a callback when a process died: the oldest is "
                 "forgotten",
                 SUSPECTS_MAX);
    if (is_news)
        changed(m);
    found->marks++;
    found->crashes += alone > 0;
    return rc;
}

static int add_all(struct crash_marker *m, const void *page, struct found *found)
{
    int rc = SVL_OK;
    for (uint32_t i = 0; i < MARK_SLOTS && rc == SVL_OK; i++) {
        struct marked what;
        uint32_t alone;
        if (svl__mark_get(page, i, &what, &alone))
            rc = add(m, &what, alone, found);
    }
    return rc;
}

static void tell_found(const struct crash_marker *m, const struct found *found)
{
    if (found->crashes > 0)
        svl__log(m->log, SVL_SEVERITY_ERROR, SVL_OK,
                 "the process died in a handler while one record alone was in it: after %d times "
                 "that record is set aside",
                 CRASHES_MAX);
    else
        svl__log(m->log, SVL_SEVERITY_WARN, SVL_OK,
                 "the process died while handlers had %u batches or records: they are handed out "
                 "one record at a time, with nothing beside it",
                 found->marks);
}

int svl__crash_take(struct crash_marker *m, void *page, size_t bytes, int64_t deadline_ns)
{
    struct found found = { 0 };
    if (!page || !svl__marks_are_valid(page, bytes))
        return SVL_OK;
    pthread_mutex_lock(&m->lock);
    int rc = add_all(m, page, &found);
    if (rc == SVL_OK)
        rc = save(m);
    uint64_t ticket = m->ticket;
    pthread_mutex_unlock(&m->lock);
    if (found.marks == 0)
        return SVL_OK;
    if (rc == SVL_OK)
        rc = svl__store_wait(m->store, ticket, deadline_ns); /* X3 */
    if (rc != SVL_OK)
        return rc;
    for (uint32_t i = 0; i < MARK_SLOTS; i++)
        svl__mark_clear(page, i);
    tell_found(m, &found);
    return SVL_OK;
}

void svl__crash_use(struct crash_marker *m, void *page)
{
    if (page)
        svl__marks_make(page);
    if (m)
        m->page = page;
}

/* --- callbacks --- */

static bool has_suspects(const struct crash_marker *m)
{
    return m && atomic_load_explicit(&m->count, memory_order_acquire) > 0; /* X7 */
}

enum crash_verdict svl__crash_judge(struct crash_marker *m, enum marked_kind kind, uint64_t subject,
                                    uint64_t at, uint32_t *crashes)
{
    uint32_t n = 0;
    bool found = false;
    if (has_suspects(m)) {
        pthread_mutex_lock(&m->lock);
        found = svl__suspects_find(&m->suspects, kind, subject, at, &n);
        pthread_mutex_unlock(&m->lock);
    }
    if (crashes)
        *crashes = n;
    return !found ? CRASH_FREE : n < CRASHES_MAX ? CRASH_ALONE : CRASH_SET_ASIDE;
}

bool svl__crash_concerns(struct crash_marker *m, enum marked_kind kind, uint64_t subject)
{
    if (!has_suspects(m))
        return false;
    pthread_mutex_lock(&m->lock);
    bool concerns = svl__suspects_has(&m->suspects, kind, subject);
    pthread_mutex_unlock(&m->lock);
    return concerns;
}

/* Those that wait to run alone come first: the others cannot keep them out. */
static bool is_shut(const struct crash_marker *m, bool alone)
{
    return !m->ended && (m->alone_runs || (alone ? m->running > 0 : m->alone_waiting > 0));
}

/* `lock` held, let go meanwhile. A callback that does not return holds up all. */
static void tell_waiting(struct crash_marker *m)
{
    bool told = m->waiting_told, alone_runs = m->alone_runs;
    uint32_t running = m->running;
    m->waiting_told = true;
    pthread_mutex_unlock(&m->lock);
    if (!told && alone_runs)
        svl__log(m->log, SVL_SEVERITY_WARN, SVL_OK,
                 "handlers wait for one that runs alone, after a crash, and has not returned yet");
    else if (!told)
        svl__log(m->log, SVL_SEVERITY_WARN, SVL_OK,
                 "handlers wait for %u that run and have not returned yet: then a record runs "
                 "alone, after a crash",
                 running);
    pthread_mutex_lock(&m->lock);
}

static bool pass_gate(struct crash_marker *m, bool alone)
{
    int64_t tell_ns = svl__deadline_ns(WAIT_TOLD_MS);
    pthread_mutex_lock(&m->lock);
    m->alone_waiting += alone;
    while (is_shut(m, alone)) {
        if (svl__cond_wait(&m->passed, &m->lock, tell_ns))
            continue;
        tell_ns = INT64_MAX;
        if (is_shut(m, alone))
            tell_waiting(m);
    }
    m->alone_waiting -= alone;
    bool ended = m->ended;
    m->alone_runs |= alone && !ended;
    m->running += !alone && !ended;
    pthread_mutex_unlock(&m->lock);
    return !ended;
}

static void leave_gate(struct crash_marker *m, bool alone)
{
    pthread_mutex_lock(&m->lock);
    if (alone)
        m->alone_runs = false;
    else
        m->running--;
    m->waiting_told = false;
    pthread_cond_broadcast(&m->passed);
    pthread_mutex_unlock(&m->lock);
}

bool svl__crash_enter(struct crash_marker *m, uint32_t slot, struct crash_run *run)
{
    run->gated = has_suspects(m);
    if (run->gated && !pass_gate(m, run->alone > 0))
        return false;
    if (m && m->page)
        svl__mark_set(m->page, slot, &run->what, run->alone);
    return true;
}

void svl__crash_leave(struct crash_marker *m, uint32_t slot, const struct crash_run *run)
{
    if (m && m->page)
        svl__mark_clear(m->page, slot);
    if (run->gated)
        leave_gate(m, run->alone > 0);
}

void svl__crash_settle(struct crash_marker *m, enum marked_kind kind, uint64_t subject,
                       uint64_t upto)
{
    if (!has_suspects(m))
        return;
    pthread_mutex_lock(&m->lock);
    if (svl__suspects_forget(&m->suspects, kind, subject, upto))
        changed(m);
    pthread_mutex_unlock(&m->lock);
}

void svl__crash_forgive(struct crash_marker *m, uint64_t subject)
{
    if (!has_suspects(m))
        return;
    pthread_mutex_lock(&m->lock);
    bool stored = svl__suspects_forgive(&m->suspects, MARKED_STORED, subject);
    if (svl__suspects_forgive(&m->suspects, MARKED_REDRIVEN, subject) || stored)
        changed(m);
    save(m);
    pthread_mutex_unlock(&m->lock);
}

void svl__crash_save(struct crash_marker *m)
{
    if (!m || !atomic_load_explicit(&m->dirty, memory_order_relaxed))
        return;
    pthread_mutex_lock(&m->lock);
    save(m);
    pthread_mutex_unlock(&m->lock);
}

void svl__crash_end(struct crash_marker *m)
{
    pthread_mutex_lock(&m->lock);
    m->ended = true;
    pthread_cond_broadcast(&m->passed);
    pthread_mutex_unlock(&m->lock);
}

uint64_t svl__crash_suspects(struct crash_marker *m)
{
    return atomic_load_explicit(&m->count, memory_order_acquire);
}
