/* child.h - one measurement in a process of its own; see child.c. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include "bench.h"

enum child_end {
    CHILD_DONE,
    CHILD_FAILED, /* words are on stderr */
    CHILD_SLOW,   /* it had not ended in time: it was killed */
    CHILD_INTERRUPTED
};

/* Runs `work` in a child, whose result is in run->metrics and run->windows when this says CHILD_DONE. */
enum child_end child_run(struct run *run, int (*work)(struct run *run), unsigned limit_s);

/* From here on SIGINT and SIGTERM end the child that runs, and every one that would follow. */
void child_catch_signals(void);
bool child_is_interrupted(void);

#endif
