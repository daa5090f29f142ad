/* calls.c - the executable's own system calls, before the C library's: those of the library and of LMDB that change
 * files. What else would have to be here shows in the test that compares a log with the files. */
#undef _FILE_OFFSET_BITS /* the plain names are LMDB's; the library's have 64 behind them */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h> /* renameat() */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "notes.h"

#define FLUSH_NS_MAX 100000

static _Atomic bool rebooted;

void recorder_reboot(void)
{
    atomic_store(&rebooted, true);
}

/* A file with another boot's id. */
static int open_boot_id(void)
{
    static const char id[] = "5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a\n";
    int fd = memfd_create("boot_id", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, id, sizeof id - 1) != sizeof id - 1 || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Other threads write while a flush goes on: it takes a moment, and the lock is not held. */
static void take_a_moment(void)
{
    static _Atomic uint64_t count;
    uint64_t n = atomic_fetch_add(&count, 1);
    nanosleep(&(struct timespec){ .tv_nsec = (long)(n * 7919 % FLUSH_NS_MAX) }, NULL);
}

static int flush_and_note(long call, int fd)
{
    struct op end;
    bool counts = false;
    if (notes_begin()) {
        counts = note_flush_begin(fd, &end);
        notes_end();
    }
    if (counts)
        take_a_moment();
    int rc = (int)syscall(call, fd);
    if (rc == 0 && counts && notes_begin()) {
        note_flush_end(&end);
        notes_end();
    }
    return rc;
}

/* Or the linker keeps them to the executable, and LMDB uses the C library's. */
#pragma GCC visibility push(default)

static int open_and_note(int directory, const char *path, int flags, mode_t mode)
{
    if (atomic_load(&rebooted) && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return open_boot_id();
    bool noted = notes_begin();
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
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
    return open_and_note(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(AT_FDCWD, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, &arguments);
    va_end(arguments);
    return open_and_note(directory, path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    bool noted = notes_begin();
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
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
    bool noted = notes_begin();
    int rc = (int)syscall(SYS_unlinkat, directory, name, flags), error = errno;
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
    bool noted = notes_begin();
    int rc = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    int error = errno;
    if (noted) {
        if (rc == 0)
            note_rename(from_directory, from, to);
        notes_end();
    }
    errno = error;
    return rc;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    bool noted = notes_begin();
    ssize_t n = syscall(SYS_pwrite64, fd, data, len, offset);
    if (noted) {
        note_write(fd, data, n, (uint64_t)offset);
        notes_end();
    }
    return n;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    bool noted = notes_begin();
    ssize_t n = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (noted) {
        note_vector(fd, parts, count, n, (uint64_t)offset);
        notes_end();
    }
    return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    bool noted = notes_begin();
    off_t offset = noted ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = syscall(SYS_writev, fd, parts, count);
    if (noted) {
        note_vector(fd, parts, count, n, (uint64_t)offset);
        notes_end();
    }
    return n;
}

int ftruncate(int fd, off_t size)
{
    bool noted = notes_begin();
    int rc = (int)syscall(SYS_ftruncate, fd, size);
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
    bool noted = notes_begin();
    int rc = syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
    if (noted) {
        if (rc == 0 && fstat(fd, &st) == 0 && st.st_size == offset + len)
            note_size(fd, (uint64_t)st.st_size);
        notes_end();
    }
    return rc;
}

int fdatasync(int fd)
{
    return flush_and_note(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return flush_and_note(SYS_fsync, fd);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    bool noted = (flags & MAP_SHARED) && (protection & PROT_WRITE) && notes_begin();
    void *p = (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
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

int munmap(void *at, size_t len)
{
    bool noted = notes_begin();
    if (noted)
        note_unmapping(at);
    int rc = (int)syscall(SYS_munmap, at, len);
    if (noted)
        notes_end();
    return rc;
}

#pragma GCC visibility pop
