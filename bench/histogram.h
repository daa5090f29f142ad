/* histogram.h - times on a logarithmic scale, in fixed memory: each power of two is cut into 64 equal parts, so a
 * quantile is at most 1/64 above the value that was recorded. One thread. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS 64
#define HISTOGRAM_BUCKETS ((64 - 6 + 1) * HISTOGRAM_PARTS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The smallest bucket bound that at least `part` (0 to 1) of the values do not exceed; at most max. 0 if empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double part);

#endif
