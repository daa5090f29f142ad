/* workloads.c - the questions, in the order in which they are asked and shown. */
#include "bench.h"

#define GROUPS(of)                                                                                 \
    of(publish) of(transfer) of(latency) of(wake) of(idle) of(ingest) of(growing) of(held)         \
        of(footprint) of(durable) of(mixed) of(scan) of(lookup) of(follow) of(handlers) of(parse)

#define DECLARE(name)                                                                              \
    extern const struct workload name##_workloads[];                                               \
    extern const size_t name##_workload_count;
GROUPS(DECLARE)

struct group {
    const struct workload *workloads;
    const size_t *count;
};
#define ROW(name) { name##_workloads, &name##_workload_count },
static const struct group groups[] = { GROUPS(ROW) };

const struct workload *bench_workload(size_t i)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        if (i < *groups[g].count)
            return &groups[g].workloads[i];
        i -= *groups[g].count;
    }
    return NULL;
}
