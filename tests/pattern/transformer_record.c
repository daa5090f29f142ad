/* Records, transformed: as the document that event patterns see of them. */
#include <math.h>
#include <serverlog/transformer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"
#include "pattern/document.h"
#include "support/support.h"

#define TEXT(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const svl_attribute attributes[] = {
    { .name = TEXT("http.status"), .kind = SVL_ATTRIBUTE_I64, .i64 = 503 },
    { .name = TEXT("z"), .kind = SVL_ATTRIBUTE_I64, .i64 = INT64_MIN },
    { .name = TEXT("http.request.method"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = TEXT("GET") },
    { .name = TEXT("ratio"), .kind = SVL_ATTRIBUTE_F64, .f64 = 0.25 },
    { .name = TEXT("infinite"), .kind = SVL_ATTRIBUTE_F64, .f64 = INFINITY },
    { .name = TEXT("http-proxy"), .kind = SVL_ATTRIBUTE_BOOL, .i64 = 1 },
    { .name = TEXT("raw"), .kind = SVL_ATTRIBUTE_BYTES, .bytes = TEXT("\xff") },
    { .name = TEXT("http.request.id"), .kind = SVL_ATTRIBUTE_TEXT, .bytes = { NULL, 0 } },
    { .name = TEXT("a..b"), .kind = SVL_ATTRIBUTE_BOOL, .i64 = 0 },
};

static const svl_record order = {
    .id = 42,
    .time_ns = INT64_C(1767225600123456789),
    .ingest_ns = INT64_C(1767225601000000007),
    .severity = SVL_SEVERITY_ERROR + 1,
    .body_kind = SVL_BODY_JSON,
    .source = TEXT("shop.orders"),
    .type = TEXT("order.failed"),
    .key = TEXT("customer-\"7\""),
    .body = TEXT("{\"order\":{\"id\":17,\"total\":99.50}, \"paid\":false}"),
    .attributes = attributes,
    .attribute_count = sizeof attributes / sizeof attributes[0],
};

static void assert_output(const char *transformer, const svl_record *record, const char *expected)
{
    svl_transformer *t;
    char out[2048];
    size_t needed;
    assert_ok(svl_transformer_compile(transformer, strlen(transformer), &t, NULL));
    assert_ok(svl_transformer_apply_record(t, record, "a rule", out, sizeof out, &needed));
    assert_string_equal(out, expected);
    assert_int_equal(needed, strlen(expected));
    svl_transformer_destroy(t);
}

#define WHOLE "{\"InputTemplate\":\"<aws.events.event.json>\"}"

static void test_record_when_all_of_it_is_wanted_then_its_document(void **state)
{
    (void)state;
    assert_output(WHOLE, &order,
                  "{\"severity\":18,\"severity-text\":\"ERROR\",\"id\":42,"
                  "\"time\":\"2026-01-01T00:00:00.123456789Z\",\"time-ns\":1767225600123456789,"
                  "\"source\":\"shop.orders\",\"type\":\"order.failed\","
                  "\"detail-type\":\"order.failed\",\"key\":\"customer-\\\"7\\\"\",\"attributes\":{"
                  "\"a\":{\"\":{\"b\":false}},\"http\":{\"request\":{\"id\":\"\","
                  "\"method\":\"GET\"},\"status\":503},\"http-proxy\":true,\"ratio\":0.25,"
                  "\"z\":-9223372036854775808},"
                  "\"detail\":{\"order\":{\"id\":17,\"total\":99.50}, \"paid\":false}}");
}

static void test_record_when_parts_are_wanted_then_these(void **state)
{
    (void)state;
    static const struct {
        const char *path, *value;
    } cases[] = {
        { "$.id", "42" },
        { "$.source", "\"shop.orders\"" },
        { "$.type", "\"order.failed\"" },
        { "$.detail-type", "\"order.failed\"" },
        { "$.detail.order", "{\"id\":17,\"total\":99.50}" },
        { "$.detail.order.total", "99.50" },
        { "$.attributes.http.status", "503" },
        { "$.attributes.http.request", "{\"id\":\"\",\"method\":\"GET\"}" },
        { "$.attributes.raw", "null" },
        { "$.attributes.infinite", "null" },
        { "$.body", "null" },
        { "$.key", "\"customer-\\\"7\\\"\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char transformer[256];
        snprintf(transformer, sizeof transformer,
                 "{\"InputPathsMap\":{\"v\":\"%s\"},\"InputTemplate\":\"<v>\"}", cases[i].path);
        assert_output(transformer, &order, cases[i].value);
    }
}

static void test_record_when_members_are_empty_then_left_out(void **state)
{
    (void)state;
    svl_record record = { .id = 0 };
    assert_output(WHOLE, &record, "{\"severity\":0}");
    record =
        (svl_record){ .time_ns = -1, .severity = 1, .body = TEXT("a\nline"), .key = TEXT("\xff") };
    assert_output(
        WHOLE, &record,
        "{\"severity\":1,\"severity-text\":\"TRACE\","
        "\"time\":\"1969-12-31T23:59:59.999999999Z\",\"time-ns\":-1,\"body\":\"a\\nline\"}");
    record = (svl_record){ .body_kind = SVL_BODY_BINARY, .body = TEXT("{}") };
    assert_output(WHOLE, &record, "{\"severity\":0}");
    record = (svl_record){ .body_kind = SVL_BODY_JSON, .body = TEXT("{\"a\":") };
    assert_output(WHOLE, &record, "{\"severity\":0}");
    record = (svl_record){ .body_kind = SVL_BODY_JSON, .body = TEXT(" [1] ") };
    assert_output(WHOLE, &record, "{\"severity\":0,\"detail\": [1] }");
    record = (svl_record){ .severity = 24, .body = TEXT("bad \xff") };
    assert_output(WHOLE, &record,
                  "{\"severity\":24,\"severity-text\":\"FATAL\",\"body\":\"bad \xef\xbf\xbd\"}");
}

static void test_record_when_reserved_names_are_used_then_known(void **state)
{
    (void)state;
    assert_output("{\"InputTemplate\":\"<aws.events.event.ingestion-time>\"}", &order,
                  "\"2026-01-01T00:00:01.000000007Z\"");
    assert_output("{\"InputTemplate\":\"at <aws.events.event.ingestion-time> by "
                  "<aws.events.rule-name>\"}",
                  &order, "at 2026-01-01T00:00:01.000000007Z by a rule");
    svl_record record = { .source = TEXT("s"), .body_kind = SVL_BODY_JSON, .body = TEXT("{}") };
    assert_output("{\"InputTemplate\":\"[<aws.events.event.ingestion-time>,<aws.events.event>]\"}",
                  &record, "[null,{\"severity\":0,\"source\":\"s\"}]");
}

/* Few letters and many dots, so that levels begin, end and go on in every way. */
static void test_attributes_when_their_names_share_levels_then_all_are_found(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 5000; round++) {
        char names[12][8];
        svl_attribute list[12];
        uint32_t n = 1 + (uint32_t)rng_below(&rng, 12);
        for (uint32_t i = 0; i < n; i++) {
            size_t len = 1 + rng_below(&rng, 7);
            for (size_t c = 0; c < len; c++)
                names[i][c] = "ab.-\x7f"[rng_below(&rng, 5)];
            list[i] = (svl_attribute){ .name = { names[i], len },
                                       .kind = SVL_ATTRIBUTE_I64,
                                       .i64 = (int64_t)i };
        }
        svl_record record = { .attributes = list, .attribute_count = n };
        struct buffer out = { 0 };
        assert_ok(svl__document_write(&record, &out));
        struct json_scan s;
        svl__json_start(&s, out.data, out.len, 0);
        bool found[12] = { false };
        char path[16] = "";
        size_t lengths[16], depth = 0, at = 0;
        for (enum json_token token; (token = svl__json_next(&s)) > JSON_END;) {
            if (token == JSON_NAME) {
                at = depth > 1 ? lengths[depth] : 0;
                memcpy(path + at, s.text.data, s.text.len);
                at += s.text.len;
            } else if (token == JSON_OBJECT) {
                depth++;
                if (depth > 2)
                    path[at++] = '.';
                lengths[depth] = depth > 2 ? at : 0;
            } else if (token == JSON_OBJECT_END) {
                depth--;
            } else if (token == JSON_NUMBER && depth > 1) {
                uint32_t i = (uint32_t)strtoul((const char *)s.text.data, NULL, 10);
                assert_true(i < n && !found[i]);
                found[i] = true;
                assert_int_equal(at, list[i].name.len);
                assert_memory_equal(path, names[i], at);
            }
        }
        assert_null(s.error);
        for (uint32_t i = 0; i < n; i++)
            assert_true(found[i]);
        svl__buffer_free(&out);
    }
}

static void test_record_when_beyond_its_limits_then_refused(void **state)
{
    (void)state;
    svl_transformer *t;
    size_t needed;
    static const char transformer[] = "{\"InputTemplate\":\"a\"}";
    assert_ok(svl_transformer_compile(transformer, strlen(transformer), &t, NULL));
    const svl_attribute broken = { .name = TEXT("broken"),
                                   .kind = SVL_ATTRIBUTE_TEXT,
                                   .bytes = TEXT("\xff") };
    const struct {
        svl_record record;
        int code;
    } cases[] = {
        { { .attribute_count = 256 }, SVL_E_ATTRIBUTES },
        { { .attribute_count = 1 }, SVL_E_INVALID },
        { { .attribute_count = 1, .attributes = &broken }, SVL_E_UTF8 },
        { { .body = { "", (16u << 20) + 1 } }, SVL_E_RECORD_SIZE },
        { { .body = { NULL, 1 } }, SVL_E_INVALID },
        { { .source = TEXT("\xff") }, SVL_E_UTF8 },
        { { .severity = 25 }, SVL_E_INVALID },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(svl_transformer_apply_record(t, &cases[i].record, NULL, NULL, 0, &needed),
                         cases[i].code);
    svl_transformer_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_when_all_of_it_is_wanted_then_its_document),
        cmocka_unit_test(test_record_when_parts_are_wanted_then_these),
        cmocka_unit_test(test_record_when_members_are_empty_then_left_out),
        cmocka_unit_test(test_record_when_reserved_names_are_used_then_known),
        cmocka_unit_test(test_attributes_when_their_names_share_levels_then_all_are_found),
        cmocka_unit_test(test_record_when_beyond_its_limits_then_refused),
    };
    return cmocka_run_group_tests_name("pattern/transformer_record", tests, NULL, NULL);
}
