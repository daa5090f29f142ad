/* A full disk: appends answer so, what was fed otherwise waits, and all of it goes on where it stood once
 * there is space. The executable's own writes stand before the C library's, for LMDB as well. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/wire.h"
#include "store/state.h"
#include "support/support.h"

#define META_BYTES 8192 /* LMDB's meta pages: their place is there */

static char path[512];
static _Atomic(const char *) full_for; /* writes to files with this in their name find no space */
static _Atomic bool falls_short;       /* LMDB's writes: half of one is written before */
static _Atomic int relieved;    /* so many of these, and each time there is space again at once */
static _Atomic bool meta_fails; /* the next write of a segment's meta page */
static _Atomic bool held;       /* journal writes wait until it is false again */

static bool is_named(int fd, const char *part)
{
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = part ? readlink(link, name, sizeof name - 1) : 0;
    if (n <= 0)
        return false;
    name[n] = 0;
    return strstr(name, part) != NULL;
}

static bool finds_no_space(int fd, off_t offset)
{
    bool full = is_named(fd, atomic_load(&full_for)) && offset >= META_BYTES;
    if (full)
        errno = ENOSPC;
    return full;
}

/* Half of a write was done, and then somebody made room. */
static bool is_relieved(int fd, off_t offset)
{
    if (offset < META_BYTES || !is_named(fd, ".seg") || atomic_load(&relieved) == 0)
        return false;
    atomic_fetch_sub(&relieved, 1);
    atomic_store(&full_for, NULL);
    return true;
}

#define FOR_SHARED_LIBRARIES __attribute__((visibility("default")))

/* LMDB's, by the name that it has without 64-bit offsets. */
FOR_SHARED_LIBRARIES ssize_t lmdb_pwrite(int, const void *, size_t, off_t) __asm__("pwrite");

ssize_t lmdb_pwrite(int fd, const void *data, size_t len, off_t offset)
{
    if (offset < META_BYTES && is_named(fd, ".seg") && atomic_exchange(&meta_fails, false)) {
        errno = EIO;
        return -1;
    }
    if (is_relieved(fd, offset))
        return syscall(SYS_pwrite64, fd, data, len / 2, offset);
    return finds_no_space(fd, offset) ? -1 : syscall(SYS_pwrite64, fd, data, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    while (atomic_load(&held))
        usleep(1000);
    return finds_no_space(fd, META_BYTES) ? -1 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

FOR_SHARED_LIBRARIES ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (is_relieved(fd, META_BYTES))
        return syscall(SYS_writev, fd, parts, count / 2);
    if (!finds_no_space(fd, META_BYTES))
        return syscall(SYS_writev, fd, parts, count);
    return atomic_load(&falls_short) ? syscall(SYS_writev, fd, parts, count / 2) : -1;
}

static svl_store *open_store(void)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.commit_bytes = 65536;
    o.tail_bytes = 1 << 20;
    o.segment_bytes = 8 << 20;
    o.journal_file_bytes_max = 256 << 10;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

static int append(svl_store *store, uint64_t *id)
{
    static char body[20000];
    static struct rng rng = { 7 };
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)rng_next(&rng);
    svl_record record = { .body = { body, sizeof body } };
    return svl_store_append(store, &record, 1, id);
}

static uint64_t count_records(svl_store *store)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    int rc;
    assert_ok(svl_store_query(store, NULL, &cursor));
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        assert_true(record->id == ++n);
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    return n;
}

/* The journal's disk, or the segments' and the catalog's: then the journal goes on until memory is full of
 * what cannot be committed. */
static void fill_up_and_go_on(const char *files)
{
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    uint64_t id, last = 0;
    assert_ok(append(store, &last));
    atomic_store(&full_for, files);
    int rc;
    while ((rc = append(store, &id)) == SVL_OK && id < 1000)
        last = id;
    assert_int_equal(rc, SVL_E_NO_SPACE);
    assert_true(id == 0);
    assert_true(count_records(store) == last);
    atomic_store(&full_for, NULL);
    assert_ok(svl_store_commit(store, -1));
    assert_ok(append(store, &id));
    assert_true(id == last + 1 && count_records(store) == id);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
    store = open_store();
    assert_true(count_records(store) == id);
    assert_ok(svl_store_close(store));
}

static void test_append_when_the_disk_is_full_then_says_so_and_goes_on_with_space(void **state)
{
    (void)state;
    alarm(60); /* an append that waits for ever is what this is about */
    fill_up_and_go_on("/journal.");
    fill_up_and_go_on(".seg");
    fill_up_and_go_on("/catalog.mdb");
    alarm(0);
}

/* A quota, say: the file system has space, and LMDB says EIO. */
static void test_append_when_writes_fall_short_then_says_so_and_goes_on_with_space(void **state)
{
    (void)state;
    alarm(60);
    atomic_store(&falls_short, true);
    fill_up_and_go_on(".seg");
    atomic_store(&falls_short, false);
    alarm(0);
}

static void test_commit_when_space_comes_back_within_it_then_goes_on_but_not_for_ever(void **state)
{
    (void)state;
    static const struct {
        bool is_first; /* it makes the segment, too */
        bool was_full;
        int writes;
        int code;
    } cases[] = { { false, true, 1, SVL_OK },
                  { false, true, 2, SVL_E_FAILED },
                  { false, false, 1, SVL_E_FAILED },
                  { true, true, 1, SVL_OK },
                  { true, false, 1, SVL_E_FAILED } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(path, sizeof path, "%s", temp_path());
        svl_store *store = open_store();
        assert_ok(append(store, NULL));
        if (!cases[i].is_first)
            assert_ok(svl_store_commit(store, -1));
        assert_ok(append(store, NULL));
        if (cases[i].was_full) {
            atomic_store(&full_for, ".seg");
            assert_int_equal(svl_store_commit(store, 0), SVL_E_TIMEOUT);
            while (svl__store_waits_for(store) != SVL_E_NO_SPACE)
                usleep(1000);
        }
        atomic_store(&relieved, cases[i].writes);
        assert_int_equal(svl_store_commit(store, -1), cases[i].code);
        assert_int_equal(relieved, 0);
        assert_int_equal(svl_store_close(store), cases[i].code);
        store = open_store();
        assert_true(count_records(store) == 2);
        assert_ok(svl_store_verify(store, NULL, NULL, NULL));
        assert_ok(svl_store_close(store));
    }
}

static uint64_t free_journal_bytes(svl_store *store)
{
    struct journal_stats stats;
    svl__journal_stats_get(store->journal, &stats);
    return stats.free_bytes;
}

static void test_commit_when_the_disk_is_full_then_free_journal_files_go_for_it(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    for (int i = 0; i < 60; i++)
        assert_ok(append(store, NULL));
    assert_ok(svl_store_commit(store, -1));
    assert_true(free_journal_bytes(store) > 0);
    assert_ok(append(store, NULL));
    atomic_store(&full_for, ".seg");
    assert_int_equal(svl_store_commit(store, 0), SVL_E_TIMEOUT);
    while (svl__store_waits_for(store) != SVL_E_NO_SPACE)
        usleep(1000);
    assert_true(free_journal_bytes(store) == 0);
    atomic_store(&full_for, NULL);
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_store_close(store));
}

/* What nobody waits for cannot be refused to anybody: emits of a subscription without a name. */
static void test_feed_when_the_disk_is_full_then_waits_and_is_not_dropped(void **state)
{
    (void)state;
    alarm(60);
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    svl_record record = { .body = slice_of("emitted") };
    uint8_t wire[64];
    svl__wire_encode(&record, 1, wire);
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record) };
    struct feed feed = { .items = &item, .count = 1, .atomic = true };
    uint64_t ticket, id;
    atomic_store(&full_for, "/journal.");
    assert_ok(svl__store_feed(store, &feed, &ticket));
    assert_int_equal(svl__store_wait(store, ticket, svl__deadline_ns(300)), SVL_E_TIMEOUT);
    assert_int_equal(append(store, &id), SVL_E_NO_SPACE);
    atomic_store(&full_for, NULL);
    assert_ok(svl__store_wait(store, ticket, INT64_MAX));
    assert_true(item.id == 1 && count_records(store) == 1);
    assert_ok(svl_store_close(store));
    alarm(0);
}

static void *append_one(void *store)
{
    uint64_t id;
    return (void *)(intptr_t)append(store, &id);
}

/* An append that came in before anybody knew of the full disk, behind and beside what may not be refused. */
static void test_append_when_a_feed_waits_before_it_then_says_so_at_once(void **state)
{
    (void)state;
    alarm(60);
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    svl_record record = { .body = slice_of("of a ring") };
    uint8_t wire[64];
    svl__wire_encode(&record, 1, wire);
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record) };
    struct store_op op = { slice_of("key"), slice_of("value") };
    struct feed feed = { .items = &item, .count = 1, .ops = &op, .op_count = 1 };
    uint64_t tickets[2], id;
    pthread_t appender;
    void *answer;
    atomic_store(&held, true);
    assert_ok(svl__store_feed(store, &feed, &tickets[0]));
    usleep(50000); /* it is being written: the next one begins a batch */
    assert_ok(svl__store_feed(store, &feed, &tickets[1]));
    assert_int_equal(pthread_create(&appender, NULL, append_one, store), 0);
    while (svl__store_last_ticket(store) == tickets[1])
        usleep(1000);
    atomic_store(&full_for, "/journal.");
    atomic_store(&held, false);
    assert_int_equal(pthread_join(appender, &answer), 0);
    assert_int_equal((int)(intptr_t)answer, SVL_E_NO_SPACE);
    assert_int_equal(svl__store_wait(store, tickets[1], svl__deadline_ns(50)), SVL_E_TIMEOUT);
    atomic_store(&full_for, NULL);
    assert_ok(svl_store_flush(store, -1)); /* of what was refused nothing is waited for */
    assert_true(count_records(store) == 2);
    assert_ok(append(store, &id));
    assert_true(id == 3);
    assert_ok(svl_store_close(store));
    store = open_store();
    assert_true(count_records(store) == 3);
    assert_ok(svl_store_close(store));
    alarm(0);
}

static void test_segment_when_its_meta_page_fails_then_stopped_and_not_called_damaged(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(append(store, NULL));
    assert_ok(svl_store_commit(store, -1));
    assert_ok(append(store, NULL));
    atomic_store(&meta_fails, true);
    assert_int_equal(svl_store_commit(store, -1), SVL_E_FAILED);
    assert_ok(svl_store_query(store, NULL, &cursor));
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_FAILED);
    svl_cursor_close(cursor);
    assert_int_equal(svl_store_close(store), SVL_E_FAILED);
    store = open_store();
    assert_true(count_records(store) == 2);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

/* The host has all descriptors in use for a while. */
static void test_append_when_there_are_no_descriptors_then_says_so_and_goes_on_with_some(
    void **state)
{
    (void)state;
    alarm(60);
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    struct rlimit before, none;
    uint64_t id, last = 0;
    int rc;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ 0, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while ((rc = append(store, &id)) == SVL_OK && id < 1000)
        last = id;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, SVL_E_RESOURCE);
    assert_ok(append(store, &id));
    assert_true(id == last + 1);
    assert_ok(svl_store_commit(store, -1));
    assert_true(count_records(store) == id);
    assert_ok(svl_store_close(store));
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_when_the_disk_is_full_then_says_so_and_goes_on_with_space),
        cmocka_unit_test(test_append_when_writes_fall_short_then_says_so_and_goes_on_with_space),
        cmocka_unit_test(test_commit_when_space_comes_back_within_it_then_goes_on_but_not_for_ever),
        cmocka_unit_test(test_commit_when_the_disk_is_full_then_free_journal_files_go_for_it),
        cmocka_unit_test(test_feed_when_the_disk_is_full_then_waits_and_is_not_dropped),
        cmocka_unit_test(test_append_when_a_feed_waits_before_it_then_says_so_at_once),
        cmocka_unit_test(test_segment_when_its_meta_page_fails_then_stopped_and_not_called_damaged),
        cmocka_unit_test(
            test_append_when_there_are_no_descriptors_then_says_so_and_goes_on_with_some),
    };
    int failed = cmocka_run_group_tests_name("store/full", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
