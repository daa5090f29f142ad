/* filter_set.c - a filter's rule is its pattern, or, where it has none, a pattern of its conditions: necessary, and
 * asked again of whom the ruleset names. So what a pattern cannot say, a key that is no text, needs no rule.
 *
 *   asked singly --a second pattern, or more than SINGLY_MAX filters--> all of them are rules
 *
 * A ruleset costs about as much as one pattern or as SINGLY_MAX filters without one (measured).
 *
 * A record that is too much for the ruleset, for all rules have to be tried together, is asked about one by one. */
#include "filter_set.h"

#include "base/alloc.h"
#include "base/error.h"

#define SINGLY_MAX 32

struct filter_set {
    struct filter **filters;
    size_t count, capacity;
    size_t patterns;      /* filters that have one */
    svl_ruleset *ruleset; /* NULL: they are asked singly */
    uint64_t *ids; /* capacity of them: of the rules that the record at hand matches, ascending */
    size_t found, at;
    bool singly; /* so is the record at hand */
};

int svl__filter_set_create(struct filter_set **out)
{
    *out = svl__calloc(1, sizeof **out);
    return *out ? SVL_OK : SVL_E_NOMEM;
}

void svl__filter_set_destroy(struct filter_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        svl__filter_destroy(set->filters[i]);
    svl_ruleset_destroy(set->ruleset);
    svl__free(set->filters);
    svl__free(set->ids);
    svl__free(set);
}

static bool make_room(struct filter_set *set)
{
    if (set->count < set->capacity)
        return true;
    size_t capacity = set->capacity ? set->capacity * 2 : 8;
    struct filter **filters = svl__realloc(set->filters, capacity * sizeof(struct filter *));
    if (filters)
        set->filters = filters;
    uint64_t *ids = svl__realloc(set->ids, capacity * sizeof *ids);
    if (ids)
        set->ids = ids;
    if (!filters || !ids)
        return false;
    set->capacity = capacity;
    return true;
}

static int add_rule(svl_ruleset *ruleset, size_t number, const struct filter *filter)
{
    struct buffer text = { 0 };
    int rc = svl__filter_rule(filter, &text);
    if (rc == SVL_OK)
        rc = svl_ruleset_add(ruleset, number, (const char *)text.data, text.len, NULL);
    svl__buffer_free(&text);
    return rc;
}

/* A ruleset of all filters so far. */
static int make_ruleset(struct filter_set *set)
{
    svl_ruleset *ruleset;
    int rc = svl_ruleset_create(NULL, &ruleset);
    for (size_t i = 0; rc == SVL_OK && i < set->count; i++)
        rc = add_rule(ruleset, i, set->filters[i]);
    if (rc == SVL_OK)
        set->ruleset = ruleset;
    else
        svl_ruleset_destroy(ruleset);
    return rc;
}

int svl__filter_set_add(struct filter_set *set, struct filter *filter)
{
    if (!make_room(set))
        return SVL_E_NOMEM;
    int rc = SVL_OK;
    size_t patterns = set->patterns + (svl__filter_selection(filter) != NULL);
    if (!set->ruleset && (patterns > 1 || set->count == SINGLY_MAX))
        rc = make_ruleset(set);
    if (rc == SVL_OK && set->ruleset)
        rc = add_rule(set->ruleset, set->count, filter);
    if (rc != SVL_OK)
        return rc;
    set->filters[set->count++] = filter;
    set->patterns = patterns;
    return SVL_OK;
}

int svl__filter_set_take(struct filter_set *set, const svl_record *record)
{
    set->at = set->found = 0;
    set->singly = !set->ruleset;
    if (set->singly)
        return SVL_OK;
    int rc =
        svl_ruleset_match_record(set->ruleset, record, 0, set->ids, set->capacity, &set->found);
    if (rc != SVL_E_LIMIT)
        return rc;
    set->singly = true;
    return SVL_OK;
}

static int next_singly(const struct filter_set *set, const svl_record *record, size_t *number)
{
    for (; *number < set->count; ++*number) {
        bool matches;
        int rc = svl__filter_match(set->filters[*number], record, &matches);
        if (rc != SVL_OK || matches)
            return rc;
    }
    return SVL_OK;
}

int svl__filter_set_next(struct filter_set *set, const svl_record *record, size_t *number)
{
    if (set->singly)
        return next_singly(set, record, number);
    for (; set->at < set->found; set->at++) {
        uint64_t id = set->ids[set->at];
        if (id >= *number && svl__filter_admits(set->filters[id], record)) {
            *number = id;
            return SVL_OK;
        }
    }
    *number = set->count;
    return SVL_OK;
}
