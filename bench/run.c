/* run.c - peers in turn, each measurement in a child process that the parent watches.
 *
 * The child measures and sends run->metrics through a pipe; meanwhile the parent samples its anonymous memory. What
 * it leaves on the disk is removed by the parent, so that a child that crashes leaves nothing either. */
#define _GNU_SOURCE
#include "run.h"

#include <ftw.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEERS_MAX 64
#define RSS_SAMPLE_MS 5
#define RECORDS_MIN 16

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

int bench_fail(const char *what)
{
    fprintf(stderr, "serverlog-bench: %s\n", what);
    return -1;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void bench_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int64_t disk_bytes_seen;

static int add_disk_bytes(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    if (flag == FTW_F)
        disk_bytes_seen += (int64_t)st->st_blocks * 512;
    return 0;
}

int64_t bench_disk_bytes(const char *path)
{
    disk_bytes_seen = 0;
    return nftw(path, add_disk_bytes, 16, FTW_PHYS) == 0
               ? disk_bytes_seen
               : bench_fail("cannot read what was stored");
}

/* The name, or the part of it before the slash. */
static bool is_named(const char *name, const char *wanted)
{
    size_t len = strlen(wanted);
    return strncmp(name, wanted, len) == 0 && (name[len] == 0 || name[len] == '/');
}

bool run_wants_workload(const struct settings *settings, const struct workload *workload)
{
    for (int i = 0; i < settings->name_count; i++)
        if (is_named(workload->name, settings->names[i]))
            return true;
    return settings->name_count == 0;
}

bool run_wants_peer(const struct settings *settings, const struct peer *peer)
{
    size_t len = strlen(peer->name);
    if (!settings->peers || peer->is_ours)
        return true;
    for (const char *at = settings->peers; (at = strstr(at, peer->name)); at += len)
        if ((at == settings->peers || at[-1] == ',') && (at[len] == 0 || at[len] == ','))
            return true;
    return false;
}

/* --- one measurement --- */

static void measure_in_child(struct run *run, int (*work)(struct run *run), int fd)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    int rc = work(run);
    if (rc >= 0 && write(fd, run->metrics, sizeof run->metrics) != sizeof run->metrics)
        rc = bench_fail("a measurement could not be told");
    _exit(rc >= 0 ? 0 : 1);
}

/* Waits for the child's result, and meanwhile looks at its memory. */
static bool read_result(struct run *run, int fd, pid_t child)
{
    uint64_t rss_max = 0;
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    while (!is_interrupted && poll(&poll_fd, 1, RSS_SAMPLE_MS) <= 0) {
        uint64_t rss = watch_rss_anon(child);
        rss_max = rss > rss_max ? rss : rss_max;
    }
    if (is_interrupted) {
        kill(child, SIGKILL);
        return false;
    }
    bool is_whole = read(fd, run->metrics, sizeof run->metrics) == sizeof run->metrics;
    if (rss_max > 0)
        run->metrics[METRIC_RSS_BYTES] = (double)rss_max;
    return is_whole;
}

static int run_in_child(struct run *run, int (*work)(struct run *run))
{
    int fds[2], status = 0;
    char words[256];
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        run->metrics[i] = NAN;
    fflush(NULL);
    if (pipe(fds) != 0)
        return bench_fail("no pipe");
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        measure_in_child(run, work, fds[1]);
    }
    close(fds[1]);
    bool is_whole = child > 0 && read_result(run, fds[0], child);
    close(fds[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    if (is_whole && status == 0)
        return 0;
    snprintf(words, sizeof words, "%s failed in %s%s", run->peer->name, run->workload->name,
             WIFSIGNALED(status) ? ", by a signal" : "");
    return bench_fail(words);
}

/* --- the turns --- */

struct turns {
    const struct settings *settings;
    const struct workload *workload;
    struct results *results;
    const char *directory; /* of this run's files */
    uint64_t size;
    const struct peer *peers[PEERS_MAX];
    size_t figures[PEERS_MAX][METRIC_COUNT]; /* 1 + index; 0: none */
    bool has_failed[PEERS_MAX];
    unsigned peer_count;
};

static void show_progress(const struct turns *turns, const char *peer, const char *what)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s, %llu: %s %s ", turns->workload->name,
                (unsigned long long)turns->size, peer, what);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static void set_paths(const struct turns *turns, unsigned p, struct run *run, char *path,
                      char *fixture, size_t size)
{
    const char *shared = turns->workload->fixture_name;
    snprintf(path, size, "%s/measured", turns->directory);
    snprintf(fixture, size, "%s/%s-%s-%llu", turns->directory, shared ? shared : "none",
             turns->peers[p]->name, (unsigned long long)turns->size);
    *run = (struct run){ .workload = turns->workload,
                         .peer = turns->peers[p],
                         .records = turns->size / turns->workload->divisor,
                         .path = path,
                         .fixture = fixture };
    if (run->records < RECORDS_MIN)
        run->records = RECORDS_MIN;
}

static void prepare(struct turns *turns)
{
    char path[512], fixture[512];
    struct run run;
    struct stat st;
    for (unsigned p = 0; p < turns->peer_count && !is_interrupted; p++) {
        set_paths(turns, p, &run, path, fixture, sizeof path);
        if (!turns->workload->prepare || stat(fixture, &st) == 0)
            continue;
        show_progress(turns, turns->peers[p]->name, "is filled");
        turns->has_failed[p] = run_in_child(&run, turns->workload->prepare) != 0;
    }
}

static int add_samples(struct turns *turns, unsigned p, const struct run *run)
{
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        if (isnan(run->metrics[m]))
            continue;
        if (turns->figures[p][m] == 0) {
            struct figure *new = results_add(turns->results);
            if (!new)
                return bench_fail("no memory");
            turns->figures[p][m] = turns->results->count;
            snprintf(new->workload, sizeof new->workload, "%s", turns->workload->name);
            snprintf(new->question, sizeof new->question, "%s", turns->workload->question);
            snprintf(new->peer, sizeof new->peer, "%s", turns->peers[p]->name);
            snprintf(new->title, sizeof new->title, "%s", turns->peers[p]->title);
            new->is_ours = turns->peers[p]->is_ours;
            new->size = turns->size;
            new->metric = (enum metric)m;
            new->charts = turns->workload->charts;
        }
        struct figure *figure = &turns->results->figures[turns->figures[p][m] - 1];
        if (figure->count < SAMPLES_MAX)
            figure->samples[figure->count++] = run->metrics[m];
    }
    return 0;
}

static void take_turns(struct turns *turns)
{
    char path[512], fixture[512], round[32];
    struct run run;
    for (unsigned r = 0; r < turns->settings->repeat; r++) {
        for (unsigned p = 0; p < turns->peer_count && !is_interrupted; p++) {
            if (turns->has_failed[p])
                continue;
            set_paths(turns, p, &run, path, fixture, sizeof path);
            snprintf(round, sizeof round, "%u of %u", r + 1, turns->settings->repeat);
            show_progress(turns, turns->peers[p]->name, round);
            bench_remove(path);
            turns->has_failed[p] = run_in_child(&run, turns->workload->measure) != 0 ||
                                   add_samples(turns, p, &run) != 0;
            bench_remove(path);
        }
    }
    end_progress();
}

static int run_workload(struct turns *turns)
{
    turns->peer_count = 0;
    memset(turns->figures, 0, sizeof turns->figures);
    memset(turns->has_failed, 0, sizeof turns->has_failed);
    for (size_t i = 0; bench_peers[i] && turns->peer_count < PEERS_MAX; i++) {
        const struct peer *peer = bench_peers[i];
        if (run_wants_peer(turns->settings, peer) && turns->workload->fits(peer) &&
            (!peer->is_here || peer->is_here()))
            turns->peers[turns->peer_count++] = peer;
    }
    prepare(turns);
    take_turns(turns);
    bool has_failed = is_interrupted;
    for (unsigned p = 0; p < turns->peer_count; p++)
        has_failed |= turns->has_failed[p];
    return has_failed ? -1 : 0;
}

static int run_sizes(struct turns *turns, run_done_fn *done, void *user)
{
    const struct settings *settings = turns->settings;
    int rc = 0;
    for (unsigned s = 0; s < settings->size_count && !is_interrupted; s++) {
        size_t first = turns->results->count;
        if (!turns->workload->is_growing && s + 1 < settings->size_count)
            continue;
        turns->size = settings->sizes[s];
        if (run_workload(turns) != 0)
            rc = -1;
        done(turns->results, first, user);
    }
    return rc;
}

int run_all(const struct settings *settings, struct results *results, run_done_fn *done, void *user)
{
    char directory[400];
    struct turns turns = { .settings = settings, .results = results, .directory = directory };
    int rc = 0;
    snprintf(directory, sizeof directory, "%s/serverlog-bench-%d", settings->directory,
             (int)getpid());
    if (lines_load(settings->input) != 0)
        return -1;
    if (mkdir(directory, 0700) != 0)
        return bench_fail("cannot make a directory in that of --dir");
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    for (size_t i = 0; (turns.workload = bench_workload(i)) && !is_interrupted; i++)
        if (run_wants_workload(settings, turns.workload) && run_sizes(&turns, done, user) != 0)
            rc = -1;
    bench_remove(directory);
    return rc;
}
