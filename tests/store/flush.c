/* What stands between an acknowledgement and the disk: no append returns before its writes are flushed, and
 * a flush that fails stops the store without losing what was acknowledged. The executable's own pwritev()
 * and fdatasync() stand before the C library's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "support/support.h"

#define DESCRIPTORS 256

static char path[512];
static _Atomic uint64_t unflushed[DESCRIPTORS]; /* journal writes that no flush has covered */
static _Atomic int64_t fail_flush;              /* the n-th journal flush fails; 0 = none */
static _Atomic uint64_t flushes;
static _Atomic bool fail_segment;  /* the next flush of a segment fails */
static _Atomic bool fail_header;   /* the next flush of a journal file's header finds no space */
static _Atomic int header_fd = -1; /* one that was written, not flushed */

static bool is_named(int fd, const char *part)
{
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n <= 0 || fd >= DESCRIPTORS)
        return false;
    name[n] = 0;
    return strstr(name, part) != NULL;
}

static bool is_journal(int fd)
{
    return is_named(fd, "/journal.");
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t n = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (n > 0 && is_journal(fd)) {
        atomic_fetch_add(&unflushed[fd], 1);
        if (offset == 0 && n == 4096)
            atomic_store(&header_fd, fd);
    }
    return n;
}

/* LMDB's as well. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    if (is_named(fd, ".seg") && atomic_exchange(&fail_segment, false)) {
        errno = EIO;
        return -1;
    }
    if (fd == atomic_load(&header_fd)) {
        atomic_store(&header_fd, -1);
        errno = ENOSPC;
        if (atomic_exchange(&fail_header, false))
            return -1;
    }
    bool journal = is_journal(fd);
    uint64_t covered = journal ? atomic_load(&unflushed[fd]) : 0;
    if (journal && covered > 0) {
        atomic_fetch_add(&flushes, 1);
        if (atomic_load(&fail_flush) > 0 && atomic_fetch_sub(&fail_flush, 1) == 1) {
            errno = EIO;
            return -1;
        }
    }
    int rc = (int)syscall(SYS_fdatasync, fd);
    if (rc == 0 && journal)
        atomic_fetch_sub(&unflushed[fd], covered);
    return rc;
}

static char awaited_directory[512]; /* cleared by an fsync() of it */

int fsync(int fd)
{
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n > 0) {
        name[n] = 0;
        if (strcmp(name, awaited_directory) == 0)
            awaited_directory[0] = 0;
    }
    return (int)syscall(SYS_fsync, fd);
}

static uint64_t unflushed_now(void)
{
    uint64_t n = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        n += atomic_load(&unflushed[fd]);
    return n;
}

static svl_store_options small_files(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.journal_file_bytes_max = 256 << 10;
    o.commit_bytes = 65536;
    o.block_bytes = 4096;
    return o;
}

static int append(svl_store *store, size_t bytes, uint64_t *id)
{
    static char body[20000];
    svl_record record = { .source = slice_of("s"), .body = { body, bytes } };
    return svl_store_append(store, &record, 1, id);
}

static void test_append_when_it_returns_then_flushed(void **state)
{
    (void)state;
    svl_store_options o = small_files();
    svl_store *store;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    assert_true(unflushed_now() == 0);
    uint64_t before = atomic_load(&flushes);
    for (int i = 0; i < 200; i++) { /* over several journal files */
        assert_ok(append(store, (size_t)i * 97 % 20000, NULL));
        assert_true(unflushed_now() == 0);
    }
    assert_true(atomic_load(&flushes) >= before + 200);
    assert_ok(svl_store_close(store));
    assert_true(unflushed_now() == 0);
}

static void test_store_when_new_then_its_own_name_is_flushed(void **state)
{
    (void)state;
    svl_store *store;
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(awaited_directory, sizeof awaited_directory, "%s", path);
    *strrchr(awaited_directory, '/') = 0;
    assert_ok(svl_store_open(path, NULL, &store));
    assert_true(awaited_directory[0] == 0);
    assert_ok(svl_store_close(store));
}

static void test_publish_when_flushed_or_synced_then_on_the_disk(void **state)
{
    (void)state;
    svl_pipeline *p;
    svl_record record = { .source = slice_of("s") };
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_open(path, NULL, &p));
    assert_ok(svl_start(p));
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 20; k++)
            assert_ok(svl_publish(p, &record));
        assert_ok(i % 2 ? svl_flush(p, -1) : svl_publish_sync(p, &record, -1, NULL));
        assert_true(unflushed_now() == 0);
    }
    assert_ok(svl_close(p));
}

/* In a child, so that each starts with flushes that work. The last id acknowledged comes back by a pipe. */
static int append_until_a_flush_fails(int64_t n, int out)
{
    svl_store_options o = small_files();
    svl_store *store;
    uint64_t id, last = 0, count = 0;
    if (svl_store_open(path, &o, &store) != SVL_OK)
        return 1;
    atomic_store(&fail_flush, n);
    int rc;
    while ((rc = append(store, 3000, &id)) == SVL_OK)
        last = id;
    if (rc != SVL_E_FAILED || append(store, 1, &id) != SVL_E_FAILED || id != 0 ||
        svl_store_flush(store, 1000) != SVL_E_FAILED ||
        svl_store_commit(store, 1000) != SVL_E_FAILED)
        return 2;
    svl_cursor *cursor; /* reading goes on, and shows what was acknowledged and nothing above */
    const svl_record *record;
    if (svl_store_query(store, NULL, &cursor) != SVL_OK)
        return 3;
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        count++;
    svl_cursor_close(cursor);
    if (count != last || write(out, &last, sizeof last) != sizeof last)
        return 4;
    return svl_store_close(store) == SVL_E_FAILED ? 0 : 5;
}

static void test_flush_when_it_fails_then_fail_stop_and_nothing_acknowledged_lost(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 40; n += 1 + n / 8) {
        int ends[2], status;
        uint64_t last = 0, id;
        svl_store *store;
        svl_record_buffer *buffer;
        snprintf(path, sizeof path, "%s", temp_path());
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(append_until_a_flush_fails(n, ends[1]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
        close(ends[0]);
        close(ends[1]);
        assert_true(last == (uint64_t)n - 1);
        assert_ok(svl_store_open(path, NULL, &store));
        for (uint64_t i = 1; i <= last; i++) {
            assert_ok(svl_store_get(store, i, &buffer));
            svl_record_buffer_destroy(buffer);
        }
        assert_ok(append(store, 1, &id));
        assert_true(id > last); /* an id that was acknowledged is never given again */
        assert_ok(svl_store_close(store));
        remove_tree(path);
    }
}

static void test_flush_of_a_header_when_it_finds_no_space_then_fail_stop(void **state)
{
    (void)state;
    svl_store_options o = small_files();
    svl_store *store;
    int rc;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    atomic_store(&fail_header, true);
    while ((rc = append(store, 20000, NULL)) == SVL_OK)
        ;
    assert_int_equal(rc, SVL_E_FAILED);
    assert_int_equal(svl_store_close(store), SVL_E_FAILED);
}

static _Atomic pid_t flusher;
static _Atomic bool other_thread;
static _Atomic int told;

static void on_durable(uint64_t id, uint64_t ticket, void *user)
{
    (void)id, (void)ticket, (void)user;
    pid_t thread = (pid_t)syscall(SYS_gettid), none = 0;
    if (!atomic_compare_exchange_strong(&flusher, &none, thread) && none != thread)
        atomic_store(&other_thread, true);
    atomic_fetch_add(&told, 1);
}

/* The committer finds the failure. */
static void test_observer_when_the_store_fails_then_told_by_the_flusher(void **state)
{
    (void)state;
    svl_store_options o = small_files();
    svl_store *store;
    struct store_observer observer = { .durable = on_durable };
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    svl__store_observe(store, &observer);
    assert_ok(append(store, 1, NULL));
    assert_ok(svl_store_commit(store, -1));
    assert_ok(append(store, 1, NULL));
    int before = atomic_load(&told);
    atomic_store(&fail_segment, true);
    assert_int_equal(svl_store_commit(store, -1), SVL_E_FAILED);
    assert_int_equal(svl_store_close(store), SVL_E_FAILED);
    assert_true(atomic_load(&told) > before);
    assert_false(atomic_load(&other_thread));
}

/* "what has stopped" is said once, by the code. */
static void assert_failed(int rc)
{
    assert_int_equal(rc, SVL_E_FAILED);
    const char *words = strstr(svl_last_error(), "has stopped");
    assert_non_null(words);
    assert_null(strstr(words + 1, "has stopped"));
}

/* Everything is durable when the committer finds the failure: nothing is left to wait for. */
static void test_flush_when_the_store_has_failed_and_nothing_is_pending_then_says_so(void **state)
{
    (void)state;
    svl_store_options store_options = small_files();
    svl_options options;
    svl_pipeline *p;
    uint64_t id;
    svl_record record = { .source = slice_of("flush"), .body = slice_of("b") };
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_options_init(&options, sizeof options));
    options.store = &store_options;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_start(p));
    svl_store *store = svl_pipeline_store(p);
    assert_ok(svl_publish_sync(p, &record, -1, &id));
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_publish_sync(p, &record, -1, &id));
    assert_ok(svl_flush(p, -1));
    atomic_store(&fail_segment, true);
    assert_int_equal(svl_store_commit(store, -1), SVL_E_FAILED);
    assert_failed(svl_flush(p, -1));
    assert_failed(svl_flush(p, 0));
    assert_failed(svl_store_flush(store, -1));
    assert_failed(svl_publish_sync(p, &record, -1, &id));
    assert_int_equal(id, 0);
    assert_failed(svl_flush(p, -1));
    assert_failed(svl_close(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_when_it_returns_then_flushed),
        cmocka_unit_test(test_store_when_new_then_its_own_name_is_flushed),
        cmocka_unit_test(test_publish_when_flushed_or_synced_then_on_the_disk),
        cmocka_unit_test(test_flush_when_it_fails_then_fail_stop_and_nothing_acknowledged_lost),
        cmocka_unit_test(test_flush_of_a_header_when_it_finds_no_space_then_fail_stop),
        cmocka_unit_test(test_observer_when_the_store_fails_then_told_by_the_flusher),
        cmocka_unit_test(test_flush_when_the_store_has_failed_and_nothing_is_pending_then_says_so),
    };
    int failed = cmocka_run_group_tests_name("store/flush", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
