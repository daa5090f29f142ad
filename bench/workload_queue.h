/* workload_queue.h - what the workloads on queues share. */
#ifndef BENCH_WORKLOAD_QUEUE_H
#define BENCH_WORKLOAD_QUEUE_H

#include "bench.h"

#define QUEUE_BYTES (UINT64_C(8) << 20) /* the default of our ring; the same for all */
#define QUEUE_MESSAGE_MAX 4096

bool queue_fits(const struct peer *peer);
bool queue_fits_drained(const struct peer *peer); /* also one with a consumer of its own */
bool queue_fits_sleeping(const struct peer *peer);
/* NULL with words. As much as may wait in it has been in it once: but for what a peer has beyond that, no message pays
 * for a page's first use. */
void *queue_open(const struct run *run, unsigned producers, unsigned bytes);

/* A thread that receives `n` messages. */
struct receiver;
struct receiver *receiver_start(const struct queue_ops *ops, void *queue, uint64_t n);
/* Waits for it and frees it: 0, or -1 when not every message came whole. `sum` is what each must add up to. */
int receiver_join(struct receiver *receiver, uint64_t sum);

#endif
