/* Before svl_start() and after svl_stop() each function works, or says which of the two it is: a table of all that are
 * exported, with threads and without. */
#include <stdio.h>

#include "support/symbols.h"

static svl_pipeline *pipeline;
static svl_store *store;
static svl_subscription *subscription;
static svl_consumer *consumer;
static svl_cursor *follower;
static svl_record record = { .source = { "s", 1 } };
static uint64_t id;
static int64_t ns;
static size_t n;
static int number;

static int take(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return SVL_OK;
}

static int shape(svl_ingest *ingest, svl_record *r, void *user)
{
    (void)ingest;
    (void)r;
    (void)user;
    return SVL_OK;
}

#define CALL(name, ...)                                                                            \
    static int call_##name(void)                                                                   \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }
CALL(svl_close, return svl_close(pipeline))
CALL(svl_consumer_close, return svl_consumer_close(consumer))
CALL(svl_consumer_fd, return svl_consumer_fd(consumer, &number))
CALL(svl_consumer_open, svl_consumer *c; int rc = svl_consumer_open(pipeline, NULL, &c);
     return rc == SVL_OK ? svl_consumer_close(c) : rc)
CALL(svl_consumer_poll, svl_batch *b; return svl_consumer_poll(consumer, 0, &b))
CALL(svl_consumer_seek, return svl_consumer_seek(consumer, SVL_START_LATEST, 0))
CALL(svl_consumer_subscription, return svl_consumer_subscription(consumer) ? SVL_OK : SVL_FAIL)
CALL(svl_cursor_next, const svl_record *r; return svl_cursor_next(follower, 1, &r))
CALL(svl_cursor_next_many, const svl_record *r; return svl_cursor_next_many(follower, 1, 1, &r, &n))
CALL(svl_deadletter_count, return svl_deadletter_count(pipeline, NULL, &id))
CALL(svl_deadletter_list, svl_cursor *c; int rc = svl_deadletter_list(pipeline, NULL, 0, 0, &c);
     svl_cursor_close(c); return rc)
CALL(svl_deadletter_redrive, return svl_deadletter_redrive(pipeline, "called", 0, 0))
CALL(svl_flush, return svl_flush(pipeline, -1))
CALL(svl_next_deadline_ns, return svl_next_deadline_ns(pipeline, &ns))
CALL(svl_on_ingest, return svl_on_ingest(pipeline, NULL, shape, NULL))
CALL(svl_on_stored, svl_subscription *s; int rc = svl_on_stored(pipeline, NULL, take, NULL, &s);
     return rc == SVL_OK ? svl_unsubscribe(s, NULL) : rc)
CALL(svl_pipeline_stats_get, svl_pipeline_stats s = { .struct_size = sizeof s };
     return svl_pipeline_stats_get(pipeline, &s))
CALL(svl_pipeline_store, return svl_pipeline_store(pipeline) == store ? SVL_OK : SVL_FAIL)
CALL(svl_publish, return svl_publish(pipeline, &record))
CALL(svl_publish_many, return svl_publish_many(pipeline, &record, 1, &n))
CALL(svl_publish_signal, return svl_publish_signal(pipeline, &record))
CALL(svl_publish_sync, return svl_publish_sync(pipeline, &record, 0, NULL))
CALL(svl_publish_text, return svl_publish_text(pipeline, 0, "s", "t"))
CALL(svl_pump, return svl_pump(pipeline, 0, 0, NULL))
CALL(svl_pump_fd, return svl_pump_fd(pipeline, &number))
CALL(svl_start, return svl_start(pipeline))
CALL(svl_stop, return svl_stop(pipeline, -1))
CALL(svl_store_append, return svl_store_append(store, &record, 1, NULL))
CALL(svl_store_close, return svl_store_close(store))
CALL(svl_store_commit, return svl_store_commit(store, -1))
CALL(svl_store_flush, return svl_store_flush(store, -1))
CALL(svl_store_get, svl_record_buffer *b; return svl_store_get(store, UINT64_MAX, &b))
CALL(svl_store_query, svl_cursor *c; int rc = svl_store_query(store, NULL, &c); svl_cursor_close(c);
     return rc)
CALL(svl_store_retain, return svl_store_retain(store, NULL))
CALL(svl_store_stats_get, svl_store_stats s = { .struct_size = sizeof s };
     return svl_store_stats_get(store, &s))
CALL(svl_store_verify, return svl_store_verify(store, NULL, NULL, NULL))
CALL(svl_store_wake, return svl_store_wake(store))
CALL(svl_subscription_info_get, svl_subscription_info i = { .struct_size = sizeof i };
     return svl_subscription_info_get(subscription, &i))
CALL(svl_subscription_pause, return svl_subscription_pause(subscription))
CALL(svl_subscription_resume, return svl_subscription_resume(subscription))
CALL(svl_unsubscribe, return svl_unsubscribe(subscription, NULL))
CALL(svl_wake, return svl_wake(pipeline))
#undef CALL

/* With threads; without, where that differs. */
#define ROW2(name, early, late, early_threadless, late_threadless)                                 \
    {                                                                                              \
#name, call_##name,                                                                        \
        {                                                                                          \
            { early, late },                                                                       \
            {                                                                                      \
                early_threadless, late_threadless                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define ROW(name, early, late) ROW2(name, early, late, early, late)
/* No part of a pipeline, or nothing but a batch, call or buffer at hand. */
#define APART(name)                                                                                \
    {                                                                                              \
#name, NULL,                                                                               \
        {                                                                                          \
            { SVL_OK, SVL_OK },                                                                    \
            {                                                                                      \
                SVL_OK, SVL_OK                                                                     \
            }                                                                                      \
        }                                                                                          \
    }
#define OK SVL_OK
#define STATE SVL_E_STATE
#define CLOSED SVL_E_CLOSED
static const struct row {
    const char *name;
    int (*call)(void);
    int expected[2][2]; /* threadless; late */
} rows[] = {
    APART(svl_allocator_set),
    APART(svl_attach),
    APART(svl_attach_options_init),
    APART(svl_batch_ack),
    APART(svl_batch_attempt),
    APART(svl_batch_defer),
    APART(svl_batch_emit),
    APART(svl_batch_extend),
    APART(svl_batch_fail),
    APART(svl_batch_flags),
    APART(svl_batch_nack),
    APART(svl_batch_records),
    APART(svl_batch_reject),
    APART(svl_build_info),
    APART(svl_bus_create),
    APART(svl_bus_destroy),
    APART(svl_bus_options_init),
    APART(svl_bus_publish),
    APART(svl_bus_pump),
    APART(svl_bus_stats_get),
    APART(svl_bus_stop),
    APART(svl_bus_subscribe),
    APART(svl_bus_subscription_options_init),
    APART(svl_bus_unsubscribe),
    APART(svl_bus_wake),
    ROW(svl_consumer_fd, OK, OK),
    ROW(svl_consumer_open, OK, CLOSED),
    ROW(svl_consumer_poll, SVL_E_AGAIN, CLOSED),
    ROW(svl_consumer_seek, OK, CLOSED),
    ROW(svl_consumer_subscription, OK, OK),
    APART(svl_cursor_close),
    APART(svl_cursor_explain),
    APART(svl_cursor_gap),
    ROW(svl_cursor_next, SVL_E_TIMEOUT, CLOSED),
    ROW(svl_cursor_next_many, SVL_E_TIMEOUT, CLOSED),
    ROW(svl_deadletter_count, OK, OK),
    ROW(svl_deadletter_list, OK, OK),
    APART(svl_deadletter_original),
    ROW(svl_deadletter_redrive, OK, CLOSED),
    ROW(svl_flush, STATE, OK),
    APART(svl_ingest_emit),
    APART(svl_ingest_options_init),
    APART(svl_last_error),
    APART(svl_last_error_copy),
    ROW2(svl_next_deadline_ns, STATE, STATE, STATE, OK),
    ROW(svl_on_ingest, OK, STATE),
    ROW(svl_on_stored, OK, CLOSED),
    APART(svl_open),
    APART(svl_options_init),
    APART(svl_pattern_compile),
    APART(svl_pattern_destroy),
    APART(svl_pattern_explain_json),
    APART(svl_pattern_explain_record),
    APART(svl_pattern_match_json),
    APART(svl_pattern_match_record),
    ROW(svl_pipeline_stats_get, OK, OK),
    ROW(svl_pipeline_store, OK, OK),
    ROW(svl_publish, STATE, CLOSED),
    ROW(svl_publish_many, STATE, CLOSED),
    ROW(svl_publish_signal, STATE, CLOSED),
    ROW(svl_publish_sync, STATE, CLOSED),
    ROW(svl_publish_text, STATE, CLOSED),
    APART(svl_publisher_close),
    APART(svl_publisher_flush),
    APART(svl_publisher_publish),
    APART(svl_publisher_publish_sync),
    ROW2(svl_pump, STATE, STATE, STATE, CLOSED),
    ROW2(svl_pump_fd, STATE, STATE, OK, OK),
    APART(svl_query_init),
    APART(svl_record_buffer_destroy),
    APART(svl_record_buffer_record),
    APART(svl_ruleset_add),
    APART(svl_ruleset_create),
    APART(svl_ruleset_destroy),
    APART(svl_ruleset_find),
    APART(svl_ruleset_load),
    APART(svl_ruleset_match_json),
    APART(svl_ruleset_match_record),
    APART(svl_ruleset_name),
    APART(svl_ruleset_options_init),
    APART(svl_ruleset_remove),
    APART(svl_ruleset_stats_get),
    APART(svl_ruleset_transform_json),
    APART(svl_ruleset_transform_record),
    ROW(svl_store_append, OK, OK),
    ROW(svl_store_close, SVL_E_INVALID, SVL_E_INVALID),
    ROW(svl_store_commit, OK, OK),
    ROW(svl_store_flush, OK, OK),
    ROW(svl_store_get, SVL_E_NOT_FOUND, SVL_E_NOT_FOUND),
    APART(svl_store_open),
    APART(svl_store_options_init),
    ROW(svl_store_query, OK, OK),
    ROW(svl_store_retain, OK, OK),
    ROW(svl_store_stats_get, OK, OK),
    ROW(svl_store_verify, OK, OK),
    ROW(svl_store_wake, OK, OK),
    APART(svl_stored_options_init),
    APART(svl_strerror),
    ROW(svl_subscription_info_get, OK, OK),
    ROW(svl_subscription_pause, OK, OK),
    ROW(svl_subscription_resume, OK, OK),
    APART(svl_transformer_apply_json),
    APART(svl_transformer_apply_record),
    APART(svl_transformer_body_kind),
    APART(svl_transformer_compile),
    APART(svl_transformer_destroy),
    APART(svl_version),
    ROW(svl_wake, OK, OK),
    /* In this order, behind those that need them. */
    ROW(svl_unsubscribe, OK, OK),
    ROW(svl_consumer_close, OK, OK),
    ROW(svl_stop, STATE, OK),
    ROW(svl_start, OK, STATE),
    ROW(svl_close, OK, OK),
};
#define ROWS (sizeof rows / sizeof rows[0])

static const char *name_at(size_t i)
{
    return rows[i].name;
}

static void test_table_when_compared_with_the_symbol_map_then_complete(void **state)
{
    (void)state;
    assert_all_symbols(name_at, ROWS);
}

enum season { EARLY, LATE };

static void open_all(uint32_t flags)
{
    svl_options options;
    svl_stored_options on;
    svl_query query;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    assert_ok(svl_query_init(&query, sizeof query));
    options.flags = flags;
    options.full_policy = SVL_FULL_FAIL; /* svl_publish_signal() */
    query.flags = SVL_QUERY_FOLLOW;
    query.source = slice_of("nobody");
    assert_ok(svl_open(temp_path(), &options, &pipeline));
    store = svl_pipeline_store(pipeline);
    on.name = "called";
    assert_ok(svl_on_stored(pipeline, &on, take, NULL, &subscription));
    on.name = "polled";
    assert_ok(svl_consumer_open(pipeline, &on, &consumer));
    assert_ok(svl_store_query(store, &query, &follower));
}

static void check_season(enum season season)
{
    size_t wrong = 0;
    for (int threadless = 0; threadless < 2; threadless++) {
        open_all(threadless ? SVL_THREADLESS : 0);
        if (season == LATE) {
            assert_ok(svl_start(pipeline));
            assert_ok(svl_publish(pipeline, &record));
            assert_ok(svl_stop(pipeline, -1));
        }
        for (size_t i = 0; i < ROWS; i++) {
            int expected = rows[i].expected[threadless][season];
            int gave = rows[i].call ? rows[i].call() : SVL_OK;
            if (gave == expected)
                continue;
            print_error("%s() gave %d instead of %d%s\n", rows[i].name, gave, expected,
                        threadless ? ", threadless" : "");
            wrong++;
        }
        svl_cursor_close(follower);
    }
    assert_int_equal(wrong, 0);
}

static void test_functions_when_called_before_start_then_as_the_table_says(void **state)
{
    (void)state;
    check_season(EARLY);
}

static void test_functions_when_called_after_stop_then_as_the_table_says(void **state)
{
    (void)state;
    check_season(LATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_when_compared_with_the_symbol_map_then_complete),
        cmocka_unit_test(test_functions_when_called_before_start_then_as_the_table_says),
        cmocka_unit_test(test_functions_when_called_after_stop_then_as_the_table_says),
    };
    int failed = cmocka_run_group_tests_name("pipeline/seasons", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
