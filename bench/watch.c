/* watch.c - clocks and the kernel's counters of this process. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

int64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t of_timeval(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

static int64_t cpu_ns(void)
{
    int64_t sum = 0;
    for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
        struct rusage usage;
        if (getrusage(who, &usage) == 0)
            sum += of_timeval(usage.ru_utime) + of_timeval(usage.ru_stime);
    }
    return sum;
}

/* The number behind `name` in a file of /proc; -1 where there is none. */
static int64_t proc_number(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char line[128];
    int64_t number = -1;
    while (f && number < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0 &&
            sscanf(line + strlen(name), ": %" SCNd64, &number) != 1)
            number = -1;
    if (f)
        fclose(f);
    return number;
}

void watch_start(struct watch *watch)
{
    watch->written = proc_number("/proc/self/io", "wchar");
    watch->dirtied = proc_number("/proc/self/io", "write_bytes");
    watch->cpu_ns = cpu_ns();
    watch->wall_ns = bench_now_ns();
}

void watch_stop(struct watch *watch, struct run *run, uint64_t operations)
{
    double n = (double)operations;
    double took_ns = (double)(bench_now_ns() - watch->wall_ns);
    run->metrics[METRIC_EACH_NS] = took_ns / n;
    run->metrics[METRIC_RATE] = n / took_ns * 1e9;
    run->metrics[METRIC_CPU_NS] = (double)(cpu_ns() - watch->cpu_ns) / n;
    if (run->peer->is_program)
        return; /* others wrote */
    int64_t written = proc_number("/proc/self/io", "wchar");
    int64_t dirtied = proc_number("/proc/self/io", "write_bytes");
    if (watch->written >= 0 && written >= 0)
        run->metrics[METRIC_WRITTEN_BYTES] = (double)(written - watch->written) / n;
    if (watch->dirtied >= 0 && dirtied >= 0)
        run->metrics[METRIC_DIRTIED_BYTES] = (double)(dirtied - watch->dirtied) / n;
}

uint64_t watch_rss_anon(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int64_t kib = proc_number(path, "RssAnon");
    return kib > 0 ? (uint64_t)kib * 1024 : 0;
}

uint64_t bench_sum(const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t sum = 0, word;
    for (; len >= sizeof word; at += sizeof word, len -= sizeof word) {
        memcpy(&word, at, sizeof word);
        sum += word;
    }
    for (; len > 0; len--)
        sum += *at++;
    return sum;
}
