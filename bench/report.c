/* report.c - the environment and the figures, for people to read. */
#define _GNU_SOURCE
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_commit.h"
#include "bench_config.h"

void report_number(char *out, size_t size, enum metric metric, double number)
{
    static const char *const counts[] = { "", " k", " M", " G" };
    static const char *const times[] = { " ns", " us", " ms", " s" };
    static const char *const bytes[] = { " B", " KiB", " MiB", " GiB" };
    const char *unit = bench_metrics[metric].unit;
    const char *const *steps = unit[0] == 'n' ? times : unit[0] == 'B' ? bytes : counts;
    if (strcmp(unit, "1") == 0) {
        snprintf(out, size, "%.2f", number);
        return;
    }
    double step = unit[0] == 'B' ? 1024 : 1000;
    unsigned i = 0;
    for (; i < 3 && fabs(number) >= step; i++)
        number /= step;
    bool is_whole = number >= 100 || (i == 0 && number >= 10) || number == 0;
    int digits = is_whole ? 0 : number >= 10 ? 1 : 2;
    snprintf(out, size, "%.*f%s%s", digits, number, steps[i],
             steps == counts ? (i ? "/s" : " /s") : "");
}

void report_count(char *out, size_t size, double count)
{
    static const char *const units[] = { "", " k", " M", " G" };
    unsigned i = 0;
    for (; i < 3 && count >= 1000; i++)
        count /= 1000;
    snprintf(out, size, "%.3g%s", count, units[i]);
}

/* Three digits, zeros at the end too. */
static void put_three_digits(char *out, size_t size, double number)
{
    int digits = 0;
    for (double bound = 99.95; number < bound && digits < 5; bound /= 10)
        digits++;
    snprintf(out, size, "%.*f", digits, number);
}

void report_ratio(char *out, size_t size, struct ratio ratio)
{
    char value[32], low[32], high[32];
    put_three_digits(value, sizeof value, ratio.value);
    put_three_digits(low, sizeof low, ratio.low);
    put_three_digits(high, sizeof high, ratio.high);
    snprintf(out, size, "%7s (%s-%s)", value, low, high);
}

void report_title(char *out, size_t size, const struct figure *figure)
{
    if (figure->metric == METRIC_WINDOW_RATE)
        snprintf(out, size, "%s, at %llu", figure->title, (unsigned long long)figure->size);
    else
        snprintf(out, size, "%s", figure->title);
}

void report_slow(char *out, size_t size, const struct figure *figure)
{
    int len = snprintf(out, size, "too slow: over %u s", figure->limit_s);
    if (figure->count > 0 && len > 0 && (size_t)len < size)
        snprintf(out + len, size - (size_t)len, ", after %u that ended", figure->count);
}

const char *report_input(const struct settings *settings)
{
    return settings->input ? settings->input : "made by templates";
}

void report_environment(FILE *out, const struct settings *settings,
                        const struct environment *environment)
{
    fprintf(out, "%s, %ld cores, governor %s, load %s; Linux %s, %s\n%s; %s; %s; commit %s\n",
            environment->cpu, environment->cores, environment->governor, environment->load,
            environment->kernel, environment->file_system, svl_build_info(), BENCH_COMPILER,
            BENCH_FLAGS, BENCH_COMMIT);
    const char *comma = "";
    for (size_t i = 0; bench_peers[i]; i++) {
        const struct peer *peer = bench_peers[i];
        if (!run_wants_peer(settings, peer))
            continue;
        fprintf(out, "%s%s", comma, peer->name);
        if (peer->version)
            fprintf(out, " %s", peer->version());
        comma = ", ";
    }
    fprintf(
        out,
        "\n%u times each, in turn, of lines %s; minimum, median, maximum; ratio = a table's first "
        "line / the line, with\nits 95 %% interval: ours is better above 1 in rates, below 1 in "
        "times and bytes\n",
        settings->repeat, report_input(settings));
}

void json_put_environment(FILE *out, const struct settings *settings,
                          const struct environment *environment)
{
    const char *const texts[][2] = { { "cpu", environment->cpu },
                                     { "governor", environment->governor },
                                     { "load", environment->load },
                                     { "kernel", environment->kernel },
                                     { "file_system", environment->file_system },
                                     { "library", svl_build_info() },
                                     { "compiler", BENCH_COMPILER },
                                     { "flags", BENCH_FLAGS },
                                     { "commit", BENCH_COMMIT },
                                     { "input", report_input(settings) } };
    fprintf(out, "{\"type\":\"environment\",\"format\":1,\"cores\":%ld,\"repeat\":%u",
            environment->cores, settings->repeat);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fprintf(out, ",\"%s\":", texts[i][0]);
        json_put_string(out, texts[i][1]);
    }
    fputs(",\"peers\":{", out);
    const char *comma = "";
    for (size_t i = 0; bench_peers[i]; i++) {
        if (!bench_peers[i]->version || !run_wants_peer(settings, bench_peers[i]))
            continue;
        fputs(comma, out);
        json_put_string(out, bench_peers[i]->name);
        putc(':', out);
        json_put_string(out, bench_peers[i]->version());
        comma = ",";
    }
    fputs("}}\n", out);
}

/* The metrics without a line of their own, behind the first one's: medians, of `max` the maximum; a 0 is not told. */
static void print_others(FILE *out, const struct results *results, size_t first,
                         const struct figure *of)
{
    char number[32];
    for (size_t i = first; i < results->count; i++) {
        const struct figure *it = &results->figures[i];
        if (strcmp(it->peer, of->peer) != 0 || it->charts & METRIC_BIT(it->metric) ||
            it->metric == METRIC_RATE || it->metric == METRIC_EACH_NS)
            continue;
        double value = it->metric == METRIC_MAX_NS ? max_of(it->samples, it->count)
                                                   : median_of(it->samples, it->count);
        report_number(number, sizeof number, it->metric, value);
        if (value > 0)
            fprintf(out, "  %s %s", bench_metrics[it->metric].name, number);
    }
}

static void print_figure(FILE *out, const struct results *results, const struct figure *figure)
{
    char min[32], median[32], max[32], title[TITLE_BYTES + 32];
    struct ratio ratio;
    report_title(title, sizeof title, figure);
    fprintf(out, "    %-36s %-8s ", title, bench_metrics[figure->metric].name);
    if (figure->limit_s > 0) {
        report_slow(title, sizeof title, figure);
        fputs(title, out);
        return;
    }
    report_number(min, sizeof min, figure->metric, min_of(figure->samples, figure->count));
    report_number(median, sizeof median, figure->metric, median_of(figure->samples, figure->count));
    report_number(max, sizeof max, figure->metric, max_of(figure->samples, figure->count));
    fprintf(out, "%11s %11s %11s", min, median, max);
    if (results_ratio(results, figure, &ratio)) {
        report_ratio(title, sizeof title, ratio);
        fprintf(out, "  %s", title);
    } else
        fprintf(out, "  %7s", "");
    if (figure->is_ours && figure->bound > 0) {
        report_number(min, sizeof min, figure->metric, figure->bound);
        fprintf(out, "  to keep to: %s", min);
    }
}

/* Of the tenths of a growing store the first and the last stand for all. */
static bool is_between(const struct figure *figure, const struct figure *head)
{
    return figure->metric == METRIC_WINDOW_RATE && figure->size != head->size &&
           figure->size != head->size / WINDOWS;
}

void report_figures(FILE *out, const struct results *results, size_t first)
{
    if (first == results->count)
        return;
    const struct figure *head = &results->figures[first];
    unsigned left = head->charts;
    fprintf(out, "\n%s: %s (%llu)\n    %-36s %-8s %11s %11s %11s  %s\n", head->workload,
            head->question, (unsigned long long)head->size, "", "", "minimum", "median", "maximum",
            "  ratio");
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        bool is_first = left == head->charts;
        if (!(left & METRIC_BIT(m)))
            continue;
        left &= ~METRIC_BIT(m);
        for (size_t i = first; i < results->count; i++) {
            if (results->figures[i].metric != (enum metric)m ||
                is_between(&results->figures[i], head))
                continue;
            print_figure(out, results, &results->figures[i]);
            if (is_first)
                print_others(out, results, first, &results->figures[i]);
            putc('\n', out);
        }
    }
    fflush(out);
}

void report_growth(FILE *out, const struct results *results)
{
    bool has_title = false;
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *figure = &results->figures[i];
        struct growth growth;
        if (!(figure->charts & METRIC_BIT(figure->metric)) ||
            !results_growth(results, figure, &growth))
            continue;
        if (!has_title)
            fputs("\nGrowth of the cost of an operation with the size: exponent, 0 = flat, 1 = "
                  "linear\n",
                  out);
        has_title = true;
        fprintf(out, "    %-18s %-22s %-8s %6.2f\n", growth.workload, figure->peer,
                bench_metrics[growth.metric].name, growth.exponent);
    }
}
