/* filters.h - filters and records from few names, so that they often meet, and what a filter means,
 * spelled out. */
#ifndef TESTS_SUPPORT_FILTERS_H
#define TESTS_SUPPORT_FILTERS_H

#include <serverlog/handler.h>
#include <string.h>

#include "support.h"

/* Names that share beginnings; the library's own among them. */
static const char *const filter_names[] = {
    "",           "a",        "ab", "abc", "b", "serverlog", "serverlog.", "serverlog.gap",
    "serverlogs", "\xc3\xa4", "*"
};
static const char *const filter_texts[] = { "",
                                            "*",
                                            "a",
                                            "a*",
                                            "ab",
                                            "ab*",
                                            "abc",
                                            "abcd*",
                                            "b*",
                                            "serverlog*",
                                            "serverlog.*",
                                            "serverlog.gap",
                                            "s*",
                                            "serverlog.g*",
                                            "\xc3\xa4*",
                                            "**" };
static const char *const filter_keys[] = { "", "k", "ka", "kab", "l" };

#define FILTER_ONE_OF(list) (list)[rng_below(rng, sizeof(list) / sizeof(list)[0])]

/* Bits 0 to 3 of `conditions`: severity, source, type, key prefix. */
static svl_filter filter_any(struct rng *rng, unsigned conditions)
{
    svl_filter f = { .severity_min = 0 };
    if (conditions & 1)
        f.severity_min = 1 + (uint32_t)rng_below(rng, SVL_SEVERITY_MAX);
    if (conditions & 2)
        f.source = FILTER_ONE_OF(filter_texts);
    if (conditions & 4)
        f.type = FILTER_ONE_OF(filter_texts);
    if (conditions & 8)
        f.key_prefix = slice_of(filter_keys[1 + rng_below(rng, 4)]);
    return f;
}

static svl_record filter_record(struct rng *rng)
{
    return (svl_record){ .time_ns = 1,
                         .severity = (uint32_t)rng_below(rng, SVL_SEVERITY_MAX + 1),
                         .source = slice_of(FILTER_ONE_OF(filter_names)),
                         .type = slice_of(FILTER_ONE_OF(filter_names)),
                         .key = slice_of(FILTER_ONE_OF(filter_keys)) };
}

static bool filter_starts(svl_slice text, const char *with, size_t len)
{
    return text.len >= len && (len == 0 || memcmp(text.data, with, len) == 0);
}

/* NULL = all; else equal, or, with a '*' at its end, a prefix. */
static bool filter_text_meets(const char *condition, svl_slice text)
{
    size_t len = condition ? strlen(condition) : 0;
    if (!condition)
        return true;
    if (len > 0 && condition[len - 1] == '*')
        return filter_starts(text, condition, len - 1);
    return text.len == len && filter_starts(text, condition, len);
}

static inline bool filter_meets(const svl_filter *f, const svl_record *r)
{
    bool names_own = f->source && strncmp(f->source, "serverlog.", 10) == 0;
    if (filter_starts(r->source, "serverlog.", 10) && !names_own)
        return false;
    return r->severity >= f->severity_min && filter_text_meets(f->source, r->source) &&
           filter_text_meets(f->type, r->type) &&
           filter_starts(r->key, f->key_prefix.data, f->key_prefix.len);
}

#endif
