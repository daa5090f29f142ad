/* Records that are given up: for which reason, with what in their dead letters, and never an innocent. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/letters.h"

static void test_record_when_given_up_then_its_letter_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *body, *condition, *error;
        int64_t code, attempts;
        bool ages;
    } cases[] = {
        { "fail", "attempts", NULL, SVL_FAIL + 3, 3, false },
        { "mark", "attempts", "marked", SVL_FAIL, 3, false },
        { "reject", "reject", "no good", SVL_FAIL, 1, false },
        { "fail once, reject", "reject", "no good", SVL_FAIL, 2, false },
        { "ok", "age", NULL, 0, 0, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("orders");
        o.retry_attempts_max = 3;
        o.record_age_ms_max = cases[i].ages ? 100 : 0;
        letters_open(&s, &o);
        if (cases[i].ages)
            assert_ok(svl_subscription_pause(s.subscription));
        svl_attribute attribute = { .name = slice_of("n"), .kind = SVL_ATTRIBUTE_I64, .i64 = 7 };
        svl_record record = { .time_ns = 5,
                              .severity = 9,
                              .source = slice_of("in"),
                              .type = slice_of("t"),
                              .key = slice_of("k"),
                              .body = slice_of(cases[i].body),
                              .attributes = &attribute,
                              .attribute_count = 1 };
        assert_ok(svl_publish(pipeline, &record));
        if (cases[i].ages) {
            letters_sleep_ms(150);
            assert_ok(svl_subscription_resume(s.subscription));
        }
        letters_wait(1, &s);
        struct letter letter;
        assert_int_equal(letters_read("orders", &letter, 1), 1);
        assert_string_equal(letter.condition, cases[i].condition);
        assert_true(letter.code == cases[i].code && letter.attempts == cases[i].attempts);
        assert_string_equal(letter.error, cases[i].error ? cases[i].error : "");
        assert_true(letter.original_id == 1 && letter.previous == 0);
        assert_true((letter.first_ns != 0) == (cases[i].attempts > 0));
        assert_true(letter.first_ns <= letter.last_ns);
        assert_string_equal(letter.type, "orders");
        const svl_record *original = svl_record_buffer_record(letter.original);
        svl_record_buffer *stored;
        assert_ok(svl_store_get(svl_pipeline_store(pipeline), 1, &stored));
        assert_true(letters_same(original, svl_record_buffer_record(stored)));
        svl_record_buffer_destroy(stored);
        svl_record_buffer_destroy(letter.original);
        assert_ok(svl_close(pipeline));
        assert_int_equal(s.done_count, 0);
    }
}

static void test_record_when_too_old_after_failures_then_given_up_with_them(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("old");
    o.retry_base_ms = o.retry_max_ms = 3200; /* half of it at least */
    o.record_age_ms_max = 1500;
    letters_open(&s, &o);
    letters_publish("mark");
    letters_wait(1, &s);
    struct letter letter;
    assert_int_equal(letters_read("old", &letter, 1), 1);
    assert_string_equal(letter.condition, "age");
    assert_true(letter.attempts == 1 && letter.code == SVL_FAIL && letter.first_ns != 0);
    assert_string_equal(letter.error, "marked");
    svl_record_buffer_destroy(letter.original);
    do { /* a young one is handed out: on a busy machine one may be too old again */
        letters_publish("ok");
        letters_sleep_ms(50);
    } while (s.done_count == 0);
    assert_ok(svl_close(pipeline));
}

static void test_batch_when_it_fails_without_marks_then_only_the_poison_is_given_up(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 5; round++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("split");
        o.retry_attempts_max = 1 + (uint32_t)rng_below(&rng, 3);
        o.batch_records_max = 1 + (uint32_t)rng_below(&rng, 60);
        letters_open(&s, &o);
        assert_ok(svl_subscription_pause(s.subscription));
        bool poison[201] = { false };
        size_t poisons = 0;
        for (size_t id = 1; id <= 200; id++) {
            poison[id] = rng_below(&rng, 20) == 0;
            poisons += poison[id];
            letters_publish(poison[id] ? "fail" : "ok");
        }
        assert_ok(svl_flush(pipeline, -1));
        assert_ok(svl_subscription_resume(s.subscription));
        letters_wait_done(&s, 200 - poisons);
        letters_wait(poisons, &s);
        struct letter letters[200];
        assert_int_equal(letters_read("split", letters, 200), poisons);
        for (size_t i = 0; i < poisons; i++) {
            assert_true(poison[letters[i].original_id]);
            assert_true(letters[i].attempts == o.retry_attempts_max);
            svl_record_buffer_destroy(letters[i].original);
        }
        letters_assert_once_in_order(&s, poison, 200);
        assert_ok(svl_close(pipeline));
    }
}

static void test_records_when_rejected_then_the_others_are_not_held_back(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("reject");
    letters_open(&s, &o);
    assert_ok(svl_subscription_pause(s.subscription));
    for (int i = 0; i < 30; i++)
        letters_publish(i % 3 == 1 ? "reject" : "ok");
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait_done(&s, 20);
    letters_wait(10, &s);
    assert_int_equal(s.calls, 1); /* one call settles them all */
    svl_subscription_info info = letters_info(&s);
    assert_true(info.dead_letters == 10 && info.records == 20 && info.dropped == 0);
    assert_true(info.failures == 0 && info.position >= 30 && info.emitted == 20);
    assert_int_equal(letters_count_source("out"),
                     20); /* what a rejected one emitted is discarded */
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(pipeline, &stats));
    assert_true(stats.dead_letters == 10 && stats.dropped_stored == 0 && stats.emitted == 20);
    assert_ok(svl_close(pipeline));
}

/* Rejects 1 and 3, twice; fails 2 in the first call, or the whole call. */
static int act_reject_and_fail(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    assert_int_equal(svl_batch_reject(batch, n, "none"), SVL_E_INVALID);
    assert_int_equal(svl_batch_reject(NULL, 0, "none"), SVL_E_INVALID);
    if (s->calls == 1) {
        assert_int_equal(n, 5);
        assert_ok(svl_batch_reject(batch, 0, "a call that fails rejects nothing"));
        return SVL_FAIL;
    }
    if (s->calls == 2) {
        assert_ok(svl_batch_reject(batch, 3, "behind a failed one"));
        assert_ok(svl_batch_reject(batch, 1, "once"));
        assert_ok(svl_batch_reject(batch, 1, "twice"));
        assert_ok(svl_batch_fail(batch, 2, "later"));
        return SVL_OK;
    }
    assert_true(n == 3 && records[0].id == 3);
    return SVL_OK;
}

static void test_rejection_when_behind_a_failure_then_it_does_not_count(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_reject_and_fail };
    svl_stored_options o = letters_quick("marks");
    letters_open(&s, &o);
    assert_ok(svl_subscription_pause(s.subscription));
    for (int i = 0; i < 5; i++)
        letters_publish("ok");
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait_position(&s, 5);
    letters_wait(1, &s);
    struct letter letter;
    assert_int_equal(letters_read("marks", &letter, 1), 1);
    assert_true(letter.original_id == 2 && letter.attempts == 2);
    assert_string_equal(letter.error, "twice");
    svl_record_buffer_destroy(letter.original);
    assert_ok(svl_close(pipeline));
}

static _Atomic unsigned told;

static void on_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)code;
    (void)user;
    if (level >= SVL_SEVERITY_ERROR && strstr(text, "given up"))
        atomic_fetch_add(&told, 1);
}

static void test_record_when_it_is_to_be_dropped_then_counted_and_told(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_store_options store;
    svl_options options;
    svl_stored_options o = letters_quick("drop");
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.log = on_log;
    options.store = &store;
    o.on_failure = SVL_ON_FAILURE_DROP;
    o.retry_attempts_max = 2;
    atomic_store(&told, 0);
    letters_open_with(&s, &o, &options);
    static const char *const bodies[] = { "ok", "reject", "fail", "mark", "ok" };
    for (size_t i = 0; i < 5; i++) {
        letters_publish(bodies[i]);
        letters_wait_settled(&s, i + 1);
    }
    svl_subscription_info info = letters_info(&s);
    assert_true(info.dropped == 3 && info.dead_letters == 0 && info.records == 2);
    assert_int_equal(atomic_load(&told), 3);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(pipeline, &stats));
    assert_true(stats.dropped_stored == 3 && stats.dead_letters == 0);
    assert_int_equal(letters_count("drop"), 0);
    assert_ok(svl_close(pipeline));
}

static void test_subscription_when_it_is_to_pause_then_stands_before_the_record(void **state)
{
    (void)state;
    static const char *const bodies[] = { "reject", "fail", "mark" };
    for (size_t i = 0; i < 3; i++) {
        static struct script s;
        s = (struct script){ .mended = false };
        letters_path(NULL);
        svl_stored_options o = letters_quick("pause");
        o.on_failure = SVL_ON_FAILURE_PAUSE;
        o.retry_attempts_max = 2;
        letters_open(&s, &o);
        letters_publish("ok");
        letters_publish(bodies[i]);
        letters_publish("ok");
        while (!letters_info(&s).paused)
            letters_sleep_ms(1);
        assert_true(letters_info(&s).position == 1);
        s.mended = true;
        assert_ok(svl_subscription_resume(s.subscription));
        letters_wait_done(&s, 3);
        assert_int_equal(letters_count(NULL), 0);
        assert_ok(svl_close(pipeline));
    }
}

static void test_streak_when_too_long_then_pauses(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("streak");
    o.deadletter_streak_max = 4;
    letters_open(&s, &o);
    /* One that is done in between begins anew. */
    static const char *const bodies[] = { "reject", "reject", "reject", "ok",
                                          "reject", "reject", "reject", "reject" };
    for (size_t i = 0; i < 8; i++) {
        assert_false(letters_info(&s).paused);
        letters_publish(bodies[i]);
        letters_wait_settled(&s, i + 1);
    }
    while (!letters_info(&s).paused)
        letters_sleep_ms(1);
    assert_int_equal(letters_info(&s).dead_letters, 7);
    assert_ok(svl_close(pipeline));
    letters_open(&s, &o); /* it stays paused */
    assert_true(letters_info(&s).paused);
    assert_ok(svl_subscription_resume(s.subscription));
    for (size_t i = 0; i < 3; i++)
        letters_publish("reject");
    letters_wait_settled(&s, 3);
    assert_false(letters_info(&s).paused); /* counted anew */
    assert_ok(svl_close(pipeline));
}

static void test_streak_when_of_records_too_old_to_be_tried_then_no_pause(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("aged");
    o.deadletter_streak_max = 2;
    o.record_age_ms_max = 400;
    letters_open(&s, &o);
    assert_ok(svl_subscription_pause(s.subscription));
    for (int i = 0; i < 250; i++)
        letters_publish("ok");
    assert_ok(svl_flush(pipeline, -1));
    letters_sleep_ms(500);
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait(250, &s);
    assert_false(letters_info(&s).paused);
    do { /* on a busy machine one may be too old again */
        letters_publish("ok");
        letters_sleep_ms(50);
    } while (s.done_count == 0);
    assert_ok(svl_close(pipeline));
}

static void test_subscription_when_unnamed_then_its_letters_are_of_the_empty_name(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_stored_options o = letters_quick(NULL);
    letters_open(&s, &o);
    letters_publish("reject");
    letters_wait(1, &s);
    assert_int_equal(letters_count(""), 1);
    assert_int_equal(letters_count(NULL), 1);
    assert_int_equal(letters_count("orders"), 0);
    struct letter letter;
    assert_int_equal(letters_read("", &letter, 1), 1);
    assert_string_equal(letter.type, "");
    svl_record_buffer_destroy(letter.original);
    assert_ok(svl_close(pipeline));
}

static int act_only_count(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++)
        letters_note(s, records[i].id, false);
    return SVL_OK;
}

static void test_dead_letter_when_a_handler_cannot_do_it_then_it_has_none_itself(void **state)
{
    (void)state;
    static struct script s, catch_all, own;
    s = catch_all = own = (struct script){ .mended = false };
    svl_stored_options o = letters_quick("first");
    letters_open(&s, &o);
    svl_stored_options everything = letters_quick("everything");
    everything.filter.source = NULL;
    catch_all.act = act_only_count;
    assert_ok(svl_on_stored(pipeline, &everything, letters_handle, &catch_all, NULL));
    svl_stored_options letters = letters_quick("letters");
    letters.filter.source = "serverlog.deadletter*";
    own.rejects_all = true;
    assert_ok(svl_on_stored(pipeline, &letters, letters_handle, &own, &own.subscription));
    for (int i = 0; i < 5; i++)
        letters_publish("reject");
    letters_wait(5, &s);
    while (letters_info(&own).dropped < 5)
        letters_sleep_ms(1);
    assert_ok(svl_stop(pipeline, -1));
    assert_int_equal(letters_info(&own).dead_letters, 0);
    assert_int_equal(letters_count(NULL), 5);
    assert_int_equal(catch_all.done_count, 5); /* the records, not their letters */
    assert_ok(svl_close(pipeline));
}

/* More dead letters than one batch of the journal holds, of the largest records. */
static void test_rejections_when_too_large_for_one_write_then_in_several(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_store_options store;
    svl_options options;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.journal_file_bytes_max = 256 << 10;
    store.record_bytes_max = 32 << 10;
    options.store = &store;
    svl_stored_options o = letters_quick("large");
    letters_open_with(&s, &o, &options);
    assert_ok(svl_subscription_pause(s.subscription));
    static char body[32 << 10] = "reject";
    svl_record record = { .source = slice_of("in"), .body = { body, sizeof body - 32 - 2 } };
    for (int i = 0; i < 20; i++)
        assert_ok(svl_publish(pipeline, &record));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait(20, &s);
    assert_int_equal(s.calls, 1);
    struct letter letters[20];
    assert_int_equal(letters_read("large", letters, 20), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(letters[i].original_id, i + 1);
        const svl_record *original = svl_record_buffer_record(letters[i].original);
        assert_int_equal(original->body.len, record.body.len);
        assert_memory_equal(original->body.data, body, record.body.len);
        svl_record_buffer_destroy(letters[i].original);
    }
    assert_ok(svl_close(pipeline));
}

/* The options were larger when the record was written: no write holds its dead letter now. */
static void test_dead_letter_when_no_write_can_hold_it_then_pauses(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = false };
    svl_store_options store;
    svl_options options;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    options.store = &store;
    svl_stored_options o = letters_quick("larger");
    letters_open_with(&s, &o, &options);
    assert_ok(svl_subscription_pause(s.subscription));
    static char body[200 << 10] = "reject";
    svl_record record = { .source = slice_of("in"), .body = { body, sizeof body } };
    assert_ok(svl_publish(pipeline, &record));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_store_commit(svl_pipeline_store(pipeline), -1));
    assert_ok(svl_close(pipeline));
    store.journal_file_bytes_max = 256 << 10;
    for (int mended = 0; mended < 2; mended++) {
        letters_open_with(&s, &o, &options);
        s.mended = mended;
        s.calls = 0;
        assert_ok(svl_subscription_resume(s.subscription));
        while (s.calls == 0 || (!mended && !letters_info(&s).paused))
            letters_sleep_ms(1);
        assert_ok(svl_close(pipeline));
        assert_int_equal(s.done_count, mended); /* it is still there to be done */
    }
}

static int act_reasons(svl_batch *batch, struct script *s)
{
    char reason[400];
    memset(reason, 'x', sizeof reason);
    memcpy(reason + 254, "\xc3\xa4", 3); /* 256 bytes: cut, half a character would be left */
    if (s->calls == 1)
        return svl_batch_reject(batch, 0, reason);
    if (s->calls == 2)
        return svl_batch_reject(batch, 0, "\xff\xfe");
    return svl_batch_reject(batch, 0, NULL);
}

static void test_reason_when_long_or_no_text_then_kept_as_it_can_be(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .act = act_reasons };
    svl_stored_options o = letters_quick("reasons");
    letters_open(&s, &o);
    for (uint64_t i = 1; i <= 3; i++) {
        letters_publish("x");
        letters_wait(i, &s);
    }
    struct letter letters[3];
    assert_int_equal(letters_read("reasons", letters, 3), 3);
    assert_int_equal(strlen(letters[0].error), 254);
    assert_int_equal(letters[0].error_kind, SVL_ATTRIBUTE_TEXT);
    assert_string_equal(letters[1].error, "\xff\xfe");
    assert_int_equal(letters[1].error_kind, SVL_ATTRIBUTE_BYTES);
    assert_int_equal(letters[2].error_kind, 0);
    for (size_t i = 0; i < 3; i++)
        svl_record_buffer_destroy(letters[i].original);
    assert_ok(svl_close(pipeline));
}

static void test_original_when_of_another_record_then_refused(void **state)
{
    (void)state;
    svl_record_buffer *buffer = (svl_record_buffer *)1;
    svl_record other = { .source = slice_of("serverlog.deadletter.resolved") };
    assert_int_equal(svl_deadletter_original(&other, &buffer), SVL_E_INVALID);
    assert_null(buffer);
    assert_int_equal(svl_deadletter_original(NULL, &buffer), SVL_E_INVALID);
    assert_int_equal(svl_deadletter_original(&other, NULL), SVL_E_INVALID);
    svl_record cut = { .source = slice_of("serverlog.deadletter"), .body = slice_of("short") };
    assert_int_equal(svl_deadletter_original(&cut, &buffer), SVL_E_CORRUPT);
    struct rng rng = { test_seed() };
    uint8_t bytes[64];
    for (int round = 0; round < 2000; round++) {
        size_t len = rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rng_below(&rng, 40);
        uint32_t said = (uint32_t)len;
        memcpy(bytes, &said, sizeof said);
        cut.body = (svl_slice){ bytes, len };
        if (svl_deadletter_original(&cut, &buffer) == SVL_OK)
            svl_record_buffer_destroy(buffer);
    }
}

int main(void)
{
#define LETTER_TEST(f) cmocka_unit_test_setup(f, letters_path)
    const struct CMUnitTest tests[] = {
        LETTER_TEST(test_record_when_given_up_then_its_letter_says_why),
        LETTER_TEST(test_record_when_too_old_after_failures_then_given_up_with_them),
        LETTER_TEST(test_batch_when_it_fails_without_marks_then_only_the_poison_is_given_up),
        LETTER_TEST(test_records_when_rejected_then_the_others_are_not_held_back),
        LETTER_TEST(test_rejection_when_behind_a_failure_then_it_does_not_count),
        LETTER_TEST(test_record_when_it_is_to_be_dropped_then_counted_and_told),
        LETTER_TEST(test_subscription_when_it_is_to_pause_then_stands_before_the_record),
        LETTER_TEST(test_streak_when_too_long_then_pauses),
        LETTER_TEST(test_streak_when_of_records_too_old_to_be_tried_then_no_pause),
        LETTER_TEST(test_subscription_when_unnamed_then_its_letters_are_of_the_empty_name),
        LETTER_TEST(test_dead_letter_when_a_handler_cannot_do_it_then_it_has_none_itself),
        LETTER_TEST(test_rejections_when_too_large_for_one_write_then_in_several),
        LETTER_TEST(test_dead_letter_when_no_write_can_hold_it_then_pauses),
        LETTER_TEST(test_reason_when_long_or_no_text_then_kept_as_it_can_be),
        LETTER_TEST(test_original_when_of_another_record_then_refused),
    };
    return cmocka_run_group_tests_name("handler/deadletter", tests, NULL, NULL);
}
