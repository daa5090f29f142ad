/* Handlers that cause each other: where the circle ends, and what becomes of the record that is one hop too far. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/letters.h"

/* Emits what it was given, to itself. */
static int echo(svl_batch *batch, struct script *s)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    for (size_t i = 0; i < n; i++) {
        assert_ok(svl_batch_emit(batch, i, &records[i]));
        letters_note(s, records[i].id, svl_batch_flags(batch) & SVL_BATCH_REDRIVEN);
    }
    return SVL_OK;
}

static void open_circle(struct script *s, uint32_t hops_max, uint32_t on_failure)
{
    memset(s, 0, sizeof *s);
    s->act = echo;
    svl_stored_options o = letters_quick("circle");
    o.hops_max = hops_max;
    o.on_failure = on_failure;
    letters_open(s, &o);
}

static void test_circle_when_as_long_as_it_may_be_then_its_end_is_a_dead_letter(void **state)
{
    (void)state;
    static const uint32_t limits[] = { 0, 1, 5 };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        static struct script s;
        uint64_t done = (limits[i] ? limits[i] : 16) + 1;
        letters_path(NULL);
        open_circle(&s, limits[i], SVL_ON_FAILURE_DEADLETTER);
        letters_publish("round");
        letters_wait(1, &s);
        struct letter letter;
        assert_int_equal(letters_read("circle", &letter, 1), 1);
        assert_string_equal(letter.condition, "hops");
        assert_true(letter.code == 0 && letter.attempts == 0 && letter.error_kind != 0);
        assert_int_equal(letter.original_id, done + 1);
        assert_int_equal(svl_record_buffer_record(letter.original)->flags, done);
        svl_record_buffer_destroy(letter.original);
        assert_int_equal(s.done_count, done);
        assert_int_equal(letters_info(&s).failures, 0);
        assert_ok(svl_close(pipeline));
    }
}

static void test_record_when_too_far_then_its_neighbours_are_done(void **state)
{
    (void)state;
    static struct script s;
    static const uint32_t hops[] = { 0, 17, 0, 17, 17, 16, 255 };
    static const bool left_out[] = { true, false, true, false, true, true, false, true };
    letters_path(NULL);
    memset(&s, 0, sizeof s);
    s.mended = true;
    svl_stored_options o = letters_quick("some");
    letters_open(&s, &o);
    assert_ok(svl_subscription_pause(s.subscription));
    for (size_t i = 0; i < sizeof hops / sizeof hops[0]; i++) {
        svl_record record = { .source = slice_of("in"), .flags = hops[i] };
        assert_ok(svl_publish(pipeline, &record));
    }
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait(4, &s);
    letters_wait_done(&s, 3);
    letters_assert_once_in_order(&s, left_out, 7);
    assert_ok(svl_close(pipeline));
}

static void test_limit_when_none_then_nothing_is_too_far(void **state)
{
    (void)state;
    static const uint32_t limits[] = { 255, UINT32_MAX };
    for (size_t i = 0; i < 2; i++) {
        static struct script s;
        letters_path(NULL);
        memset(&s, 0, sizeof s);
        s.mended = true;
        svl_stored_options o = letters_quick("all");
        o.hops_max = limits[i];
        letters_open(&s, &o);
        svl_record record = { .source = slice_of("in"), .flags = SVL_RECORD_HOPS };
        assert_ok(svl_publish(pipeline, &record));
        letters_wait_done(&s, 1);
        assert_int_equal(letters_count("all"), 0);
        assert_ok(svl_close(pipeline));
    }
}

/* Asked for, it is handed out once; what it causes is too far again. */
static void test_dead_letter_when_redriven_then_done_and_the_circle_ends_again(void **state)
{
    (void)state;
    static struct script s;
    letters_path(NULL);
    open_circle(&s, 3, SVL_ON_FAILURE_DEADLETTER);
    letters_publish("round");
    letters_wait(1, &s);
    assert_ok(svl_deadletter_redrive(pipeline, "circle", 0, 0));
    letters_wait(2, &s);
    assert_int_equal(s.done_count, 5);
    assert_true(s.done[4].redriven);
    assert_int_equal(letters_count("circle"), 1);
    assert_ok(svl_close(pipeline));
}

static void test_record_when_too_far_and_to_be_dropped_or_to_pause_then_so(void **state)
{
    (void)state;
    static struct script s;
    letters_path(NULL);
    open_circle(&s, 3, SVL_ON_FAILURE_DROP);
    letters_publish("round");
    while (letters_info(&s).dropped < 1)
        letters_sleep_ms(1);
    assert_int_equal(letters_count("circle"), 0);
    assert_ok(svl_close(pipeline));
    open_circle(&s, 3, SVL_ON_FAILURE_PAUSE);
    letters_publish("round");
    while (!letters_info(&s).paused)
        letters_sleep_ms(1);
    assert_int_equal(s.done_count, 4);
    assert_ok(svl_close(pipeline));
    open_circle(&s, 6, SVL_ON_FAILURE_DEADLETTER); /* opened with more, it goes on */
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait(1, &s);
    assert_int_equal(s.done_count, 3);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_circle_when_as_long_as_it_may_be_then_its_end_is_a_dead_letter),
        cmocka_unit_test(test_record_when_too_far_then_its_neighbours_are_done),
        cmocka_unit_test(test_limit_when_none_then_nothing_is_too_far),
        cmocka_unit_test(test_dead_letter_when_redriven_then_done_and_the_circle_ends_again),
        cmocka_unit_test(test_record_when_too_far_and_to_be_dropped_or_to_pause_then_so),
    };
    return cmocka_run_group_tests_name("handler/hops", tests, NULL, NULL);
}
