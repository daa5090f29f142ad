/* Handles closed in every order: what outlives its parent answers as it is told to, keeps what it lent, and keeps
 * the store's path until it is closed. */
#include <stdio.h>
#include <string.h>

#include "support/support.h"

#define HANDLES_MAX 6

static char path[512];

/* The next one in lexicographic order; false: it was the last. */
static bool permute(int *order, int n)
{
    int i = n - 2, j = n - 1;
    while (i >= 0 && order[i] > order[i + 1])
        i--;
    if (i < 0)
        return false;
    while (order[j] < order[i])
        j--;
    int swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
    for (int from = i + 1, to = n - 1; from < to; from++, to--) {
        swapped = order[from];
        order[from] = order[to];
        order[to] = swapped;
    }
    return true;
}

/* Runs `live` for each `step`-th order of `n` handles, the first of them at random. */
static void in_orders(int n, uint64_t step, void (*live)(const int *order, int n))
{
    struct rng rng = { test_seed() };
    uint64_t at = rng_below(&rng, step), orders = 0, all = 1;
    int order[HANDLES_MAX];
    for (int i = 0; i < n; i++) {
        order[i] = i;
        all *= (uint64_t)i + 1;
    }
    do
        if (orders % step == at)
            live(order, n);
    while (++orders < all && permute(order, n));
    assert_int_equal(orders, all);
}

/* Of the many orders of a pipeline's handles a sample in the fast suite, all with SVL_TEST_TIMES=24. */
static uint64_t sample_step(void)
{
    uint64_t times = (uint64_t)test_times(1);
    return times < 24 ? 24 / times : 1;
}

static void assert_next(svl_cursor *cursor, uint64_t id)
{
    const svl_record *record;
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_int_equal(record->id, id);
}

static void assert_nothing_more(svl_cursor *cursor, int expected)
{
    const svl_record *record;
    assert_int_equal(svl_cursor_next(cursor, 0, &record), expected);
}

static svl_cursor *query_from(svl_store *store, uint64_t id, uint32_t flags)
{
    svl_query query;
    svl_cursor *cursor;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("s");
    query.id_min = id;
    query.flags = flags;
    assert_ok(svl_store_query(store, &query, &cursor));
    return cursor;
}

/* --- of a pipeline --- */

enum handle { PIPELINE, SUBSCRIPTION, CONSUMER, BATCH, LETTERS, FOLLOWER, HANDLES };

static struct life {
    bool is_closed[HANDLES];
    svl_pipeline *pipeline;
    svl_subscription *subscription;
    svl_consumer *consumer;
    svl_batch *batch;
    svl_cursor *letters, *follower;
    uint64_t id, batch_id;
} life;
static uint32_t flags;

static int reject(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        rc = svl_batch_reject(batch, i, "as the test wants it");
    return rc;
}

static svl_cursor *await_letter(svl_pipeline *p, uint64_t *letter)
{
    svl_cursor *cursor;
    const svl_record *record;
    int rc;
    for (;;) {
        assert_ok(svl_deadletter_list(p, "rejects", life.id, 0, &cursor));
        rc = svl_cursor_next(cursor, 0, &record);
        if (rc == SVL_OK)
            break;
        assert_int_equal(rc, SVL_E_END);
        svl_cursor_close(cursor);
        if (flags & SVL_THREADLESS)
            svl_pump(p, 0, 1, NULL);
        assert_ok(svl_flush(p, -1));
    }
    *letter = record->id;
    svl_cursor_close(cursor);
    assert_ok(svl_deadletter_list(p, "rejects", *letter, *letter, &cursor));
    return cursor;
}

static uint64_t first_of(svl_batch *batch)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    assert_true(n > 0);
    assert_int_equal(records[0].source.len, 1);
    return records[0].id;
}

static uint64_t letter_id;

static void begin_life(void)
{
    svl_options options;
    svl_stored_options on;
    svl_record record = { .source = slice_of("s") };
    memset(&life, 0, sizeof life);
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    options.flags = flags;
    assert_ok(svl_open(path, &options, &life.pipeline));
    on.filter.source = "s";
    on.name = "rejects";
    assert_ok(svl_on_stored(life.pipeline, &on, reject, NULL, &life.subscription));
    on.name = "polled";
    assert_ok(svl_consumer_open(life.pipeline, &on, &life.consumer));
    assert_ok(svl_start(life.pipeline));
    assert_ok(svl_publish_sync(life.pipeline, &record, -1, &life.id));
    life.letters = await_letter(life.pipeline, &letter_id);
    life.follower = query_from(svl_pipeline_store(life.pipeline), life.id, SVL_QUERY_FOLLOW);
    assert_ok(svl_consumer_poll(life.consumer, 0, &life.batch));
    life.batch_id = first_of(life.batch);
}

static void close_consumer(void)
{
    svl_batch *batch;
    if (life.is_closed[PIPELINE]) {
        assert_int_equal(svl_consumer_poll(life.consumer, -1, &batch), SVL_E_CLOSED);
        assert_null(svl_consumer_subscription(life.consumer));
    }
    assert_ok(svl_consumer_close(life.consumer));
}

static void settle_batch(void)
{
    int expected = life.is_closed[PIPELINE]   ? SVL_E_CLOSED
                   : life.is_closed[CONSUMER] ? SVL_E_STALE
                                              : SVL_OK;
    assert_int_equal(first_of(life.batch), life.batch_id);
    assert_int_equal(svl_batch_ack(life.batch), expected);
}

static void close_letters(void)
{
    assert_next(life.letters, letter_id);
    assert_nothing_more(life.letters, SVL_E_END);
    svl_cursor_close(life.letters);
}

static void close_follower(void)
{
    assert_next(life.follower, life.id);
    assert_nothing_more(life.follower, life.is_closed[PIPELINE] ? SVL_E_CLOSED : SVL_E_TIMEOUT);
    svl_cursor_close(life.follower);
}

static void close_one(enum handle handle)
{
    switch (handle) {
    case PIPELINE:
        assert_ok(svl_close(life.pipeline));
        break;
    case SUBSCRIPTION:
        if (!life.is_closed[PIPELINE]) /* else it is gone with it */
            assert_ok(svl_unsubscribe(life.subscription, NULL));
        break;
    case CONSUMER:
        close_consumer();
        break;
    case BATCH:
        settle_batch();
        break;
    case LETTERS:
        close_letters();
        break;
    case FOLLOWER:
        close_follower();
        break;
    case HANDLES:
    default:
        fail();
    }
    life.is_closed[handle] = true;
}

static void close_in_order(const int *order, int n)
{
    begin_life();
    for (int i = 0; i < n; i++) {
        close_one((enum handle)order[i]);
        bool is_held =
            !life.is_closed[PIPELINE] || !life.is_closed[LETTERS] || !life.is_closed[FOLLOWER];
        svl_pipeline *second;
        if (is_held)
            assert_int_equal(svl_open(path, NULL, &second), SVL_E_BUSY);
    }
}

static void close_all_orders(uint32_t pipeline_flags)
{
    snprintf(path, sizeof path, "%s", temp_path());
    flags = pipeline_flags;
    in_orders(HANDLES, sample_step(), close_in_order);
    remove_tree(path);
}

static void test_handles_when_closed_in_any_order_then_each_as_it_is_told(void **state)
{
    (void)state;
    close_all_orders(0);
}

static void test_handles_when_threadless_and_closed_in_any_order_then_the_same(void **state)
{
    (void)state;
    close_all_orders(SVL_THREADLESS);
}

/* --- of a store alone --- */

static void close_store_in_order(const int *order, int n)
{
    svl_record record = { .source = slice_of("s"), .body = slice_of("kept") };
    svl_store *store, *second;
    svl_record_buffer *buffer;
    uint64_t id;
    bool is_closed[4] = { false };
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_append(store, &record, 1, &id));
    svl_cursor *cursor = query_from(store, id, 0);
    svl_cursor *follower = query_from(store, id, SVL_QUERY_FOLLOW);
    assert_ok(svl_store_get(store, id, &buffer));
    for (int i = 0; i < n; i++) {
        switch (order[i]) {
        case 0:
            assert_ok(svl_store_close(store));
            break;
        case 1:
            assert_next(cursor, id);
            assert_nothing_more(cursor, SVL_E_END);
            svl_cursor_close(cursor);
            break;
        case 2:
            assert_next(follower, id);
            assert_nothing_more(follower, is_closed[0] ? SVL_E_CLOSED : SVL_E_TIMEOUT);
            svl_cursor_close(follower);
            break;
        default:
            assert_memory_equal(svl_record_buffer_record(buffer)->body.data, "kept", 4);
            svl_record_buffer_destroy(buffer);
        }
        is_closed[order[i]] = true;
        if (!is_closed[0] || !is_closed[1] || !is_closed[2])
            assert_int_equal(svl_store_open(path, NULL, &second), SVL_E_BUSY);
    }
}

static void test_store_when_closed_before_or_after_its_cursors_then_each_as_it_is_told(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    in_orders(4, 1, close_store_in_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handles_when_closed_in_any_order_then_each_as_it_is_told),
        cmocka_unit_test(test_handles_when_threadless_and_closed_in_any_order_then_the_same),
        cmocka_unit_test(
            test_store_when_closed_before_or_after_its_cursors_then_each_as_it_is_told),
    };
    int failed = cmocka_run_group_tests_name("pipeline/orders", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
