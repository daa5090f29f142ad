/* The wire form of a record: what goes in comes out, and any other bytes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "record/wire.h"

static svl_slice text(const char *s)
{
    return (svl_slice){ s, strlen(s) };
}

static svl_attribute attributes_of_all_kinds[5];

static svl_record full_record(void)
{
    svl_attribute *a = attributes_of_all_kinds;
    a[0] =
        (svl_attribute){ .kind = SVL_ATTRIBUTE_TEXT, .name = text("user"), .bytes = text("ann") };
    a[1] =
        (svl_attribute){ .kind = SVL_ATTRIBUTE_BYTES, .name = text("raw"), .bytes = { "\0\1", 2 } };
    a[2] = (svl_attribute){ .kind = SVL_ATTRIBUTE_I64, .name = text("n"), .i64 = INT64_MIN };
    a[3] = (svl_attribute){ .kind = SVL_ATTRIBUTE_F64, .name = text("f"), .f64 = -0.5 };
    a[4] = (svl_attribute){ .kind = SVL_ATTRIBUTE_BOOL, .name = text("ok"), .i64 = 1 };
    return (svl_record){ .time_ns = -5,
                         .severity = 24,
                         .body_kind = SVL_BODY_JSON,
                         .source = text("shop.orders"),
                         .type = text("refused"),
                         .key = { "k\0y", 3 },
                         .body = text("{\"a\":1}"),
                         .attributes = a,
                         .attribute_count = 5 };
}

static uint8_t *encode(const svl_record *record, uint32_t *len)
{
    assert_int_equal(svl__record_check(record, RECORD_BYTES_DEFAULT, false), SVL_OK);
    *len = svl__wire_size(record);
    uint8_t *bytes = malloc(*len);
    assert_non_null(bytes);
    svl__wire_encode(record, 7, bytes);
    return bytes;
}

static void assert_slice(svl_slice a, svl_slice b)
{
    assert_int_equal(a.len, b.len);
    if (a.len)
        assert_memory_equal(a.data, b.data, a.len);
}

static void test_record_when_decoded_then_is_what_was_encoded(void **state)
{
    (void)state;
    svl_record in = full_record(), out;
    uint32_t len;
    uint8_t *bytes = encode(&in, &len);
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];
    assert_int_equal(svl__wire_decode(bytes, len, attributes, &out), SVL_OK);
    assert_int_equal(out.time_ns, in.time_ns);
    assert_int_equal(out.severity, in.severity);
    assert_int_equal(out.body_kind, in.body_kind);
    assert_slice(out.source, in.source);
    assert_slice(out.type, in.type);
    assert_slice(out.key, in.key);
    assert_slice(out.body, in.body);
    assert_int_equal(out.attribute_count, in.attribute_count);
    for (uint32_t i = 0; i < in.attribute_count; i++) {
        assert_slice(out.attributes[i].name, in.attributes[i].name);
        assert_slice(out.attributes[i].bytes, in.attributes[i].bytes);
        assert_int_equal(out.attributes[i].kind, in.attributes[i].kind);
        assert_int_equal(out.attributes[i].i64, in.attributes[i].i64);
        assert_true(out.attributes[i].f64 == in.attributes[i].f64);
    }
    free(bytes);
}

static void test_empty_record_when_encoded_then_gets_the_time(void **state)
{
    (void)state;
    svl_record in = { 0 }, out;
    uint32_t len;
    uint8_t *bytes = encode(&in, &len);
    assert_int_equal(len, WIRE_HEADER_BYTES);
    assert_int_equal(svl__wire_decode(bytes, len, NULL, &out), SVL_OK);
    assert_int_equal(out.time_ns, 7);
    assert_null(out.attributes);
    free(bytes);
}

/* Any byte changed to any of a few values, at any length: an error or a record within the bytes. */
static void test_wire_when_damaged_then_never_reaches_outside(void **state)
{
    (void)state;
    svl_record in = full_record(), out;
    uint32_t len;
    uint8_t *bytes = encode(&in, &len);
    static const uint8_t values[] = { 0, 1, 5, 0x7f, 0x80, 0xff };
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];
    for (uint32_t at = 0; at < len; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            uint8_t *copy = malloc(len);
            assert_non_null(copy);
            memcpy(copy, bytes, len);
            copy[at] = values[v];
            int rc = svl__wire_decode(copy, len, attributes, &out);
            assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT || rc == SVL_E_VERSION);
            assert_true(rc == SVL_OK || (!out.attributes && !out.body.data));
            if (rc == SVL_OK && out.body.len)
                assert_in_range((uintptr_t)out.body.data, (uintptr_t)copy,
                                (uintptr_t)copy + len - out.body.len);
            free(copy);
        }
    }
    for (uint32_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_int_equal(svl__wire_decode(copy, cut, attributes, &out), SVL_E_CORRUPT);
        if (cut >= 4) {
            store_u32(copy, cut);
            assert_int_equal(svl__wire_decode(copy, cut, attributes, &out), SVL_E_CORRUPT);
        }
        free(copy);
    }
    free(bytes);
}

static void test_record_when_past_a_limit_then_its_own_code(void **state)
{
    (void)state;
    static char big[512];
    memset(big, 'a', sizeof big);
    static svl_attribute many[256];
    for (size_t i = 0; i < 256; i++)
        many[i] = (svl_attribute){ .kind = SVL_ATTRIBUTE_I64, .name = text("n") };
    svl_attribute bad_kind = { .kind = 6, .name = text("n") };
    svl_attribute no_name = { .kind = SVL_ATTRIBUTE_I64 };
    svl_attribute bad_bool = { .kind = SVL_ATTRIBUTE_BOOL, .name = text("n"), .i64 = 2 };
    svl_attribute reserved = { .kind = SVL_ATTRIBUTE_I64, .name = text("n"), .reserved = 1 };
    svl_attribute bad_text = { .kind = SVL_ATTRIBUTE_TEXT,
                               .name = text("n"),
                               .bytes = text("\xff") };
    const struct {
        svl_record record;
        int rc;
    } cases[] = {
        { { .key = { big, 480 } }, SVL_OK },
        { { .key = { big, 481 } }, SVL_E_KEY_TOO_LONG },
        { { .source = { big, 255 }, .type = { big, 255 } }, SVL_OK },
        { { .source = { big, 256 } }, SVL_E_NAME_TOO_LONG },
        { { .type = { big, 256 } }, SVL_E_NAME_TOO_LONG },
        { { .source = text("\xc0\x80") }, SVL_E_UTF8 },
        { { .source = text("serverlog.x") }, SVL_E_RESERVED },
        { { .source = text("serverlogs") }, SVL_OK },
        { { .severity = 25 }, SVL_E_INVALID },
        { { .body_kind = 3 }, SVL_E_INVALID },
        { { .flags = SVL_RECORD_UNPROCESSED << 1 }, SVL_E_RESERVED },
        { { .reserved = { 0, 0, 0, 1 } }, SVL_E_RESERVED },
        { { .body = { NULL, 1 } }, SVL_E_INVALID },
        { { .body = { big, 4000 } }, SVL_E_RECORD_SIZE },
        { { .body = { big, SIZE_MAX } }, SVL_E_RECORD_SIZE },
        { { .attribute_count = 1 }, SVL_E_INVALID },
        { { .attributes = many, .attribute_count = 256 }, SVL_E_ATTRIBUTES },
        { { .attributes = &bad_kind, .attribute_count = 1 }, SVL_E_ATTRIBUTES },
        { { .attributes = &no_name, .attribute_count = 1 }, SVL_E_ATTRIBUTES },
        { { .attributes = &bad_bool, .attribute_count = 1 }, SVL_E_INVALID },
        { { .attributes = &reserved, .attribute_count = 1 }, SVL_E_RESERVED },
        { { .attributes = &bad_text, .attribute_count = 1 }, SVL_E_UTF8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(svl__record_check(&cases[i].record, 4000, false), cases[i].rc);
    assert_int_equal(svl__record_check(NULL, 4000, false), SVL_E_INVALID);
    svl_record own = { .source = text("serverlog.gap") };
    assert_int_equal(svl__record_check(&own, 4000, true), SVL_OK);
}

/* The limit is on the wire size, and a number's unused `bytes` is no part of that. */
static void test_record_when_as_large_as_the_limit_then_taken(void **state)
{
    (void)state;
    svl_attribute attributes[] = {
        { .kind = SVL_ATTRIBUTE_TEXT, .name = text("t"), .bytes = text("value") },
        { .kind = SVL_ATTRIBUTE_BYTES, .name = text("b") },
        { .kind = SVL_ATTRIBUTE_I64, .name = text("i"), .bytes = { NULL, SIZE_MAX } },
        { .kind = SVL_ATTRIBUTE_F64, .name = text("f"), .bytes = { NULL, 1 } },
        { .kind = SVL_ATTRIBUTE_BOOL, .name = text("o"), .i64 = 1 },
    };
    svl_record record = { .attributes = attributes, .body = text("body") };
    for (record.attribute_count = 0; record.attribute_count <= 5; record.attribute_count++) {
        uint32_t size = svl__wire_size(&record);
        assert_int_equal(svl__record_check(&record, size, false), SVL_OK);
        assert_int_equal(svl__record_check(&record, size - 1, false), SVL_E_RECORD_SIZE);
    }
    attributes[1].bytes = (svl_slice){ "x", SIZE_MAX };
    record.attribute_count = 2;
    assert_int_equal(svl__record_check(&record, UINT32_MAX, false), SVL_E_RECORD_SIZE);
}

static void test_record_when_measured_then_the_sizes_are_those_of_its_encoding(void **state)
{
    (void)state;
    svl_record record = full_record();
    struct record_limits limits = { .bytes_max = RECORD_BYTES_DEFAULT };
    struct wire_size size;
    struct breach breach;
    struct wire_view view;
    uint32_t all = record.attribute_count;
    for (record.attribute_count = 0; record.attribute_count <= all; record.attribute_count++) {
        assert_true(svl__record_measure(&record, &limits, &size, &breach));
        assert_int_equal(size.record, svl__wire_size(&record));
        uint8_t *bytes = malloc(size.record);
        assert_non_null(bytes);
        svl__wire_encode_measured(&record, &size, 7, bytes);
        assert_int_equal(svl__wire_view(bytes, size.record, &view), SVL_OK);
        assert_int_equal(view.attributes.len, size.attributes);
        free(bytes);
    }
}

/* For a signal handler. */
static void test_record_when_measured_past_a_limit_then_no_words_until_refused(void **state)
{
    (void)state;
    svl_record record = { .severity = SVL_SEVERITY_MAX + 1 };
    struct record_limits limits = { .bytes_max = RECORD_BYTES_DEFAULT };
    struct wire_size size;
    struct breach breach;
    svl__record_check(NULL, 4000, false);
    char before[256];
    snprintf(before, sizeof before, "%s", svl_last_error());
    assert_false(svl__record_measure(&record, &limits, &size, &breach));
    assert_string_equal(svl_last_error(), before);
    assert_int_equal(svl__record_refuse(&breach), SVL_E_INVALID);
    assert_non_null(strstr(svl_last_error(), "severity: 25; at most 24"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_when_decoded_then_is_what_was_encoded),
        cmocka_unit_test(test_empty_record_when_encoded_then_gets_the_time),
        cmocka_unit_test(test_wire_when_damaged_then_never_reaches_outside),
        cmocka_unit_test(test_record_when_past_a_limit_then_its_own_code),
        cmocka_unit_test(test_record_when_as_large_as_the_limit_then_taken),
        cmocka_unit_test(test_record_when_measured_then_the_sizes_are_those_of_its_encoding),
        cmocka_unit_test(test_record_when_measured_past_a_limit_then_no_words_until_refused),
    };
    return cmocka_run_group_tests_name("record/wire", tests, NULL, NULL);
}
