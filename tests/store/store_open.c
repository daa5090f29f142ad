/* Opening: what is refused, and with which code; what is created. */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static void expect(const char *path, const svl_store_options *options, int code)
{
    svl_store *store = (svl_store *)1;
    int rc = svl_store_open(path, options, &store);
    if (rc != code)
        print_error("%s: %s\n", path, svl_last_error());
    assert_int_equal(rc, code);
    assert_null(store);
    if (code != SVL_E_NOT_FOUND)
        assert_true(svl_last_error()[0] != 0);
}

static void test_arguments_when_wrong_then_invalid(void **state)
{
    (void)state;
    assert_int_equal(svl_store_open("x", NULL, NULL), SVL_E_INVALID);
    expect(NULL, NULL, SVL_E_INVALID);
    expect("", NULL, SVL_E_INVALID);
    assert_ok(svl_store_close(NULL));
    svl_cursor_close(NULL);
    svl_record_buffer_destroy(NULL);
    assert_null(svl_record_buffer_record(NULL));
}

static void test_option_when_out_of_range_then_refused(void **state)
{
    (void)state;
    svl_store_options o;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
#define REFUSED(member, value)                                                                     \
    assert_ok(svl_store_options_init(&o, sizeof o));                                               \
    o.member = (value);                                                                            \
    expect(path, &o, SVL_E_OPTION);                                                                \
    assert_non_null(strstr(svl_last_error(), #member))
    REFUSED(flags, 8);
    REFUSED(file_mode, 0777);
    REFUSED(file_mode, 0200);
    REFUSED(codec, 4);
    REFUSED(record_bytes_max, 255);
    REFUSED(record_bytes_max, 1u << 31);
    REFUSED(sync_interval_ms, 60001);
    REFUSED(commit_age_ms, 9);
    REFUSED(commit_age_ms, 3600001);
    REFUSED(readers_max, 7);
    REFUSED(readers_max, 65537);
    REFUSED(commit_bytes, 65535);
    REFUSED(commit_bytes, (256u << 20) + 1);
    REFUSED(tail_bytes, 1000);
    REFUSED(tail_bytes, (1ull << 30) + 1);
    REFUSED(journal_file_bytes_max, 1000);
    REFUSED(journal_file_bytes_max, (1ull << 30) + 1);
    REFUSED(segment_bytes, 1 << 20);
    REFUSED(segment_bytes, (16ull << 30) + 1);
    REFUSED(block_bytes, 4095);
    REFUSED(block_bytes, (4 << 20) + 1);
    REFUSED(retain_bytes_max, 1 << 20);
    REFUSED(retain_age_ms_max, UINT64_MAX);
#undef REFUSED
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.struct_size = 0;
    expect(path, &o, SVL_E_STRUCT_SIZE);
    o.struct_size = 12;
    expect(path, &o, SVL_E_STRUCT_SIZE);
    struct stat st;
    assert_int_not_equal(stat(path, &st), 0); /* nothing was created */
}

static void test_path_when_not_a_directory_then_refused(void **state)
{
    (void)state;
    char file[512], link[512], directory[512];
    snprintf(file, sizeof file, "%s", temp_path());
    snprintf(link, sizeof link, "%s", temp_path());
    snprintf(directory, sizeof directory, "%s", temp_path());
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(symlink(directory, link), 0);
    expect(file, NULL, SVL_E_PATH);
    expect(link, NULL, SVL_E_PATH);
    strcat(link, "/"); /* which the system would follow */
    expect(link, NULL, SVL_E_PATH);
    strcat(link, "././/");
    expect(link, NULL, SVL_E_PATH);
    char below[600];
    snprintf(below, sizeof below, "%s/nothing/here", directory);
    svl_store *store;
    int rc = svl_store_open(below, NULL, &store);
    assert_int_equal(rc, SVL_E_PATH);
    static char endless[5001];
    memset(endless, 'x', sizeof endless - 1);
    expect(endless, NULL, SVL_E_PATH);
    strcat(directory, "/./");
    assert_ok(svl_store_open(directory, NULL, &store));
    assert_ok(svl_store_close(store));
}

static void test_directory_when_it_holds_other_files_then_foreign(void **state)
{
    (void)state;
    char directory[512], file[600];
    snprintf(directory, sizeof directory, "%s", temp_path());
    assert_int_equal(mkdir(directory, 0700), 0);
    snprintf(file, sizeof file, "%s/letter.txt", directory);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    close(fd);
    expect(directory, NULL, SVL_E_FOREIGN);
    assert_non_null(strstr(svl_last_error(), "letter.txt"));
    snprintf(file, sizeof file, "%s/lock", directory);
    struct stat st;
    assert_int_not_equal(stat(file, &st), 0); /* and was left as it was */
}

static void test_store_when_not_there_then_no_create_says_so(void **state)
{
    (void)state;
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_STORE_NO_CREATE;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    expect(path, &o, SVL_E_NOT_FOUND);
    assert_int_equal(mkdir(path, 0700), 0);
    expect(path, &o, SVL_E_NOT_FOUND);
    assert_int_equal(rmdir(path), 0); /* nothing was left in it */
}

static void test_store_when_open_then_a_second_is_busy(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store;
    assert_ok(svl_store_open(path, NULL, &store));
    expect(path, NULL, SVL_E_BUSY);
    pid_t child = fork();
    if (child == 0) {
        svl_store *second;
        int rc = svl_store_open(path, NULL, &second);
        bool named = strstr(svl_last_error(), "process") != NULL;
        _exit(rc == SVL_E_BUSY && named ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(path, NULL, &store));
    assert_ok(svl_store_close(store));
}

static void test_store_when_forked_then_the_child_is_told(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store;
    svl_cursor *cursor;
    assert_ok(svl_store_open(path, NULL, &store));
    svl_record record = { .body = slice_of("x") };
    assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_query(store, NULL, &cursor));
    pid_t child = fork();
    if (child == 0) {
        svl_cursor *other;
        svl_record_buffer *buffer;
        const svl_record *found;
        svl_store_stats stats = { .struct_size = sizeof stats };
        bool ok = svl_store_append(store, &record, 1, NULL) == SVL_E_FORKED &&
                  svl_store_flush(store, 0) == SVL_E_FORKED &&
                  svl_store_commit(store, 0) == SVL_E_FORKED &&
                  svl_store_query(store, NULL, &other) == SVL_E_FORKED &&
                  svl_store_get(store, 1, &buffer) == SVL_E_FORKED &&
                  svl_store_retain(store, NULL) == SVL_E_FORKED &&
                  svl_store_verify(store, NULL, NULL, NULL) == SVL_E_FORKED &&
                  svl_store_stats_get(store, &stats) == SVL_E_FORKED &&
                  svl_cursor_next(cursor, 0, &found) == SVL_E_FORKED &&
                  svl_store_close(store) == SVL_E_FORKED;
        svl_cursor_close(cursor);
        _exit(ok ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const svl_record *found;
    assert_ok(svl_cursor_next(cursor, 0, &found));
    svl_cursor_close(cursor);
    assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_close(store));
}

static void test_directory_when_not_writable_then_access(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    pid_t child = fork();
    if (child == 0) {
        /* Root may write anywhere: be somebody else, who owns a directory that cannot be written. */
        svl_store *store;
        bool ok = mkdir(path, 0500) == 0;
        if (geteuid() == 0)
            ok = ok && chown(path, 12345, 12345) == 0;
        char parent[512];
        snprintf(parent, sizeof parent, "%s", path);
        *strrchr(parent, '/') = 0;
        if (geteuid() == 0)
            ok = ok && chmod(parent, 0711) == 0 && setuid(12345) == 0;
        int rc = svl_store_open(path, NULL, &store);
        _exit(ok && rc == SVL_E_ACCESS ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_store_when_empty_then_small_and_private(void **state)
{
    (void)state;
    char path[512], file[600];
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store;
    umask(0);
    assert_ok(svl_store_open(path, NULL, &store));
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.disk_bytes > 0 && stats.disk_bytes < 1 << 20);
    assert_true(stats.records == 0 && stats.first_id == 0 && stats.last_id == 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    static const char *const names[] = { "lock", "catalog.mdb", "catalog.mdb-lock", "journal.0" };
    for (size_t i = 0; i < 4; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_ok(svl_store_close(store));
}

static void test_build_info_when_asked_then_names_parts(void **state)
{
    (void)state;
    assert_non_null(strstr(svl_build_info(), "lmdb"));
    assert_non_null(strstr(svl_build_info(), svl_version()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_when_wrong_then_invalid),
        cmocka_unit_test(test_option_when_out_of_range_then_refused),
        cmocka_unit_test(test_path_when_not_a_directory_then_refused),
        cmocka_unit_test(test_directory_when_it_holds_other_files_then_foreign),
        cmocka_unit_test(test_store_when_not_there_then_no_create_says_so),
        cmocka_unit_test(test_store_when_open_then_a_second_is_busy),
        cmocka_unit_test(test_store_when_forked_then_the_child_is_told),
        cmocka_unit_test(test_directory_when_not_writable_then_access),
        cmocka_unit_test(test_store_when_empty_then_small_and_private),
        cmocka_unit_test(test_build_info_when_asked_then_names_parts),
    };
    return cmocka_run_group_tests_name("store/open", tests, NULL, NULL);
}
