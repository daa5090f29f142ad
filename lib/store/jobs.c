/* jobs.c - who takes the steps of flusher, encoder and committer: a thread for each, or, with
 * SVL_THREADLESS, whoever waits for the store or works for it (svl__store_work), one at a time.
 *
 * A job is a pair of functions: when its next step is due, and the step. A thread sleeps until then; nothing
 * in a step waits for another job. A step is taken by one at a time, so what is the job's alone is whoever's has
 * it; that need not be its thread (svl__job_take). */
#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

struct job_kind {
    const char *thread_name;
    int64_t (*due_ns)(const svl_store *store);
    void (*step)(svl_store *store);
};

static const struct job_kind kinds[JOBS] = {
    [JOB_FLUSH] = { "svl-flush", svl__flush_due_ns, svl__flush_step },
    [JOB_ENCODE] = { "svl-encode", svl__encode_due_ns, svl__encode_step },
    [JOB_COMMIT] = { "svl-commit", svl__commit_due_ns, svl__commit_step },
};

static bool has_come(int64_t due_ns)
{
    return due_ns == 0 || (due_ns != INT64_MAX && due_ns <= svl__monotonic_ns());
}

/* `lock` held, let go of for the step. */
static void take(struct store_job *job)
{
    svl_store *store = job->store;
    job->is_taken = true;
    pthread_mutex_unlock(&store->lock);
    job->kind->step(store);
    pthread_mutex_lock(&store->lock);
    job->is_taken = false;
}

static void *run(void *argument)
{
    struct store_job *job = argument;
    svl_store *store = job->store;
    pthread_mutex_lock(&store->lock);
    for (;;) {
        int64_t due_ns = job->is_taken ? INT64_MAX : job->kind->due_ns(store);
        if (has_come(due_ns)) {
            take(job);
        } else if ((store->closing || store->failed) && !job->is_taken) {
            break;
        } else {
            job->until_ns = due_ns;
            svl__cond_wait(&job->wake, &store->lock, due_ns);
            job->until_ns = INT64_MIN;
        }
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

static bool is_threadless(const svl_store *store)
{
    return store->options.flags & SVL_THREADLESS;
}

/* Under the lock: a thread that runs looks at the others' jobs, to wake them. */
int svl__jobs_start(svl_store *store)
{
    int rc = SVL_OK;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < JOBS && rc == SVL_OK; i++) {
        struct store_job *job = &store->jobs[i];
        job->store = store;
        job->kind = &kinds[i];
        job->until_ns = INT64_MIN;
        if (!is_threadless(store))
            rc = svl__thread_start(&job->thread, job->kind->thread_name, run, job);
        job->runs = rc == SVL_OK;
    }
    pthread_mutex_unlock(&store->lock);
    return rc;
}

/* Whoever takes a step looks again behind it. */
static bool sleeps_too_long(const struct store_job *job)
{
    const svl_store *store = job->store;
    if (!job->runs || job->is_taken)
        return false;
    return store->closing || store->failed || job->kind->due_ns(store) < job->until_ns;
}

static void wake_pumps(svl_store *store)
{
    if (!store->working)
        pthread_cond_broadcast(&store->progress); /* whoever waits takes the step */
    if (store->observer.due)
        store->observer.due(store->observer.user);
}

void svl__job_wake(svl_store *store, enum job number)
{
    struct store_job *job = &store->jobs[number];
    if (is_threadless(store))
        wake_pumps(store);
    else if (sleeps_too_long(job))
        pthread_cond_signal(&job->wake);
}

void svl__job_wake_and_unlock(svl_store *store, enum job number)
{
    struct store_job *job = &store->jobs[number];
    bool wakes = !is_threadless(store) && sleeps_too_long(job);
    if (is_threadless(store))
        wake_pumps(store);
    pthread_mutex_unlock(&store->lock);
    if (wakes)
        pthread_cond_signal(&job->wake);
}

void svl__job_take(svl_store *store, enum job number)
{
    struct store_job *job = &store->jobs[number];
    if (!is_threadless(store) && job->runs && !job->is_taken && has_come(job->kind->due_ns(store)))
        take(job);
    svl__job_wake(store, number);
}

void svl__jobs_wake(svl_store *store)
{
    for (enum job job = 0; job < JOBS; job++)
        svl__job_wake(store, job);
}

/* --- without threads; `lock` held --- */

static int64_t next_due_ns(const svl_store *store)
{
    int64_t next_ns = INT64_MAX;
    for (size_t i = 0; i < JOBS; i++) {
        int64_t due_ns = store->jobs[i].runs ? store->jobs[i].kind->due_ns(store) : INT64_MAX;
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

static bool take_step(svl_store *store, enum job i)
{
    const struct store_job *job = &store->jobs[i];
    if (!job->runs || !has_come(job->kind->due_ns(store)))
        return false;
    pthread_mutex_unlock(&store->lock);
    job->kind->step(store);
    pthread_mutex_lock(&store->lock);
    return true;
}

/* A step of each job that is due, in the order in which one makes work for the next. `lock` is let go of. */
static bool take_steps(svl_store *store)
{
    bool any = false;
    store->working = true;
    for (enum job i = 0; i < JOBS; i++)
        any |= take_step(store, i);
    if (store->failed) /* whoever waits hears it before this returns */
        take_step(store, JOB_FLUSH);
    store->working = false;
    pthread_cond_broadcast(&store->progress);
    if (any && store->observer.due) /* it may have looked meanwhile */
        store->observer.due(store->observer.user);
    return any;
}

bool svl__store_wait_progress(svl_store *store, int64_t deadline_ns)
{
    if (!is_threadless(store))
        return svl__cond_wait(&store->progress, &store->lock, deadline_ns);
    int64_t due_ns = store->working ? INT64_MAX : next_due_ns(store);
    if (has_come(due_ns))
        take_steps(store);
    else
        svl__cond_wait(&store->progress, &store->lock, due_ns < deadline_ns ? due_ns : deadline_ns);
    return deadline_ns == INT64_MAX || svl__monotonic_ns() < deadline_ns;
}

void svl__jobs_catch_up(svl_store *store)
{
    if (!is_threadless(store) || store->owned)
        return;
    pthread_mutex_lock(&store->lock);
    while (!store->working && has_come(next_due_ns(store)))
        take_steps(store);
    pthread_mutex_unlock(&store->lock);
}

bool svl__store_work(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool any = !store->working && take_steps(store);
    pthread_mutex_unlock(&store->lock);
    return any;
}

int64_t svl__store_work_due_ns(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    /* Whoever is at work tells when he has finished. */
    int64_t due_ns = store->working ? INT64_MAX : next_due_ns(store);
    pthread_mutex_unlock(&store->lock);
    return has_come(due_ns) ? 0 : due_ns;
}

void svl__jobs_end(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->ending = store->closing = true;
    svl__jobs_wake(store);
    while (is_threadless(store) && has_come(next_due_ns(store)))
        take_steps(store);
    pthread_mutex_unlock(&store->lock);
    for (size_t i = 0; i < JOBS; i++) {
        struct store_job *job = &store->jobs[i];
        if (job->runs && !is_threadless(store))
            pthread_join(job->thread, NULL);
        job->runs = false;
    }
}
