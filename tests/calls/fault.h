/* fault - the n-th call of one kind fails. The calls that stand before the C library's (calls.c) ask here before they
 * are made; what fails, and how, is a row of a table. */
#ifndef TESTS_CALLS_FAULT_H
#define TESTS_CALLS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every call of the library and of LMDB that can fail; calls that are made for the same thing are one kind. LMDB's are
 * others where they can fail in fewer ways: it takes an open that was interrupted or a read that was short for an
 * error, which no local file system gives, and a lock that could not be taken for one that somebody has. */
enum call {
    CALL_OPEN,
    CALL_LMDB_OPEN,
    CALL_CLOSE,
    CALL_READ,
    CALL_PREAD,
    CALL_LMDB_PREAD,
    CALL_PWRITE,
    CALL_WRITEV,
    CALL_PWRITEV,
    CALL_FDATASYNC,
    CALL_FSYNC,
    CALL_FTRUNCATE,
    CALL_FALLOCATE,
    CALL_SEEK,
    CALL_MMAP,
    CALL_MADVISE,
    CALL_MKDIR,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_LIST, /* fdopendir() */
    CALL_READ_LIST,
    CALL_STAT,
    CALL_STAT_FS,
    CALL_ACCESS,
    CALL_CHMOD,
    CALL_CHOWN,
    CALL_SET_TIMES,
    CALL_LOCK, /* fcntl() that sets or looks at one */
    CALL_LMDB_LOCK,
    CALL_FCNTL,
    CALL_GETRANDOM,
    CALL_FUTEX_WAIT,
    CALL_EVENTFD,
    CALL_EPOLL,
    CALL_EPOLL_ADD,
    CALL_TIMERFD,
    CALL_INOTIFY,
    CALL_INOTIFY_ADD,
    CALL_POLL,
    CALL_THREAD,
    CALLS
};
extern const char *const call_names[CALLS];

enum fault_kind {
    FAULT_FAILS,      /* nothing is done */
    FAULT_HALF_FAILS, /* a write: half of it is done */
    FAULT_ONE_BYTE,   /* done, and says so */
    FAULT_HALF
};

struct fault {
    enum call call;
    enum fault_kind kind;
    int error;
    bool lasts; /* the n-th and all behind it */
};

/* From now on calls are counted, and `fault` befalls the n-th one of its kind. NULL: none. */
void fault_arm(const struct fault *fault, uint64_t n);
void fault_disarm(void);
/* It has befallen a call since it was armed; a flush of a journal's file. */
bool fault_struck(void);
bool fault_struck_journal(void);
/* Calls since fault_arm(). */
uint64_t fault_count(enum call call);

/* Of calls.c. True: errno is set, and the call is not made. */
bool fault_strikes(enum call call);
/* The same of a flush of `fd`. */
bool fault_strikes_flush(enum call call, int fd);
/* The same of reads and writes: or *len is what is to be done of it. */
bool fault_strikes_part(enum call call, size_t *len, bool *fails_after);

#endif
