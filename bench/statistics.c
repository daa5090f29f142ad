/* statistics.c - medians, the ratio of two and how sure it is, and the exponent of growth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define RESAMPLES 2000

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median_of(const double *samples, unsigned count)
{
    double sorted[SAMPLES_MAX];
    if (count == 0)
        return NAN;
    memcpy(sorted, samples, count * sizeof *samples);
    qsort(sorted, count, sizeof *sorted, compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double min_of(const double *samples, unsigned count)
{
    double min = count > 0 ? samples[0] : NAN;
    for (unsigned i = 1; i < count; i++)
        min = samples[i] < min ? samples[i] : min;
    return min;
}

double max_of(const double *samples, unsigned count)
{
    double max = count > 0 ? samples[0] : NAN;
    for (unsigned i = 1; i < count; i++)
        max = samples[i] > max ? samples[i] : max;
    return max;
}

static double resampled_median(const double *samples, unsigned count, uint64_t *state)
{
    double drawn[SAMPLES_MAX];
    for (unsigned i = 0; i < count; i++)
        drawn[i] = samples[bench_random(state) % count];
    return median_of(drawn, count);
}

struct ratio ratio_of(const double *a, unsigned a_count, const double *b, unsigned b_count)
{
    double ratios[RESAMPLES];
    uint64_t state = 1; /* the same samples give the same interval */
    for (unsigned i = 0; i < RESAMPLES; i++) {
        double of_a = resampled_median(a, a_count, &state);
        ratios[i] = of_a / resampled_median(b, b_count, &state);
    }
    qsort(ratios, RESAMPLES, sizeof *ratios, compare);
    return (struct ratio){ .value = median_of(a, a_count) / median_of(b, b_count),
                           .low = ratios[RESAMPLES / 40],
                           .high = ratios[RESAMPLES - 1 - RESAMPLES / 40] };
}

double exponent_of(const double *x, const double *y, unsigned count)
{
    double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0, n = count;
    for (unsigned i = 0; i < count; i++) {
        double log_x = log(x[i]), log_y = log(y[i]);
        sum_x += log_x;
        sum_y += log_y;
        sum_xx += log_x * log_x;
        sum_xy += log_x * log_y;
    }
    return (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
}
