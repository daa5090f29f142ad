/* workload_follow.c - how long it takes until another process, asleep in svl_cursor_next(), has a record that was made
 * durable here: from the append's return, or 0 where the other had it earlier, as the bell rings before that. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

/* Shared with the process that follows. */
struct meeting {
    _Atomic uint64_t seen; /* last id that it has; it follows once this is not UINT64_MAX */
    _Atomic int64_t seen_at_ns;
    _Atomic int is_open; /* the store is there, to be followed */
    _Atomic int failed;
};

static const char body[100] = { 'x' };

/* In the child: says when it has each record. */
static void follow(const char *path, struct meeting *meeting)
{
    svl_store_options options;
    svl_query query;
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    while (!atomic_load(&meeting->is_open))
        sched_yield();
    svl_store_options_init(&options, sizeof options);
    svl_query_init(&query, sizeof query);
    options.flags = SVL_STORE_READ_ONLY;
    query.flags = SVL_QUERY_FOLLOW | SVL_QUERY_TAIL;
    int rc = svl_store_open(path, &options, &store);
    if (rc == SVL_OK)
        rc = svl_store_query(store, &query, &cursor);
    if (rc == SVL_OK)
        atomic_store(&meeting->seen, 0);
    while (rc == SVL_OK && (rc = svl_cursor_next(cursor, -1, &record)) == SVL_OK) {
        atomic_store(&meeting->seen_at_ns, bench_now_ns());
        atomic_store(&meeting->seen, record->id);
    }
    atomic_store(&meeting->failed, 1);
    bench_fail(svl_last_error());
    _exit(1);
}

static bool wait_for(struct meeting *meeting, uint64_t id)
{
    uint64_t seen;
    while ((seen = atomic_load(&meeting->seen)) == UINT64_MAX || seen < id)
        if (atomic_load(&meeting->failed))
            return false;
    return true;
}

static int append_and_meet(svl_store *store, struct meeting *meeting, struct run *run)
{
    static struct histogram histogram; /* a run is a process */
    svl_record record = { .time_ns = 1, .body = { body, sizeof body } };
    uint64_t id;
    for (uint64_t i = 0; i < run->records; i++) {
        if (svl_store_append(store, &record, 1, &id) != SVL_OK)
            return bench_fail(svl_last_error());
        int64_t returned_ns = bench_now_ns();
        if (!wait_for(meeting, id))
            return -1;
        int64_t delay_ns = atomic_load(&meeting->seen_at_ns) - returned_ns;
        histogram_add(&histogram, delay_ns > 0 ? (uint64_t)delay_ns : 0);
    }
    load_report(&histogram, run);
    return 0;
}

static void end_child(pid_t child)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

/* The other process is made while this one has a single thread: a fork copies the locks that others hold, not them. */
static int follow_delay(struct run *run)
{
    svl_store *store;
    struct meeting *meeting =
        mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meeting == MAP_FAILED)
        return bench_fail(strerror(errno));
    atomic_store(&meeting->seen, UINT64_MAX);
    pid_t child = fork();
    if (child == 0)
        follow(run->path, meeting);
    if (svl_store_open(run->path, NULL, &store) != SVL_OK) {
        end_child(child);
        return bench_fail(svl_last_error());
    }
    atomic_store(&meeting->is_open, 1);
    int rc = child > 0 && wait_for(meeting, 0) ? append_and_meet(store, meeting, run) : -1;
    end_child(child);
    if (svl_store_close(store) != SVL_OK)
        rc = bench_fail(svl_last_error());
    munmap(meeting, sizeof *meeting);
    return rc;
}

static bool fits(const struct peer *peer)
{
    return peer->is_ours && peer->store;
}

const struct workload follow_workloads[] = {
    { .name = "follow",
      .question = "How soon does another process have a durable record?",
      .charts = METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P99_NS),
      .divisor = 1000,
      .fits = fits,
      .measure = follow_delay },
};
const size_t follow_workload_count = sizeof follow_workloads / sizeof follow_workloads[0];
