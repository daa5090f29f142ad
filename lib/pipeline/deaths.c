/* deaths.c - an inotify descriptor, a thread that reads it, and a second descriptor that ends the thread. */
#define _GNU_SOURCE
#include "deaths.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

struct deaths {
    struct attach_page *page;
    int events;
    int end;
    pthread_t thread;
    bool runs;
    _Atomic bool happened;
};

/* Those that are there, as many as fit. True if one is a file closed; a touch, or a watch that ends with its file,
 * is none. */
static bool read_events(int fd)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool closed = false;
    ssize_t n = read(fd, bytes, sizeof bytes);
    for (ssize_t at = 0; n > 0 && at + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *event =
            (const struct inotify_event *)(const void *)(bytes + at);
        closed |= (event->mask & (IN_CLOSE_WRITE | IN_Q_OVERFLOW)) != 0;
        at += (ssize_t)(sizeof *event + event->len);
    }
    return closed;
}

static void *run(void *argument)
{
    struct deaths *d = argument;
    struct pollfd fds[2] = { { .fd = d->events, .events = POLLIN },
                             { .fd = d->end, .events = POLLIN } };
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        if (!fds[0].revents)
            continue;
        svl__deaths_hear(d);
        if (svl__deaths_waiting(d))
            svl__attach_page_wake(d->page);
    }
    return NULL;
}

int svl__deaths_create(struct deaths **out)
{
    *out = NULL;
    struct deaths *d = svl__calloc(1, sizeof *d);
    if (!d)
        return SVL_E_NOMEM;
    d->end = -1;
    d->events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (d->events < 0) {
        int rc = svl__fail_errno(errno, "inotify");
        svl__deaths_destroy(d);
        return rc;
    }
    *out = d;
    return SVL_OK;
}

int svl__deaths_start(struct deaths *d, struct attach_page *page)
{
    d->page = page;
    d->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->end < 0)
        return svl__fail_errno(errno, "eventfd");
    int rc = svl__thread_start(&d->thread, "svl-attach", run, d);
    d->runs = rc == SVL_OK;
    return rc;
}

int svl__deaths_fd(const struct deaths *d)
{
    return d->events;
}

void svl__deaths_hear(struct deaths *d)
{
    if (read_events(d->events))
        atomic_store(&d->happened, true);
}

void svl__deaths_destroy(struct deaths *d)
{
    if (!d)
        return;
    if (d->runs) {
        eventfd_write(d->end, 1);
        pthread_join(d->thread, NULL);
    }
    if (d->events >= 0)
        close(d->events);
    if (d->end >= 0)
        close(d->end);
    svl__free(d);
}

int svl__deaths_watch(struct deaths *d, const char *directory, const char *name)
{
    char path[384];
    uint32_t touched = d->runs ? 0 : IN_ATTRIB;
    snprintf(path, sizeof path, "%s/%s", directory, name); /* it fits: 255 and 63 */
    if (inotify_add_watch(d->events, path, IN_CLOSE_WRITE | IN_DONT_FOLLOW | touched) >= 0)
        return SVL_OK;
    return errno == ENOENT ? SVL_OK : svl__fail_errno(errno, "inotify of %s", path);
}

int svl__deaths_watch_at(struct deaths *d, int directory, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    return svl__deaths_watch(d, path, name);
}

bool svl__deaths_happened(struct deaths *d)
{
    return atomic_exchange(&d->happened, false);
}

bool svl__deaths_waiting(const struct deaths *d)
{
    return atomic_load(&d->happened);
}
