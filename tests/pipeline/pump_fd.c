/* svl_pump_fd(): readable exactly when svl_pump() would not wait. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

static char path[512];
static svl_pipeline *pipeline;
static int fd;

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static void open_with(uint32_t sync_interval_ms)
{
    svl_options options;
    svl_store_options store;
    assert_ok(svl_options_init(&options, sizeof options));
    assert_ok(svl_store_options_init(&store, sizeof store));
    store.sync_interval_ms = sync_interval_ms;
    store.commit_age_ms = 3600000;
    options.store = &store;
    options.flags = SVL_THREADLESS;
    assert_ok(svl_open(path, &options, &pipeline));
    assert_ok(svl_pump_fd(pipeline, &fd));
}

static bool is_readable_within(int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, timeout_ms) == 1;
}

static bool is_readable(void)
{
    return is_readable_within(0);
}

static void publish(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        assert_ok(svl_publish_text(pipeline, SVL_SEVERITY_INFO, "s", "text"));
}

/* As an event loop does. */
static unsigned pump_while_readable(void)
{
    unsigned pumps = 0;
    for (; is_readable(); pumps++) {
        int rc = svl_pump(pipeline, 0, 0, NULL);
        assert_true(rc == SVL_OK || rc == SVL_E_TIMEOUT);
        assert_true(pumps < 1000);
    }
    assert_int_equal(svl_pump(pipeline, 0, 0, NULL), SVL_E_TIMEOUT);
    return pumps;
}

static int64_t deadline(void)
{
    int64_t deadline_ns;
    assert_ok(svl_next_deadline_ns(pipeline, &deadline_ns));
    return deadline_ns;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t durable(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(pipeline), &stats));
    return stats.last_id;
}

static void test_descriptor_when_idle_then_quiet(void **state)
{
    (void)state;
    open_with(20);
    assert_false(is_readable()); /* nothing can be pumped yet */
    assert_ok(svl_start(pipeline));
    pump_while_readable();
    for (int i = 0; i < 3; i++) {
        publish(10);
        assert_true(is_readable());
        assert_true(is_readable()); /* level-triggered: until it is pumped */
        pump_while_readable();
        assert_false(is_readable());
    }
    assert_ok(svl_flush(pipeline, -1));
    assert_int_equal(durable(), 30);
    pump_while_readable();
    assert_true(deadline() > now_ns() + 1000000000); /* the commit by age */
    assert_ok(svl_close(pipeline));
}

static void test_descriptor_when_a_pump_leaves_something_then_stays_readable(void **state)
{
    (void)state;
    open_with(20);
    assert_ok(svl_start(pipeline));
    publish(10);
    size_t n, sum = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(is_readable());
        assert_true(deadline() == 0);
        assert_ok(svl_pump(pipeline, 2, 0, &n));
        assert_int_equal(n, 2);
        sum += n;
    }
    assert_int_equal(sum, 10);
    pump_while_readable();
    assert_ok(svl_close(pipeline));
}

static void test_descriptor_when_in_a_loop_then_edges_come_through_epoll(void **state)
{
    (void)state;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 7 }, got;
    open_with(20);
    assert_ok(svl_start(pipeline));
    pump_while_readable();
    int loop = epoll_create1(EPOLL_CLOEXEC);
    assert_true(loop >= 0);
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event), 0);
    assert_int_equal(epoll_wait(loop, &got, 1, 0), 0);
    publish(1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(epoll_wait(loop, &got, 1, -1), 1);
        assert_int_equal(got.data.u32, 7);
    }
    pump_while_readable();
    assert_int_equal(epoll_wait(loop, &got, 1, 0), 0);
    assert_ok(svl_wake(pipeline));
    assert_int_equal(epoll_wait(loop, &got, 1, 0), 1);
    assert_int_equal(svl_pump(pipeline, 0, -1, NULL), SVL_E_AGAIN);
    assert_int_equal(epoll_wait(loop, &got, 1, 0), 0);
    close(loop);
    assert_ok(svl_close(pipeline));
}

static void test_flush_when_not_due_then_the_descriptor_tells_when_it_is(void **state)
{
    (void)state;
    open_with(500);
    assert_ok(svl_start(pipeline));
    publish(1);
    pump_while_readable();
    assert_int_equal(durable(), 1); /* at once, after a quiet moment */
    int64_t before = now_ns();
    publish(1);
    pump_while_readable(); /* into the journal */
    int64_t due_ns = deadline();
    assert_true(due_ns > 0 && due_ns <= now_ns() + 500000000);
    if (now_ns() < before + 100000000) /* else this machine was too slow to see it wait */
        assert_int_equal(durable(), 1);
    while (durable() < 2) {
        assert_true(is_readable_within(-1));
        assert_true(now_ns() >= due_ns); /* not before */
        svl_pump(pipeline, 0, 0, NULL);
    }
    pump_while_readable();
    assert_ok(svl_close(pipeline));
}

static int refuse(svl_batch *batch, void *user)
{
    (void)batch;
    ++*(int *)user;
    return SVL_FAIL;
}

static void test_retry_when_its_time_comes_then_the_descriptor_tells(void **state)
{
    (void)state;
    int calls = 0;
    svl_stored_options on;
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "fails";
    on.retry_base_ms = 10;
    open_with(1);
    assert_ok(svl_on_stored(pipeline, &on, refuse, &calls, NULL));
    assert_ok(svl_start(pipeline));
    publish(1);
    while (calls < 4) {
        assert_true(is_readable_within(-1));
        svl_pump(pipeline, 0, 0, NULL);
    }
    assert_ok(svl_close(pipeline));
}

static int count(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    assert_ok(svl_batch_records(batch, &records, &n));
    *(uint64_t *)user += n;
    return SVL_OK;
}

/* What comes on other ways than by publishing. */
static void test_work_when_it_comes_from_elsewhere_then_the_descriptor_tells(void **state)
{
    (void)state;
    uint64_t seen = 0;
    svl_stored_options on;
    svl_subscription *s;
    svl_record record = { .body = slice_of("appended") };
    assert_ok(svl_stored_options_init(&on, sizeof on));
    on.name = "count";
    open_with(1);
    assert_ok(svl_on_stored(pipeline, &on, count, &seen, &s));
    assert_ok(svl_start(pipeline));
    pump_while_readable();
    assert_ok(svl_store_append(svl_pipeline_store(pipeline), &record, 1, NULL));
    while (seen < 1) { /* nobody has pumped the append, and it was durable */
        assert_true(is_readable_within(-1));
        svl_pump(pipeline, 0, 0, NULL);
    }
    assert_ok(svl_subscription_pause(s));
    publish(1);
    while (durable() < 2) {
        assert_true(is_readable_within(-1));
        svl_pump(pipeline, 0, 0, NULL);
    }
    assert_int_equal(seen, 1);
    assert_ok(svl_subscription_resume(s));
    while (seen < 2) {
        assert_true(is_readable_within(-1));
        svl_pump(pipeline, 0, 0, NULL);
    }
    assert_ok(svl_stop(pipeline, -1));
    assert_true(is_readable()); /* svl_pump() does not wait any more */
    assert_int_equal(svl_pump(pipeline, 0, -1, NULL), SVL_E_CLOSED);
    assert_ok(svl_close(pipeline));
}

static void on_alarm(int number)
{
    (void)number;
    svl_record record = { .body = slice_of("from a signal handler") };
    svl_publish_signal(pipeline, &record);
}

static void test_pump_when_a_signal_handler_publishes_then_wakes(void **state)
{
    (void)state;
    struct sigaction action = { .sa_handler = on_alarm }, before;
    struct itimerval timer = { .it_value.tv_usec = 20000 };
    open_with(1);
    assert_ok(svl_start(pipeline));
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    size_t n = 0;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    while (n == 0)
        assert_ok(svl_pump(pipeline, 0, -1, &n));
    assert_int_equal(n, 1);
    sigaction(SIGALRM, &before, NULL);
    assert_ok(svl_close(pipeline));
}

/* --- other processes --- */

/* In a child: 0 when all went well. */
static int publish_attached(int records)
{
    svl_publisher *p;
    svl_record record = { .source = slice_of("child"), .body = slice_of("text") };
    if (svl_attach(path, NULL, &p) != SVL_OK)
        return 1;
    for (int i = 0; i < records; i++)
        if (svl_publisher_publish(p, &record) != SVL_OK)
            return 2;
    if (svl_publisher_publish_sync(p, &record, 20000, NULL) != SVL_OK)
        return 3;
    usleep(20000); /* the host sleeps again */
    if (svl_publisher_publish_sync(p, &record, 20000, NULL) != SVL_OK)
        return 4;
    return svl_publisher_close(p) == SVL_OK ? 0 : 5;
}

static void test_other_process_when_it_publishes_then_the_descriptor_tells(void **state)
{
    (void)state;
    open_with(1);
    assert_ok(svl_start(pipeline));
    for (int round = 1; round <= 3; round++) {
        pump_while_readable();
        pid_t child = fork();
        if (child == 0)
            _exit(publish_attached(1000));
        svl_pipeline_stats stats = { .struct_size = sizeof stats };
        while (stats.attached_records < (uint64_t)round * 1002 || stats.attached_publishers > 0) {
            assert_true(is_readable_within(20000)); /* by descriptor alone, also of its end */
            svl_pump(pipeline, 0, 0, NULL);
            assert_ok(svl_pipeline_stats_get(pipeline, &stats));
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    pump_while_readable();
    assert_false(is_readable_within(50));
    assert_int_equal(durable(), 3 * 1002);
    assert_ok(svl_close(pipeline));
}

static void test_other_process_when_killed_then_its_ring_is_drained_and_gone(void **state)
{
    (void)state;
    int up[2];
    open_with(1);
    assert_ok(svl_start(pipeline));
    pump_while_readable();
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    if (child == 0) {
        svl_publisher *p;
        svl_record record = { .source = slice_of("child"), .body = slice_of("text") };
        bool ok = svl_attach(path, NULL, &p) == SVL_OK;
        for (int i = 0; ok && i < 100; i++)
            ok = svl_publisher_publish(p, &record) == SVL_OK;
        if (ok)
            ok = write(up[1], "x", 1) == 1;
        pause();
        _exit(1);
    }
    char x;
    assert_int_equal(read(up[0], &x, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    svl_pipeline_stats stats = { .attached_publishers = 1, .struct_size = sizeof stats };
    while (stats.attached_records < 100 || stats.attached_publishers > 0) {
        assert_true(is_readable_within(20000));
        svl_pump(pipeline, 0, 0, NULL);
        assert_ok(svl_pipeline_stats_get(pipeline, &stats));
    }
    close(up[0]);
    close(up[1]);
    assert_ok(svl_close(pipeline));
}

static void test_pipeline_when_forked_then_the_parent_is_undisturbed(void **state)
{
    (void)state;
    open_with(1);
    assert_ok(svl_start(pipeline));
    publish(5);
    pid_t child = fork();
    if (child == 0) {
        int64_t deadline_ns;
        int other;
        _exit(svl_pump(pipeline, 0, 0, NULL) != SVL_E_FORKED ||
              svl_next_deadline_ns(pipeline, &deadline_ns) != SVL_E_FORKED ||
              svl_pump_fd(pipeline, &other) != SVL_E_FORKED || svl_wake(pipeline) != SVL_E_FORKED ||
              svl_close(pipeline) != SVL_E_FORKED);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(is_readable());
    pump_while_readable();
    assert_ok(svl_flush(pipeline, -1));
    assert_int_equal(durable(), 5);
    assert_ok(svl_close(pipeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_descriptor_when_idle_then_quiet, new_path),
        cmocka_unit_test_setup(test_descriptor_when_a_pump_leaves_something_then_stays_readable,
                               new_path),
        cmocka_unit_test_setup(test_descriptor_when_in_a_loop_then_edges_come_through_epoll,
                               new_path),
        cmocka_unit_test_setup(test_flush_when_not_due_then_the_descriptor_tells_when_it_is,
                               new_path),
        cmocka_unit_test_setup(test_retry_when_its_time_comes_then_the_descriptor_tells, new_path),
        cmocka_unit_test_setup(test_work_when_it_comes_from_elsewhere_then_the_descriptor_tells,
                               new_path),
        cmocka_unit_test_setup(test_pump_when_a_signal_handler_publishes_then_wakes, new_path),
        cmocka_unit_test_setup(test_other_process_when_it_publishes_then_the_descriptor_tells,
                               new_path),
        cmocka_unit_test_setup(test_other_process_when_killed_then_its_ring_is_drained_and_gone,
                               new_path),
        cmocka_unit_test_setup(test_pipeline_when_forked_then_the_parent_is_undisturbed, new_path),
    };
    return cmocka_run_group_tests_name("pipeline/pump_fd", tests, NULL, NULL);
}
