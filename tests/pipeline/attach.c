/* Publishing from another process: what is taken, told, refused; with a host, before it and after it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/host.h"

#define SMALL_RING (64u << 10)

static char path[512];
/* For those whose ring files are counted. */
static char ring_directory[64];

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

static void new_path(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
}

/* A store on which a pipeline was open. */
static void make_store(void)
{
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    host_stop(&host);
}

static svl_publisher *attach_with(uint64_t ring_bytes, uint32_t policy)
{
    svl_attach_options o;
    svl_publisher *p;
    assert_ok(svl_attach_options_init(&o, sizeof o));
    o.ring_bytes = ring_bytes;
    o.full_policy = policy;
    o.block_timeout_ms = 50;
    o.ring_directory = ring_directory;
    assert_ok(svl_attach(path, &o, &p));
    return p;
}

/* In a child, where a failed assertion would go on with the next test. */
static svl_publisher *attach_or_exit(uint32_t policy)
{
    svl_attach_options o;
    svl_publisher *p;
    int rc = svl_attach_options_init(&o, sizeof o);
    o.ring_bytes = SMALL_RING;
    o.full_policy = policy;
    o.ring_directory = ring_directory;
    while (rc == SVL_OK && (rc = svl_attach(path, &o, &p)) == SVL_E_RESOURCE) {
        sleep_ms(1); /* the host is at those that have left */
        rc = SVL_OK;
    }
    if (rc != SVL_OK)
        _exit(9);
    return p;
}

static int publish(svl_publisher *p, const char *source, uint64_t number, size_t body)
{
    static char fill[32 << 10];
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)number);
    svl_record record = { .source = slice_of(source),
                          .key = slice_of(key),
                          .body = { fill, body } };
    return svl_publisher_publish(p, &record);
}

/* The numbers of a source are 1 to n, in order, each once: returns n. Those of one with a dot in its name are not
 * looked at. */
static uint64_t count(const char *source)
{
    svl_store_options o;
    svl_store *store;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        char key[32] = "";
        assert_true(record->key.len < sizeof key);
        if (record->key.len > 0)
            memcpy(key, record->key.data, record->key.len);
        n++;
        if (!strchr(source, '.'))
            assert_int_equal(strtoull(key, NULL, 10), n);
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
    return n;
}

/* Waits until the host has taken so many records and has no attached ring any more. */
static void wait_gone(const struct host *host, uint64_t records)
{
    svl_pipeline_stats stats;
    for (int i = 0; i < 2000; i++) {
        stats = (svl_pipeline_stats){ .struct_size = sizeof stats };
        host_stats(host, &stats);
        if (stats.attached_publishers == 0 && stats.attached_records >= records)
            return;
        sleep_ms(5);
    }
    fail_msg("the host has %llu rings still", (unsigned long long)stats.attached_publishers);
}

static unsigned ring_files(void)
{
    unsigned n = 0;
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        n += strncmp(entry->d_name, "serverlog-", 10) == 0;
    closedir(listing);
    return n;
}

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

static void test_publisher_when_killed_then_its_ring_is_drained_and_removed(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    for (int n = 0; n < 10; n++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
            char source[8];
            snprintf(source, sizeof source, "s%d", n);
            if (publish(p, source, 1, 10) != SVL_OK)
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        wait_gone(&host, (uint64_t)n + 1); /* nobody else wakes the host */
    }
    host_stop(&host);
    for (int n = 0; n < 10; n++) {
        char source[8];
        snprintf(source, sizeof source, "s%d", n);
        assert_int_equal(count(source), 1);
    }
    assert_int_equal(ring_files(), 0);
}

static void test_publisher_when_stopped_then_others_go_on(void **state)
{
    (void)state;
    struct host host;
    int pipes[2];
    new_path();
    host_start(&host, path, NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        if (write(pipes[1], "x", 1) != 1)
            _exit(1);
        for (uint64_t i = 1;; i++)
            if (publish(p, "stopped", i, 10) != SVL_OK)
                _exit(2);
    }
    char up;
    assert_int_equal(read(pipes[0], &up, 1), 1);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    uint64_t number = 0;
    for (int round = 0; round < 20; round++) {
        kill(child, SIGSTOP);
        for (int i = 0; i < 20; i++)
            assert_ok(publish(p, "a", ++number, 10));
        assert_ok(svl_publisher_flush(p, 10000));
        host_publish(&host, "own");
        kill(child, SIGCONT);
        sleep_ms(2);
    }
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, number + 1);
    host_stop(&host);
    assert_int_equal(count("a"), number);
    assert_true(count("stopped") > 0);
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

/* As a cleaned tmpfs does. */
static void remove_own_ring_file(void)
{
    DIR *listing = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(listing));) {
        char link[300], target[300];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        if (strncmp(target, ring_directory, strlen(ring_directory)) == 0)
            unlink(target);
    }
    closedir(listing);
}

static void test_publisher_when_its_file_was_removed_then_it_is_told_by_the_next_host(void **state)
{
    (void)state;
    struct host host;
    make_store();
    svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    remove_own_ring_file();
    host_start(&host, path, NULL);
    for (int i = 0; i < 1000 && publish(p, "a", 2, 10) == SVL_OK; i++)
        sleep_ms(5);
    assert_int_equal(publish(p, "a", 2, 10), SVL_E_FAILED);
    assert_int_equal(svl_publisher_flush(p, -1), SVL_E_FAILED);
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_damaged, 1);
    assert_ok(svl_publisher_close(p));
    host_stop(&host);
}

/* Waits for a child's end, for long; returns its status. */
static int wait_end(pid_t child)
{
    int status;
    for (int i = 0; i < 4000 && waitpid(child, &status, WNOHANG) == 0; i++) {
        sleep_ms(5);
        if (i == 3999) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            fail_msg("it waits still");
        }
    }
    return status;
}

static void test_flush_when_its_ring_is_given_up_meanwhile_then_it_ends(void **state)
{
    (void)state;
    struct host host;
    int up[2];
    char c;
    make_store();
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        remove_own_ring_file();
        if (publish(p, "a", 1, 10) != SVL_OK || write(up[1], "x", 1) != 1)
            _exit(1);
        _exit(svl_publisher_flush(p, -1) == SVL_E_FAILED ? 0 : 2);
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    sleep_ms(50); /* it waits */
    host_start(&host, path, NULL);
    assert_int_equal(wait_end(child), 0);
    host_stop(&host);
}

/* A child that was forked and runs no other program has the ring's file open as long as it lives. */
static void test_publisher_when_killed_with_a_child_left_then_its_ring_is_removed(void **state)
{
    (void)state;
    struct host host;
    int up[2];
    pid_t grandchild;
    new_path();
    host_start(&host, path, NULL);
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        if (publish(p, "a", 1, 10) != SVL_OK || svl_publisher_flush(p, 10000) != SVL_OK)
            _exit(1);
        grandchild = fork();
        if (grandchild == 0) {
            pause();
            _exit(0);
        }
        if (write(up[1], &grandchild, sizeof grandchild) != sizeof grandchild)
            _exit(2);
        pause();
    }
    assert_int_equal(read(up[0], &grandchild, sizeof grandchild), sizeof grandchild);
    sleep_ms(20); /* the host sleeps */
    kill(child, SIGKILL);
    assert_true(WIFSIGNALED(wait_end(child)));
    wait_gone(&host, 1);
    kill(grandchild, SIGKILL);
    host_stop(&host);
    assert_int_equal(ring_files(), 0);
}

/* The one ring file there is, open. */
static int open_ring_file(void)
{
    char name[400] = "";
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strncmp(entry->d_name, "serverlog-", 10) == 0)
            snprintf(name, sizeof name, "%s/%s", ring_directory, entry->d_name);
    closedir(listing);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static void wait_damaged(const struct host *host, uint64_t n)
{
    svl_pipeline_stats stats = { .attached_damaged = 0 };
    for (int i = 0; i < 2000 && stats.attached_damaged < n; i++) {
        sleep_ms(5);
        host_stats(host, &stats);
    }
    assert_int_equal(stats.attached_damaged, n);
}

static void test_ring_when_written_over_then_its_publisher_is_told_and_others_go_on(void **state)
{
    (void)state;
    struct host host;
    char garbage[48];
    new_path();
    host_start(&host, path, NULL);
    svl_publisher *bad = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(publish(bad, "bad", 1, 10));
    assert_ok(svl_publisher_flush(bad, 10000));
    int fd = open_ring_file();
    svl_publisher *good = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    /* Where its next frame will be, and its tail behind that. */
    uint64_t tail;
    assert_int_equal(pread(fd, &tail, sizeof tail, 4096), sizeof tail);
    tail &= ~UINT64_C(7);
    memset(garbage, 0x55, sizeof garbage);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, (off_t)(8192 + tail)), sizeof garbage);
    tail += sizeof garbage;
    assert_int_equal(pwrite(fd, &tail, sizeof tail, 4096), sizeof tail);
    assert_ok(publish(bad, "bad", 2, 10)); /* whole, behind what is not */
    assert_ok(publish(good, "good", 1, 10));
    wait_damaged(&host, 1);
    assert_int_equal(publish(bad, "bad", 3, 10), SVL_E_CORRUPT);
    assert_int_equal(svl_publisher_flush(bad, -1), SVL_E_CORRUPT);
    assert_ok(publish(good, "good", 2, 10));
    assert_ok(svl_publisher_flush(good, 10000));
    assert_ok(svl_publisher_close(bad));
    close(fd); /* not before: this process' lock would go with it */
    assert_ok(svl_publisher_close(good));
    wait_gone(&host, 4);
    host_stop(&host);
    assert_int_equal(count("bad"), 2);
    assert_int_equal(count("good"), 2);
    assert_int_equal(ring_files(), 0);
}

static void test_publisher_when_its_lock_is_lost_then_nothing_that_was_published_is(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    for (int round = 0; round < 20; round++) {
        char source[16];
        uint64_t n = 0;
        snprintf(source, sizeof source, "r%d", round);
        svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        for (int i = 0; i < 50; i++)
            assert_ok(publish(p, source, ++n, 10));
        close(open_ring_file());
        int rc;
        while ((rc = publish(p, source, n + 1, 10)) == SVL_OK)
            n++;
        assert_int_equal(rc, SVL_E_FAILED);
        assert_ok(svl_publisher_close(p));
        wait_gone(&host, 0);
        host_stop(&host);
        uint64_t stored = count(source);
        assert_in_range(stored, n, n + 1);
        host_start(&host, path, NULL);
    }
    host_stop(&host);
    assert_int_equal(ring_files(), 0);
}

static void slow_flush(svl_store_options *store, svl_options *options)
{
    (void)options;
    store->sync_interval_ms = 300;
}

/* At rest, and between the drain and the flush. The publisher would get SIGBUS. */
static void test_ring_when_cut_short_then_given_up_and_others_go_on(void **state)
{
    (void)state;
    for (int flushed = 0; flushed < 2; flushed++) {
        struct host host;
        struct host_set_up set_up = { .options = slow_flush };
        int up[2];
        char c;
        new_path();
        host_start(&host, path, flushed ? NULL : &set_up);
        assert_int_equal(pipe(up), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            svl_publisher *bad = attach_or_exit(SVL_FULL_BLOCK);
            if (publish(bad, "bad", 1, 10) != SVL_OK ||
                (flushed && svl_publisher_flush(bad, 10000) != SVL_OK) || write(up[1], "x", 1) != 1)
                _exit(1);
            pause();
        }
        assert_int_equal(read(up[0], &c, 1), 1);
        svl_pipeline_stats stats = { .attached_records = 0 };
        while (stats.attached_records == 0)
            host_stats(&host, &stats);
        int fd = open_ring_file();
        assert_int_equal(ftruncate(fd, flushed ? 4096 : 0), 0);
        if (!flushed)
            sleep_ms(500); /* the host flushes before it has a reason to look at the ring */
        close(fd);
        svl_publisher *good = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        assert_ok(publish(good, "good", 1, 10));
        assert_ok(svl_publisher_flush(good, 10000));
        wait_damaged(&host, 1);
        kill(child, SIGKILL);
        assert_true(WIFSIGNALED(wait_end(child)));
        assert_ok(svl_publisher_close(good));
        wait_gone(&host, 2);
        host_stop(&host);
        assert_int_equal(count("bad"), 1);
    }
}

/* As one that was stopped, then killed, in svl_attach(): its slot is locked, and half made. */
static void test_attach_when_another_process_is_stopped_in_it_then_goes_on(void **state)
{
    (void)state;
    int up[2];
    char c, name[600], file[200];
    make_store();
    assert_int_equal(pipe(up), 0);
    snprintf(file, sizeof file, "%s/serverlog-half", ring_directory);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct flock slot = { .l_type = F_WRLCK, .l_start = 4096, .l_len = 512 };
        char bytes[512] = { 1 };
        snprintf(bytes + 8, 256, "%s", ring_directory);
        snprintf(bytes + 264, 64, "serverlog-half");
        snprintf(name, sizeof name, "%s/attach", path);
        int fd = open(name, O_RDWR);
        if (fcntl(fd, F_SETLK, &slot) != 0 || pwrite(fd, bytes, 512, 4096) != 512 ||
            open(file, O_RDWR | O_CREAT, 0600) < 0 || write(up[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    assert_int_equal(ring_files(), 2);
    kill(child, SIGKILL);
    assert_true(WIFSIGNALED(wait_end(child)));
    svl_publisher *second = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(ring_files(), 2);
    assert_ok(svl_publisher_close(second));
    assert_ok(svl_publisher_close(p));
    struct host host;
    host_start(&host, path, NULL);
    wait_gone(&host, 1);
    host_stop(&host);
    assert_int_equal(count("a"), 1);
}

/* Slots with any bytes, and with names that are nobody's ring: the host's own, a second time the same, a path. */
static void test_page_when_forged_then_the_host_works_and_frees_it(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 20; round++) {
        struct host host;
        char name[600];
        static unsigned char bytes[36352];
        make_store();
        snprintf(name, sizeof name, "%s/attach", path);
        int fd = open(name, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
        for (size_t i = round == 0 ? 0 : 32; i < sizeof bytes; i++)
            if (round % 2 == 0 || i < 4096 || i % 512 >= 8)
                bytes[i] = (unsigned char)rng_next(&rng);
        for (size_t slot = 0; round > 0 && slot < 63; slot++) {
            unsigned char *s = bytes + 4096 + slot * 512;
            s[0] = (unsigned char)rng_below(&rng, 8);
            if (rng_below(&rng, 2))
                snprintf((char *)s + 8, 256, "%s", rng_below(&rng, 2) ? "/dev/shm" : "/etc");
            if (rng_below(&rng, 2))
                snprintf((char *)s + 264, 64, "serverlog-%s",
                         rng_below(&rng, 2) ? "test/../../../etc/passwd" : "no");
        }
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
        close(fd);
        host_start(&host, path, NULL);
        host_publish(&host, "own");
        svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        assert_ok(publish(p, "a", 1, 10));
        assert_ok(svl_publisher_flush(p, 10000));
        assert_ok(svl_publisher_close(p));
        wait_gone(&host, 1);
        /* Every slot can be taken again. */
        static svl_publisher *all[63];
        for (size_t i = 0; i < 63; i++)
            all[i] = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        for (size_t i = 0; i < 63; i++)
            assert_ok(svl_publisher_close(all[i]));
        host_stop(&host);
        assert_int_equal(count("a"), 1);
    }
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
        cmocka_unit_test(test_publisher_when_killed_then_its_ring_is_drained_and_removed),
        cmocka_unit_test(test_publisher_when_stopped_then_others_go_on),
        cmocka_unit_test(test_outcome_when_dropped_or_refused_then_told),
        cmocka_unit_test(test_attach_when_it_cannot_be_then_says_why),
        cmocka_unit_test(test_publisher_when_forked_then_the_child_is_refused),
        cmocka_unit_test(test_ring_when_written_over_then_its_publisher_is_told_and_others_go_on),
        cmocka_unit_test(test_publisher_when_its_lock_is_lost_then_nothing_that_was_published_is),
        cmocka_unit_test(test_ring_when_cut_short_then_given_up_and_others_go_on),
        cmocka_unit_test(test_page_when_forged_then_the_host_works_and_frees_it),
        cmocka_unit_test(test_slots_when_taken_and_left_in_a_hurry_then_none_is_given_up),
        cmocka_unit_test(test_host_when_stopped_then_what_is_in_the_rings_by_then_is_stored),
        cmocka_unit_test(test_host_when_stopped_while_others_publish_then_it_ends),
        cmocka_unit_test(test_flush_when_its_ring_is_given_up_meanwhile_then_it_ends),
        cmocka_unit_test(test_publisher_when_killed_with_a_child_left_then_its_ring_is_removed),
        cmocka_unit_test(test_attach_when_another_process_is_stopped_in_it_then_goes_on),
        cmocka_unit_test(test_publishers_when_two_of_a_process_then_each_has_its_lock),
        cmocka_unit_test(test_publisher_when_its_file_was_removed_then_it_is_told_by_the_next_host),
    };
    snprintf(ring_directory, sizeof ring_directory, "/dev/shm/serverlog-test-%ld", (long)getpid());
    if (mkdir(ring_directory, 0700) != 0)
        return 1;
    int failed = cmocka_run_group_tests_name("pipeline/attach", tests, NULL, NULL);
    temp_remove_all();
    remove_tree(ring_directory);
    return failed;
}
