/* Ingest handlers without memory: what one of them leaves is taken all the same, so nothing goes on with
 * what a handler has cut out of it; an emit that finds none is told to the handler. */
#include <string.h>

#include "bus/dispatch.h"
#include "record/wire.h"
#include "support/support.h"

#define RECORD_BYTES_MAX 65536

static struct dispatch *dispatch;
static struct dispatch_result result;
static uint8_t wire[RECORD_BYTES_MAX], large[RECORD_BYTES_MAX / 2];
static int emit_code;

static int redact(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    record->body = (svl_slice){ large, sizeof large };
    return SVL_OK;
}

static int emit(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)user;
    emit_code = svl_ingest_emit(ingest, record);
    return SVL_OK;
}

static int create(void)
{
    struct dispatch_options options = { .owner = &dispatch,
                                        .record_bytes_max = RECORD_BYTES_MAX,
                                        .emit_max = 100,
                                        .emit_bytes_max = 4 * RECORD_BYTES_MAX };
    return svl__dispatch_create(&options, &dispatch);
}

static void destroy(void)
{
    svl__dispatch_destroy(dispatch);
    svl__buffer_free(&result.emits);
    result = (struct dispatch_result){ .count = 0 };
}

static void run(bool with_memory)
{
    svl_record record = { .source = slice_of("in"), .body = slice_of("a secret") };
    svl__wire_encode(&record, 7, wire);
    fail_malloc_after(with_memory ? 0 : 1, false);
    int rc = svl__dispatch_run(dispatch, wire, svl__wire_size(&record), &result);
    fail_malloc_after(0, false);
    assert_ok(rc);
}

static void assert_redacted(void)
{
    svl_record record;
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];
    assert_false(result.dropped);
    assert_ok(svl__wire_decode(result.record, result.record_len, attributes, &record));
    assert_int_equal(record.body.len, sizeof large);
    assert_memory_equal(record.body.data, large, sizeof large);
}

static void test_change_when_there_is_no_memory_then_taken(void **state)
{
    (void)state;
    struct dispatch_stats stats;
    memset(large, 'x', sizeof large);
    assert_ok(create());
    for (int i = 0; i < 3; i++)
        assert_ok(svl__dispatch_add(dispatch, NULL, redact, NULL));
    run(false);
    assert_redacted();
    svl__dispatch_stats_get(dispatch, &stats);
    assert_true(stats.failures == 0);
    destroy();
}

static void test_emit_when_there_is_no_memory_then_the_handler_is_told_and_the_change_taken(
    void **state)
{
    (void)state;
    struct dispatch_stats stats;
    assert_ok(create());
    assert_ok(svl__dispatch_add(dispatch, NULL, redact, NULL));
    assert_ok(svl__dispatch_add(dispatch, NULL, emit, NULL));
    run(false);
    assert_int_equal(emit_code, SVL_E_NOMEM);
    assert_int_equal(result.count, 0);
    assert_redacted();
    run(true);
    assert_int_equal(emit_code, SVL_OK);
    assert_int_equal(result.count, 1);
    assert_redacted();
    svl__dispatch_stats_get(dispatch, &stats);
    assert_true(stats.emitted == 1);
    destroy();
}

static int count(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    ++*(int *)user;
    return SVL_OK;
}

/* Arrays whose elements all are of interest: more than a match has place for without memory. */
static void test_pattern_when_there_is_no_memory_for_its_match_then_the_next_run_goes_on(
    void **state)
{
    (void)state;
    char body[4096] = "{\"a\":[{\"b\":2}", element[] = ",{\"b\":2}";
    int first = 0, second = 0;
    svl_ingest_options options;
    assert_ok(svl_ingest_options_init(&options, sizeof options));
    options.filter.pattern = "{\"detail\":{\"a\":{\"b\":[1,2],\"c\":[{\"exists\":false}]}}}";
    for (int i = 0; i < 300; i++)
        strcat(body, element);
    strcat(body, "]}");
    assert_ok(create());
    assert_ok(svl__dispatch_add(dispatch, NULL, count, &first));
    assert_ok(svl__dispatch_add(dispatch, &options, count, &second));
    svl_record record = { .source = slice_of("in"),
                          .body_kind = SVL_BODY_JSON,
                          .body = slice_of(body) };
    svl__wire_encode(&record, 7, wire);
    int rc = SVL_E_NOMEM, failed = 0;
    for (uint64_t n = 1; rc == SVL_E_NOMEM; n++) {
        fail_malloc_after(n, true);
        rc = svl__dispatch_run(dispatch, wire, svl__wire_size(&record), &result);
        fail_malloc_after(0, false);
        failed += rc == SVL_E_NOMEM;
    }
    assert_ok(rc);
    assert_true(failed > 0);
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
    destroy();
}

static void test_handler_when_there_is_no_memory_for_it_then_not_registered(void **state)
{
    (void)state;
    int rc = SVL_E_NOMEM;
    for (uint64_t n = 1; rc == SVL_E_NOMEM; n++) {
        int64_t live = live_allocations();
        assert_ok(create());
        fail_malloc_after(n, true);
        rc = svl__dispatch_add(dispatch, NULL, redact, NULL);
        fail_malloc_after(0, false);
        assert_true(svl__dispatch_count(dispatch) == (rc == SVL_OK));
        destroy();
        assert_int_equal(live_allocations(), live);
    }
    assert_ok(rc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_change_when_there_is_no_memory_then_taken),
        cmocka_unit_test(
            test_emit_when_there_is_no_memory_then_the_handler_is_told_and_the_change_taken),
        cmocka_unit_test(
            test_pattern_when_there_is_no_memory_for_its_match_then_the_next_run_goes_on),
        cmocka_unit_test(test_handler_when_there_is_no_memory_for_it_then_not_registered),
    };
    return cmocka_run_group_tests_name("bus/memory", tests, NULL, NULL);
}
