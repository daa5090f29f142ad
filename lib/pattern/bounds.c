/* bounds.c - of a test, of a field (any of its tests), of a combination (all of its fields), of a pattern (any of
 * its combinations): "any" makes a bound wider, "all" makes it narrower. */
#include "bounds.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/time_text.h"

/* Doubles of the size of today's nanoseconds are 256 apart. */
#define TIME_SLACK_NS 512

struct number_bound {
    double min, max;
};

static const struct number_bound any_number = { -INFINITY, INFINITY };
static const struct text_bound any_text = { { "", 0 }, false };

static struct number_bound number_of_test(const struct plan *plan, const struct plan_test *test)
{
    const uint8_t *bytes = plan->bytes.data + test->bytes_at;
    struct range_bytes range;
    double value;
    switch ((enum condition_kind)test->kind) {
    case CONDITION_NUMBER:
        memcpy(&value, bytes, sizeof value);
        return (struct number_bound){ value, value };
    case CONDITION_RANGE:
        memcpy(&range, bytes, sizeof range);
        return (struct number_bound){ range.low, range.high };
    default:
        return any_number;
    }
}

static struct text_bound text_of_test(const struct plan *plan, const struct plan_test *test)
{
    svl_slice text = plan_bytes(plan, test->bytes_at, test->bytes_len);
    switch ((enum condition_kind)test->kind) {
    case CONDITION_STRING:
        return (struct text_bound){ text, true };
    case CONDITION_PREFIX:
        return (struct text_bound){ text, false };
    default:
        return any_text;
    }
}

static double lower(double a, double b)
{
    return a < b ? a : b;
}

static double higher(double a, double b)
{
    return a > b ? a : b;
}

static struct number_bound wider_number(struct number_bound a, struct number_bound b)
{
    return (struct number_bound){ lower(a.min, b.min), higher(a.max, b.max) };
}

static size_t common_prefix(svl_slice a, svl_slice b)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t n = 0;
    while (n < a.len && n < b.len && x[n] == y[n])
        n++;
    return n;
}

static struct text_bound wider_text(struct text_bound a, struct text_bound b)
{
    size_t n = common_prefix(a.text, b.text);
    bool is_exact = a.is_exact && b.is_exact && n == a.text.len && n == b.text.len;
    return (struct text_bound){ { a.text.data, n }, is_exact };
}

/* Both hold, so either may be taken. */
static struct text_bound narrower_text(struct text_bound a, struct text_bound b)
{
    if (a.is_exact != b.is_exact)
        return a.is_exact ? a : b;
    return a.text.len >= b.text.len ? a : b;
}

static struct number_bound number_of_field(const struct plan *plan, const struct plan_field *field)
{
    struct number_bound bound = number_of_test(plan, plan_test(plan, field->first));
    for (uint32_t i = 1; i < field->count; i++)
        bound = wider_number(bound, number_of_test(plan, plan_test(plan, field->first + i)));
    return bound;
}

static struct text_bound text_of_field(const struct plan *plan, const struct plan_field *field)
{
    struct text_bound bound = text_of_test(plan, plan_test(plan, field->first));
    for (uint32_t i = 1; i < field->count; i++)
        bound = wider_text(bound, text_of_test(plan, plan_test(plan, field->first + i)));
    return bound;
}

struct envelope {
    struct number_bound severity, time;
    struct text_bound source, type, key, time_text;
};

static void narrow_number(struct number_bound *bound, const struct plan *plan,
                          const struct plan_field *field)
{
    struct number_bound by = number_of_field(plan, field);
    *bound = (struct number_bound){ higher(bound->min, by.min), lower(bound->max, by.max) };
}

static void narrow_text(struct text_bound *bound, const struct plan *plan,
                        const struct plan_field *field)
{
    *bound = narrower_text(*bound, text_of_field(plan, field));
}

static bool is_named(svl_slice name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

static void narrow(struct envelope *e, const struct plan *plan, const struct plan_field *field)
{
    const struct plan_level *level = plan_level(plan, field->level);
    svl_slice name = plan_bytes(plan, level->bytes_at, level->bytes_len);
    if (level->parent != PLAN_NONE)
        return;
    if (is_named(name, "severity"))
        narrow_number(&e->severity, plan, field);
    else if (is_named(name, "time-ns"))
        narrow_number(&e->time, plan, field);
    else if (is_named(name, "time"))
        narrow_text(&e->time_text, plan, field);
    else if (is_named(name, "source"))
        narrow_text(&e->source, plan, field);
    else if (is_named(name, "type") || is_named(name, "detail-type"))
        narrow_text(&e->type, plan, field);
    else if (is_named(name, "key"))
        narrow_text(&e->key, plan, field);
}

static void widen(struct envelope *e, const struct envelope *by)
{
    e->severity = wider_number(e->severity, by->severity);
    e->time = wider_number(e->time, by->time);
    e->source = wider_text(e->source, by->source);
    e->type = wider_text(e->type, by->type);
    e->key = wider_text(e->key, by->key);
    e->time_text = wider_text(e->time_text, by->time_text);
}

static int64_t to_time(double value, double slack)
{
    double wide = value + slack;
    if (wide <= -0x1p63)
        return INT64_MIN;
    return wide >= 0x1p63 ? INT64_MAX : (int64_t)wide;
}

/* As texts begin with years of four digits, a beginning is a range of times. */
static void narrow_time(struct pattern_bounds *bounds, svl_slice begin)
{
    int64_t first_ns, last_ns;
    bool any = svl__time_text_range(begin.data, begin.len, &first_ns, &last_ns);
    if (!any || first_ns > bounds->time_min_ns)
        bounds->time_min_ns = any ? first_ns : INT64_MAX;
    if (!any || last_ns < bounds->time_max_ns)
        bounds->time_max_ns = any ? last_ns : INT64_MIN;
}

int svl__pattern_bounds(const svl_pattern *pattern, struct pattern_bounds *out)
{
    const struct plan *plan = &pattern->plan;
    const struct envelope any = { any_number, any_number, any_text, any_text, any_text, any_text };
    struct envelope all = any;
    uint32_t *picks = svl__malloc(plan_clause_count(plan) * sizeof *picks);
    uint32_t *fields = svl__malloc(plan_field_count(plan) * sizeof *fields);
    for (uint32_t i = 0; picks && fields && i < plan->combinations; i++) {
        struct envelope one = any;
        uint32_t n = svl__plan_combination(plan, i, picks, fields);
        for (uint32_t j = 0; j < n; j++)
            narrow(&one, plan, plan_field(plan, fields[j]));
        if (i == 0)
            all = one;
        else
            widen(&all, &one);
    }
    bool done = picks && fields;
    svl__free(picks);
    svl__free(fields);
    *out = (struct pattern_bounds){ .severity_min = all.severity.min,
                                    .severity_max = all.severity.max,
                                    .time_min_ns = to_time(all.time.min, -TIME_SLACK_NS),
                                    .time_max_ns = to_time(all.time.max, TIME_SLACK_NS),
                                    .source = all.source,
                                    .type = all.type,
                                    .key = all.key };
    narrow_time(out, all.time_text.text);
    return done ? SVL_OK : SVL_E_NOMEM;
}
