/* json_line.c - results as JSON lines, one object each, flat but for the samples; schema.json says what they hold.
 * The reader takes any order of members and passes over unknown ones. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define LINE_BYTES_MAX 16384

void json_put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            putc('\\', out);
        if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

static void put_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    json_put_string(out, text);
}

static void put_number(FILE *out, const char *name, double number)
{
    fprintf(out, isfinite(number) ? ",\"%s\":%.9g" : ",\"%s\":null", name, number);
}

void json_put_figure(FILE *out, const struct results *results, const struct figure *figure)
{
    const struct metric_kind *kind = &bench_metrics[figure->metric];
    fputs("{\"type\":\"figure\"", out);
    put_member(out, "workload", figure->workload);
    put_member(out, "question", figure->question);
    fprintf(out, ",\"size\":%llu", (unsigned long long)figure->size);
    put_member(out, "peer", figure->peer);
    put_member(out, "title", figure->title);
    fprintf(out, ",\"ours\":%s", figure->is_ours ? "true" : "false");
    put_member(out, "metric", kind->name);
    put_member(out, "unit", kind->unit);
    put_member(out, "better", kind->is_more_better ? "more" : "less");
    fputs(",\"samples\":[", out);
    for (unsigned i = 0; i < figure->count; i++)
        fprintf(out, "%s%.9g", i ? "," : "", figure->samples[i]);
    putc(']', out);
    put_number(out, "min", min_of(figure->samples, figure->count));
    put_number(out, "median", median_of(figure->samples, figure->count));
    put_number(out, "max", max_of(figure->samples, figure->count));
    struct ratio ratio;
    if (!results_ratio(results, figure, &ratio))
        ratio = (struct ratio){ NAN, NAN, NAN };
    put_number(out, "ratio", ratio.value);
    put_number(out, "ratio_low", ratio.low);
    put_number(out, "ratio_high", ratio.high);
    put_number(out, "bound", figure->is_ours && figure->bound > 0 ? figure->bound : NAN);
    put_number(out, "limit_s", figure->limit_s > 0 ? (double)figure->limit_s : (double)NAN);
    fputs("}\n", out);
}

void json_put_growth(FILE *out, const struct growth *growth)
{
    fputs("{\"type\":\"growth\"", out);
    put_member(out, "workload", growth->workload);
    put_member(out, "peer", growth->peer);
    put_member(out, "metric", bench_metrics[growth->metric].name);
    put_number(out, "exponent", growth->exponent);
    fputs("}\n", out);
}

/* --- reading --- */

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* A string without its quotes and escapes, cut to `size`. Returns what is behind it; NULL: none is there. */
static const char *read_string(const char *at, char *out, size_t size)
{
    size_t len = 0;
    if (*at++ != '"')
        return NULL;
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && *++at == 0)
            return NULL;
        if (len + 1 < size)
            out[len++] = *at;
    }
    out[len] = 0;
    return *at == '"' ? at + 1 : NULL;
}

/* A number, literal, or flat array of numbers; the numbers go to `out`. */
static const char *read_numbers(const char *at, double *out, unsigned *count)
{
    bool is_array = *at == '[';
    at = skip_space(at + is_array);
    *count = 0;
    for (; is_array && *at != ']'; at = skip_space(*at == ',' ? at + 1 : at)) {
        char *end;
        double number = strtod(at, &end);
        if (end == at || *count == SAMPLES_MAX)
            return NULL;
        out[(*count)++] = number;
        at = skip_space(end);
    }
    if (is_array)
        return at + 1;
    size_t len = strcspn(at, ",} \t\r\n");
    out[(*count)++] = strtod(at, NULL);
    return len > 0 ? at + len : NULL;
}

struct members {
    char type[NAME_BYTES], metric[NAME_BYTES];
    struct figure figure;
    struct origin origin;
    bool has_size;
};

static char *text_of(struct members *members, const char *name, size_t *size)
{
    struct figure *figure = &members->figure;
    const struct {
        const char *name;
        char *text;
        size_t size;
    } texts[] = {
        { "type", members->type, sizeof members->type },
        { "metric", members->metric, sizeof members->metric },
        { "workload", figure->workload, sizeof figure->workload },
        { "question", figure->question, sizeof figure->question },
        { "peer", figure->peer, sizeof figure->peer },
        { "title", figure->title, sizeof figure->title },
        { "commit", members->origin.commit, sizeof members->origin.commit },
        { "cpu", members->origin.cpu, sizeof members->origin.cpu },
        { "input", members->origin.input, sizeof members->origin.input },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].name, name) == 0) {
            *size = texts[i].size;
            return texts[i].text;
        }
    return NULL;
}

static const char *read_member(const char *at, struct members *members)
{
    char name[NAME_BYTES], unknown[TITLE_BYTES];
    double numbers[SAMPLES_MAX];
    unsigned count;
    at = read_string(at, name, sizeof name);
    at = at ? skip_space(at) : NULL;
    if (!at || *at != ':')
        return NULL;
    at = skip_space(at + 1);
    if (*at == '"') {
        size_t size = sizeof unknown;
        char *text = text_of(members, name, &size);
        return read_string(at, text ? text : unknown, size);
    }
    bool is_true = strncmp(at, "true", 4) == 0;
    at = read_numbers(at, numbers, &count);
    if (at && strcmp(name, "samples") == 0) {
        members->figure.count = count;
        memcpy(members->figure.samples, numbers, count * sizeof *numbers);
    } else if (at && strcmp(name, "size") == 0 && numbers[0] >= 0 && numbers[0] < 1e18) {
        members->figure.size = (uint64_t)numbers[0];
        members->has_size = true;
    } else if (at && strcmp(name, "limit_s") == 0 && numbers[0] >= 0 && numbers[0] < 1e9) {
        members->figure.limit_s = (unsigned)numbers[0];
    } else if (strcmp(name, "ours") == 0) {
        members->figure.is_ours = is_true;
    }
    return at;
}

/* 1: a figure; 0: an object of another type; -1: neither. */
static int read_line(const char *at, struct members *members)
{
    *members = (struct members){ .figure.metric = METRIC_COUNT };
    at = skip_space(at);
    if (*at != '{')
        return -1;
    do {
        at = read_member(skip_space(at + 1), members);
        at = at ? skip_space(at) : NULL;
    } while (at && *at == ',');
    if (!at || *at != '}')
        return -1;
    if (strcmp(members->type, "figure") != 0)
        return 0;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        if (strcmp(bench_metrics[i].name, members->metric) == 0)
            members->figure.metric = (enum metric)i;
    const struct figure *figure = &members->figure;
    bool is_whole = figure->metric != METRIC_COUNT && (figure->count > 0 || figure->limit_s > 0) &&
                    members->has_size && figure->workload[0] && figure->peer[0];
    return is_whole ? 1 : -1;
}

int results_read(const char *path, struct results *results)
{
    char line[LINE_BYTES_MAX], words[512];
    FILE *f = fopen(path, "re");
    int rc = f ? 0 : -1;
    unsigned number = 0;
    while (rc == 0 && fgets(line, sizeof line, f)) {
        struct members members;
        struct figure *figure;
        number++;
        members.type[0] = 0;
        int kind = *skip_space(line) ? read_line(line, &members) : 0;
        if (kind == 0 && strcmp(members.type, "environment") == 0)
            results->origin = members.origin;
        if (kind == 1 && (figure = results_add(results)))
            *figure = members.figure;
        else if (kind != 0)
            rc = -1;
    }
    if (f)
        fclose(f);
    if (rc != 0)
        snprintf(words, sizeof words, "%s: line %u is not of a results file", path, number);
    if (!f)
        snprintf(words, sizeof words, "cannot read %s", path);
    if (rc == 0 && results->count == 0) {
        snprintf(words, sizeof words, "%s holds no figure", path);
        rc = -1;
    }
    return rc == 0 ? 0 : bench_fail(words);
}
