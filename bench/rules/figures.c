/* figures.c - figures, measured in turn in many short rounds, and their table.
 *
 * A sample is a few milliseconds by the wall clock, and is taken again when the thread was interrupted. What takes
 * longer is interrupted always, on a machine at work: there the thread's processor time counts, which is too
 * coarse, in a virtual machine even wrong, for the short ones. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "rules.h"

#define TRIES_MAX 20
#define SHORT_NS 10000000
#define FIGURES_MAX 128
#define SAMPLES_MAX 256

struct figure {
    char name[72];
    size_t event_bytes; /* 0: not of an event */
    rules_work *work;
    void *state;
    void (*release)(void *state);
    uint64_t times; /* a sample */
    double samples[SAMPLES_MAX];
};

struct figures {
    unsigned count, rounds;
    struct figure list[FIGURES_MAX];
};

static int64_t read_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long count_interruptions(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

void span_begin(struct span *span)
{
    span->interruptions = count_interruptions();
    span->cpu_ns = read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    span->wall_ns = read_clock_ns(CLOCK_MONOTONIC);
}

void span_end(struct span *span)
{
    span->wall_ns = read_clock_ns(CLOCK_MONOTONIC) - span->wall_ns;
    span->cpu_ns = read_clock_ns(CLOCK_THREAD_CPUTIME_ID) - span->cpu_ns;
    span->interruptions = count_interruptions() - span->interruptions;
}

int bench_fail(const char *what)
{
    fprintf(stderr, "serverlog-bench-rules: %s\n", what);
    return -1;
}

struct figures *figures_create(void)
{
    struct figures *figures = calloc(1, sizeof *figures);
    if (!figures)
        bench_fail("no memory");
    return figures;
}

void figures_destroy(struct figures *figures)
{
    for (unsigned i = figures ? figures->count : 0; i-- > 0;)
        if (figures->list[i].release)
            figures->list[i].release(figures->list[i].state);
    free(figures);
}

int figures_add(struct figures *figures, const char *name, size_t event_bytes, rules_work *work,
                void *state, void (*release)(void *state))
{
    if (figures->count == FIGURES_MAX) {
        if (release)
            release(state);
        return bench_fail("FIGURES_MAX");
    }
    struct figure *f = &figures->list[figures->count++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->event_bytes = event_bytes;
    f->work = work;
    f->state = state;
    f->release = release;
    return 0;
}

/* How often until `ns` have gone by? */
static int calibrate(struct figure *f, int64_t ns)
{
    struct span span;
    for (f->times = 1;; f->times *= 2) {
        if (f->work(f->state, f->times, &span) != 0)
            return -1;
        if (span.cpu_ns >= ns / 2)
            return 0;
    }
}

static int take_sample(struct figure *f, double *ns)
{
    struct span span;
    unsigned tries = 0;
    do {
        if (f->work(f->state, f->times, &span) != 0)
            return -1;
    } while (span.interruptions > 0 && span.cpu_ns < SHORT_NS && ++tries < TRIES_MAX);
    int64_t took_ns = span.interruptions == 0 ? span.wall_ns : span.cpu_ns;
    *ns = (double)took_ns / (double)f->times;
    return 0;
}

int figures_measure(struct figures *figures, unsigned repeat, unsigned ms)
{
    for (unsigned i = 0; i < figures->count; i++)
        if (calibrate(&figures->list[i], (int64_t)ms * 1000000) != 0)
            return -1;
    figures->rounds = repeat < SAMPLES_MAX ? repeat : SAMPLES_MAX;
    for (unsigned round = 0; round < figures->rounds; round++)
        for (unsigned i = 0; i < figures->count; i++)
            if (take_sample(&figures->list[i], &figures->list[i].samples[round]) != 0)
                return -1;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void figures_print(const struct figures *figures, const char *title)
{
    printf("\n%-52s %8s %12s %12s %8s\n", title, "bytes", "minimum ns", "median ns", "ns/byte");
    for (unsigned i = 0; i < figures->count; i++) {
        const struct figure *f = &figures->list[i];
        double sorted[SAMPLES_MAX];
        for (unsigned k = 0; k < figures->rounds; k++)
            sorted[k] = f->samples[k];
        qsort(sorted, figures->rounds, sizeof *sorted, compare);
        double median = (sorted[figures->rounds / 2] + sorted[(figures->rounds - 1) / 2]) / 2;
        printf("%-52s ", f->name);
        if (f->event_bytes)
            printf("%8zu %12.0f %12.0f %8.3f\n", f->event_bytes, sorted[0], median,
                   sorted[0] / (double)f->event_bytes);
        else
            printf("%8s %12.0f %12.0f\n", "", sorted[0], median);
    }
    fflush(stdout);
}
