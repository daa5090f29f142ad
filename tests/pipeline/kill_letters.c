/* SIGKILL at random moments while records are given up and dead letters are delivered again, to a handler and
 * to a consumer: in the end every record was done exactly once, and each dead letter on the way was resolved
 * exactly once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define STORES 8
#define ROUNDS 14 /* kills on each */
#define NUMBERS_MAX 200000
#define LETTERS_MAX 400000

static char path[512];
static _Atomic bool mended;
static bool polls; /* a consumer does the work, not a handler */
static svl_consumer *consumer;
static pthread_t poller;
static struct rng luck; /* the handler's */

static uint64_t number_of(const svl_record *record)
{
    char text[32] = "";
    memcpy(text, record->key.data, record->key.len);
    return strtoull(text, NULL, 10);
}

/* By number and luck: done, rejected, or the whole call fails. */
static int work(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    assert_ok(svl_batch_records(batch, &records, &n));
    bool redriven = svl_batch_flags(batch) & SVL_BATCH_REDRIVEN;
    for (size_t i = 0; i < n; i++) {
        uint64_t number = number_of(&records[i]);
        svl_record echo = { .source = slice_of("echo"), .key = records[i].key };
        assert_ok(svl_batch_emit(batch, i, &echo));
        if (atomic_load(&mended) || (redriven && rng_below(&luck, 2)))
            continue;
        if (number % 23 == 0)
            return SVL_FAIL;
        if (number % 3 == 0)
            assert_ok(svl_batch_reject(batch, i, "a third is rejected"));
        if (number % 31 == 0)
            assert_ok(svl_batch_fail(batch, i, "this one fails"));
    }
    return SVL_OK;
}

static void *poll_and_work(void *unused)
{
    svl_batch *batch;
    while (svl_consumer_poll(consumer, -1, &batch) == SVL_OK) {
        int rc = work(batch, NULL);
        rc = rc == SVL_OK ? svl_batch_ack(batch) : svl_batch_nack(batch, rc, NULL);
        assert_true(rc == SVL_OK || rc == SVL_E_CLOSED);
    }
    return unused;
}

static void subscribe(svl_pipeline *p, const svl_stored_options *on,
                      svl_subscription **subscription)
{
    if (!polls) {
        assert_ok(svl_on_stored(p, on, work, NULL, subscription));
        return;
    }
    assert_ok(svl_consumer_open(p, on, &consumer));
    *subscription = svl_consumer_subscription(consumer);
    assert_int_equal(pthread_create(&poller, NULL, poll_and_work, NULL), 0);
}

static void close_pipeline(svl_pipeline *p)
{
    assert_ok(svl_close(p));
    if (!polls)
        return;
    pthread_join(poller, NULL);
    assert_ok(svl_consumer_close(consumer));
}

static svl_pipeline *open_pipeline(struct rng *rng, svl_subscription **subscription)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options on;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    store.journal_file_bytes_max = 256 << 10;
    store.record_bytes_max = 4096;
    store.commit_bytes = 65536;
    store.block_bytes = 8192;
    store.sync_interval_ms = 1 + (uint32_t)rng_below(rng, 10);
    store.commit_age_ms = 10 + (uint32_t)rng_below(rng, 30);
    store.segment_bytes = 8 << 20;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    on.name = "work";
    on.filter.source = "in";
    on.start_at = SVL_START_EARLIEST;
    on.checkpoint_interval_ms = 5;
    on.retry_attempts_max = 2;
    on.retry_base_ms = on.retry_max_ms = 1;
    on.deadletter_streak_max = UINT32_MAX;
    luck = (struct rng){ rng_next(rng) };
    assert_ok(svl_open(path, &options, &p));
    subscribe(p, &on, subscription);
    assert_ok(svl_start(p));
    return p;
}

static void child_main(uint64_t seed, uint64_t number, int started)
{
    struct rng rng = { seed };
    svl_subscription *subscription;
    svl_pipeline *p = open_pipeline(&rng, &subscription);
    if (write(started, "", 1) != 1)
        _exit(4);
    for (;; number++) {
        char key[32];
        snprintf(key, sizeof key, "%llu", (unsigned long long)number);
        svl_record record = { .source = slice_of("in"), .key = slice_of(key) };
        int rc =
            number % 50 == 0 ? svl_publish_sync(p, &record, -1, NULL) : svl_publish(p, &record);
        if (rc == SVL_OK && number % 40 == 0)
            rc =
                svl_deadletter_redrive(p, "work", number % 80 ? 0 : 1 + rng_below(&rng, number), 0);
        if (rc != SVL_OK && rc != SVL_E_BUSY)
            _exit(3);
        if (number % 20 == 0)
            nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    }
}

/* Every other one is killed at work, however slow the machine is; the rest perhaps before. */
static void kill_one(struct rng *rng, int round)
{
    int started[2];
    char byte;
    assert_int_equal(pipe(started), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_main(rng_next(rng), 1 + (uint64_t)round * (NUMBERS_MAX / (ROUNDS + 1)), started[1]);
    close(started[1]);
    if (round % 2)
        assert_int_equal(read(started[0], &byte, 1), 1);
    struct timespec t = { 0, (long)(5 + rng_below(rng, 60)) * 1000000 };
    nanosleep(&t, NULL);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(started[0]);
}

/* Everything that is left to do can be done now. */
static svl_pipeline *finish(struct rng *rng)
{
    svl_subscription *subscription;
    svl_subscription_info info = { .struct_size = sizeof info };
    uint64_t left;
    svl_pipeline *p = open_pipeline(rng, &subscription);
    do {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        assert_ok(svl_subscription_info_get(subscription, &info));
    } while (info.redriving || info.backlog > 0);
    assert_ok(svl_flush(p, -1));
    assert_ok(svl_deadletter_redrive(p, "work", 0, 0));
    do {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        assert_ok(svl_subscription_info_get(subscription, &info));
    } while (info.redriving);
    assert_ok(svl_stop(p, -1));
    assert_ok(svl_deadletter_count(p, NULL, &left));
    assert_true(left == 0);
    return p;
}

/* What the log says of each record and each dead letter. */
static struct {
    uint8_t published[NUMBERS_MAX], echoed[NUMBERS_MAX];
    uint64_t letters;
    uint8_t resolved[LETTERS_MAX]; /* by the dead letter's id */
    bool is_letter[LETTERS_MAX];
} seen;

static uint64_t attribute_of(const svl_record *record, const char *name)
{
    for (uint32_t i = 0; i < record->attribute_count; i++)
        if (record->attributes[i].name.len == strlen(name) &&
            memcmp(record->attributes[i].name.data, name, strlen(name)) == 0)
            return (uint64_t)record->attributes[i].i64;
    return 0;
}

static void look_at(const svl_record *record)
{
    char source[64];
    snprintf(source, sizeof source, "%.*s", (int)record->source.len,
             (const char *)record->source.data);
    if (strcmp(source, "in") == 0) {
        seen.published[number_of(record)]++;
    } else if (strcmp(source, "echo") == 0) {
        seen.echoed[number_of(record)]++;
    } else if (strcmp(source, "serverlog.deadletter") == 0) {
        uint64_t previous = attribute_of(record, "deadletter.previous");
        assert_true(record->id < LETTERS_MAX);
        assert_true(previous == 0 || seen.is_letter[previous]);
        seen.is_letter[record->id] = true;
        seen.letters++;
    } else if (strcmp(source, "serverlog.deadletter.resolved") == 0) {
        uint64_t id = attribute_of(record, "deadletter.id");
        assert_true(id < LETTERS_MAX && seen.is_letter[id]); /* behind its letter */
        seen.resolved[id]++;
    }
}

static uint64_t check_log(svl_pipeline *p)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t records = 0;
    int rc;
    memset(&seen, 0, sizeof seen);
    assert_ok(svl_store_query(svl_pipeline_store(p), NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        look_at(record);
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    for (size_t n = 0; n < NUMBERS_MAX; n++) {
        assert_true(seen.published[n] <= 1);
        assert_int_equal(seen.echoed[n], seen.published[n]);
        records += seen.published[n];
    }
    for (size_t id = 0; id < LETTERS_MAX; id++)
        assert_int_equal(seen.resolved[id], seen.is_letter[id]);
    return records;
}

static void test_process_when_killed_while_letters_are_redriven_then_all_done_once(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t records = 0, letters = 0;
    for (int s = 0; s < test_times(STORES); s++) {
        snprintf(path, sizeof path, "%s", temp_path());
        atomic_store(&mended, false);
        polls = s % 2;
        for (int round = 0; round < ROUNDS; round++)
            kill_one(&rng, round);
        atomic_store(&mended, true);
        svl_pipeline *p = finish(&rng);
        records += check_log(p);
        letters += seen.letters;
        assert_ok(svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL));
        close_pipeline(p);
        remove_tree(path);
    }
    print_message("%d kills, %llu records, %llu dead letters\n", test_times(STORES) * ROUNDS,
                  (unsigned long long)records, (unsigned long long)letters);
    assert_true(letters > (uint64_t)test_times(STORES) * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_when_killed_while_letters_are_redriven_then_all_done_once),
    };
    return cmocka_run_group_tests_name("pipeline/kill_letters", tests, NULL, NULL);
}
