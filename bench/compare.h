/* compare.h - see compare.c. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

/* Prints B's figures beside A's. -1 with words. */
int compare_files(const char *a_path, const char *b_path);

#endif
