/* thread - threads with signals blocked, and condition variables on the monotonic clock. */
#ifndef SVL_BASE_THREAD_H
#define SVL_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts `run(argument)`; `name` (at most 15 bytes) is what the system's tools show. Every signal
 * that comes from outside is blocked in the new thread, so that the host's handlers run on the host's
 * threads; a fault in a host's callback still reaches the host's handler for it. */
int svl__thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument);

/* Between begin and end a host's thread does what is a thread's of ours otherwise, under the same mask: signals for it
 * wait, as a flush that one interrupts is a failed one; a write past the limit of a file's size fails instead of ending
 * the process. Nor is it cancelled in the middle. */
struct lent_thread {
    sigset_t before;
    int cancelling;
};
void svl__lent_begin(struct lent_thread *lent);
void svl__lent_end(const struct lent_thread *lent);

/* A condition variable that waits by CLOCK_MONOTONIC. SVL_OK or SVL_E_RESOURCE. */
int svl__cond_init(pthread_cond_t *cond);

/* Waits until signalled (spurious wake-ups included) or past `deadline_ns` (monotonic, INT64_MAX =
 * never). False when the deadline has passed. */
bool svl__cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns);

/* The page where this process keeps its mark and its child finds a zero; NULL: it cannot be had. Set before the
 * first mark is given out. */
extern _Atomic uint64_t *svl__mark_page;

/* True in a child of the process that first asked: handles must refuse there. In line: every publish asks. */
static inline bool svl__forked(uint64_t process_mark)
{
    return process_mark != 0 &&
           atomic_load_explicit(svl__mark_page, memory_order_relaxed) != process_mark;
}
/* The mark to keep in a handle at open. */
uint64_t svl__process_mark(void);

#endif
