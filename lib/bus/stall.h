/* stall - publishers that stopped in mid-write: they hold back what is behind them. */
#ifndef SVL_BUS_STALL_H
#define SVL_BUS_STALL_H

#include "base/error.h"
#include "ring/ring.h"

/* The consumer, after each sleep: says so once for each; `told` is its count of those. */
void svl__stall_report(struct ring *ring, uint64_t *told, const struct log_sink *log);

#endif
