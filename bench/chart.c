/* chart.c - a bar a peer, the best first, ours in colour; from zero, so that lengths may be compared; a thin line from
 * the smallest to the largest measurement, cut where that is far out; the median behind it as a number. What is to be
 * kept to is a dashed line. A peer that was too slow has words in place of its bar. */
#include "chart.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

#define BARS_MAX 32
#define LABEL_WIDTH 280
#define BAR_WIDTH 330
#define RANGE_WIDTH 370 /* a line that would be longer is cut, and its end told */
#define BAR_HEIGHT 18
#define BAR_STEP 30
#define TOP 64
#define BOTTOM 14

/* .p0 to .p5 are the peers' lines of a growth chart, by turns. */
static const char style[] =
    "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1d2329}"
    ".head{font-size:16px;font-weight:600}.sub{fill:#5b6670}.mine{font-weight:600}"
    ".back{fill:#fff}.ours{fill:#0969a8}.theirs{fill:#b4c1cb}"
    ".range{stroke:#46515a;stroke-width:1.5}.zero{stroke:#8b979f}.grid{stroke:#e3e8ec}"
    ".bound{stroke:#b3261e;stroke-dasharray:5 4}"
    ".line{fill:none;stroke-width:1.6}.p{stroke:#0969a8;stroke-width:3}"
    ".p0{stroke:#b0652d}.p1{stroke:#3f8f5b}.p2{stroke:#8a5fb0}.p3{stroke:#7d868d}"
    ".p4{stroke:#c2487c}.p5{stroke:#8a8a1f}"
    "@media(prefers-color-scheme:dark){text{fill:#e8ecef}.sub{fill:#a3adb5}.back{fill:#14181c}"
    ".ours{fill:#4cb0ee}.theirs{fill:#4a5864}.range{stroke:#ccd5dc}.zero{stroke:#6c7880}"
    ".grid{stroke:#2b343c}.bound{stroke:#ff8a80}.p{stroke:#4cb0ee}"
    ".p0{stroke:#e0a070}.p1{stroke:#7cc796}.p2{stroke:#bd9be0}.p3{stroke:#a3adb5}"
    ".p4{stroke:#ec8fb5}.p5{stroke:#c9c968}}";

void xml_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '"')
            fputs("&quot;", out);
        else
            putc(*text, out);
    }
}

static double median_of_figure(const struct figure *figure)
{
    return median_of(figure->samples, figure->count);
}

static int by_value(const void *a, const void *b)
{
    const struct figure *x = *(const struct figure *const *)a,
                        *y = *(const struct figure *const *)b;
    double left = median_of_figure(x), right = median_of_figure(y);
    if (x->limit_s > 0 || y->limit_s > 0)
        return (x->limit_s > 0) - (y->limit_s > 0);
    int order = (left > right) - (left < right);
    return bench_metrics[x->metric].is_more_better ? -order : order;
}

static unsigned collect(const struct results *results, const struct figure *of,
                        const struct figure *bars[BARS_MAX])
{
    unsigned count = 0;
    for (size_t i = 0; i < results->count && count < BARS_MAX; i++) {
        const struct figure *it = &results->figures[i];
        if (it->metric == of->metric && it->size == of->size &&
            strcmp(it->workload, of->workload) == 0)
            bars[count++] = it;
    }
    qsort(bars, count, sizeof *bars, by_value);
    return count;
}

static void draw_title(FILE *out, const struct figure *figure, double y)
{
    fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%.0f\" text-anchor=\"end\">",
            figure->is_ours ? "mine" : "their", LABEL_WIDTH - 10, y);
    xml_text(out, figure->title);
    fputs("</text>", out);
}

static void draw_slow(FILE *out, const struct figure *figure, unsigned row)
{
    char words[64];
    double y = TOP + row * (double)BAR_STEP + BAR_HEIGHT / 2.0 + 5;
    report_slow(words, sizeof words, figure);
    draw_title(out, figure, y);
    fprintf(out, "<text class=\"sub\" x=\"%d\" y=\"%.0f\">%s</text>\n", LABEL_WIDTH + 8, y, words);
}

static void draw_bar(FILE *out, const struct figure *figure, unsigned row, double scale)
{
    char number[32];
    double median = median_of_figure(figure), top = TOP + row * (double)BAR_STEP;
    double min = min_of(figure->samples, figure->count),
           max = max_of(figure->samples, figure->count);
    double length = median * scale, middle = top + BAR_HEIGHT / 2.0;
    bool is_cut = max * scale > RANGE_WIDTH;
    double range = is_cut ? RANGE_WIDTH : max * scale;
    report_number(number, sizeof number, figure->metric, median);
    draw_title(out, figure, middle + 5);
    fprintf(out, "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>",
            figure->is_ours ? "ours" : "theirs", LABEL_WIDTH, top, length < 1.5 ? 1.5 : length,
            BAR_HEIGHT);
    fprintf(out, "<line class=\"range\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
            LABEL_WIDTH + min * scale, LABEL_WIDTH + range, middle, middle);
    fprintf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.0f\">%s", figure->is_ours ? "mine" : "their",
            LABEL_WIDTH + range + 8, middle + 5, number);
    report_number(number, sizeof number, figure->metric, max);
    if (is_cut)
        fprintf(out, "<tspan class=\"sub\" dx=\"5\">to %s</tspan>", number);
    fputs("</text>\n", out);
}

/* Where it is within the picture; its number is in the line below the question. */
static void draw_bound(FILE *out, double at, int height)
{
    if (at > 0 && at <= RANGE_WIDTH)
        fprintf(out, "<line class=\"bound\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n",
                LABEL_WIDTH + at, LABEL_WIDTH + at, TOP - 6, height - BOTTOM);
}

/* The workload's own question is that of its first charted metric. */
static const char *question_of(const struct figure *figure)
{
    bool is_first = (figure->charts & (METRIC_BIT(figure->metric) - 1)) == 0;
    return is_first ? figure->question : bench_metrics[figure->metric].question;
}

void chart_begin(FILE *out, int height, const struct figure *of, const char *behind,
                 const char *below)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" role=\"img\"><style>%s</style>"
            "<rect class=\"back\" width=\"%d\" height=\"%d\"/>\n",
            CHART_WIDTH, height, CHART_WIDTH, height, style, CHART_WIDTH, height);
    fputs("<text class=\"head\" x=\"16\" y=\"26\">", out);
    xml_text(out, question_of(of));
    xml_text(out, behind);
    fputs("</text><text class=\"sub\" x=\"16\" y=\"46\">", out);
    xml_text(out, below);
    fputs("</text>\n", out);
}

static void describe(char *out, size_t size, const struct figure *of)
{
    char records[32], bound[32];
    report_count(records, sizeof records, (double)of->size);
    int len = snprintf(out, size, "%s: %s, %s is better; size %s", of->workload,
                       bench_metrics[of->metric].label,
                       bench_metrics[of->metric].is_more_better ? "more" : "less", records);
    report_number(bound, sizeof bound, of->metric, of->bound);
    if (of->bound > 0 && len > 0 && (size_t)len < size)
        snprintf(out + len, size - (size_t)len, "; ours is to keep to %s", bound);
}

void chart_write(FILE *out, const struct results *results, const struct figure *of)
{
    const struct figure *bars[BARS_MAX];
    char below[256];
    unsigned count = collect(results, of, bars);
    double longest = 0;
    for (unsigned i = 0; i < count; i++) {
        double median = median_of_figure(bars[i]);
        longest = bars[i]->limit_s == 0 && median > longest ? median : longest;
    }
    int height = TOP + (int)count * BAR_STEP + BOTTOM;
    double scale = longest > 0 ? BAR_WIDTH / longest : 0;
    describe(below, sizeof below, of);
    chart_begin(out, height, of, "", below);
    for (unsigned i = 0; i < count; i++) {
        if (bars[i]->limit_s > 0)
            draw_slow(out, bars[i], i);
        else
            draw_bar(out, bars[i], i, scale);
    }
    draw_bound(out, of->bound * scale, height);
    fprintf(out, "<line class=\"zero\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/></svg>\n",
            LABEL_WIDTH, LABEL_WIDTH, TOP - 6, height - BOTTOM);
}
