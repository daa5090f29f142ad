/* points.c - counting, dying, holding. */
#define _GNU_SOURCE
#include "points.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/step.h"

#define POINTS_MAX 200
/* For a publisher that is to be held: it may be waiting for what the dying thread does. */
#define HOLD_WAIT_US 20000
#define HOLD_LOOK_US 50
#define NOBODY_YET (-1)
#define NOBODY (-2)

extern const char *const __start_svl_steps[], *const __stop_svl_steps[];

struct point {
    _Atomic uint64_t passed; /* in this life and the plan's phase */
    _Atomic uint64_t most[PHASES], deaths[PHASES];
};

static struct shared {
    struct point points[POINTS_MAX];
    struct plan plan;
    _Atomic uint64_t passed_any;
    _Atomic int died_at;
    _Atomic int held; /* a publisher, or: */
    _Atomic bool dying;
} * shared;

/* The processes are children of one that has none of these. */
static _Atomic uint32_t phase;
static _Thread_local int publisher = -1;

size_t points_count(void)
{
    return (size_t)(__stop_svl_steps - __start_svl_steps);
}

const char *points_name(int point)
{
    return point < 0 ? "no point" : __start_svl_steps[point];
}

uint64_t points_most(int point, enum phase of)
{
    return atomic_load(&shared->points[point].most[of]);
}

uint64_t points_deaths(int point, enum phase of)
{
    return atomic_load(&shared->points[point].deaths[of]);
}

void points_begin(const struct plan *plan)
{
    for (size_t i = 0; i < points_count(); i++)
        atomic_store(&shared->points[i].passed, 0);
    shared->plan = *plan;
    atomic_store(&shared->passed_any, 0);
    atomic_store(&shared->died_at, -1);
    atomic_store(&shared->held, NOBODY);
    atomic_store(&shared->dying, false);
}

int points_died_at(void)
{
    return atomic_load(&shared->died_at);
}

int points_held(void)
{
    return atomic_load(&shared->held);
}

void points_enter(enum phase next)
{
    atomic_store(&phase, next);
}

void points_publish_as(int number)
{
    publisher = number;
}

static void sleep_us(int64_t us)
{
    struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    nanosleep(&t, NULL);
}

static void die(void)
{
    int nobody = NOBODY_YET;
    if (shared->plan.hold != HOLD_NOBODY)
        atomic_store(&shared->held, NOBODY_YET);
    for (int64_t us = 0; atomic_load(&shared->held) == NOBODY_YET && us < HOLD_WAIT_US;
         us += HOLD_LOOK_US)
        sleep_us(HOLD_LOOK_US);
    atomic_compare_exchange_strong(&shared->held, &nobody, NOBODY);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

void points_die(void)
{
    if (!atomic_exchange(&shared->dying, true))
        die();
    /* One that attached has died by the plan, or another thread is about to. */
    kill(getpid(), SIGKILL);
}

static void *wait_and_die(void *unused)
{
    sleep_us(shared->plan.after_us);
    points_die();
    return unused;
}

void points_start_clock(void)
{
    pthread_t thread;
    if (shared->plan.after_us > 0)
        pthread_create(&thread, NULL, wait_and_die, NULL);
}

/* A publisher in the middle of its reservation: it stays there for ever. */
static void hold_here(const char *name)
{
    static const char *const where[] = { [HOLD_NOBODY] = "",
                                         [HOLD_BEFORE_BUSY] = "ring: reserved",
                                         [HOLD_BEHIND_BUSY] = "ring: busy header" };
    int nobody = NOBODY_YET;
    if (publisher < 0 || strcmp(name, where[shared->plan.hold]) != 0 ||
        !atomic_compare_exchange_strong(&shared->held, &nobody, publisher))
        return;
    for (;;)
        pause();
}

static bool is_here(int point, enum phase now, uint64_t pass, uint64_t pass_any)
{
    const struct plan *plan = &shared->plan;
    if (now == LIFE && plan->any != 0 && pass_any >= plan->any)
        return true;
    if (now != plan->phase)
        return false;
    if (plan->at_new && atomic_load(&shared->points[point].deaths[now]) == 0)
        return true;
    return point == plan->point && pass >= plan->pass;
}

static void pass(const char *const *at)
{
    int point = (int)(at - __start_svl_steps);
    struct point *p = &shared->points[point];
    enum phase now = atomic_load(&phase);
    uint64_t n = 0, any = 0;
    if (now == shared->plan.phase)
        n = atomic_fetch_add(&p->passed, 1) + 1;
    if (now == LIFE)
        any = atomic_fetch_add(&shared->passed_any, 1) + 1;
    if (n > atomic_load(&p->most[now]))
        atomic_store(&p->most[now], n);
    hold_here(*at);
    if (!is_here(point, now, n, any) || atomic_exchange(&shared->dying, true))
        return;
    atomic_fetch_add(&p->deaths[now], 1);
    atomic_store(&shared->died_at, point);
    die();
}

void points_forget(void)
{
    memset(shared, 0, sizeof *shared);
}

void points_set_up(void)
{
    assert_in_range(points_count(), 1, POINTS_MAX);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    svl__step = pass;
}
