/* Records as events: which fields a pattern sees of one. Verdicts by hand, of the library and of the reference, for
 * which the record is written out as the document that serverlog/pattern.h describes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"
#include "support/support.h"

#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

static const svl_attribute order_attributes[] = {
    { .name = TEXT("http.status"), .kind = SVL_ATTRIBUTE_I64, .i64 = 503 },
    { .name = TEXT("http.method"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = TEXT("GET") },
    { .name = TEXT("ratio"), .kind = SVL_ATTRIBUTE_F64, .f64 = 0.25 },
    { .name = TEXT("cached"), .kind = SVL_ATTRIBUTE_BOOL, .i64 = 1 },
    { .name = TEXT("retried"), .kind = SVL_ATTRIBUTE_BOOL, .i64 = 0 },
    { .name = TEXT("raw"), .kind = SVL_ATTRIBUTE_BYTES, .bytes = TEXT("\xff\x00") },
    { .name = TEXT("big"), .kind = SVL_ATTRIBUTE_I64, .i64 = INT64_C(9007199254740993) },
    { .name = TEXT("low"), .kind = SVL_ATTRIBUTE_I64, .i64 = INT64_MIN },
    { .name = TEXT("quoted"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = TEXT("a\"b\\\n\xc3\xa9") },
    { .name = TEXT("none"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = { "", 0 } },
    { .name = TEXT("a..b"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = TEXT("x") },
};

enum which { ORDER, LINE, EMPTY, BINARY, BROKEN, LIST, DOTTED, RECORDS };

static const svl_record records[RECORDS] = {
    [ORDER] = { .id = 42,
                .time_ns = INT64_C(1767225600123456789), /* 2026-01-01T00:00:00.123456789Z */
                .ingest_ns = 7,
                .severity = SVL_SEVERITY_ERROR,
                .body_kind = SVL_BODY_JSON,
                .source = TEXT("shop.orders"),
                .type = TEXT("order.failed"),
                .key = TEXT("customer-7"),
                .body =
                    TEXT("{\"order\":{\"id\":17,\"total\":99.50,\"lines\":[{\"sku\":\"a\",\"n\":1},"
                         "{\"sku\":\"b\",\"n\":2}]},\"paid\":false,\"note\":null}"),
                .attributes = order_attributes,
                .attribute_count = sizeof order_attributes / sizeof *order_attributes },
    [LINE] = { .id = 1,
               .time_ns = 1,
               .severity = SVL_SEVERITY_INFO,
               .source = TEXT("sshd"),
               .body = TEXT("Accepted publickey for root from 10.1.2.3 \xc3\xa9 \"quoted\"") },
    [EMPTY] = { .id = 0 },
    [BINARY] = { .body_kind = SVL_BODY_BINARY, .key = TEXT("\xff"), .body = TEXT("{\"a\":1}") },
    [BROKEN] = { .severity = SVL_SEVERITY_ERROR + 3,
                 .body_kind = SVL_BODY_JSON,
                 .source = TEXT("s"),
                 .body = TEXT("{\"a\":") },
    [LIST] = { .body_kind = SVL_BODY_JSON, .body = TEXT("[1,{\"a\":\"x\"},\"y\"]") },
    [DOTTED] = { .body_kind = SVL_BODY_JSON,
                 .severity = SVL_SEVERITY_WARN,
                 .body = TEXT("{\"a.b\":1,\"a\":{\"c\":2}}") },
};

static const struct {
    const char *pattern;
    enum which record;
    int matches;
} cases[] = {
    /* The envelope. */
    { "{\"id\":[42]}", ORDER, 1 },
    { "{\"id\":[42.0]}", ORDER, 1 },
    { "{\"id\":[\"42\"]}", ORDER, 0 },
    { "{\"id\":[{\"numeric\":[\">\",41,\"<\",43]}]}", ORDER, 1 },
    { "{\"id\":[{\"exists\":true}]}", EMPTY, 0 },
    { "{\"time\":[\"2026-01-01T00:00:00.123456789Z\"]}", ORDER, 1 },
    { "{\"time\":[{\"prefix\":\"2026-01-\"}]}", ORDER, 1 },
    { "{\"time\":[{\"wildcard\":\"2026-*T00:*Z\"}]}", ORDER, 1 },
    { "{\"time\":[\"1970-01-01T00:00:00.000000001Z\"]}", LINE, 1 },
    { "{\"time\":[{\"exists\":false}]}", EMPTY, 1 },
    { "{\"time-ns\":[1767225600123456789]}", ORDER, 1 },
    { "{\"time-ns\":[1767225600123456788]}", ORDER, 0 },
    { "{\"time-ns\":[{\"numeric\":[\">=\",1767225600000000000]}]}", ORDER, 1 },
    { "{\"time-ns\":[{\"numeric\":[\">\",1767225600123456788]}]}", ORDER, 1 },
    { "{\"time-ns\":[{\"numeric\":[\">\",1767225600123456789]}]}", ORDER, 0 },
    { "{\"time-ns\":[{\"exists\":true}]}", EMPTY, 0 },
    { "{\"severity\":[17]}", ORDER, 1 },
    { "{\"severity\":[{\"numeric\":[\">=\",17]}]}", ORDER, 1 },
    { "{\"severity\":[{\"numeric\":[\">=\",17]}]}", LINE, 0 },
    { "{\"severity\":[0]}", EMPTY, 1 },
    { "{\"severity\":[\"ERROR\"]}", ORDER, 0 },
    { "{\"severity-text\":[\"ERROR\"]}", ORDER, 1 },
    { "{\"severity-text\":[\"INFO\"]}", LINE, 1 },
    { "{\"severity-text\":[{\"equals-ignore-case\":\"warn\"}]}", DOTTED, 1 },
    { "{\"severity-text\":[\"ERROR\"]}", LINE, 0 },
    { "{\"severity-text\":[\"ERROR\"],\"severity\":[20]}", BROKEN, 1 },
    { "{\"severity-text\":[{\"exists\":false}]}", EMPTY, 1 },
    { "{\"source\":[\"shop.orders\"]}", ORDER, 1 },
    { "{\"source\":[{\"prefix\":\"shop.\"}]}", ORDER, 1 },
    { "{\"source\":{\"orders\":[\"x\"]}}", ORDER, 0 },
    { "{\"source\":[\"shop.orders\"]}", LINE, 0 },
    { "{\"source\":[{\"exists\":false}]}", EMPTY, 1 },
    { "{\"source\":[\"\"]}", EMPTY, 0 },
    { "{\"source\":[{\"anything-but\":\"sshd\"}]}", EMPTY, 0 },
    { "{\"source\":[{\"anything-but\":\"sshd\"}]}", ORDER, 1 },
    { "{\"type\":[\"order.failed\"]}", ORDER, 1 },
    { "{\"detail-type\":[\"order.failed\"]}", ORDER, 1 },
    { "{\"detail-type\":[{\"suffix\":\".failed\"}],\"type\":[{\"prefix\":\"order.\"}]}", ORDER, 1 },
    { "{\"type\":[{\"exists\":true}]}", LINE, 0 },
    { "{\"detail-type\":[{\"exists\":false}]}", LINE, 1 },
    { "{\"key\":[\"customer-7\"]}", ORDER, 1 },
    { "{\"key\":[{\"exists\":false}]}", LINE, 1 },
    { "{\"ingest-ns\":[{\"exists\":false}],\"flags\":[{\"exists\":false}]}", ORDER, 1 },
    { "{\"account\":[{\"exists\":true}]}", ORDER, 0 },

    /* The key is text when it is valid UTF-8. */
    { "{\"key\":[{\"exists\":true}]}", BINARY, 0 },
    { "{\"key\":[{\"exists\":true}]}", ORDER, 1 },

    /* Dotted attribute names are nested paths. */
    { "{\"attributes.http.status\":[503]}", ORDER, 1 },
    { "{\"attributes\":{\"http\":{\"status\":[503]}}}", ORDER, 1 },
    { "{\"attributes\":{\"http.status\":[{\"numeric\":[\">=\",500,\"<\",600]}]}}", ORDER, 1 },
    { "{\"attributes.http\":{\"status\":[503],\"method\":[\"GET\"]}}", ORDER, 1 },
    { "{\"attributes.http\":{\"status\":[503],\"method\":[\"PUT\"]}}", ORDER, 0 },
    { "{\"attributes.http\":[{\"exists\":false}]}", ORDER, 1 },
    { "{\"http.status\":[503]}", ORDER, 0 },
    { "{\"attributes\":{\"status\":[503]}}", ORDER, 0 },
    { "{\"attributes\":{\"a..b\":[\"x\"]}}", ORDER, 1 },
    { "{\"attributes\":{\"a\":{\"\":{\"b\":[\"x\"]}}}}", ORDER, 1 },

    /* Each kind of attribute is a kind of JSON value; bytes are not seen. */
    { "{\"attributes.http.status\":[\"503\"]}", ORDER, 0 },
    { "{\"attributes.ratio\":[0.25]}", ORDER, 1 },
    { "{\"attributes.ratio\":[25e-2]}", ORDER, 1 },
    { "{\"attributes.ratio\":[{\"numeric\":[\"<\",0.25]}]}", ORDER, 0 },
    { "{\"attributes.cached\":[true]}", ORDER, 1 },
    { "{\"attributes.cached\":[1]}", ORDER, 0 },
    { "{\"attributes.retried\":[false]}", ORDER, 1 },
    { "{\"attributes.raw\":[{\"exists\":true}]}", ORDER, 0 },
    { "{\"attributes.raw\":[{\"anything-but\":\"x\"}]}", ORDER, 0 },
    { "{\"attributes.big\":[9007199254740993]}", ORDER, 1 },
    { "{\"attributes.big\":[9007199254740992]}", ORDER, 0 },
    { "{\"attributes.low\":[-9223372036854775808]}", ORDER, 1 },
    { "{\"attributes.low\":[-9223372036854775807]}", ORDER, 0 },
    { "{\"attributes.quoted\":[\"a\\\"b\\\\\\n\\u00e9\"]}", ORDER, 1 },
    { "{\"attributes.none\":[\"\"]}", ORDER, 1 },
    { "{\"attributes\":[{\"exists\":false}]}", ORDER, 1 },
    { "{\"attributes.http.status\":[{\"exists\":false}]}", LINE, 1 },

    /* detail is the body, parsed, when its kind is JSON; then there is no body. */
    { "{\"detail\":{\"order\":{\"id\":[17],\"total\":[99.5]}}}", ORDER, 1 },
    { "{\"detail.order.total\":[{\"numeric\":[\">\",100]}]}", ORDER, 0 },
    { "{\"detail\":{\"order\":{\"lines\":{\"sku\":[\"b\"],\"n\":[2]}}}}", ORDER, 1 },
    { "{\"detail\":{\"order\":{\"lines\":{\"sku\":[\"a\"],\"n\":[2]}}}}", ORDER, 0 },
    { "{\"detail\":{\"paid\":[false],\"note\":[null]}}", ORDER, 1 },
    { "{\"detail\":[{\"exists\":false}]}", ORDER, 1 },
    { "{\"body\":[{\"exists\":true}]}", ORDER, 0 },
    { "{\"order\":{\"id\":[17]}}", ORDER, 0 },
    { "{\"detail\":{\"a.b\":[1],\"a\":{\"c\":[2]}}}", DOTTED, 1 },
    { "{\"detail\":[1]}", LIST, 1 },
    { "{\"detail\":[2]}", LIST, 0 },
    { "{\"detail.a\":[\"x\"],\"detail\":[\"y\"]}", LIST, 1 },

    /* A body that is not JSON has no detail. */
    { "{\"detail\":{\"a\":[1]}}", BINARY, 0 },
    { "{\"detail\":{\"a\":[{\"exists\":false}]}}", BINARY, 1 },
    { "{\"detail\":{\"order\":[{\"exists\":false}]}}", LINE, 1 },
    { "{\"detail\":{\"a\":[{\"exists\":true}]}}", BROKEN, 0 },
    { "{\"detail\":{\"a\":[{\"exists\":false}]},\"source\":[\"s\"]}", BROKEN, 1 },
    { "{\"source\":[\"s\"]}", BROKEN, 1 },

    /* body is the body as text when its kind is text. */
    { "{\"body\":[{\"prefix\":\"Accepted \"}]}", LINE, 1 },
    { "{\"body\":[{\"wildcard\":\"*root from 10.*\"}]}", LINE, 1 },
    { "{\"body\":[{\"suffix\":\"\\u00e9 \\\"quoted\\\"\"}]}", LINE, 1 },
    { "{\"body\":[{\"wildcard\":\"*failed*\"}]}", LINE, 0 },
    { "{\"body\":[{\"exists\":true}]}", BINARY, 0 },
    { "{\"body\":[{\"exists\":true}]}", EMPTY, 0 },
    { "{\"body\":[\"\"]}", EMPTY, 0 },

    /* Several, and an $or. */
    { "{\"severity\":[{\"numeric\":[\">=\",17]}],\"source\":[{\"prefix\":\"shop.\"}],"
      "\"detail\":{\"order\":{\"id\":[17]}},\"attributes\":{\"cached\":[true]}}",
      ORDER, 1 },
    { "{\"source\":[\"sshd\"],\"$or\":[{\"detail.order.id\":[17]},{\"body\":[{\"prefix\":\"Acc\"}]}"
      "]}",
      LINE, 1 },
    { "{\"source\":[\"sshd\"],\"$or\":[{\"detail.order.id\":[17]},{\"body\":[{\"prefix\":\"Acc\"}]}"
      "]}",
      ORDER, 0 },
    { "{\"$or\":[{\"severity\":[{\"numeric\":[\">=\",17]}]},{\"severity\":[9]}]}", LINE, 1 },
};

static void print_string(FILE *out, svl_slice text)
{
    const unsigned char *bytes = text.data;
    fputc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        if (bytes[i] < 0x20 || bytes[i] == '"' || bytes[i] == '\\')
            fprintf(out, "\\u%04x", bytes[i]);
        else
            fputc(bytes[i], out);
    }
    fputc('"', out);
}

static void print_text(FILE *out, const char *name, svl_slice text)
{
    if (text.len == 0)
        return;
    fprintf(out, ",\"%s\":", name);
    print_string(out, text);
}

static void print_attribute(FILE *out, const svl_attribute *attribute)
{
    print_string(out, attribute->name);
    fputc(':', out);
    if (attribute->kind == SVL_ATTRIBUTE_TEXT)
        print_string(out, attribute->bytes);
    else if (attribute->kind == SVL_ATTRIBUTE_I64)
        fprintf(out, "%" PRId64, attribute->i64);
    else if (attribute->kind == SVL_ATTRIBUTE_F64)
        fprintf(out, "%.17g", attribute->f64);
    else
        fputs(attribute->i64 ? "true" : "false", out);
}

static void print_attributes(FILE *out, const svl_record *record)
{
    const char *before = "";
    fputs(",\"attributes\":{", out);
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        if (record->attributes[i].kind == SVL_ATTRIBUTE_BYTES)
            continue;
        fputs(before, out);
        print_attribute(out, &record->attributes[i]);
        before = ",";
    }
    fputc('}', out);
}

/* Only times of the year 2026's first day and of 1970's first second stand in the table. */
static void print_time(FILE *out, int64_t time_ns)
{
    if (time_ns == 0)
        return;
    fprintf(out, ",\"time-ns\":%" PRId64 ",\"time\":\"%s.%09" PRId64 "Z\"", time_ns,
            time_ns < 1000000000 ? "1970-01-01T00:00:00" : "2026-01-01T00:00:00",
            time_ns % 1000000000);
}

/* The record as the document that a pattern sees; to be freed. */
static char *document(enum which which)
{
    const svl_record *record = &records[which];
    static const char *const severities[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL" };
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    fprintf(out, "{\"severity\":%u", record->severity);
    if (record->severity > 0)
        fprintf(out, ",\"severity-text\":\"%s\"", severities[(record->severity - 1) / 4]);
    if (record->id > 0)
        fprintf(out, ",\"id\":%" PRIu64, record->id);
    print_time(out, record->time_ns);
    print_text(out, "source", record->source);
    print_text(out, "type", record->type);
    print_text(out, "detail-type", record->type);
    if (which != BINARY) /* whose key is no text */
        print_text(out, "key", record->key);
    print_attributes(out, record);
    if (record->body_kind == SVL_BODY_TEXT)
        print_text(out, "body", record->body);
    if (record->body_kind == SVL_BODY_JSON && which != BROKEN)
        fprintf(out, ",\"detail\":%.*s", (int)record->body.len, (const char *)record->body.data);
    fputc('}', out);
    fclose(out);
    return text;
}

enum { CASES = sizeof cases / sizeof *cases };

static void test_reference_when_given_records_as_documents_then_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        size_t offset;
        struct reference *reference =
            reference_compile(cases[i].pattern, strlen(cases[i].pattern), &offset);
        assert_non_null(reference);
        char *event = document(cases[i].record);
        int verdict = (int)reference_match(reference, event, strlen(event));
        if (verdict != cases[i].matches)
            fail_msg("%d, by hand %d\n  pattern %s\n  event   %s", verdict, cases[i].matches,
                     cases[i].pattern, event);
        free(event);
        reference_destroy(reference);
    }
}

static void test_pattern_when_given_records_then_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        svl_pattern *pattern;
        int matched;
        assert_ok(svl_pattern_compile(cases[i].pattern, strlen(cases[i].pattern), &pattern, NULL));
        assert_ok(svl_pattern_match_record(pattern, &records[cases[i].record], 0, &matched));
        if (matched != cases[i].matches)
            fail_msg("%d, by hand %d\n  pattern %s\n  of record %u", matched, cases[i].matches,
                     cases[i].pattern, cases[i].record);
        svl_pattern_destroy(pattern);
    }
}

static void test_ruleset_when_given_records_then_each_rule_has_its_verdict(void **state)
{
    (void)state;
    svl_ruleset *ruleset;
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    for (size_t i = 0; i < CASES; i++)
        assert_ok(svl_ruleset_add(ruleset, i, cases[i].pattern, strlen(cases[i].pattern), NULL));
    for (enum which which = 0; which < RECORDS; which++) {
        uint64_t ids[CASES];
        size_t found;
        bool matched[CASES] = { false };
        assert_ok(svl_ruleset_match_record(ruleset, &records[which], 0, ids, CASES, &found));
        for (size_t i = 0; i < found; i++)
            matched[ids[i]] = true;
        for (size_t i = 0; i < CASES; i++)
            if (cases[i].record == which && matched[i] != cases[i].matches)
                fail_msg("%d, by hand %d\n  pattern %s\n  of record %u", matched[i],
                         cases[i].matches, cases[i].pattern, which);
    }
    svl_ruleset_destroy(ruleset);
}

static void test_pattern_when_a_body_is_no_json_and_checked_then_an_error(void **state)
{
    (void)state;
    svl_pattern *pattern;
    int matched = -1;
    static const char text[] = "{\"detail\":{\"a\":[{\"exists\":false}]}}";
    assert_ok(svl_pattern_compile(text, strlen(text), &pattern, NULL));
    assert_int_equal(svl_pattern_match_record(pattern, &records[BROKEN], SVL_JSON_CHECK, &matched),
                     SVL_E_JSON);
    assert_int_equal(matched, 0);
    assert_ok(svl_pattern_match_record(pattern, &records[BINARY], SVL_JSON_CHECK, &matched));
    assert_int_equal(matched, 1);
    svl_pattern_destroy(pattern);
}

/* A body that is none is an outcome, like a match. */
static void test_pattern_when_a_body_is_no_json_and_unchecked_then_there_is_no_error(void **state)
{
    (void)state;
    static const char text[] = "{\"detail\":{\"a\":[{\"exists\":false}]}}";
    static char deep[200];
    memset(deep, '[', sizeof deep);
    const svl_record bodies[] = {
        records[BROKEN],
        { .body_kind = SVL_BODY_JSON, .body = { deep, sizeof deep } },
    };
    svl_pattern *pattern;
    char before[256], after[256];
    assert_ok(svl_pattern_compile(text, strlen(text), &pattern, NULL));
    assert_int_equal(svl_pattern_compile("", 0, NULL, NULL), SVL_E_INVALID);
    svl_last_error_copy(before, sizeof before);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        int matched = 0;
        assert_ok(svl_pattern_match_record(pattern, &bodies[i], 0, &matched));
        assert_int_equal(matched, 1);
        svl_last_error_copy(after, sizeof after);
        assert_string_equal(after, before);
    }
    svl_pattern_destroy(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_when_given_records_as_documents_then_agrees),
        cmocka_unit_test(test_pattern_when_given_records_then_agrees),
        cmocka_unit_test(test_ruleset_when_given_records_then_each_rule_has_its_verdict),
        cmocka_unit_test(test_pattern_when_a_body_is_no_json_and_checked_then_an_error),
        cmocka_unit_test(test_pattern_when_a_body_is_no_json_and_unchecked_then_there_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
