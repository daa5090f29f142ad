/* loaded.c - the rules that came from a file, by name and by id, and what their transformers make of an event.
 *
 * They are looked up with a lock that a load takes only as it ends. A transformer is applied without it: with a
 * reference of its own, so it lives until that is done, whatever is loaded meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "ruleset.h"
#include "transform.h"

int svl__loaded_order(const void *a, const void *b)
{
    return strcmp(((const struct loaded_rule *)a)->name, ((const struct loaded_rule *)b)->name);
}

struct loaded_rule *svl__loaded_find(const svl_ruleset *ruleset, const char *name)
{
    struct loaded_rule wanted = { .name = (char *)(uintptr_t)name };
    const struct loaded *all = &ruleset->loaded;
    if (all->count == 0)
        return NULL;
    return bsearch(&wanted, all->rules, all->count, sizeof wanted, svl__loaded_order);
}

int svl__loaded_order_by_id(const void *a, const void *b)
{
    uint64_t x = (*(struct loaded_rule *const *)a)->id, y = (*(struct loaded_rule *const *)b)->id;
    return x < y ? -1 : x > y;
}

static const struct loaded_rule *find_id(const svl_ruleset *ruleset, uint64_t id)
{
    struct loaded_rule wanted = { .id = id }, *place = &wanted;
    const struct loaded *all = &ruleset->loaded;
    if (all->count == 0)
        return NULL;
    struct loaded_rule **found =
        bsearch(&place, all->by_id, all->count, sizeof place, svl__loaded_order_by_id);
    return found ? *found : NULL;
}

void svl__loaded_free(struct loaded *loaded)
{
    for (size_t i = 0; i < loaded->count; i++) {
        svl__free(loaded->rules[i].name);
        svl_transformer_destroy(loaded->rules[i].transformer);
    }
    svl__free(loaded->rules);
    svl__free(loaded->by_id);
    *loaded = (struct loaded){ .count = 0 };
}

/* SVL_OK, with the lock of what is loaded; else as svl__ruleset_check(), without. */
static int enter(svl_ruleset *ruleset)
{
    int rc = svl__ruleset_check(ruleset);
    if (rc == SVL_OK)
        pthread_mutex_lock(&ruleset->loaded_lock);
    return rc;
}

int svl_ruleset_name(svl_ruleset *ruleset, uint64_t id, char *buffer, size_t capacity,
                     size_t *needed)
{
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = find_id(ruleset, id);
    if (rule) {
        *needed = strlen(rule->name);
        if (buffer && capacity > 0) {
            size_t n = *needed < capacity - 1 ? *needed : capacity - 1;
            memcpy(buffer, rule->name, n);
            buffer[n] = 0;
        }
    }
    pthread_mutex_unlock(&ruleset->loaded_lock);
    return rule ? SVL_OK : SVL_E_NOT_FOUND;
}

int svl_ruleset_find(svl_ruleset *ruleset, const char *name, uint64_t *id)
{
    if (id)
        *id = 0;
    if (!name || !id)
        return svl__fail(SVL_E_INVALID, "an argument is NULL");
    int rc = enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = svl__loaded_find(ruleset, name);
    if (rule)
        *id = rule->id;
    pthread_mutex_unlock(&ruleset->loaded_lock);
    return rule ? SVL_OK : SVL_E_NOT_FOUND;
}

/* What a rule's transformer needs: with a reference to it, given back by svl_transformer_destroy(). */
struct use {
    svl_transformer *transformer;
    char rule[LOADED_NAME_MAX + 1];
};

static int take_transformer(svl_ruleset *ruleset, uint64_t id, struct use *use)
{
    int rc = enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = find_id(ruleset, id);
    if (rule && rule->transformer) {
        use->transformer = svl__transformer_share(rule->transformer);
        memcpy(use->rule, rule->name, strlen(rule->name) + 1);
    } else {
        rc = SVL_E_NOT_FOUND;
    }
    pthread_mutex_unlock(&ruleset->loaded_lock);
    return rc;
}

int svl_ruleset_transform_json(svl_ruleset *ruleset, uint64_t id, const char *json, size_t len,
                               char *buffer, size_t capacity, size_t *needed)
{
    struct use use;
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = take_transformer(ruleset, id, &use);
    if (rc != SVL_OK)
        return rc;
    rc = svl_transformer_apply_json(use.transformer, json, len, use.rule, buffer, capacity, needed);
    svl_transformer_destroy(use.transformer);
    return rc;
}

int svl_ruleset_transform_record(svl_ruleset *ruleset, uint64_t id, const svl_record *record,
                                 char *buffer, size_t capacity, size_t *needed)
{
    struct use use;
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = take_transformer(ruleset, id, &use);
    if (rc != SVL_OK)
        return rc;
    rc = svl_transformer_apply_record(use.transformer, record, use.rule, buffer, capacity, needed);
    svl_transformer_destroy(use.transformer);
    return rc;
}
