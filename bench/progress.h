/* progress.h - how far the run is, on a terminal; see progress.c. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct progress {
    double work, done; /* by plan_work() */
    int64_t start_ns;
};

/* Shows what begins now, and about how long all that follows takes. Nothing where stderr is no terminal. */
void progress_show(const struct progress *progress, const char *what);
void progress_clear(void);

/* "12 min": the time left, by the time that the work so far took. */
void progress_left(const struct progress *progress, int64_t now_ns, char *out, size_t size);

#endif
