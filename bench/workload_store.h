/* workload_store.h - what the workloads on stores share. */
#ifndef BENCH_WORKLOAD_STORE_H
#define BENCH_WORKLOAD_STORE_H

#include "bench.h"

/* A peer that takes records in bulk. */
bool store_fits(const struct peer *peer);

/* Appends the run's records, all on the disk when it returns, and closes the store. */
int store_fill(const struct run *run, const char *path, unsigned indexes, uint64_t keys);

/* run->prepare: a fixture whose records have one of KEYS_MANY keys, with the indexes for keys, or for times. */
int prepare_keyed(struct run *run);
int prepare_timed(struct run *run);

/* The fixture, opened; NULL with words. */
void *store_open_fixture(const struct run *run, unsigned indexes);

#endif
