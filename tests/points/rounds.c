/* rounds.c - who dies where, in what order.
 *
 *   the first round      nobody dies before the end: which points there are, and how often each is passed
 *   every other round    each death at the next point where nobody has died yet, while there are such
 *   the rest             at a pass of any point known, by the seed; some at a time, or after so many points
 *   behind them          at each point that was passed and where nobody has died yet, until somebody has
 *
 * A death waits for a publisher to be held amid its reservation, before or behind its BUSY header, until that was so in
 * three of five rounds: half of all are wanted, and at some points there is no publisher any more. */
#define _GNU_SOURCE
#include "rounds.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"

#define PASSES_MAX 40 /* of a point that is passed often, one of the first so many */
#define ANY_MAX 6000  /* points that a life passes are some 10,000 */
#define AFTER_US_MAX 60000
#define PROCESS_S_MAX 60
#define MORE_ROUNDS_MAX 60 /* a life need not come to the point where it is to end */

static const enum phase phases[LIVES] = { LIFE, RECOVERY, SECOND_RECOVERY };

/* One of those known in the phase, or -1. */
static int any_point(struct rng *rng, enum phase phase)
{
    int n = (int)points_count(), first = (int)rng_below(rng, (uint64_t)n);
    for (int i = 0; i < n; i++)
        if (points_most((first + i) % n, phase) > 0)
            return (first + i) % n;
    return -1;
}

/* `wanted` is the point where somebody is to die, or -1: any. */
static void plan_death(struct rng *rng, int round, int life, int wanted, struct plan *plan)
{
    *plan = (struct plan){ .phase = phases[life], .point = -1 };
    if (round == 0)
        return;
    if (wanted >= 0 && points_most(wanted, phases[life]) > 0) {
        plan->point = wanted;
        plan->pass = 1;
        return;
    }
    plan->at_new = round % 2 == 1;
    plan->any = life == 0 && round % 8 != 2 ? 0 : 1 + rng_below(rng, ANY_MAX);
    if (life == 0 && round % 8 == 4)
        plan->after_us = 1 + (int64_t)rng_below(rng, AFTER_US_MAX);
    plan->point = any_point(rng, plan->phase);
    uint64_t passes = plan->point < 0 ? 0 : points_most(plan->point, plan->phase);
    plan->pass = 1 + rng_below(rng, 1 + (passes < PASSES_MAX ? passes : PASSES_MAX));
}

static void begin_round(struct rng *rng, int round, enum rounds_kind kind, const char *path)
{
    char directory[sizeof noted->ring_directory];
    memcpy(directory, noted->ring_directory, sizeof directory);
    memset(noted, 0, sizeof *noted);
    memcpy(noted->ring_directory, directory, sizeof directory);
    snprintf(noted->path, sizeof noted->path, "%s", path);
    noted->mode = round % 8 == 5 ? PRIVATE_RING : round % 8 == 6 || round == 0 ? DROPS : CRASH_RING;
    if (noted->mode == DROPS && kind == ROUNDS_WITHOUT_DROPS)
        noted->mode = CRASH_RING;
    noted->has_attached = round % 4 == 0 || round % 8 == 3;
    noted->sync_interval_ms = 1 + (uint32_t)rng_below(rng, 8);
    noted->commit_age_ms = 10 + (uint32_t)rng_below(rng, 30);
    noted->journal_file_bytes_max = (256u << 10) << rng_below(rng, 2);
    for (int i = 0; i < PUBLISHERS; i++)
        for (int life = 0; life < LIVES; life++)
            noted->publishers[i].losses[life] = (struct loss){ .from = 1, .to = 0 };
}

static pid_t start(void (*run)(int life), int life)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(PROCESS_S_MAX);
        run(life);
        _exit(0);
    }
    return child;
}

static void run_attached(int life)
{
    (void)life;
    live_as_attached();
}

static void run_judge(int life)
{
    (void)life;
    points_enter(LIFE);
    judge();
}

/* Waits for a process that must die by SIGKILL, or may end well. */
static void wait_end(pid_t child, const char *what, bool may_end)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(may_end && status == 0))
        noted_fail("%s ended by itself, status %#x", what, (unsigned)status);
}

static void note_losses(int life)
{
    for (int i = 0; i < PUBLISHERS; i++) {
        struct publisher_noted *n = &noted->publishers[i];
        bool is_safe = noted->mode != PRIVATE_RING || i == ATTACHED;
        uint64_t safe = atomic_load(is_safe ? &n->published : &n->acknowledged);
        uint64_t from = life > 0 && n->losses[life - 1].to > safe ? n->losses[life - 1].to : safe;
        n->losses[life] = (struct loss){ .from = from + 1, .to = atomic_load(&n->begun) };
    }
    int held = points_held();
    if (held < 0)
        return;
    struct loss *loss = &noted->publishers[held].losses[life];
    loss->is_certain = true;
}

static void run_life(int life, const struct plan *plan)
{
    points_begin(plan);
    pid_t host = start(live_as_host, life);
    bool attaches = life == 0 && noted->has_attached;
    pid_t attached = attaches ? start(run_attached, life) : 0;
    siginfo_t first = { .si_pid = 0 };
    assert_int_equal(waitid(P_ALL, 0, &first, WEXITED | WNOWAIT), 0);
    if (first.si_pid == attached && points_held() >= 0)
        kill(host, SIGKILL); /* its publisher is held for ever, and the others wait */
    wait_end(host, "a host", false);
    if (attaches) {
        kill(attached, SIGKILL);
        wait_end(attached, "an attached process", true);
    }
    note_losses(life);
}

static void run_round(struct rng *rng, int round, enum rounds_kind kind, int wanted,
                      struct findings *f)
{
    int died_at[LIVES] = { -1, -1, -1 };
    bool held = false, holds = f->held * 5 <= f->rounds * 3;
    begin_round(rng, round, kind, temp_path());
    for (int life = 0; life < LIVES && !atomic_load(&noted->has_failed); life++) {
        struct plan plan;
        plan_death(rng, round, life, wanted, &plan);
        if (holds)
            plan.hold = round / 2 % 2 ? HOLD_BEFORE_BUSY : HOLD_BEHIND_BUSY;
        run_life(life, &plan);
        died_at[life] = points_died_at();
        held |= points_held() >= 0;
    }
    f->rounds++;
    f->held += held;
    if (!atomic_load(&noted->has_failed)) {
        points_begin(&(struct plan){ .phase = PHASES, .point = -1 });
        wait_end(start(run_judge, 0), "the judge", true);
    }
    if (atomic_load(&noted->has_failed)) {
        f->failures++;
        snprintf(f->why, sizeof f->why, "round %d, after deaths at [%s] [%s] [%s]: %s", round,
                 points_name(died_at[0]), points_name(died_at[1]), points_name(died_at[2]),
                 noted->why);
    }
    remove_tree(noted->path);
}

/* The first point that was passed where nobody has died, or -1. */
static int untried_point(void)
{
    for (int i = 0; i < (int)points_count(); i++) {
        uint64_t passes = 0, deaths = 0;
        for (enum phase phase = LIFE; phase < PHASES; phase++) {
            passes += points_most(i, phase);
            deaths += points_deaths(i, phase);
        }
        if (passes > 0 && deaths == 0)
            return i;
    }
    return -1;
}

struct findings run_rounds(uint64_t seed, int rounds, enum rounds_kind kind)
{
    struct findings f = { 0 };
    struct rng rng = { seed };
    int wanted;
    points_forget();
    snprintf(noted->ring_directory, sizeof noted->ring_directory, "/dev/shm/serverlog-points-%ld",
             (long)getpid());
    assert_int_equal(mkdir(noted->ring_directory, 0700), 0);
    for (int round = 0; round < rounds && f.failures == 0; round++)
        run_round(&rng, round, kind, -1, &f);
    for (int more = 0; more < MORE_ROUNDS_MAX && f.failures == 0; more++)
        if ((wanted = untried_point()) >= 0)
            run_round(&rng, rounds + more, kind, wanted, &f);
    remove_tree(noted->ring_directory);
    return f;
}
