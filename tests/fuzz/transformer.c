/* transformer.c - any bytes as a transformer and an event: up to the first NUL the one, behind it the other.
 * After a '#', the first is the template alone, in the middle of a transformer with a few variables. */
#include <serverlog/transformer.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/json_write.h"
#include "base/utf8.h"
#include "fuzz.h"

static svl_transformer *compile(const char *text, size_t len)
{
    svl_transformer *t;
    svl_pattern_error where = { .struct_size = sizeof where };
    int rc = svl_transformer_compile(text, len, &t, &where);
    MUST((rc == SVL_OK) == (t != NULL) && rc == where.code);
    MUST(where.offset <= len && where.warning_offset <= len);
    MUST((rc == SVL_OK) == (where.message[0] == 0));
    MUST(svl__utf8_valid(where.message, strlen(where.message)));
    return t;
}

static svl_transformer *compile_template(const char *template, size_t len)
{
    struct buffer text = { 0 };
    json_write_raw(&text, "{\"InputPathsMap\":{\"a\":\"$.a\",\"b\":\"$[0].b\"},\"InputTemplate\":");
    svl__json_write_string(&text, template, len);
    json_write_raw(&text, "}");
    svl_transformer *t = compile((const char *)text.data, text.len);
    svl__buffer_free(&text);
    return t;
}

static void must_be_valid(const svl_transformer *t, const char *out, size_t len)
{
    MUST(svl__utf8_valid(out, len));
    struct json_scan s;
    svl__json_start(&s, out, len, JSON_DEPTH_LIMIT);
    MUST(svl_transformer_body_kind(t) == SVL_BODY_TEXT || svl__json_check(&s));
}

/* What is measured is what comes. */
static void apply(const svl_transformer *t, const char *event, size_t len)
{
    struct json_scan s;
    svl__json_start(&s, event, len, 0);
    bool valid = svl__json_check(&s);
    size_t needed, again;
    int rc = svl_transformer_apply_json(t, event, len, "a\"rule", NULL, 0, &needed);
    MUST(valid ? rc == SVL_OK : rc == SVL_E_JSON || rc == SVL_E_LIMIT);
    if (rc == SVL_OK) {
        char *out = malloc(needed + 1);
        MUST(out != NULL);
        MUST(svl_transformer_apply_json(t, event, len, "a\"rule", out, needed + 1, &again) ==
             SVL_OK);
        MUST(again == needed && out[needed] == 0);
        must_be_valid(t, out, needed);
        free(out);
    }
    svl_attribute attribute = { .name = { event, len < 255 ? len : 255 },
                                .bytes = { event, len },
                                .kind = SVL_ATTRIBUTE_TEXT };
    svl_record record = { .ingest_ns = 1,
                          .body_kind = SVL_BODY_JSON,
                          .body = { event, len },
                          .key = { event, len < 480 ? len : 480 },
                          .attributes = &attribute,
                          .attribute_count = len > 0 && len < 255 && svl__utf8_valid(event, len) };
    char out[65536];
    MUST(svl_transformer_apply_record(t, &record, NULL, out, sizeof out, &needed) == SVL_OK);
    if (needed < sizeof out)
        must_be_valid(t, out, needed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    const char *nul = len > 0 ? memchr(text, 0, len) : NULL;
    if (!nul || len > 4096) /* what comes out must not reach its limit */
        return 0;
    size_t n = (size_t)(nul - text);
    svl_transformer *t = text[0] == '#' ? compile_template(text + 1, n - 1) : compile(text, n);
    if (t)
        apply(t, nul + 1, len - n - 1);
    svl_transformer_destroy(t);
    return 0;
}
