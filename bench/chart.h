/* chart.h - one question as bars, in SVG; see chart.c. */
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include <stdio.h>

#include "results.h"

/* Draws the figures of `of`'s workload, size and metric. */
void chart_write(FILE *out, const struct results *results, const struct figure *of);

/* Text as it may stand in XML. */
void xml_text(FILE *out, const char *text);

#endif
