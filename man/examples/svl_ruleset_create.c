#include <serverlog.h>
#include <stdio.h>
#include <string.h>

#define IDS_MAX 64

/* Loads a file of rules and prints the names of those that an event matches. */
int match(const char *rules, const char *event)
{
    svl_ruleset *ruleset;
    svl_pattern_error where = { .struct_size = sizeof where };
    uint64_t ids[IDS_MAX];
    size_t matched;
    int rc = svl_ruleset_create(NULL, &ruleset);
    if (rc == SVL_OK)
        rc = svl_ruleset_load(ruleset, rules, strlen(rules), NULL, &where);
    if (rc == SVL_OK)
        rc = svl_ruleset_match_json(ruleset, event, strlen(event), 0, ids, IDS_MAX, &matched);
    for (size_t i = 0; rc == SVL_OK && i < matched && i < IDS_MAX; i++) {
        char name[256];
        size_t needed;
        rc = svl_ruleset_name(ruleset, ids[i], name, sizeof name, &needed);
        if (rc == SVL_OK)
            puts(name);
    }
    if (rc != SVL_OK)
        fprintf(stderr, "%s\n", svl_last_error());
    svl_ruleset_destroy(ruleset);
    return rc;
}
