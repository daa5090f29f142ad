/* Publishing from another process: what is taken, told, refused; with a host, before it and after it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/attached.h"

static void test_record_when_published_with_a_host_then_durable_with_an_id(void **state)
{
    (void)state;
    struct host host;
    svl_publisher *p;
    new_path();
    host_start(&host, path, NULL);
    assert_ok(svl_attach(path, NULL, &p));
    for (uint64_t i = 1; i <= 1000; i++)
        assert_ok(publish(p, "a", i, 100));
    assert_ok(svl_publisher_flush(p, 10000));
    svl_record record = { .source = slice_of("a"), .key = slice_of("1001") };
    uint64_t id = 0;
    assert_ok(svl_publisher_publish_sync(p, &record, 10000, &id));
    assert_int_equal(id, 1001);
    host_publish(&host, "the host's own");
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_publishers, 1);
    assert_int_equal(stats.attached_records, 1001);
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, 1001);
    host_stop(&host);
    assert_int_equal(count("a"), 1001);
}

static void test_records_when_published_before_the_host_then_stored_by_it(void **state)
{
    (void)state;
    struct host host;
    svl_publisher *p;
    make_store();
    p = attach_with(0, SVL_FULL_BLOCK);
    for (uint64_t i = 1; i <= 500; i++)
        assert_ok(publish(p, "a", i, 100));
    assert_int_equal(svl_publisher_flush(p, 20), SVL_E_TIMEOUT);
    host_start(&host, path, NULL);
    assert_ok(svl_publisher_flush(p, 10000));
    host_kill(&host);
    for (uint64_t i = 501; i <= 600; i++)
        assert_ok(publish(p, "a", i, 100));
    assert_ok(svl_publisher_close(p)); /* before the next host is there */
    host_start(&host, path, NULL);
    wait_gone(&host, 100);
    host_stop(&host);
    assert_int_equal(count("a"), 600);
    assert_int_equal(ring_files(), 0);
}

static void test_ring_when_full_then_by_its_policy(void **state)
{
    (void)state;
    struct host host;
    make_store();
    for (uint32_t policy = SVL_FULL_BLOCK; policy <= SVL_FULL_DROP_NEW; policy++) {
        char source[8];
        uint64_t n = 0;
        int rc;
        snprintf(source, sizeof source, "p%u", policy);
        svl_publisher *p = attach_with(SMALL_RING, policy);
        while ((rc = publish(p, source, n + 1, 1000)) == SVL_OK && n < 200)
            n++;
        if (policy == SVL_FULL_DROP_NEW)
            assert_int_equal(rc, SVL_OK);
        else
            assert_true(rc == SVL_E_FULL && n < 100);
        svl_record record = { .source = slice_of("no") };
        char fill[7000] = "";
        record.body = (svl_slice){ fill, sizeof fill };
        assert_int_equal(svl_publisher_publish_sync(p, &record, 20, NULL), SVL_E_FULL);
        host_start(&host, path, NULL);
        assert_ok(svl_publisher_flush(p, 10000));
        assert_ok(svl_publisher_close(p));
        wait_gone(&host, 1);
        host_stop(&host);
        uint64_t stored = count(source);
        assert_true(policy == SVL_FULL_DROP_NEW ? stored < 100 : stored == n);
        assert_int_equal(count("serverlog.gap"), policy == SVL_FULL_DROP_NEW);
    }
}

static void test_blocked_publisher_when_a_host_comes_then_goes_on(void **state)
{
    (void)state;
    struct host host;
    svl_attach_options o;
    svl_publisher *p;
    make_store();
    assert_ok(svl_attach_options_init(&o, sizeof o));
    o.ring_bytes = SMALL_RING;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (svl_attach(path, &o, &p) != SVL_OK)
            _exit(1);
        for (uint64_t i = 1; i <= 3000; i++)
            if (publish(p, "a", i, 1000) != SVL_OK)
                _exit(2);
        _exit(svl_publisher_close(p) == SVL_OK ? 0 : 3);
    }
    sleep_ms(50);
    host_start(&host, path, NULL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    wait_gone(&host, 3000);
    host_stop(&host);
    assert_int_equal(count("a"), 3000);
}

static void test_publishers_when_63_are_attached_then_the_next_is_refused(void **state)
{
    (void)state;
    svl_publisher *p[64];
    struct host host;
    make_store();
    host_start(&host, path, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 63; i++) {
            char source[32];
            p[i] = attach_with(SMALL_RING, SVL_FULL_BLOCK);
            snprintf(source, sizeof source, "r%d/%d", round, i);
            for (uint64_t n = 1; n <= 5; n++)
                assert_ok(publish(p[i], source, n, 10));
        }
        assert_int_equal(svl_attach(path, NULL, &p[63]), SVL_E_RESOURCE);
        assert_null(p[63]);
        for (int i = 0; i < 63; i++)
            assert_ok(svl_publisher_close(p[i]));
        wait_gone(&host, (uint64_t)(round + 1) * 63 * 5);
    }
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_records, 3 * 63 * 5);
    assert_int_equal(stats.attached_damaged, 0);
    host_stop(&host);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 63; i += 10) {
            char source[32];
            snprintf(source, sizeof source, "r%d/%d", round, i);
            assert_int_equal(count(source), 5);
        }
    }
}

static int drop_debug(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    return record->severity == SVL_SEVERITY_DEBUG ? SVL_DROP : SVL_OK;
}

static void drops(svl_pipeline *pipeline)
{
    svl_on_ingest(pipeline, NULL, drop_debug, NULL);
}

static int sleep_on_host(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)user;
    if (record->source.len == 4 && memcmp(record->source.data, "host", 4) == 0)
        sleep_ms(200);
    return SVL_OK;
}

static void sleeps(svl_pipeline *pipeline)
{
    svl_on_ingest(pipeline, NULL, sleep_on_host, NULL);
}

/* A machine that goes down stops the publishers first, then the host; then the tmpfs is gone. */
static void test_host_when_stopped_then_what_is_in_the_rings_by_then_is_stored(void **state)
{
    (void)state;
    struct host host;
    struct host_set_up set_up = { .handlers = sleeps };
    new_path();
    host_start(&host, path, &set_up);
    svl_publisher *gone = attach_with(0, SVL_FULL_BLOCK);
    svl_publisher *stays = attach_with(0, SVL_FULL_BLOCK);
    host_publish(&host, "the host is at this one while others publish");
    for (uint64_t i = 1; i <= 2000; i++) {
        assert_ok(publish(gone, "gone", i, 100));
        assert_ok(publish(stays, "stays", i, 100));
    }
    assert_ok(svl_publisher_close(gone));
    host_stop(&host);
    assert_ok(svl_publisher_flush(stays, 0));
    assert_int_equal(count("gone"), 2000);
    assert_int_equal(count("stays"), 2000);
    assert_int_equal(ring_files(), 1);
    assert_ok(svl_publisher_close(stays)); /* empty */
    assert_int_equal(ring_files(), 0);
}

static void test_host_when_stopped_while_others_publish_then_it_ends(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    pid_t children[3];
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        if (children[c] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            svl_publisher *p = attach_or_exit(SVL_FULL_FAIL);
            for (;;)
                publish(p, "a.b", 1, 10);
        }
    }
    svl_pipeline_stats stats = { .attached_records = 0 };
    while (stats.attached_records < 3000)
        host_stats(&host, &stats);
    host_stop(&host);
    for (int c = 0; c < 3; c++) {
        int status;
        kill(children[c], SIGKILL);
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
    }
    host_start(&host, path, NULL);
    wait_gone(&host, 0);
    host_stop(&host);
    assert_int_equal(ring_files(), 0);
}

static void small_records(svl_store_options *store, svl_options *options)
{
    (void)options;
    store->record_bytes_max = 1024;
}

static void test_outcome_when_dropped_or_refused_then_told(void **state)
{
    (void)state;
    struct host host;
    struct host_set_up set_up = { .handlers = drops };
    char fill[4000] = "";
    new_path();
    host_start(&host, path, &set_up);
    svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
    svl_record record = { .severity = SVL_SEVERITY_DEBUG, .source = slice_of("a") };
    uint64_t id;
    assert_int_equal(svl_publisher_publish_sync(p, &record, 10000, &id), SVL_E_DROPPED);
    assert_int_equal(id, 0);
    record.severity = SVL_SEVERITY_INFO;
    assert_ok(svl_publisher_publish_sync(p, &record, 10000, &id));
    assert_int_equal(id, 1);
    host_stop(&host);
    set_up.options = small_records; /* a host that takes less than was promised */
    host_start(&host, path, &set_up);
    record.body = (svl_slice){ fill, sizeof fill };
    assert_int_equal(svl_publisher_publish_sync(p, &record, 10000, &id), SVL_E_RECORD_SIZE);
    record.source = slice_of("serverlog.mine");
    assert_int_equal(svl_publisher_publish(p, &record), SVL_E_RESERVED);
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_refused, 1);
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, 0);
    host_stop(&host);
}

static void test_attach_when_it_cannot_be_then_says_why(void **state)
{
    (void)state;
    svl_publisher *p;
    svl_pipeline *own;
    svl_store *store;
    svl_attach_options o;
    new_path();
    assert_int_equal(svl_attach(path, NULL, &p), SVL_E_NOT_FOUND);
    assert_null(p);
    assert_int_equal(svl_attach(NULL, NULL, &p), SVL_E_INVALID);
    assert_int_equal(svl_attach(path, NULL, NULL), SVL_E_INVALID);
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_close(store));
    assert_int_equal(svl_attach(path, NULL, &p), SVL_E_NOT_FOUND);
    make_store();
    assert_ok(svl_attach_options_init(&o, sizeof o));
    o.ring_bytes = 100000;
    assert_int_equal(svl_attach(path, &o, &p), SVL_E_OPTION);
    o.ring_bytes = 0;
    o.ring_directory = "shm";
    assert_int_equal(svl_attach(path, &o, &p), SVL_E_OPTION);
    o.ring_directory = "/proc";
    assert_int_equal(svl_attach(path, &o, &p), SVL_E_FILE_SYSTEM);
    o.ring_directory = "/no/such";
    assert_int_equal(svl_attach(path, &o, &p), SVL_E_PATH);
    /* Nor in the process that is the host, nor becomes it. */
    assert_ok(svl_attach(path, NULL, &p));
    assert_int_equal(svl_open(path, NULL, &own), SVL_E_BUSY);
    assert_ok(svl_publisher_close(p));
    assert_ok(svl_open(path, NULL, &own));
    assert_int_equal(svl_attach(path, NULL, &p), SVL_E_BUSY);
    assert_ok(svl_close(own));
    assert_ok(svl_publisher_close(NULL));
    assert_int_equal(svl_publisher_publish(NULL, NULL), SVL_E_INVALID);
    assert_int_equal(svl_publisher_flush(NULL, 0), SVL_E_INVALID);
}

static void test_publisher_when_forked_then_the_child_is_refused(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_publisher *own;
        int bad =
            publish(p, "a", 2, 10) != SVL_E_FORKED || svl_publisher_flush(p, 0) != SVL_E_FORKED ||
            svl_publisher_close(p) != SVL_E_FORKED || svl_attach(path, NULL, &own) != SVL_OK ||
            publish(own, "child", 1, 10) != SVL_OK || svl_publisher_close(own) != SVL_OK;
        _exit(bad);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(publish(p, "a", 2, 10));
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, 3);
    host_stop(&host);
    assert_int_equal(count("a"), 2);
    assert_int_equal(count("child"), 1);
}

static void *attach_seven(void *number)
{
    svl_publisher *p[7];
    intptr_t failed = 0;
    for (int i = 0; i < 7; i++) {
        svl_attach_options o;
        char source[16];
        snprintf(source, sizeof source, "t%d/%d", *(const int *)number, i);
        failed |= svl_attach_options_init(&o, sizeof o);
        o.ring_bytes = SMALL_RING;
        o.ring_directory = ring_directory;
        failed |= svl_attach(path, &o, &p[i]);
        failed |= publish(p[i], source, 1, 10);
    }
    for (int i = 0; i < 7; i++)
        failed |= svl_publisher_close(p[i]);
    return (void *)failed;
}

static void test_publishers_when_threads_attach_at_once_then_each_has_a_ring(void **state)
{
    (void)state;
    struct host host;
    pthread_t threads[8];
    int numbers[8];
    new_path();
    host_start(&host, path, NULL);
    for (int t = 0; t < 8; t++) {
        numbers[t] = t;
        assert_int_equal(pthread_create(&threads[t], NULL, attach_seven, &numbers[t]), 0);
    }
    for (int t = 0; t < 8; t++) {
        void *failed;
        pthread_join(threads[t], &failed);
        assert_null(failed);
    }
    wait_gone(&host, 56);
    host_stop(&host);
    for (int i = 0; i < 56; i++) {
        char source[16];
        snprintf(source, sizeof source, "t%d/%d", i / 7, i % 7);
        assert_int_equal(count(source), 1);
    }
    assert_int_equal(ring_files(), 0);
}

/* Rings that are gone, or another's, before the host has looked at what their slot names. */
static void test_slots_when_taken_and_left_in_a_hurry_then_none_is_given_up(void **state)
{
    (void)state;
    struct host host;
    pid_t children[3];
    new_path();
    host_start(&host, path, NULL);
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        for (uint64_t n = 1; children[c] == 0; n++) {
            char source[16];
            snprintf(source, sizeof source, "hurry.%d", c);
            svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
            if ((n % 8 == 0 && publish(p, source, n / 8, 10) != SVL_OK) ||
                svl_publisher_close(p) != SVL_OK)
                _exit(1);
            if (n == 800)
                _exit(0);
        }
    }
    for (int c = 0; c < 3; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    wait_gone(&host, 300);
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_damaged, 0);
    host_stop(&host);
    for (int c = 0; c < 3; c++) {
        char source[16];
        snprintf(source, sizeof source, "hurry.%d", c);
        assert_int_equal(count(source), 100);
    }
    assert_int_equal(ring_files(), 0);
}

static void test_publishers_when_two_of_a_process_then_each_has_its_lock(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    svl_publisher *one = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    svl_publisher *two = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(svl_publisher_close(one)); /* takes no lock of the other's with it */
    assert_ok(publish(two, "two", 1, 10));
    assert_ok(svl_publisher_flush(two, 10000));
    one = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_ok(publish(one, "one", i, 10));
        assert_ok(publish(two, "two", i + 1, 10));
        if (i % 10 == 0)
            sleep_ms(5);
    }
    host_stop(&host); /* the host first */
    assert_ok(svl_publisher_close(two));
    assert_ok(svl_publisher_close(one));
    host_start(&host, path, NULL);
    wait_gone(&host, 0);
    sleep_ms(20);
    wait_gone(&host, 0);
    host_stop(&host);
    assert_int_equal(count("one"), 50);
    assert_int_equal(count("two"), 51);
    assert_int_equal(ring_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_when_published_with_a_host_then_durable_with_an_id),
        cmocka_unit_test(test_records_when_published_before_the_host_then_stored_by_it),
        cmocka_unit_test(test_ring_when_full_then_by_its_policy),
        cmocka_unit_test(test_blocked_publisher_when_a_host_comes_then_goes_on),
        cmocka_unit_test(test_publishers_when_63_are_attached_then_the_next_is_refused),
        cmocka_unit_test(test_host_when_stopped_then_what_is_in_the_rings_by_then_is_stored),
        cmocka_unit_test(test_host_when_stopped_while_others_publish_then_it_ends),
        cmocka_unit_test(test_outcome_when_dropped_or_refused_then_told),
        cmocka_unit_test(test_attach_when_it_cannot_be_then_says_why),
        cmocka_unit_test(test_publisher_when_forked_then_the_child_is_refused),
        cmocka_unit_test(test_slots_when_taken_and_left_in_a_hurry_then_none_is_given_up),
        cmocka_unit_test(test_publishers_when_threads_attach_at_once_then_each_has_a_ring),
        cmocka_unit_test(test_publishers_when_two_of_a_process_then_each_has_its_lock),
    };
    return run_attached("pipeline/%s", tests, sizeof tests / sizeof tests[0]);
}
