/* The whole way: publish, ingest handler, store, stored handler, query. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static svl_pipeline *start(const svl_options *options)
{
    svl_pipeline *p;
    assert_ok(svl_open(path, options, &p));
    assert_ok(svl_start(p));
    return p;
}

static uint64_t count_key(svl_pipeline *p, const char *key)
{
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of(key);
    svl_cursor *cursor;
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    const svl_record *record;
    uint64_t n = 0;
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

static void test_record_when_published_then_found_by_key(void **state)
{
    (void)state;
    svl_pipeline *p = start(NULL);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i % 10);
        svl_record record = { .severity = SVL_SEVERITY_INFO,
                              .source = slice_of("test"),
                              .key = slice_of(key),
                              .body = slice_of("hello") };
        assert_ok(svl_publish(p, &record));
    }
    assert_ok(svl_flush(p, -1));
    assert_int_equal(count_key(p, "k3"), 100);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_int_equal(stats.published, 1000);
    assert_int_equal(stats.ring_is_crash_safe, 1);
    assert_ok(svl_close(p));
    p = start(NULL);
    assert_int_equal(count_key(p, "k3"), 100);
    assert_ok(svl_close(p));
}

static int count_batch(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        assert_true(records[i].severity >= SVL_SEVERITY_ERROR);
    atomic_fetch_add((_Atomic uint64_t *)user, n);
    return SVL_OK;
}

static void test_stored_handler_when_closed_then_has_seen_all(void **state)
{
    (void)state;
    _Atomic uint64_t seen = 0;
    svl_stored_options on;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "alert";
    on.filter.severity_min = SVL_SEVERITY_ERROR;
    for (int round = 1; round <= 3; round++) {
        svl_pipeline *p;
        assert_ok(svl_open(path, NULL, &p));
        assert_ok(svl_on_stored(p, &on, count_batch, (void *)&seen, NULL));
        assert_ok(svl_start(p));
        for (int i = 0; i < 500; i++)
            assert_ok(svl_publish_text(p, i % 2 ? SVL_SEVERITY_ERROR : SVL_SEVERITY_INFO, "shop",
                                       "payment refused"));
        assert_ok(svl_close(p));
        assert_int_equal(atomic_load(&seen), 250 * round);
    }
}

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)user;
    if (record->body.len == 4 && memcmp(record->body.data, "drop", 4) == 0)
        return SVL_DROP;
    if (record->body.len == 5 && memcmp(record->body.data, "split", 5) == 0) {
        for (int i = 0; i < 3; i++) {
            svl_record part = { .source = slice_of("part"), .key = slice_of("part") };
            assert_ok(svl_ingest_emit(ingest, &part));
        }
        return SVL_DROP;
    }
    if (record->body.len == 4 && memcmp(record->body.data, "fail", 4) == 0) {
        record->key = slice_of("never");
        return SVL_FAIL;
    }
    record->key = slice_of("shaped");
    return SVL_OK;
}

static void test_ingest_handler_when_it_shapes_then_store_has_the_result(void **state)
{
    (void)state;
    svl_pipeline *p;
    assert_ok(svl_open(path, NULL, &p));
    assert_ok(svl_on_ingest(p, NULL, shape, NULL));
    assert_ok(svl_start(p));
    assert_int_equal(svl_on_ingest(p, NULL, shape, NULL), SVL_E_STATE);
    static const char *const bodies[] = { "drop", "split", "fail", "plain" };
    for (int i = 0; i < 400; i++)
        assert_ok(svl_publish_text(p, 9, "s", bodies[i % 4]));
    svl_record dropped = { .body = slice_of("drop") };
    uint64_t id = 7;
    assert_int_equal(svl_publish_sync(p, &dropped, -1, &id), SVL_E_DROPPED);
    assert_true(id == 0);
    assert_ok(svl_flush(p, -1));
    assert_int_equal(count_key(p, "shaped"), 100);
    assert_int_equal(count_key(p, "part"), 300);
    assert_int_equal(count_key(p, "never"), 0);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_int_equal(stats.dropped_ingest, 201);
    assert_int_equal(stats.ingest_failures, 100);
    assert_int_equal(stats.emitted, 300);
    svl_store_stats store = { .struct_size = sizeof store };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &store));
    assert_int_equal(store.records, 500);
    assert_ok(svl_close(p));
}

static void test_publish_when_sync_then_id_is_durable(void **state)
{
    (void)state;
    svl_pipeline *p = start(NULL);
    for (uint64_t i = 1; i <= 20; i++) {
        svl_record record = { .source = slice_of("s"), .body = slice_of("b") };
        uint64_t id;
        assert_ok(svl_publish_sync(p, &record, -1, &id));
        assert_true(id == i);
        svl_record_buffer *buffer;
        assert_ok(svl_store_get(svl_pipeline_store(p), id, &buffer));
        svl_record_buffer_destroy(buffer);
    }
    assert_ok(svl_close(p));
}

static void *publish_sync_many(void *argument)
{
    svl_pipeline *p = argument;
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        svl_record record = { .source = slice_of("s"), .body = slice_of("b") };
        uint64_t id = 0;
        if (svl_publish_sync(p, &record, -1, &id) != SVL_OK || id <= last)
            return "failed";
        last = id;
    }
    return NULL;
}

static void test_publish_when_sync_by_64_threads_then_all_get_their_ids(void **state)
{
    (void)state;
    svl_pipeline *p = start(NULL);
    pthread_t threads[64];
    for (int i = 0; i < 64; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_sync_many, p), 0);
    for (int i = 0; i < 64; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    assert_int_equal(stats.records, 64 * 50);
    assert_true(stats.flushes < 64 * 50);
    assert_ok(svl_close(p));
}

static void test_publish_when_not_running_then_says_so(void **state)
{
    (void)state;
    svl_pipeline *p;
    svl_record record = { .body = slice_of("b") };
    assert_ok(svl_open(path, NULL, &p));
    assert_int_equal(svl_publish(p, &record), SVL_E_STATE);
    assert_int_equal(svl_flush(p, 0), SVL_E_STATE);
    assert_int_equal(svl_stop(p, 0), SVL_E_STATE);
    assert_int_equal(svl_publish_sync(p, &record, 0, NULL), SVL_E_STATE);
    assert_ok(svl_start(p));
    assert_int_equal(svl_start(p), SVL_E_STATE);
    assert_ok(svl_publish(p, &record));
    assert_int_equal(svl_store_close(svl_pipeline_store(p)), SVL_E_INVALID);
    assert_ok(svl_stop(p, -1));
    assert_ok(svl_stop(p, -1));
    assert_int_equal(svl_publish(p, &record), SVL_E_CLOSED);
    assert_int_equal(svl_publish_sync(p, &record, 0, NULL), SVL_E_CLOSED);
    assert_int_equal(svl_on_stored(p, NULL, count_batch, NULL, NULL), SVL_E_CLOSED);
    svl_record_buffer *buffer;
    assert_ok(svl_store_get(svl_pipeline_store(p), 1, &buffer)); /* queries go on */
    svl_record_buffer_destroy(buffer);
    assert_ok(svl_close(p));
    assert_ok(svl_close(NULL));
    assert_int_equal(svl_publish(NULL, &record), SVL_E_INVALID);
    assert_null(svl_pipeline_store(NULL));
}

static void test_publish_many_when_one_is_refused_then_stops_there(void **state)
{
    (void)state;
    svl_pipeline *p = start(NULL);
    static char big[500];
    svl_record records[4] = { { .body = slice_of("a") },
                              { .body = slice_of("b") },
                              { .key = { big, sizeof big } },
                              { .body = slice_of("c") } };
    size_t published = 9;
    assert_int_equal(svl_publish_many(p, records, 4, &published), SVL_E_KEY_TOO_LONG);
    assert_int_equal(published, 2);
    assert_ok(svl_publish_many(p, records, 2, NULL));
    assert_ok(svl_publish_many(p, NULL, 0, &published));
    assert_int_equal(svl_publish_many(p, NULL, 1, &published), SVL_E_INVALID);
    assert_int_equal(svl_publish_many(NULL, NULL, 0, &published), SVL_E_INVALID);
    assert_int_equal(svl_publish_text(p, 9, "s", NULL), SVL_E_INVALID);
    assert_ok(svl_publish_text(p, 9, NULL, "no source"));
    assert_ok(svl_close(p));
}

static void test_ring_when_not_on_tmpfs_then_private_and_said(void **state)
{
    (void)state;
    svl_options options;
    assert_ok(svl_options_init(&options, sizeof options));
    options.ring_directory = "/proc";
    svl_pipeline *p = start(&options);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_int_equal(stats.ring_is_crash_safe, 0);
    assert_ok(svl_publish_text(p, 9, "s", "t"));
    assert_ok(svl_close(p));
}

static void test_ring_directory_when_it_cannot_be_then_refused_at_open(void **state)
{
    (void)state;
    static char long_path[300];
    memset(long_path, '/', sizeof long_path - 1);
    const char *const wrong[] = { "", "relative", long_path };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        svl_options options;
        svl_pipeline *p;
        assert_ok(svl_options_init(&options, sizeof options));
        options.ring_directory = wrong[i];
        assert_int_equal(svl_open(path, &options, &p), SVL_E_OPTION);
        assert_null(p);
        assert_int_equal(access(path, F_OK), -1); /* nothing was made */
    }
}

int main(void)
{
#define PIPELINE_TEST(f) cmocka_unit_test_setup(f, new_path)
    const struct CMUnitTest tests[] = {
        PIPELINE_TEST(test_record_when_published_then_found_by_key),
        PIPELINE_TEST(test_stored_handler_when_closed_then_has_seen_all),
        PIPELINE_TEST(test_ingest_handler_when_it_shapes_then_store_has_the_result),
        PIPELINE_TEST(test_publish_when_sync_then_id_is_durable),
        PIPELINE_TEST(test_publish_when_sync_by_64_threads_then_all_get_their_ids),
        PIPELINE_TEST(test_publish_when_not_running_then_says_so),
        PIPELINE_TEST(test_publish_many_when_one_is_refused_then_stops_there),
        PIPELINE_TEST(test_ring_directory_when_it_cannot_be_then_refused_at_open),
        PIPELINE_TEST(test_ring_when_not_on_tmpfs_then_private_and_said),
    };
    return cmocka_run_group_tests_name("pipeline/ordinary", tests, NULL, NULL);
}
