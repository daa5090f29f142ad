/* load.c - a file of rules, as one change.
 *
 *     {"rules": [{"name": text, "pattern": {...}, "transformer": {...}, "state": "enabled" | "disabled"}, ...]}
 *
 * All of the text is read, and each rule's pattern linked, before anything is published; where something is wrong,
 * what was linked goes again, and nobody has seen it. A name keeps its id from one file to the next. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "pattern.h"
#include "place.h"
#include "ruleset.h"

#define FILE_BYTES_MAX (UINT64_C(1) << 30)

struct loading {
    svl_ruleset *ruleset;
    struct json_scan scan;
    struct place place;
    struct buffer rules; /* struct loaded_rule, in the order of the file */
    uint64_t enabled;
    bool has_rules;
};

/* One rule's members, as they come. */
struct members {
    svl_slice name; /* in `decoded` */
    char decoded[LOADED_NAME_MAX + 1];
    size_t name_at;
    bool has_name, has_pattern, has_transformer, has_state, is_disabled;
    struct json_scan pattern; /* right before it */
    svl_slice transformer;    /* its text */
};

static struct loaded_rule *rule_at(const struct loading *l, size_t i)
{
    return (struct loaded_rule *)(void *)l->rules.data + i;
}

static size_t rule_count(const struct loading *l)
{
    return l->rules.len / sizeof(struct loaded_rule);
}

static int fail(struct loading *l, const char *what)
{
    return svl__place_fail(&l->place, SVL_E_PATTERN, json_offset(&l->scan), "%s", what);
}

static int fail_token(struct loading *l, enum json_token token, const char *wanted)
{
    const struct json_scan *s = &l->scan;
    if (token != JSON_ERROR)
        return fail(l, wanted);
    return svl__place_fail(&l->place, s->depth >= s->depth_max ? SVL_E_LIMIT : SVL_E_PATTERN,
                           s->error_at, "%s", s->error);
}

static bool is_text(struct json_text text, const char *wanted)
{
    uint8_t decoded[16];
    size_t len = svl__json_decode(&text, decoded, sizeof decoded);
    return text.len == 0 && len == strlen(wanted) && memcmp(decoded, wanted, len) == 0;
}

static int take_name(struct loading *l, struct members *m)
{
    enum json_token token = svl__json_next(&l->scan);
    if (token != JSON_STRING)
        return fail_token(l, token, "a name is a string");
    struct json_text rest = l->scan.text;
    size_t len = svl__json_decode(&rest, (uint8_t *)m->decoded, LOADED_NAME_MAX);
    if (rest.len > 0 || len == 0 || memchr(m->decoded, 0, len))
        return fail(l, "a name has 1 to 255 bytes, and no NUL among them");
    m->decoded[len] = 0;
    m->name = (svl_slice){ m->decoded, len };
    m->name_at = json_offset(&l->scan);
    l->place.rule = m->name;
    return SVL_OK;
}

static int take_state(struct loading *l, struct members *m)
{
    enum json_token token = svl__json_next(&l->scan);
    if (token != JSON_STRING)
        return fail_token(l, token, "a state is \"enabled\" or \"disabled\"");
    m->is_disabled = is_text(l->scan.text, "disabled");
    return m->is_disabled || is_text(l->scan.text, "enabled")
               ? SVL_OK
               : fail(l, "a state is \"enabled\" or \"disabled\"");
}

static int take_pattern(struct loading *l, struct members *m)
{
    m->pattern = l->scan; /* read when the name is known */
    return svl__json_skip(&l->scan) ? SVL_OK : fail_token(l, JSON_ERROR, "");
}

static int take_transformer(struct loading *l, struct members *m)
{
    if (!svl__json_skip(&l->scan))
        return fail_token(l, JSON_ERROR, "");
    m->transformer = json_raw(&l->scan);
    return SVL_OK;
}

static int take_member(struct loading *l, struct members *m)
{
    struct json_text name = l->scan.text;
    bool *has = is_text(name, "name")          ? &m->has_name
                : is_text(name, "pattern")     ? &m->has_pattern
                : is_text(name, "state")       ? &m->has_state
                : is_text(name, "transformer") ? &m->has_transformer
                                               : NULL;
    int rc = svl__place_enter(&l->place, (svl_slice){ name.data, name.len });
    if (rc != SVL_OK)
        return rc;
    if (!has)
        return fail(l, "a rule has \"name\", \"pattern\", \"transformer\" and \"state\"");
    if (*has)
        return fail(l, "given twice in one rule");
    *has = true;
    if (has == &m->has_name)
        rc = take_name(l, m);
    else if (has == &m->has_pattern)
        rc = take_pattern(l, m);
    else
        rc = has == &m->has_state ? take_state(l, m) : take_transformer(l, m);
    if (rc == SVL_OK)
        svl__place_leave(&l->place);
    return rc;
}

/* A rule that was linked for nothing. */
static void drop_rule(struct loading *l, struct loaded_rule *rule)
{
    if (rule->rule)
        svl__machine_unlink(&l->ruleset->machine, rule->rule);
    svl_transformer_destroy(rule->transformer);
    svl__free(rule->name);
}

/* The transformer of a rule; its own error is told at its place in the file. */
static int compile_transformer(struct loading *l, const struct members *m, svl_transformer **out)
{
    svl_pattern_error where = { .struct_size = sizeof where };
    svl_slice text = m->transformer;
    int rc = svl__place_enter(&l->place, (svl_slice){ "transformer", strlen("transformer") });
    if (rc == SVL_OK)
        rc = svl_transformer_compile(text.data, text.len, out, &where);
    if (rc == SVL_OK) {
        svl__place_leave(&l->place);
        return SVL_OK;
    }
    size_t text_at = (size_t)((const uint8_t *)text.data - l->scan.start);
    return rc == SVL_E_NOMEM ? rc
                             : svl__place_fail(&l->place, rc, text_at + (size_t)where.offset,
                                               "%.60s: %.180s", where.path, where.message);
}

/* The rule of the members, linked but not published; a disabled one's pattern is only checked. */
static int link_rule(struct loading *l, struct members *m)
{
    struct plan plan;
    struct loaded_rule rule = { .number = rule_count(l), .name_at = m->name_at };
    int rc = svl__place_enter(&l->place, (svl_slice){ "pattern", strlen("pattern") });
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *before = svl__loaded_find(l->ruleset, m->decoded);
    rule.id = before ? before->id : l->ruleset->next_id + rule_count(l);
    size_t pattern_at = (size_t)(m->pattern.at - m->pattern.start); /* but for spaces */
    rc = svl__plan_parse(&plan, &m->pattern, &l->ruleset->plan_limits, &l->place);
    if (rc == SVL_OK && !m->is_disabled)
        rc = svl__machine_link(&l->ruleset->machine, &plan, rule.id, &l->place, pattern_at,
                               &rule.rule);
    svl__plan_free(&plan);
    if (rc != SVL_OK)
        return rc;
    svl__place_leave(&l->place);
    if (m->has_transformer)
        rc = compile_transformer(l, m, &rule.transformer);
    if (rc == SVL_OK) {
        rule.name = svl__strdup(m->decoded);
        rc = rule.name ? SVL_OK : SVL_E_NOMEM;
    }
    if (rc == SVL_OK) {
        svl__buffer_append(&l->rules, &rule, sizeof rule);
        rc = l->rules.failed ? SVL_E_NOMEM : SVL_OK;
    }
    if (rc != SVL_OK) {
        drop_rule(l, &rule);
        return rc;
    }
    l->enabled += rule.rule != NULL;
    return SVL_OK;
}

/* A rule, behind its JSON_OBJECT. */
static int take_rule(struct loading *l)
{
    struct members m = { .has_name = false };
    size_t rule_at_byte = json_offset(&l->scan);
    enum json_token token;
    while ((token = svl__json_next(&l->scan)) == JSON_NAME) {
        int rc = take_member(l, &m);
        if (rc != SVL_OK)
            return rc;
    }
    if (token != JSON_OBJECT_END)
        return fail_token(l, token, "");
    if (!m.has_name || !m.has_pattern)
        return svl__place_fail(&l->place, SVL_E_PATTERN, rule_at_byte, "a rule without a %s",
                               m.has_name ? "pattern" : "name");
    int rc = link_rule(l, &m);
    l->place.rule = (svl_slice){ "", 0 };
    return rc;
}

static int take_rules(struct loading *l)
{
    enum json_token token = svl__json_next(&l->scan);
    if (token != JSON_ARRAY)
        return fail_token(l, token, "\"rules\" is a list of rules");
    for (uint64_t i = 0; (token = svl__json_next(&l->scan)) != JSON_ARRAY_END; i++) {
        int rc = svl__place_enter_index(&l->place, i);
        if (rc == SVL_OK)
            rc = token == JSON_OBJECT
                     ? take_rule(l)
                     : fail_token(l, token, "a rule is an object: {\"name\": , \"pattern\": }");
        if (rc != SVL_OK)
            return rc;
        svl__place_leave(&l->place);
    }
    return SVL_OK;
}

static int take_file(struct loading *l)
{
    static const char wanted[] = "a file of rules is an object: {\"rules\": [...]}";
    enum json_token token = svl__json_next(&l->scan);
    if (token != JSON_OBJECT)
        return fail_token(l, token, wanted);
    while ((token = svl__json_next(&l->scan)) == JSON_NAME) {
        struct json_text name = l->scan.text;
        int rc = svl__place_enter(&l->place, (svl_slice){ name.data, name.len });
        if (rc != SVL_OK)
            return rc;
        if (!is_text(name, "rules") || l->has_rules)
            return fail(l, l->has_rules ? "given twice" : wanted);
        l->has_rules = true;
        rc = take_rules(l);
        if (rc != SVL_OK)
            return rc;
        svl__place_leave(&l->place);
    }
    if (token != JSON_OBJECT_END || svl__json_next(&l->scan) != JSON_END)
        return fail_token(l, JSON_ERROR, "");
    return l->has_rules ? SVL_OK : svl__place_fail(&l->place, SVL_E_PATTERN, 0, "%s", wanted);
}

/* Tells it at the name of the later one. */
static int fail_twice(struct loading *l, const struct loaded_rule *a, const struct loaded_rule *b)
{
    const struct loaded_rule *later = a->number > b->number ? a : b;
    int rc = svl__place_enter(&l->place, (svl_slice){ "rules", strlen("rules") });
    if (rc == SVL_OK)
        rc = svl__place_enter_index(&l->place, later->number);
    if (rc == SVL_OK)
        rc = svl__place_enter(&l->place, (svl_slice){ "name", strlen("name") });
    return rc == SVL_OK ? svl__place_fail(&l->place, SVL_E_PATTERN, later->name_at,
                                          "two rules are named \"%s\"", later->name)
                        : rc;
}

/* Names of one rule only, and not more rules than there may be. */
static int check_all(struct loading *l)
{
    svl_ruleset *ruleset = l->ruleset;
    size_t n = rule_count(l);
    uint64_t others = ruleset->machine.rules.live - l->enabled;
    for (size_t i = 0; i < ruleset->loaded.count; i++)
        others -= ruleset->loaded.rules[i].rule != NULL;
    if (others + l->enabled > ruleset->rules_max)
        return svl__place_fail(&l->place, SVL_E_LIMIT, 0,
                               "%llu rules with those of the file: "
                               "rules_max is %llu",
                               (unsigned long long)(others + l->enabled),
                               (unsigned long long)ruleset->rules_max);
    if (n > 1)
        qsort(rule_at(l, 0), n, sizeof(struct loaded_rule), svl__loaded_order);
    for (size_t i = 1; i < n; i++)
        if (svl__loaded_order(rule_at(l, i - 1), rule_at(l, i)) == 0)
            return fail_twice(l, rule_at(l, i - 1), rule_at(l, i));
    return SVL_OK;
}

/* The rules themselves, of a list: those that are enabled. */
static size_t enabled_of(const struct loaded_rule *rules, size_t n, struct rule **out)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (rules[i].rule)
            out[count++] = rules[i].rule;
    return count;
}

/* The file's rules, as the ruleset keeps them. */
static struct loaded take_all(struct loading *l, struct loaded_rule **by_id)
{
    struct loaded all = { (void *)l->rules.data, by_id, rule_count(l), 0 };
    for (size_t i = 0; i < all.count; i++) {
        by_id[i] = &all.rules[i];
        all.bytes += sizeof *by_id[i] + sizeof by_id[i] + strlen(by_id[i]->name) + 1;
    }
    if (all.count > 1)
        qsort(by_id, all.count, sizeof *by_id, svl__loaded_order_by_id);
    l->rules = (struct buffer){ .data = NULL };
    return all;
}

/* Makes the file's rules the ruleset's. */
static int publish(struct loading *l)
{
    svl_ruleset *ruleset = l->ruleset;
    size_t n = rule_count(l);
    struct loaded old = ruleset->loaded;
    struct rule **added = svl__malloc((n + old.count) * sizeof *added);
    struct loaded_rule **by_id = svl__malloc(n * sizeof *by_id);
    if (!added || !by_id) {
        svl__free(added);
        svl__free(by_id);
        return SVL_E_NOMEM;
    }
    size_t added_count = n > 0 ? enabled_of(rule_at(l, 0), n, added) : 0;
    struct rule **removed = added + added_count;
    size_t removed_count = enabled_of(old.rules, old.count, removed);
    struct loaded all = take_all(l, by_id);
    /* Both at once: whose match has a new rule's id finds its name. */
    pthread_mutex_lock(&ruleset->loaded_lock);
    svl__machine_publish(&ruleset->machine, added, added_count, removed, removed_count);
    ruleset->loaded = all;
    pthread_mutex_unlock(&ruleset->loaded_lock);
    ruleset->next_id += n;
    svl__free(added);
    svl__loaded_free(&old);
    return SVL_OK;
}

/* What was linked for nothing. */
static void undo(struct loading *l)
{
    for (size_t i = 0; i < rule_count(l); i++)
        drop_rule(l, rule_at(l, i));
    svl__machine_publish(&l->ruleset->machine, NULL, 0, NULL, 0);
    svl__buffer_free(&l->rules);
}

int svl_ruleset_load(svl_ruleset *ruleset, const char *json, size_t len, uint64_t *rules,
                     svl_pattern_error *where)
{
    if (rules)
        *rules = 0;
    int rc = svl__place_check(where);
    if (rc != SVL_OK)
        return rc;
    if (!json)
        return svl__fail(SVL_E_INVALID, "the text is NULL");
    if (len > FILE_BYTES_MAX)
        return svl__fail(SVL_E_LIMIT, "a file of rules of %zu bytes; at most 1 GiB", len);
    rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    struct loading l = { .ruleset = ruleset };
    svl__place_init(&l.place);
    svl__json_start(&l.scan, json, len, JSON_DEPTH_LIMIT);
    rc = take_file(&l);
    if (rc == SVL_OK)
        rc = check_all(&l);
    if (rc == SVL_OK)
        rc = publish(&l);
    if (rc == SVL_OK && rules)
        *rules = l.enabled;
    if (rc != SVL_OK)
        undo(&l);
    pthread_mutex_unlock(&ruleset->lock);
    rc = svl__place_report(&l.place, rc, where);
    svl__place_free(&l.place);
    return rc;
}
