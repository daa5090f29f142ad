/* Transformers without memory: each allocation fails in turn, and the call says so and leaves nothing behind. */
#include <serverlog/transformer.h>
#include <string.h>

#include "support/support.h"

static const char text[] =
    "{\"InputPathsMap\":{\"a\":\"$.detail.x\",\"b\":\"$.attributes.y[0]\"},\"InputTemplate\":"
    "\"{\\\"a\\\":<a>,\\\"b\\\":\\\"<b>\\\",\\\"e\\\":<aws.events.event>,"
    "\\\"r\\\":<aws.events.rule-name>,\\\"t\\\":<aws.events.event.ingestion-time>}\"}";

static int run(void)
{
    svl_transformer *t;
    svl_pattern_error where = { .struct_size = sizeof where };
    int rc = svl_transformer_compile(text, strlen(text), &t, &where);
    assert_int_equal(where.code, rc);
    if (rc != SVL_OK) {
        assert_null(t);
        return rc;
    }
    static char body[4000];
    memset(body, 'x', sizeof body);
    memcpy(body, "{\"x\":\"", 6);
    memcpy(body + sizeof body - 2, "\"}", 2);
    svl_record record = { .ingest_ns = 1,
                          .source = slice_of("s"),
                          .body_kind = SVL_BODY_JSON,
                          .body = { body, sizeof body } };
    char out[8192];
    size_t needed;
    rc = svl_transformer_apply_record(t, &record, "rule", out, sizeof out, &needed);
    assert_true(rc == SVL_OK ? needed == strlen(out) && needed > 4000 : needed == 0);
    svl_transformer_destroy(t);
    return rc;
}

static void test_call_when_an_allocation_fails_then_told_and_nothing_leaks(void **state)
{
    (void)state;
    assert_ok(run());
    int64_t before = live_allocations();
    int rc = SVL_E_NOMEM;
    uint64_t n = 1;
    for (; rc != SVL_OK; n++) {
        assert_true(n < 1000);
        fail_malloc_after(n, true);
        rc = run();
        fail_malloc_after(0, false);
        assert_true(rc == SVL_OK || rc == SVL_E_NOMEM);
        assert_true(live_allocations() == before);
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_when_an_allocation_fails_then_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests_name("pattern/transformer_memory", tests, NULL, NULL);
}
