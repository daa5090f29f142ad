/* report.h - figures as a table for people; see report.c. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "environment.h"
#include "run.h"

void report_environment(FILE *out, const struct settings *settings,
                        const struct environment *environment);
void json_put_environment(FILE *out, const struct settings *settings,
                          const struct environment *environment);
/* The figures from `first` on, which are of one workload and size. */
void report_figures(FILE *out, const struct results *results, size_t first);
void report_growth(FILE *out, const struct results *results);
/* Of records: "100 k", "10 M". */
void report_count(char *out, size_t size, double count);
/* Whose it is, and where in a series. */
/* What `--input` says. */
const char *report_input(const struct settings *settings);
/* "1.30 (1.16-1.45)" */
void report_ratio(char *out, size_t size, struct ratio ratio);
void report_title(char *out, size_t size, const struct figure *figure);
/* "too slow: over 60 s", of a figure with limit_s. */
void report_slow(char *out, size_t size, const struct figure *figure);
/* A number with its unit, short: "4.2 M/s", "230 ns", "1.3 GiB". */
void report_number(char *out, size_t size, enum metric metric, double number);

#endif
