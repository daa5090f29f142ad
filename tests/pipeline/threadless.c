/* A pipeline and a store without threads: the whole way on the host's own. */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

/* Of the library: they have names; a sanitizer may have one, too. */
static unsigned thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned n = 0;
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char name[300], comm[16] = "";
        snprintf(name, sizeof name, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(name, "r");
        n += file && fgets(comm, sizeof comm, file) && strncmp(comm, "svl-", 4) == 0;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return n;
}

static void test_threads_when_not_threadless_then_counted(void **state)
{
    (void)state;
    svl_pipeline *p;
    assert_ok(svl_open(path, NULL, &p));
    assert_ok(svl_start(p));
    assert_int_equal(thread_count(), 4);
    assert_ok(svl_close(p));
    assert_int_equal(thread_count(), 0);
}

static svl_pipeline *open_threadless(svl_options *options)
{
    svl_options own;
    svl_pipeline *p;
    if (!options) {
        options = &own;
        assert_ok(svl_options_init(options, sizeof *options));
    }
    options->flags |= SVL_THREADLESS;
    assert_ok(svl_open(path, options, &p));
    return p;
}

static void publish(svl_pipeline *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "s", "text"));
}

/* All that can be done now. */
static void pump_all(svl_pipeline *p)
{
    int rc;
    while ((rc = svl_pump(p, 0, 0, NULL)) == SVL_OK)
        ;
    assert_int_equal(rc, SVL_E_TIMEOUT);
}

static uint64_t stored(svl_pipeline *p)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    return stats.records;
}

struct seen {
    uint64_t records;
    uint32_t calls;
    uint32_t failures; /* how many calls fail first */
    pid_t thread;
};

static int see(svl_batch *batch, void *user)
{
    struct seen *seen = user;
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    seen->calls++;
    seen->thread = gettid();
    if (seen->failures > 0) {
        seen->failures--;
        return SVL_FAIL;
    }
    seen->records += n;
    return SVL_OK;
}

static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    *(pid_t *)user = gettid();
    record->key = slice_of("shaped");
    return SVL_OK;
}

static void test_pipeline_when_threadless_then_all_work_is_done_on_the_pumping_thread(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    pid_t shaper = 0;
    svl_stored_options on;
    svl_store_options store;
    svl_options options;
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    store.commit_bytes = 64 << 10;
    store.block_bytes = 16 << 10;
    options.store = &store;
    svl_pipeline *p = open_threadless(&options);
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "see";
    assert_ok(svl_on_ingest(p, NULL, shape, &shaper));
    assert_ok(svl_on_stored(p, &on, see, &seen, NULL));
    assert_ok(svl_start(p));
    char body[200];
    memset(body, 'x', sizeof body);
    for (uint64_t i = 0; i < 5000; i++) {
        for (size_t at = 0; at < sizeof body; at += 8) /* nothing that would be compressed away */
            memcpy(body + at, &(uint64_t){ (i * 31 + at) * UINT64_C(0x9E3779B97F4A7C15) }, 8);
        svl_record record = { .body = { body, sizeof body }, .body_kind = SVL_BODY_BINARY };
        assert_ok(svl_publish(p, &record));
    }
    assert_int_equal(stored(p), 0); /* nobody has pumped */
    size_t drained;
    assert_ok(svl_pump(p, 7, 0, &drained));
    assert_int_equal(drained, 7);
    pump_all(p);
    assert_ok(svl_flush(p, -1));
    pump_all(p);
    assert_int_equal(stored(p), 5000);
    assert_int_equal(seen.records, 5000);
    assert_int_equal(seen.thread, gettid());
    assert_int_equal(shaper, gettid());
    assert_int_equal(thread_count(), 0);
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    assert_true(stats.commits > 0);
    assert_ok(svl_close(p));
    assert_int_equal(thread_count(), 0);
}

static void test_publish_sync_when_threadless_then_pumps_until_durable(void **state)
{
    (void)state;
    svl_pipeline *p = open_threadless(NULL);
    svl_record record = { .body = slice_of("text") };
    assert_ok(svl_start(p));
    publish(p, 100);
    uint64_t id;
    assert_ok(svl_publish_sync(p, &record, -1, &id));
    assert_int_equal(id, 101);
    assert_int_equal(stored(p), 101);
    assert_ok(svl_close(p));
}

static void test_ring_when_full_and_threadless_then_block_acts_as_fail(void **state)
{
    (void)state;
    svl_options options;
    svl_store_options store;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    store.record_bytes_max = 4096;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.block_timeout_ms = 3600000;
    svl_pipeline *p = open_threadless(&options);
    assert_ok(svl_start(p));
    uint64_t n = 0;
    int rc;
    while ((rc = svl_publish_text(p, 0, "s", "text")) == SVL_OK)
        n++;
    assert_int_equal(rc, SVL_E_FULL);
    svl_record record = { .body = slice_of("text") };
    assert_int_equal(svl_publish_signal(p, &record), SVL_E_FULL);
    assert_int_equal(svl_publish_sync(p, &record, -1, NULL), SVL_E_FULL);
    assert_ok(svl_flush(p, -1));
    publish(p, n);
    assert_ok(svl_close(p));
    p = open_threadless(&options);
    assert_int_equal(stored(p), 2 * n);
    assert_ok(svl_close(p));
}

static void test_handler_when_it_fails_then_pumping_retries_it_when_its_time_has_come(void **state)
{
    (void)state;
    struct seen seen = { .failures = 2 };
    svl_stored_options on;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "flaky";
    on.retry_base_ms = 20;
    svl_pipeline *p = open_threadless(NULL);
    assert_ok(svl_on_stored(p, &on, see, &seen, NULL));
    assert_ok(svl_start(p));
    publish(p, 3);
    assert_ok(svl_flush(p, -1));
    assert_int_equal(seen.calls, 0); /* flushing calls no stored handler */
    assert_ok(svl_pump(p, 0, 0, NULL));
    assert_int_equal(seen.calls, 1);
    int64_t deadline_ns;
    assert_ok(svl_next_deadline_ns(p, &deadline_ns));
    assert_true(deadline_ns != INT64_MAX);
    while (seen.records < 3)
        assert_ok(svl_pump(p, 0, -1, NULL)); /* waits for the retry by itself */
    assert_int_equal(seen.calls, 3);
    assert_ok(svl_close(p));
}

static void test_handler_when_it_never_succeeds_then_its_record_becomes_a_dead_letter(void **state)
{
    (void)state;
    struct seen seen = { .failures = UINT32_MAX };
    svl_stored_options on;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "broken";
    on.retry_base_ms = 1;
    on.retry_max_ms = 2;
    on.retry_attempts_max = 3;
    svl_pipeline *p = open_threadless(NULL);
    assert_ok(svl_on_stored(p, &on, see, &seen, NULL));
    assert_ok(svl_start(p));
    publish(p, 1);
    uint64_t letters = 0;
    while (letters == 0) {
        assert_ok(svl_pump(p, 0, -1, NULL));
        assert_ok(svl_deadletter_count(p, "broken", &letters));
    }
    assert_int_equal(seen.calls, 3);
    seen.failures = 0;
    assert_ok(svl_deadletter_redrive(p, "broken", 0, 0));
    while (seen.records == 0)
        assert_ok(svl_pump(p, 0, -1, NULL));
    assert_ok(svl_close(p));
}

static void test_consumer_when_threadless_then_polled_between_pumps(void **state)
{
    (void)state;
    svl_stored_options on;
    svl_consumer *consumer;
    svl_batch *batch;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "pull";
    svl_pipeline *p = open_threadless(NULL);
    assert_ok(svl_consumer_open(p, &on, &consumer));
    assert_ok(svl_start(p));
    publish(p, 10);
    assert_int_equal(svl_consumer_poll(consumer, 0, &batch), SVL_E_AGAIN);
    pump_all(p);
    const svl_record *records;
    size_t n;
    assert_ok(svl_consumer_poll(consumer, 0, &batch));
    assert_ok(svl_batch_records(batch, &records, &n));
    assert_int_equal(n, 10);
    assert_ok(svl_batch_ack(batch));
    assert_ok(svl_consumer_close(consumer));
    assert_ok(svl_close(p));
    p = open_threadless(NULL);
    assert_ok(svl_consumer_open(p, &on, &consumer));
    assert_ok(svl_start(p));
    pump_all(p);
    assert_int_equal(svl_consumer_poll(consumer, 0, &batch), SVL_E_AGAIN); /* it is done */
    assert_ok(svl_close(p));
    assert_int_equal(svl_consumer_poll(consumer, 0, &batch), SVL_E_CLOSED);
    assert_ok(svl_consumer_close(consumer));
}

/* --- errors --- */

enum when { WITH_THREADS, BEFORE_START, RUNNING, STOPPED };

static void test_calls_when_it_is_not_their_time_then_each_has_its_error(void **state)
{
    (void)state;
    static const struct {
        enum when when;
        int pump, deadline, fd;
    } cases[] = {
        { WITH_THREADS, SVL_E_STATE, SVL_E_STATE, SVL_E_STATE },
        { BEFORE_START, SVL_E_STATE, SVL_E_STATE, SVL_OK },
        { RUNNING, SVL_E_TIMEOUT, SVL_OK, SVL_OK },
        { STOPPED, SVL_E_CLOSED, SVL_OK, SVL_OK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_options options;
        svl_pipeline *p;
        new_path(NULL);
        assert_ok(svl_options_init(&options, sizeof options));
        options.flags = cases[i].when == WITH_THREADS ? 0 : SVL_THREADLESS;
        assert_ok(svl_open(path, &options, &p));
        if (cases[i].when != BEFORE_START)
            assert_ok(svl_start(p));
        if (cases[i].when == STOPPED)
            assert_ok(svl_stop(p, -1));
        int64_t deadline_ns;
        size_t n = 7;
        int fd;
        assert_int_equal(svl_pump(p, 0, 0, &n), cases[i].pump);
        assert_int_equal(n, 0);
        assert_int_equal(svl_next_deadline_ns(p, &deadline_ns), cases[i].deadline);
        assert_int_equal(svl_pump_fd(p, &fd), cases[i].fd);
        assert_true((fd >= 0) == (cases[i].fd == SVL_OK));
        assert_int_equal(svl_next_deadline_ns(p, NULL), SVL_E_INVALID);
        assert_int_equal(svl_pump_fd(p, NULL), SVL_E_INVALID);
        assert_ok(svl_close(p));
    }
    assert_int_equal(svl_pump(NULL, 0, 0, NULL), SVL_E_INVALID);
}

static void test_options_when_they_contradict_then_refused(void **state)
{
    (void)state;
    svl_options options;
    svl_store_options store;
    svl_pipeline *p;
    svl_store *s;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    options.store = &store;
    store.flags = SVL_THREADLESS;
    assert_int_equal(svl_open(path, &options, &p), SVL_E_OPTION);
    options.flags = SVL_THREADLESS;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_close(p));
    store.flags = SVL_THREADLESS | SVL_STORE_READ_ONLY;
    assert_int_equal(svl_store_open(path, &store, &s), SVL_E_OPTION);
}

static void test_pump_when_woken_then_again_once(void **state)
{
    (void)state;
    svl_pipeline *p = open_threadless(NULL);
    assert_ok(svl_start(p));
    assert_ok(svl_wake(p));
    assert_ok(svl_wake(p));
    assert_int_equal(svl_pump(p, 0, -1, NULL), SVL_E_AGAIN);
    assert_int_equal(svl_pump(p, 0, 0, NULL), SVL_E_TIMEOUT);
    assert_ok(svl_close(p));
}

/* --- ends --- */

static void test_stop_when_records_wait_in_the_ring_then_all_are_stored_and_handed_out(void **state)
{
    (void)state;
    for (int stops = 0; stops <= 1; stops++) {
        struct seen seen = { 0 };
        svl_stored_options on;
        new_path(NULL);
        assert_ok(svl_stored_options_init(&on, sizeof on));
        on.name = "see";
        svl_pipeline *p = open_threadless(NULL);
        assert_ok(svl_on_stored(p, &on, see, &seen, NULL));
        assert_ok(svl_start(p));
        publish(p, 5000);
        if (stops) {
            assert_ok(svl_stop(p, -1));
            assert_int_equal(svl_publish_text(p, 0, "s", "late"), SVL_E_CLOSED);
            assert_int_equal(seen.records, 5000);
        }
        assert_ok(svl_close(p));
        assert_int_equal(seen.records, 5000);
        p = open_threadless(NULL);
        assert_int_equal(stored(p), 5000);
        assert_ok(svl_close(p));
    }
}

static void test_process_when_killed_then_what_was_published_is_recovered(void **state)
{
    (void)state;
    for (int pumps = 0; pumps < 4; pumps++) {
        new_path(NULL);
        pid_t child = fork();
        if (child == 0) {
            svl_pipeline *p = open_threadless(NULL);
            assert_ok(svl_start(p));
            publish(p, 3000);
            for (int i = 0; i < pumps; i++)
                svl_pump(p, 500, 0, NULL);
            publish(p, 10);
            kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        svl_pipeline *p = open_threadless(NULL);
        assert_ok(svl_start(p));
        assert_int_equal(stored(p), 3010);
        assert_ok(svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL));
        assert_int_equal(thread_count(), 0);
        assert_ok(svl_close(p));
    }
}

/* --- a store alone --- */

static void test_store_when_threadless_then_append_flushes_and_commits_by_itself(void **state)
{
    (void)state;
    svl_store_options options;
    svl_store_stats stats = { .struct_size = sizeof stats };
    svl_store *store;
    assert_ok(svl_store_options_init(&options, sizeof options));
    options.flags = SVL_THREADLESS;
    options.commit_bytes = 64 << 10;
    options.block_bytes = 4096;
    options.codec = SVL_CODEC_NONE;
    assert_ok(svl_store_open(path, &options, &store));
    static char body[1000];
    svl_record records[10];
    for (int i = 0; i < 10; i++)
        records[i] = (svl_record){ .body = { body, sizeof body } };
    for (uint64_t i = 0; i < 50; i++) {
        uint64_t first;
        assert_ok(svl_store_append(store, records, 10, &first));
        assert_true(first == 10 * i + 1);
    }
    assert_ok(svl_store_stats_get(store, &stats));
    assert_int_equal(stats.records, 500);
    assert_true(stats.commits >= 2);
    assert_int_equal(thread_count(), 0);
    assert_ok(svl_store_append(store, records, 1, NULL));
    uint64_t commits = stats.commits;
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_store_flush(store, 0));
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.commits == commits + 1);
    assert_ok(svl_store_close(store));
    options.flags = 0;
    assert_ok(svl_store_open(path, &options, &store));
    assert_ok(svl_store_stats_get(store, &stats));
    assert_int_equal(stats.records, 501);
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_threads_when_not_threadless_then_counted, new_path),
        cmocka_unit_test_setup(
            test_pipeline_when_threadless_then_all_work_is_done_on_the_pumping_thread, new_path),
        cmocka_unit_test_setup(test_publish_sync_when_threadless_then_pumps_until_durable,
                               new_path),
        cmocka_unit_test_setup(test_ring_when_full_and_threadless_then_block_acts_as_fail,
                               new_path),
        cmocka_unit_test_setup(
            test_handler_when_it_fails_then_pumping_retries_it_when_its_time_has_come, new_path),
        cmocka_unit_test_setup(
            test_handler_when_it_never_succeeds_then_its_record_becomes_a_dead_letter, new_path),
        cmocka_unit_test_setup(test_consumer_when_threadless_then_polled_between_pumps, new_path),
        cmocka_unit_test_setup(test_calls_when_it_is_not_their_time_then_each_has_its_error,
                               new_path),
        cmocka_unit_test_setup(test_options_when_they_contradict_then_refused, new_path),
        cmocka_unit_test_setup(test_pump_when_woken_then_again_once, new_path),
        cmocka_unit_test_setup(
            test_stop_when_records_wait_in_the_ring_then_all_are_stored_and_handed_out, new_path),
        cmocka_unit_test_setup(test_process_when_killed_then_what_was_published_is_recovered,
                               new_path),
        cmocka_unit_test_setup(test_store_when_threadless_then_append_flushes_and_commits_by_itself,
                               new_path),
    };
    return cmocka_run_group_tests_name("pipeline/threadless", tests, NULL, NULL);
}
