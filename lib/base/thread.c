/* thread.c - threads, timed waits, and how a fork is noticed.
 *
 * Fork: one page of the process is MADV_WIPEONFORK, so the child finds a zero where the parent keeps
 * its mark. No pthread_atfork (its handlers could not be taken back when the library is unloaded), no
 * getpid() (a system call per publish). */
#define _GNU_SOURCE
#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"

/* All but what a thread brings upon itself: blocked, that would end the process past the host's handler. */
static void fill_foreign(sigset_t *signals)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
    sigfillset(signals);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(signals, own[i]);
}

int svl__thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument)
{
    sigset_t blocked, before;
    fill_foreign(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(out, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        svl__fail_errno(error, "thread %s could not be started", name);
        return SVL_E_RESOURCE;
    }
    pthread_setname_np(*out, name);
    return SVL_OK;
}

void svl__lent_begin(struct lent_thread *lent)
{
    sigset_t foreign;
    fill_foreign(&foreign);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &lent->cancelling);
    pthread_sigmask(SIG_BLOCK, &foreign, &lent->before);
}

/* One that was blocked before stays pending for the host. */
void svl__lent_end(const struct lent_thread *lent)
{
    sigset_t pending;
    sigemptyset(&pending);
    if (!sigismember(&lent->before, SIGXFSZ)) {
        static const struct timespec at_once = { 0, 0 };
        sigpending(&pending);
        if (sigismember(&pending, SIGXFSZ)) {
            sigemptyset(&pending);
            sigaddset(&pending, SIGXFSZ);
            sigtimedwait(&pending, NULL, &at_once);
        }
    }
    pthread_sigmask(SIG_SETMASK, &lent->before, NULL);
    pthread_setcancelstate(lent->cancelling, NULL);
}

int svl__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return svl__fail(SVL_E_RESOURCE, "a condition variable");
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int error = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return error ? svl__fail(SVL_E_RESOURCE, "a condition variable") : SVL_OK;
}

bool svl__cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        pthread_cond_wait(cond, mutex);
        return true;
    }
    struct timespec t = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % NS_PER_S) };
    return pthread_cond_timedwait(cond, mutex, &t) != ETIMEDOUT;
}

static pthread_once_t mark_once = PTHREAD_ONCE_INIT;
_Atomic uint64_t *svl__mark_page;
static _Atomic uint64_t process_count;

static void map_mark_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return;
    }
    svl__mark_page = page;
}

uint64_t svl__process_mark(void)
{
    pthread_once(&mark_once, map_mark_page);
    if (!svl__mark_page)
        return 0;
    uint64_t mark = atomic_load_explicit(svl__mark_page, memory_order_relaxed);
    if (mark == 0) {
        /* A child counts on from its parent, so no two generations share a mark. */
        uint64_t next = atomic_fetch_add_explicit(&process_count, 1, memory_order_relaxed) + 1;
        uint64_t none = 0;
        mark = atomic_compare_exchange_strong(svl__mark_page, &none, next) ? next : none;
    }
    return mark;
}
