/* Another process whose reading transactions stay open: told by its pid, once, and again when one is again. */
#include <lmdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

#define LAG_COMMITS 100

static char path[512];
static int pid_told;
static _Atomic int told_catalog, told_segment, told_wrong;

static void take_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)level, (void)code, (void)user;
    char process[32];
    snprintf(process, sizeof process, "process %d reads", pid_told);
    if (!strstr(text, "commits ago"))
        return;
    if (!strstr(text, process))
        atomic_fetch_add(&told_wrong, 1);
    else if (strstr(text, "the catalog"))
        atomic_fetch_add(&told_catalog, 1);
    else if (strstr(text, "the newest segment"))
        atomic_fetch_add(&told_segment, 1);
}

static void commit_one(svl_store *store)
{
    svl_record record = { .body = slice_of("x") };
    assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_commit(store, -1));
}

static MDB_txn *begin_read(const char *file)
{
    char name[600];
    MDB_env *env;
    MDB_txn *txn;
    snprintf(name, sizeof name, "%s/%s", path, file);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 8) != 0 ||
        mdb_env_open(env, name, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOTLS, 0600) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        _exit(1);
    return txn;
}

/* A process that reads for ever. */
static void start_reader(void)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_told = fork();
    assert_true(pid_told >= 0);
    if (pid_told == 0) {
        begin_read("catalog.mdb");
        begin_read("00000000000000000001-01.seg");
        if (write(ends[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
}

static void end_reader(void)
{
    assert_int_equal(kill(pid_told, SIGKILL), 0);
    assert_int_equal(waitpid(pid_told, NULL, 0), pid_told);
}

static void assert_told(int times)
{
    assert_int_equal(told_catalog, times);
    assert_int_equal(told_segment, times);
    assert_int_equal(told_wrong, 0);
}

static void test_reader_when_it_lags_then_told_once_by_its_pid(void **state)
{
    (void)state;
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.log = take_log;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    commit_one(store);
    for (int round = 1; round <= 2; round++) {
        start_reader();
        for (int i = 1; i < LAG_COMMITS; i++)
            commit_one(store);
        assert_told(round - 1);
        for (int i = 0; i < 20; i++)
            commit_one(store);
        assert_told(round);
        end_reader();
        commit_one(store);
        assert_told(round);
    }
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_when_it_lags_then_told_once_by_its_pid),
    };
    int failed = cmocka_run_group_tests_name("store/lagging", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
