/* SIGKILL from outside at random moments, while handlers kill the process on some records: those are set aside, and
 * whatever else was in a callback at a death is processed, once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

#define STORES 4
#define RECORDS 600
#define LIVES_MAX 400
#define INGEST_POISONS 1
#define STORED_POISONS 2

/* Shared with the children, and outliving them. */
static struct noted {
    _Atomic int begun, published; /* numbers of which the publish was called; returned */
    bool cut_off[RECORDS + 1];    /* by a kill: there or not */
    int ingest_poison[INGEST_POISONS], stored_poison[STORED_POISONS];
    bool private_ring;
} * noted;
static char path[512];

static bool is_one_of(const int *numbers, int n, int number)
{
    bool is = false;
    for (int i = 0; i < n; i++)
        is |= numbers[i] == number;
    return is;
}

static int number_of(const svl_record *record)
{
    char text[16] = "";
    memcpy(text, record->key.data, record->key.len < 15 ? record->key.len : 15);
    return atoi(text);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    if (is_one_of(noted->ingest_poison, INGEST_POISONS, number_of(record)))
        die();
    record->severity++;
    return SVL_OK;
}

static int work(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        if (user && is_one_of(noted->stored_poison, STORED_POISONS, number_of(&records[i])))
            die();
        svl_record echo = { .source = slice_of(user ? "echo" : "other"), .key = records[i].key };
        rc = svl_batch_emit(batch, i, &echo);
    }
    return rc;
}

static void must(int rc, const char *what)
{
    if (rc == SVL_OK)
        return;
    print_error("%s gave %d: %s\n", what, rc, svl_last_error());
    _exit(3);
}

static svl_pipeline *open_pipeline(struct rng *rng)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options on;
    svl_pipeline *p;
    must(svl_store_options_init(&store, sizeof store), "init");
    must(svl_options_init(&options, sizeof options), "init");
    must(svl_stored_options_init(&on, sizeof on), "init");
    store.journal_file_bytes_max = 256 << 10;
    store.record_bytes_max = 4096;
    store.commit_bytes = 65536;
    store.block_bytes = 8192;
    store.sync_interval_ms = 1 + (uint32_t)rng_below(rng, 10);
    store.commit_age_ms = 10 + (uint32_t)rng_below(rng, 30);
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.flags = noted->private_ring ? SVL_PIPELINE_PRIVATE_RING : 0;
    must(svl_open(path, &options, &p), "open");
    must(svl_on_ingest(p, NULL, shape, NULL), "on_ingest");
    on.filter.source = "p";
    on.start_at = SVL_START_EARLIEST;
    on.batch_records_max = 1 + (uint32_t)rng_below(rng, 30);
    on.checkpoint_interval_ms = 5;
    on.name = "work";
    must(svl_on_stored(p, &on, work, noted, NULL), "on_stored");
    on.name = "other";
    must(svl_on_stored(p, &on, work, NULL, NULL), "on_stored");
    must(svl_start(p), "start");
    return p;
}

/* With a private ring only what is durable survives: each one is waited for. */
static void live(uint64_t seed)
{
    struct rng rng = { seed };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    svl_pipeline *p = open_pipeline(&rng);
    for (int number = atomic_load(&noted->begun) + 1; number <= RECORDS; number++) {
        char key[16];
        snprintf(key, sizeof key, "%d", number);
        svl_record record = { .source = slice_of("p"), .key = slice_of(key), .severity = 1 };
        atomic_store(&noted->begun, number);
        must(noted->private_ring ? svl_publish_sync(p, &record, -1, NULL) : svl_publish(p, &record),
             "publish");
        atomic_store(&noted->published, number);
        if (number % 20 == 0)
            nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    }
    must(svl_stop(p, -1), "stop");
    must(svl_close(p), "close");
    _exit(0);
}

/* True: it lived to the end. */
static bool live_once(struct rng *rng)
{
    fflush(NULL);
    uint64_t seed = rng_next(rng), kills = rng_below(rng, 2),
             after_us = 1000 + rng_below(rng, 40000);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        live(seed);
    if (kills) {
        nanosleep(&(struct timespec){ .tv_nsec = (long)after_us * 1000 }, NULL);
        kill(child, SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    int begun = atomic_load(&noted->begun);
    if (begun > atomic_load(&noted->published))
        noted->cut_off[begun] = true;
    bool lived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!lived && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        fail_msg("a life ended with status %#x", (unsigned)status);
    return lived;
}

/* --- what is stored --- */

static struct seen {
    int records[RECORDS + 1], unprocessed[RECORDS + 1], echoes[RECORDS + 1], others[RECORDS + 1];
    int letters[RECORDS + 1];
    uint32_t severity[RECORDS + 1];
} seen;

static void look_at(const svl_record *record)
{
    char source[64];
    snprintf(source, sizeof source, "%.*s", (int)record->source.len,
             (const char *)record->source.data);
    if (strcmp(source, "p") == 0) {
        int number = number_of(record);
        seen.records[number]++;
        seen.unprocessed[number] += (record->flags & SVL_RECORD_UNPROCESSED) != 0;
        seen.severity[number] = record->severity;
    } else if (strcmp(source, "echo") == 0) {
        seen.echoes[number_of(record)]++;
    } else if (strcmp(source, "other") == 0) {
        seen.others[number_of(record)]++;
    } else if (strcmp(source, "serverlog.deadletter") == 0) {
        svl_record_buffer *original;
        assert_ok(svl_deadletter_original(record, &original));
        assert_int_equal(record->type.len, 4); /* "work" */
        seen.letters[number_of(svl_record_buffer_record(original))]++;
        svl_record_buffer_destroy(original);
    }
}

static void look(void)
{
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    int rc;
    memset(&seen, 0, sizeof seen);
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_query(store, NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        look_at(record);
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void check(void)
{
    look();
    for (int i = 1; i <= RECORDS; i++) {
        int there = seen.records[i];
        assert_true(there == 1 || (there == 0 && noted->cut_off[i]));
        bool at_ingest = is_one_of(noted->ingest_poison, INGEST_POISONS, i);
        bool at_work = is_one_of(noted->stored_poison, STORED_POISONS, i);
        assert_int_equal(seen.unprocessed[i], there && at_ingest);
        assert_int_equal(seen.letters[i], there && at_work);
        assert_int_equal(seen.echoes[i], there && !at_work);
        assert_int_equal(seen.others[i], there);
        if (there)
            assert_int_equal(seen.severity[i], at_ingest ? 1 : 2);
    }
}

static void test_process_when_killed_by_records_and_from_outside_then_only_those_are_set_aside(
    void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int s = 0; s < STORES; s++) {
        int lives = 1;
        snprintf(path, sizeof path, "%s", temp_path());
        memset(noted, 0, sizeof *noted);
        noted->private_ring = s % 2;
        for (int i = 0; i < INGEST_POISONS; i++)
            noted->ingest_poison[i] = noted->private_ring ? 0 : 1 + (int)rng_below(&rng, RECORDS);
        for (int i = 0; i < STORED_POISONS; i++)
            noted->stored_poison[i] = 1 + (int)rng_below(&rng, RECORDS);
        if (noted->ingest_poison[0] == noted->stored_poison[0])
            noted->stored_poison[0] = 0;
        if (noted->ingest_poison[0] == noted->stored_poison[1])
            noted->stored_poison[1] = 0;
        while (!live_once(&rng) && lives < LIVES_MAX)
            lives++;
        print_message("%d lives\n", lives);
        assert_true(lives < LIVES_MAX);
        check();
        remove_tree(path);
    }
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_process_when_killed_by_records_and_from_outside_then_only_those_are_set_aside),
    };
    return cmocka_run_group_tests_name("pipeline/poison_kill", tests, NULL, NULL);
}
