/* The count of what DROP_NEW dropped survives a kill at the worst moments: when all that was in the ring is written, and
 * the record that tells of the drops is not; and when that is, too, and the ring does not know it. The executable's own
 * pwritev() stands before the C library's, and holds the journal's writes up. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pipeline/pipeline.h"
#include "support/support.h"

#define DROPPED 42

static char path[512];
static _Atomic bool held, in_handler;
static _Atomic int writes;        /* of the journal, since they are counted; -1: they are not */
static _Atomic bool may_write;    /* the first of them */
static _Atomic bool kills_behind; /* the second: else it is not done */

static void short_sleep(void)
{
    struct timespec t = { 0, 1000000 };
    nanosleep(&t, NULL);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (atomic_load(&writes) >= 0 && atomic_fetch_add(&writes, 1) > 0) {
        if (atomic_load(&kills_behind))
            syscall(SYS_pwritev, fd, parts, count, offset, 0);
        kill(getpid(), SIGKILL);
    }
    while (atomic_load(&writes) > 0 && !atomic_load(&may_write))
        short_sleep();
    return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

static int hold(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    atomic_store(&in_handler, true);
    while (atomic_load(&held))
        short_sleep();
    return SVL_OK;
}

static svl_pipeline *open_pipeline(void)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.record_bytes_max = 4096;
    options.store = &store;
    options.ring_bytes = 64 << 10;
    options.full_policy = SVL_FULL_DROP_NEW;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_on_ingest(p, NULL, hold, NULL));
    return p;
}

static svl_pipeline *open_and_start(void)
{
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_start(p));
    return p;
}

static uint64_t dropped(svl_pipeline *p)
{
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    return stats.dropped_full;
}

static void drop_and_be_killed(void)
{
    static char body[1000];
    svl_record record = { .source = slice_of("s"), .body = { body, sizeof body } };
    atomic_store(&held, true);
    atomic_store(&in_handler, false);
    svl_pipeline *p = open_and_start();
    assert_ok(svl_publish(p, &record));
    while (!atomic_load(&in_handler)) /* in a round that has looked for drops, and found none */
        short_sleep();
    while (dropped(p) < DROPPED)
        assert_ok(svl_publish(p, &record));
    /* All that is in the ring is in this round, and behind it the drainer waits for this lock. */
    pthread_mutex_lock(&p->lock);
    atomic_store(&writes, 0);
    atomic_store(&held, false);
    while (atomic_load(&writes) == 0)
        short_sleep();
    uint64_t ticket = svl__store_last_ticket(p->store);
    pthread_mutex_unlock(&p->lock);
    while (svl__store_last_ticket(p->store) == ticket)
        short_sleep(); /* until the gap record is fed */
    atomic_store(&may_write, true);
    for (;;)
        pause();
}

static uint64_t told(svl_pipeline *p)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("serverlog.gap");
    assert_ok(svl_store_query(svl_pipeline_store(p), &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n += (uint64_t)record->attributes[0].i64;
    svl_cursor_close(cursor);
    return n;
}

static void crash_with_untold_drops(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
    atomic_store(&writes, -1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        drop_and_be_killed();
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_drops_when_killed_before_they_are_written_then_told_at_the_next_start(void **state)
{
    (void)state;
    crash_with_untold_drops();
    svl_pipeline *p = open_and_start();
    assert_ok(svl_flush(p, -1));
    assert_int_equal(told(p), DROPPED);
    assert_ok(svl_close(p));
    p = open_and_start(); /* and only once */
    assert_ok(svl_flush(p, -1));
    assert_int_equal(told(p), DROPPED);
    assert_ok(svl_close(p));
}

/* The journal has the record, and the ring has not heard of it. */
static void test_drops_when_killed_once_they_are_written_then_not_told_again(void **state)
{
    (void)state;
    atomic_store(&kills_behind, true);
    crash_with_untold_drops();
    atomic_store(&kills_behind, false);
    for (int start = 0; start < 2; start++) {
        svl_pipeline *p = open_and_start();
        assert_ok(svl_flush(p, -1));
        assert_int_equal(told(p), DROPPED);
        assert_ok(svl_close(p));
    }
}

/* The same, and the store is opened alone before the ring is: the journal, which knew, is committed and used again. */
static void test_drops_when_written_and_the_store_was_opened_alone_then_not_told_again(void **state)
{
    (void)state;
    atomic_store(&kills_behind, true);
    crash_with_untold_drops();
    atomic_store(&kills_behind, false);
    for (int i = 0; i < 2; i++) {
        svl_store *store;
        assert_ok(svl_store_open(path, NULL, &store));
        assert_ok(svl_store_commit(store, -1));
        assert_ok(svl_store_close(store));
    }
    svl_pipeline *p = open_and_start();
    assert_ok(svl_flush(p, -1));
    assert_int_equal(told(p), DROPPED);
    assert_ok(svl_close(p));
}

/* Each allocation of a start fails once; the next start goes on. */
static void test_drops_when_a_start_is_short_of_memory_then_it_says_so_and_they_are_told(
    void **state)
{
    (void)state;
    crash_with_untold_drops();
    svl_pipeline *p = open_pipeline();
    int rc = SVL_E_NOMEM;
    for (uint64_t n = 1; rc == SVL_E_NOMEM; n++) {
        fail_malloc_after(n, true);
        rc = svl_start(p);
        fail_malloc_after(0, false);
    }
    assert_ok(rc);
    assert_ok(svl_flush(p, -1));
    assert_int_equal(told(p), DROPPED);
    assert_ok(svl_close(p));
}

/* A batch that names the ring, though the drain has fed nothing of it: as another's would that has found its uuid. */
static void feed_as(svl_pipeline *p, const uint8_t uuid[16], uint64_t position)
{
    uint8_t wire[64];
    svl_record record = { .source = slice_of("forged") };
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record) };
    struct ring_position ring = { .position = position };
    struct feed feed = { .items = &item, .count = 1, .ring = &ring, .urgent = true };
    uint64_t ticket;
    svl__wire_encode(&record, 1, wire);
    memcpy(ring.uuid, uuid, sizeof ring.uuid);
    assert_ok(svl__store_feed(p->store, &feed, &ticket));
    assert_ok(svl__store_wait(p->store, ticket, INT64_MAX));
}

static void test_ring_when_a_batch_says_more_than_was_fed_of_it_then_not_believed(void **state)
{
    (void)state;
    static const uint64_t positions[] = { 8, 64 << 10, UINT64_C(1) << 40 };
    uint8_t gap_uuid[16];
    snprintf(path, sizeof path, "%s", temp_path());
    svl_pipeline *p = open_and_start();
    svl__gap_uuid(svl__ring_uuid(p->ring), gap_uuid);
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        feed_as(p, svl__ring_uuid(p->ring), positions[i]);
        feed_as(p, gap_uuid, positions[i]);
    }
    pthread_mutex_lock(&p->release_lock);
    assert_int_equal(p->released_position, 0);
    pthread_mutex_unlock(&p->release_lock);
    assert_int_equal(svl__ring_dropped_told_get(p->ring), 0);
    svl_record record = { .source = slice_of("s") };
    assert_ok(svl_publish_sync(p, &record, -1, NULL));
    assert_ok(svl_close(p));
}

/* A process that is attached, and does what a byte asks for, then answers with it. */
static void publish_as_asked(int asked)
{
    static char body[1000];
    svl_record record = { .source = slice_of("a"), .body = { body, sizeof body } };
    svl_attach_options o;
    svl_publisher *publisher = NULL;
    int rc = svl_attach_options_init(&o, sizeof o);
    o.ring_bytes = 64 << 10;
    o.full_policy = SVL_FULL_DROP_NEW;
    if (rc == SVL_OK)
        rc = svl_attach(path, &o, &publisher);
    for (char what; rc == SVL_OK && read(asked, &what, 1) == 1;) {
        int n = what == 'd' ? 64 + DROPPED : 1; /* of which the ring takes fewer than 64 */
        for (int i = 0; i < n && rc == SVL_OK && what != 's'; i++)
            rc = svl_publisher_publish(publisher, &record);
        while (what == 's' &&
               (rc = svl_publisher_publish_sync(publisher, &record, -1, NULL)) == SVL_E_FULL)
            short_sleep();
        if (rc == SVL_OK && write(asked, &what, 1) != 1)
            rc = SVL_E_IO;
    }
    _exit(rc == SVL_OK && svl_publisher_close(publisher) == SVL_OK ? 0 : 1);
}

static pid_t start_attached(int *asking)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        publish_as_asked(ends[1]);
    }
    close(ends[1]);
    *asking = ends[0];
    return child;
}

static void ask(int asking, char what)
{
    assert_int_equal(write(asking, &what, 1), 1);
    assert_int_equal(read(asking, &what, 1), 1);
}

/* While the host's handler is held with one record, more are published than the ring takes. */
static void fill_attached(int asking)
{
    atomic_store(&in_handler, false);
    atomic_store(&held, true);
    ask(asking, 'p');
    while (!atomic_load(&in_handler))
        short_sleep();
    ask(asking, 'd');
    atomic_store(&held, false);
    ask(asking, 's');
}

/* The same of an attached ring, also by a host that comes later: what is dropped is told all the same. */
static void test_attached_ring_when_a_batch_says_more_than_was_fed_of_it_then_not_believed(
    void **state)
{
    (void)state;
    static const uint64_t much = UINT64_C(1) << 40;
    uint8_t gap_uuid[16];
    int asking, status;
    snprintf(path, sizeof path, "%s", temp_path());
    svl_pipeline *p = open_pipeline(); /* a process with a store that is open may not attach */
    assert_ok(svl_close(p));
    pid_t child = start_attached(&asking);
    p = open_and_start();
    ask(asking, 's');
    svl__gap_uuid(svl__attached_uuid(p->attached, 0), gap_uuid);
    feed_as(p, gap_uuid, much);
    for (int life = 0; life < 2; life++) {
        uint64_t before = told(p);
        fill_attached(asking);
        assert_ok(svl_flush(p, -1));
        assert_true(told(p) >= before + DROPPED);
        assert_ok(svl_close(p));
        p = open_and_start();
    }
    ask(asking, 's');
    feed_as(p, svl__attached_uuid(p->attached, 0), much);
    fill_attached(asking);
    close(asking);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(svl_close(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_drops_when_killed_before_they_are_written_then_told_at_the_next_start),
        cmocka_unit_test(test_drops_when_killed_once_they_are_written_then_not_told_again),
        cmocka_unit_test(
            test_drops_when_written_and_the_store_was_opened_alone_then_not_told_again),
        cmocka_unit_test(test_ring_when_a_batch_says_more_than_was_fed_of_it_then_not_believed),
        cmocka_unit_test(
            test_attached_ring_when_a_batch_says_more_than_was_fed_of_it_then_not_believed),
        cmocka_unit_test(
            test_drops_when_a_start_is_short_of_memory_then_it_says_so_and_they_are_told),
    };
    int failed = cmocka_run_group_tests_name("pipeline/gap", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
