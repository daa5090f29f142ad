/* progress.c - one line on stderr, written over and over: part done, time left, what runs. The time left takes all
 * work for equally quick, which it is not: it is told in steps as coarse as it is sure. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "bench.h"

#define SURE_AFTER_NS 3000000000 /* earlier, the time of so little says nothing */

void progress_left(const struct progress *progress, int64_t now_ns, char *out, size_t size)
{
    double took_ns = (double)(now_ns - progress->start_ns);
    double left_s = took_ns * (progress->work - progress->done) / progress->done / 1e9;
    if (took_ns < SURE_AFTER_NS || !(progress->done > 0))
        snprintf(out, size, "time left unknown yet");
    else if (left_s < 90)
        snprintf(out, size, "about %.0f s left", left_s < 10 ? 10 : left_s);
    else if (left_s < 90 * 60)
        snprintf(out, size, "about %.0f min left", left_s / 60);
    else
        snprintf(out, size, "about %.1f h left", left_s / 3600);
}

void progress_show(const struct progress *progress, const char *what)
{
    char left[64];
    if (!isatty(STDERR_FILENO))
        return;
    progress_left(progress, bench_now_ns(), left, sizeof left);
    fprintf(stderr, "\r\033[K%2.0f %%, %s: %s ", 100 * progress->done / progress->work, left, what);
}

void progress_clear(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
