/* selection.c - the pattern's text is parsed a second time, and what the body is asked for is dropped from its plan.
 * A conjunction of fewer fields holds for more records: what its head refuses, the pattern refuses. */
#include "selection.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "place.h"
#include "wildcard.h"

static bool is_named(const struct plan *plan, uint32_t level, const char *name)
{
    const struct plan_level *l = plan_level(plan, level);
    return l->bytes_len == strlen(name) &&
           memcmp(plan->bytes.data + l->bytes_at, name, l->bytes_len) == 0;
}

static bool is_of_body(const struct plan *plan, uint32_t field)
{
    uint32_t level = plan_field(plan, field)->level;
    while (plan_level(plan, level)->parent != PLAN_NONE)
        level = plan_level(plan, level)->parent;
    return is_named(plan, level, "detail") || is_named(plan, level, "body");
}

static bool reads_body(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan_clause_count(plan); i++) {
        const struct plan_clause *c = plan_clause(plan, i);
        if (c->kind == CLAUSE_FIELD && !c->dropped && is_of_body(plan, c->field))
            return true;
    }
    return false;
}

static int drop_body(struct plan *plan, struct place *place)
{
    for (uint32_t i = 0; i < plan_clause_count(plan); i++) {
        struct plan_clause *c = plan_clause(plan, i);
        if (c->kind == CLAUSE_FIELD && is_of_body(plan, c->field))
            c->dropped = 1;
    }
    return svl__plan_count(plan, place);
}

/* Each combination still has a field: one without holds for every record. */
static int asks_all(const struct plan *plan, bool *asks)
{
    uint32_t *picks = svl__malloc(plan_clause_count(plan) * sizeof *picks);
    uint32_t *fields = svl__malloc(plan_field_count(plan) * sizeof *fields);
    *asks = true;
    for (uint32_t i = 0; picks && fields && *asks && i < plan->combinations; i++)
        *asks = svl__plan_combination(plan, i, picks, fields) > 0;
    int rc = picks && fields ? SVL_OK : SVL_E_NOMEM;
    svl__free(picks);
    svl__free(fields);
    return rc;
}

/* *asks: else the head would hold for every record, and is not compiled. */
static int link_head(svl_pattern *head, struct place *place, bool *asks)
{
    struct rule *rule;
    int rc = drop_body(&head->plan, place);
    if (rc == SVL_OK)
        rc = asks_all(&head->plan, asks);
    if (rc != SVL_OK || !*asks)
        return rc;
    rc = svl__machine_init(&head->machine);
    if (rc == SVL_OK)
        rc = svl__machine_link(&head->machine, &head->plan, 0, place, 0, &rule);
    if (rc == SVL_OK)
        svl__machine_publish(&head->machine, &rule, 1, NULL, 0);
    return rc;
}

static int compile_head(const svl_pattern *whole, svl_pattern *head, bool *asks)
{
    struct place place;
    struct json_scan scan;
    svl__place_init(&place);
    svl__json_start(&scan, whole->text, whole->len, JSON_DEPTH_LIMIT);
    int rc = svl__plan_parse(&head->plan, &scan, &svl__plan_limits_default, &place);
    if (rc == SVL_OK)
        rc = link_head(head, &place, asks);
    svl__place_free(&place);
    return rc;
}

static int take_head(struct selection *selection)
{
    svl_pattern *head = svl__calloc(1, sizeof *head);
    bool asks = false;
    int rc = head ? compile_head(selection->whole, head, &asks) : SVL_E_NOMEM;
    if (rc == SVL_OK && asks)
        selection->head = head;
    else
        svl_pattern_destroy(head);
    return rc;
}

int svl__selection_compile(const char *text, const char *member, struct selection **out)
{
    *out = NULL;
    struct selection *selection = svl__calloc(1, sizeof *selection);
    if (!selection)
        return SVL_E_NOMEM;
    int rc = svl_pattern_compile(text, strlen(text), &selection->whole, NULL);
    if (rc == SVL_E_PATTERN || rc == SVL_E_PATTERN_COMPLEX || rc == SVL_E_LIMIT)
        svl__fail_at(rc, "%s", member);
    if (rc == SVL_OK)
        rc = svl__pattern_bounds(selection->whole, &selection->bounds);
    if (rc == SVL_OK) {
        selection->reads_body = reads_body(&selection->whole->plan);
        if (selection->reads_body)
            rc = take_head(selection);
    }
    if (rc != SVL_OK) {
        svl__selection_destroy(selection);
        return rc;
    }
    *out = selection;
    return SVL_OK;
}

void svl__selection_destroy(struct selection *selection)
{
    if (!selection)
        return;
    svl_pattern_destroy(selection->whole);
    svl_pattern_destroy(selection->head);
    svl__free(selection);
}

static int ask(const svl_pattern *pattern, const svl_record *record, bool *matches)
{
    int matched;
    int rc = svl_pattern_match_record(pattern, record, 0, &matched);
    *matches = rc == SVL_OK && matched != 0;
    return rc;
}

int svl__selection_meets_head(const struct selection *selection, const svl_record *record,
                              bool *matches)
{
    *matches = true;
    if (!selection->reads_body)
        return ask(selection->whole, record, matches);
    return selection->head ? ask(selection->head, record, matches) : SVL_OK;
}

int svl__selection_meets_body(const struct selection *selection, const svl_record *record,
                              bool *matches)
{
    *matches = true;
    return selection->reads_body ? ask(selection->whole, record, matches) : SVL_OK;
}

int svl__selection_meets(const struct selection *selection, const svl_record *record, bool *matches)
{
    return ask(selection->whole, record, matches);
}

static bool starts_with(svl_slice text, svl_slice prefix)
{
    return text.len >= prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0;
}

static bool test_names(const struct plan *plan, const struct plan_test *test, svl_slice source,
                       svl_slice prefix)
{
    svl_slice text = plan_bytes(plan, test->bytes_at, test->bytes_len);
    const uint8_t *star = NULL;
    switch ((enum condition_kind)test->kind) {
    case CONDITION_STRING:
    case CONDITION_PREFIX:
        break;
    case CONDITION_WILDCARD:
        star = memchr(text.data, WILDCARD_STAR, text.len);
        if (star)
            text.len = (size_t)(star - (const uint8_t *)text.data);
        break;
    default:
        return false;
    }
    return starts_with(text, prefix) && starts_with(source, text);
}

static bool field_names(const struct plan *plan, const struct plan_field *field, svl_slice source,
                        svl_slice prefix)
{
    for (uint32_t i = 0; i < field->count; i++)
        if (test_names(plan, plan_test(plan, field->first + i), source, prefix))
            return true;
    return false;
}

bool svl__selection_names(const struct selection *selection, svl_slice source, svl_slice prefix)
{
    const struct plan *plan = &selection->whole->plan;
    for (uint32_t i = 0; i < plan_clause_count(plan); i++) {
        const struct plan_clause *c = plan_clause(plan, i);
        if (c->kind != CLAUSE_FIELD || c->dropped)
            continue;
        const struct plan_field *field = plan_field(plan, c->field);
        bool is_source = plan_level(plan, field->level)->parent == PLAN_NONE &&
                         is_named(plan, field->level, "source");
        if (is_source && field_names(plan, field, source, prefix))
            return true;
    }
    return false;
}
