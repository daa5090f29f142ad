/* loaded.c - the rules that came from a file, by name and by id, and what their transformers make of an event.
 *
 * All here is done with the ruleset's lock: a transformer lives until the next file. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "ruleset.h"

int svl__loaded_order(const void *a, const void *b)
{
    return strcmp(((const struct loaded_rule *)a)->name, ((const struct loaded_rule *)b)->name);
}

struct loaded_rule *svl__loaded_find(const svl_ruleset *ruleset, const char *name)
{
    struct loaded_rule wanted = { .name = (char *)(uintptr_t)name };
    if (ruleset->loaded_count == 0)
        return NULL;
    return bsearch(&wanted, ruleset->loaded, ruleset->loaded_count, sizeof wanted,
                   svl__loaded_order);
}

int svl__loaded_order_by_id(const void *a, const void *b)
{
    uint64_t x = (*(struct loaded_rule *const *)a)->id, y = (*(struct loaded_rule *const *)b)->id;
    return x < y ? -1 : x > y;
}

static const struct loaded_rule *find_id(const svl_ruleset *ruleset, uint64_t id)
{
    struct loaded_rule wanted = { .id = id }, *place = &wanted;
    if (ruleset->loaded_count == 0)
        return NULL;
    struct loaded_rule **found = bsearch(&place, ruleset->by_id, ruleset->loaded_count,
                                         sizeof place, svl__loaded_order_by_id);
    return found ? *found : NULL;
}

void svl__ruleset_forget(svl_ruleset *ruleset)
{
    for (size_t i = 0; i < ruleset->loaded_count; i++) {
        svl__free(ruleset->loaded[i].name);
        svl_transformer_destroy(ruleset->loaded[i].transformer);
    }
    svl__free(ruleset->loaded);
    svl__free(ruleset->by_id);
    ruleset->loaded = NULL;
    ruleset->by_id = NULL;
    ruleset->loaded_count = ruleset->loaded_bytes = 0;
}

int svl_ruleset_name(svl_ruleset *ruleset, uint64_t id, char *buffer, size_t capacity,
                     size_t *needed)
{
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = svl__ruleset_enter(ruleset);
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
    pthread_mutex_unlock(&ruleset->lock);
    return rule ? SVL_OK : SVL_E_NOT_FOUND;
}

int svl_ruleset_find(svl_ruleset *ruleset, const char *name, uint64_t *id)
{
    if (id)
        *id = 0;
    if (!name || !id)
        return svl__fail(SVL_E_INVALID, "an argument is NULL");
    int rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = svl__loaded_find(ruleset, name);
    if (rule)
        *id = rule->id;
    pthread_mutex_unlock(&ruleset->lock);
    return rule ? SVL_OK : SVL_E_NOT_FOUND;
}

int svl_ruleset_transform_json(svl_ruleset *ruleset, uint64_t id, const char *json, size_t len,
                               char *buffer, size_t capacity, size_t *needed)
{
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = find_id(ruleset, id);
    if (!rule || !rule->transformer)
        rc = SVL_E_NOT_FOUND;
    else
        rc = svl_transformer_apply_json(rule->transformer, json, len, rule->name, buffer, capacity,
                                        needed);
    pthread_mutex_unlock(&ruleset->lock);
    return rc;
}

int svl_ruleset_transform_record(svl_ruleset *ruleset, uint64_t id, const svl_record *record,
                                 char *buffer, size_t capacity, size_t *needed)
{
    if (!needed)
        return svl__fail(SVL_E_INVALID, "needed is NULL");
    *needed = 0;
    int rc = svl__ruleset_enter(ruleset);
    if (rc != SVL_OK)
        return rc;
    const struct loaded_rule *rule = find_id(ruleset, id);
    if (!rule || !rule->transformer)
        rc = SVL_E_NOT_FOUND;
    else
        rc = svl_transformer_apply_record(rule->transformer, record, rule->name, buffer, capacity,
                                          needed);
    pthread_mutex_unlock(&ruleset->lock);
    return rc;
}
