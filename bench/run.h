/* run.h - what is to be run, and the turns that run it; see run.c. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "bench.h"

struct settings {
    uint64_t sizes[SIZES_MAX]; /* ascending */
    unsigned size_count;
    unsigned repeat;
    unsigned limit_s; /* for one measurement */
    bool is_json;
    const char *directory; /* for stores: on the disk to be measured */
    const char *out;       /* NULL: no files */
    const char *input;     /* NULL: lines by templates */
    char **names;          /* of workloads; none: all */
    int name_count;
    const char *peers; /* separated by commas; NULL: all. Ours always run */
};

/* plan.c: as the settings name it. */
bool run_wants_workload(const struct settings *settings, const struct workload *workload);
bool run_wants_peer(const struct settings *settings, const struct peer *peer);

/* Called once a workload and size is done, with its figures: those from `first` on. */
typedef void run_done_fn(const struct results *results, size_t first, void *user);

/* Runs everything that is wanted. A peer that fails loses its figure, and the whole returns -1 in the end; one that
 * takes longer than limit_s has a figure that says so. -1 at once, with words, when the disk has too little space. */
int run_all(const struct settings *settings, struct results *results, run_done_fn *done,
            void *user);

#endif
