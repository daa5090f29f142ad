/* ruleset.c - rules added and removed by one thread at a time, matched by any. */
#include "ruleset.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"
#include "base/thread.h"
#include "pattern.h"
#include "place.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_ruleset_options)
#define RULES_MAX_DEFAULT UINT64_C(1000000)
#define RULES_MAX_LIMIT UINT64_C(10000000)
#define PATTERN_BYTES_MIN 2
#define PATTERN_BYTES_LIMIT (UINT32_C(16) << 20)
#define PATTERN_DEPTH_LIMIT 512
#define EVENT_BYTES_MIN 1024
#define EVENT_BYTES_LIMIT (UINT32_C(1) << 30)

_Static_assert(
    2 * PATTERN_DEPTH_LIMIT <= JSON_DEPTH_LIMIT,
    "the scanner follows a pattern, each of whose objects may be in the array of an $or");

int svl_ruleset_options_init(svl_ruleset_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_ruleset_options");
}

/* Puts the default for 0. */
static int settle_option(uint64_t *value, uint64_t by_default, uint64_t least, uint64_t most,
                         const char *name)
{
    if (*value == 0)
        *value = by_default;
    if (*value < least || *value > most)
        return svl__fail(SVL_E_OPTION, "%s is %llu; %llu to %llu", name, (unsigned long long)*value,
                         (unsigned long long)least, (unsigned long long)most);
    return SVL_OK;
}

static int take_options(svl_ruleset *ruleset, const svl_ruleset_options *given)
{
    svl_ruleset_options o;
    int rc = svl__options_copy(&o, sizeof o, given, OPTIONS_FIRST_SIZE, "svl_ruleset_options");
    if (rc != SVL_OK)
        return rc;
    if (o.reserved != 0)
        return svl__fail(SVL_E_RESERVED, "svl_ruleset_options.reserved is not zero");
    uint64_t rules = o.rules_max, pattern_bytes = o.pattern_bytes_max;
    uint64_t pattern_depth = o.pattern_depth_max, event_bytes = o.event_bytes_max;
    uint64_t event_depth = o.event_depth_max;
    if ((rc = settle_option(&rules, RULES_MAX_DEFAULT, 1, RULES_MAX_LIMIT, "rules_max")) ||
        (rc = settle_option(&pattern_bytes, PATTERN_BYTES_MAX_DEFAULT, PATTERN_BYTES_MIN,
                            PATTERN_BYTES_LIMIT, "pattern_bytes_max")) ||
        (rc = settle_option(&pattern_depth, PATTERN_DEPTH_MAX_DEFAULT, 1, PATTERN_DEPTH_LIMIT,
                            "pattern_depth_max")) ||
        (rc = settle_option(&event_bytes, svl__match_limits_default.bytes_max, EVENT_BYTES_MIN,
                            EVENT_BYTES_LIMIT, "event_bytes_max")) ||
        (rc = settle_option(&event_depth, JSON_DEPTH_DEFAULT, 1, JSON_DEPTH_LIMIT,
                            "event_depth_max")))
        return rc;
    ruleset->rules_max = rules;
    ruleset->plan_limits = (struct plan_limits){ (uint32_t)pattern_bytes, (uint32_t)pattern_depth };
    ruleset->match_limits = (struct match_limits){ (uint32_t)event_bytes, (uint32_t)event_depth };
    return SVL_OK;
}

int svl_ruleset_create(const svl_ruleset_options *options, svl_ruleset **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    svl_ruleset *ruleset = svl__calloc(1, sizeof *ruleset);
    if (!ruleset)
        return SVL_E_NOMEM;
    pthread_mutex_init(&ruleset->lock, NULL);
    pthread_mutex_init(&ruleset->loaded_lock, NULL);
    ruleset->process_mark = svl__process_mark();
    ruleset->next_id = LOADED_ID_FIRST;
    int rc = take_options(ruleset, options);
    if (rc == SVL_OK)
        rc = svl__machine_init(&ruleset->machine);
    if (rc == SVL_OK)
        rc = svl__epoch_open(&ruleset->machine.epoch);
    if (rc != SVL_OK) {
        svl_ruleset_destroy(ruleset);
        return rc;
    }
    *out = ruleset;
    return SVL_OK;
}

void svl_ruleset_destroy(svl_ruleset *ruleset)
{
    if (!ruleset || svl__forked(ruleset->process_mark))
        return; /* in a child it may be half-changed: another thread was at it when the process forked */
    svl__loaded_free(&ruleset->loaded);
    svl__machine_destroy(&ruleset->machine);
    pthread_mutex_destroy(&ruleset->loaded_lock);
    pthread_mutex_destroy(&ruleset->lock);
    svl__free(ruleset);
}

int svl__ruleset_check(const svl_ruleset *ruleset)
{
    if (!ruleset)
        return svl__fail(SVL_E_INVALID, "the ruleset is NULL");
    if (svl__forked(ruleset->process_mark))
        return svl__fail(SVL_E_FORKED,
                         "the ruleset belongs to the parent process: create one here");
    return SVL_OK;
}

int svl__ruleset_enter(svl_ruleset *ruleset)
{
    int rc = svl__ruleset_check(ruleset);
    if (rc == SVL_OK)
        pthread_mutex_lock(&ruleset->lock);
    return rc;
}

static int parse(const svl_ruleset *ruleset, struct plan *plan, svl_slice json, struct place *place)
{
    struct json_scan scan;
    if (json.len > ruleset->plan_limits.bytes_max)
        return svl__place_fail(place, SVL_E_LIMIT, 0, "a pattern of %zu bytes: at most %u",
                               json.len, ruleset->plan_limits.bytes_max);
    svl__json_start(&scan, json.data, json.len, JSON_DEPTH_LIMIT);
    int rc = svl__plan_parse(plan, &scan, &ruleset->plan_limits, place);
    if (rc == SVL_OK && svl__json_next(&scan) != JSON_END)
        rc = svl__place_fail(place, SVL_E_PATTERN, scan.error_at, "%s", scan.error);
    return rc;
}

/* With the lock. */
static int add(svl_ruleset *ruleset, uint64_t id, const struct plan *plan, struct place *place)
{
    struct rule *rule;
    if (svl__machine_rule(&ruleset->machine, id))
        return svl__fail(SVL_E_BUSY, "a rule has the id %llu", (unsigned long long)id);
    if (ruleset->machine.rules.live >= ruleset->rules_max)
        return svl__fail(SVL_E_LIMIT, "%llu rules: rules_max",
                         (unsigned long long)ruleset->rules_max);
    int rc = svl__machine_link(&ruleset->machine, plan, id, place, 0, &rule);
    if (rc == SVL_OK)
        svl__machine_publish(&ruleset->machine, &rule, 1, NULL, 0);
    return rc;
}

int svl_ruleset_add(svl_ruleset *ruleset, uint64_t id, const char *json, size_t len,
                    svl_pattern_error *where)
{
    struct place place;
    struct plan plan = { .combinations = 0 };
    int rc = svl__place_check(where);
    if (rc == SVL_OK)
        rc = svl__ruleset_check(ruleset);
    if (rc != SVL_OK)
        return rc;
    if (!json || id >= LOADED_ID_FIRST)
        return svl__fail(SVL_E_INVALID,
                         json ? "an id of 2^63 or more is a loaded rule's" : "the pattern is NULL");
    svl__place_init(&place);
    rc = parse(ruleset, &plan, (svl_slice){ json, len }, &place);
    if (rc == SVL_OK)
        rc = svl__ruleset_enter(ruleset);
    if (rc == SVL_OK) {
        rc = add(ruleset, id, &plan, &place);
        pthread_mutex_unlock(&ruleset->lock);
    }
    rc = svl__place_report(&place, rc, where);
    svl__plan_free(&plan);
    svl__place_free(&place);
    return rc;
}

int svl_ruleset_remove(svl_ruleset *ruleset, uint64_t id)
{
    int rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    struct rule *rule = id < LOADED_ID_FIRST ? svl__machine_rule(&ruleset->machine, id) : NULL;
    if (rule)
        svl__machine_publish(&ruleset->machine, NULL, 0, &rule, 1);
    pthread_mutex_unlock(&ruleset->lock);
    return rule ? SVL_OK : SVL_E_NOT_FOUND;
}

/* An event: a JSON text or a record. */
struct event {
    svl_slice json;
    const svl_record *record;
};

static int match(svl_ruleset *ruleset, const struct event *event, uint32_t flags, uint64_t *ids,
                 size_t capacity, size_t *matched)
{
    struct match m;
    struct machine *machine = &ruleset->machine;
    unsigned place;
    uint64_t time = svl__epoch_enter(&machine->epoch, &place);
    svl__match_begin(&m, machine, time, &ruleset->match_limits, flags);
    int rc = event->record ? svl__match_walk_record(&m, event->record)
                           : svl__match_walk(&m, machine->root, event->json, WALK_EVENT);
    if (rc == SVL_OK)
        rc = svl__match_rules(&m);
    if (rc == SVL_OK) {
        *matched = m.rules.count;
        size_t n = *matched < capacity ? *matched : capacity;
        if (n > 0)
            memcpy(ids, m.rules.data, n * sizeof *ids);
    }
    svl__match_end(&m);
    svl__epoch_leave(&machine->epoch, place);
    return rc;
}

static int match_checked(svl_ruleset *ruleset, const struct event *event, uint32_t flags,
                         uint64_t *ids, size_t capacity, size_t *matched)
{
    if (matched)
        *matched = 0;
    const void *data = event->record ? event->record : event->json.data;
    int rc = svl__match_check(ruleset, data, event->record ? 1 : event->json.len, flags, matched);
    if (rc == SVL_OK)
        rc = svl__ruleset_check(ruleset);
    if (rc == SVL_OK && !ids && capacity > 0)
        rc = svl__fail(SVL_E_INVALID, "ids is NULL with a capacity");
    return rc == SVL_OK ? match(ruleset, event, flags, ids, capacity, matched) : rc;
}

int svl_ruleset_match_json(svl_ruleset *ruleset, const char *json, size_t len, uint32_t flags,
                           uint64_t *ids, size_t capacity, size_t *matched)
{
    struct event event = { .json = { json, len } };
    return match_checked(ruleset, &event, flags, ids, capacity, matched);
}

int svl_ruleset_match_record(svl_ruleset *ruleset, const svl_record *record, uint32_t flags,
                             uint64_t *ids, size_t capacity, size_t *matched)
{
    struct event event = { .json = { NULL, 1 }, .record = record };
    return match_checked(ruleset, &event, flags, ids, capacity, matched);
}

int svl_ruleset_stats_get(svl_ruleset *ruleset, svl_ruleset_stats *stats)
{
    int rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct machine *machine = &ruleset->machine;
    svl_ruleset_stats whole = { .rules = machine->rules.live,
                                .paths = machine->paths.live,
                                .conditions = machine->conditions.live,
                                .conjunctions = machine->nodes.live,
                                .bytes = machine->epoch.bytes + ruleset->loaded.bytes,
                                .retired = machine->epoch.count };
    pthread_mutex_unlock(&ruleset->lock);
    whole.bytes_a_rule = whole.rules > 0 ? whole.bytes / whole.rules : 0;
    return svl__options_fill(stats, &whole, sizeof whole, sizeof whole, "svl_ruleset_stats");
}
