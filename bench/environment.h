/* environment.h - what a figure depends on besides the code. */
#ifndef BENCH_ENVIRONMENT_H
#define BENCH_ENVIRONMENT_H

#include <stddef.h>

struct environment {
    char cpu[128];
    long cores;
    char kernel[128];
    char governor[64];    /* of the first core; "unknown" where the kernel does not say */
    char file_system[64]; /* of the directory that stores lie in */
    char load[32];        /* average of the last minute, at the start: others at work */
};

void environment_get(const char *directory, struct environment *out);

#endif
