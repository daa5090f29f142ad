/* compare.c - two results files, such as of two commits: which figures have moved, and how surely. */
#include "compare.h"

#include <stdio.h>
#include <string.h>

#include "bench.h"

/* The interval lies on one side of 1: by the samples, it is no chance. */
static const char *verdict(enum metric metric, struct ratio ratio)
{
    bool is_more = ratio.low > 1, is_less = ratio.high < 1;
    if (!is_more && !is_less)
        return "same";
    return is_more == bench_metrics[metric].is_more_better ? "better" : "worse";
}

static void print_pair(const struct figure *a, const struct figure *b)
{
    struct ratio ratio = ratio_of(b->samples, b->count, a->samples, a->count);
    printf("%-18s %9llu  %-20s %-8s %14.6g %14.6g  %8.3f  %.3f-%.3f  %s\n", a->workload,
           (unsigned long long)a->size, a->peer, bench_metrics[a->metric].name,
           median_of(a->samples, a->count), median_of(b->samples, b->count), ratio.value, ratio.low,
           ratio.high, verdict(a->metric, ratio));
}

int compare_files(const char *a_path, const char *b_path)
{
    struct results a = { 0 }, b = { 0 };
    size_t pairs = 0;
    int rc = results_read(a_path, &a);
    if (rc == 0)
        rc = results_read(b_path, &b);
    if (rc == 0)
        printf("%-18s %9s  %-20s %-8s %14s %14s  %8s  %s\n", "workload", "size", "peer", "metric",
               "A median", "B median", "B / A", "95 %");
    for (size_t i = 0; rc == 0 && i < a.count; i++) {
        const struct figure *other = results_find(&b, &a.figures[i]);
        if (!other)
            continue;
        print_pair(&a.figures[i], other);
        pairs++;
    }
    if (rc == 0 && pairs < a.count)
        printf("%zu of A's figures are not in B\n", a.count - pairs);
    if (rc == 0 && pairs == 0)
        rc = bench_fail("the files have no figure in common");
    results_free(&a);
    results_free(&b);
    return rc;
}
