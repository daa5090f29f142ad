/* report.c - figures as a table for people, as JSON lines for programs. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

static void cpu_name(char *out, size_t size)
{
    snprintf(out, size, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = 0;
            snprintf(out, size, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

void report_environment(const struct settings *settings)
{
    char cpu[128];
    struct utsname system;
    cpu_name(cpu, sizeof cpu);
    uname(&system);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (settings->json)
        printf(
            "{\"cpu\":\"%s\",\"cores\":%ld,\"kernel\":\"%s\",\"library\":\"%s\",\"records\":%llu,"
            "\"repeat\":%u}\n",
            cpu, cores, system.release, svl_build_info(), (unsigned long long)settings->records,
            settings->repeat);
    else
        printf("%s, %ld cores, Linux %s\n%s\n%llu records, %u times each, sides in turn\n\n"
               "%-4s %-34s %14s %14s %14s  %s\n",
               cpu, cores, system.release, svl_build_info(), (unsigned long long)settings->records,
               settings->repeat, "", "", "minimum", "median", "maximum", "ours / theirs (medians)");
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct samples *s)
{
    return s->count % 2 ? s->values[s->count / 2]
                        : (s->values[s->count / 2 - 1] + s->values[s->count / 2]) / 2;
}

void report_side(const struct settings *settings, const struct workload *workload,
                 const struct peer *peer, const struct samples *ours, struct samples *samples)
{
    qsort(samples->values, samples->count, sizeof *samples->values, compare);
    double min = samples->values[0], max = samples->values[samples->count - 1];
    double ratio = ours == samples ? 1 : median(ours) / median(samples);
    if (settings->json) {
        printf("{\"workload\":\"%s\",\"side\":\"%s\",\"unit\":\"%s\",\"min\":%.1f,\"median\":%.1f,"
               "\"max\":%.1f,\"ratio\":%.3f}\n",
               workload->name, peer->name, workload->unit, min, median(samples), max, ratio);
        return;
    }
    printf("%-4s %-34s %14.0f %14.0f %14.0f  %-6s", ours == samples ? workload->name : "",
           peer->name, min, median(samples), max, workload->unit);
    if (ours != samples)
        printf("%8.2f", ratio);
    putchar('\n');
}
