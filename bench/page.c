/* page.c - index.html: the charts inline, then every figure in tables; nothing is loaded from elsewhere. And the charts
 * as files of their own, named by workload and metric. */
#define _GNU_SOURCE
#include "page.h"

#include <string.h>

#include "bench_commit.h"
#include "bench_config.h"
#include "chart.h"

static const char style[] =
    ":root{color-scheme:light dark}body{font:15px/1.5 "
    "system-ui,sans-serif;max-width:62rem;margin:2rem auto;"
    "padding:0 "
    "1rem;background:#fff;color:#1d2329}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}"
    "svg{max-width:100%;height:auto;display:block;margin:1rem "
    "0}table{border-collapse:collapse;font-size:.85rem}"
    "td,th{padding:.15rem .8rem .15rem 0;text-align:left;border-bottom:1px solid #dde3e8}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tr.ours{font-"
    "weight:600}"
    ".wide{overflow-x:auto}p.sub{color:#5b6670}"
    "@media(prefers-color-scheme:dark){body{background:#14181c;color:#e8ecef}td,th{border-color:#"
    "2b343c}"
    "p.sub{color:#a3adb5}}";

/* The largest size of a charted metric is the one that gets the chart; told once. */
static bool gets_chart(const struct results *results, size_t at)
{
    const struct figure *figure = &results->figures[at];
    if (!(figure->charts & METRIC_BIT(figure->metric)))
        return false;
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *it = &results->figures[i];
        if (it->metric != figure->metric || strcmp(it->workload, figure->workload) != 0)
            continue;
        if (it->size > figure->size || (it->size == figure->size && i < at))
            return false;
    }
    return true;
}

typedef void chart_fn(FILE *out, const struct results *results, const struct figure *of);

static int write_chart_file(const struct settings *settings, const struct results *results,
                            const struct figure *figure, chart_fn *draw, const char *suffix)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s-%s%s.svg", settings->out, figure->workload,
             bench_metrics[figure->metric].name, suffix);
    for (char *at = path + strlen(settings->out) + 1; *at; at++)
        if (*at == '/')
            *at = '-';
    FILE *f = fopen(path, "we");
    if (!f)
        return bench_fail("a chart cannot be written");
    draw(f, results, figure);
    return fclose(f) == 0 ? 0 : bench_fail("a chart is not whole");
}

static void put_environment(FILE *out, const struct settings *settings,
                            const struct environment *environment)
{
    fputs("<p class=\"sub\">", out);
    xml_text(out, environment->cpu);
    fprintf(out, ", %ld cores, governor %s, load %s. Linux %s, %s. ", environment->cores,
            environment->governor, environment->load, environment->kernel,
            environment->file_system);
    xml_text(out, svl_build_info());
    fprintf(out, ", commit %s, %s, %s.<br>", BENCH_COMMIT, BENCH_COMPILER, BENCH_FLAGS);
    for (size_t i = 0; bench_peers[i]; i++)
        if (bench_peers[i]->version && !bench_peers[i]->is_ours &&
            run_wants_peer(settings, bench_peers[i]) &&
            (!bench_peers[i]->is_here || bench_peers[i]->is_here()))
            fprintf(out, "%s %s, ", bench_peers[i]->name, bench_peers[i]->version());
    fprintf(
        out,
        "each measured %u times, in turn with ours. Bars are medians, thin lines go from the "
        "smallest to the largest. Ratio: ours / theirs, medians, with the 95 %% interval of 2,000 "
        "resamples: ours is better above 1 in rates, below 1 in times and bytes. How each was set "
        "up: bench/README.md. Lines: ",
        settings->repeat);
    xml_text(out, report_input(settings));
    fputs(".</p>\n", out);
}

static void put_row(FILE *out, const struct results *results, const struct figure *figure)
{
    char numbers[3][32];
    const double values[3] = { min_of(figure->samples, figure->count),
                               median_of(figure->samples, figure->count),
                               max_of(figure->samples, figure->count) };
    char text[TITLE_BYTES + 32];
    struct ratio ratio;
    fprintf(out, "<tr%s><td>%s<td class=\"n\">%llu<td>", figure->is_ours ? " class=\"ours\"" : "",
            figure->workload, (unsigned long long)figure->size);
    xml_text(out, figure->title);
    fprintf(out, "<td>%s", bench_metrics[figure->metric].label);
    if (figure->limit_s > 0) {
        report_slow(text, sizeof text, figure);
        fprintf(out, "<td colspan=\"5\">%s\n", text);
        return;
    }
    for (int i = 0; i < 3; i++) {
        report_number(numbers[i], sizeof numbers[i], figure->metric, values[i]);
        fprintf(out, "<td class=\"n\">%s", numbers[i]);
    }
    if (results_ratio(results, figure, &ratio)) {
        report_ratio(text, sizeof text, ratio);
        fprintf(out, "<td class=\"n\">%s", text);
    } else {
        fputs("<td>", out);
    }
    report_number(text, sizeof text, figure->metric, figure->bound);
    fprintf(out, "<td class=\"n\">%s\n", figure->is_ours && figure->bound > 0 ? text : "");
}

static void put_growth(FILE *out, const struct results *results)
{
    bool has_head = false;
    for (size_t i = 0; i < results->count; i++) {
        struct growth growth;
        if (!(results->figures[i].charts & METRIC_BIT(results->figures[i].metric)) ||
            !results_growth(results, &results->figures[i], &growth))
            continue;
        if (!has_head)
            fputs("<h2>Growth of an operation's cost with the size</h2>\n<p "
                  "class=\"sub\">Exponent: 0 is "
                  "flat, 1 linear.</p><div "
                  "class=\"wide\"><table><tr><th>workload<th>peer<th>metric<th "
                  "class=\"n\">exponent\n",
                  out);
        has_head = true;
        fprintf(out, "<tr%s><td>%s<td>", results->figures[i].is_ours ? " class=\"ours\"" : "",
                growth.workload);
        xml_text(out, results->figures[i].title);
        fprintf(out, "<td>%s<td class=\"n\">%.2f\n", bench_metrics[growth.metric].label,
                growth.exponent);
    }
    if (has_head)
        fputs("</table></div>\n", out);
}

int page_write(const struct settings *settings, const struct environment *environment,
               const struct results *results)
{
    char path[512];
    snprintf(path, sizeof path, "%s/index.html", settings->out);
    FILE *out = fopen(path, "we");
    if (!out)
        return bench_fail("index.html cannot be written");
    fprintf(out,
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width\"><title>serverlog-bench</title><style>%s</style>\n"
            "<h1>libserverlog beside others</h1>\n",
            style);
    put_environment(out, settings, environment);
    int rc = 0;
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *figure = &results->figures[i];
        if (!gets_chart(results, i))
            continue;
        chart_write(out, results, figure);
        if (write_chart_file(settings, results, figure, chart_write, "") != 0)
            rc = -1;
        if (!chart_has_growth(results, figure))
            continue;
        chart_growth_write(out, results, figure);
        if (write_chart_file(settings, results, figure, chart_growth_write, "-growth") != 0)
            rc = -1;
    }
    put_growth(out, results);
    fputs("<h2>All figures</h2>\n<div class=\"wide\"><table><tr><th>workload<th "
          "class=\"n\">size<th>peer<th>metric"
          "<th class=\"n\">minimum<th class=\"n\">median<th class=\"n\">maximum<th "
          "class=\"n\">ratio<th class=\"n\">to keep to\n",
          out);
    for (size_t i = 0; i < results->count; i++)
        put_row(out, results, &results->figures[i]);
    fputs("</table></div>\n</html>\n", out);
    return fclose(out) == 0 ? rc : bench_fail("index.html is not whole");
}
