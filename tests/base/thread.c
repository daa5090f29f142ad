/* Threads, timed waits, and a fork that is noticed. */
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/support.h"

static void *blocked_signals(void *out)
{
    sigset_t *set = out;
    pthread_sigmask(SIG_SETMASK, NULL, set);
    return NULL;
}

static void test_thread_when_started_then_signals_but_its_own_are_blocked(void **state)
{
    (void)state;
    sigset_t set;
    pthread_t thread;
    assert_ok(svl__thread_start(&thread, "test", blocked_signals, &set));
    pthread_join(thread, NULL);
    assert_true(sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1));
    assert_false(sigismember(&set, SIGSEGV) || sigismember(&set, SIGABRT));
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_false(sigismember(&own, SIGTERM));
}

static void test_wait_when_deadline_passes_then_false(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    assert_ok(svl__cond_init(&cond));
    pthread_mutex_lock(&mutex);
    int64_t deadline = svl__deadline_ns(5);
    while (svl__cond_wait(&cond, &mutex, deadline))
        ;
    assert_true(svl__monotonic_ns() >= deadline);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
    assert_true(svl__deadline_ns(-1) == INT64_MAX);
    assert_true(svl__deadline_ns(INT64_MAX) == INT64_MAX);
}

/* Runs in a child: what it lets the process be killed by would kill the test. 0, or the step that went wrong. */
static int write_past_the_limit(bool was_blocked)
{
    char path[600];
    struct rlimit limit = { 1, 1 };
    struct lent_thread lent;
    sigset_t size_limit, pending;
    sigemptyset(&size_limit);
    sigaddset(&size_limit, SIGXFSZ);
    if (was_blocked)
        pthread_sigmask(SIG_BLOCK, &size_limit, NULL);
    snprintf(path, sizeof path, "%s", temp_path());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || unlink(path) != 0 || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    svl__lent_begin(&lent);
    if (pwrite(fd, "x", 1, 5) != -1 || errno != EFBIG)
        return 2;
    svl__lent_end(&lent);
    sigpending(&pending);
    return sigismember(&pending, SIGXFSZ) == (int)was_blocked ? 0 : 3;
}

static void test_thread_when_lent_then_a_write_past_the_limit_of_sizes_only_fails(void **state)
{
    (void)state;
    for (int was_blocked = 0; was_blocked < 2; was_blocked++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(write_past_the_limit(was_blocked));
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static volatile sig_atomic_t signals_seen;

static void see_signal(int number)
{
    (void)number;
    signals_seen = signals_seen + 1;
}

static void test_thread_when_lent_then_signals_but_its_own_come_behind_it(void **state)
{
    (void)state;
    struct sigaction see = { .sa_handler = see_signal }, user, trap;
    struct lent_thread lent;
    sigaction(SIGUSR1, &see, &user);
    sigaction(SIGTRAP, &see, &trap);
    signals_seen = 0;
    svl__lent_begin(&lent);
    pthread_kill(pthread_self(), SIGUSR1);
    assert_int_equal(signals_seen, 0);
    pthread_kill(pthread_self(), SIGTRAP);
    assert_int_equal(signals_seen, 1);
    svl__lent_end(&lent);
    assert_int_equal(signals_seen, 2);
    sigaction(SIGUSR1, &user, NULL);
    sigaction(SIGTRAP, &trap, NULL);
}

static void test_mark_when_forked_then_only_the_child_is(void **state)
{
    (void)state;
    uint64_t mark = svl__process_mark();
    assert_true(mark != 0);
    assert_true(svl__process_mark() == mark);
    assert_false(svl__forked(mark));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool before = svl__forked(mark);
        uint64_t own = svl__process_mark();
        _exit(before && own != mark && svl__forked(mark) && !svl__forked(own) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_false(svl__forked(mark));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_when_started_then_signals_but_its_own_are_blocked),
        cmocka_unit_test(test_wait_when_deadline_passes_then_false),
        cmocka_unit_test(test_thread_when_lent_then_a_write_past_the_limit_of_sizes_only_fails),
        cmocka_unit_test(test_thread_when_lent_then_signals_but_its_own_come_behind_it),
        cmocka_unit_test(test_mark_when_forked_then_only_the_child_is),
    };
    int failed = cmocka_run_group_tests_name("base/thread", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
