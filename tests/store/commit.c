/* svl_store_commit() answers for what was durable when it was called, also where an older commit is under way, or where it
 * takes more than one. The steps of a store without threads are taken by hand. */
#include <stdio.h>
#include <time.h>

#include "record/wire.h"
#include "store/state.h"
#include "support/support.h"

static svl_store *store;

/* Durable when this returns. */
static void feed_one(uint64_t position)
{
    static uint8_t wire[64];
    svl_record record = { .source = slice_of("s") };
    svl__wire_encode(&record, 1, wire);
    struct ring_position ring = { .uuid = { 1 }, .position = position };
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record), .ring_end = position };
    struct feed feed = { .items = &item, .count = 1, .ring = &ring, .urgent = true };
    uint64_t ticket;
    assert_ok(svl__store_feed(store, &feed, &ticket));
    while (svl__store_durable_ticket(store) < ticket) {
        svl__flush_step(store);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

static void test_request_when_an_older_commit_waits_for_its_blocks_then_not_answered_by_that(
    void **state)
{
    (void)state;
    svl_store_options o;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_THREADLESS;
    o.sync_interval_ms = 1;
    assert_ok(svl__store_open_owned(path, &o, &store));
    feed_one(1);
    svl__commit_step(store); /* asks for the block of the first record, */
    assert_true(store->commit_upto == 1);
    svl__encode_step(store); /* which is there now */
    feed_one(2);
    pthread_mutex_lock(&store->lock);
    uint64_t request = svl__commit_request(store);
    pthread_mutex_unlock(&store->lock);
    svl__commit_step(store);
    assert_true(store->committed_id == 1);
    assert_true(store->commit_done < request);
    while (store->commit_done < request) {
        svl__commit_step(store);
        svl__encode_step(store);
    }
    assert_true(store->committed_id == 2);
    assert_ok(svl__store_close_owned(store));
}

#define BLOCK_BYTES 4096
#define COMMIT_BYTES 65536
#define LARGE_RECORDS 300 /* of a KiB: some five commits */

/* A store with more blocks than one commit takes, all asked for: the number of the request. */
static uint64_t ask_for_many(void)
{
    svl_store_options o;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_THREADLESS;
    o.codec = SVL_CODEC_NONE;
    o.block_bytes = BLOCK_BYTES;
    o.commit_bytes = COMMIT_BYTES;
    assert_ok(svl__store_open_owned(path, &o, &store));
    static uint8_t body[1024], wire[2048];
    svl_record record = { .body = { body, sizeof body } };
    svl__wire_encode(&record, 1, wire);
    static struct feed_item items[LARGE_RECORDS];
    for (size_t i = 0; i < LARGE_RECORDS; i++)
        items[i] = (struct feed_item){ .wire = wire, .len = svl__wire_size(&record) };
    struct feed feed = { .items = items, .count = LARGE_RECORDS, .urgent = true };
    uint64_t ticket;
    assert_ok(svl__store_feed(store, &feed, &ticket));
    while (svl__store_durable_ticket(store) < ticket)
        svl__flush_step(store);
    pthread_mutex_lock(&store->lock);
    uint64_t request = svl__commit_request(store);
    pthread_mutex_unlock(&store->lock);
    svl__commit_step(store); /* asks for the blocks */
    svl__encode_step(store);
    assert_true(store->tail.block_bytes > 4 * COMMIT_BYTES);
    return request;
}

static void test_request_when_for_more_than_commit_bytes_then_answered_by_the_last_of_many(
    void **state)
{
    (void)state;
    uint64_t request = ask_for_many(), commits = store->stats.commits, written = 0;
    while (store->committed_id < LARGE_RECORDS) {
        assert_true(store->commit_done < request);
        assert_true(svl__commit_due_ns(store) == 0);
        svl__commit_step(store);
        uint64_t now = store->stats.segment_bytes_written;
        assert_true(now > written && now - written < COMMIT_BYTES + 2 * BLOCK_BYTES);
        written = now;
    }
    assert_true(store->commit_done >= request);
    assert_true(store->stats.commits - commits > 4);
    assert_true(svl__commit_due_ns(store) == INT64_MAX);
    assert_ok(svl__store_close_owned(store));
}

static void test_rest_of_a_request_when_space_is_short_then_waits_for_its_time(void **state)
{
    (void)state;
    uint64_t request = ask_for_many();
    svl__commit_step(store);
    assert_true(store->commit_done < request);
    store->commit_retry_ns = INT64_MAX - 1; /* as retry_later() sets it */
    assert_true(svl__commit_due_ns(store) == INT64_MAX - 1);
    store->commit_retry_ns = 0;
    assert_true(svl__commit_due_ns(store) == 0);
    assert_ok(svl__store_close_owned(store));
}

static void test_filters_when_a_commit_waits_for_space_then_wait_as_well(void **state)
{
    (void)state;
    (void)ask_for_many();
    pthread_mutex_lock(&store->lock);
    svl__filters_want(store);
    store->commit_waits = SVL_E_NO_SPACE; /* as retry_later() sets them */
    store->commit_retry_ns = INT64_MAX - 1;
    assert_true(svl__commit_due_ns(store) == INT64_MAX - 1);
    store->commit_waits = 0;
    assert_true(svl__commit_due_ns(store) == 0);
    store->commit_retry_ns = 0;
    pthread_mutex_unlock(&store->lock);
    assert_ok(svl__store_close_owned(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_request_when_an_older_commit_waits_for_its_blocks_then_not_answered_by_that),
        cmocka_unit_test(
            test_request_when_for_more_than_commit_bytes_then_answered_by_the_last_of_many),
        cmocka_unit_test(test_rest_of_a_request_when_space_is_short_then_waits_for_its_time),
        cmocka_unit_test(test_filters_when_a_commit_waits_for_space_then_wait_as_well),
    };
    int failed = cmocka_run_group_tests_name("store/commit", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
