/* load.h - operations at fixed times, whether or not the last one is done: a slow one makes the next ones late, and
 * their wait counts (no coordinated omission). */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench.h"
#include "histogram.h"

struct load {
    unsigned threads;
    uint64_t operations; /* of each thread */
    int64_t interval_ns; /* between two of a thread */
    int (*operate)(void *user, unsigned thread, uint64_t i);
    void *user;
};

/* Runs it, beside a thread that only computes where the workload has one, and puts the quantiles of the times from an
 * operation's turn to its end into run->metrics. */
int load_run(const struct load *load, struct run *run);
/* Of the rare ones, p99 and p99.9, one that fewer than ABOVE_MIN times lie above is none. */
#define ABOVE_MIN 2
void load_report(const struct histogram *histogram, struct run *run);

/* Returns at `turn_ns` (monotonic), at once when that has passed. */
void load_wait_until(int64_t turn_ns);

#endif
