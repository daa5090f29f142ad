/* Consumers: records polled, acknowledged in time or handed out again, by one or by several, until whatever
 * order of closing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/letters.h"

static svl_consumer *open_consumer(const svl_stored_options *o)
{
    svl_consumer *c;
    assert_ok(svl_consumer_open(pipeline, o, &c));
    return c;
}

/* A pipeline that runs, with one consumer. */
static svl_consumer *start_with(const svl_stored_options *o)
{
    assert_ok(svl_open(path, NULL, &pipeline));
    svl_consumer *c = open_consumer(o);
    assert_ok(svl_start(pipeline));
    return c;
}

static svl_batch *poll_one(svl_consumer *c)
{
    svl_batch *batch;
    assert_ok(svl_consumer_poll(c, 20000, &batch));
    assert_non_null(batch);
    return batch;
}

static size_t records_of(svl_batch *batch, const svl_record **records)
{
    size_t n;
    assert_ok(svl_batch_records(batch, records, &n));
    return n;
}

static void assert_first(svl_batch *batch, uint64_t id)
{
    const svl_record *records;
    assert_true(records_of(batch, &records) > 0);
    assert_true(records[0].id == id);
}

static void assert_nothing(svl_consumer *c, int64_t timeout_ms, int code)
{
    svl_batch *batch = (svl_batch *)1;
    assert_int_equal(svl_consumer_poll(c, timeout_ms, &batch), code);
    assert_null(batch);
}

static svl_subscription_info info_of(svl_consumer *c)
{
    svl_subscription_info info = { .struct_size = sizeof info };
    assert_ok(svl_subscription_info_get(svl_consumer_subscription(c), &info));
    return info;
}

static void publish_some(size_t n)
{
    for (size_t i = 0; i < n; i++)
        letters_publish("ok");
    assert_ok(svl_flush(pipeline, -1));
}

/* So that one batch may have them all, however slowly they come. */
static void publish_together(svl_consumer *c, size_t n)
{
    svl_subscription *subscription = svl_consumer_subscription(c);
    assert_ok(svl_subscription_pause(subscription));
    publish_some(n);
    assert_ok(svl_subscription_resume(subscription));
}

static svl_stored_options pull(const char *name)
{
    svl_stored_options o = letters_quick(name);
    o.ack_deadline_ms = 60000;
    return o;
}

static void test_records_when_polled_then_each_once_in_order_over_restarts(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t next = 1;
    svl_stored_options o = pull("order");
    o.batch_records_max = 7;
    for (int round = 0; round < 5; round++) {
        svl_consumer *c = start_with(&o);
        publish_some(50);
        uint64_t published = 50 * (uint64_t)(round + 1), upto = next + rng_below(&rng, 60);
        while (next < upto && next <= published) {
            svl_batch *batch = poll_one(c);
            const svl_record *records;
            size_t n = records_of(batch, &records);
            assert_true(n <= 7 && svl_batch_attempt(batch) == 1 && svl_batch_flags(batch) == 0);
            for (size_t i = 0; i < n; i++)
                assert_true(records[i].id == next + i);
            assert_true(info_of(c).in_flight == n);
            assert_ok(svl_batch_ack(batch));
            next += n;
            assert_true(info_of(c).in_flight == 0 && info_of(c).position >= next - 1);
        }
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_pipeline_stats_get(pipeline, &stats));
        assert_true(stats.workers == 0);
        if (round % 2)
            assert_ok(svl_consumer_close(c));
        assert_ok(svl_close(pipeline));
        if (round % 2 == 0)
            assert_ok(svl_consumer_close(c));
    }
    assert_true(next > 1);
}

static void test_poll_when_nothing_is_there_then_waits_as_asked(void **state)
{
    (void)state;
    svl_stored_options o = pull("empty");
    svl_consumer *c = start_with(&o);
    assert_nothing(c, 0, SVL_E_AGAIN);
    assert_nothing(c, 5, SVL_E_TIMEOUT);
    assert_ok(svl_publish_text(pipeline, 9, "other", "of no interest"));
    assert_ok(svl_flush(pipeline, -1));
    assert_nothing(c, 20, SVL_E_TIMEOUT);
    assert_ok(svl_wake(pipeline));
    assert_nothing(c, -1, SVL_E_AGAIN); /* the wait that comes next */
    assert_nothing(c, 5, SVL_E_TIMEOUT);
    publish_some(1);
    assert_ok(svl_wake(pipeline));
    svl_batch *batch = poll_one(c); /* what is there goes before */
    assert_ok(svl_batch_ack(batch));
    assert_nothing(c, -1, SVL_E_AGAIN);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_arguments_when_wrong_then_refused(void **state)
{
    (void)state;
    static struct script s;
    s = (struct script){ .mended = true };
    svl_stored_options o = letters_quick("pushed");
    letters_open(&s, &o);
    svl_consumer *c = (svl_consumer *)1, *other;
    svl_batch *batch;
    int fd = 1;
    assert_int_equal(svl_consumer_open(pipeline, &o, &c), SVL_E_BUSY);
    assert_null(c);
    assert_int_equal(svl_consumer_open(pipeline, &o, NULL), SVL_E_INVALID);
    o = pull("polled");
    o.ack_deadline_ms = 86400001;
    assert_int_equal(svl_consumer_open(pipeline, &o, &c), SVL_E_OPTION);
    o = pull("polled");
    o.reserved = 1;
    assert_int_equal(svl_consumer_open(pipeline, &o, &c), SVL_E_RESERVED);
    o = pull("polled");
    c = open_consumer(&o);
    assert_int_equal(svl_on_stored(pipeline, &o, letters_handle, &s, NULL), SVL_E_BUSY);
    assert_ok(svl_consumer_open(pipeline, &o, &other)); /* consumers share a name */
    assert_int_equal(svl_consumer_poll(NULL, 0, &batch), SVL_E_INVALID);
    assert_int_equal(svl_consumer_poll(c, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_consumer_fd(NULL, &fd), SVL_E_INVALID);
    assert_int_equal(fd, -1);
    assert_int_equal(svl_consumer_fd(c, NULL), SVL_E_INVALID);
    assert_int_equal(svl_consumer_seek(c, 3, 1), SVL_E_INVALID);
    assert_int_equal(svl_consumer_seek(c, SVL_START_ID, 0), SVL_E_INVALID);
    assert_int_equal(svl_batch_ack(NULL), SVL_E_INVALID);
    assert_int_equal(svl_batch_nack(NULL, SVL_FAIL, NULL), SVL_E_INVALID);
    assert_int_equal(svl_unsubscribe(svl_consumer_subscription(c), NULL), SVL_E_INVALID);
    assert_null(svl_consumer_subscription(NULL));
    publish_some(1);
    batch = poll_one(c);
    assert_int_equal(svl_batch_nack(batch, 0, NULL), SVL_E_INVALID);
    assert_int_equal(svl_batch_extend(batch, 0), SVL_E_INVALID);
    assert_int_equal(svl_batch_extend(batch, 86400001), SVL_E_INVALID);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(NULL));
    assert_ok(svl_consumer_close(other));
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_batch_when_not_acknowledged_in_time_then_handed_out_again(void **state)
{
    (void)state;
    svl_stored_options o = pull("late");
    o.ack_deadline_ms = 300; /* longer than a busy machine lets one wait between two calls */
    svl_consumer *c = start_with(&o);
    publish_together(c, 3);
    svl_batch *first = poll_one(c);
    assert_nothing(c, 0, SVL_E_AGAIN);
    svl_batch *second = poll_one(c); /* waits for the deadline and the retry */
    assert_first(second, 1);
    assert_int_equal(svl_batch_attempt(second), 2);
    assert_true(info_of(c).failures == 1 && info_of(c).last_code == SVL_E_TIMEOUT);
    const svl_record *records; /* what it lent is still there */
    assert_true(records_of(first, &records) == 3 && records[2].id == 3);
    svl_record reply = { .source = slice_of("out") };
    assert_ok(svl_batch_emit(first, 0, &reply));
    assert_int_equal(svl_batch_extend(first, 1000), SVL_E_STALE);
    assert_int_equal(svl_batch_ack(first), SVL_E_STALE);
    assert_ok(svl_batch_extend(second, 60000));
    letters_sleep_ms(400);
    assert_ok(svl_batch_ack(second));
    assert_nothing(c, 0, SVL_E_AGAIN);
    publish_some(1);
    svl_batch *third = poll_one(c);
    letters_sleep_ms(400);
    assert_int_equal(svl_batch_ack(third), SVL_E_STALE); /* though nobody has polled since */
    third = poll_one(c);
    assert_int_equal(svl_batch_attempt(third), 2);
    assert_ok(svl_batch_ack(third));
    assert_int_equal(letters_count_source("out"), 0);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_batch_when_never_acknowledged_then_its_record_becomes_a_dead_letter(void **state)
{
    (void)state;
    svl_stored_options o = pull("dead");
    o.retry_attempts_max = 2;
    o.batch_records_max = 4;
    svl_consumer *c = start_with(&o);
    publish_some(4);
    svl_batch *batch;
    for (;;) { /* record 2 is never acknowledged, whatever it comes with */
        batch = poll_one(c);
        const svl_record *records;
        size_t n = records_of(batch, &records);
        bool poison = false;
        for (size_t i = 0; i < n; i++)
            poison |= records[i].id == 2;
        uint64_t last = records[n - 1].id;
        if (poison) {
            assert_ok(svl_batch_extend(batch, 1));
            letters_sleep_ms(20);
        }
        assert_int_equal(svl_batch_ack(batch), poison ? SVL_E_STALE : SVL_OK);
        if (last == 4 && !poison)
            break;
    }
    assert_ok(svl_flush(pipeline, -1));
    struct letter letter;
    assert_int_equal(letters_read("dead", &letter, 1), 1);
    assert_true(letter.original_id == 2 && letter.code == SVL_E_TIMEOUT);
    assert_string_equal(letter.error, "not acknowledged in time");
    svl_record_buffer_destroy(letter.original);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_marks_and_emits_when_acknowledged_then_as_in_a_callback(void **state)
{
    (void)state;
    svl_stored_options o = pull("marks");
    svl_consumer *c = start_with(&o);
    publish_together(c, 6);
    svl_batch *batch = poll_one(c);
    svl_record reply = { .source = slice_of("out") };
    for (size_t i = 0; i < 6; i++)
        assert_ok(svl_batch_emit(batch, i, &reply));
    assert_ok(svl_batch_reject(batch, 1, "no good"));
    assert_ok(svl_batch_fail(batch, 3, "not now"));
    assert_ok(svl_batch_ack(batch));
    batch = poll_one(c); /* from the failed one on */
    assert_first(batch, 4);
    assert_int_equal(letters_count_source("out"), 2);
    assert_int_equal(letters_count("marks"), 1);
    assert_ok(svl_batch_emit(batch, 0, &reply));
    assert_ok(svl_batch_reject(batch, 0, "a failed batch rejects nothing"));
    assert_ok(svl_batch_nack(batch, SVL_FAIL + 5, "all of it"));
    assert_true(info_of(c).last_code == SVL_FAIL + 5);
    batch = poll_one(c);
    assert_first(batch, 4);
    assert_int_equal(svl_batch_attempt(batch), 3);
    assert_ok(svl_batch_defer(batch, 1, 500));
    assert_ok(svl_batch_ack(batch));
    assert_nothing(c, 0, SVL_E_AGAIN);
    batch = poll_one(c);
    assert_first(batch, 5);
    assert_int_equal(svl_batch_attempt(batch), 1);
    assert_ok(svl_batch_ack(batch));
    assert_int_equal(letters_count_source("out"), 2);
    assert_int_equal(letters_count("marks"), 1);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_letters_when_redriven_to_a_consumer_then_flagged(void **state)
{
    (void)state;
    svl_stored_options o = pull("again");
    svl_consumer *c = start_with(&o);
    publish_together(c, 2);
    svl_batch *batch = poll_one(c);
    assert_ok(svl_batch_reject(batch, 0, NULL));
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_flush(pipeline, -1));
    assert_ok(svl_deadletter_redrive(pipeline, "again", 0, 0));
    batch = poll_one(c);
    assert_int_equal(svl_batch_flags(batch), SVL_BATCH_REDRIVEN);
    assert_first(batch, 1);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_flush(pipeline, -1));
    assert_int_equal(letters_count("again"), 0);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

struct competitor {
    svl_consumer *consumer;
    pthread_t thread;
    struct rng rng;
    unsigned batches;
};

static struct script seen; /* what all of them have done */

/* Acknowledges, fails, marks, comes too late, or closes and opens again, until the pipeline stops. */
static void *compete(void *argument)
{
    struct competitor *me = argument;
    svl_batch *batch;
    int rc;
    while ((rc = svl_consumer_poll(me->consumer, -1, &batch)) == SVL_OK || rc == SVL_E_AGAIN) {
        if (rc != SVL_OK)
            continue;
        const svl_record *records;
        size_t n = records_of(batch, &records), done = n;
        assert_int_equal(atomic_fetch_add(&seen.inside, 1), 0); /* one batch is out */
        uint64_t ids[200];
        for (size_t i = 0; i < n; i++)
            ids[i] = records[i].id;
        me->batches++;
        unsigned luck = (unsigned)rng_below(&me->rng, 8);
        bool is_late = luck == 2;
        if (luck == 1) {
            done = rng_below(&me->rng, n);
            assert_ok(svl_batch_fail(batch, done, NULL));
        }
        atomic_fetch_sub(&seen.inside, 1);
        if (luck == 0) {
            assert_ok(svl_batch_nack(batch, SVL_FAIL, "by chance"));
            continue;
        }
        if (is_late) {
            assert_ok(svl_batch_extend(batch, 1));
            letters_sleep_ms(20);
        }
        pthread_mutex_lock(&seen.lock); /* who settles first, notes first */
        rc = svl_batch_ack(batch);
        for (size_t i = 0; rc == SVL_OK && i < done; i++)
            if (seen.done_count < LETTERS_DONE_MAX)
                seen.done[seen.done_count++].id = ids[i];
        pthread_mutex_unlock(&seen.lock);
        assert_true(rc == SVL_OK || (is_late && rc == SVL_E_STALE));
    }
    assert_int_equal(rc, SVL_E_CLOSED);
    return NULL;
}

static void test_consumers_when_several_compete_then_each_record_once_in_order(void **state)
{
    (void)state;
    enum { COMPETITORS = 4 };
    struct rng rng = { test_seed() };
    struct competitor competitors[COMPETITORS];
    svl_stored_options o = pull("compete");
    o.batch_records_max = 9;
    o.retry_attempts_max = UINT32_MAX;
    seen = (struct script){ .mended = true };
    pthread_mutex_init(&seen.lock, NULL);
    assert_ok(svl_open(path, NULL, &pipeline));
    for (int i = 0; i < COMPETITORS; i++)
        competitors[i] =
            (struct competitor){ .consumer = open_consumer(&o), .rng = { rng_next(&rng) } };
    assert_ok(svl_start(pipeline));
    for (int i = 0; i < COMPETITORS; i++)
        assert_int_equal(pthread_create(&competitors[i].thread, NULL, compete, &competitors[i]), 0);
    publish_some(1000);
    for (int i = 0; seen.done_count < 1000; i++) {
        letters_sleep_ms(2);
        assert_ok(svl_wake(pipeline));
    }
    assert_ok(svl_stop(pipeline, -1));
    for (int i = 0; i < COMPETITORS; i++)
        pthread_join(competitors[i].thread, NULL);
    for (size_t i = 0; i < 1000; i++)
        assert_true(seen.done[i].id == i + 1);
    assert_int_equal(seen.done_count, 1000);
    assert_ok(svl_close(pipeline));
    for (int i = 0; i < COMPETITORS; i++)
        assert_ok(svl_consumer_close(competitors[i].consumer));
}

static void test_consumer_when_closed_with_a_batch_then_another_gets_it(void **state)
{
    (void)state;
    svl_stored_options o = pull("give");
    svl_consumer *a = start_with(&o), *b = open_consumer(&o);
    publish_some(2);
    svl_batch *held = poll_one(a);
    assert_nothing(b, 5, SVL_E_TIMEOUT);
    assert_ok(svl_consumer_close(a));
    svl_batch *batch = poll_one(b);
    assert_first(batch, 1);
    assert_int_equal(svl_batch_attempt(batch), 1);
    assert_int_equal(svl_batch_ack(held), SVL_E_STALE);
    assert_ok(svl_consumer_close(b));
    b = open_consumer(&o); /* the name's last one was closed: it goes on where it was */
    assert_int_equal(svl_batch_ack(batch), SVL_E_STALE);
    batch = poll_one(b);
    assert_first(batch, 1);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(b));
    assert_ok(svl_close(pipeline));
}

static void test_seek_when_called_then_goes_there(void **state)
{
    (void)state;
    static const struct {
        uint32_t start_at;
        uint64_t id, first;
        uint64_t skipped;
    } cases[] = { { SVL_START_ID, 7, 7, 6 },
                  { SVL_START_ID, 3, 3, 2 },
                  { SVL_START_EARLIEST, 0, 1, 0 },
                  { SVL_START_LATEST, 0, 11, 10 },
                  { SVL_START_ID, 5, 5, 4 } };
    svl_stored_options o = pull("seek");
    svl_consumer *c = start_with(&o);
    publish_some(10);
    uint64_t skipped = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_batch *batch = NULL, *held = poll_one(c);
        assert_ok(svl_consumer_seek(c, cases[i].start_at, cases[i].id));
        assert_int_equal(svl_batch_ack(held), SVL_E_STALE);
        skipped += cases[i].skipped;
        assert_true(info_of(c).skipped == skipped);
        assert_true(info_of(c).position == cases[i].first - 1);
        assert_true(info_of(c).in_flight == 0);
        if (cases[i].start_at == SVL_START_LATEST)
            publish_some(1);
        batch = poll_one(c);
        assert_first(batch, cases[i].first);
        assert_int_equal(svl_batch_attempt(batch), 1);
        assert_ok(svl_batch_nack(batch, SVL_FAIL, NULL)); /* attempts do not follow */
        if (i + 1 < sizeof cases / sizeof cases[0])
            assert_ok(svl_consumer_seek(c, SVL_START_EARLIEST, 0));
    }
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
    c = start_with(&o); /* durable */
    svl_batch *batch = poll_one(c);
    assert_first(batch, 5);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static bool is_readable(int epoll, int timeout_ms)
{
    struct epoll_event event;
    return epoll_wait(epoll, &event, 1, timeout_ms) == 1;
}

static void test_descriptor_when_watched_then_readable_while_a_poll_would_not_wait(void **state)
{
    (void)state;
    svl_stored_options o = pull("fd");
    o.batch_records_max = 1;
    o.retry_base_ms = o.retry_max_ms = 300;
    svl_consumer *c = start_with(&o);
    int fd, again, epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epoll >= 0);
    assert_ok(svl_consumer_fd(c, &fd));
    assert_ok(svl_consumer_fd(c, &again));
    assert_int_equal(fd, again);
    struct epoll_event event = { .events = EPOLLIN };
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    assert_false(is_readable(epoll, 0));
    publish_some(2);
    assert_true(is_readable(epoll, 10000));
    assert_true(is_readable(epoll, 0)); /* level */
    svl_batch *batch = poll_one(c);
    assert_false(is_readable(epoll, 0)); /* one is out, and that is all */
    assert_ok(svl_batch_ack(batch));
    assert_true(is_readable(epoll, 0)); /* the second record */
    batch = poll_one(c);
    assert_ok(svl_batch_nack(batch, SVL_FAIL, NULL));
    assert_false(is_readable(epoll, 0)); /* it waits */
    assert_true(is_readable(epoll, 10000));
    batch = poll_one(c);
    assert_ok(svl_batch_extend(batch, 300));
    assert_false(is_readable(epoll, 0));
    assert_true(is_readable(epoll, 10000)); /* too late: a poll does something about it */
    assert_nothing(c, 0, SVL_E_AGAIN);
    assert_int_equal(svl_batch_ack(batch), SVL_E_STALE);
    assert_true(is_readable(epoll, 10000));
    batch = poll_one(c);
    assert_ok(svl_batch_ack(batch));
    while (is_readable(epoll, 0))
        assert_nothing(c, 0, SVL_E_AGAIN);
    assert_ok(svl_subscription_pause(svl_consumer_subscription(c)));
    publish_some(1);
    assert_false(is_readable(epoll, 20));
    assert_ok(svl_subscription_resume(svl_consumer_subscription(c)));
    assert_true(is_readable(epoll, 10000));
    assert_ok(svl_batch_ack(poll_one(c)));
    assert_ok(svl_stop(pipeline, -1));
    assert_true(is_readable(epoll, 0));
    assert_nothing(c, 0, SVL_E_CLOSED);
    assert_ok(svl_close(pipeline));
    assert_true(is_readable(epoll, 0));
    assert_ok(svl_consumer_close(c));
    close(epoll);
}

static void *poll_until_closed(void *consumer)
{
    svl_batch *batch;
    int rc;
    while ((rc = svl_consumer_poll(consumer, -1, &batch)) == SVL_OK)
        assert_ok(svl_batch_ack(batch));
    return (void *)(intptr_t)rc;
}

static void test_stop_when_a_poller_waits_then_it_ends(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        letters_path(NULL);
        svl_stored_options o = pull("blocked");
        svl_consumer *c = start_with(&o);
        pthread_t thread;
        void *rc;
        assert_int_equal(pthread_create(&thread, NULL, poll_until_closed, c), 0);
        publish_some(3);
        while (info_of(c).records < 3)
            letters_sleep_ms(1);
        if (closes)
            assert_ok(svl_close(pipeline)); /* the consumer keeps what the poll uses */
        else
            assert_ok(svl_stop(pipeline, -1));
        pthread_join(thread, &rc);
        assert_int_equal((int)(intptr_t)rc, SVL_E_CLOSED);
        if (!closes)
            assert_ok(svl_close(pipeline));
        assert_ok(svl_consumer_close(c));
    }
}

static void test_batch_when_acknowledged_after_stop_then_done_after_close_then_comes_again(
    void **state)
{
    (void)state;
    svl_stored_options o = pull("after");
    o.batch_records_max = 1;
    for (int closed = 0; closed < 2; closed++) {
        svl_consumer *c = start_with(&o);
        publish_some(1);
        svl_batch *batch = poll_one(c);
        assert_ok(svl_stop(pipeline, -1)); /* does not wait for it */
        if (closed)
            assert_ok(svl_close(pipeline));
        assert_int_equal(svl_batch_ack(batch), closed ? SVL_E_CLOSED : SVL_OK);
        if (!closed)
            assert_ok(svl_close(pipeline));
        assert_ok(svl_consumer_close(c));
    }
    svl_consumer *c = start_with(&o);
    svl_batch *batch = poll_one(c);
    assert_first(batch, 2);
    assert_ok(svl_batch_ack(batch));
    assert_nothing(c, 0, SVL_E_AGAIN);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

/* The handles of one life are closed in every order. */
static void test_handles_when_closed_in_any_order_then_safe(void **state)
{
    (void)state;
    static const char *const orders[] = { "pcb", "pbc", "cpb", "cbp", "bpc", "bcp" };
    svl_stored_options o = pull("orders");
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        for (int nack = 0; nack < 2; nack++) {
            letters_path(NULL);
            svl_consumer *c = start_with(&o);
            publish_some(2);
            int fd;
            assert_ok(svl_consumer_fd(c, &fd));
            svl_batch *batch = poll_one(c);
            bool closed = false, gone = false;
            for (const char *step = orders[i]; *step; step++) {
                if (*step == 'p') {
                    assert_ok(svl_close(pipeline));
                    closed = true;
                } else if (*step == 'c') {
                    assert_ok(svl_consumer_close(c));
                    gone = true;
                } else {
                    int expected = closed ? SVL_E_CLOSED : gone ? SVL_E_STALE : SVL_OK;
                    assert_int_equal(nack ? svl_batch_nack(batch, SVL_FAIL, "x")
                                          : svl_batch_ack(batch),
                                     expected);
                }
                if (closed && !gone) {
                    assert_nothing(c, -1, SVL_E_CLOSED);
                    assert_int_equal(svl_consumer_seek(c, SVL_START_LATEST, 0), SVL_E_CLOSED);
                    assert_null(svl_consumer_subscription(c));
                    assert_ok(svl_consumer_fd(c, &fd));
                }
            }
        }
    }
}

static int poll_in_ingest(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_consumer **c = user;
    svl_batch *batch;
    (void)ingest;
    (void)record;
    assert_int_equal(svl_consumer_poll(*c, 0, &batch), SVL_E_DEADLOCK);
    assert_int_equal(svl_consumer_seek(*c, SVL_START_LATEST, 0), SVL_E_DEADLOCK);
    assert_int_equal(svl_consumer_close(*c), SVL_E_DEADLOCK);
    return SVL_OK;
}

static void test_calls_when_inside_an_ingest_handler_then_deadlock(void **state)
{
    (void)state;
    svl_stored_options o = pull("ingest");
    svl_consumer *c;
    assert_ok(svl_open(path, NULL, &pipeline));
    assert_ok(svl_on_ingest(pipeline, NULL, poll_in_ingest, &c));
    c = open_consumer(&o);
    assert_ok(svl_start(pipeline));
    publish_some(1);
    assert_ok(svl_batch_ack(poll_one(c)));
    assert_ok(svl_close(pipeline));
    assert_ok(svl_consumer_close(c));
}

/* Another subscription's callback may poll. */
static int poll_in_stored(svl_batch *batch, void *user)
{
    svl_batch *polled;
    assert_int_equal(svl_batch_ack(batch), SVL_E_INVALID); /* it is a callback's */
    assert_int_equal(svl_batch_extend(batch, 5), SVL_E_INVALID);
    if (svl_consumer_poll(user, 0, &polled) == SVL_OK)
        assert_ok(svl_batch_ack(polled));
    return SVL_OK;
}

static void test_poll_when_inside_a_stored_handler_then_allowed(void **state)
{
    (void)state;
    svl_stored_options o = pull("inner"), p = letters_quick("outer");
    svl_subscription *outer;
    assert_ok(svl_open(path, NULL, &pipeline));
    svl_consumer *c = open_consumer(&o);
    assert_ok(svl_on_stored(pipeline, &p, poll_in_stored, c, &outer));
    assert_ok(svl_start(pipeline));
    while (info_of(c).records == 0) {
        publish_some(1);
        letters_sleep_ms(5);
    }
    assert_ok(svl_close(pipeline));
    assert_ok(svl_consumer_close(c));
}

static void test_handles_when_forked_then_refused_in_the_child(void **state)
{
    (void)state;
    svl_stored_options o = pull("fork");
    svl_consumer *c = start_with(&o);
    publish_some(1);
    svl_batch *batch = poll_one(c), *other;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd;
        bool right =
            svl_consumer_poll(c, 0, &other) == SVL_E_FORKED &&
            svl_consumer_fd(c, &fd) == SVL_E_FORKED && svl_consumer_seek(c, 0, 0) == SVL_E_FORKED &&
            svl_batch_ack(batch) == SVL_E_FORKED &&
            svl_batch_nack(batch, SVL_FAIL, NULL) == SVL_E_FORKED &&
            svl_batch_extend(batch, 1) == SVL_E_FORKED && svl_consumer_subscription(c) == NULL &&
            svl_consumer_close(c) == SVL_E_FORKED && svl_wake(pipeline) == SVL_E_FORKED;
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

static void test_window_when_open_then_the_poll_waits_for_it(void **state)
{
    (void)state;
    svl_stored_options o = pull("window");
    o.batch_window_ms = 500;
    o.batch_records_max = 5;
    svl_consumer *c = start_with(&o);
    publish_together(c, 2);
    assert_nothing(c, 0, SVL_E_AGAIN);
    svl_batch *batch = poll_one(c); /* not full: the window has passed */
    const svl_record *records;
    assert_int_equal(records_of(batch, &records), 2);
    assert_ok(svl_batch_ack(batch));
    publish_together(c, 5);
    batch = poll_one(c); /* full */
    assert_int_equal(records_of(batch, &records), 5);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

/* Whoever acknowledges is a thread of the host's: it is told, and does not wait until there is space. */
static void test_ack_when_the_disk_is_full_then_says_so_and_the_batch_comes_again(void **state)
{
    (void)state;
    svl_stored_options o = pull("full");
    svl_consumer *c = start_with(&o);
    svl_record out = { .source = slice_of("out") };
    svl_store_stats stats = { .struct_size = sizeof stats };
    publish_some(1);
    svl_batch *batch = poll_one(c);
    assert_ok(svl_batch_emit(batch, 0, &out));
    set_disk_full(true);
    letters_publish("other");
    do {
        letters_sleep_ms(1);
        assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    } while (stats.disk_full_waits == 0);
    assert_int_equal(svl_batch_ack(batch), SVL_E_NO_SPACE);
    assert_non_null(strstr(svl_last_error(), "comes again"));
    set_disk_full(false);
    assert_ok(svl_flush(pipeline, -1)); /* until the store has tried again */
    batch = poll_one(c);
    assert_first(batch, 1);
    assert_ok(svl_batch_emit(batch, 0, &out));
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_flush(pipeline, -1));
    assert_int_equal(letters_count_source("out"), 1);
    assert_ok(svl_consumer_close(c));
    assert_ok(svl_close(pipeline));
}

int main(void)
{
#define CONSUMER_TEST(f) cmocka_unit_test_setup(f, letters_path)
    const struct CMUnitTest tests[] = {
        CONSUMER_TEST(test_records_when_polled_then_each_once_in_order_over_restarts),
        CONSUMER_TEST(test_poll_when_nothing_is_there_then_waits_as_asked),
        CONSUMER_TEST(test_arguments_when_wrong_then_refused),
        CONSUMER_TEST(test_batch_when_not_acknowledged_in_time_then_handed_out_again),
        CONSUMER_TEST(test_batch_when_never_acknowledged_then_its_record_becomes_a_dead_letter),
        CONSUMER_TEST(test_marks_and_emits_when_acknowledged_then_as_in_a_callback),
        CONSUMER_TEST(test_letters_when_redriven_to_a_consumer_then_flagged),
        CONSUMER_TEST(test_consumers_when_several_compete_then_each_record_once_in_order),
        CONSUMER_TEST(test_consumer_when_closed_with_a_batch_then_another_gets_it),
        CONSUMER_TEST(test_seek_when_called_then_goes_there),
        CONSUMER_TEST(test_descriptor_when_watched_then_readable_while_a_poll_would_not_wait),
        CONSUMER_TEST(test_stop_when_a_poller_waits_then_it_ends),
        CONSUMER_TEST(
            test_batch_when_acknowledged_after_stop_then_done_after_close_then_comes_again),
        CONSUMER_TEST(test_handles_when_closed_in_any_order_then_safe),
        CONSUMER_TEST(test_calls_when_inside_an_ingest_handler_then_deadlock),
        CONSUMER_TEST(test_poll_when_inside_a_stored_handler_then_allowed),
        CONSUMER_TEST(test_handles_when_forked_then_refused_in_the_child),
        CONSUMER_TEST(test_window_when_open_then_the_poll_waits_for_it),
        CONSUMER_TEST(test_ack_when_the_disk_is_full_then_says_so_and_the_batch_comes_again),
    };
    return cmocka_run_group_tests_name("handler/consumer", tests, NULL, NULL);
}
