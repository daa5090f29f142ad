/* child.c - a measurement's process, watched by its parent.
 *
 * The child measures and sends its result through a pipe; meanwhile the parent samples its anonymous memory and looks
 * at the clock. The child leads a process group, so that the programs which a peer runs end with it. What it leaves on
 * the disk is for the caller to remove: a child that is killed removes nothing. */
#define _GNU_SOURCE
#include "child.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RSS_SAMPLE_MS 5

/* What comes through the pipe: less than PIPE_BUF, so whole or not at all. */
struct result {
    double metrics[METRIC_COUNT];
    double windows[WINDOWS];
};
_Static_assert(sizeof(struct result) <= 4096, "a pipe takes it at once");

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

void child_catch_signals(void)
{
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN)
        signal(SIGHUP, interrupt);
}

bool child_is_interrupted(void)
{
    return is_interrupted;
}

static void measure(struct run *run, int (*work)(struct run *run), int fd)
{
    struct result result;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN)
        signal(SIGHUP, SIG_DFL);
    int rc = work(run);
    memcpy(result.metrics, run->metrics, sizeof result.metrics);
    memcpy(result.windows, run->windows, sizeof result.windows);
    if (rc >= 0 && write(fd, &result, sizeof result) != sizeof result)
        rc = bench_fail("a measurement could not be told");
    _exit(rc >= 0 ? 0 : 1);
}

/* Until the child has told its result, or has died. */
static enum child_end watch_child(struct run *run, int fd, pid_t child, unsigned limit_s)
{
    struct result result;
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    int64_t end_ns = bench_now_ns() + (int64_t)limit_s * 1000000000;
    uint64_t rss_max = 0;
    while (poll(&poll_fd, 1, RSS_SAMPLE_MS) <= 0) {
        uint64_t rss = watch_rss_anon(child);
        rss_max = rss > rss_max ? rss : rss_max;
        if (is_interrupted)
            return CHILD_INTERRUPTED;
        if (bench_now_ns() > end_ns)
            return CHILD_SLOW;
    }
    if (read(fd, &result, sizeof result) != sizeof result)
        return CHILD_FAILED;
    memcpy(run->metrics, result.metrics, sizeof run->metrics);
    memcpy(run->windows, result.windows, sizeof run->windows);
    if (rss_max > 0 && !run->peer->is_program)
        run->metrics[METRIC_RSS_BYTES] = (double)rss_max;
    return CHILD_DONE;
}

static enum child_end fail(const struct run *run, const char *how)
{
    char words[256];
    snprintf(words, sizeof words, "%s failed in %s%s", run->peer->name, run->workload->name, how);
    bench_fail(words);
    return CHILD_FAILED;
}

enum child_end child_run(struct run *run, int (*work)(struct run *run), unsigned limit_s)
{
    int fds[2], status = 0;
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        run->metrics[i] = NAN;
    for (unsigned i = 0; i < WINDOWS; i++)
        run->windows[i] = NAN;
    fflush(NULL);
    if (pipe2(fds, O_CLOEXEC) != 0)
        return fail(run, ": no pipe");
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        close(fds[0]);
        measure(run, work, fds[1]);
    }
    close(fds[1]);
    enum child_end end = CHILD_FAILED;
    if (child > 0) {
        setpgid(child, child); /* here and there: neither waits for the other */
        end = watch_child(run, fds[0], child, limit_s);
        if (end != CHILD_DONE)
            kill(-child, SIGKILL);
        waitpid(child, &status, 0);
    }
    close(fds[0]);
    if (end == CHILD_FAILED || (end == CHILD_DONE && status != 0))
        return fail(run, WIFSIGNALED(status) ? ", by a signal" : "");
    return end;
}
