/* calls.c - the executable's own system calls, before the C library's: LMDB has no named points, so its calls are some.
 * A write of several pages is made in two, as a kill may cut one off between two pages. */
#undef _FILE_OFFSET_BITS /* the plain names are LMDB's; the library's have 64 behind them */
#define _GNU_SOURCE
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/step.h"

#define PAGE_BYTES 4096
#define META_PAGES 2

enum file { OTHER_FILE, CATALOG, SEGMENT };

static enum file kind_of(int fd)
{
    char link[32], path[512] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        return OTHER_FILE;
    if (strstr(path, "/catalog"))
        return CATALOG;
    return strstr(path, ".seg") ? SEGMENT : OTHER_FILE;
}

/* How much of a write is its first half, to a page's end; 0: it has but one. */
static size_t half_of(size_t len)
{
    return len / 2 / PAGE_BYTES * PAGE_BYTES;
}

/* Takes the first `len` bytes of `parts` into `first`; what remains of them stays in `parts`. */
static int split(struct iovec *parts, int count, size_t len, struct iovec *first)
{
    int n = 0;
    for (int i = 0; i < count && len > 0; i++) {
        size_t take = parts[i].iov_len < len ? parts[i].iov_len : len;
        first[n++] = (struct iovec){ parts[i].iov_base, take };
        parts[i].iov_base = (char *)parts[i].iov_base + take;
        parts[i].iov_len -= take;
        len -= take;
    }
    return n;
}

static size_t length_of(const struct iovec *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    return len;
}

static void before_pages(enum file file)
{
    if (file == CATALOG)
        STEP("LMDB, catalog: pages to be written");
    else if (file == SEGMENT)
        STEP("LMDB, segment: pages to be written");
}

static void amid_pages(enum file file)
{
    if (file == CATALOG)
        STEP("LMDB, catalog: half of the pages written");
    else if (file == SEGMENT)
        STEP("LMDB, segment: half of the pages written");
}

static void before_meta(enum file file)
{
    if (file == CATALOG)
        STEP("LMDB, catalog: meta page to be written");
    else if (file == SEGMENT)
        STEP("LMDB, segment: meta page to be written");
}

static void behind_meta(enum file file)
{
    if (file == CATALOG)
        STEP("LMDB, catalog: meta page written");
    else if (file == SEGMENT)
        STEP("LMDB, segment: meta page written");
}

static void before_flush(enum file file)
{
    if (file == CATALOG)
        STEP("LMDB, catalog: pages to be flushed");
    else if (file == SEGMENT)
        STEP("LMDB, segment: pages to be flushed");
}

static ssize_t write_at(int fd, const void *data, size_t len, off_t offset)
{
    return syscall(SYS_pwrite64, fd, data, len, offset);
}

/* Or the linker keeps them to the executable, and LMDB uses the C library's. */
#pragma GCC visibility push(default)

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    enum file file = kind_of(fd);
    bool is_meta = offset < META_PAGES * PAGE_BYTES;
    if (is_meta)
        before_meta(file);
    else
        before_pages(file);
    size_t half = half_of(len);
    if (half > 0) {
        ssize_t n = write_at(fd, data, half, offset);
        if (n != (ssize_t)half)
            return n;
        amid_pages(file);
    }
    ssize_t n = write_at(fd, (const char *)data + half, len - half, offset + (off_t)half);
    if (is_meta)
        behind_meta(file);
    return n < 0 ? n : n + (ssize_t)half;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct iovec rest[IOV_MAX], first[IOV_MAX];
    enum file file = kind_of(fd);
    size_t half = half_of(length_of(parts, count));
    before_pages(file);
    if (half == 0)
        return syscall(SYS_writev, fd, parts, count);
    memcpy(rest, parts, (size_t)count * sizeof *parts);
    int n = split(rest, count, half, first);
    ssize_t done = syscall(SYS_writev, fd, first, n);
    if (done != (ssize_t)half)
        return done;
    amid_pages(file);
    ssize_t more = syscall(SYS_writev, fd, rest, count);
    return more < 0 ? more : more + done;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    struct iovec rest[IOV_MAX], first[IOV_MAX];
    size_t half = half_of(length_of(parts, count));
    if (half == 0)
        return syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    memcpy(rest, parts, (size_t)count * sizeof *parts);
    int n = split(rest, count, half, first);
    ssize_t done = syscall(SYS_pwritev, fd, first, n, offset, 0L);
    if (done != (ssize_t)half)
        return done;
    STEP("journal: half of the pages written");
    ssize_t more = syscall(SYS_pwritev, fd, rest, count, offset + done, 0L);
    return more < 0 ? more : more + done;
}

int fdatasync(int fd)
{
    before_flush(kind_of(fd));
    return (int)syscall(SYS_fdatasync, fd);
}

#pragma GCC visibility pop
