/* eventloop.c - a log keeper in one thread: lines from standard input into a store, those of severity ERROR and
 * above repeated on standard error once they are safe, and signals, all in one poll() loop.
 *
 *     some-program 2>&1 | eventloop STORE
 *
 * SIGINT, SIGTERM or the end of the input: what was read is stored, then it ends. SIGUSR1: counts, on standard
 * error. The library starts no thread; its descriptor is one more in the loop. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "line_parse.h"
#include "show.h"

#define LINE_BYTES_MAX (64u << 10)

struct keeper {
    svl_pipeline *log;
    int pump_fd, signal_fd;
    bool ends;
    char line[LINE_BYTES_MAX]; /* read, and its end not seen yet; a longer line becomes several */
    size_t len;
};

static int fail(const char *what)
{
    fprintf(stderr, "eventloop: %s: %s\n", what, svl_last_error());
    return -1;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Called by svl_pump(), so on the loop's thread: nothing here needs a lock. */
static int repeat_errors(svl_batch *batch, void *user)
{
    const svl_record *records;
    size_t n;
    (void)user;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        show_record(stderr, &records[i]);
    return rc;
}

/* One step, or nothing if there is none. */
static int pump(struct keeper *k)
{
    int rc = svl_pump(k->log, 0, 0, NULL);
    return rc == SVL_OK || rc == SVL_E_TIMEOUT ? 0 : fail("pump");
}

static int publish_line(struct keeper *k, svl_slice text)
{
    struct line line;
    line_parse(text, now_ns(), &line);
    svl_record record = { .time_ns = line.time_ns,
                          .severity = line.severity,
                          .source = line.source,
                          .key = line.key,
                          .body = text };
    int rc;
    while ((rc = svl_publish(k->log, &record)) == SVL_E_FULL)
        if (pump(k) != 0) /* makes room */
            return -1;
    return rc == SVL_OK ? 0 : fail("a line was not taken");
}

/* What is there now: poll() has said that this read does not wait. */
static int read_input(struct keeper *k)
{
    ssize_t n = read(STDIN_FILENO, k->line + k->len, sizeof k->line - k->len);
    if (n < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return 0;
        fprintf(stderr, "eventloop: standard input: %s\n", strerror(errno));
        return -1;
    }
    k->len += (size_t)n;
    k->ends = n == 0;
    size_t at = 0;
    for (;;) {
        size_t left = k->len - at;
        const char *end = memchr(k->line + at, '\n', left);
        bool is_cut = !end && ((k->ends && left > 0) || left == sizeof k->line);
        if (!end && !is_cut)
            break;
        size_t len = end ? (size_t)(end - k->line) - at : left;
        if (publish_line(k, (svl_slice){ k->line + at, len }) != 0)
            return -1;
        at += len + (end != NULL);
    }
    k->len -= at;
    memmove(k->line, k->line + at, k->len);
    return 0;
}

static int show_counts(struct keeper *k)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    char bytes[32];
    if (svl_store_stats_get(svl_pipeline_store(k->log), &stats) != SVL_OK)
        return fail("counts");
    fprintf(stderr, "eventloop: %llu records, %s\n", (unsigned long long)stats.records,
            show_bytes(stats.disk_bytes, bytes));
    return 0;
}

static int read_signal(struct keeper *k)
{
    struct signalfd_siginfo signal;
    if (read(k->signal_fd, &signal, sizeof signal) != (ssize_t)sizeof signal)
        return 0;
    if (signal.ssi_signo == SIGUSR1)
        return show_counts(k);
    k->ends = true;
    return 0;
}

static int loop(struct keeper *k)
{
    struct pollfd fds[] = { { .fd = k->pump_fd, .events = POLLIN },
                            { .fd = k->signal_fd, .events = POLLIN },
                            { .fd = STDIN_FILENO, .events = POLLIN } };
    int rc = 0;
    while (rc == 0 && !k->ends) {
        if (poll(fds, sizeof fds / sizeof fds[0], -1) < 0) {
            if (errno == EINTR)
                continue;
            fprintf(stderr, "eventloop: poll: %s\n", strerror(errno));
            return -1;
        }
        if (fds[0].revents)
            rc = pump(k);
        if (rc == 0 && fds[1].revents)
            rc = read_signal(k);
        if (rc == 0 && fds[2].revents && !k->ends)
            rc = read_input(k);
    }
    return rc;
}

static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_log(struct keeper *k, const char *path)
{
    svl_options options;
    svl_stored_options on;
    int rc = svl_options_init(&options, sizeof options);
    options.flags = SVL_THREADLESS;
    if (rc == SVL_OK)
        rc = svl_open(path, &options, &k->log);
    if (rc == SVL_OK)
        rc = svl_stored_options_init(&on, sizeof on);
    if (rc == SVL_OK) {
        on.name = "repeat-errors";
        on.filter.severity_min = SVL_SEVERITY_ERROR;
        rc = svl_on_stored(k->log, &on, repeat_errors, NULL, NULL);
    }
    if (rc == SVL_OK)
        rc = svl_start(k->log);
    if (rc == SVL_OK)
        rc = svl_pump_fd(k->log, &k->pump_fd);
    return rc == SVL_OK ? 0 : fail(path);
}

int main(int argc, char **argv)
{
    static struct keeper k;
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (argc != 2 || help) {
        fputs("usage: eventloop STORE < lines\n", help ? stdout : stderr);
        return help ? 0 : 2;
    }
    k.signal_fd = open_signals();
    if (k.signal_fd < 0) {
        fprintf(stderr, "eventloop: signalfd: %s\n", strerror(errno));
        return 1;
    }
    int rc = open_log(&k, argv[1]);
    if (rc == 0)
        rc = loop(&k);
    if (svl_close(k.log) != SVL_OK) /* pumps what is left */
        rc = fail("close");
    close(k.signal_fd);
    return rc == 0 ? 0 : 1;
}
