/* page.h - everything measured as one page; see page.c. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include "report.h"

/* Writes index.html and a file for each chart into the directory of --out. -1 with words. */
int page_write(const struct settings *settings, const struct environment *environment,
               const struct results *results);

#endif
