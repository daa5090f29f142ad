/* A whole pipeline with allocations that fail, one or all from some point on: an error or a wait, nothing
 * leaked, and what was published is there. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/ring.h"
#include "support/support.h"

#define RECORDS 12

static char path[512];
static int64_t patience_ms = -1; /* of the script's waits: endless unless memory is gone */
static uint64_t published;       /* records of source "in" that publish took */

static uint32_t flags; /* of the pipeline */
static uint64_t shaped;
static uint64_t deadly; /* the call of shape() that kills the process; 0 = none */

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    svl_record added = { .source = slice_of("added"), .body = record->body };
    (void)user;
    if (++shaped == deadly)
        kill(getpid(), SIGKILL);
    record->key = slice_of("shaped");
    return svl_ingest_emit(ingest, &added); /* without memory: the record is stored as it came */
}

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

static int open_pipeline(svl_pipeline **p)
{
    svl_store_options store;
    svl_options options;
    svl_stored_options on;
    svl_ingest_options shaping;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_stored_options_init(&on, sizeof on));
    assert_ok(svl_ingest_options_init(&shaping, sizeof shaping));
    store.record_bytes_max = 4096;
    store.block_bytes = 4096;
    store.journal_file_bytes_max = 256 << 10;
    store.segment_bytes = 8 << 20;
    options.store = &store;
    options.flags = flags;
    options.ring_bytes = 64 << 10;
    options.close_timeout_ms = 1;
    options.worker_idle_ms = 10;
    on.name = "echo";
    on.filter.source = "in";
    on.retry_base_ms = 1;
    on.retry_max_ms = 1;
    shaping.filter.source = "in";
    int rc = svl_open(path, &options, p);
    if (rc == SVL_OK)
        rc = svl_on_ingest(*p, &shaping, shape, NULL);
    if (rc == SVL_OK)
        rc = svl_on_stored(*p, &on, echo, NULL, NULL);
    return rc;
}

static int count(svl_pipeline *p, const char *source, uint64_t *n)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    *n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    int rc = svl_store_query(svl_pipeline_store(p), &query, &cursor);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        ++*n;
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? SVL_OK : rc;
}

/* Without threads: what they would do meanwhile. */
static int pump(svl_pipeline *p)
{
    int rc = SVL_E_TIMEOUT;
    if (flags & SVL_THREADLESS)
        while ((rc = svl_pump(p, 0, 0, NULL)) == SVL_OK)
            ;
    return rc == SVL_E_TIMEOUT ? SVL_OK : rc;
}

static int script(void)
{
    svl_pipeline *p = NULL;
    uint64_t n;
    int rc = open_pipeline(&p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    for (int i = 0; rc == SVL_OK && i < RECORDS; i++) {
        rc = svl_publish_text(p, SVL_SEVERITY_INFO, "in", "some text");
        published += rc == SVL_OK;
    }
    if (rc == SVL_OK)
        rc = pump(p);
    if (rc == SVL_OK)
        rc = svl_flush(p, patience_ms);
    if (rc == SVL_OK)
        rc = pump(p);
    if (rc == SVL_OK)
        rc = count(p, "in", &n);
    if (rc == SVL_OK)
        rc = svl_stop(p, patience_ms);
    int closed = svl_close(p);
    return rc == SVL_OK ? closed : rc;
}

/* Whatever went wrong, opened again with memory everything is there: from the store or from the ring. */
static void assert_all_there(void)
{
    svl_pipeline *p;
    uint64_t in, echoed;
    assert_ok(open_pipeline(&p));
    assert_ok(svl_start(p));
    assert_ok(svl_stop(p, -1));
    assert_ok(count(p, "in", &in));
    assert_ok(count(p, "echo", &echoed));
    assert_true(in >= published);
    assert_true(echoed <= in);
    assert_ok(svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL));
    assert_ok(svl_close(p));
}

/* A close that has timed out leaves the rest to the last callback that returns. */
static int64_t live_in_the_end(int64_t expected)
{
    struct timespec pause = { .tv_nsec = 1000000 };
    for (int i = 0; i < 5000 && live_allocations() != expected; i++)
        nanosleep(&pause, NULL);
    return live_allocations();
}

static void start_anew(void)
{
    remove_tree(path);
    published = 0;
    assert_ok(script());
}

static void *wait_a_moment(void *unused)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    return unused;
}

/* The C library keeps some ended threads' memory: as much as it ever keeps, before anything is counted. */
static void fill_thread_cache(void)
{
    pthread_t threads[10];
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_a_moment, NULL), 0);
    for (size_t i = 0; i < 10; i++)
        pthread_join(threads[i], NULL);
}

static void sweep(bool once)
{
    fill_thread_cache();
    snprintf(path, sizeof path, "%s", temp_path());
    published = 0;
    assert_ok(script());
    start_anew();
    fail_malloc_after(0, false);
    assert_ok(script());
    uint64_t calls = fail_malloc_count(), failures = 0;
    struct rng rng = { test_seed() };
    for (uint64_t n = 1; n < calls; n += 1 + rng_below(&rng, calls / 60 + 1)) {
        start_anew();
        int64_t live = live_allocations();
        fail_malloc_after(n, once);
        patience_ms = 30;
        int rc = script();
        patience_ms = -1;
        fail_malloc_after(0, false);
        bool expected = rc == SVL_OK || rc == SVL_E_NOMEM || rc == SVL_E_FAILED ||
                        rc == SVL_E_RESOURCE || rc == SVL_E_TIMEOUT;
        int64_t left = live_in_the_end(live);
        if (!expected || left != live)
            print_error("allocation %llu: %d, %s; %lld leaked\n", (unsigned long long)n, rc,
                        svl_last_error(), (long long)(left - live));
        assert_true(expected);
        assert_int_equal(left, live);
        failures += rc != SVL_OK;
        assert_all_there();
    }
    assert_true(failures > 0);
}

static void test_pipeline_when_one_allocation_fails_then_nothing_lost_or_leaked(void **state)
{
    (void)state;
    sweep(true);
}

static void test_pipeline_when_memory_is_gone_then_nothing_lost_or_leaked(void **state)
{
    (void)state;
    sweep(false);
}

/* From each allocation on there is none for some pumps: none of them waits for it, and then all goes on where it
 * was. */
static void test_pump_when_memory_is_gone_for_a_while_then_goes_on_where_it_was(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 20; n++) {
        svl_pipeline *p;
        uint64_t in, added;
        snprintf(path, sizeof path, "%s", temp_path());
        assert_ok(open_pipeline(&p));
        assert_ok(svl_start(p));
        shaped = 0;
        for (int i = 0; i < RECORDS; i++)
            assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "some text"));
        fail_malloc_after(n, false);
        int rc = SVL_OK;
        for (int i = 0; i < 20 && (rc == SVL_OK || rc == SVL_E_TIMEOUT); i++)
            rc = svl_pump(p, 0, 0, NULL);
        fail_malloc_after(0, false);
        assert_true(rc == SVL_OK || rc == SVL_E_TIMEOUT);
        assert_ok(svl_flush(p, -1));
        assert_true(shaped == RECORDS); /* each once */
        assert_ok(count(p, "in", &in));
        assert_ok(count(p, "added", &added));
        assert_true(in == RECORDS && added <= RECORDS);
        assert_ok(svl_stop(p, -1));
        assert_ok(svl_close(p));
        remove_tree(path);
    }
}

/* In a process of its own, which leaves its ring behind. */
static void publish_attached(void)
{
    svl_publisher *publisher;
    svl_record record = { .source = slice_of("in") };
    int rc = svl_attach(path, NULL, &publisher);
    for (int i = 0; rc == SVL_OK && i < RECORDS; i++)
        rc = svl_publisher_publish(publisher, &record);
    _exit(rc != SVL_OK);
}

/* A host that dies of the third record. */
static void die_of_one(void)
{
    svl_pipeline *p;
    deadly = 3;
    int rc = open_pipeline(&p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    while (rc == SVL_OK || rc == SVL_E_TIMEOUT)
        rc = svl_pump(p, 0, -1, NULL);
    _exit(1);
}

static int in_a_child(void (*act)(void))
{
    int status;
    shaped = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        act();
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static uint64_t suspects_of(svl_pipeline *p)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    return stats.suspects;
}

/* The one that is suspect is held meanwhile, before its handlers or behind them. */
static void test_suspect_of_another_process_when_memory_is_gone_for_a_while_then_called_once(
    void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 20; n += 3) {
        svl_pipeline *p;
        uint64_t in = 0;
        snprintf(path, sizeof path, "%s", temp_path());
        assert_ok(open_pipeline(&p));
        assert_ok(svl_close(p));
        assert_int_equal(in_a_child(publish_attached), 0);
        assert_true(WIFSIGNALED(in_a_child(die_of_one)));
        assert_ok(open_pipeline(&p));
        assert_ok(svl_start(p));
        assert_int_equal(suspects_of(p), 1);
        fail_malloc_after(n, false);
        for (int i = 0; i < 20; i++)
            svl_pump(p, 0, 0, NULL);
        fail_malloc_after(0, false);
        while (in < RECORDS) {
            int rc = svl_pump(p, 0, 10, NULL);
            assert_true(rc == SVL_OK || rc == SVL_E_TIMEOUT);
            assert_ok(count(p, "in", &in));
        }
        assert_int_equal(in, RECORDS);
        assert_int_equal(shaped, RECORDS);
        assert_ok(svl_stop(p, -1));
        assert_int_equal(suspects_of(p), 0);
        assert_ok(svl_close(p));
        remove_tree(path);
    }
}

static uint64_t memory_ends_after;

static void die_short_of_memory(void)
{
    svl_pipeline *p;
    int rc = open_pipeline(&p);
    if (rc == SVL_OK)
        rc = svl_start(p);
    for (int i = 0; rc == SVL_OK && i < RECORDS; i++)
        rc = svl_publish_text(p, SVL_SEVERITY_INFO, "in", "some text");
    if (rc != SVL_OK)
        _exit(1);
    fail_malloc_after(memory_ends_after, false);
    for (int i = 0; i < 20; i++)
        svl_pump(p, 0, 0, NULL);
    kill(getpid(), SIGKILL);
}

/* With a record held, before its handlers or behind them: it is in the ring still. */
static void test_process_when_killed_short_of_memory_then_each_record_is_stored_once(void **state)
{
    (void)state;
    deadly = 0;
    for (memory_ends_after = 1; memory_ends_after <= 20; memory_ends_after += 4) {
        svl_pipeline *p;
        uint64_t in;
        snprintf(path, sizeof path, "%s", temp_path());
        assert_true(WIFSIGNALED(in_a_child(die_short_of_memory)));
        assert_ok(open_pipeline(&p));
        assert_ok(svl_start(p));
        assert_ok(svl_flush(p, -1));
        assert_ok(count(p, "in", &in));
        assert_int_equal(in, RECORDS);
        assert_int_equal(suspects_of(p), 0);
        assert_ok(svl_stop(p, -1));
        assert_ok(svl_close(p));
        remove_tree(path);
    }
}

/* A pump that finds nothing to do sleeps. What is due at the very moment of the look may be answered wrong once. */
static void assert_sleeps(svl_pipeline *p)
{
    int64_t due_ns = 0;
    for (int i = 0; i < 20 && due_ns == 0; i++) {
        assert_ok(pump(p));
        assert_ok(svl_next_deadline_ns(p, &due_ns));
    }
    assert_true(due_ns != 0);
}

static void test_pump_when_short_of_memory_and_then_of_disk_then_sleeps_until_there_is_some(
    void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    for (uint64_t n = 1; n <= 12; n++) {
        svl_pipeline *p;
        uint64_t in;
        svl_record record = { .source = slice_of("appended") };
        snprintf(path, sizeof path, "%s", temp_path());
        assert_ok(open_pipeline(&p));
        assert_ok(svl_start(p));
        for (int i = 0; i < RECORDS; i++)
            assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "some text"));
        fail_malloc_after(n, false);
        int rc = svl_pump(p, 0, 0, NULL);
        fail_malloc_after(0, false);
        assert_true(rc == SVL_OK || rc == SVL_E_TIMEOUT);
        set_disk_full(true);
        rc = svl_store_append(svl_pipeline_store(p), &record, 1, NULL);
        assert_true(rc == SVL_OK || rc == SVL_E_NOMEM);
        assert_int_equal(svl_store_flush(svl_pipeline_store(p), 30), SVL_E_TIMEOUT);
        assert_sleeps(p);
        set_disk_full(false);
        assert_ok(svl_flush(p, -1));
        assert_ok(count(p, "in", &in));
        assert_int_equal(in, RECORDS);
        assert_ok(svl_stop(p, -1));
        assert_ok(svl_close(p));
        remove_tree(path);
    }
}

/* Over a private ring the marks are a file: each start that fails leaves it to the next one, or gone. */
static void test_start_when_it_has_failed_then_the_next_one_has_its_marks(void **state)
{
    (void)state;
    int failures = 0;
    bool one_failed = true; /* of the start, or of a thread beside it */
    for (uint64_t n = 1; one_failed; n++) {
        svl_pipeline *p;
        char marks[600];
        snprintf(path, sizeof path, "%s", temp_path());
        snprintf(marks, sizeof marks, "%s/marks", path);
        flags |= SVL_PIPELINE_PRIVATE_RING;
        assert_ok(open_pipeline(&p));
        flags &= ~(uint32_t)SVL_PIPELINE_PRIVATE_RING;
        fail_malloc_after(n, true);
        int rc = svl_start(p);
        one_failed = fail_malloc_count() >= n;
        fail_malloc_after(0, false);
        failures += rc != SVL_OK;
        assert_ok(rc == SVL_OK ? SVL_OK : svl_start(p));
        assert_int_equal(access(marks, F_OK), 0);
        assert_ok(svl_stop(p, -1));
        assert_ok(svl_close(p));
        assert_int_not_equal(access(marks, F_OK), 0);
        remove_tree(path);
    }
    assert_true(failures > 0);
}

/* Also the last allocation, when the file is there already. */
static void test_ring_when_an_allocation_fails_then_no_file_is_left(void **state)
{
    (void)state;
    char name[64], file[128];
    snprintf(name, sizeof name, "serverlog-test-%d", (int)getpid());
    snprintf(file, sizeof file, "/dev/shm/%s", name);
    struct ring_options options = { .capacity = 64 << 10, .directory = "/dev/shm", .name = name };
    struct ring *ring;
    int rc = SVL_E_NOMEM;
    for (uint64_t n = 1; rc == SVL_E_NOMEM; n++) {
        fail_malloc_after(n, true);
        rc = svl__ring_create(&options, &ring);
        fail_malloc_after(0, false);
        assert_int_equal(access(file, F_OK) == 0, rc == SVL_OK);
    }
    assert_ok(rc);
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

/* With an argument: without threads. */
int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_when_an_allocation_fails_then_no_file_is_left),
        cmocka_unit_test(test_pipeline_when_one_allocation_fails_then_nothing_lost_or_leaked),
        cmocka_unit_test(test_pipeline_when_memory_is_gone_then_nothing_lost_or_leaked),
        cmocka_unit_test(test_start_when_it_has_failed_then_the_next_one_has_its_marks),
    };
    const struct CMUnitTest without_threads[] = {
        cmocka_unit_test(test_pipeline_when_one_allocation_fails_then_nothing_lost_or_leaked),
        cmocka_unit_test(test_pipeline_when_memory_is_gone_then_nothing_lost_or_leaked),
        cmocka_unit_test(test_pump_when_memory_is_gone_for_a_while_then_goes_on_where_it_was),
        cmocka_unit_test(
            test_suspect_of_another_process_when_memory_is_gone_for_a_while_then_called_once),
        cmocka_unit_test(test_process_when_killed_short_of_memory_then_each_record_is_stored_once),
        cmocka_unit_test(
            test_pump_when_short_of_memory_and_then_of_disk_then_sleeps_until_there_is_some),
    };
    flags = argc > 1 ? SVL_THREADLESS : 0;
    int failed = argc > 1 ? cmocka_run_group_tests_name("pipeline/faults_threadless",
                                                        without_threads, NULL, NULL)
                          : cmocka_run_group_tests_name("pipeline/faults", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
