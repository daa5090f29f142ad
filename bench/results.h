/* results.h - figures: what was measured, of whom, at which size, how often. */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SAMPLES_MAX 64
#define NAME_BYTES 64
#define TITLE_BYTES 128

enum metric {
    METRIC_RATE,          /* records or messages a second */
    METRIC_EACH_NS,       /* an operation */
    METRIC_P50_NS,        /* of single operations' times */
    METRIC_P99_NS,        /**/
    METRIC_P999_NS,       /**/
    METRIC_MAX_NS,        /**/
    METRIC_CPU_NS,        /* of all threads, an operation */
    METRIC_RSS_BYTES,     /* anonymous resident memory, the largest sample */
    METRIC_WRITTEN_BYTES, /* by write calls, an operation */
    METRIC_DISK_BYTES,    /* allocated, a record */
    METRIC_SWITCHES,      /* voluntary context switches, a second */
    METRIC_COUNT
};
#define METRIC_BIT(metric) (1u << (metric))

struct metric_kind {
    const char *name;
    const char *unit;
    const char *label;    /* an axis' text */
    const char *question; /* a chart's title, where another metric has the workload's own */
    bool is_more_better;
};
extern const struct metric_kind bench_metrics[METRIC_COUNT];

struct figure {
    char workload[NAME_BYTES];
    char question[TITLE_BYTES];
    char peer[NAME_BYTES];
    char title[TITLE_BYTES];
    bool is_ours;
    uint64_t size; /* records, as --size gave it */
    enum metric metric;
    unsigned charts; /* of the workload */
    unsigned count;
    double samples[SAMPLES_MAX]; /* in the order taken */
};

struct growth {
    char workload[NAME_BYTES];
    char peer[NAME_BYTES];
    enum metric metric;
    double exponent; /* of time or bytes an operation over the size: 0 is flat, 1 linear */
};

struct results {
    struct figure *figures;
    size_t count, capacity;
};

/* The new figure, zeroed; NULL: no memory. */
struct figure *results_add(struct results *results);
void results_free(struct results *results);
/* The figure of the same workload, size, peer and metric; NULL: none. */
const struct figure *results_find(const struct results *results, const struct figure *like);
/* The figure of our side that this one is compared with: same workload, size and metric; NULL: none, or itself. */
const struct figure *results_ours(const struct results *results, const struct figure *figure);
/* The exponent of a workload's metric over its sizes, by least squares through the logarithms of the medians. False:
 * fewer than two sizes. Given for the first figure of a series alone, so that it is told once. */
bool results_growth(const struct results *results, const struct figure *first, struct growth *out);

/* json_line.c: one figure as a line, and back. */
void json_put_string(FILE *out, const char *text);
void json_put_figure(FILE *out, const struct results *results, const struct figure *figure);
void json_put_growth(FILE *out, const struct growth *growth);
/* Reads the figures of a file of lines; others are passed over. -1 with words. */
int results_read(const char *path, struct results *results);

/* --- statistics.c --- */

double median_of(const double *samples, unsigned count);
double min_of(const double *samples, unsigned count);
double max_of(const double *samples, unsigned count);

/* a's median / b's, and the 95 % interval by 2,000 bootstrap resamples of both, from a fixed seed. */
struct ratio {
    double value, low, high;
};
struct ratio ratio_of(const double *a, unsigned a_count, const double *b, unsigned b_count);

/* Slope of log y over log x. */
double exponent_of(const double *x, const double *y, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
