/* pattern.c - any bytes as a pattern and an event: up to the first NUL the one, behind it the other. A pattern
 * alone, one rule of a ruleset, and an explanation say the same; after a '#' it is a file of rules. */
#include <serverlog/pattern.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/utf8.h"
#include "fuzz.h"

static void check_where(const svl_pattern_error *where, int rc, size_t len)
{
    MUST(rc == where->code && (rc == SVL_OK) == (where->message[0] == 0));
    MUST(where->offset <= len && where->warning_offset <= len);
    MUST((where->warnings == 0) == (where->warning[0] == 0));
    MUST(svl__utf8_valid(where->message, strlen(where->message)));
    MUST(svl__utf8_valid(where->path, strlen(where->path)));
    MUST(svl__utf8_valid(where->warning, strlen(where->warning)));
}

static void must_be_json(const char *text, size_t len)
{
    struct json_scan s;
    svl__json_start(&s, text, len, JSON_DEPTH_LIMIT);
    MUST(svl__json_check(&s));
}

static void explain(const svl_pattern *pattern, const char *event, size_t len, int matched)
{
    static const char *const words[] = { "\"matched\":false,\"reason\":\"the",
                                         "\"matched\":true,\"reason\":\"the" };
    size_t needed, again;
    MUST(svl_pattern_explain_json(pattern, event, len, SVL_EXPLAIN_JSON, NULL, 0, &needed) ==
         SVL_OK);
    char *out = malloc(needed + 1);
    MUST(out != NULL);
    MUST(svl_pattern_explain_json(pattern, event, len, SVL_EXPLAIN_JSON, out, needed + 1, &again) ==
         SVL_OK);
    MUST(again == needed && strlen(out) == needed);
    must_be_json(out, needed);
    MUST(strstr(out, words[matched]) != NULL);
    free(out);
}

static void match_record(const svl_pattern *pattern, const char *event, size_t len)
{
    svl_attribute attribute = { .name = { event, len < 255 ? len : 255 },
                                .bytes = { event, len },
                                .kind = SVL_ATTRIBUTE_TEXT };
    svl_record record = { .time_ns = (int64_t)len * INT64_C(-77777777777777),
                          .body_kind = SVL_BODY_JSON,
                          .body = { event, len },
                          .key = { event, len < 480 ? len : 480 },
                          .attributes = &attribute,
                          .attribute_count = 1 };
    int matched;
    int rc = svl_pattern_match_record(pattern, &record, 0, &matched);
    MUST(rc == SVL_OK || (rc == SVL_E_LIMIT && matched == 0));
}

static void match(const svl_pattern *pattern, svl_ruleset *ruleset, const char *event, size_t len)
{
    int matched, checked;
    uint64_t id = 0;
    size_t count;
    int rc = svl_pattern_match_json(pattern, event, len, 0, &matched);
    MUST(rc == SVL_OK || ((rc == SVL_E_JSON || rc == SVL_E_LIMIT) && matched == 0));
    if (svl_pattern_match_json(pattern, event, len, SVL_JSON_CHECK, &checked) == SVL_OK) {
        MUST(rc == SVL_OK && checked == matched);
        MUST(svl_ruleset_match_json(ruleset, event, len, 0, &id, 1, &count) == SVL_OK);
        MUST(count == (size_t)matched && id == (matched ? 7 : 0));
        explain(pattern, event, len, matched);
    }
    match_record(pattern, event, len);
}

static void compile_and_match(const char *text, size_t len, const char *event, size_t event_len)
{
    svl_pattern *pattern;
    svl_ruleset *ruleset;
    svl_pattern_error where = { .struct_size = sizeof where }, again = where;
    int rc = svl_pattern_compile(text, len, &pattern, &where);
    MUST((rc == SVL_OK) == (pattern != NULL));
    check_where(&where, rc, len);
    MUST(svl_ruleset_create(NULL, &ruleset) == SVL_OK);
    MUST(svl_ruleset_add(ruleset, 7, text, len, &again) == rc);
    MUST(memcmp(&where, &again, sizeof where) == 0);
    if (pattern)
        match(pattern, ruleset, event, event_len);
    svl_ruleset_destroy(ruleset);
    svl_pattern_destroy(pattern);
}

static void load(const char *text, size_t len, const char *event, size_t event_len)
{
    svl_ruleset *ruleset;
    svl_pattern_error where = { .struct_size = sizeof where };
    uint64_t rules;
    size_t count;
    MUST(svl_ruleset_create(NULL, &ruleset) == SVL_OK);
    int rc = svl_ruleset_load(ruleset, text, len, &rules, &where);
    check_where(&where, rc, len);
    int matched = svl_ruleset_match_json(ruleset, event, event_len, 0, NULL, 0, &count);
    MUST(matched != SVL_OK || count <= rules);
    svl_ruleset_destroy(ruleset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    const char *nul = len > 0 ? memchr(text, 0, len) : NULL;
    if (!nul)
        return 0;
    size_t n = (size_t)(nul - text);
    if (text[0] == '#')
        load(text + 1, n - 1, nul + 1, len - n - 1);
    else
        compile_and_match(text, n, nul + 1, len - n - 1);
    return 0;
}
