/* main.c - serverlog-bench: the command.
 *
 *     serverlog-bench list
 *     serverlog-bench run [NAME...] [--peers A,B] [--size N,N] [--repeat K] [--limit S] [--json] [--out DIR]
 *                         [--dir DIR] [--input FILE]
 *     serverlog-bench compare A.jsonl B.jsonl
 *
 * Exit status: 0 done; 1 something failed, what could be measured was; 2 usage. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "compare.h"
#include "page.h"
#include "plan.h"
#include "report.h"

#define SIZE_MAX_RECORDS UINT64_C(10000000000)
#define LIMIT_S_MAX 86400
#define SIZES_WANTED "up to 8 numbers in digits, ascending, with commas, from 16 to 10000000000"

static int usage(FILE *out)
{
    fputs(
        "usage: serverlog-bench list\n"
        "       serverlog-bench run [NAME...] [options]\n"
        "       serverlog-bench compare A.jsonl B.jsonl\n"
        "\n"
        "NAME is a workload of `list`, or the part of it before the slash; none: all.\n"
        "  --peers A,B    only these beside ours\n"
        "  --size N,N     records, 16 and more; ascending (100000,1000000)\n"
        "  --repeat K     measurements of each, 2 to 64 (5)\n"
        "  --limit S      seconds for one, 1 to 86400 (300): a peer that takes longer is too slow\n"
        "  --json         JSON lines instead of a table\n"
        "  --out DIR      results.jsonl, charts (SVG) and index.html\n"
        "  --dir DIR      where stores are made: on the disk to be measured (.)\n"
        "  --input FILE   lines of your own log instead of made ones\n",
        out);
    return out == stdout ? 0 : 2;
}

/* A line for each peer that is not there. */
static void tell_left_out(FILE *out)
{
    for (const struct left_out *it = bench_left_out; it->name; it++)
        fprintf(out, "left out: %s: %s\n", it->name, it->why);
    for (size_t i = 0; bench_peers[i]; i++)
        if (bench_peers[i]->is_here && !bench_peers[i]->is_here())
            fprintf(out, "left out: %s: its program is not installed\n", bench_peers[i]->name);
}

/* A line for each peer that was asked for and has no part in what is to run. */
static void tell_no_part(const struct settings *settings)
{
    for (size_t i = 0; settings->peers && bench_peers[i]; i++) {
        bool has_part = bench_peers[i]->is_ours || !run_wants_peer(settings, bench_peers[i]);
        for (size_t w = 0; bench_workload(w) && !has_part; w++)
            has_part = run_wants_workload(settings, bench_workload(w)) &&
                       bench_workload(w)->fits(bench_peers[i]);
        if (!has_part)
            fprintf(stderr, "left out: %s: it has no part in these workloads\n",
                    bench_peers[i]->name);
    }
}

static void list(void)
{
    for (size_t i = 0; bench_workload(i); i++)
        printf("%-22s %s\n", bench_workload(i)->name, bench_workload(i)->question);
    puts("\nPeers:");
    for (size_t i = 0; bench_peers[i]; i++)
        if (!bench_peers[i]->is_here || bench_peers[i]->is_here())
            printf("%-22s %s (%s)\n", bench_peers[i]->name, bench_peers[i]->title,
                   bench_peers[i]->version ? bench_peers[i]->version() : "a program");
    tell_left_out(stdout);
}

static bool read_sizes(const char *text, struct settings *settings)
{
    settings->size_count = 0;
    for (const char *at = text;; at++) {
        char *end;
        uint64_t size = strtoull(at, &end, 10);
        unsigned n = settings->size_count;
        if (end == at || *at == '-' || n == SIZES_MAX || size < PLAN_RECORDS_MIN ||
            size > SIZE_MAX_RECORDS || (n > 0 && size <= settings->sizes[n - 1]))
            return false;
        settings->sizes[settings->size_count++] = size;
        at = end;
        if (*at == 0)
            return true;
        if (*at != ',')
            return false;
    }
}

/* Every name must be something's. */
static bool check_names(const struct settings *settings)
{
    for (int i = 0; i < settings->name_count; i++) {
        struct settings one = { .names = settings->names + i, .name_count = 1 };
        bool is_known = false;
        for (size_t k = 0; bench_workload(k); k++)
            is_known |= run_wants_workload(&one, bench_workload(k));
        if (!is_known) {
            fprintf(stderr, "serverlog-bench: no workload %s; see serverlog-bench list\n",
                    settings->names[i]);
            return false;
        }
    }
    char *peers = settings->peers ? strdup(settings->peers) : NULL;
    bool is_known = true;
    for (char *rest = peers, *name; is_known && peers && (name = strsep(&rest, ","));) {
        is_known = false;
        for (size_t i = 0; bench_peers[i]; i++)
            is_known |= strcmp(bench_peers[i]->name, name) == 0;
        if (!is_known)
            fprintf(stderr, "serverlog-bench: no peer %s; see serverlog-bench list\n", name);
    }
    free(peers);
    return is_known;
}

struct output {
    const struct settings *settings;
    FILE *file; /* results.jsonl; NULL: none */
};

static void put_figures(const struct results *results, size_t first, void *user)
{
    const struct output *output = user;
    for (size_t i = first; i < results->count; i++) {
        if (output->settings->is_json)
            json_put_figure(stdout, results, &results->figures[i]);
        if (output->file)
            json_put_figure(output->file, results, &results->figures[i]);
    }
    if (!output->settings->is_json)
        report_figures(stdout, results, first);
    fflush(stdout);
}

static void put_growth(const struct output *output, const struct results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        struct growth growth;
        if (!results_growth(results, &results->figures[i], &growth))
            continue;
        if (output->settings->is_json)
            json_put_growth(stdout, &growth);
        if (output->file)
            json_put_growth(output->file, &growth);
    }
    if (!output->settings->is_json)
        report_growth(stdout, results);
}

/* The directory's results.jsonl, whose lines are there as they come. Those of another run are not written over. */
static FILE *open_results(const char *directory)
{
    char *path, words[320];
    mkdir(directory, 0777);
    FILE *file = asprintf(&path, "%s/results.jsonl", directory) < 0 ? NULL : fopen(path, "wxe");
    if (file)
        setlinebuf(file);
    snprintf(words, sizeof words,
             "%.200s holds results of another run: remove them, or give another --out", directory);
    if (!file && errno == EEXIST)
        bench_fail(words);
    else if (!file)
        bench_fail_at("write results.jsonl into", directory);
    free(path);
    return file;
}

static int run(const struct settings *settings)
{
    struct results results = { 0 };
    struct environment environment;
    struct output output = { .settings = settings };
    if (access(settings->directory, W_OK | X_OK) != 0)
        return -bench_fail_at("make stores in", settings->directory);
    environment_get(settings->directory, &environment);
    if (settings->out) {
        output.file = open_results(settings->out);
        if (!output.file)
            return 1;
        json_put_environment(output.file, settings, &environment);
    }
    tell_left_out(stderr);
    tell_no_part(settings);
    if (settings->is_json)
        json_put_environment(stdout, settings, &environment);
    else
        report_environment(stdout, settings, &environment);
    int rc = run_all(settings, &results, put_figures, &output);
    put_growth(&output, &results);
    if (child_is_interrupted())
        bench_fail("interrupted: the figures are of the turns that had ended");
    bool has_holes = output.file && ferror(output.file) != 0;
    if (output.file && (fclose(output.file) != 0 || has_holes))
        rc = bench_fail("results.jsonl is not whole");
    if (settings->out && page_write(settings, &environment, &results) != 0)
        rc = -1;
    results_free(&results);
    return rc == 0 ? 0 : 1;
}

static bool read_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (unsigned)value;
    return end != text && *end == 0 && *text != '-' && value >= min && value <= max;
}

/* Always false. */
static bool refuse(const char *option, const char *wanted)
{
    fprintf(stderr, "serverlog-bench: %s %s: it takes %s\n", option, optarg, wanted);
    return false;
}

/* False: not understood. */
static bool read_option(int c, struct settings *settings)
{
    switch (c) {
    case 'p':
        settings->peers = optarg;
        return true;
    case 's':
        return read_sizes(optarg, settings) || refuse("--size", SIZES_WANTED);
    case 'k':
        return read_number(optarg, 2, SAMPLES_MAX, &settings->repeat) ||
               refuse("--repeat", "a number from 2 to 64");
    case 'l':
        return read_number(optarg, 1, LIMIT_S_MAX, &settings->limit_s) ||
               refuse("--limit", "seconds, 1 to 86400");
    case 'j':
        settings->is_json = true;
        return true;
    case 'o':
        settings->out = optarg;
        return true;
    case 'd':
        settings->directory = optarg;
        return true;
    case 'i':
        settings->input = optarg;
        return true;
    default:
        return false;
    }
}

static int act(const char *verb, const struct settings *settings)
{
    if (strcmp(verb, "list") == 0 && settings->name_count == 0) {
        list();
        return 0;
    }
    if (strcmp(verb, "compare") == 0 && settings->name_count == 2)
        return compare_files(settings->names[0], settings->names[1]) == 0 ? 0 : 1;
    if (strcmp(verb, "run") != 0)
        return usage(stderr);
    return check_names(settings) ? run(settings) : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "peers", required_argument, NULL, 'p' },  { "size", required_argument, NULL, 's' },
        { "repeat", required_argument, NULL, 'k' }, { "limit", required_argument, NULL, 'l' },
        { "json", no_argument, NULL, 'j' },         { "out", required_argument, NULL, 'o' },
        { "dir", required_argument, NULL, 'd' },    { "input", required_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    struct settings settings = {
        .sizes = { 100000, 1000000 }, .size_count = 2, .repeat = 5, .limit_s = 300, .directory = "."
    };
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout);
        if (!read_option(c, &settings))
            return usage(stderr);
    }
    const char *verb = optind < argc ? argv[optind++] : "";
    settings.names = argv + optind;
    settings.name_count = argc - optind;
    int status = act(verb, &settings);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    bench_fail("what it had to say could not be written");
    return status == 0 ? 1 : status;
}
