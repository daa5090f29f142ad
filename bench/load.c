/* load.c - see load.h. */
#define _GNU_SOURCE
#include "load.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define LOAD_THREADS_MAX 64
#define START_NS 1000000
#define SLEEP_NS_MIN 200000 /* below, a sleep would oversleep: the thread yields until its turn */

struct worker {
    const struct load *load;
    unsigned number;
    _Atomic int64_t *start_ns; /* of all: 0 not yet, -1 never */
    int rc;
    struct histogram histogram;
};

void load_wait_until(int64_t turn_ns)
{
    int64_t left_ns = turn_ns - bench_now_ns();
    if (left_ns > SLEEP_NS_MIN) {
        struct timespec t = { .tv_sec = (left_ns - SLEEP_NS_MIN) / 1000000000,
                              .tv_nsec = (left_ns - SLEEP_NS_MIN) % 1000000000 };
        nanosleep(&t, NULL);
    }
    while (bench_now_ns() < turn_ns)
        sched_yield();
}

static void *work(void *argument)
{
    struct worker *me = argument;
    const struct load *load = me->load;
    int64_t start_ns;
    while ((start_ns = atomic_load(me->start_ns)) == 0)
        sched_yield();
    if (start_ns < 0)
        return NULL;
    start_ns += me->number * load->interval_ns / load->threads;
    for (uint64_t i = 0; me->rc >= 0 && i < load->operations; i++) {
        int64_t turn_ns = start_ns + (int64_t)i * load->interval_ns;
        load_wait_until(turn_ns);
        me->rc = load->operate(load->user, me->number, i);
        histogram_add(&me->histogram, (uint64_t)(bench_now_ns() - turn_ns));
    }
    return NULL;
}

static double rare(const struct histogram *histogram, unsigned per_mille)
{
    if (histogram->count * (1000 - per_mille) / 1000 < ABOVE_MIN)
        return NAN;
    return (double)histogram_quantile(histogram, per_mille / 1000.0);
}

void load_report(const struct histogram *histogram, struct run *run)
{
    run->metrics[METRIC_P50_NS] = (double)histogram_quantile(histogram, 0.5);
    run->metrics[METRIC_P99_NS] = rare(histogram, 990);
    run->metrics[METRIC_P999_NS] = rare(histogram, 999);
    run->metrics[METRIC_MAX_NS] = (double)histogram->max;
}

struct hog {
    pthread_t thread;
    atomic_bool is_stopped;
    uint64_t state;
};

static void *compute(void *argument)
{
    struct hog *hog = argument;
    while (!atomic_load_explicit(&hog->is_stopped, memory_order_relaxed))
        bench_random(&hog->state);
    return NULL;
}

static struct hog *hog_start(void)
{
    struct hog *hog = calloc(1, sizeof *hog);
    if (hog && pthread_create(&hog->thread, NULL, compute, hog) != 0) {
        free(hog);
        hog = NULL;
    }
    if (!hog)
        bench_fail("no thread that computes");
    return hog;
}

static void hog_stop(struct hog *hog)
{
    if (!hog)
        return;
    atomic_store(&hog->is_stopped, true);
    pthread_join(hog->thread, NULL);
    free(hog);
}

/* All threads are there before the first turn comes. Returns how many were started. */
static unsigned start_workers(const struct load *load, struct worker *workers, pthread_t *threads,
                              _Atomic int64_t *start_ns)
{
    unsigned n = 0;
    for (; n < load->threads; n++) {
        workers[n] = (struct worker){ .load = load, .number = n, .start_ns = start_ns };
        if (pthread_create(&threads[n], NULL, work, &workers[n]) != 0)
            break;
    }
    atomic_store(start_ns, n == load->threads ? bench_now_ns() + START_NS : -1);
    return n;
}

static int run_workers(const struct load *load, struct worker *workers, struct histogram *all)
{
    pthread_t threads[LOAD_THREADS_MAX];
    _Atomic int64_t start_ns = 0;
    unsigned started = start_workers(load, workers, threads, &start_ns);
    int rc = started == load->threads ? 0 : bench_fail("no thread");
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        rc = rc != 0 ? rc : workers[i].rc;
        histogram_merge(all, &workers[i].histogram);
    }
    return rc;
}

int load_run(const struct load *load, struct run *run)
{
    struct worker *workers = calloc(load->threads, sizeof *workers);
    struct histogram *all = calloc(1, sizeof *all);
    struct hog *hog = run->workload->has_hog ? hog_start() : NULL;
    int rc = -1;
    if (!workers || !all || load->threads > LOAD_THREADS_MAX)
        bench_fail("no memory");
    else if (hog || !run->workload->has_hog)
        rc = run_workers(load, workers, all);
    hog_stop(hog);
    if (rc >= 0)
        load_report(all, run);
    free(workers);
    free(all);
    return rc < 0 ? -1 : 0;
}
