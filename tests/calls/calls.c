/* calls.c - the executable's own calls of the system, before the C library's: all of the library and of LMDB that can
 * fail. Each may be one that is to fail (fault.h); those that change files are noted for the recorder of power cuts.
 * What else would have to be here shows in check_listed.py, and in the test that compares a log with the files. */
#undef _FILE_OFFSET_BITS /* the plain names are LMDB's; the library's have 64 behind them */
#undef _FORTIFY_SOURCE   /* it has some of these names for itself */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h> /* renameat() */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "fault.h"
#include "power/notes.h"

#define FLUSH_NS_MAX 100000
/* More parts than LMDB or the library give. */
#define PARTS_MAX 128

static _Atomic bool rebooted;
static _Atomic int64_t wall_shift_s;

void calls_reboot(void)
{
    atomic_store(&rebooted, true);
}

void calls_set_clock_ahead(int64_t seconds)
{
    atomic_fetch_add(&wall_shift_s, seconds);
}

/* The C library's, of which only the threads' calls and the listing of a directory are used: the others are made by
 * number. */
static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* syscall() itself is one of ours. */
static long raw(long number, long a, long b, long c, long d, long e, long f)
{
    static long (*_Atomic real)(long, ...);
    long (*call)(long, ...) = atomic_load(&real);
    if (!call) {
        void *p = find("syscall");
        memcpy(&call, &p, sizeof call);
        atomic_store(&real, call);
    }
    return call(number, a, b, c, d, e, f);
}

#define CALL6(number, a, b, c, d, e, f)                                                            \
    raw((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL4(number, a, b, c, d) CALL6(number, a, b, c, d, 0, 0)
#define CALL3(number, a, b, c) CALL4(number, a, b, c, 0)
#define CALL2(number, a, b) CALL3(number, a, b, 0)
#define CALL1(number, a) CALL2(number, a, 0)

/* A file with another boot's id. */
static int open_boot_id(void)
{
    static const char id[] = "5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a\n";
    int fd = memfd_create("boot_id", MFD_CLOEXEC);
    if (fd >= 0 && (CALL3(SYS_write, fd, id, sizeof id - 1) != sizeof id - 1 ||
                    CALL3(SYS_lseek, fd, 0, SEEK_SET) != 0)) {
        CALL1(SYS_close, fd);
        fd = -1;
    }
    return fd;
}

/* Other threads write while a flush goes on: it takes a moment, and the lock is not held. */
static void take_a_moment(void)
{
    static _Atomic uint64_t count;
    uint64_t n = atomic_fetch_add(&count, 1);
    struct timespec moment = { .tv_nsec = (long)(n * 7919 % FLUSH_NS_MAX) };
    CALL2(SYS_nanosleep, &moment, NULL);
}

static int flush_and_note(enum call kind, long call, int fd)
{
    struct op end;
    bool counts = false;
    if (fault_strikes_flush(kind, fd))
        return -1;
    if (notes_begin()) {
        counts = note_flush_begin(fd, &end);
        notes_end();
    }
    if (counts)
        take_a_moment();
    int rc = (int)CALL1(call, fd);
    if (rc == 0 && counts && notes_begin()) {
        note_flush_end(&end);
        notes_end();
    }
    return rc;
}

/* The first `len` bytes of `parts`: how many parts, in `cut`. */
static int cut_parts(const struct iovec *parts, int count, size_t len, struct iovec *cut)
{
    int n = 0;
    for (; n < count && n < PARTS_MAX && len > 0; n++) {
        cut[n] = parts[n];
        if (cut[n].iov_len > len)
            cut[n].iov_len = len;
        len -= cut[n].iov_len;
    }
    return n;
}

static size_t sum_parts(const struct iovec *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    return len;
}

/* Or the linker keeps them to the executable, and LMDB uses the C library's. */
#pragma GCC visibility push(default)

static int open_and_note(enum call call, int directory, const char *path, int flags, mode_t mode)
{
    if (atomic_load(&rebooted) && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return open_boot_id();
    if (fault_strikes(call))
        return -1;
    bool noted = notes_begin();
    int fd = (int)CALL4(SYS_openat, directory, path, flags, mode);
    int error = errno;
    if (noted) {
        note_open(fd);
        notes_end();
    }
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list *arguments)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(*arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(CALL_LMDB_OPEN, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(CALL_OPEN, AT_FDCWD, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(CALL_OPEN, directory, path, flags, mode);
}

/* What fails has closed it all the same: close(2). */
int close(int fd)
{
    bool strikes = fault_strikes(CALL_CLOSE);
    int error = errno;
    int rc = (int)CALL1(SYS_close, fd);
    if (!strikes)
        return rc;
    errno = error;
    return -1;
}

int mkdir(const char *path, mode_t mode)
{
    if (fault_strikes(CALL_MKDIR))
        return -1;
    bool noted = notes_begin();
    int rc = (int)CALL3(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
    if (noted) {
        if (rc == 0)
            note_mkdir(path);
        notes_end();
    }
    errno = error;
    return rc;
}

int unlinkat(int directory, const char *name, int flags)
{
    if (fault_strikes(CALL_UNLINK))
        return -1;
    bool noted = notes_begin();
    int rc = (int)CALL3(SYS_unlinkat, directory, name, flags), error = errno;
    if (noted) {
        if (rc == 0)
            note_unlink(directory, name);
        notes_end();
    }
    errno = error;
    return rc;
}

/* Within a directory. */
int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    if (fault_strikes(CALL_RENAME))
        return -1;
    bool noted = notes_begin();
    int rc = (int)CALL6(SYS_renameat2, from_directory, from, to_directory, to, 0, 0);
    int error = errno;
    if (noted) {
        if (rc == 0)
            note_rename(from_directory, from, to);
        notes_end();
    }
    errno = error;
    return rc;
}

ssize_t read(int fd, void *data, size_t len)
{
    bool fails_after;
    if (fault_strikes_part(CALL_READ, &len, &fails_after))
        return -1;
    return CALL3(SYS_read, fd, data, len);
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
    return fault_strikes(CALL_LMDB_PREAD) ? -1 : CALL4(SYS_pread64, fd, data, len, offset);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t offset)
{
    bool fails_after;
    if (fault_strikes_part(CALL_PREAD, &len, &fails_after))
        return -1;
    return CALL4(SYS_pread64, fd, data, len, offset);
}

static ssize_t write_at(int fd, const void *data, size_t len, off_t offset)
{
    bool noted = notes_begin();
    ssize_t n = CALL4(SYS_pwrite64, fd, data, len, offset);
    if (noted) {
        note_write(fd, data, n, (uint64_t)offset);
        notes_end();
    }
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    bool fails_after;
    if (fault_strikes_part(CALL_PWRITE, &len, &fails_after))
        return -1;
    int error = errno;
    ssize_t n = write_at(fd, data, len, offset);
    if (!fails_after)
        return n;
    errno = error;
    return -1;
}

/* From `offset` on, or, where it is negative, from where the file stands. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off64_t offset)
{
    bool noted = notes_begin();
    off64_t at = offset < 0 && noted ? CALL3(SYS_lseek, fd, 0, SEEK_CUR) : offset;
    ssize_t n = offset < 0 ? CALL3(SYS_writev, fd, parts, count)
                           : CALL6(SYS_pwritev, fd, parts, count, offset, 0, 0);
    if (noted) {
        note_vector(fd, parts, count, n, (uint64_t)at);
        notes_end();
    }
    return n;
}

static ssize_t write_vector(enum call call, int fd, const struct iovec *parts, int count,
                            off64_t offset)
{
    struct iovec cut[PARTS_MAX];
    size_t whole = sum_parts(parts, count), len = whole;
    bool fails_after;
    if (fault_strikes_part(call, &len, &fails_after))
        return -1;
    if (len == whole)
        return write_parts(fd, parts, count, offset);
    int error = errno;
    ssize_t n = write_parts(fd, cut, cut_parts(parts, count, len, cut), offset);
    if (!fails_after)
        return n;
    errno = error;
    return -1;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return write_vector(CALL_PWRITEV, fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_vector(CALL_WRITEV, fd, parts, count, -1);
}

off_t lseek(int fd, off_t offset, int whence)
{
    return fault_strikes(CALL_SEEK) ? -1 : CALL3(SYS_lseek, fd, offset, whence);
}

int ftruncate(int fd, off_t size)
{
    if (fault_strikes(CALL_FTRUNCATE))
        return -1;
    bool noted = notes_begin();
    int rc = (int)CALL2(SYS_ftruncate, fd, size);
    if (noted) {
        if (rc == 0)
            note_size(fd, (uint64_t)size);
        notes_end();
    }
    return rc;
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    struct stat st;
    if (fault_strikes(CALL_FALLOCATE))
        return errno;
    bool noted = notes_begin();
    int rc = CALL4(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
    if (noted) {
        if (rc == 0 && CALL2(SYS_fstat, fd, &st) == 0 && st.st_size == offset + len)
            note_size(fd, (uint64_t)st.st_size);
        notes_end();
    }
    return rc;
}

int fdatasync(int fd)
{
    return flush_and_note(CALL_FDATASYNC, SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return flush_and_note(CALL_FSYNC, SYS_fsync, fd);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (fault_strikes(CALL_MMAP))
        return MAP_FAILED;
    bool noted = (flags & MAP_SHARED) && (protection & PROT_WRITE) && notes_begin();
    void *p = (void *)CALL6(SYS_mmap, at, len, protection, flags, fd, offset);
    if (noted) {
        if (p != MAP_FAILED)
            note_mapping(p, len, fd);
        notes_end();
    }
    return p;
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, len, protection, flags, fd, offset);
}

/* Of a whole mapping: that cannot fail. */
int munmap(void *at, size_t len)
{
    bool noted = notes_begin();
    if (noted)
        note_unmapping(at);
    int rc = (int)CALL2(SYS_munmap, at, len);
    if (noted)
        notes_end();
    return rc;
}

int madvise(void *at, size_t len, int advice)
{
    return fault_strikes(CALL_MADVISE) ? -1 : (int)CALL3(SYS_madvise, at, len, advice);
}

/* --- what is asked of files --- */

int fstat64(int fd, struct stat64 *st)
{
    return fault_strikes(CALL_STAT) ? -1 : (int)CALL2(SYS_fstat, fd, st);
}

/* LMDB's, of an older C library. */
int __fxstat(int version, int fd, struct stat *st);
int __fxstat(int version, int fd, struct stat *st)
{
    (void)version;
    return fault_strikes(CALL_STAT) ? -1 : (int)CALL2(SYS_fstat, fd, st);
}

int fstatat64(int directory, const char *name, struct stat64 *st, int flags)
{
    return fault_strikes(CALL_STAT) ? -1 : (int)CALL4(SYS_newfstatat, directory, name, st, flags);
}

int stat64(const char *path, struct stat64 *st)
{
    return fstatat64(AT_FDCWD, path, st, 0);
}

int fstatfs(int fd, struct statfs *fs)
{
    return fault_strikes(CALL_STAT_FS) ? -1 : (int)CALL2(SYS_fstatfs, fd, fs);
}

int fstatfs64(int fd, struct statfs64 *fs)
{
    return fault_strikes(CALL_STAT_FS) ? -1 : (int)CALL2(SYS_fstatfs, fd, fs);
}

int faccessat(int directory, const char *name, int mode, int flags)
{
    return fault_strikes(CALL_ACCESS) ? -1
                                      : (int)CALL4(SYS_faccessat2, directory, name, mode, flags);
}

int access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, 0);
}

int fchmod(int fd, mode_t mode)
{
    return fault_strikes(CALL_CHMOD) ? -1 : (int)CALL2(SYS_fchmod, fd, mode);
}

int fchmodat(int directory, const char *name, mode_t mode, int flags)
{
    (void)flags; /* none in use */
    return fault_strikes(CALL_CHMOD) ? -1 : (int)CALL3(SYS_fchmodat, directory, name, mode);
}

int fchown(int fd, uid_t owner, gid_t group)
{
    return fault_strikes(CALL_CHOWN) ? -1 : (int)CALL3(SYS_fchown, fd, owner, group);
}

int futimens(int fd, const struct timespec times[2])
{
    return fault_strikes(CALL_SET_TIMES) ? -1 : (int)CALL4(SYS_utimensat, fd, NULL, times, 0);
}

/* Every argument that there is takes a register. */
static int control(enum call lock, int fd, int command, long argument)
{
    static const int locks[] = { F_SETLK, F_SETLKW, F_GETLK, F_OFD_SETLK };
    enum call call = CALL_FCNTL;
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
        call = command == locks[i] ? lock : call;
    return fault_strikes(call) ? -1 : (int)CALL3(SYS_fcntl, fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return control(CALL_LMDB_LOCK, fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return control(CALL_LOCK, fd, command, argument);
}

DIR *fdopendir(int fd)
{
    DIR *(*real)(int);
    void *p = find("fdopendir");
    memcpy(&real, &p, sizeof real);
    return fault_strikes(CALL_LIST) ? NULL : real(fd);
}

struct dirent64 *readdir64(DIR *listing)
{
    struct dirent64 *(*real)(DIR *);
    void *p = find("readdir64");
    memcpy(&real, &p, sizeof real);
    return fault_strikes(CALL_READ_LIST) ? NULL : real(listing);
}

/* --- what is no file of a store --- */

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)CALL2(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME)
        t->tv_sec += atomic_load(&wall_shift_s);
    return rc;
}

ssize_t getrandom(void *data, size_t len, unsigned flags)
{
    bool fails_after;
    if (fault_strikes_part(CALL_GETRANDOM, &len, &fails_after))
        return -1;
    return CALL3(SYS_getrandom, data, len, flags);
}

/* The library's only call by number is a futex's; one that wakes cannot fail. */
long syscall(long number, ...)
{
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (size_t i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    long operation = a[1] & ~(long)FUTEX_PRIVATE_FLAG;
    if (number == SYS_futex && operation != FUTEX_WAKE && fault_strikes(CALL_FUTEX_WAIT))
        return -1;
    return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int eventfd(unsigned count, int flags)
{
    return fault_strikes(CALL_EVENTFD) ? -1 : (int)CALL2(SYS_eventfd2, count, flags);
}

int eventfd_read(int fd, eventfd_t *value)
{
    return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

int epoll_create1(int flags)
{
    return fault_strikes(CALL_EPOLL) ? -1 : (int)CALL1(SYS_epoll_create1, flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return fault_strikes(CALL_EPOLL_ADD) ? -1
                                         : (int)CALL4(SYS_epoll_ctl, epoll, operation, fd, event);
}

int timerfd_create(clockid_t clock, int flags)
{
    return fault_strikes(CALL_TIMERFD) ? -1 : (int)CALL2(SYS_timerfd_create, clock, flags);
}

int inotify_init1(int flags)
{
    return fault_strikes(CALL_INOTIFY) ? -1 : (int)CALL1(SYS_inotify_init1, flags);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return fault_strikes(CALL_INOTIFY_ADD) ? -1 : (int)CALL3(SYS_inotify_add_watch, fd, path, mask);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask; /* none in use */
    struct timespec left = timeout ? *timeout : (struct timespec){ 0 };
    return fault_strikes(CALL_POLL) ? -1
                                    : (int)CALL4(SYS_ppoll, fds, n, timeout ? &left : NULL, NULL);
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
    return ppoll(fds, n, timeout_ms < 0 ? NULL : &t, NULL);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *p = find("pthread_create");
    memcpy(&real, &p, sizeof real);
    return fault_strikes(CALL_THREAD) ? errno : real(thread, attributes, run, argument);
}

#pragma GCC visibility pop
