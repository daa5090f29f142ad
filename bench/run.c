/* run.c - peers in turn, each round from another one on; each measurement by child.c, in the order of plan.c. Before
 * one what the one before it has left to be written is on the disk.
 *
 * A peer that fails, or takes too long, has no more turns in that workload and size. What a measurement leaves on the
 * disk is removed at once, a filled store (fixture) behind the last workload that asks it. */
#define _GNU_SOURCE
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "child.h"
#include "plan.h"
#include "progress.h"

/* Filling is no measurement: it may take so much longer than one. */
#define LIMIT_TO_FILL 10

int bench_fail(const char *what)
{
    fprintf(stderr, "serverlog-bench: %s\n", what);
    return -1;
}

int bench_fail_at(const char *what, const char *path)
{
    char words[512];
    snprintf(words, sizeof words, "cannot %s %s: %s", what, path, strerror(errno));
    return bench_fail(words);
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
    struct stat st;
    disk_bytes_seen = 0;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return 0;
    return nftw(path, add_disk_bytes, 16, FTW_PHYS) == 0
               ? disk_bytes_seen
               : bench_fail("cannot read what was stored");
}

/* --- the turns --- */

struct turns {
    const struct settings *settings;
    size_t w; /* the workload's number */
    const struct workload *workload;
    struct results *results;
    const char *directory; /* of this run's files */
    uint64_t size;
    const struct peer *peers[PEERS_MAX];
    bool is_out[PEERS_MAX]; /* it has no more turns */
    unsigned peer_count;
    bool has_failed;
    struct progress progress;
};

static void show(const struct turns *turns, unsigned p, const char *what)
{
    char text[256];
    snprintf(text, sizeof text, "%s, %llu: %s %s", turns->workload->name,
             (unsigned long long)turns->size, turns->peers[p]->name, what);
    progress_show(&turns->progress, text);
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
                         .records = plan_records(turns->workload, turns->size),
                         .path = path,
                         .fixture = fixture };
}

static void leave_out_unfilled(struct turns *turns, unsigned p, enum child_end end)
{
    char words[256];
    turns->is_out[p] = true;
    turns->has_failed = true;
    snprintf(words, sizeof words, "%s: no store of %llu records%s: left out of %s",
             turns->peers[p]->name, (unsigned long long)turns->size,
             end == CHILD_SLOW ? " in ten times --limit" : "", turns->workload->name);
    bench_fail(words);
}

/* A filled store whose filling did not end is removed: the next workload tries again. */
static void prepare(struct turns *turns)
{
    char path[512], fixture[512];
    struct run run;
    struct stat st;
    if (!turns->workload->prepare)
        return;
    for (unsigned p = 0; p < turns->peer_count && !child_is_interrupted(); p++) {
        set_paths(turns, p, &run, path, fixture, sizeof path);
        if (stat(fixture, &st) == 0)
            continue;
        show(turns, p, "is filled");
        enum child_end end =
            child_run(&run, turns->workload->prepare, turns->settings->limit_s * LIMIT_TO_FILL);
        turns->progress.done += plan_work_to_fill(turns->workload, turns->size);
        if (end == CHILD_DONE)
            continue;
        bench_remove(fixture);
        if (end != CHILD_INTERRUPTED)
            leave_out_unfilled(turns, p, end);
    }
}

/* The figure of a peer's metric at `size`, the current workload's; made when it is not there. NULL: no memory. */
static struct figure *figure_of(struct turns *turns, unsigned p, uint64_t size, enum metric metric)
{
    const struct workload *workload = turns->workload;
    struct figure like = { .size = size, .metric = metric };
    snprintf(like.workload, sizeof like.workload, "%s", workload->name);
    snprintf(like.peer, sizeof like.peer, "%s", turns->peers[p]->name);
    const struct figure *found = results_find(turns->results, &like);
    if (found)
        return &turns->results->figures[found - turns->results->figures];
    struct figure *figure = results_add(turns->results);
    if (!figure)
        return NULL;
    snprintf(like.question, sizeof like.question, "%s", workload->question);
    snprintf(like.title, sizeof like.title, "%s", turns->peers[p]->title);
    like.is_ours = turns->peers[p]->is_ours;
    like.charts = workload->charts;
    like.bound = workload->bounds[metric];
    *figure = like;
    return figure;
}

static int add_sample(struct turns *turns, unsigned p, uint64_t size, enum metric metric,
                      double sample)
{
    struct figure *figure = isnan(sample) ? NULL : figure_of(turns, p, size, metric);
    if (figure && figure->count < SAMPLES_MAX)
        figure->samples[figure->count++] = sample;
    return figure || isnan(sample) ? 0 : bench_fail("no memory");
}

/* A window's rate counts for the records that were there at its end. */
static int add_samples(struct turns *turns, unsigned p, const struct run *run)
{
    int rc = 0;
    for (unsigned m = 0; rc == 0 && m < METRIC_COUNT; m++)
        rc = add_sample(turns, p, turns->size, (enum metric)m, run->metrics[m]);
    for (unsigned i = 0; rc == 0 && i < WINDOWS; i++)
        rc = add_sample(turns, p, turns->size * (i + 1) / WINDOWS, METRIC_WINDOW_RATE,
                        run->windows[i]);
    return rc;
}

/* Its figures that have a chart say so; what was measured before stays. A program has none of what is the harness's. */
static int add_slow(struct turns *turns, unsigned p)
{
    unsigned charts = turns->workload->charts;
    if (turns->peers[p]->is_program)
        charts &= ~(METRIC_BIT(METRIC_RSS_BYTES) | METRIC_BIT(METRIC_WRITTEN_BYTES) |
                    METRIC_BIT(METRIC_DIRTIED_BYTES));
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        if (!(charts & METRIC_BIT(m)))
            continue;
        struct figure *figure = figure_of(turns, p, turns->size, (enum metric)m);
        if (!figure)
            return bench_fail("no memory");
        figure->limit_s = turns->settings->limit_s;
    }
    return 0;
}

/* What was written and removed is off the kernel's hands. */
static void quieten(const struct turns *turns)
{
    int fd = open(turns->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0)
        bench_fail("the directory cannot be flushed between turns");
    if (fd >= 0)
        close(fd);
}

static void take_turn(struct turns *turns, unsigned p)
{
    char path[512], fixture[512];
    struct run run;
    int rc = 0;
    set_paths(turns, p, &run, path, fixture, sizeof path);
    bench_remove(path);
    quieten(turns);
    enum child_end end = child_run(&run, turns->workload->measure, turns->settings->limit_s);
    bench_remove(path);
    if (end == CHILD_DONE)
        rc = add_samples(turns, p, &run);
    else if (end == CHILD_SLOW)
        rc = add_slow(turns, p);
    turns->is_out[p] = end != CHILD_DONE || rc != 0;
    turns->has_failed |= end == CHILD_FAILED || rc != 0;
}

static void take_turns(struct turns *turns)
{
    char round[32];
    for (unsigned r = 0; r < turns->settings->repeat; r++) {
        for (unsigned i = 0; i < turns->peer_count && !child_is_interrupted(); i++) {
            unsigned p = (i + r) % turns->peer_count;
            snprintf(round, sizeof round, "%u of %u", r + 1, turns->settings->repeat);
            show(turns, p, turns->is_out[p] ? "is left out" : round);
            if (!turns->is_out[p])
                take_turn(turns, p);
            turns->progress.done += plan_work(turns->workload, turns->size);
        }
    }
    progress_clear();
}

/* Of some turns only: those that took long enough for a rare quantile, which is no sample of all. A peer's p50 stands
 * before its others and stays, so it is found among those that are kept. */
static void drop_partial(struct results *results, size_t first)
{
    size_t kept = first;
    for (size_t i = first; i < results->count; i++) {
        struct figure *figure = &results->figures[i], like = *figure;
        like.metric = METRIC_P50_NS;
        const struct figure *all = results_find(results, &like);
        bool is_rare = figure->metric == METRIC_P99_NS || figure->metric == METRIC_P999_NS;
        bool is_partial = is_rare && all && all->count != figure->count;
        if (is_partial && figure->limit_s == 0)
            continue;
        if (is_partial)
            figure->count = 0;
        results->figures[kept++] = *figure;
    }
    results->count = kept;
}

static void remove_fixtures(const struct turns *turns)
{
    char path[512], fixture[512];
    struct run run;
    struct turns each = *turns;
    for (unsigned s = 0; s < turns->settings->size_count; s++) {
        each.size = turns->settings->sizes[s];
        for (size_t i = 0; bench_peers[i]; i++) {
            each.peers[0] = bench_peers[i];
            set_paths(&each, 0, &run, path, fixture, sizeof path);
            bench_remove(fixture);
        }
    }
}

static void run_workload(struct turns *turns, run_done_fn *done, void *user)
{
    const struct settings *settings = turns->settings;
    turns->workload = bench_workload(turns->w);
    turns->peer_count = plan_peers(settings, turns->workload, turns->peers);
    for (unsigned s = 0; s < settings->size_count && !child_is_interrupted(); s++) {
        size_t first = turns->results->count;
        if (!plan_has(settings, turns->w, s))
            continue;
        turns->size = settings->sizes[s];
        memset(turns->is_out, 0, sizeof turns->is_out);
        prepare(turns);
        take_turns(turns);
        drop_partial(turns->results, first);
        done(turns->results, first, user);
    }
    if (turns->workload->prepare && plan_is_last_of_fixture(settings, turns->w))
        remove_fixtures(turns);
}

/* -1 with words when the disk has not what the stores may need. */
static int check_space(const struct settings *settings, const struct plan *plan)
{
    char words[256];
    struct statvfs fs;
    double needed = (double)plan->disk_bytes / (1 << 30);
    if (statvfs(settings->directory, &fs) != 0)
        return bench_fail_at("make stores in", settings->directory);
    double there = (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30);
    fprintf(stderr, "disk: at most about %.1f GiB at once are needed in %s, %.1f are free\n",
            needed, settings->directory, there);
    if (needed <= there)
        return 0;
    snprintf(words, sizeof words,
             "not enough disk: ask fewer peers (--peers), smaller sizes, or another --dir");
    return bench_fail(words);
}

int run_all(const struct settings *settings, struct results *results, run_done_fn *done, void *user)
{
    char directory[400];
    struct plan plan;
    snprintf(directory, sizeof directory, "%s/serverlog-bench-%d", settings->directory,
             (int)getpid());
    if (lines_load(settings->input) != 0)
        return -1;
    plan_make(settings, &plan);
    if (check_space(settings, &plan) != 0)
        return -1;
    if (mkdir(directory, 0700) != 0)
        return bench_fail_at("make", directory);
    child_catch_signals();
    bench_rings_begin();
    struct turns turns = { .settings = settings,
                           .results = results,
                           .directory = directory,
                           .progress = { .work = plan.work, .start_ns = bench_now_ns() } };
    for (; bench_workload(turns.w) && !child_is_interrupted(); turns.w++)
        if (run_wants_workload(settings, bench_workload(turns.w)))
            run_workload(&turns, done, user);
    bench_remove(directory);
    bench_rings_end();
    return turns.has_failed || child_is_interrupted() ? -1 : 0;
}
