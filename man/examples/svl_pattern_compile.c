#include <serverlog.h>
#include <stdio.h>
#include <string.h>

/* Says whether an event matches a pattern, and why. */
int explain(const char *pattern_text, const char *event)
{
    svl_pattern *pattern;
    svl_pattern_error where = { .struct_size = sizeof where };
    char why[4096];
    size_t needed;
    int matched;
    int rc = svl_pattern_compile(pattern_text, strlen(pattern_text), &pattern, &where);
    if (rc != SVL_OK) {
        fprintf(stderr, "%s at byte %llu: %s\n", where.path, (unsigned long long)where.offset,
                where.message);
        return rc;
    }
    rc = svl_pattern_match_json(pattern, event, strlen(event), SVL_JSON_CHECK, &matched);
    if (rc == SVL_OK)
        rc = svl_pattern_explain_json(pattern, event, strlen(event), SVL_EXPLAIN_TEXT, why,
                                      sizeof why, &needed);
    if (rc == SVL_OK)
        printf("%s\n%s", matched ? "yes" : "no", why);
    svl_pattern_destroy(pattern);
    return rc;
}
