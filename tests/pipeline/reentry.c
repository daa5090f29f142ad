/* Inside a callback what would wait for that callback answers SVL_E_DEADLOCK, one by one, and the rest works: a
 * table of all exported functions, with threads and without. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>

#include "support/symbols.h"

static svl_pipeline *pipeline;
static svl_store *store;
static svl_subscription *own, *other;
static svl_consumer *consumer, *opened;
static svl_cursor *follower;
static svl_record record = { .source = { "from-a-callback", 15 } };

static int pass(svl_batch *batch, void *user)
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
CALL(svl_consumer_fd, int fd; return svl_consumer_fd(consumer, &fd))
CALL(svl_consumer_open, return svl_consumer_open(pipeline, NULL, &opened))
CALL(svl_consumer_poll, svl_batch *b; int rc = svl_consumer_poll(consumer, 0, &b);
     return rc == SVL_OK        ? svl_batch_ack(b)
            : rc == SVL_E_AGAIN ? SVL_OK
                                : rc)
CALL(svl_consumer_seek, return svl_consumer_seek(consumer, SVL_START_LATEST, 0))
CALL(svl_consumer_subscription, return svl_consumer_subscription(consumer) ? SVL_OK : SVL_FAIL)
CALL(svl_cursor_next, const svl_record *r; int rc = svl_cursor_next(follower, 1, &r);
     return rc == SVL_E_TIMEOUT ? SVL_OK : rc)
CALL(svl_cursor_next_many, const svl_record *r; size_t n;
     int rc = svl_cursor_next_many(follower, 1, 1, &r, &n);
     return rc == SVL_E_TIMEOUT ? SVL_OK : rc)
CALL(svl_deadletter_count, uint64_t n; return svl_deadletter_count(pipeline, NULL, &n))
CALL(svl_deadletter_list, svl_cursor *c; int rc = svl_deadletter_list(pipeline, NULL, 0, 0, &c);
     svl_cursor_close(c); return rc)
CALL(svl_deadletter_redrive, return svl_deadletter_redrive(pipeline, "other", 0, 0))
CALL(svl_flush, return svl_flush(pipeline, 0))
CALL(svl_next_deadline_ns, int64_t ns; return svl_next_deadline_ns(pipeline, &ns))
CALL(svl_on_ingest, int rc = svl_on_ingest(pipeline, NULL, shape, NULL);
     return rc == SVL_E_STATE ? SVL_OK : rc) /* they are registered before svl_start() */
CALL(svl_on_stored, svl_subscription *s; int rc = svl_on_stored(pipeline, NULL, pass, NULL, &s);
     return rc == SVL_OK ? svl_unsubscribe(s, NULL) : rc)
CALL(svl_pipeline_stats_get, svl_pipeline_stats s = { .struct_size = sizeof s };
     return svl_pipeline_stats_get(pipeline, &s))
CALL(svl_pipeline_store, return svl_pipeline_store(pipeline) == store ? SVL_OK : SVL_FAIL)
CALL(svl_publish, return svl_publish(pipeline, &record))
CALL(svl_publish_many, size_t n; return svl_publish_many(pipeline, &record, 1, &n))
CALL(svl_publish_signal, return svl_publish_signal(pipeline, &record))
CALL(svl_publish_sync, return svl_publish_sync(pipeline, &record, 0, NULL))
CALL(svl_publish_text, return svl_publish_text(pipeline, 0, "from-a-callback", "t"))
CALL(svl_pump, return svl_pump(pipeline, 0, 0, NULL))
CALL(svl_pump_fd, int fd; int rc = svl_pump_fd(pipeline, &fd);
     return rc == SVL_E_STATE ? SVL_OK : rc) /* it has threads */
CALL(svl_start, return svl_start(pipeline))
CALL(svl_stop, return svl_stop(pipeline, 0))
CALL(svl_store_append, return svl_store_append(store, &record, 1, NULL))
CALL(svl_store_close, return svl_store_close(store))
CALL(svl_store_commit, int rc = svl_store_commit(store, 0);
     return rc == SVL_E_TIMEOUT ? SVL_OK : rc)
CALL(svl_store_flush, int rc = svl_store_flush(store, 0); return rc == SVL_E_TIMEOUT ? SVL_OK : rc)
CALL(svl_store_get, svl_record_buffer *b; int rc = svl_store_get(store, UINT64_MAX, &b);
     return rc == SVL_E_NOT_FOUND ? SVL_OK : rc)
CALL(svl_store_query, svl_cursor *c; int rc = svl_store_query(store, NULL, &c); svl_cursor_close(c);
     return rc)
CALL(svl_store_retain, return svl_store_retain(store, NULL))
CALL(svl_store_stats_get, svl_store_stats s = { .struct_size = sizeof s };
     return svl_store_stats_get(store, &s))
CALL(svl_store_wake, return svl_store_wake(store))
CALL(svl_subscription_info_get, svl_subscription_info i = { .struct_size = sizeof i };
     return svl_subscription_info_get(own, &i))
CALL(svl_subscription_pause, return svl_subscription_pause(other))
CALL(svl_subscription_resume, return svl_subscription_resume(other))
CALL(svl_wake, return svl_wake(pipeline))
static int call_svl_unsubscribe(void)
{
    return svl_unsubscribe(own, NULL);
}
#undef CALL

#define ROW(name, in_stored, in_ingest)                                                            \
    {                                                                                              \
#name, call_##name, in_stored, in_ingest                                                   \
    }
/* No part of the pipeline whose callback it is, or nothing but memory at hand; a bus has its own test. */
#define APART(name)                                                                                \
    {                                                                                              \
#name, NULL, SVL_OK, SVL_OK                                                                \
    }
#define DEADLOCK SVL_E_DEADLOCK
#define OK SVL_OK
static const struct row {
    const char *name;
    int (*call)(void);
    int in_stored, in_ingest;
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
    ROW(svl_close, DEADLOCK, DEADLOCK),
    ROW(svl_consumer_fd, OK, OK),
    ROW(svl_consumer_open, OK, OK),
    ROW(svl_consumer_poll, OK, DEADLOCK),
    ROW(svl_consumer_seek, OK, DEADLOCK),
    ROW(svl_consumer_subscription, OK, OK),
    APART(svl_cursor_close),
    APART(svl_cursor_explain),
    APART(svl_cursor_gap),
    ROW(svl_cursor_next, OK, DEADLOCK),
    ROW(svl_cursor_next_many, OK, DEADLOCK),
    ROW(svl_deadletter_count, OK, OK),
    ROW(svl_deadletter_list, OK, OK),
    APART(svl_deadletter_original),
    ROW(svl_deadletter_redrive, OK, OK),
    ROW(svl_flush, DEADLOCK, DEADLOCK),
    APART(svl_ingest_emit),
    APART(svl_ingest_options_init),
    APART(svl_last_error),
    APART(svl_last_error_copy),
    ROW(svl_next_deadline_ns, DEADLOCK, DEADLOCK),
    ROW(svl_on_ingest, OK, OK),
    ROW(svl_on_stored, OK, OK),
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
    ROW(svl_publish, OK, OK),
    ROW(svl_publish_many, OK, OK),
    ROW(svl_publish_signal, OK, OK),
    ROW(svl_publish_sync, DEADLOCK, DEADLOCK),
    ROW(svl_publish_text, OK, OK),
    APART(svl_publisher_close),
    APART(svl_publisher_flush),
    APART(svl_publisher_publish),
    APART(svl_publisher_publish_sync),
    ROW(svl_pump, DEADLOCK, DEADLOCK),
    ROW(svl_pump_fd, OK, OK),
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
    ROW(svl_start, DEADLOCK, DEADLOCK),
    ROW(svl_stop, DEADLOCK, DEADLOCK),
    ROW(svl_store_append, OK, DEADLOCK),
    ROW(svl_store_close, DEADLOCK, DEADLOCK),
    ROW(svl_store_commit, OK, DEADLOCK),
    ROW(svl_store_flush, OK, DEADLOCK),
    ROW(svl_store_get, OK, OK),
    APART(svl_store_open),
    APART(svl_store_options_init),
    ROW(svl_store_query, OK, OK),
    ROW(svl_store_retain, OK, DEADLOCK),
    ROW(svl_store_stats_get, OK, OK),
    APART(svl_store_verify), /* reads, and waits for nobody; as svl_store_get() */
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
    ROW(svl_unsubscribe, DEADLOCK,
        OK), /* of its own; in an ingest handler of another one, and the last */
    APART(svl_version),
    ROW(svl_wake, OK, OK),
    ROW(svl_consumer_close, OK, DEADLOCK), /* behind those that need it */
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

static int results[ROWS];
static _Atomic int calls;

static void call_all(void)
{
    for (size_t i = 0; i < ROWS; i++)
        results[i] = rows[i].call ? rows[i].call() : SVL_OK;
    atomic_fetch_add(&calls, 1);
}

static int call_all_stored(svl_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    if (atomic_load(&calls) == 0)
        call_all();
    return SVL_OK;
}

static int call_all_ingest(svl_ingest *ingest, svl_record *r, void *user)
{
    (void)ingest;
    (void)r;
    (void)user;
    if (atomic_load(&calls) == 0)
        call_all();
    return SVL_OK;
}

static void check_callback(bool is_ingest, uint32_t flags)
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
    atomic_store(&calls, 0);
    assert_ok(svl_open(temp_path(), &options, &pipeline));
    store = svl_pipeline_store(pipeline);
    on.name = "own";
    assert_ok(svl_on_stored(pipeline, &on, is_ingest ? pass : call_all_stored, NULL, &own));
    on.name = "other";
    assert_ok(svl_on_stored(pipeline, &on, pass, NULL, &other));
    on.name = "polled";
    assert_ok(svl_consumer_open(pipeline, &on, &consumer));
    assert_ok(svl_store_query(store, &query, &follower));
    if (is_ingest)
        assert_ok(svl_on_ingest(pipeline, NULL, call_all_ingest, NULL));
    assert_ok(svl_start(pipeline));
    assert_ok(svl_publish_text(pipeline, 0, "s", "text"));
    assert_ok(svl_flush(pipeline, -1));
    while (atomic_load(&calls) == 0)
        if (flags & SVL_THREADLESS)
            assert_ok(svl_pump(pipeline, 0, -1, NULL));
    size_t wrong = 0;
    for (size_t i = 0; i < ROWS; i++) {
        int expected = is_ingest ? rows[i].in_ingest : rows[i].in_stored;
        if (results[i] == expected)
            continue;
        print_error("%s() gave %d instead of %d\n", rows[i].name, results[i], expected);
        wrong++;
    }
    assert_int_equal(wrong, 0);
    svl_cursor_close(follower);
    if (is_ingest)
        assert_ok(svl_consumer_close(consumer));
    assert_ok(svl_close(pipeline));
    assert_ok(svl_consumer_close(opened));
}

static void test_functions_when_called_in_a_stored_handler_then_as_the_table_says(void **state)
{
    (void)state;
    check_callback(false, 0);
    check_callback(false, SVL_THREADLESS);
}

static void test_functions_when_called_in_an_ingest_handler_then_as_the_table_says(void **state)
{
    (void)state;
    check_callback(true, 0);
    check_callback(true, SVL_THREADLESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_when_compared_with_the_symbol_map_then_complete),
        cmocka_unit_test(test_functions_when_called_in_a_stored_handler_then_as_the_table_says),
        cmocka_unit_test(test_functions_when_called_in_an_ingest_handler_then_as_the_table_says),
    };
    return cmocka_run_group_tests_name("pipeline/reentry", tests, NULL, NULL);
}
