/* explore.c - from numbers to states: the moments of a log in order, and at each the rules in turn.
 *
 * A moment is the end of an op at which what is durable, or what was acknowledged, changes; or the begin of a flush,
 * when the most is pending. A process for each processor walks the log once and judges every so-many-th state. */
#define _GNU_SOURCE
#include "explore.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls/calls.h"
#include "disk.h"
#include "recorder.h"

#define WORKERS_MAX 16
#define STATE_SECONDS 150
/* A moment has a state for itself and one for each thing that is pending, up to so many: then all again. */
#define WEIGHT_MAX 24

struct moment {
    size_t ops;       /* that have happened */
    uint64_t weights; /* of this one and those before it */
};

struct state {
    size_t moment; /* ops that have happened */
    size_t rule;
    struct rng rng;
};

struct walk {
    const struct log *log;
    struct disk *disk;
    struct expectation expectation;
    size_t at; /* ops applied */
};

static bool is_moment(const struct op *op)
{
    return op->kind != OP_WRITE && op->kind != MARK_GROUP;
}

static void walk_begin(struct walk *w, const struct log *log)
{
    memset(w, 0, sizeof *w);
    w->log = log;
    w->disk = disk_create();
}

static void walk_to(struct walk *w, size_t moment)
{
    for (; w->at < moment; w->at++) {
        disk_apply(w->disk, w->at, &w->log->ops[w->at]);
        expectation_apply(&w->expectation, &w->log->ops[w->at]);
    }
}

/* Moments of a log, in order; *n of them. */
static struct moment *find_moments(const struct log *log, size_t *n)
{
    static struct walk w;
    struct moment *moments = malloc((log->count + 1) * sizeof *moments);
    uint64_t weights = 0;
    *n = 0;
    walk_begin(&w, log);
    for (size_t i = log->start; moments && i < log->count; i++) {
        if (!is_moment(&log->ops[i]))
            continue;
        walk_to(&w, i + 1);
        uint64_t pending = disk_pending(w.disk);
        weights += 1 + (pending < WEIGHT_MAX ? pending : WEIGHT_MAX);
        moments[(*n)++] = (struct moment){ i + 1, weights };
    }
    disk_free(w.disk);
    if (!moments || *n == 0) {
        fprintf(stderr, "explore: nothing happened\n");
        exit(1);
    }
    return moments;
}

static struct state state_of(const struct moment *moments, size_t moment_count, uint64_t seed,
                             uint64_t n, uint64_t number)
{
    struct rng mix = { seed ^ number * UINT64_C(0x9e3779b97f4a7c15) };
    uint64_t weights = moments[moment_count - 1].weights;
    uint64_t at = (number * weights + rng_below(&mix, weights)) / n; /* in [0, weights) */
    size_t i = 0;
    while (moments[i].weights <= at)
        i++;
    return (struct state){ .moment = moments[i].ops,
                           .rule = disk_choose_rule(&mix),
                           .rng = { rng_next(&mix) } };
}

static void describe(const struct state *s, const char *text, char why[VERDICT_BYTES])
{
    char all[VERDICT_BYTES + 128];
    snprintf(all, sizeof all, "after op %zu, %s: %s", s->moment, disk_rule_name(s->rule), text);
    memcpy(why, all, VERDICT_BYTES - 1);
    why[VERDICT_BYTES - 1] = 0;
}

/* A process of its own, for every `step`-th state from `first` on; it counts in `findings` before each, so that
 * a death says where. */
static void work(const struct script *script, const struct log *log, uint64_t seed, uint64_t n,
                 uint64_t first, uint64_t step, enum explore_until until, struct findings *findings)
{
    static struct walk w;
    size_t moment_count;
    struct moment *moments = find_moments(log, &moment_count);
    char path[512], why[VERDICT_BYTES];
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(path + strlen(path), sizeof path - strlen(path), "-%d", (int)getpid());
    calls_reboot();
    walk_begin(&w, log);
    for (uint64_t i = first; i < n && (until == UNTIL_THE_END || findings->failures == 0);
         i += step) {
        struct state s = state_of(moments, moment_count, seed, n, i);
        walk_to(&w, s.moment);
        if (findings->failures == 0) {
            findings->first = i;
            describe(&s, "the process died", findings->why);
        }
        alarm(STATE_SECONDS);
        disk_build(w.disk, s.rule, &s.rng, path);
        bool ok = judge(script, &w.expectation, path, &s.rng, why);
        remove_tree(path);
        findings->states++;
        if (!ok && findings->failures++ == 0)
            describe(&s, why, findings->why);
    }
    alarm(0);
    free(moments);
    disk_free(w.disk);
    if (findings->failures == 0)
        findings->why[0] = 0;
}

static void join(struct findings *all, const struct findings *part, int status)
{
    bool died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    uint64_t failures = part->failures + died;
    if (failures > 0 && (all->failures == 0 || part->first < all->first)) {
        all->first = part->first;
        memcpy(all->why, part->why, sizeof all->why);
    }
    all->states += part->states + died;
    all->failures += failures;
}

struct findings explore(const struct script *script, const struct log *log, uint64_t seed,
                        uint64_t n, enum explore_until until)
{
    struct findings all = { 0 };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = processors < 1 ? 1 : processors > WORKERS_MAX ? WORKERS_MAX : (int)processors;
    pid_t processes[WORKERS_MAX];
    struct findings *parts = mmap(NULL, WORKERS_MAX * sizeof *parts, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(parts != MAP_FAILED);
    fflush(NULL);
    temp_path(); /* made by this process, which removes it */
    for (int i = 0; i < workers; i++) {
        processes[i] = fork();
        assert_true(processes[i] >= 0);
        if (processes[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(script, log, seed, n, (uint64_t)i, (uint64_t)workers, until, &parts[i]);
            _exit(0);
        }
    }
    for (int i = 0; i < workers; i++) {
        int status;
        assert_int_equal(waitpid(processes[i], &status, 0), processes[i]);
        join(&all, &parts[i], status);
    }
    munmap(parts, WORKERS_MAX * sizeof *parts);
    return all;
}

static void build(struct walk *w, struct state *s, const struct log *log, uint64_t seed, uint64_t n,
                  uint64_t number, const char *path)
{
    size_t moment_count;
    struct moment *moments = find_moments(log, &moment_count);
    *s = state_of(moments, moment_count, seed, n, number);
    free(moments);
    walk_begin(w, log);
    walk_to(w, s->moment);
    disk_build(w->disk, s->rule, &s->rng, path);
    disk_free(w->disk);
}

void explore_build(const struct log *log, uint64_t seed, uint64_t n, uint64_t number,
                   const char *path, struct log *marks)
{
    static struct walk w;
    struct state s;
    build(&w, &s, log, seed, n, number, path);
    for (size_t i = 0; i < s.moment; i++)
        if (op_is_mark(&log->ops[i]))
            log_add(marks, log->ops[i]);
}

bool explore_one(const struct script *script, const struct log *log, uint64_t seed, uint64_t n,
                 uint64_t number, const char *path, char why[VERDICT_BYTES])
{
    static struct walk w;
    struct state s;
    char text[VERDICT_BYTES] = "nothing is wrong";
    calls_reboot();
    build(&w, &s, log, seed, n, number, path);
    bool ok = judge(script, &w.expectation, path, &s.rng, text);
    describe(&s, text, why);
    return ok;
}
