/* alarm - one descriptor that is readable when there is something to pump: for hosts' event loops, and for
 * svl_pump() itself to wait on.
 *
 * An epoll descriptor, which can be polled like any other, around three: an eventfd that is written when
 * something has come, a timer for what is due later, and inotify's, by which other processes wake their host.
 * So a host need not ask for the next deadline, and nothing has to be written where a timer would do.
 *
 *     quiet --svl__alarm_arm--> armed --something comes: svl__alarm_ring, svl__alarm_due--> readable
 *       ^                         |                                                           |
 *       +------ somebody pumps ---+-----------------------------------------------------------+
 *
 * Who pumps looks at everything after svl__alarm_arm(), and says with svl__alarm_set() when there is something
 * to do; what comes behind that look rings. */
#ifndef SVL_PIPELINE_ALARM_H
#define SVL_PIPELINE_ALARM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct alarm {
    int fd; /* -1: none */
    int event;
    int timer;
    int64_t timer_ns; /* what it is set to; INT64_MAX = not */
    _Atomic bool is_armed;
};

/* SVL_E_RESOURCE, SVL_E_IO. After a failure too it is to be ended. */
int svl__alarm_begin(struct alarm *alarm);
void svl__alarm_end(struct alarm *alarm);
/* One more that makes it readable. */
int svl__alarm_add(struct alarm *alarm, int fd);

/* Any thread, a signal handler too. */
void svl__alarm_ring(struct alarm *alarm);
/* The same, unless whoever pumps has yet to look. Under the lock of what has changed, or behind it. */
void svl__alarm_due(struct alarm *alarm);

/* --- who pumps --- */

void svl__alarm_arm(struct alarm *alarm);
void svl__alarm_disarm(struct alarm *alarm);
/* 0 = now, INT64_MAX = not before it rings. */
void svl__alarm_set(struct alarm *alarm, int64_t due_ns);
/* Waits until it is readable, or past `deadline_ns`. A signal ends it too. */
void svl__alarm_wait(const struct alarm *alarm, int64_t deadline_ns);

#endif
