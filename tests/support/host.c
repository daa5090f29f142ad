/* host.c - the process, and two pipes. */
#define _GNU_SOURCE
#include "host.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct question {
    char what;
    char text[63];
};

static void give_up(const char *what)
{
    print_error("host: %s: %s\n", what, svl_last_error());
    _exit(3);
}

static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)user;
    (void)level;
    (void)code;
    if (getenv("SVL_TEST_LOG"))
        print_message("host: %s\n", text);
}

static svl_pipeline *open_pipeline(const char *path, const struct host_set_up *set_up, bool *pumps)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    if (svl_store_options_init(&store, sizeof store) != SVL_OK ||
        svl_options_init(&options, sizeof options) != SVL_OK)
        give_up("options");
    store.log = tell;
    options.store = &store;
    if (set_up && set_up->options)
        set_up->options(&store, &options);
    *pumps = options.flags & SVL_THREADLESS;
    if (svl_open(path, &options, &p) != SVL_OK)
        give_up("open");
    if (set_up && set_up->handlers)
        set_up->handlers(p);
    if (svl_start(p) != SVL_OK)
        give_up("start");
    return p;
}

/* Until the next question comes. */
static void pump(svl_pipeline *p, int questions)
{
    struct pollfd asked = { .fd = questions, .events = POLLIN };
    while (poll(&asked, 1, 0) == 0) {
        int rc = svl_pump(p, 0, 5, NULL);
        if (rc != SVL_OK && rc != SVL_E_TIMEOUT)
            give_up("pump");
    }
}

static void answer_all(svl_pipeline *p, bool pumps, int questions, int answers)
{
    struct question q;
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    char done = 1;
    bool held = false;
    for (;;) {
        if (pumps && !held)
            pump(p, questions);
        if (read(questions, &q, sizeof q) != (ssize_t)sizeof q)
            _exit(4);
        held = q.what == 'h' || (held && q.what != 'g');
        if (q.what == 's') {
            if (svl_pipeline_stats_get(p, &stats) != SVL_OK ||
                write(answers, &stats, sizeof stats) != (ssize_t)sizeof stats)
                give_up("stats");
            continue;
        }
        if (q.what == 'p' && svl_publish_text(p, SVL_SEVERITY_INFO, "host", q.text) != SVL_OK)
            give_up("publish");
        if (q.what == 'q' && (svl_stop(p, 20000) != SVL_OK || svl_close(p) != SVL_OK))
            give_up("stop");
        if (write(answers, &done, 1) != 1 || q.what == 'q')
            _exit(q.what == 'q' ? 0 : 3);
    }
}

void host_start(struct host *host, const char *path, const struct host_set_up *set_up)
{
    int questions[2], answers[2];
    char up;
    assert_int_equal(pipe(questions), 0);
    assert_int_equal(pipe(answers), 0);
    host->pid = fork();
    assert_true(host->pid >= 0);
    if (host->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(questions[1]);
        close(answers[0]);
        bool pumps;
        svl_pipeline *p = open_pipeline(path, set_up, &pumps);
        up = 1;
        if (write(answers[1], &up, 1) != 1)
            _exit(3);
        answer_all(p, pumps, questions[0], answers[1]);
    }
    close(questions[0]);
    close(answers[1]);
    host->ask = questions[1];
    host->answer = answers[0];
    assert_int_equal(read(host->answer, &up, 1), 1);
}

static void ask(const struct host *host, char what, const char *text, void *answer, size_t len)
{
    struct question q = { .what = what };
    strncpy(q.text, text, sizeof q.text - 1);
    assert_int_equal(write(host->ask, &q, sizeof q), sizeof q);
    for (size_t got = 0; got < len;) {
        ssize_t n = read(host->answer, (char *)answer + got, len - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
}

void host_stats(const struct host *host, svl_pipeline_stats *stats)
{
    ask(host, 's', "", stats, sizeof *stats);
}

void host_publish(const struct host *host, const char *text)
{
    char done;
    ask(host, 'p', text, &done, 1);
}

void host_hold(const struct host *host)
{
    char done;
    ask(host, 'h', "", &done, 1);
}

void host_go(const struct host *host)
{
    char done;
    ask(host, 'g', "", &done, 1);
}

static int end(struct host *host)
{
    int status;
    assert_int_equal(waitpid(host->pid, &status, 0), host->pid);
    close(host->ask);
    close(host->answer);
    host->pid = 0;
    return status;
}

void host_freeze(const struct host *host)
{
    int status;
    assert_int_equal(kill(host->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(host->pid, &status, WUNTRACED), host->pid);
    assert_true(WIFSTOPPED(status));
}

void host_thaw(const struct host *host)
{
    assert_int_equal(kill(host->pid, SIGCONT), 0);
}

void host_stop(struct host *host)
{
    char done;
    ask(host, 'q', "", &done, 1);
    int status = end(host);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void host_kill(struct host *host)
{
    kill(host->pid, SIGKILL);
    int status = end(host);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
