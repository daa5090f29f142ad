/* workload_store.h - what the workloads on stores share. */
#ifndef BENCH_WORKLOAD_STORE_H
#define BENCH_WORKLOAD_STORE_H

#include "bench.h"

/* A peer that takes records in bulk. */
bool store_fits(const struct peer *peer);

/* The store that is asked: one fixture serves all questions. run->prepare: lines_filled() records, with the indexes for
 * keys and for times. */
#define FILLED "filled"
int prepare_filled(struct run *run);

/* What an empty store takes on the disk once it is closed, made at run->path and removed; -1 with words. */
int64_t store_empty_bytes(const struct run *run, const struct store_wish *wish);

/* The fixture, opened; NULL with words. */
void *store_open_fixture(const struct run *run, unsigned indexes);

#endif
