/* follow.c - how long it takes until another process has a record that was made durable here. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* Shared with the process that follows. */
struct meeting {
    _Atomic uint64_t seen; /* last id that it has; it follows once this is not UINT64_MAX */
    _Atomic int64_t seen_at_ns;
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

/* The sum, over all records, from the append's return until the other process has the record. The ring of
 * the bell comes before that return, so it may have it earlier. */
static int64_t append_and_meet(svl_store *store, struct meeting *meeting, uint64_t records)
{
    svl_record record = { .time_ns = 1, .body = { body, sizeof body } };
    int64_t sum_ns = 0;
    uint64_t id;
    for (uint64_t i = 0; i < records; i++) {
        if (svl_store_append(store, &record, 1, &id) != SVL_OK)
            return bench_fail(svl_last_error());
        int64_t returned_ns = bench_now_ns();
        if (!wait_for(meeting, id))
            return -1;
        int64_t delay_ns = atomic_load(&meeting->seen_at_ns) - returned_ns;
        sum_ns += delay_ns > 0 ? delay_ns : 0;
    }
    return sum_ns;
}

int64_t follow_delay(const struct settings *settings)
{
    const char *path = bench_path(settings, "follow.store");
    svl_store *store;
    struct meeting *meeting =
        mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (meeting == MAP_FAILED || svl_store_open(path, NULL, &store) != SVL_OK)
        return bench_fail(meeting == MAP_FAILED ? strerror(errno) : svl_last_error());
    atomic_store(&meeting->seen, UINT64_MAX);
    pid_t child = fork();
    if (child == 0)
        follow(path, meeting);
    int64_t sum_ns = -1;
    if (child > 0 && wait_for(meeting, 0))
        sum_ns = append_and_meet(store, meeting, settings->records);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    svl_store_close(store);
    munmap(meeting, sizeof *meeting);
    bench_remove(path);
    return sum_ns;
}

int64_t append_alone(const struct settings *settings)
{
    const char *path = bench_path(settings, "append.store");
    svl_record record = { .time_ns = 1, .body = { body, sizeof body } };
    svl_store *store;
    if (svl_store_open(path, NULL, &store) != SVL_OK)
        return bench_fail(svl_last_error());
    int rc = SVL_OK;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; rc == SVL_OK && i < settings->records; i++)
        rc = svl_store_append(store, &record, 1, NULL);
    int64_t took_ns = bench_now_ns() - start_ns;
    svl_store_close(store);
    bench_remove(path);
    return rc == SVL_OK ? took_ns : bench_fail(svl_last_error());
}
