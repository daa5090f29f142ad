/* What LMDB leaves to whoever uses it: a writer that was killed just after its commit, while another process
 * reads; a file that goes while it is opened. The executable's own mdb_env_open() stands before the library's. */
#define _GNU_SOURCE
#include "store/lmdb_env.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

/* In the lock file of 0.9: magic u32 · format u32 · the last transaction's number. */
#define LAST_TRANSACTION 8

static struct lmdb_options options = {
    .name = "test.mdb", .file_mode = 0600, .map_bytes = 1 << 20, .readers_max = 8, .tables = 0
};

static bool is_removed_first;

int mdb_env_open(MDB_env *env, const char *path, unsigned int flags, mdb_mode_t mode)
{
    int (*real)(MDB_env *, const char *, unsigned int, mdb_mode_t);
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_env_open");
    assert_non_null(real);
    if (is_removed_first)
        assert_int_equal(unlinkat(options.directory, options.name, 0), 0);
    return real(env, path, flags, mode);
}

static void open_directory(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_int_equal(mkdir(path, 0700), 0);
    options.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put(struct lmdb_env *env, const char *key)
{
    MDB_txn *txn;
    MDB_dbi table;
    MDB_val k = { strlen(key), (void *)(uintptr_t)key }, v = { 1, (void *)(uintptr_t) "x" };
    assert_ok(svl__lmdb_begin_write(env, &txn));
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &table), 0);
    assert_int_equal(mdb_put(txn, table, &k, &v, 0), 0);
    assert_ok(svl__lmdb_commit(env, txn));
}

static bool is_there(struct lmdb_env *env, const char *key)
{
    MDB_txn *txn;
    MDB_dbi table;
    MDB_val k = { strlen(key), (void *)(uintptr_t)key }, v;
    assert_ok(svl__lmdb_begin_read(env, &txn));
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &table), 0);
    int code = mdb_get(txn, table, &k, &v);
    svl__lmdb_end_read(env, txn);
    return code == 0;
}

static pid_t start_reader(int *ready)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct lmdb_env env;
        options.read_only = true;
        if (svl__lmdb_open(&env, &options) != SVL_OK || write(ends[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    *ready = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return child;
}

/* As SIGKILL between the meta page and the lock file's number: the number is put back, and the process ends
 * with the write lock held. */
static void commit_and_die(void)
{
    struct lmdb_env env;
    MDB_txn *txn;
    uint64_t number;
    assert_ok(svl__lmdb_open(&env, &options));
    put(&env, "second");
    int fd = openat(options.directory, "test.mdb-lock", O_RDWR);
    assert_int_equal(pread(fd, &number, sizeof number, LAST_TRANSACTION), sizeof number);
    number--;
    assert_ok(svl__lmdb_begin_write(&env, &txn));
    assert_int_equal(pwrite(fd, &number, sizeof number, LAST_TRANSACTION), sizeof number);
    kill(getpid(), SIGKILL);
}

static void test_writer_when_another_was_killed_after_its_commit_then_it_sees_that(void **state)
{
    (void)state;
    struct lmdb_env env;
    int ready, status;
    open_directory();
    options.create = true;
    assert_ok(svl__lmdb_open(&env, &options));
    options.create = false;
    put(&env, "first");
    svl__lmdb_close(&env);
    pid_t reader = start_reader(&ready);
    assert_true(ready); /* it keeps the lock file in use */
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0)
        commit_and_die();
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_ok(svl__lmdb_open(&env, &options));
    assert_true(is_there(&env, "first"));
    assert_true(is_there(&env, "second")); /* before it writes: what it does then builds on that */
    put(&env, "third");
    assert_true(is_there(&env, "second") && is_there(&env, "third"));
    svl__lmdb_close(&env);
    kill(reader, SIGKILL);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    close(options.directory);
}

static void test_reader_when_the_file_goes_while_it_opens_then_not_found(void **state)
{
    struct lmdb_env env;
    (void)state;
    open_directory();
    options.create = true;
    assert_ok(svl__lmdb_open(&env, &options));
    put(&env, "a");
    svl__lmdb_close(&env);
    options.create = false;
    options.read_only = is_removed_first = true;
    assert_int_equal(svl__lmdb_open(&env, &options), SVL_E_NOT_FOUND);
    options.read_only = is_removed_first = false;
    close(options.directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_when_another_was_killed_after_its_commit_then_it_sees_that),
        cmocka_unit_test(test_reader_when_the_file_goes_while_it_opens_then_not_found),
    };
    int failed = cmocka_run_group_tests_name("store/lmdb_env", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
