/* main.c - serverlog-bench: runs workloads beside their peers, in turn, and prints the figures.
 *
 *     serverlog-bench list
 *     serverlog-bench run [NAME...] [--records N] [--repeat K] [--json] [--dir DIRECTORY] */
#define _GNU_SOURCE
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

int64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t bench_fail(const char *what)
{
    fprintf(stderr, "serverlog-bench: %s\n", what);
    return -1;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void bench_remove(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *bench_path(const struct settings *settings, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/serverlog-bench-%d-%s", settings->directory, (int)getpid(),
             name);
    bench_remove(path);
    return path;
}

static void progress(const struct settings *settings, const struct workload *workload,
                     unsigned round)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s: round %u of %u ", workload->name, round + 1, settings->repeat);
}

/* Ours, theirs, ours, theirs ...: both see the same weather. */
static int run_workload(const struct settings *all, const struct workload *workload)
{
    struct settings settings = *all;
    struct samples samples[3] = { { .count = 0 } };
    settings.records = all->records / workload->divisor;
    if (settings.records < 64)
        settings.records = 64;
    for (unsigned round = 0; round < settings.repeat; round++) {
        progress(&settings, workload, round);
        for (int side = 0; side < 3 && workload->sides[side].name; side++) {
            int64_t ns = workload->sides[side].work(&settings);
            if (ns <= 0)
                return -1;
            double each = (double)ns / (double)settings.records;
            samples[side].values[samples[side].count++] = workload->is_rate ? 1e9 / each : each;
        }
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    for (int side = 0; side < 3 && workload->sides[side].name; side++)
        report_side(&settings, workload, &workload->sides[side], &samples[0], &samples[side]);
    fflush(stdout);
    return 0;
}

static bool is_wanted(const struct workload *workload, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], workload->name) == 0)
            return true;
    return count == 0;
}

/* 0, or 2 when a name is no workload's. */
static int check_names(char **names, int count)
{
    for (int i = 0; i < count; i++) {
        bool found = false;
        for (size_t k = 0; k < workload_count; k++)
            found |= is_wanted(&workloads[k], names + i, 1);
        if (!found) {
            fprintf(stderr, "serverlog-bench: no workload %s; see serverlog-bench list\n",
                    names[i]);
            return 2;
        }
    }
    return 0;
}

static int list(void)
{
    for (size_t i = 0; i < workload_count; i++)
        printf("%-4s %s\n", workloads[i].name, workloads[i].what);
    return 0;
}

static int usage(FILE *out)
{
    fputs("usage: serverlog-bench list\n"
          "       serverlog-bench run [NAME...] [--records N] [--repeat K] [--json] [--dir "
          "DIRECTORY]\n",
          out);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "records", required_argument, NULL, 'n' }, { "repeat", required_argument, NULL, 'k' },
        { "json", no_argument, NULL, 'j' },          { "dir", required_argument, NULL, 'd' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 }
    };
    struct settings settings = { .records = 1000000, .repeat = 5, .directory = "." };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'n')
            settings.records = strtoull(optarg, NULL, 10);
        else if (c == 'k')
            settings.repeat = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'j')
            settings.json = true;
        else if (c == 'd')
            settings.directory = optarg;
        else
            return usage(c == 'h' ? stdout : stderr);
    }
    if (optind < argc && strcmp(argv[optind], "list") == 0)
        return list();
    if (optind >= argc || strcmp(argv[optind], "run") != 0 || settings.records == 0 ||
        settings.repeat == 0 || settings.repeat > SAMPLES_MAX)
        return usage(stderr);
    if (check_names(argv + optind + 1, argc - optind - 1) != 0)
        return 2;
    report_environment(&settings);
    int rc = 0;
    for (size_t i = 0; i < workload_count && rc == 0; i++)
        if (is_wanted(&workloads[i], argv + optind + 1, argc - optind - 1))
            rc = run_workload(&settings, &workloads[i]);
    return rc == 0 ? 0 : 1;
}
