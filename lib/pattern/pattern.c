/* pattern.c - one pattern, alone: a machine with one rule. */
#include "pattern.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "place.h"

#define EVENT_BYTES_MAX_DEFAULT (UINT32_C(16) << 20)

const struct plan_limits svl__plan_limits_default = { PATTERN_BYTES_MAX_DEFAULT,
                                                      PATTERN_DEPTH_MAX_DEFAULT };
const struct match_limits svl__match_limits_default = { EVENT_BYTES_MAX_DEFAULT,
                                                        JSON_DEPTH_DEFAULT };

static int parse(svl_pattern *pattern, struct place *place)
{
    struct json_scan scan;
    svl__json_start(&scan, pattern->text, pattern->len, JSON_DEPTH_LIMIT);
    int rc = svl__plan_parse(&pattern->plan, &scan, &svl__plan_limits_default, place);
    if (rc == SVL_OK && svl__json_next(&scan) != JSON_END)
        rc = svl__place_fail(place, SVL_E_PATTERN, scan.error_at, "%s", scan.error);
    return rc;
}

static int compile(svl_pattern *pattern, struct place *place)
{
    struct rule *rule;
    int rc = parse(pattern, place);
    if (rc == SVL_OK)
        rc = svl__machine_init(&pattern->machine);
    if (rc == SVL_OK)
        rc = svl__machine_link(&pattern->machine, &pattern->plan, 0, place, 0, &rule);
    if (rc != SVL_OK)
        return rc;
    svl__machine_publish(&pattern->machine, &rule, 1, NULL, 0);
    if (rule->end_count == 1 && svl__match_may_stop_at(rule->ends[0].node))
        pattern->sole = rule->ends[0].node;
    return SVL_OK;
}

int svl_pattern_compile(const char *json, size_t len, svl_pattern **out, svl_pattern_error *where)
{
    struct place place;
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    int rc = svl__place_check(where);
    if (rc != SVL_OK)
        return rc;
    if (!json)
        return svl__fail(SVL_E_INVALID, "the pattern is NULL");
    svl__place_init(&place);
    svl_pattern *pattern = NULL;
    if (len > svl__plan_limits_default.bytes_max)
        rc = svl__place_fail(&place, SVL_E_LIMIT, 0, "a pattern of %zu bytes: at most %u", len,
                             svl__plan_limits_default.bytes_max);
    else
        pattern = svl__calloc(1, sizeof *pattern);
    if (pattern) {
        pattern->text = svl__malloc(len);
        pattern->len = len;
    }
    if (pattern && pattern->text) {
        memcpy(pattern->text, json, len);
        rc = compile(pattern, &place);
    } else if (rc == SVL_OK) {
        rc = SVL_E_NOMEM;
    }
    rc = svl__place_report(&place, rc, where);
    svl__place_free(&place);
    if (rc != SVL_OK) {
        svl_pattern_destroy(pattern);
        return rc;
    }
    *out = pattern;
    return SVL_OK;
}

void svl_pattern_destroy(svl_pattern *pattern)
{
    if (!pattern)
        return;
    svl__machine_destroy(&pattern->machine);
    svl__plan_free(&pattern->plan);
    svl__free(pattern->text);
    svl__free(pattern);
}

int svl__match_check(const void *handle, const void *event, size_t len, uint32_t flags,
                     const void *out)
{
    if (!handle || !out || (!event && len > 0))
        return svl__fail(SVL_E_INVALID, "an argument is NULL");
    if (flags & ~(uint32_t)SVL_JSON_CHECK)
        return svl__fail(SVL_E_INVALID, "flags are %#x; SVL_JSON_CHECK or 0", flags);
    return SVL_OK;
}

/* Who holds after the walk. */
static int finish(struct match *m, int rc, int *matched)
{
    if (rc == SVL_OK)
        rc = svl__match_rules(m);
    if (rc == SVL_OK)
        *matched = m->rules.count > 0;
    svl__match_end(m);
    return rc;
}

int svl_pattern_match_json(const svl_pattern *pattern, const char *json, size_t len, uint32_t flags,
                           int *matched)
{
    struct match m;
    if (matched)
        *matched = 0;
    int rc = svl__match_check(pattern, json, len, flags, matched);
    if (rc != SVL_OK)
        return rc;
    const struct machine *machine = &pattern->machine;
    svl__match_begin(&m, machine, UINT64_MAX - 1, &svl__match_limits_default, flags);
    m.sole = pattern->sole;
    rc = svl__match_walk(&m, machine->root, (svl_slice){ json, len }, WALK_EVENT);
    return finish(&m, rc, matched);
}

int svl_pattern_match_record(const svl_pattern *pattern, const svl_record *record, uint32_t flags,
                             int *matched)
{
    struct match m;
    if (matched)
        *matched = 0;
    int rc = svl__match_check(pattern, record, 1, flags, matched);
    if (rc != SVL_OK)
        return rc;
    svl__match_begin(&m, &pattern->machine, UINT64_MAX - 1, &svl__match_limits_default, flags);
    rc = svl__match_walk_record(&m, record);
    return finish(&m, rc, matched);
}
