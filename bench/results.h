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
    METRIC_WRITTEN_BYTES, /* handed to write calls (wchar), an operation */
    METRIC_DIRTIED_BYTES, /* of pages of files, by calls and mappings (write_bytes), an operation */
    METRIC_DISK_BYTES,    /* allocated beyond what an empty store has, a record */
    METRIC_WHOLE_BYTES,   /* allocated, the store */
    METRIC_WINDOW_RATE,   /* records a second, in the part that ends at the figure's size */
    METRIC_KEPT,          /* the last part's rate over the first one's */
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
    uint64_t size; /* records, as --size gave it; of METRIC_WINDOW_RATE: those that are there */
    enum metric metric;
    unsigned charts;             /* of the workload */
    double bound;                /* what ours is to keep to; 0: none */
    unsigned limit_s;            /* one took longer, was ended and was the last; 0: none did */
    unsigned count;              /* 0 only with limit_s */
    double samples[SAMPLES_MAX]; /* in the order taken */
};

struct growth {
    char workload[NAME_BYTES];
    char peer[NAME_BYTES];
    enum metric metric;
    double exponent; /* of time or bytes an operation over the size: 0 is flat, 1 linear */
};

/* a's median / b's, and the 95 % interval by 2,000 bootstrap resamples of both, from a fixed seed. */
struct ratio {
    double value, low, high;
};

/* Where a file's figures come from; empty where it does not say. */
struct origin {
    char commit[NAME_BYTES], cpu[TITLE_BYTES], input[TITLE_BYTES];
};

struct results {
    struct figure *figures;
    size_t count, capacity;
    struct origin origin; /* of those that were read */
};

/* The new figure, zeroed; NULL: no memory. */
struct figure *results_add(struct results *results);
void results_free(struct results *results);
/* The figure of the same workload, size, peer and metric; NULL: none. */
const struct figure *results_find(const struct results *results, const struct figure *like);
/* Ours over this one, where ours has the same workload, size and metric, and both came to an end. False: it is none,
 * or ours itself, or theirs is 0. */
bool results_ratio(const struct results *results, const struct figure *figure, struct ratio *out);
/* A workload's metric of one peer over the sizes that have a positive median, ascending: how many, from the series'
 * first figure alone; of any other it is 0, so that a series is told once. */
#define SERIES_MAX 16
unsigned results_series(const struct results *results, const struct figure *first,
                        double sizes[SERIES_MAX], double medians[SERIES_MAX]);
/* The exponent of its cost, by least squares through the logarithms. False: fewer than two sizes. */
bool results_growth(const struct results *results, const struct figure *first, struct growth *out);

/* json_line.c: one figure as a line, and back. */
void json_put_string(FILE *out, const char *text);
void json_put_figure(FILE *out, const struct results *results, const struct figure *figure);
void json_put_growth(FILE *out, const struct growth *growth);
/* Reads the figures of a file of lines; others are passed over. -1 with words. */
int results_read(const char *path, struct results *results);

/* --- statistics.c --- */

/* Below it a difference that repeats is not one that anybody sees; and of fewer samples an interval is two of them. */
#define MOVED_MIN 0.01
#define MOVED_SAMPLES_MIN 4

/* NAN of none. */
double median_of(const double *samples, unsigned count);
double min_of(const double *samples, unsigned count);
double max_of(const double *samples, unsigned count);

struct ratio ratio_of(const double *a, unsigned a_count, const double *b, unsigned b_count);

/* Slope of log y over log x. */
double exponent_of(const double *x, const double *y, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
