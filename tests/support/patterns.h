/* patterns.h - random patterns, and random records of whom some match: few names and values, every member of a
 * record among them. */
#ifndef TESTS_SUPPORT_PATTERNS_H
#define TESTS_SUPPORT_PATTERNS_H

#include <stdio.h>
#include <string.h>

#include "support.h"

#define PATTERN_TIME INT64_C(1790000000000000000)

static const char *const pattern_fields[] = {
    "\"severity\":[{\"numeric\":[\">=\",13]}]",
    "\"severity\":[9,17]",
    "\"severity\":[{\"numeric\":[\">\",4,\"<=\",12]}]",
    "\"severity-text\":[{\"prefix\":\"E\"}]",
    "\"source\":[\"shop\"]",
    "\"source\":[\"shop\",\"sshd\"]",
    "\"source\":[{\"prefix\":\"s\"}]",
    "\"source\":[{\"anything-but\":\"shop\"}]",
    "\"source\":[{\"exists\":false}]",
    "\"type\":[\"order\"]",
    "\"detail-type\":[{\"prefix\":\"or\"},\"login\"]",
    "\"key\":[\"k-7\"]",
    "\"key\":[{\"prefix\":\"k-1\"}]",
    "\"key\":[\"k-11\",\"k-12\"]",
    "\"key\":[{\"exists\":true}]",
    "\"time-ns\":[{\"numeric\":[\">=\",1790000000300000000]}]",
    "\"time-ns\":[{\"numeric\":[\"<\",1790000000200000000]}]",
    "\"time\":[{\"suffix\":\"000000Z\"}]",
    "\"id\":[{\"numeric\":[\"<\",500]}]",
    "\"attributes\":{\"n\":[1,2,3]}",
    "\"attributes.http\":{\"status\":[404]}",
    "\"detail\":{\"total\":[{\"numeric\":[\">\",5]}]}",
    "\"detail.items\":{\"name\":[\"a\"],\"n\":[2]}",
    "\"detail\":{\"gone\":[{\"exists\":false}]}",
    "\"body\":[{\"wildcard\":\"*fail*\"}]",
    "\"body\":[{\"exists\":true}]"
};
#define PATTERN_FIELDS (sizeof pattern_fields / sizeof pattern_fields[0])

/* Into `out`, of at least 1,024 bytes: one to three fields, or an `$or` of such, or both. A name may come twice. */
static inline const char *pattern_any(struct rng *rng, char *out)
{
    size_t at = 0, fields = rng_below(rng, 3), branches = rng_below(rng, 3) == 0 ? 2 : 0;
    if (fields + branches == 0)
        fields = 1;
    at += (size_t)sprintf(out + at, "{");
    for (size_t i = 0; i < fields; i++)
        at += (size_t)sprintf(out + at, "%s%s", i ? "," : "",
                              pattern_fields[rng_below(rng, PATTERN_FIELDS)]);
    if (branches)
        at += (size_t)sprintf(out + at, "%s\"$or\":[", fields ? "," : "");
    for (size_t i = 0; i < branches; i++)
        at += (size_t)sprintf(out + at, "%s{%s}", i ? "," : "",
                              pattern_fields[rng_below(rng, PATTERN_FIELDS)]);
    sprintf(out + at, "%s}", branches ? "]" : "");
    return out;
}

static const char *const pattern_bodies[] = {
    "{\"total\":7}",
    "{\"total\":3,\"items\":[{\"name\":\"a\",\"n\":1},{\"name\":\"b\",\"n\":2}]}",
    "{\"items\":[{\"name\":\"a\",\"n\":2}],\"gone\":1}",
    "{ no JSON",
    "it failed again",
    "fine"
};

/* Its slices and attributes live until the next call. */
static inline svl_record pattern_record(struct rng *rng)
{
    static const char *const sources[] = { "shop", "sshd", "cron", "" };
    static const char *const types[] = { "order", "login", "" };
    static char key[16];
    static svl_attribute attributes[2];
    attributes[0] = (svl_attribute){ .name = slice_of("n"),
                                     .kind = SVL_ATTRIBUTE_I64,
                                     .i64 = (int64_t)rng_below(rng, 6) };
    attributes[1] = (svl_attribute){ .name = slice_of("http.status"),
                                     .kind = SVL_ATTRIBUTE_I64,
                                     .i64 = rng_below(rng, 2) ? 404 : 200 };
    key[0] = 0;
    if (rng_below(rng, 4) != 0)
        snprintf(key, sizeof key, "k-%u", (unsigned)rng_below(rng, 30));
    size_t body = rng_below(rng, sizeof pattern_bodies / sizeof pattern_bodies[0]);
    return (svl_record){ .time_ns = PATTERN_TIME + (int64_t)rng_below(rng, 600) * 1000000,
                         .severity = (uint32_t)rng_below(rng, SVL_SEVERITY_MAX + 1),
                         .body_kind = body < 4 ? SVL_BODY_JSON : SVL_BODY_TEXT,
                         .source = slice_of(sources[rng_below(rng, 4)]),
                         .type = slice_of(types[rng_below(rng, 3)]),
                         .key = slice_of(key),
                         .body = slice_of(pattern_bodies[body]),
                         .attributes = attributes,
                         .attribute_count = (uint32_t)rng_below(rng, 3) };
}

#define HARD_NAMES 24
#define HARD_BYTES 8192

/* A pattern and a body that together leave more ways to match than are tried: SVL_E_LIMIT. */
static inline void pattern_hard(char pattern[HARD_BYTES], char body[HARD_BYTES])
{
    strcpy(pattern, "{\"detail\":{");
    strcpy(body, "{");
    for (int i = 0; i < HARD_NAMES; i++) {
        sprintf(pattern + strlen(pattern), "\"a.x%d\":[1],", i);
        sprintf(body + strlen(body), "\"a\":[{\"x%d\":1,\"x%d\":1},{\"x%d\":1,\"x%d\":1}],", i,
                (i + 7) % (HARD_NAMES - 1), (i + 1) % HARD_NAMES, (i + 3) % (HARD_NAMES - 1));
    }
    strcat(pattern, "\"a.none\":[{\"exists\":false}],\"b\":[{\"exists\":true}]}}");
    strcat(body, "\"a\":{\"none\":1},\"b\":1}");
}

#endif
