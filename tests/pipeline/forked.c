/* After fork() the child is refused by every function, and the parent is undisturbed: a table of all that are
 * exported. The process has no threads, so that sanitizers can follow. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/symbols.h"

static char path[512], attached_path[512];
static svl_pipeline *pipeline;
static svl_store *store, *alone;
static svl_subscription *subscription, *polled;
static svl_consumer *consumer;
static svl_batch *batch;
static svl_cursor *cursor;
static svl_publisher *publisher;
static svl_bus *bus;
static svl_bus_subscription *listener;
static svl_ruleset *ruleset;
static const char pattern[] = "{\"source\":[\"s\"]}";

static svl_record record = { .source = { "s", 1 } };
static uint64_t id;
static int64_t ns;
static size_t n;
static int number;
static const svl_record *one, **many;

static int take(svl_batch *b, void *user)
{
    (void)b;
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

static int hear(const svl_record *r, void *user)
{
    (void)r;
    (void)user;
    return SVL_OK;
}

/* What a row says of a function. */
enum refusal {
    FORKED,  /* SVL_E_FORKED */
    EMPTY,   /* returns no code: nothing, NULL or 0 */
    NOTHING, /* takes no handle, or starts with a new one */
    MEMORY,  /* of a batch, call or buffer at hand: the caller's own memory */
};

#define CALL(name, ...)                                                                            \
    static int call_##name(void)                                                                   \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }
CALL(svl_batch_ack, return svl_batch_ack(batch))
CALL(svl_batch_extend, return svl_batch_extend(batch, 1))
CALL(svl_batch_nack, return svl_batch_nack(batch, SVL_FAIL, NULL))
CALL(svl_bus_destroy, return svl_bus_destroy(bus))
CALL(svl_bus_publish, return svl_bus_publish(bus, &record))
CALL(svl_bus_pump, return svl_bus_pump(bus, 0, 0, &n))
CALL(svl_bus_stats_get, svl_bus_stats s = { .struct_size = sizeof s };
     return svl_bus_stats_get(bus, &s))
CALL(svl_bus_stop, return svl_bus_stop(bus))
CALL(svl_bus_subscribe, svl_bus_subscription *s;
     return svl_bus_subscribe(bus, NULL, hear, NULL, &s))
CALL(svl_bus_unsubscribe, return svl_bus_unsubscribe(listener, NULL))
CALL(svl_bus_wake, return svl_bus_wake(bus))
CALL(svl_close, return svl_close(pipeline))
CALL(svl_consumer_close, return svl_consumer_close(consumer))
CALL(svl_consumer_fd, return svl_consumer_fd(consumer, &number))
CALL(svl_consumer_open, svl_consumer *c; return svl_consumer_open(pipeline, NULL, &c))
CALL(svl_consumer_poll, svl_batch *b; return svl_consumer_poll(consumer, 0, &b))
CALL(svl_consumer_seek, return svl_consumer_seek(consumer, SVL_START_LATEST, 0))
CALL(svl_consumer_subscription, return svl_consumer_subscription(consumer) != NULL)
CALL(svl_cursor_close, svl_cursor_close(cursor); return 0)
CALL(svl_cursor_explain, svl_cursor_explanation e = { .struct_size = sizeof e };
     return svl_cursor_explain(cursor, &e))
CALL(svl_cursor_gap, uint64_t last; return svl_cursor_gap(cursor, &id, &last))
CALL(svl_cursor_next, return svl_cursor_next(cursor, 0, &one))
CALL(svl_cursor_next_many,
     return svl_cursor_next_many(cursor, 0, 1, (const svl_record **)&many, &n))
CALL(svl_deadletter_count, return svl_deadletter_count(pipeline, NULL, &id))
CALL(svl_deadletter_list, svl_cursor *c; return svl_deadletter_list(pipeline, NULL, 0, 0, &c))
CALL(svl_deadletter_redrive, return svl_deadletter_redrive(pipeline, "s", 0, 0))
CALL(svl_flush, return svl_flush(pipeline, 0))
CALL(svl_next_deadline_ns, return svl_next_deadline_ns(pipeline, &ns))
CALL(svl_on_ingest, return svl_on_ingest(pipeline, NULL, shape, NULL))
CALL(svl_on_stored, svl_subscription *s; return svl_on_stored(pipeline, NULL, take, NULL, &s))
CALL(svl_pipeline_stats_get, svl_pipeline_stats s = { .struct_size = sizeof s };
     return svl_pipeline_stats_get(pipeline, &s))
CALL(svl_publish, return svl_publish(pipeline, &record))
CALL(svl_publish_many, return svl_publish_many(pipeline, &record, 1, &n))
CALL(svl_publish_signal, return svl_publish_signal(pipeline, &record))
CALL(svl_publish_sync, return svl_publish_sync(pipeline, &record, 0, &id))
CALL(svl_publish_text, return svl_publish_text(pipeline, 0, "s", "t"))
CALL(svl_publisher_close, return svl_publisher_close(publisher))
CALL(svl_publisher_flush, return svl_publisher_flush(publisher, 0))
CALL(svl_publisher_publish, return svl_publisher_publish(publisher, &record))
CALL(svl_publisher_publish_sync, return svl_publisher_publish_sync(publisher, &record, 0, &id))
CALL(svl_pump, return svl_pump(pipeline, 0, 0, &n))
CALL(svl_pump_fd, return svl_pump_fd(pipeline, &number))
CALL(svl_ruleset_add, return svl_ruleset_add(ruleset, 2, pattern, sizeof pattern - 1, NULL))
CALL(svl_ruleset_find, return svl_ruleset_find(ruleset, "r", &id))
CALL(svl_ruleset_load, return svl_ruleset_load(ruleset, "{\"rules\":[]}", 12, &id, NULL))
CALL(svl_ruleset_match_json, return svl_ruleset_match_json(ruleset, "{}", 2, 0, NULL, 0, &n))
CALL(svl_ruleset_match_record, return svl_ruleset_match_record(ruleset, &record, 0, NULL, 0, &n))
CALL(svl_ruleset_name, return svl_ruleset_name(ruleset, 1, NULL, 0, &n))
CALL(svl_ruleset_remove, return svl_ruleset_remove(ruleset, 1))
CALL(svl_ruleset_stats_get, svl_ruleset_stats s = { .struct_size = sizeof s };
     return svl_ruleset_stats_get(ruleset, &s))
CALL(svl_ruleset_transform_json,
     return svl_ruleset_transform_json(ruleset, 1, "{}", 2, NULL, 0, &n))
CALL(svl_ruleset_transform_record,
     return svl_ruleset_transform_record(ruleset, 1, &record, NULL, 0, &n))
CALL(svl_start, return svl_start(pipeline))
CALL(svl_stop, return svl_stop(pipeline, 0))
CALL(svl_store_append, return svl_store_append(store, &record, 1, &id))
CALL(svl_store_close, return svl_store_close(alone))
CALL(svl_store_commit, return svl_store_commit(store, 0))
CALL(svl_store_flush, return svl_store_flush(store, 0))
CALL(svl_store_get, svl_record_buffer *b; return svl_store_get(store, 1, &b))
CALL(svl_store_query, svl_cursor *c; return svl_store_query(store, NULL, &c))
CALL(svl_store_retain, return svl_store_retain(store, &id))
CALL(svl_store_stats_get, svl_store_stats s = { .struct_size = sizeof s };
     return svl_store_stats_get(store, &s))
CALL(svl_store_verify, return svl_store_verify(store, NULL, NULL, NULL))
CALL(svl_store_wake, return svl_store_wake(store))
CALL(svl_subscription_info_get, svl_subscription_info i = { .struct_size = sizeof i };
     return svl_subscription_info_get(subscription, &i))
CALL(svl_subscription_pause, return svl_subscription_pause(polled))
CALL(svl_subscription_resume, return svl_subscription_resume(polled))
CALL(svl_unsubscribe, return svl_unsubscribe(subscription, NULL))
CALL(svl_wake, return svl_wake(pipeline))
#undef CALL

#define ROW(name, refusal)                                                                         \
    {                                                                                              \
#name, refusal, call_##name                                                                \
    }
#define NO_CALL(name, refusal)                                                                     \
    {                                                                                              \
#name, refusal, NULL                                                                       \
    }
static const struct row {
    const char *name;
    enum refusal refusal;
    int (*call)(void);
} rows[] = {
    NO_CALL(svl_allocator_set, NOTHING),
    NO_CALL(svl_attach, NOTHING),
    NO_CALL(svl_attach_options_init, NOTHING),
    ROW(svl_batch_ack, FORKED),
    NO_CALL(svl_batch_attempt, MEMORY),
    NO_CALL(svl_batch_defer, MEMORY),
    NO_CALL(svl_batch_emit, MEMORY),
    ROW(svl_batch_extend, FORKED),
    NO_CALL(svl_batch_fail, MEMORY),
    NO_CALL(svl_batch_flags, MEMORY),
    ROW(svl_batch_nack, FORKED),
    NO_CALL(svl_batch_records, MEMORY),
    NO_CALL(svl_batch_reject, MEMORY),
    NO_CALL(svl_build_info, NOTHING),
    NO_CALL(svl_bus_create, NOTHING),
    ROW(svl_bus_destroy, FORKED),
    NO_CALL(svl_bus_options_init, NOTHING),
    ROW(svl_bus_publish, FORKED),
    ROW(svl_bus_pump, FORKED),
    ROW(svl_bus_stats_get, FORKED),
    ROW(svl_bus_stop, FORKED),
    ROW(svl_bus_subscribe, FORKED),
    NO_CALL(svl_bus_subscription_options_init, NOTHING),
    ROW(svl_bus_unsubscribe, FORKED),
    ROW(svl_bus_wake, FORKED),
    ROW(svl_close, FORKED),
    ROW(svl_consumer_close, FORKED),
    ROW(svl_consumer_fd, FORKED),
    ROW(svl_consumer_open, FORKED),
    ROW(svl_consumer_poll, FORKED),
    ROW(svl_consumer_seek, FORKED),
    ROW(svl_consumer_subscription, EMPTY),
    ROW(svl_cursor_close, EMPTY),
    ROW(svl_cursor_explain, FORKED),
    ROW(svl_cursor_gap, FORKED),
    ROW(svl_cursor_next, FORKED),
    ROW(svl_cursor_next_many, FORKED),
    ROW(svl_deadletter_count, FORKED),
    ROW(svl_deadletter_list, FORKED),
    NO_CALL(svl_deadletter_original, NOTHING),
    ROW(svl_deadletter_redrive, FORKED),
    ROW(svl_flush, FORKED),
    NO_CALL(svl_ingest_emit, MEMORY),
    NO_CALL(svl_ingest_options_init, NOTHING),
    NO_CALL(svl_last_error, NOTHING),
    NO_CALL(svl_last_error_copy, NOTHING),
    ROW(svl_next_deadline_ns, FORKED),
    ROW(svl_on_ingest, FORKED),
    ROW(svl_on_stored, FORKED),
    NO_CALL(svl_open, NOTHING),
    NO_CALL(svl_options_init, NOTHING),
    NO_CALL(svl_pattern_compile, NOTHING),
    NO_CALL(svl_pattern_destroy, MEMORY),
    NO_CALL(svl_pattern_explain_json, MEMORY),
    NO_CALL(svl_pattern_explain_record, MEMORY),
    NO_CALL(svl_pattern_match_json, MEMORY),
    NO_CALL(svl_pattern_match_record, MEMORY),
    ROW(svl_pipeline_stats_get, FORKED),
    NO_CALL(svl_pipeline_store, MEMORY),
    ROW(svl_publish, FORKED),
    ROW(svl_publish_many, FORKED),
    ROW(svl_publish_signal, FORKED),
    ROW(svl_publish_sync, FORKED),
    ROW(svl_publish_text, FORKED),
    ROW(svl_publisher_close, FORKED),
    ROW(svl_publisher_flush, FORKED),
    ROW(svl_publisher_publish, FORKED),
    ROW(svl_publisher_publish_sync, FORKED),
    ROW(svl_pump, FORKED),
    ROW(svl_pump_fd, FORKED),
    NO_CALL(svl_query_init, NOTHING),
    NO_CALL(svl_record_buffer_destroy, MEMORY),
    NO_CALL(svl_record_buffer_record, MEMORY),
    ROW(svl_ruleset_add, FORKED),
    NO_CALL(svl_ruleset_create, NOTHING),
    NO_CALL(svl_ruleset_destroy, MEMORY),
    ROW(svl_ruleset_find, FORKED),
    ROW(svl_ruleset_load, FORKED),
    ROW(svl_ruleset_match_json, FORKED),
    ROW(svl_ruleset_match_record, FORKED),
    ROW(svl_ruleset_name, FORKED),
    NO_CALL(svl_ruleset_options_init, NOTHING),
    ROW(svl_ruleset_remove, FORKED),
    ROW(svl_ruleset_stats_get, FORKED),
    ROW(svl_ruleset_transform_json, FORKED),
    ROW(svl_ruleset_transform_record, FORKED),
    ROW(svl_start, FORKED),
    ROW(svl_stop, FORKED),
    ROW(svl_store_append, FORKED),
    ROW(svl_store_close, FORKED),
    ROW(svl_store_commit, FORKED),
    ROW(svl_store_flush, FORKED),
    ROW(svl_store_get, FORKED),
    NO_CALL(svl_store_open, NOTHING),
    NO_CALL(svl_store_options_init, NOTHING),
    ROW(svl_store_query, FORKED),
    ROW(svl_store_retain, FORKED),
    ROW(svl_store_stats_get, FORKED),
    ROW(svl_store_verify, FORKED),
    ROW(svl_store_wake, FORKED),
    NO_CALL(svl_stored_options_init, NOTHING),
    NO_CALL(svl_strerror, NOTHING),
    ROW(svl_subscription_info_get, FORKED),
    ROW(svl_subscription_pause, FORKED),
    ROW(svl_subscription_resume, FORKED),
    NO_CALL(svl_transformer_apply_json, MEMORY),
    NO_CALL(svl_transformer_apply_record, MEMORY),
    NO_CALL(svl_transformer_body_kind, MEMORY),
    NO_CALL(svl_transformer_compile, NOTHING),
    NO_CALL(svl_transformer_destroy, MEMORY),
    ROW(svl_unsubscribe, FORKED),
    NO_CALL(svl_version, NOTHING),
    ROW(svl_wake, FORKED),
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

static void open_all(void)
{
    svl_options options;
    svl_store_options store_options;
    svl_stored_options on;
    char other[512];
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store_options, sizeof store_options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    options.flags = store_options.flags = SVL_THREADLESS;
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(other, sizeof other, "%s", temp_path());
    snprintf(attached_path, sizeof attached_path, "%s", temp_path());
    assert_ok(svl_open(attached_path, &options, &pipeline));
    assert_ok(svl_close(pipeline)); /* so that it can be attached to */
    assert_ok(svl_attach(attached_path, NULL, &publisher));
    assert_ok(svl_store_open(other, &store_options, &alone));
    assert_ok(svl_ruleset_create(NULL, &ruleset));
    assert_ok(svl_ruleset_add(ruleset, 1, pattern, sizeof pattern - 1, NULL));
    assert_ok(svl_bus_create(NULL, &bus));
    assert_ok(svl_bus_subscribe(bus, NULL, hear, NULL, &listener));
    assert_ok(svl_open(path, &options, &pipeline));
    on.name = "pushed";
    assert_ok(svl_on_stored(pipeline, &on, take, NULL, &subscription));
    on.name = "polled";
    assert_ok(svl_consumer_open(pipeline, &on, &consumer));
    polled = svl_consumer_subscription(consumer);
    assert_ok(svl_start(pipeline));
    store = svl_pipeline_store(pipeline);
    assert_ok(svl_publish(pipeline, &record));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_consumer_poll(consumer, 0, &batch));
    assert_ok(svl_store_query(store, NULL, &cursor));
}

/* In the child: the first row that is wrong, + 1; 0: none. */
static int check_rows(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        if (!row->call)
            continue;
        int expected = row->refusal == FORKED ? SVL_E_FORKED : 0, rc = row->call();
        if (rc != expected)
            return (int)i + 1;
    }
    return 0;
}

static void test_functions_when_called_in_a_child_then_refused_and_the_parent_goes_on(void **state)
{
    (void)state;
    open_all();
    pid_t child = fork();
    if (child == 0)
        _exit(check_rows());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        print_error("in the child %s() was not refused as it should be\n",
                    WEXITSTATUS(status) <= (int)ROWS ? rows[WEXITSTATUS(status) - 1].name : "?");
    assert_int_equal(WEXITSTATUS(status), 0);

    assert_ok(svl_cursor_next(cursor, 0, &one));
    svl_cursor_close(cursor);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_publish(pipeline, &record));
    assert_ok(svl_pump(pipeline, 0, 0, &n));
    assert_int_equal(n, 1);
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_consumer_poll(consumer, 0, &batch));
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_unsubscribe(subscription, NULL));
    assert_ok(svl_consumer_close(consumer));
    assert_ok(svl_close(pipeline));
    assert_ok(svl_store_append(alone, &record, 1, &id));
    assert_true(id == 1);
    assert_ok(svl_store_close(alone));
    assert_ok(svl_bus_publish(bus, &record));
    assert_ok(svl_bus_pump(bus, 0, 0, &n));
    assert_ok(svl_bus_unsubscribe(listener, NULL));
    assert_ok(svl_bus_destroy(bus));
    assert_ok(svl_ruleset_match_record(ruleset, &record, 0, &id, 1, &n));
    assert_int_equal(n, 1);
    svl_ruleset_destroy(ruleset);
    assert_ok(svl_publisher_publish(publisher, &record));
    assert_ok(svl_publisher_close(publisher));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_when_compared_with_the_symbol_map_then_complete),
        cmocka_unit_test(test_functions_when_called_in_a_child_then_refused_and_the_parent_goes_on),
    };
    return cmocka_run_group_tests_name("pipeline/forked", tests, NULL, NULL);
}
