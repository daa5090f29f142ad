/* chart.h - one question as a picture, in SVG, readable in light and dark: as bars (chart.c), or over the size as lines
 * (chart_growth.c). */
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include <stdio.h>

#include "results.h"

#define CHART_WIDTH 820

/* Draws the figures of `of`'s workload, size and metric. */
void chart_write(FILE *out, const struct results *results, const struct figure *of);

/* Draws those of all sizes; there must be two of one peer, which chart_has_growth() says. */
bool chart_has_growth(const struct results *results, const struct figure *of);
void chart_growth_write(FILE *out, const struct results *results, const struct figure *of);

/* What both have: the open element, the background, the question, what is put behind it and a line below it. */
void chart_begin(FILE *out, int height, const struct figure *of, const char *behind,
                 const char *below);

/* Text as it may stand in XML. */
void xml_text(FILE *out, const char *text);

#endif
