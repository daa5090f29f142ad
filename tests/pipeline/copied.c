/* A copy of a store whose original is open in another process, or was until a moment ago: who has the crash ring. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/host.h"

static char original[512], copy[512];
static int told_of_a_copy, told;

static void note_log(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    told += level >= SVL_SEVERITY_WARN;
    told_of_a_copy += level == SVL_SEVERITY_ERROR && code == SVL_E_BUSY &&
                      strstr(text, "is a copy of one that another process has open") != NULL;
}

static void paths(void)
{
    snprintf(original, sizeof original, "%s", temp_path());
    snprintf(copy, sizeof copy, "%s", temp_path());
    told = told_of_a_copy = 0;
}

/* At one moment, as a snapshot does. */
static void copy_of_a_running(const struct host *host)
{
    host_freeze(host);
    copy_tree(original, copy);
    host_thaw(host);
}

static svl_pipeline *open_and_start(const char *path)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.log = note_log;
    options.store = &store;
    options.close_timeout_ms = 1000;
    assert_ok(svl_open(path, &options, &p));
    assert_ok(svl_start(p));
    return p;
}

/* Of a store that is opened, started and closed. */
static uint64_t records_of(const char *path)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    svl_pipeline *p = open_and_start(path);
    assert_ok(svl_flush(p, -1));
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    assert_ok(svl_close(p));
    return stats.records;
}

static void test_copy_when_its_original_is_open_then_leaves_the_crash_ring_and_goes_on(void **state)
{
    (void)state;
    struct host host;
    paths();
    host_start(&host, original, NULL);
    for (int i = 0; i < 10; i++)
        host_publish(&host, "before");
    copy_of_a_running(&host);

    svl_pipeline *p = open_and_start(copy);
    assert_int_equal(told_of_a_copy, 1);
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "copy", "its own"));
    for (int i = 0; i < 10; i++)
        host_publish(&host, "meanwhile");
    assert_ok(svl_close(p));

    host_publish(&host, "behind");
    host_stop(&host);
    told = told_of_a_copy = 0;
    assert_int_equal(records_of(original), 21);
    assert_in_range(records_of(copy), 1, 11);
    assert_int_equal(told, 0); /* the copy looks for it no more, the original misses nothing */
}

static void test_copy_when_its_original_is_killed_later_then_the_original_has_its_ring(void **state)
{
    (void)state;
    struct host host;
    paths();
    host_start(&host, original, NULL);
    copy_of_a_running(&host);
    assert_int_equal(records_of(copy), 0);
    assert_int_equal(told_of_a_copy, 1);
    for (int i = 0; i < 10; i++)
        host_publish(&host, "a");
    host_kill(&host);
    told = 0;
    assert_int_equal(records_of(copy), 0);
    assert_int_equal(records_of(original), 10);
    assert_int_equal(told, 0);
}

/* What a child that was forked and runs no other program has of its parent must not keep the records from it. */
static void test_ring_when_its_process_was_killed_with_a_child_left_then_is_recovered(void **state)
{
    (void)state;
    int up[2];
    pid_t grandchild;
    paths();
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        svl_pipeline *p;
        if (svl_open(original, NULL, &p) != SVL_OK || svl_start(p) != SVL_OK)
            _exit(1);
        grandchild = fork();
        if (grandchild == 0) {
            pause();
            _exit(0);
        }
        if (svl_publish_text(p, SVL_SEVERITY_INFO, "a", "one") != SVL_OK ||
            write(up[1], &grandchild, sizeof grandchild) != sizeof grandchild)
            _exit(2);
        pause();
    }
    assert_int_equal(read(up[0], &grandchild, sizeof grandchild), sizeof grandchild);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    uint64_t records = records_of(original);
    kill(grandchild, SIGKILL);
    assert_int_equal(records, 1);
    assert_int_equal(told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_copy_when_its_original_is_open_then_leaves_the_crash_ring_and_goes_on),
        cmocka_unit_test(
            test_copy_when_its_original_is_killed_later_then_the_original_has_its_ring),
        cmocka_unit_test(test_ring_when_its_process_was_killed_with_a_child_left_then_is_recovered),
    };
    int failed = cmocka_run_group_tests_name("copied", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
