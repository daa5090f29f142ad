/* rings.c - where the crash rings of our pipelines are: in a directory of the run's, so that none is left of a
 * measurement that was cut off. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

static char directory[64]; /* empty: the library's own */

void bench_rings_begin(void)
{
    snprintf(directory, sizeof directory, "/dev/shm/serverlog-bench-%d", (int)getpid());
    if (mkdir(directory, 0700) != 0)
        directory[0] = 0;
}

void bench_rings_end(void)
{
    if (directory[0])
        bench_remove(directory);
    directory[0] = 0;
}

int bench_open_pipeline(const char *path, svl_pipeline **out)
{
    svl_options options;
    int rc = svl_options_init(&options, sizeof options);
    if (rc == SVL_OK && directory[0])
        options.ring_directory = directory;
    return rc == SVL_OK ? svl_open(path, &options, out) : rc;
}
