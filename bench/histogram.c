/* histogram.c - see histogram.h. The scheme is HdrHistogram's (Tene), with a power of two for its precision. */
#include "histogram.h"

#include <math.h>

/* Values below 64 are exact; above, the six bits behind the leading one choose the part. */
static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_PARTS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6;
    return (shift + 1) * HISTOGRAM_PARTS + (unsigned)(value >> shift) - HISTOGRAM_PARTS;
}

/* The largest value of a bucket. */
static uint64_t bound_of(unsigned bucket)
{
    if (bucket < HISTOGRAM_PARTS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_PARTS - 1;
    uint64_t low = (uint64_t)(HISTOGRAM_PARTS + bucket % HISTOGRAM_PARTS) << shift;
    return low + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *histogram, double part)
{
    uint64_t wanted = (uint64_t)ceil(part * (double)histogram->count), seen = 0;
    if (histogram->count == 0)
        return 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted)
            return bound_of(i) < histogram->max ? bound_of(i) : histogram->max;
    }
    return histogram->max;
}
