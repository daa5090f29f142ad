/* Reading what another process writes: everything that was acknowledged, nothing that could still be lost,
 * each record once and in order, while the writer commits, rolls, recycles, dies and comes back; and a
 * reader that dies harms nobody. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

/* What the processes tell each other. */
struct noted {
    _Atomic uint64_t acknowledged; /* highest id that an append has returned */
    _Atomic uint32_t stop;
    _Atomic uint32_t ready;
    _Atomic uint64_t seen;
};
static struct noted *noted;
static char path[512];

/* --- the nursery: a process without threads, which starts all others (ThreadSanitizer does not follow a fork
 * of one with threads), waits for them, and tells how they ended --- */

struct order {
    void (*run)(const struct order *order); /* in the child; NULL: wait for `pid` */
    pid_t pid;
    svl_store_options options;
    size_t fill_bytes;
    uint64_t limit;
    char path[512];
};
static int nursery;

static void run_nursery(int end)
{
    struct order order;
    while (read(end, &order, sizeof order) == (ssize_t)sizeof order) {
        int answer = -1;
        if (!order.run)
            waitpid(order.pid, &answer, 0);
        else if ((answer = fork()) == 0) {
            memcpy(path, order.path, sizeof path);
            order.run(&order);
            _exit(0);
        }
        if (write(end, &answer, sizeof answer) != (ssize_t)sizeof answer)
            break;
    }
    _exit(0);
}

static void open_nursery(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 || fflush(NULL) != 0)
        exit(1);
    pid_t child = fork();
    if (child < 0)
        exit(1);
    if (child == 0) {
        close(ends[1]);
        run_nursery(ends[0]);
    }
    close(ends[0]);
    nursery = ends[1];
}

static int ask_nursery(struct order *order)
{
    int answer;
    memcpy(order->path, path, sizeof path);
    assert_int_equal(write(nursery, order, sizeof *order), sizeof *order);
    assert_int_equal(read(nursery, &answer, sizeof answer), sizeof answer);
    return answer;
}

static pid_t start_child(struct order *order)
{
    pid_t child = ask_nursery(order);
    assert_true(child > 0);
    return child;
}

static int wait_child(pid_t child)
{
    struct order order = { .pid = child };
    return ask_nursery(&order);
}

static void kill_child(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = wait_child(child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void expect_exit(pid_t child)
{
    int status = wait_child(child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- writers and readers --- */

/* What the library says when it stops. */
static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)code, (void)user;
    if (level >= SVL_SEVERITY_FATAL)
        fprintf(stderr, "process %d: %s\n", (int)getpid(), text);
}

static svl_store_options small_options(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.commit_bytes = 65536;
    o.commit_age_ms = 20;
    o.journal_file_bytes_max = 1 << 20;
    o.record_bytes_max = 65536;
    o.segment_bytes = 8 << 20;
    o.sync_interval_ms = 1;
    o.log = tell;
    return o;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* The body of record `id` of these tests is a function of its number, which is its key. */
static svl_record record_of(uint64_t number, char key[32], char *fill, size_t fill_bytes)
{
    snprintf(key, 32, "%llu", (unsigned long long)number);
    return (svl_record){ .source = slice_of(number % 2 ? "odd" : "even"),
                         .severity = (uint32_t)(number % 24),
                         .key = slice_of(key),
                         .body = { fill, number * 37 % fill_bytes } };
}

/* In a child: appends until it is told to stop, and notes what was acknowledged. */
static void write_until_stopped(const struct order *order)
{
    static char fill[60000];
    svl_store *store;
    memset(fill, 'x', sizeof fill);
    if (svl_store_open(path, &order->options, &store) != SVL_OK) {
        fprintf(stderr, "the writer: %s\n", svl_last_error());
        _exit(3);
    }
    svl_store_stats stats = { .struct_size = sizeof stats };
    if (svl_store_stats_get(store, &stats) != SVL_OK)
        _exit(4);
    for (uint64_t id = stats.last_id + 1; id <= order->limit && !atomic_load(&noted->stop);) {
        char keys[8][32];
        svl_record records[8];
        uint64_t n = 1 + id % 8, first;
        for (uint64_t i = 0; i < n; i++)
            records[i] = record_of(id + i, keys[i], fill, order->fill_bytes);
        int rc = svl_store_append(store, records, n, &first);
        if (rc != SVL_OK || first != id) {
            fprintf(stderr, "the writer: %d, %s\n", rc, svl_last_error());
            _exit(5);
        }
        id += n;
        atomic_store(&noted->acknowledged, id - 1);
        atomic_store(&noted->ready, 1);
    }
    _exit(svl_store_close(store) == SVL_OK ? 0 : 6);
}

static pid_t start_writer(const svl_store_options *options, size_t fill_bytes, uint64_t limit)
{
    struct order order = {
        .run = write_until_stopped, .options = *options, .fill_bytes = fill_bytes, .limit = limit
    };
    atomic_store(&noted->stop, 0);
    atomic_store(&noted->ready, 0);
    return start_child(&order);
}

static void wait_ready(void)
{
    for (int i = 0; i < 10000 && !atomic_load(&noted->ready); i++)
        sleep_ms(1);
    assert_true(atomic_load(&noted->ready));
}

static void stop_writer(pid_t child)
{
    atomic_store(&noted->stop, 1);
    expect_exit(child);
}

static svl_store *open_reader(void)
{
    svl_store_options o = small_options();
    svl_store *store;
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

static int start(void **state)
{
    (void)state;
    memset(noted, 0, sizeof *noted);
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static void assert_is(const svl_record *record, uint64_t id)
{
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)id);
    assert_true(record->id == id);
    assert_int_equal(record->key.len, strlen(key));
    assert_memory_equal(record->key.data, key, record->key.len);
    assert_true(record->severity == id % 24);
}

/* All records from 1 on: at least `least` of them. Returns how many. */
static uint64_t read_all(svl_store *store, uint64_t least, bool backward)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0, first = 0, last = 0;
    int rc;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = backward ? SVL_QUERY_BACKWARD : 0;
    assert_ok(svl_store_query(store, &query, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        uint64_t expected = n == 0 ? record->id : backward ? last - 1 : last + 1;
        first = n == 0 ? record->id : first;
        last = record->id;
        assert_is(record, expected);
        n++;
    }
    if (rc != SVL_E_END)
        print_error("%d: %s\n", rc, svl_last_error());
    assert_int_equal(rc, SVL_E_END);
    assert_true(n == 0 || (backward ? last : first) == 1);
    assert_true(n >= least);
    svl_cursor_close(cursor);
    return n;
}

static void test_reader_when_a_writer_writes_then_sees_what_was_acknowledged(void **state)
{
    (void)state;
    enum { RECORDS = 4000 };
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 2000, RECORDS);
    wait_ready();
    svl_store *store = open_reader();
    uint64_t acknowledged = 0;
    for (int i = 0; acknowledged < RECORDS; i++) {
        acknowledged = atomic_load(&noted->acknowledged);
        uint64_t n = read_all(store, acknowledged, i % 2);
        svl_store_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_store_stats_get(store, &stats));
        assert_true(stats.last_id >= n && stats.first_id == 1 && stats.disk_bytes > 0);
    }
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    stop_writer(writer);
    assert_true(read_all(store, 0, false) == atomic_load(&noted->acknowledged));
    assert_ok(svl_store_close(store));
}

/* By its key, and nothing else by that. */
static void assert_found(svl_store *store, uint64_t id)
{
    char key[32];
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    snprintf(key, sizeof key, "%llu", (unsigned long long)id);
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of(key);
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_is(record, id);
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_END);
    svl_cursor_close(cursor);
}

/* Each record of a key is found, whichever of segment, index run, tail and journal it lies in. */
static void test_reader_when_it_asks_by_key_then_each_is_found(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 500, UINT64_MAX);
    struct rng rng = { test_seed() };
    wait_ready();
    svl_store *store = open_reader();
    for (int i = 0; i < 400; i++) {
        uint64_t last = atomic_load(&noted->acknowledged), id = 1 + rng_below(&rng, last);
        if (i % 2) /* often the newest: just committed, or about to be */
            id = last - rng_below(&rng, last < 500 ? last : 500);
        assert_found(store, id);
    }
    stop_writer(writer);
    assert_ok(svl_store_close(store));
}

static svl_cursor *follow(svl_store *store, uint32_t flags)
{
    svl_query query;
    svl_cursor *cursor;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_FOLLOW | flags;
    assert_ok(svl_store_query(store, &query, &cursor));
    return cursor;
}

static void test_follower_when_the_writer_rolls_and_recycles_then_each_record_once(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 20000, UINT64_MAX); /* segments and journal files fill up */
    wait_ready();
    svl_store *store = open_reader();
    svl_cursor *cursor = follow(store, 0);
    const svl_record *record;
    for (uint64_t id = 1; id <= 3000; id++) {
        assert_ok(svl_cursor_next(cursor, 20000, &record));
        assert_is(record, id);
    }
    stop_writer(writer);
    for (uint64_t id = 3001; id <= atomic_load(&noted->acknowledged); id++) {
        assert_ok(svl_cursor_next(cursor, 20000, &record));
        assert_is(record, id);
    }
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_TIMEOUT);
    assert_ok(svl_store_wake(store));
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_AGAIN);
    assert_ok(svl_store_close(store));
    assert_int_equal(svl_cursor_next(cursor, -1, &record), SVL_E_CLOSED);
    svl_cursor_close(cursor);
}

/* What a follower has seen stays: a writer that is killed has not lost it, and goes on behind it. */
static void test_follower_when_the_writer_is_killed_again_and_again_then_none_changes(void **state)
{
    (void)state;
    enum { KILLS = 100 };
    svl_store_options o = small_options();
    struct rng rng = { test_seed() };
    pid_t writer = start_writer(&o, 3000, UINT64_MAX);
    wait_ready();
    svl_store *store = open_reader();
    svl_cursor *cursor = follow(store, 0);
    const svl_record *record;
    uint64_t seen = 0;
    for (int i = 0; i < test_times(KILLS); i++) {
        uint64_t end = seen + rng_below(&rng, 400);
        while (seen < end) {
            assert_ok(svl_cursor_next(cursor, 20000, &record));
            assert_is(record, ++seen);
        }
        kill_child(writer);
        while (seen < atomic_load(&noted->acknowledged)) {
            assert_ok(svl_cursor_next(cursor, 20000, &record));
            assert_is(record, ++seen);
        }
        int rc;
        while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
            assert_is(record, ++seen);
        assert_int_equal(rc, SVL_E_TIMEOUT);
        writer = start_writer(&o, 3000, UINT64_MAX);
    }
    wait_ready();
    stop_writer(writer);
    for (uint64_t last = atomic_load(&noted->acknowledged); seen < last;) {
        assert_ok(svl_cursor_next(cursor, 20000, &record));
        assert_is(record, ++seen);
    }
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

static void read_until_killed(const struct order *order)
{
    (void)order;
    svl_store *store = open_reader();
    svl_cursor *cursor = follow(store, 0);
    const svl_record *record;
    for (uint64_t id = 1;; id++) {
        assert_ok(svl_cursor_next(cursor, -1, &record));
        assert_is(record, id);
        if (id % 100 == 0)
            read_all(store, id, id % 200 == 0);
        atomic_store(&noted->seen, id);
    }
}

static void test_writer_when_readers_are_killed_or_stopped_then_undisturbed(void **state)
{
    (void)state;
    enum { READERS = 3, ROUNDS = 40 };
    svl_store_options o = small_options();
    o.readers_max = 64; /* not enough for all that ever were: dead ones must leave the table */
    pid_t writer = start_writer(&o, 3000, UINT64_MAX), readers[READERS] = { 0 };
    struct rng rng = { test_seed() };
    wait_ready();
    for (int i = 0; i < test_times(ROUNDS); i++) {
        pid_t *reader = &readers[i % READERS];
        struct order order = { .run = read_until_killed };
        if (*reader > 0)
            kill_child(*reader);
        *reader = start_child(&order);
        sleep_ms((long)rng_below(&rng, 30));
        if (i % 3 == 0)
            kill(*reader, SIGSTOP);
    }
    uint64_t before = atomic_load(&noted->acknowledged);
    for (int i = 0; i < 10000 && atomic_load(&noted->acknowledged) < before + 100; i++)
        sleep_ms(1);
    assert_true(atomic_load(&noted->acknowledged) >= before + 100);
    while (atomic_load(&noted->seen) == 0) /* by those that are not stopped */
        sleep_ms(1);
    stop_writer(writer);
    for (int i = 0; i < READERS; i++)
        kill_child(readers[i]);
    svl_store *store = open_reader();
    assert_true(read_all(store, 0, false) == atomic_load(&noted->acknowledged));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void read_once_and_die(const struct order *order)
{
    svl_store_options o = order->options;
    svl_store *store;
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    read_all(store, 100, false);
    kill(getpid(), SIGKILL);
}

/* Nobody writes who would clear them from the tables; one reader lives, who keeps these. */
static void test_store_when_more_readers_died_than_it_has_places_then_others_read(void **state)
{
    (void)state;
    struct order order = { .run = read_once_and_die, .options = small_options() };
    order.options.readers_max = 8;
    expect_exit(start_writer(&order.options, 3000, 100));
    svl_store_options o = order.options;
    svl_store *store;
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    read_all(store, 100, false);
    for (int i = 0; i < 20; i++) {
        int status = wait_child(start_child(&order));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_ok(svl_store_close(store));
}

static void test_reader_when_retention_takes_a_segment_then_gap_and_no_damage(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    o.retain_records_max = 500;
    pid_t writer = start_writer(&o, 30000, UINT64_MAX);
    wait_ready();
    svl_store *store = open_reader();
    svl_cursor *cursor = follow(store, 0);
    const svl_record *record;
    uint64_t last = 0, first, end, gaps = 0;
    for (int i = 0; i < 4000 && gaps < 3; i++) {
        assert_ok(svl_cursor_next(cursor, 20000, &record));
        assert_ok(svl_cursor_gap(cursor, &first, &end));
        if (first != 0) {
            assert_true(first == last + 1 && record->id == end + 1);
            gaps++;
        }
        assert_true(record->id == last + 1 || first != 0);
        last = record->id;
        if (i % 20 == 0) /* slower than the writer */
            sleep_ms(i % 400 == 0 ? 400 : 1);
    }
    stop_writer(writer);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

/* The oldest segment is open here, so it can be read when it is retired; those that the cursor comes to before it
 * cannot: there the answer ends. */
static void test_backward_reader_when_retention_takes_segments_then_ends_without_a_gap(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    o.codec = SVL_CODEC_NONE;
    expect_exit(start_writer(&o, 30000, 3000));
    svl_store *store = open_reader();
    svl_query query;
    svl_cursor *cursor;
    svl_record_buffer *oldest;
    const svl_record *record;
    int rc;
    assert_ok(svl_store_get(store, 1, &oldest));
    svl_record_buffer_destroy(oldest);
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_BACKWARD;
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_ok(svl_cursor_next(cursor, 0, &record));
    uint64_t newest = record->id, last = newest;
    o.retain_records_max = 100;
    expect_exit(start_writer(&o, 30000, 3100));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        assert_int_equal(record->id, last - 1);
        last = record->id;
    }
    assert_int_equal(rc, SVL_E_END);
    assert_true(last > 1 && last < newest);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

static void test_verify_when_retention_takes_segments_then_no_damage(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    o.codec = SVL_CODEC_NONE;
    expect_exit(start_writer(&o, 30000, 3000));
    svl_store *store = open_reader();
    o.retain_records_max = 100;
    expect_exit(start_writer(&o, 30000, 3100));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.damaged == 0 && stats.first_id > 1);
    assert_ok(svl_store_close(store));
}

static void count_findings(int32_t code, const char *what, void *found)
{
    assert_int_equal(code, SVL_E_CORRUPT);
    assert_true(what[0] != 0);
    ++*(int *)found;
}

/* A byte in each 256 of the bodies, which are all x: one alone may be a rest of before in a page of LMDB's. */
static void damage_first_segment(void)
{
    static char bytes[8 << 20], run[256];
    char file[600];
    snprintf(file, sizeof file, "%s/00000000000000000001-01.seg", path);
    memset(run, 'x', sizeof run);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    assert_true(n > 0);
    char *at = bytes, *end = bytes + n;
    unsigned damaged = 0;
    for (; (at = memmem(at, (size_t)(end - at), run, sizeof run)); at += sizeof run) {
        assert_int_equal(pwrite(fd, "y", 1, at - bytes), 1);
        damaged++;
    }
    assert_true(damaged > 0);
    close(fd);
}

/* Also where the reader has asked nothing since. */
static void test_verify_when_all_was_written_since_the_open_then_all_is_checked(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    int found = 0;
    o.codec = SVL_CODEC_NONE;
    expect_exit(start_writer(&o, 30000, 0));
    svl_store *store = open_reader();
    expect_exit(start_writer(&o, 30000, 3000));
    damage_first_segment();
    assert_int_equal(svl_store_verify(store, count_findings, NULL, &found), SVL_E_CORRUPT);
    assert_true(found > 0);
    assert_ok(svl_store_close(store));
}

/* The last commit to a segment adds no block, but a run of its key index. */
static void test_verify_when_a_segment_was_finished_since_it_was_read_then_no_damage(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    svl_store_stats stats = { .struct_size = sizeof stats };
    uint64_t number = 200;
    o.codec = SVL_CODEC_NONE;
    o.commit_bytes = 1 << 20; /* all that a writer appends goes by one commit */
    o.commit_age_ms = 60000;
    expect_exit(start_writer(&o, 60000, number));
    svl_store *store = open_reader();
    do {
        assert_found(store, number);
        number += 8;
        expect_exit(start_writer(&o, 60000, number));
        assert_ok(svl_store_stats_get(store, &stats));
    } while (stats.segments == 1);
    assert_int_equal(stats.segments, 2);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void test_store_when_read_only_then_nothing_is_written(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    svl_store *store, *second;
    svl_pipeline *pipeline;
    svl_options options;
    uint64_t id;
    svl_record record = { .body = { "x", 1 } };
    o.flags = SVL_STORE_READ_ONLY;
    assert_int_equal(svl_store_open(path, &o, &store), SVL_E_NOT_FOUND);
    assert_int_equal(access(path, F_OK), -1); /* and nothing was made */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(svl_store_open(path, &o, &store), SVL_E_NOT_FOUND);
    assert_int_equal(rmdir(path), 0); /* nor in a directory that was there */
    o.flags = 0;
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_store_append(store, &record, 1, NULL));
    o.flags = SVL_STORE_READ_ONLY;
    assert_int_equal(svl_store_open(path, &o, &second), SVL_E_BUSY); /* in this process */
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(path, &o, &store));
    assert_int_equal(svl_store_open(path, &o, &second), SVL_E_BUSY);
    assert_int_equal(svl_store_append(store, &record, 1, &id), SVL_E_READ_ONLY);
    assert_true(id == 0);
    assert_int_equal(svl_store_flush(store, 0), SVL_E_READ_ONLY);
    assert_int_equal(svl_store_commit(store, 0), SVL_E_READ_ONLY);
    assert_int_equal(svl_store_retain(store, NULL), SVL_E_READ_ONLY);
    svl_record_buffer *buffer;
    assert_ok(svl_store_get(store, 1, &buffer));
    svl_record_buffer_destroy(buffer);
    assert_ok(svl_store_close(store));
    assert_ok(svl_options_init(&options, sizeof options));
    options.store = &o;
    assert_int_equal(svl_open(path, &options, &pipeline), SVL_E_OPTION);
}

static void test_store_when_its_writer_was_killed_then_read_without_one(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 3000, UINT64_MAX);
    wait_ready();
    sleep_ms(50);
    kill_child(writer);
    svl_store *store = open_reader();
    uint64_t n = read_all(store, atomic_load(&noted->acknowledged), false);
    assert_ok(svl_store_close(store));
    /* Without the bell: as after a reboot, only what the journal itself proves. */
    char bell[600];
    snprintf(bell, sizeof bell, "%s/bell", path);
    assert_int_equal(unlink(bell), 0);
    store = open_reader();
    assert_true(read_all(store, 1, true) <= n);
    assert_ok(svl_store_close(store));
}

static void test_bell_when_forged_then_records_are_right(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    struct rng rng = { test_seed() };
    pid_t writer = start_writer(&o, 3000, 200);
    expect_exit(writer);
    char bell[600];
    snprintf(bell, sizeof bell, "%s/bell", path);
    for (int i = 0; i < 40; i++) {
        uint8_t bytes[4096];
        int fd = open(bell, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
        if (i % 4 == 0) /* all of it, or a few bytes */
            for (size_t k = 0; k < sizeof bytes; k++)
                bytes[k] = (uint8_t)rng_next(&rng);
        else
            for (int k = 0; k < 4; k++)
                bytes[rng_below(&rng, 96)] = (uint8_t)rng_next(&rng);
        assert_int_equal(pwrite(fd, bytes, i % 7 == 0 ? 100 : sizeof bytes, 0),
                         i % 7 == 0 ? 100 : sizeof bytes);
        if (i % 5 == 0)
            assert_int_equal(ftruncate(fd, (off_t)rng_below(&rng, 5000)), 0);
        close(fd);
        svl_store *store = open_reader();
        assert_true(read_all(store, 200, i % 2) >= 200); /* closed in order: all in segments */
        assert_ok(svl_store_close(store));
        if (i % 5 == 0)
            assert_int_equal(truncate(bell, 4096), 0);
    }
}

/* In a child of its own, as the mount and namespace stay with it. */
static void in_child(void (*run)(const struct order *order))
{
    struct order order = { .run = run };
    expect_exit(start_child(&order));
}

static void on_read_only_media(const struct order *order)
{
    (void)order;
    svl_store_options o = small_options();
    svl_store *store;
    svl_record record = { .body = { "x", 1 } };
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdir(path, 0700) != 0 || mount("none", path, "tmpfs", 0, "size=16m") != 0) {
        fprintf(stderr, "a mount of its own: %s\n", strerror(errno));
        _exit(2);
    }
    strcat(path, "/store");
    assert_ok(svl_store_open(path, &o, &store));
    for (int i = 0; i < 100; i++)
        assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_close(store));
    path[strlen(path) - 6] = 0;
    assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    strcat(path, "/store");
    assert_int_equal(svl_store_open(path, &o, &store), SVL_E_ACCESS);
    store = open_reader();
    svl_record_buffer *buffer;
    assert_ok(svl_store_get(store, 100, &buffer));
    svl_record_buffer_destroy(buffer);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    svl_cursor *cursor = follow(store, SVL_QUERY_TAIL);
    const svl_record *found;
    assert_int_equal(svl_cursor_next(cursor, 10, &found), SVL_E_TIMEOUT);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

static void test_store_when_on_read_only_media_then_read(void **state)
{
    (void)state;
    in_child(on_read_only_media);
}

static void without_proc(const struct order *order)
{
    (void)order;
    svl_store_options o = small_options();
    svl_store *store;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", 0, "size=1m") != 0) {
        fprintf(stderr, "a mount of its own: %s\n", strerror(errno));
        _exit(2);
    }
    assert_int_equal(svl_store_open(path, &o, &store), SVL_E_RESOURCE);
    assert_non_null(strstr(svl_last_error(), "/proc"));
}

static void test_store_when_proc_is_not_mounted_then_says_so(void **state)
{
    (void)state;
    in_child(without_proc);
}

static void in_another_namespace(const struct order *order)
{
    (void)order;
    if (unshare(CLONE_NEWPID) != 0) {
        fprintf(stderr, "a PID namespace: %s\n", strerror(errno));
        _exit(2);
    }
    pid_t child = fork(); /* the first one inside */
    if (child == 0) {
        svl_store_options o = small_options();
        svl_store *store;
        o.flags = SVL_STORE_READ_ONLY;
        int rc = svl_store_open(path, &o, &store);
        if (rc != SVL_E_ACCESS || !strstr(svl_last_error(), "namespace"))
            fprintf(stderr, "%d: %s\n", rc, svl_last_error());
        _exit(rc != SVL_E_ACCESS || !strstr(svl_last_error(), "namespace"));
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        _exit(1);
}

static void test_reader_when_in_another_pid_namespace_then_refused(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 300, UINT64_MAX);
    wait_ready();
    in_child(in_another_namespace);
    stop_writer(writer);
}

static void test_reader_when_the_store_vanishes_then_error_or_what_it_holds(void **state)
{
    (void)state;
    svl_store_options o = small_options();
    pid_t writer = start_writer(&o, 3000, 500);
    expect_exit(writer);
    svl_store *store = open_reader();
    svl_cursor *cursor = follow(store, 0);
    const svl_record *record;
    assert_ok(svl_cursor_next(cursor, 0, &record));
    remove_tree(path);
    int rc;
    for (uint64_t id = 2; (rc = svl_cursor_next(cursor, 10, &record)) == SVL_OK; id++)
        assert_is(record, id);
    assert_true(rc == SVL_E_TIMEOUT || rc == SVL_E_CORRUPT || rc == SVL_E_FAILED);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
    o.flags = SVL_STORE_READ_ONLY;
    assert_int_equal(svl_store_open(path, &o, &store), SVL_E_NOT_FOUND);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    open_nursery();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reader_when_a_writer_writes_then_sees_what_was_acknowledged,
                               start),
        cmocka_unit_test_setup(test_reader_when_it_asks_by_key_then_each_is_found, start),
        cmocka_unit_test_setup(
            test_follower_when_the_writer_rolls_and_recycles_then_each_record_once, start),
        cmocka_unit_test_setup(
            test_follower_when_the_writer_is_killed_again_and_again_then_none_changes, start),
        cmocka_unit_test_setup(test_writer_when_readers_are_killed_or_stopped_then_undisturbed,
                               start),
        cmocka_unit_test_setup(
            test_store_when_more_readers_died_than_it_has_places_then_others_read, start),
        cmocka_unit_test_setup(test_reader_when_retention_takes_a_segment_then_gap_and_no_damage,
                               start),
        cmocka_unit_test_setup(
            test_backward_reader_when_retention_takes_segments_then_ends_without_a_gap, start),
        cmocka_unit_test_setup(test_verify_when_retention_takes_segments_then_no_damage, start),
        cmocka_unit_test_setup(test_verify_when_all_was_written_since_the_open_then_all_is_checked,
                               start),
        cmocka_unit_test_setup(
            test_verify_when_a_segment_was_finished_since_it_was_read_then_no_damage, start),
        cmocka_unit_test_setup(test_store_when_read_only_then_nothing_is_written, start),
        cmocka_unit_test_setup(test_store_when_its_writer_was_killed_then_read_without_one, start),
        cmocka_unit_test_setup(test_bell_when_forged_then_records_are_right, start),
        cmocka_unit_test_setup(test_store_when_on_read_only_media_then_read, start),
        cmocka_unit_test_setup(test_store_when_proc_is_not_mounted_then_says_so, start),
        cmocka_unit_test_setup(test_reader_when_in_another_pid_namespace_then_refused, start),
        cmocka_unit_test_setup(test_reader_when_the_store_vanishes_then_error_or_what_it_holds,
                               start),
    };
    int failed = cmocka_run_group_tests_name("store/live", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
