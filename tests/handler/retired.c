/* What retention takes before it came to a subscription: counted as lost, whether that is seen at a turn's beginning, when
 * a held cursor has come to its end, or between the two. */
#include "handler/delivery.h"
#include "support/letters.h"

#define EARLY 3
#define BATCH 2

static svl_subscription *subscription;
static uint64_t had;
static bool overtakes;

static uint64_t first_kept(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    return stats.first_id;
}

static svl_subscription_info info_now(void)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(subscription, &info));
    return info;
}

static void append(size_t n)
{
    static char body[60000];
    struct rng rng = { n };
    for (size_t at = 0; at < sizeof body; at += sizeof(uint64_t)) {
        uint64_t bytes = rng_next(&rng);
        memcpy(body + at, &bytes, sizeof bytes);
    }
    svl_record record = { .source = slice_of("in"), .body = { body, sizeof body } };
    for (size_t i = 0; i < n; i++)
        assert_ok(svl_store_append(svl_pipeline_store(pipeline), &record, 1, NULL));
}

/* Past whatever there was, and past some of what comes with it. */
static void overtake(void)
{
    uint64_t last = letters_last_id(pipeline);
    append(400);
    assert_ok(svl_store_commit(svl_pipeline_store(pipeline), -1));
    assert_ok(svl_store_retain(svl_pipeline_store(pipeline), NULL));
    assert_true(first_kept() > last + 1 && first_kept() < letters_last_id(pipeline));
}

/* The first batch leaves one record in the cursor, which is then overtaken: its end lies before what is kept. */
static int handle(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    assert_ok(svl_batch_records(batch, &records, &n));
    had += n;
    if (overtakes) {
        assert_int_equal(n, BATCH);
        overtake();
        while (info_now().backlog < letters_last_id(pipeline) - info_now().position)
            letters_sleep_ms(1); /* the handlers hear of it, and the next turn goes on to it */
    }
    overtakes = false;
    return SVL_OK;
}

static void open_pipeline(void)
{
    svl_store_options store;
    svl_options o;
    svl_stored_options on = letters_quick("late");
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&o, sizeof o));
    store.segment_bytes = 8 << 20;
    store.commit_bytes = 1 << 20;
    store.codec = SVL_CODEC_NONE;
    store.retain_records_max = 100;
    o.store = &store;
    o.flags = SVL_THREADLESS;
    on.batch_records_max = BATCH;
    letters_path(NULL);
    assert_ok(svl_open(path, &o, &pipeline));
    assert_ok(svl_on_stored(pipeline, &on, handle, NULL, &subscription));
    assert_ok(svl_start(pipeline));
    had = 0;
    append(EARLY);
}

static void do_all(void)
{
    while (svl_pump(pipeline, 0, 0, NULL) == SVL_OK)
        ;
}

static void assert_all_accounted(uint64_t lost)
{
    svl_subscription_info info = info_now();
    assert_int_equal(info.lost, lost);
    assert_int_equal(info.records, had);
    assert_int_equal(had + lost, letters_last_id(pipeline));
    assert_int_equal(info.position, letters_last_id(pipeline));
}

static void test_records_when_retired_between_two_turns_then_counted_as_lost(void **state)
{
    (void)state;
    open_pipeline();
    do_all();
    overtake();
    do_all();
    assert_all_accounted(first_kept() - 1 - EARLY);
    assert_ok(svl_close(pipeline));
}

static void test_records_when_retired_behind_a_held_cursor_then_counted_as_lost(void **state)
{
    (void)state;
    open_pipeline();
    overtakes = true;
    do_all();
    assert_false(overtakes);
    assert_all_accounted(first_kept() - 1 - EARLY);
    assert_ok(svl_close(pipeline));
}

/* As if retention had come between svl__reading_pass_retired() and here. */
static void test_records_when_retired_as_a_turn_begins_then_left_to_the_next_one(void **state)
{
    (void)state;
    open_pipeline();
    do_all();
    overtake();
    assert_ok(svl__reading_fill(subscription, EARLY, BATCH, letters_last_id(pipeline)));
    const struct delivery *d = subscription->delivery;
    assert_true(d->batch.count == 0 && d->scanned == EARLY && !d->at_end);
    assert_null(subscription->live.cursor);
    do_all();
    assert_all_accounted(first_kept() - 1 - EARLY);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_when_retired_between_two_turns_then_counted_as_lost),
        cmocka_unit_test(test_records_when_retired_behind_a_held_cursor_then_counted_as_lost),
        cmocka_unit_test(test_records_when_retired_as_a_turn_begins_then_left_to_the_next_one),
    };
    int failed = cmocka_run_group_tests_name("handler/retired", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
