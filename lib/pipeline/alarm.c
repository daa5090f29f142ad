/* alarm.c - eventfd, timer and epoll. */
#define _GNU_SOURCE
#include "alarm.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

int svl__alarm_begin(struct alarm *alarm)
{
    *alarm = (struct alarm){ .timer_ns = INT64_MAX };
    int error = 0;
    alarm->fd = epoll_create1(EPOLL_CLOEXEC);
    if (alarm->fd < 0)
        error = errno;
    alarm->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (alarm->event < 0)
        error = errno;
    alarm->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (alarm->timer < 0)
        error = errno;
    if (error)
        return svl__fail_errno(error, "the descriptor to pump by");
    int rc = svl__alarm_add(alarm, alarm->event);
    return rc == SVL_OK ? svl__alarm_add(alarm, alarm->timer) : rc;
}

void svl__alarm_end(struct alarm *alarm)
{
    int fds[] = { alarm->fd, alarm->event, alarm->timer };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int svl__alarm_add(struct alarm *alarm, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    return epoll_ctl(alarm->fd, EPOLL_CTL_ADD, fd, &event) == 0
               ? SVL_OK
               : svl__fail_errno(errno, "the descriptor to pump by");
}

void svl__alarm_ring(struct alarm *alarm)
{
    int error = errno;
    eventfd_write(alarm->event, 1); /* a full counter is readable all the more */
    errno = error;
}

/* The pumper stores is_armed, then looks; here something was changed, then is_armed is loaded: so one of the
 * two sees what the other did. */
void svl__alarm_due(struct alarm *alarm)
{
    if (atomic_load(&alarm->is_armed))
        svl__alarm_ring(alarm);
}

void svl__alarm_arm(struct alarm *alarm)
{
    eventfd_t count;
    eventfd_read(alarm->event, &count);
    atomic_store(&alarm->is_armed, true);
}

void svl__alarm_disarm(struct alarm *alarm)
{
    atomic_store(&alarm->is_armed, false);
}

void svl__alarm_set(struct alarm *alarm, int64_t due_ns)
{
    if (due_ns == 0) {
        svl__alarm_ring(alarm);
        return;
    }
    if (due_ns == alarm->timer_ns)
        return;
    struct itimerspec timer = { .it_value = { 0, 0 } };
    if (due_ns != INT64_MAX) {
        timer.it_value.tv_sec = due_ns / NS_PER_S;
        timer.it_value.tv_nsec = due_ns % NS_PER_S;
    }
    timerfd_settime(alarm->timer, TFD_TIMER_ABSTIME, &timer, NULL);
    alarm->timer_ns = due_ns;
}

void svl__alarm_wait(const struct alarm *alarm, int64_t deadline_ns)
{
    struct pollfd fd = { .fd = alarm->fd, .events = POLLIN };
    int64_t left_ns = deadline_ns - svl__monotonic_ns();
    struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S),
                             .tv_nsec = (long)(left_ns % NS_PER_S) };
    if (left_ns > 0)
        ppoll(&fd, 1, deadline_ns == INT64_MAX ? NULL : &left, NULL);
}
