/* Pausing while a turn goes on that has not shown its batch yet: it is not shown, and nothing is lost of it;
 * resuming before the handlers know of what is durable. */
#include "handler/subscription.h"
#include "support/letters.h"

#define RECORDS 10

static struct script s;

static void start(const svl_stored_options *o)
{
    s = (struct script){ .mended = false };
    letters_path(NULL);
    letters_open(&s, o);
}

/* This thread has the turn, as a worker has: nobody else takes it. */
static void take_turn(void)
{
    struct handlers *h = s.subscription->handlers;
    pthread_mutex_lock(&h->lock);
    while (s.subscription->state != SUBSCRIPTION_IDLE) {
        pthread_mutex_unlock(&h->lock);
        letters_sleep_ms(1);
        pthread_mutex_lock(&h->lock);
    }
    s.subscription->state = SUBSCRIPTION_RUNNING;
    pthread_mutex_unlock(&h->lock);
}

/* The rest of it, without a batch. `resumed`: before it is over. */
static void finish_turn(bool resumed)
{
    struct handlers *h = s.subscription->handlers;
    enum subscription_state next = SUBSCRIPTION_IDLE;
    assert_false(svl__delivery_begin(s.subscription, &next));
    if (resumed)
        assert_ok(svl_subscription_resume(s.subscription));
    pthread_mutex_lock(&h->lock);
    svl__subscription_settle(s.subscription, next);
    svl__workers_wake(h);
    pthread_mutex_unlock(&h->lock);
}

static void test_pause_when_a_turn_of_new_records_has_begun_then_none_is_shown(void **state)
{
    (void)state;
    for (size_t resumed = 0; resumed < 2; resumed++) {
        svl_stored_options o = letters_quick("new");
        start(&o);
        take_turn();
        for (size_t i = 0; i < RECORDS; i++)
            letters_publish("ok");
        assert_ok(svl_flush(pipeline, -1));
        assert_ok(svl_subscription_pause(s.subscription));
        finish_turn(resumed == 1);
        if (resumed == 0) {
            svl_subscription_info info = letters_info(&s);
            assert_true(info.paused && info.in_flight == 0 && info.invocations == 0);
            assert_ok(svl_subscription_resume(s.subscription));
        }
        letters_wait_done(&s, RECORDS);
        assert_ok(svl_close(pipeline));
        bool left_out[RECORDS + 1] = { false };
        letters_assert_once_in_order(&s, left_out, RECORDS);
    }
}

static void test_pause_when_a_turn_has_begun_and_redrive_follows_then_no_letter_is_shown(
    void **state)
{
    (void)state;
    svl_stored_options o = letters_quick("letters");
    start(&o);
    for (size_t i = 0; i < RECORDS; i++)
        letters_publish("reject");
    letters_wait(RECORDS, &s);
    take_turn();
    assert_ok(svl_subscription_pause(s.subscription));
    assert_ok(svl_deadletter_redrive(pipeline, "letters", 0, 0));
    finish_turn(false);
    assert_int_equal(s.redriven_calls, 0);
    assert_true(letters_info(&s).redriving && letters_info(&s).dead_letters == RECORDS);
    s.mended = true;
    assert_ok(svl_subscription_resume(s.subscription));
    while (letters_info(&s).redriving)
        letters_sleep_ms(1);
    assert_ok(svl_flush(pipeline, -1));
    assert_int_equal(letters_count("letters"), 0);
    assert_int_equal(letters_count_source("serverlog.deadletter"), RECORDS);
    assert_int_equal(s.done_count, RECORDS);
    assert_ok(svl_close(pipeline));
}

static void test_pause_when_a_poll_has_begun_then_it_takes_nothing(void **state)
{
    (void)state;
    svl_stored_options o = letters_quick("polled");
    svl_consumer *consumer;
    svl_batch *batch;
    const svl_record *records;
    size_t n;
    letters_path(NULL);
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_consumer_open(pipeline, &o, &consumer));
    assert_ok(svl_start(pipeline));
    s.subscription = svl_consumer_subscription(consumer);
    take_turn();
    for (size_t i = 0; i < RECORDS; i++)
        letters_publish("ok");
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_subscription_pause(s.subscription));
    finish_turn(false);
    assert_int_equal(svl_consumer_poll(consumer, 0, &batch), SVL_E_AGAIN);
    assert_ok(svl_subscription_resume(s.subscription));
    assert_ok(svl_consumer_poll(consumer, -1, &batch));
    assert_ok(svl_batch_records(batch, &records, &n));
    assert_true(n == RECORDS && records[0].id == 1);
    assert_ok(svl_batch_ack(batch));
    svl_consumer_close(consumer);
    assert_ok(svl_close(pipeline));
}

/* The flusher tells those who wait for the flush before it tells the handlers: a resume may come between. */
static void test_resume_when_the_handlers_were_not_told_of_the_flush_then_the_batch_is_whole(
    void **state)
{
    (void)state;
    svl_stored_options o = letters_quick("whole");
    start(&o);
    struct handlers *h = s.subscription->handlers;
    assert_ok(svl_subscription_pause(s.subscription));
    for (size_t i = 0; i < RECORDS; i++)
        letters_publish("ok");
    assert_ok(svl_flush(pipeline, -1));
    pthread_mutex_lock(&h->lock);
    while (h->durable_id < RECORDS) {
        pthread_mutex_unlock(&h->lock);
        letters_sleep_ms(1);
        pthread_mutex_lock(&h->lock);
    }
    h->durable_id = 3;
    pthread_mutex_unlock(&h->lock);
    assert_ok(svl_subscription_resume(s.subscription));
    letters_wait_done(&s, RECORDS);
    assert_int_equal(s.calls, 1);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause_when_a_turn_of_new_records_has_begun_then_none_is_shown),
        cmocka_unit_test(
            test_pause_when_a_turn_has_begun_and_redrive_follows_then_no_letter_is_shown),
        cmocka_unit_test(test_pause_when_a_poll_has_begun_then_it_takes_nothing),
        cmocka_unit_test(
            test_resume_when_the_handlers_were_not_told_of_the_flush_then_the_batch_is_whole),
    };
    return cmocka_run_group_tests_name("handler/pause", tests, NULL, NULL);
}
