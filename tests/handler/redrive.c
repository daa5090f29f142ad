/* Dead letters delivered again: to whom, which, in turn with what is new, resolved once, over restarts. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/letters.h"

static void redrive(const char *name, uint64_t id_min, uint64_t id_max)
{
    assert_ok(svl_deadletter_redrive(pipeline, name, id_min, id_max));
}

/* Until nothing waits to be delivered again, and that is durable. */
static void wait_redriven(const struct script *s)
{
    while (letters_info(s).redriving)
        letters_sleep_ms(1);
    assert_ok(svl_flush(pipeline, -1));
}

/* Publishes records of which each `every`-th is rejected, and waits until they are settled. */
static void reject_some(const struct script *s, size_t n, size_t every)
{
    svl_subscription_info info = letters_info(s);
    uint64_t before = info.records + info.dead_letters + info.dropped;
    for (size_t i = 0; i < n; i++)
        letters_publish(i % every == 0 ? "reject" : "ok");
    letters_wait_settled(s, before + n);
    assert_ok(svl_flush(pipeline, -1)); /* a range ends at what is durable */
    assert_ok(svl_flush(pipeline, -1));
}

static size_t count_redriven(const struct script *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->done_count; i++)
        n += s->done[i].redriven;
    return n;
}

static void test_letters_when_redriven_then_done_once_and_resolved(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("orders");
    o.batch_records_max = 7;
    letters_open(&s, &o);
    reject_some(&s, 60, 2);
    assert_int_equal(letters_count("orders"), 30);
    s.mended = true;
    redrive("orders", 0, 0);
    wait_redriven(&s);
    assert_int_equal(letters_count("orders"), 0);
    assert_int_equal(letters_count_source("serverlog.deadletter"), 30);
    assert_int_equal(letters_count_source("serverlog.deadletter.resolved"), 30);
    assert_int_equal(letters_count_source("out"), 60);
    assert_int_equal(count_redriven(&s), 30);
    uint64_t last = 0;
    for (size_t i = 0; i < s.done_count; i++) {
        if (!s.done[i].redriven)
            continue;
        assert_true(s.done[i].id > last); /* the originals' ids, in order */
        last = s.done[i].id;
    }
    svl_subscription_info info = letters_info(&s);
    assert_true(info.resolved == 30 && info.dead_letters == 30 && info.records == 60);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(pipeline, &stats));
    assert_int_equal(stats.resolved, 30);
    assert_int_equal(s.last_attempt, 1);
    assert_ok(svl_store_verify(svl_pipeline_store(pipeline), NULL, NULL, NULL));
    assert_ok(svl_close(pipeline));
}

static void test_letters_when_redriven_in_vain_then_new_ones_replace_them(void **state)
{
    (void)state;
    static const char *const bodies[] = { "reject", "fail", "mark" };
    for (size_t b = 0; b < 3; b++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("again");
        o.retry_attempts_max = 2;
        letters_open(&s, &o);
        letters_publish(bodies[b]);
        letters_wait(1, &s);
        struct letter first, second;
        assert_int_equal(letters_read("again", &first, 1), 1);
        redrive("again", 0, 0);
        letters_wait(2, &s);
        wait_redriven(&s);
        assert_int_equal(letters_read("again", &second, 1), 1);
        assert_true(second.id > first.id && second.previous == (int64_t)first.id);
        assert_true(second.original_id == first.original_id && first.previous == 0);
        assert_true(second.attempts == first.attempts); /* counted anew */
        assert_true(letters_same(svl_record_buffer_record(first.original),
                                 svl_record_buffer_record(second.original)));
        svl_record_buffer_destroy(first.original);
        svl_record_buffer_destroy(second.original);
        s.mended = true;
        redrive("again", 0, 0);
        wait_redriven(&s);
        assert_int_equal(letters_count(NULL), 0);
        assert_int_equal(letters_count_source("out"), 1);
        assert_int_equal(letters_count_source("serverlog.deadletter.resolved"), 2);
        assert_ok(svl_close(pipeline));
    }
}

static void test_redrive_when_of_a_range_then_only_those(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("range");
    letters_open(&s, &o);
    reject_some(&s, 10, 1);
    struct letter letters[10];
    assert_int_equal(letters_read("range", letters, 10), 10);
    static const struct {
        size_t from, to;
        size_t left;
    } cases[] = { { 2, 4, 7 }, { 3, 6, 5 }, { 9, 9, 4 }, { 0, 9, 0 }, { 0, 9, 0 } };
    s.mended = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        redrive("range", letters[cases[i].from].id, letters[cases[i].to].id);
        wait_redriven(&s);
        assert_int_equal(letters_count("range"), cases[i].left);
    }
    assert_int_equal(count_redriven(&s), 10); /* nothing twice */
    for (size_t i = 0; i < 10; i++)
        svl_record_buffer_destroy(letters[i].original);
    assert_ok(svl_close(pipeline));
}

static void test_redrive_when_asked_for_again_at_once_then_delivered_once(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 10; round++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("twice");
        o.batch_records_max = 1 + (uint32_t)rng_below(&rng, 9);
        letters_open(&s, &o);
        reject_some(&s, 50, 1);
        s.mended = true;
        for (int i = 0; i < 12; i++) {
            redrive("twice", rng_below(&rng, 60), 0);
            if (rng_below(&rng, 2) == 0)
                letters_publish("ok");
            letters_sleep_ms((long)rng_below(&rng, 3));
        }
        redrive("twice", 0, 0);
        wait_redriven(&s);
        assert_int_equal(count_redriven(&s), 50);
        assert_int_equal(letters_count("twice"), 0);
        assert_int_equal(letters_count_source("serverlog.deadletter.resolved"), 50);
        assert_ok(svl_close(pipeline));
    }
}

static void test_redrive_when_it_cannot_be_then_refused(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("orders");
    letters_open(&s, &o);
    assert_ok(svl_deadletter_redrive(pipeline, "orders", 0, 0)); /* there is nothing yet */
    assert_int_equal(svl_deadletter_redrive(pipeline, "other", 0, 0), SVL_E_NOT_FOUND);
    assert_int_equal(svl_deadletter_redrive(pipeline, NULL, 0, 0), SVL_E_INVALID);
    assert_int_equal(svl_deadletter_redrive(pipeline, "", 0, 0), SVL_E_INVALID);
    assert_int_equal(svl_deadletter_redrive(pipeline, "orders", 9, 8), SVL_E_INVALID);
    assert_int_equal(svl_deadletter_redrive(NULL, "orders", 0, 0), SVL_E_INVALID);
    svl_cursor *cursor = (svl_cursor *)1;
    uint64_t n = 1;
    assert_int_equal(svl_deadletter_list(pipeline, "a b", 0, 0, &cursor), SVL_E_INVALID);
    assert_null(cursor);
    assert_int_equal(svl_deadletter_list(pipeline, NULL, 0, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_deadletter_count(pipeline, "a b", &n), SVL_E_INVALID);
    assert_true(n == 0);
    reject_some(&s, 80, 1);
    assert_ok(svl_subscription_pause(s.subscription));
    for (uint64_t i = 0; i < 16; i++)
        redrive("orders", 1 + 3 * i, 1 + 3 * i);
    redrive("orders", 47, 49); /* meets the last one */
    assert_int_equal(svl_deadletter_redrive(pipeline, "orders", 70, 70), SVL_E_BUSY);
    assert_true(letters_info(&s).redriving);
    assert_ok(svl_stop(pipeline, -1));
    assert_int_equal(svl_deadletter_redrive(pipeline, "orders", 0, 0), SVL_E_CLOSED);
    assert_int_equal(letters_count("orders"), 80); /* looking still works */
    assert_ok(svl_close(pipeline));
}

static void test_redrive_when_others_are_subscribed_then_they_see_nothing_of_it(void **state)
{
    (void)state;
    static struct script s, other;
    s = other = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("one"), p = letters_quick("two");
    letters_open(&s, &o);
    pthread_mutex_init(&other.lock, NULL);
    assert_ok(svl_on_stored(pipeline, &p, letters_handle, &other, &other.subscription));
    reject_some(&s, 20, 1);
    letters_wait(20, &other);
    assert_int_equal(letters_count(NULL), 40);
    s.mended = other.mended = true;
    redrive("one", 0, 0);
    wait_redriven(&s);
    assert_int_equal(letters_count("one"), 0);
    assert_int_equal(letters_count("two"), 20);
    assert_int_equal(other.redriven_calls, 0);
    assert_ok(svl_close(pipeline));
}

static int act_see(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        letters_note(s, records[i].id, false);
    return SVL_OK;
}

static void test_redrive_when_records_come_meanwhile_then_in_turn(void **state)
{
    (void)state;
    static struct script s, witness;
    s = (struct script){ .mended = false };
    witness = (struct script){ .act = act_see };
    svl_stored_options o = letters_quick("turns"), seen = letters_quick(NULL);
    o.batch_records_max = 5;
    letters_open(&s, &o);
    pthread_mutex_init(&witness.lock, NULL);
    assert_ok(svl_on_stored(pipeline, &seen, letters_handle, &witness, NULL));
    reject_some(&s, 100, 1);
    s.mended = true;
    assert_ok(svl_subscription_pause(s.subscription));
    for (int i = 0; i < 100; i++)
        letters_publish("ok");
    letters_wait_done(&witness, 200); /* all are there to be handed out */
    redrive("turns", 0, 0);
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait_done(&s, 200); /* letters_handle() asserts that calls never overlap */
    wait_redriven(&s);
    size_t changes = 0;
    for (size_t i = 1; i < 200; i++)
        changes += s.done[i].redriven != s.done[i - 1].redriven;
    assert_true(changes > 20);
    uint64_t last = 0;
    for (size_t i = 0; i < 200; i++)
        if (!s.done[i].redriven) {
            assert_true(s.done[i].id > last); /* the log's order holds */
            last = s.done[i].id;
        }
    assert_ok(svl_close(pipeline));
}

static int act_slowly(svl_batch *batch, struct script *s)
{
    letters_sleep_ms(1);
    return letters_by_bodies(batch, s);
}

static void test_redrive_when_a_range_ends_amid_new_records_then_the_next_is_read_from_its_start(
    void **state)
{
    (void)state;
    static const size_t firsts[] = { 7, 1 }, seconds[] = { 1, 7 };
    for (size_t round = 0; round < 2; round++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("ranges");
        o.batch_records_max = 1;
        letters_open(&s, &o);
        reject_some(&s, 10, 1);
        struct letter letters[10];
        assert_int_equal(letters_read("ranges", letters, 10), 10);
        assert_ok(svl_subscription_pause(s.subscription));
        s.mended = true;
        s.act = act_slowly;
        for (int i = 0; i < 300; i++)
            letters_publish("ok");
        assert_ok(svl_flush(pipeline, -1));
        redrive("ranges", letters[firsts[round]].id, letters[firsts[round]].id);
        redrive("ranges", letters[seconds[round]].id, letters[seconds[round]].id);
        assert_ok(svl_subscription_resume(s.subscription));
        while (letters_info(&s).redriving)
            assert_ok(svl_flush(pipeline, -1)); /* the second begins while records are left */
        wait_redriven(&s);
        assert_int_equal(letters_count("ranges"), 8);
        assert_int_equal(count_redriven(&s), 2);
        for (size_t i = 0; i < 10; i++)
            svl_record_buffer_destroy(letters[i].original);
        assert_ok(svl_close(pipeline));
    }
}

static void test_redrive_when_closed_before_its_turn_then_goes_on_after_a_restart(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("restart");
    o.batch_records_max = 3;
    letters_open(&s, &o);
    reject_some(&s, 40, 1);
    assert_ok(svl_subscription_pause(s.subscription));
    redrive("restart", 0, 0);
    assert_ok(svl_close(pipeline));
    s.mended = true;
    letters_open(&s, &o);
    assert_true(letters_info(&s).paused && letters_info(&s).redriving);
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait_done(&s, 5);
    assert_ok(svl_close(pipeline)); /* in the middle of it */
    letters_open(&s, &o);
    wait_redriven(&s);
    assert_int_equal(count_redriven(&s), 40);
    assert_int_equal(letters_count(NULL), 0);
    assert_int_equal(letters_count_source("out"), 40);
    assert_ok(svl_close(pipeline));
}

static void test_redrive_when_unsubscribed_then_goes_on_with_the_next_opener(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("leave");
    letters_open(&s, &o);
    reject_some(&s, 30, 1);
    s.mended = true;
    for (int round = 0; round < 20; round++) {
        redrive("leave", 0, 0);
        if (round % 2)
            letters_sleep_ms(1);
        assert_ok(svl_unsubscribe(s.subscription, NULL));
        assert_ok(svl_on_stored(pipeline, &o, letters_handle, &s, &s.subscription));
    }
    wait_redriven(&s);
    assert_int_equal(count_redriven(&s), 30);
    assert_int_equal(letters_count_source("serverlog.deadletter.resolved"), 30);
    assert_ok(svl_close(pipeline));
}

static void test_redrive_when_the_subscription_pauses_on_failure_then_stands_and_goes_on(
    void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("stands");
    letters_open(&s, &o);
    reject_some(&s, 10, 1);
    assert_ok(svl_unsubscribe(s.subscription, NULL));
    o.on_failure = SVL_ON_FAILURE_PAUSE;
    assert_ok(svl_on_stored(pipeline, &o, letters_handle, &s, &s.subscription));
    redrive("stands", 0, 0);
    while (!letters_info(&s).paused)
        letters_sleep_ms(1);
    assert_int_equal(letters_count("stands"), 10);
    s.mended = true;
    assert_ok(svl_subscription_resume(s.subscription));
    wait_redriven(&s);
    assert_int_equal(letters_count("stands"), 0);
    assert_ok(svl_close(pipeline));
}

static void test_redriven_letters_when_to_be_dropped_then_resolved(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("drops");
    letters_open(&s, &o);
    reject_some(&s, 10, 1);
    assert_ok(svl_unsubscribe(s.subscription, NULL));
    o.on_failure = SVL_ON_FAILURE_DROP;
    assert_ok(svl_on_stored(pipeline, &o, letters_handle, &s, &s.subscription));
    redrive("drops", 0, 0);
    wait_redriven(&s);
    assert_true(letters_info(&s).dropped == 10 && letters_info(&s).dead_letters == 0);
    assert_int_equal(letters_count(NULL), 0);
    assert_int_equal(letters_count_source("out"), 0);
    assert_ok(svl_close(pipeline));
}

/* One that has seen everything is scanned with the others: it was at dead letters last, of which there were none. */
static void test_redrive_when_of_none_among_many_handlers_then_the_log_goes_on(void **state)
{
    (void)state;
    static struct script s, others[8];
    s = (struct script){ .mended = true };
    svl_stored_options o = letters_quick("orders"), other = letters_quick(NULL);
    other.filter.source = "elsewhere";
    letters_open(&s, &o);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_ok(
            svl_on_stored(pipeline, &other, letters_handle, &others[i], &others[i].subscription));
    reject_some(&s, 3, 1); /* in vain: it is mended */
    while (letters_info(&s).backlog > 0)
        letters_sleep_ms(1);
    redrive("orders", 0, 0);
    wait_redriven(&s);
    for (uint64_t i = 1; i <= 3; i++) {
        letters_sleep_ms(20); /* its position is written, and it has nothing to do */
        assert_ok(svl_publish_text(pipeline, 9, "nobody", "x"));
        assert_ok(svl_flush(pipeline, -1));
        letters_sleep_ms(20); /* passed */
        letters_publish("ok");
        letters_wait_settled(&s, 3 + i);
    }
    assert_true(letters_info(&s).records == 6 && !letters_info(&s).redriving);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
#define LETTER_TEST(f) cmocka_unit_test_setup(f, letters_path)
    const struct CMUnitTest tests[] = {
        LETTER_TEST(test_letters_when_redriven_then_done_once_and_resolved),
        LETTER_TEST(test_letters_when_redriven_in_vain_then_new_ones_replace_them),
        LETTER_TEST(test_redrive_when_of_a_range_then_only_those),
        LETTER_TEST(test_redrive_when_asked_for_again_at_once_then_delivered_once),
        LETTER_TEST(test_redrive_when_it_cannot_be_then_refused),
        LETTER_TEST(test_redrive_when_others_are_subscribed_then_they_see_nothing_of_it),
        LETTER_TEST(test_redrive_when_records_come_meanwhile_then_in_turn),
        LETTER_TEST(
            test_redrive_when_a_range_ends_amid_new_records_then_the_next_is_read_from_its_start),
        LETTER_TEST(test_redrive_when_closed_before_its_turn_then_goes_on_after_a_restart),
        LETTER_TEST(test_redrive_when_unsubscribed_then_goes_on_with_the_next_opener),
        LETTER_TEST(test_redrive_when_the_subscription_pauses_on_failure_then_stands_and_goes_on),
        LETTER_TEST(test_redriven_letters_when_to_be_dropped_then_resolved),
        LETTER_TEST(test_redrive_when_of_none_among_many_handlers_then_the_log_goes_on),
    };
    return cmocka_run_group_tests_name("handler/redrive", tests, NULL, NULL);
}
