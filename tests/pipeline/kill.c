/* SIGKILL at random moments, again and again on one store: every publish that returned is stored exactly
 * once, in the order of its thread, and a stored handler's effects are there exactly once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define THREADS 3
#define STORES 12
#define ROUNDS 18 /* kills on each */

struct noted {
    _Atomic uint64_t begun[THREADS];     /* numbers of which the publish was called */
    _Atomic uint64_t published[THREADS]; /* of which it returned */
    uint64_t cut_off[THREADS][ROUNDS];   /* what a kill cut off: 0 = nothing */
};
static struct noted *noted;
static char path[512];

static int echo(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        svl_record reply = { .source = slice_of("echo"), .key = records[i].key };
        rc = svl_batch_emit(batch, i, &reply);
    }
    return rc;
}

static svl_pipeline *open_pipeline(struct rng *rng)
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
    on.name = "echo";
    on.filter.source = "p";
    on.start_at = SVL_START_EARLIEST;
    on.checkpoint_interval_ms = 5;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_on_stored(p, &on, echo, NULL, NULL));
    assert_ok(svl_start(p));
    return p;
}

struct publisher {
    svl_pipeline *pipeline;
    int thread;
};

static void *publish(void *argument)
{
    const struct publisher *me = argument;
    char fill[400];
    memset(fill, 'x', sizeof fill);
    for (;;) {
        uint64_t number = atomic_load(&noted->published[me->thread]) + 1;
        if (number <= atomic_load(&noted->begun[me->thread]))
            number =
                atomic_load(&noted->begun[me->thread]) + 1; /* cut off: perhaps there already */
        char key[32];
        snprintf(key, sizeof key, "%d/%llu", me->thread, (unsigned long long)number);
        svl_record record = { .source = slice_of("p"),
                              .key = slice_of(key),
                              .body = { fill, number * 37 % sizeof fill } };
        atomic_store(&noted->begun[me->thread], number);
        int rc = number % 50 == 0 ? svl_publish_sync(me->pipeline, &record, -1, NULL)
                                  : svl_publish(me->pipeline, &record);
        if (rc != SVL_OK) {
            print_error("publish gave %d: %s\n", rc, svl_last_error());
            _exit(3);
        }
        atomic_store(&noted->published[me->thread], number);
    }
    return NULL;
}

static void child_main(uint64_t seed)
{
    struct rng rng = { seed };
    static struct publisher publishers[THREADS];
    svl_pipeline *p = open_pipeline(&rng);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        publishers[i] = (struct publisher){ p, i };
        pthread_create(&thread, NULL, publish, &publishers[i]);
    }
    for (;;)
        pause();
}

static uint64_t published(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++)
        sum += atomic_load(&noted->published[i]);
    return sum;
}

/* Every other one is killed at work, however slow the machine is; the rest perhaps before. */
static void kill_one(struct rng *rng, int round)
{
    uint64_t before = published();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_main(rng_next(rng));
    while (round % 2 && published() < before + THREADS && waitpid(child, NULL, WNOHANG) == 0)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    struct timespec t = { 0, (long)(1 + rng_below(rng, 45)) * 1000000 };
    nanosleep(&t, NULL);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        print_error("the child ended by itself: status %#x\n", (unsigned)status);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (int i = 0; i < THREADS; i++) {
        uint64_t begun = atomic_load(&noted->begun[i]);
        if (begun > atomic_load(&noted->published[i]))
            noted->cut_off[i][round] = begun;
    }
}

static bool was_cut_off(int thread, uint64_t number)
{
    for (int round = 0; round < ROUNDS; round++)
        if (noted->cut_off[thread][round] == number)
            return true;
    return false;
}

/* All records of a source: keys "thread/number", each thread's ascending without repetition, and without
 * a gap but for what a kill cut off. Returns how many; `last` is the highest number of each thread. */
static uint64_t check_source(svl_store *store, const char *source, uint64_t last[THREADS])
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0, next_id = 0;
    memset(last, 0, THREADS * sizeof *last);
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        char key[32];
        assert_true(record->key.len < sizeof key && record->id > next_id);
        next_id = record->id;
        memcpy(key, record->key.data, record->key.len);
        key[record->key.len] = 0;
        int thread;
        unsigned long long number;
        assert_int_equal(sscanf(key, "%d/%llu", &thread, &number), 2);
        assert_true(thread >= 0 && thread < THREADS);
        assert_true(number > last[thread]); /* once, in order */
        for (uint64_t left_out = last[thread] + 1; left_out < number; left_out++)
            assert_true(was_cut_off(thread, left_out));
        last[thread] = number;
        n++;
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    return n;
}

static void test_process_when_killed_again_and_again_then_nothing_is_lost_or_doubled(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t records = 0;
    for (int s = 0; s < test_times(STORES); s++) {
        snprintf(path, sizeof path, "%s", temp_path());
        memset(noted, 0, sizeof *noted);
        for (int round = 0; round < ROUNDS; round++)
            kill_one(&rng, round);
        svl_pipeline *p = open_pipeline(&rng);
        assert_ok(svl_stop(p, -1));
        uint64_t last[THREADS], echoed[THREADS];
        uint64_t n = check_source(svl_pipeline_store(p), "p", last);
        for (int i = 0; i < THREADS; i++)
            assert_true(last[i] >= atomic_load(&noted->published[i]) &&
                        last[i] <= atomic_load(&noted->begun[i]));
        assert_true(check_source(svl_pipeline_store(p), "echo", echoed) == n);
        assert_memory_equal(echoed, last, sizeof last);
        assert_ok(svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL));
        assert_ok(svl_close(p));
        records += n;
        remove_tree(path);
    }
    print_message("%d kills, %llu records\n", test_times(STORES) * ROUNDS,
                  (unsigned long long)records);
    assert_true(records > (uint64_t)test_times(STORES) * ROUNDS);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_when_killed_again_and_again_then_nothing_is_lost_or_doubled),
    };
    return cmocka_run_group_tests_name("pipeline/kill", tests, NULL, NULL);
}
