/* compare.c - two results files, such as of two commits: which figures have moved, and how surely. */
#include "compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* The interval lies on one side of 1: by the samples, it is no chance. */
static const char *verdict(enum metric metric, struct ratio ratio, unsigned samples)
{
    bool is_more = ratio.low > 1, is_less = ratio.high < 1;
    if ((!is_more && !is_less) || fabs(ratio.value - 1) < MOVED_MIN)
        return "same";
    if (samples < MOVED_SAMPLES_MIN)
        return "few"; /* too few samples to say */
    return is_more == bench_metrics[metric].is_more_better ? "better" : "worse";
}

static void print_median(const struct figure *figure)
{
    char over[32];
    if (figure->limit_s == 0) {
        printf(" %14.6g", median_of(figure->samples, figure->count));
        return;
    }
    snprintf(over, sizeof over, "over %u s", figure->limit_s);
    printf(" %14s", over);
}

static void print_pair(const struct figure *a, const struct figure *b)
{
    printf("%-22s %10llu  %-20s %-8s", a->workload, (unsigned long long)a->size, a->peer,
           bench_metrics[a->metric].name);
    print_median(a);
    print_median(b);
    if (a->limit_s > 0 || b->limit_s > 0) {
        printf("  %8s  %s  %s\n", "-", "-",
               a->limit_s > 0 && b->limit_s > 0 ? "same"
               : b->limit_s > 0                 ? "worse"
                                                : "better");
        return;
    }
    struct ratio ratio = ratio_of(b->samples, b->count, a->samples, a->count);
    if (!isfinite(ratio.value)) { /* A's is 0 */
        printf("  %8s  %s  %s\n", "-", "-", median_of(b->samples, b->count) > 0 ? "moved" : "same");
        return;
    }
    unsigned samples = a->count < b->count ? a->count : b->count;
    printf("  %8.3f  %.3f-%.3f  %s\n", ratio.value, ratio.low, ratio.high,
           verdict(a->metric, ratio, samples));
}

static void print_origin(char name, const char *path, const struct origin *origin)
{
    printf("%c: %s", name, path);
    if (origin->commit[0])
        printf(": commit %s, %s, lines %s", origin->commit, origin->cpu,
               origin->input[0] ? origin->input : "not said");
    putchar('\n');
}

/* What moved may not be the code. */
static void print_origins(const char *a_path, const struct origin *a, const char *b_path,
                          const struct origin *b)
{
    print_origin('A', a_path, a);
    print_origin('B', b_path, b);
    if (strcmp(a->input, b->input) != 0)
        puts("NOT OF THE SAME LINES: what they take and how fast they go says nothing of the code");
    else if (strcmp(a->cpu, b->cpu) != 0)
        puts("NOT OF THE SAME MACHINE");
}

int compare_files(const char *a_path, const char *b_path)
{
    struct results a = { 0 }, b = { 0 };
    size_t pairs = 0;
    int rc = results_read(a_path, &a);
    if (rc == 0)
        rc = results_read(b_path, &b);
    if (rc == 0)
        print_origins(a_path, &a.origin, b_path, &b.origin);
    if (rc == 0)
        printf("%-22s %10s  %-20s %-8s %14s %14s  %8s  %s\n", "workload", "size", "peer", "metric",
               "A median", "B median", "B / A", "95 %");
    for (size_t i = 0; rc == 0 && i < a.count; i++) {
        const struct figure *other = results_find(&b, &a.figures[i]);
        if (!other)
            continue;
        print_pair(&a.figures[i], other);
        pairs++;
    }
    if (rc == 0)
        printf(
            "times in ns, memory in bytes; same: within the spread or %.0f %%; few: fewer than %d "
            "samples, too few to say\n",
            MOVED_MIN * 100, MOVED_SAMPLES_MIN);
    if (rc == 0 && pairs < a.count)
        printf("%zu of A's figures are not in B\n", a.count - pairs);
    if (rc == 0 && pairs == 0)
        rc = bench_fail("the files have no figure in common");
    results_free(&a);
    results_free(&b);
    return rc;
}
