/* fault.c - counters, and the one fault that is armed. Any thread; armed and disarmed while no others are there. */
#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const call_names[CALLS] = {
    [CALL_OPEN] = "open",
    [CALL_LMDB_OPEN] = "LMDB's open",
    [CALL_CLOSE] = "close",
    [CALL_READ] = "read",
    [CALL_PREAD] = "pread",
    [CALL_LMDB_PREAD] = "LMDB's pread",
    [CALL_PWRITE] = "pwrite",
    [CALL_WRITEV] = "writev",
    [CALL_PWRITEV] = "pwritev",
    [CALL_FDATASYNC] = "fdatasync",
    [CALL_FSYNC] = "fsync",
    [CALL_FTRUNCATE] = "ftruncate",
    [CALL_FALLOCATE] = "posix_fallocate",
    [CALL_SEEK] = "lseek",
    [CALL_MMAP] = "mmap",
    [CALL_MADVISE] = "madvise",
    [CALL_MKDIR] = "mkdir",
    [CALL_RENAME] = "rename",
    [CALL_UNLINK] = "unlink",
    [CALL_LIST] = "fdopendir",
    [CALL_READ_LIST] = "readdir",
    [CALL_STAT] = "stat",
    [CALL_STAT_FS] = "statfs",
    [CALL_ACCESS] = "access",
    [CALL_CHMOD] = "chmod",
    [CALL_CHOWN] = "chown",
    [CALL_SET_TIMES] = "futimens",
    [CALL_LOCK] = "lock",
    [CALL_LMDB_LOCK] = "LMDB's lock",
    [CALL_FCNTL] = "fcntl",
    [CALL_GETRANDOM] = "getrandom",
    [CALL_FUTEX_WAIT] = "futex",
    [CALL_EVENTFD] = "eventfd",
    [CALL_EPOLL] = "epoll_create",
    [CALL_EPOLL_ADD] = "epoll_ctl",
    [CALL_TIMERFD] = "timerfd_create",
    [CALL_INOTIFY] = "inotify_init",
    [CALL_INOTIFY_ADD] = "inotify_add_watch",
    [CALL_POLL] = "poll",
    [CALL_THREAD] = "pthread_create",
};

static _Atomic bool armed;
static struct fault fault;
static uint64_t strike_at; /* 0: none */
static _Atomic uint64_t counts[CALLS];
static _Atomic bool struck_journal;

void fault_arm(const struct fault *what, uint64_t n)
{
    fault_disarm();
    for (size_t i = 0; i < CALLS; i++)
        atomic_store(&counts[i], 0);
    strike_at = what ? n : 0;
    atomic_store(&struck_journal, false);
    if (what)
        fault = *what;
    atomic_store(&armed, true);
}

void fault_disarm(void)
{
    atomic_store(&armed, false);
}

uint64_t fault_count(enum call call)
{
    return atomic_load(&counts[call]);
}

bool fault_struck(void)
{
    return strike_at != 0 && fault_count(fault.call) >= strike_at;
}

static bool strikes(enum call call)
{
    if (!atomic_load(&armed))
        return false;
    uint64_t n = atomic_fetch_add(&counts[call], 1) + 1;
    return strike_at != 0 && call == fault.call && (fault.lasts ? n >= strike_at : n == strike_at);
}

bool fault_strikes(enum call call)
{
    if (!strikes(call))
        return false;
    errno = fault.error;
    return true;
}

bool fault_struck_journal(void)
{
    return atomic_load(&struck_journal);
}

bool fault_strikes_flush(enum call call, int fd)
{
    char link[64], name[512];
    if (!strikes(call))
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n > 0 ? n : 0] = 0;
    if (strstr(name, "/journal."))
        atomic_store(&struck_journal, true);
    errno = fault.error;
    return true;
}

bool fault_strikes_part(enum call call, size_t *len, bool *fails_after)
{
    *fails_after = false;
    if (!strikes(call))
        return false;
    errno = fault.error;
    if (fault.kind == FAULT_FAILS)
        return true;
    *fails_after = fault.kind == FAULT_HALF_FAILS;
    *len = fault.kind == FAULT_ONE_BYTE && *len > 0 ? 1 : *len / 2;
    return false;
}
