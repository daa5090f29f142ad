/* A store without its journal, or with a damaged file: what is lost is said, with the store's path. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];
static int told;

static void note_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)code;
    (void)user;
    if (level >= SVL_SEVERITY_WARN && strstr(text, "the journal is gone") && strstr(text, path))
        told++;
}

static int open_store(uint32_t flags, svl_store **out)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = flags;
    o.log = note_log;
    told = 0;
    return svl_store_open(path, &o, out);
}

static int append(svl_store *store)
{
    svl_record record = { .source = slice_of("a"), .body = slice_of("b") };
    return svl_store_append(store, &record, 1, NULL);
}

/* By a process that dies without a close: three records, of which `committed` are in a segment. */
static void make_store(int committed)
{
    snprintf(path, sizeof path, "%s", temp_path());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_store *store;
        int rc = svl_store_open(path, NULL, &store);
        for (int i = 0; rc == SVL_OK && i < 3; i++) {
            if (i == committed && i > 0)
                rc = svl_store_commit(store, -1);
            if (rc == SVL_OK)
                rc = append(store);
        }
        _exit(rc == SVL_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Removes the files whose name starts so, or damages them from `offset` on. */
static void harm(const char *prefix, int64_t offset)
{
    DIR *listing = opendir(path);
    assert_non_null(listing);
    int harmed = 0;
    for (struct dirent *e; (e = readdir(listing));) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        harmed++;
        if (offset < 0) {
            assert_int_equal(unlinkat(dirfd(listing), e->d_name, 0), 0);
            continue;
        }
        char garbage[64];
        memset(garbage, 0x55, sizeof garbage);
        int fd = openat(dirfd(listing), e->d_name, O_WRONLY);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, (off_t)offset), sizeof garbage);
        close(fd);
    }
    closedir(listing);
    assert_true(harmed > 0);
}

static void test_store_when_its_journal_is_gone_then_says_so_once(void **state)
{
    (void)state;
    for (int committed = 0; committed < 3; committed++) {
        svl_store *store;
        svl_store_stats stats = { .struct_size = sizeof stats };
        make_store(committed);
        harm("journal.", -1);
        assert_ok(open_store(0, &store));
        assert_int_equal(told, 1);
        assert_ok(svl_store_stats_get(store, &stats));
        assert_int_equal(stats.records, committed);
        assert_ok(append(store));
        assert_ok(svl_store_close(store));
        assert_ok(open_store(0, &store));
        assert_int_equal(told, 0);
        assert_ok(svl_store_close(store));
    }
}

static void test_store_when_new_then_no_journal_is_missed(void **state)
{
    (void)state;
    svl_store *store;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(open_store(0, &store));
    assert_int_equal(told, 0);
    assert_ok(svl_store_close(store));
    /* Its maker died before it had made the first journal file. */
    harm("journal.", -1);
    harm("bell", -1);
    assert_ok(open_store(0, &store));
    assert_int_equal(told, 0);
    assert_ok(svl_store_close(store));
}

static void test_reader_when_the_journal_is_gone_and_nobody_writes_then_says_so(void **state)
{
    (void)state;
    svl_store *store;
    make_store(0);
    harm("journal.", -1);
    assert_int_equal(open_store(SVL_STORE_READ_ONLY, &store), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), "neither in a segment nor in the journal"));
    assert_non_null(strstr(svl_last_error(), path));
    assert_ok(open_store(0, &store)); /* the writer goes on with what there is */
    assert_ok(svl_store_close(store));
    assert_ok(open_store(SVL_STORE_READ_ONLY, &store));
    assert_ok(svl_store_close(store));
}

static void test_open_when_a_file_is_damaged_then_names_file_and_path(void **state)
{
    (void)state;
    const struct {
        const char *file;
        int64_t offset;
    } cases[] = { { "journal.", 4096 }, { "catalog.mdb", 0 }, { "0", 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svl_store *store;
        make_store(2);
        harm(cases[i].file, cases[i].offset);
        harm(cases[i].file, cases[i].offset + (i > 0 ? 4096 : 0)); /* LMDB's other head */
        int rc = open_store(0, &store);
        assert_true(rc == SVL_E_CORRUPT || rc == SVL_E_VERSION);
        const char *at = strstr(svl_last_error(), path);
        assert_non_null(at);
        assert_non_null(strstr(at, cases[i].file));
        assert_null(strstr(at + 1, path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_when_its_journal_is_gone_then_says_so_once),
        cmocka_unit_test(test_store_when_new_then_no_journal_is_missed),
        cmocka_unit_test(test_reader_when_the_journal_is_gone_and_nobody_writes_then_says_so),
        cmocka_unit_test(test_open_when_a_file_is_damaged_then_names_file_and_path),
    };
    int failed = cmocka_run_group_tests_name("store/journal_gone", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
