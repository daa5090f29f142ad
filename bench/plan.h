/* plan.h - what a run will measure, and what that takes; see plan.c. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include "run.h"

/* Whether workload `w` of bench_workload() is measured at the s-th size. */
bool plan_has(const struct settings *settings, size_t w, unsigned s);
/* The peers that it asks, ours first; returns how many. */
#define PEERS_MAX 64
unsigned plan_peers(const struct settings *settings, const struct workload *workload,
                    const struct peer *peers[PEERS_MAX]);
/* No workload behind `w` needs the fixture of `w`. */
bool plan_is_last_of_fixture(const struct settings *settings, size_t w);

/* The smallest size, and the fewest records of a workload that takes a part of it. */
#define PLAN_RECORDS_MIN 16

/* Records of a workload at a size. */
uint64_t plan_records(const struct workload *workload, uint64_t size);

/* How much of the run one measurement, or one filling, is: no time, but to be compared with others. */
double plan_work(const struct workload *workload, uint64_t size);
double plan_work_to_fill(const struct workload *workload, uint64_t size);

struct plan {
    double work;         /* of all */
    uint64_t disk_bytes; /* that the stores may take at once */
};
void plan_make(const struct settings *settings, struct plan *out);

#endif
