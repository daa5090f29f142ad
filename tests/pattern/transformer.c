/* Input transformers: what comes out of which template and event, and what is refused, with its place. */
#include <serverlog/transformer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/json_write.h"
#include "base/utf8.h"
#include "support/support.h"

#define EVENT                                                                                      \
    "{\"id\":\"7bf7\",\"source\":\"aws.ec2\",\"time\":\"2015-11-11T21:29:54Z\","                   \
    "\"resources\":[\"arn:1\",\"arn:2\"],\"detail\":{\"instance-id\":\"i-0123456789\","            \
    "\"state\":\"RUNNING\",\"n\":[1,2.50,[true,null]],\"o\":{\"a "                                 \
    "b\":{\"x\":\"q\\\"\\\\\\u00e4\"},"                                                            \
    "\"e\":{}},\"z\":\"\",\"lone\":\"a\\ud800b\",\"twice\":1,\"twice\":{\"v\":2},\"nul\":null}}"

/* A transformer with these paths, as JSON without its braces, and this template, which is escaped here. */
static char *config(const char *paths, const char *template)
{
    struct buffer out = { 0 };
    json_write_raw(&out, "{\"InputPathsMap\":{");
    json_write_raw(&out, paths);
    json_write_raw(&out, "},\"InputTemplate\":");
    svl__json_write_string(&out, template, strlen(template));
    svl__buffer_append(&out, "}", 2);
    assert_false(out.failed);
    char *copy = strdup((const char *)out.data);
    assert_non_null(copy);
    svl__buffer_free(&out);
    return copy;
}

static svl_transformer *compile(const char *paths, const char *template)
{
    char *text = config(paths, template);
    svl_transformer *transformer;
    svl_pattern_error where = { .struct_size = sizeof where };
    assert_ok(svl_transformer_compile(text, strlen(text), &transformer, &where));
    free(text);
    return transformer;
}

static const struct {
    const char *paths, *template, *output;
    uint32_t kind;
} cases[] = {
    /* the forms that EventBridge's documentation shows */
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"", "\"instance <i> is in <s>\"",
      "\"instance i-0123456789 is in RUNNING\"", SVL_BODY_JSON },
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"",
      "\"instance \\\"<i>\\\" is in <s>\"", "\"instance \\\"i-0123456789\\\" is in RUNNING\"",
      SVL_BODY_JSON },
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"",
      "{\"instance\": <i>, \"state\": <s>}",
      "{\"instance\": \"i-0123456789\", \"state\": \"RUNNING\"}", SVL_BODY_JSON },
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"",
      "{\"instance\": <i>, \"state\": \"<s>\", \"status\": \"instance \\\"<i>\\\" is in <s>\"}",
      "{\"instance\": \"i-0123456789\", \"state\": \"RUNNING\", \"status\": \"instance "
      "\\\"i-0123456789\\\" is in RUNNING\"}",
      SVL_BODY_JSON },
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"",
      "{\"instance\": <i>, \"state\": [9, <s>, true], \"Transformed\": \"Yes\"}",
      "{\"instance\": \"i-0123456789\", \"state\": [9, \"RUNNING\", true], \"Transformed\": "
      "\"Yes\"}",
      SVL_BODY_JSON },
    { "\"i\":\"$.detail.instance-id\",\"s\":\"$.detail.state\"", "<i> is in state <s>",
      "i-0123456789 is in state RUNNING", SVL_BODY_TEXT },
    /* values of every kind, in every place */
    { "\"v\":\"$.detail.n\"", "{\"v\":<v>}", "{\"v\":[1,2.50,[true,null]]}", SVL_BODY_JSON },
    { "\"v\":\"$.detail.n\"", "{\"v\":\"<v>\"}", "{\"v\":\"[1,2.50,[true,null]]\"}",
      SVL_BODY_JSON },
    { "\"v\":\"$.detail.n\"", "v: <v>", "v: [1,2.50,[true,null]]", SVL_BODY_TEXT },
    { "\"v\":\"$.detail.o\"", "{\"v\":<v>}",
      "{\"v\":{\"a b\":{\"x\":\"q\\\"\\\\\\u00e4\"},\"e\":{}}}", SVL_BODY_JSON },
    { "\"v\":\"$.detail.o\"", "{\"v\":\"<v>\"}",
      "{\"v\":\"{\\\"a b\\\":{\\\"x\\\":\\\"q\\\\\\\"\\\\\\\\\\\\u00e4\\\"},\\\"e\\\":{}}\"}",
      SVL_BODY_JSON },
    { "\"v\":\"$.detail.n[1]\"", "[<v>,\"<v>\"]", "[2.50,\"2.50\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.n[2][0]\"", "[<v>,\"<v>\"]", "[true,\"true\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.nul\"", "[<v>,\"<v>\"]", "[null,\"null\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.z\"", "[<v>,\"<v>\"]", "[\"\",\"\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.z\"", "z=<v>.", "z=.", SVL_BODY_TEXT },
    { "\"v\":\"$.detail.o['a b'].x\"", "[<v>,\"<v>\"]",
      "[\"q\\\"\\\\\\u00e4\",\"q\\\"\\\\\\u00e4\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.o['a b'].x\"", "x: <v>", "x: q\"\\\xc3\xa4", SVL_BODY_TEXT },
    { "\"v\":\"$.detail.lone\"", "[<v>]", "[\"a\\ud800b\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.lone\"", "x: <v>",
      "x: a\xef\xbf\xbd"
      "b",
      SVL_BODY_TEXT },
    { "\"v\":\"$.detail.lone\"", "{\"<v>\":1}", "{\"a\\ud800b\":1}", SVL_BODY_JSON },
    /* what is not there */
    { "\"v\":\"$.detail.none\"", "[<v>,\"<v>\",\"a<v>b\"]", "[null,\"\",\"ab\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.none\"", "x: <v>.", "x: .", SVL_BODY_TEXT },
    { "\"v\":\"$.detail.n[3]\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.state.x\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.state[0]\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$.detail[0]\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$.resources.x\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$[0]\"", "[<v>]", "[null]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.n[4294967295]\"", "[<v>]", "[null]", SVL_BODY_JSON },
    /* paths */
    { "\"v\":\"$.resources[0]\"", "[<v>]", "[\"arn:1\"]", SVL_BODY_JSON },
    { "\"v\":\"$['resources'][1]\"", "[<v>]", "[\"arn:2\"]", SVL_BODY_JSON },
    { "\"v\":\"$[\\\"detail\\\"]['state']\"", "[<v>]", "[\"RUNNING\"]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.twice\"", "[<v>]", "[{\"v\":2}]", SVL_BODY_JSON },
    { "\"v\":\"$.detail.twice.v\"", "[<v>]", "[2]", SVL_BODY_JSON },
    { "\"v\":\"$\"", "<v>", EVENT, SVL_BODY_JSON },
    { "\"v\":\"$.detail.state\"", " <v>\n", " \"RUNNING\"\n", SVL_BODY_JSON },
    /* reserved names */
    { "", "<aws.events.event.json>", EVENT, SVL_BODY_JSON },
    { "", "{\"e\":<aws.events.event>}",
      "{\"e\":{\"id\":\"7bf7\",\"source\":\"aws.ec2\",\"time\":\"2015-11-11T21:29:54Z\","
      "\"resources\":[\"arn:1\",\"arn:2\"]}}",
      SVL_BODY_JSON },
    { "", "{\"r\":<aws.events.rule-name>,\"t\":\"by <aws.events.rule-arn>\"}",
      "{\"r\":\"a \\\"rule\\\"\",\"t\":\"by a \\\"rule\\\"\"}", SVL_BODY_JSON },
    { "", "by <aws.events.rule-name>", "by a \"rule\"", SVL_BODY_TEXT },
    { "", "[<aws.events.event.ingestion-time>]", "[null]", SVL_BODY_JSON },
    /* what is no variable */
    { "\"v\":\"$.id\"", "{\"a\":\"x < y > z <> <\",\"b\":<v>}",
      "{\"a\":\"x < y > z <> <\",\"b\":\"7bf7\"}", SVL_BODY_JSON },
    { "\"v\":\"$.id\"", "1 < 2, <v> <- <<v>>", "1 < 2, 7bf7 <- <7bf7>", SVL_BODY_TEXT },
    { "\"v\":\"$.id\"", "C:\\<v>", "C:\\7bf7", SVL_BODY_TEXT },
    { "", "static", "static", SVL_BODY_TEXT },
    { "", "\"static\"", "\"static\"", SVL_BODY_JSON },
    { "", "  ", "  ", SVL_BODY_TEXT },
    { "\"v\":\"$.id\"", "<v><v>", "7bf77bf7", SVL_BODY_TEXT },
    { "\"v\":\"$.id\"", "{\"\\\\\": \"\\\\\", \"<v>\": \"\\\"<v>\"}",
      "{\"\\\\\": \"\\\\\", \"7bf7\": \"\\\"7bf7\"}", SVL_BODY_JSON },
    { "\"a-B_9\":\"$.id\"", "\xc3\xa4 <a-B_9>", "\xc3\xa4 7bf7", SVL_BODY_TEXT },
};

static void test_event_when_transformed_then_as_the_template_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_transformer *t = compile(cases[i].paths, cases[i].template);
        assert_int_equal(svl_transformer_body_kind(t), cases[i].kind);
        char out[2048];
        size_t needed;
        assert_ok(svl_transformer_apply_json(t, EVENT, strlen(EVENT), "a \"rule\"", out, sizeof out,
                                             &needed));
        assert_int_equal(needed, strlen(cases[i].output));
        if (strcmp(out, cases[i].output) != 0)
            fail_msg("case %zu, %s: %s", i, cases[i].template, out);
        svl_transformer_destroy(t);
    }
}

static void test_event_when_it_has_no_members_then_any_json_will_do(void **state)
{
    (void)state;
    static const struct {
        const char *event, *output;
    } roots[] = { { "5", "[5,5,null]" },
                  { " [1] ", "[ [1] , [1] ,null]" },
                  { "{}", "[{},{},null]" },
                  { "{\"detail\":1,\"x\":2,\"det\\u0061il\":3}",
                    "[{\"detail\":1,\"x\":2,\"det\\u0061il\":3},{\"x\":2},2]" },
                  { "{ \"x\" : 1 }", "[{ \"x\" : 1 },{\"x\" : 1},1]" } };
    svl_transformer *t =
        compile("\"v\":\"$.x\"", "[<aws.events.event.json>,<aws.events.event>,<v>]");
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        char out[256];
        size_t needed;
        assert_ok(svl_transformer_apply_json(t, roots[i].event, strlen(roots[i].event), NULL, out,
                                             sizeof out, &needed));
        assert_string_equal(out, roots[i].output);
    }
    svl_transformer_destroy(t);
}

static void test_output_when_it_does_not_fit_then_measured_and_none_of_it(void **state)
{
    (void)state;
    svl_transformer *t = compile("\"v\":\"$.id\"", "{\"v\":<v>}");
    static const char expected[] = "{\"v\":\"7bf7\"}";
    size_t needed;
    assert_ok(svl_transformer_apply_json(t, EVENT, strlen(EVENT), NULL, NULL, 0, &needed));
    assert_int_equal(needed, strlen(expected));
    for (size_t capacity = 1; capacity < sizeof expected + 3; capacity++) {
        char out[32];
        memset(out, '#', sizeof out);
        assert_ok(
            svl_transformer_apply_json(t, EVENT, strlen(EVENT), NULL, out, capacity, &needed));
        assert_int_equal(needed, strlen(expected));
        assert_string_equal(out, capacity < sizeof expected ? "" : expected);
        assert_int_equal(out[capacity], '#');
    }
    svl_transformer_destroy(t);
}

static void test_event_when_not_json_then_refused(void **state)
{
    (void)state;
    svl_transformer *t = compile("", "{\"a\":1}");
    static const char *const events[] = { "", " ", "{", "{\"a\":1,}", "[1] 2", "\"\xff\"", "nul" };
    size_t needed = 7;
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        char out[32];
        assert_int_equal(svl_transformer_apply_json(t, events[i], strlen(events[i]), NULL, out,
                                                    sizeof out, &needed),
                         SVL_E_JSON);
        assert_int_equal(needed, 0);
    }
    char deep[260];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    assert_int_equal(svl_transformer_apply_json(t, deep, 258, NULL, NULL, 0, &needed), SVL_E_LIMIT);
    assert_ok(svl_transformer_apply_json(t, deep + 1, 256, NULL, NULL, 0, &needed));
    assert_int_equal(svl_transformer_apply_json(t, "{}", 2, "\xff", NULL, 0, &needed), SVL_E_UTF8);
    svl_transformer_destroy(t);
}

static void test_output_when_larger_than_its_limit_then_refused(void **state)
{
    (void)state;
    size_t len = 9u << 20, needed;
    char *event = malloc(len);
    assert_non_null(event);
    memset(event, 'x', len);
    event[0] = event[len - 1] = '"';
    svl_transformer *once = compile("", "[<aws.events.event.json>]");
    svl_transformer *twice = compile("", "[<aws.events.event.json>,<aws.events.event.json>]");
    assert_ok(svl_transformer_apply_json(once, event, len, NULL, NULL, 0, &needed));
    assert_int_equal(needed, len + 2);
    assert_int_equal(svl_transformer_apply_json(twice, event, len, NULL, NULL, 0, &needed),
                     SVL_E_LIMIT);
    svl_transformer_destroy(once);
    svl_transformer_destroy(twice);
    free(event);
}

static void test_transformer_when_wrong_then_its_place_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        size_t offset;
        const char *path;
    } wrong[] = {
        { "", SVL_E_PATTERN, 0, "$" },
        { "[]", SVL_E_PATTERN, 0, "$" },
        { "{}", SVL_E_PATTERN, 2, "$" },
        { "{\"InputTemplate\":\"a\"} x", SVL_E_PATTERN, 22, "$" },
        { "{\"InputTemplate\":\"a\",\"x\":1}", SVL_E_PATTERN, 21, "$.x" },
        { "{\"InputTemplate\":\"a\",\"InputTemplate\":\"b\"}", SVL_E_PATTERN, 37,
          "$.InputTemplate" },
        { "{\"InputTemplate\":5}", SVL_E_PATTERN, 17, "$.InputTemplate" },
        { "{\"InputTemplate\":\"\"}", SVL_E_PATTERN, 17, "$.InputTemplate" },
        { "{\"InputTemplate\":{\"a\":1}}", SVL_E_PATTERN, 17, "$.InputTemplate" },
        { "{\"InputTemplate\":\"\\ud800\"}", SVL_E_PATTERN, 17, "$.InputTemplate" },
        { "{\"InputPathsMap\":{}}", SVL_E_PATTERN, 20, "$" },
        { "{\"InputPathsMap\":[]}", SVL_E_PATTERN, 17, "$.InputPathsMap" },
        { "{\"InputPathsMap\":{},\"InputPathsMap\":{}}", SVL_E_PATTERN, 36, "$.InputPathsMap" },
        { "{\"InputPathsMap\":{\"a\":1}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"x\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$x\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$.\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$..x\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$.*\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$.a b\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[]\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[*]\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[-1]\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[1\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[1:2]\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$['a\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$['a'\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"a\":\"$[4294967296]\"}}", SVL_E_PATTERN, 22, "$.InputPathsMap.a" },
        { "{\"InputPathsMap\":{\"\":\"$\"}}", SVL_E_PATTERN, 18, "$.InputPathsMap" },
        { "{\"InputPathsMap\":{\"a b\":\"$\"}}", SVL_E_PATTERN, 18, "$.InputPathsMap" },
        { "{\"InputPathsMap\":{\"aws.events.event\":\"$\"}}", SVL_E_PATTERN, 18,
          "$.InputPathsMap" },
        { "{\"InputPathsMap\":{\"a\":\"$\",\"a\":\"$\"}}", SVL_E_PATTERN, 26, "$.InputPathsMap" },
        { "{\"InputPathsMap\":{\"a\":\"$\"", SVL_E_PATTERN, 25, "$.InputPathsMap" },
        { "{\"InputTemplate\":\"a <b> c\"}", SVL_E_PATTERN, 20, "$.InputTemplate" },
        { "{\"InputTemplate\":\"\\u00e4\\n <b>\"}", SVL_E_PATTERN, 27, "$.InputTemplate" },
        { "{\"InputTemplate\":\"<aws.events.x>\"}", SVL_E_PATTERN, 18, "$.InputTemplate" },
        { "{\"InputTemplate\":\"{\\\"a\\\":}\"}", SVL_E_PATTERN, 25, "$.InputTemplate" },
        { "{\"InputTemplate\":\"{\\\"a\\\":1\"}", SVL_E_PATTERN, 26, "$.InputTemplate" },
        { "{\"InputTemplate\":\"[1] 2\"}", SVL_E_PATTERN, 22, "$.InputTemplate" },
        { "{\"InputTemplate\":\"[\\\"\\\\x\\\"]\"}", SVL_E_PATTERN, 21, "$.InputTemplate" },
        { "{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"{<a>:1}\"}", SVL_E_PATTERN, 46,
          "$.InputTemplate" },
        { "{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"[<a><a>]\"}", SVL_E_PATTERN, 49,
          "$.InputTemplate" },
        { "{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"[1<a>]\"}", SVL_E_PATTERN, 47,
          "$.InputTemplate" },
        { "{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"[<a>.5]\"}", SVL_E_PATTERN, 48,
          "$.InputTemplate" },
        { "{\"InputPathsMap\":{\"a\":\"$\"},\"InputTemplate\":\"[\\\"\\\\<a>\\\"]\"}",
          SVL_E_PATTERN, 47, "$.InputTemplate" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        svl_transformer *t;
        svl_pattern_error where = { .struct_size = sizeof where };
        int rc = svl_transformer_compile(wrong[i].text, strlen(wrong[i].text), &t, &where);
        assert_null(t);
        if (rc != wrong[i].code || where.code != rc || where.offset != wrong[i].offset ||
            strcmp(where.path, wrong[i].path) != 0 || where.message[0] == 0)
            fail_msg("%s: %d at %zu, %s: %s", wrong[i].text, rc, (size_t)where.offset, where.path,
                     where.message);
    }
}

static void test_transformer_when_too_large_then_refused(void **state)
{
    (void)state;
    struct buffer paths = { 0 };
    svl_transformer *t;
    svl_pattern_error where = { .struct_size = sizeof where };
    for (int n = 0; n < 101; n++) {
        char variable[32];
        int len = snprintf(variable, sizeof variable, "%s\"v%d\":\"$.x\"", n > 0 ? "," : "", n);
        svl__buffer_append(&paths, variable, (size_t)len + 1);
        char *text = config((const char *)paths.data, "<v0>");
        paths.len--;
        int rc = svl_transformer_compile(text, strlen(text), &t, &where);
        assert_int_equal(rc, n < 100 ? SVL_OK : SVL_E_LIMIT);
        assert_int_equal(where.warnings, n < 100 ? n : 0);
        svl_transformer_destroy(t);
        free(text);
    }
    svl__buffer_free(&paths);

    size_t len = (256u << 10) + 1;
    char *large = malloc(len);
    assert_non_null(large);
    memset(large, ' ', len);
    memcpy(large, "{\"InputTemplate\":\"a\"}", 21);
    assert_int_equal(svl_transformer_compile(large, len, &t, &where), SVL_E_LIMIT);
    assert_ok(svl_transformer_compile(large, len - 1, &t, &where));
    svl_transformer_destroy(t);
    free(large);
}

static void test_call_when_it_lacks_something_then_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"InputTemplate\":\"a\"}";
    svl_transformer *t;
    svl_record record = { .id = 0 };
    size_t needed;
    svl_pattern_error where = { .struct_size = 1 };
    assert_int_equal(svl_transformer_compile(text, strlen(text), NULL, NULL), SVL_E_INVALID);
    assert_int_equal(svl_transformer_compile(NULL, 1, &t, NULL), SVL_E_INVALID);
    assert_null(t);
    assert_int_equal(svl_transformer_compile(text, strlen(text), &t, &where), SVL_E_STRUCT_SIZE);
    assert_null(t);
    assert_ok(svl_transformer_compile(text, strlen(text), &t, NULL));
    assert_int_equal(svl_transformer_apply_json(NULL, "1", 1, NULL, NULL, 0, &needed),
                     SVL_E_INVALID);
    assert_int_equal(svl_transformer_apply_json(t, NULL, 1, NULL, NULL, 0, &needed), SVL_E_INVALID);
    assert_int_equal(svl_transformer_apply_json(t, "1", 1, NULL, NULL, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_transformer_apply_record(NULL, &record, NULL, NULL, 0, &needed),
                     SVL_E_INVALID);
    assert_int_equal(svl_transformer_apply_record(t, NULL, NULL, NULL, 0, &needed), SVL_E_INVALID);
    assert_int_equal(svl_transformer_apply_record(t, &record, NULL, NULL, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_transformer_body_kind(NULL), SVL_BODY_TEXT);
    svl_transformer_destroy(t);
    svl_transformer_destroy(NULL);
}

/* Whatever the values are, what comes out of a template that is JSON is JSON, and of text is UTF-8. */
static void test_values_when_any_then_the_output_is_valid(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    static const char *const pieces[] = { "a",        "\\\"",    "\\\\",    "\\n",
                                          "\\u0000",  "\\ud800", "\\udc00", "\\ud83d\\ude00",
                                          "\xc3\xa4", "<v>",     "}",       "]" };
    static const char *const scalars[] = { "1",  "-0.5e3", "true",         "null",
                                           "[]", "{}",     "[1,\"x\\\"\"]" };
    svl_transformer *json = compile("\"v\":\"$.v\"", "{\"a\":<v>,\"b\":\"x<v>y\",\"<v>\":[<v>]}");
    svl_transformer *text = compile("\"v\":\"$.v\"", "a <v> b <v>");
    for (int i = 0; i < 20000; i++) {
        char event[256] = "{\"v\":";
        if (rng_below(&rng, 3) == 0) {
            strcat(event, scalars[rng_below(&rng, sizeof scalars / sizeof scalars[0])]);
        } else {
            strcat(event, "\"");
            for (size_t n = rng_below(&rng, 8); n > 0; n--)
                strcat(event, pieces[rng_below(&rng, sizeof pieces / sizeof pieces[0])]);
            strcat(event, "\"");
        }
        strcat(event, "}");
        char out[2048];
        size_t needed;
        assert_ok(
            svl_transformer_apply_json(json, event, strlen(event), NULL, out, sizeof out, &needed));
        struct json_scan s;
        svl__json_start(&s, out, needed, 0);
        if (!svl__json_check(&s))
            fail_msg("%s: %s", event, out);
        assert_ok(
            svl_transformer_apply_json(text, event, strlen(event), NULL, out, sizeof out, &needed));
        assert_true(svl__utf8_valid(out, needed));
    }
    svl_transformer_destroy(json);
    svl_transformer_destroy(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_when_transformed_then_as_the_template_says),
        cmocka_unit_test(test_event_when_it_has_no_members_then_any_json_will_do),
        cmocka_unit_test(test_output_when_it_does_not_fit_then_measured_and_none_of_it),
        cmocka_unit_test(test_event_when_not_json_then_refused),
        cmocka_unit_test(test_output_when_larger_than_its_limit_then_refused),
        cmocka_unit_test(test_transformer_when_wrong_then_its_place_is_told),
        cmocka_unit_test(test_transformer_when_too_large_then_refused),
        cmocka_unit_test(test_call_when_it_lacks_something_then_refused),
        cmocka_unit_test(test_values_when_any_then_the_output_is_valid),
    };
    return cmocka_run_group_tests_name("pattern/transformer", tests, NULL, NULL);
}
