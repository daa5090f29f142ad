/* chart_growth.c - a line a peer over the size, both axes logarithmic, so that a power of the size is straight; ours
 * thick. A line's name and its exponent stand at its right end, pushed apart where lines meet. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "chart.h"
#include "report.h"

#define LINES_MAX 32
#define LEFT 84
#define RIGHT 520
#define TOP 66
#define BOTTOM 36
#define HEIGHT 400 /* more where the names need it */
#define NAME_STEP 18
#define TICK_STEP_MIN 48
#define COLOURS 6

struct line_of {
    const struct figure *figure; /* the first of the series */
    double sizes[SERIES_MAX], medians[SERIES_MAX];
    unsigned count;
    bool is_cut_off; /* too slow at a larger size */
    double name_y;
};

struct picture {
    struct line_of lines[LINES_MAX]; /* the highest end first */
    unsigned count;
    int height;
    double x_min, x_max, y_min, y_max; /* logarithms */
};

static bool is_too_slow(const struct results *results, const struct figure *of)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct figure *it = &results->figures[i];
        if (it->limit_s > 0 && it->metric == of->metric &&
            strcmp(it->workload, of->workload) == 0 && strcmp(it->peer, of->peer) == 0)
            return true;
    }
    return false;
}

static int by_end(const void *a, const void *b)
{
    const struct line_of *x = a, *y = b;
    double left = x->medians[x->count - 1], right = y->medians[y->count - 1];
    return (left < right) - (left > right);
}

static void collect(const struct results *results, const struct figure *of, struct picture *out)
{
    out->count = 0;
    for (size_t i = 0; i < results->count && out->count < LINES_MAX; i++) {
        const struct figure *it = &results->figures[i];
        struct line_of *line = &out->lines[out->count];
        if (it->metric != of->metric || strcmp(it->workload, of->workload) != 0)
            continue;
        line->figure = it;
        line->count = results_series(results, it, line->sizes, line->medians);
        line->is_cut_off = is_too_slow(results, it);
        out->count += line->count > 0;
    }
    qsort(out->lines, out->count, sizeof *out->lines, by_end);
}

bool chart_has_growth(const struct results *results, const struct figure *of)
{
    struct growth growth;
    for (size_t i = 0; i < results->count; i++)
        if (results->figures[i].metric == of->metric &&
            strcmp(results->figures[i].workload, of->workload) == 0 &&
            results_growth(results, &results->figures[i], &growth))
            return true;
    return false;
}

/* Whole decades would leave flat lines no height: a tenth of a decade is room around what there is. */
static void measure(struct picture *out, double bound)
{
    out->x_min = out->y_min = INFINITY;
    out->x_max = out->y_max = -INFINITY;
    for (unsigned i = 0; i < out->count; i++) {
        for (unsigned k = 0; k < out->lines[i].count; k++) {
            out->x_min = fmin(out->x_min, log10(out->lines[i].sizes[k]));
            out->x_max = fmax(out->x_max, log10(out->lines[i].sizes[k]));
            out->y_min = fmin(out->y_min, log10(out->lines[i].medians[k]));
            out->y_max = fmax(out->y_max, log10(out->lines[i].medians[k]));
        }
    }
    if (bound > 0) {
        out->y_min = fmin(out->y_min, log10(bound));
        out->y_max = fmax(out->y_max, log10(bound));
    }
    out->y_min -= 0.1;
    out->y_max += 0.1;
    int names = TOP + (int)out->count * NAME_STEP + BOTTOM;
    out->height = names > HEIGHT ? names : HEIGHT;
}

static double x_of(const struct picture *picture, double size)
{
    double part = (log10(size) - picture->x_min) / (picture->x_max - picture->x_min);
    return LEFT + part * (RIGHT - LEFT);
}

static double y_of(const struct picture *picture, double value)
{
    double part = (log10(value) - picture->y_min) / (picture->y_max - picture->y_min);
    return picture->height - BOTTOM - part * (picture->height - BOTTOM - TOP);
}

static void draw_y_tick(FILE *out, const struct picture *picture, enum metric metric, double value)
{
    char number[32];
    double y = y_of(picture, value);
    report_number(number, sizeof number, metric, value);
    fprintf(out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"sub\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            LEFT, RIGHT, y, y, LEFT - 8, y + 4, number);
}

/* At 1, or at 1, 2 and 5, of each decade; of bytes at powers of 4 of the unit, whose decades are 1,024. */
static void draw_y_axis(FILE *out, const struct picture *picture, enum metric metric)
{
    static const double steps[] = { 1, 2, 5 };
    bool is_bytes = bench_metrics[metric].unit[0] == 'B';
    double decades = picture->y_max - picture->y_min;
    double base = is_bytes ? (decades > 4 ? 16 : decades > 1 ? 4 : 2) : 10;
    unsigned per_base = is_bytes || decades > 3 ? 1 : 3;
    for (double power = pow(base, floor(picture->y_min / log10(base)) - 1);
         log10(power) <= picture->y_max; power *= base)
        for (unsigned i = 0; i < per_base; i++)
            if (log10(power * steps[i]) >= picture->y_min &&
                log10(power * steps[i]) <= picture->y_max)
                draw_y_tick(out, picture, metric, power * steps[i]);
}

static void draw_x_axis(FILE *out, const struct picture *picture)
{
    const struct line_of *longest = &picture->lines[0];
    char number[32];
    double last = -INFINITY;
    for (unsigned i = 1; i < picture->count; i++)
        if (picture->lines[i].count > longest->count)
            longest = &picture->lines[i];
    for (unsigned i = 0; i < longest->count; i++) {
        double x = x_of(picture, longest->sizes[i]);
        bool is_last = i + 1 == longest->count;
        if (x < last + TICK_STEP_MIN || (!is_last && x > RIGHT - TICK_STEP_MIN))
            continue;
        last = x;
        report_count(number, sizeof number, longest->sizes[i]);
        fprintf(out,
                "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                "<text class=\"sub\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                x, x, picture->height - BOTTOM, picture->height - BOTTOM + 5, x,
                picture->height - BOTTOM + 20, number);
    }
    fprintf(out, "<line class=\"zero\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, RIGHT,
            picture->height - BOTTOM, picture->height - BOTTOM);
}

/* Each name as near to its line's end as the one above lets it, and all within the picture. */
static void place_names(struct picture *picture)
{
    double free_from = TOP;
    for (unsigned i = 0; i < picture->count; i++) {
        struct line_of *line = &picture->lines[i];
        double wanted = y_of(picture, line->medians[line->count - 1]);
        line->name_y = fmax(wanted, free_from);
        free_from = line->name_y + NAME_STEP;
    }
    double end = picture->height - BOTTOM;
    for (unsigned i = picture->count; i-- > 0; end -= NAME_STEP)
        picture->lines[i].name_y = fmin(picture->lines[i].name_y, end);
}

static void draw_name(FILE *out, const struct results *results, const struct picture *picture,
                      const struct line_of *line, const char *colour)
{
    struct growth growth;
    double x = x_of(picture, line->sizes[line->count - 1]);
    fprintf(out,
            "<line class=\"line %s\" style=\"stroke-width:1;opacity:.6\" x1=\"%.1f\" x2=\"%d\" "
            "y1=\"%.1f\" y2=\"%.1f\"/>",
            colour, x, RIGHT + 22, y_of(picture, line->medians[line->count - 1]), line->name_y);
    fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%.1f\">",
            line->figure->is_ours ? "mine" : "their", RIGHT + 26, line->name_y + 4);
    xml_text(out, line->figure->title);
    fputs("<tspan class=\"sub\" dx=\"7\">", out);
    if (results_growth(results, line->figure, &growth))
        fprintf(out, "n^%.2f", fabs(growth.exponent) < 0.005 ? 0 : growth.exponent);
    fprintf(out, "%s</tspan></text>\n", line->is_cut_off ? ", then too slow" : "");
}

static void draw_line(FILE *out, const struct results *results, const struct picture *picture,
                      unsigned i)
{
    const struct line_of *line = &picture->lines[i];
    char colour[16] = "p";
    if (!line->figure->is_ours)
        snprintf(colour, sizeof colour, "p%u", i % COLOURS);
    fprintf(out, "<polyline class=\"line %s\" points=\"", colour);
    for (unsigned k = 0; k < line->count; k++)
        fprintf(out, "%.1f,%.1f ", x_of(picture, line->sizes[k]), y_of(picture, line->medians[k]));
    fputs("\"/>", out);
    for (unsigned k = 0; k < line->count; k++)
        fprintf(out, "<circle class=\"line %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2\"/>", colour,
                x_of(picture, line->sizes[k]), y_of(picture, line->medians[k]));
    draw_name(out, results, picture, line, colour);
}

static void draw_bound(FILE *out, const struct picture *picture, const struct figure *of)
{
    char number[32];
    double y = y_of(picture, of->bound);
    report_number(number, sizeof number, of->metric, of->bound);
    fprintf(out,
            "<line class=\"bound\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"sub\" x=\"%d\" y=\"%.1f\">ours is to keep to %s</text>\n",
            LEFT, RIGHT, y, y, LEFT + 6, y - 5, number);
}

void chart_growth_write(FILE *out, const struct results *results, const struct figure *of)
{
    struct picture picture;
    char below[256];
    collect(results, of, &picture);
    measure(&picture, of->bound);
    place_names(&picture);
    snprintf(
        below, sizeof below,
        "%s: %s, %s is better; both axes logarithmic; n^x is how the cost grows, n^0 flat, n^1 "
        "linear",
        of->workload, bench_metrics[of->metric].label,
        bench_metrics[of->metric].is_more_better ? "more" : "less");
    chart_begin(out, picture.height, of, " As the store grows.", below);
    draw_y_axis(out, &picture, of->metric);
    draw_x_axis(out, &picture);
    if (of->bound > 0)
        draw_bound(out, &picture, of);
    for (unsigned i = picture.count; i-- > 0;)
        if (!picture.lines[i].figure->is_ours)
            draw_line(out, results, &picture, i);
    for (unsigned i = picture.count; i-- > 0;)
        if (picture.lines[i].figure->is_ours)
            draw_line(out, results, &picture, i);
    fputs("</svg>\n", out);
}
