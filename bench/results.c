/* results.c - the figures of a run, in the order taken. */
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

const struct metric_kind bench_metrics[METRIC_COUNT] = {
    [METRIC_RATE] = { "rate", "1/s", "number a second", "How many a second?", true },
    [METRIC_EACH_NS] = { "each", "ns", "time each", "How long does one take?", false },
    [METRIC_P50_NS] = { "p50", "ns", "median", "How long does it take?", false },
    [METRIC_P99_NS] = { "p99", "ns", "99th percentile", "How long one time in 100?", false },
    [METRIC_P999_NS] = { "p99.9", "ns", "99.9th percentile", "How long one time in 1,000?", false },
    [METRIC_MAX_NS] = { "max", "ns", "longest", "How long at worst?", false },
    [METRIC_CPU_NS] = { "cpu", "ns", "CPU time each", "How much CPU time?", false },
    [METRIC_RSS_BYTES] = { "memory", "B", "anonymous memory, peak", "How much memory meanwhile?",
                           false },
    [METRIC_WRITTEN_BYTES] = { "written", "B", "handed to write calls each",
                               "How many bytes does it write for one?", false },
    [METRIC_DIRTIED_BYTES] = { "dirtied", "B", "file pages made dirty each",
                               "How many bytes of pages does one make dirty?", false },
    [METRIC_DISK_BYTES] = { "disk", "B", "on the disk each", "How many bytes on the disk is one?",
                            false },
    [METRIC_WHOLE_BYTES] = { "whole", "B", "on the disk in all",
                             "How many bytes on the disk is it all?", false },
    [METRIC_WINDOW_RATE] = { "window", "1/s", "number a second in a tenth",
                             "How many a second in each tenth?", true },
    [METRIC_KEPT] = { "kept", "1", "last tenth's rate over the first's",
                      "How much of the first tenth's rate is left in the last?", true },
    [METRIC_SWITCHES] = { "switches", "1/s", "voluntary context switches a second",
                          "How often does it wake up?", false },
};

struct figure *results_add(struct results *results)
{
    if (results->count == results->capacity) {
        size_t capacity = results->capacity ? results->capacity * 2 : 64;
        struct figure *grown = realloc(results->figures, capacity * sizeof *grown);
        if (!grown)
            return NULL;
        results->figures = grown;
        results->capacity = capacity;
    }
    struct figure *figure = &results->figures[results->count++];
    memset(figure, 0, sizeof *figure);
    return figure;
}

void results_free(struct results *results)
{
    free(results->figures);
    *results = (struct results){ 0 };
}

static bool is_same_question(const struct figure *a, const struct figure *b)
{
    return a->metric == b->metric && strcmp(a->workload, b->workload) == 0;
}

const struct figure *results_find(const struct results *results, const struct figure *like)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *it = &results->figures[i];
        if (is_same_question(it, like) && it->size == like->size &&
            strcmp(it->peer, like->peer) == 0)
            return it;
    }
    return NULL;
}

bool results_ratio(const struct results *results, const struct figure *figure, struct ratio *out)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *it = &results->figures[i];
        if (!it->is_ours || !is_same_question(it, figure) || it->size != figure->size)
            continue;
        if (it == figure || it->limit_s || figure->limit_s)
            return false;
        *out = ratio_of(it->samples, it->count, figure->samples, figure->count);
        return isfinite(out->value);
    }
    return false;
}

unsigned results_series(const struct results *results, const struct figure *first,
                        double sizes[SERIES_MAX], double medians[SERIES_MAX])
{
    unsigned count = 0;
    for (size_t i = 0; i < results->count && count < SERIES_MAX; i++) {
        const struct figure *it = &results->figures[i];
        double median = median_of(it->samples, it->count);
        if (!is_same_question(it, first) || strcmp(it->peer, first->peer) != 0 || it->limit_s ||
            !(median > 0))
            continue;
        if (count == 0 && it != first)
            return 0;
        sizes[count] = (double)it->size;
        medians[count++] = median;
    }
    return count;
}

bool results_growth(const struct results *results, const struct figure *first, struct growth *out)
{
    double sizes[SERIES_MAX], medians[SERIES_MAX];
    unsigned count = results_series(results, first, sizes, medians);
    if (count < 2)
        return false;
    *out = (struct growth){ .metric = first->metric };
    memcpy(out->workload, first->workload, sizeof out->workload);
    memcpy(out->peer, first->peer, sizeof out->peer);
    double slope = exponent_of(sizes, medians, count);
    out->exponent = bench_metrics[first->metric].is_more_better ? -slope : slope;
    return true;
}
