/* file.c - system calls on files, complete or with words. */
#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "error.h"

/* Not in linux/magic.h of every libc. */
#define CIFS_MAGIC UINT32_C(0xff534d42)
#define SMB2_MAGIC UINT32_C(0xfe534d42)
#define NINE_P_MAGIC UINT32_C(0x01021997)
#define CEPH_MAGIC UINT32_C(0x00c36400)

/* A directory opened for writing, a socket, a device without a driver, a program that runs: nothing that a later try
 * could open. What can be opened is looked at then. */
static bool is_of_another_kind(int error)
{
    return error == EISDIR || error == ENXIO || error == ENODEV || error == ETXTBSY;
}

int svl__file_open(int directory, const char *name, int flags, mode_t mode, int *rc)
{
    int fd;
    /* O_NONBLOCK: a FIFO or device put in a file's place must not hang the open. */
    do
        fd = openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        if (errno == ENOENT)
            *rc = SVL_E_NOT_FOUND;
        else if (errno == ELOOP)
            *rc = svl__fail(SVL_E_PATH, "%s is a symbolic link; links are not followed", name);
        else if (is_of_another_kind(errno))
            *rc = svl__fail(SVL_E_PATH, "%s is not a regular file", name);
        else
            *rc = svl__fail_errno(errno, "open of %s", name);
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) != 0)
        *rc = svl__fail_errno(errno, "stat of %s", name);
    else if (!S_ISREG(st.st_mode))
        *rc = svl__fail(SVL_E_PATH, "%s is not a regular file", name);
    else if (st.st_nlink > 1)
        *rc = svl__fail(SVL_E_PATH, "%s has a second hard link; remove it", name);
    else if (st.st_uid != geteuid() && geteuid() != 0)
        *rc = svl__fail(SVL_E_ACCESS, "%s belongs to user %u", name, (unsigned)st.st_uid);
    else {
        *rc = SVL_OK;
        return fd;
    }
    if (flags & O_EXCL) /* it was made here, and nobody knows of it */
        unlinkat(directory, name, 0);
    close(fd);
    return -1;
}

/* A short write that makes no headway is a full disk or a limit: the next call's errno tells. */
int svl__file_writev(int fd, struct iovec *parts, int count, uint64_t offset, const char *name)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return svl__fail_errno(errno, "write of %s at offset %llu", name,
                                   (unsigned long long)offset);
        }
        size_t done = (size_t)n;
        offset += done;
        while (count > 0 && done >= parts->iov_len) {
            done -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= done;
            if (n == 0)
                return svl__fail(SVL_E_IO, "write of %s at offset %llu took nothing", name,
                                 (unsigned long long)offset);
        }
    }
    return SVL_OK;
}

int svl__file_write(int fd, const void *data, size_t len, uint64_t offset, const char *name)
{
    struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
    return svl__file_writev(fd, &part, 1, offset, name);
}

int svl__file_read(int fd, void *data, size_t len, uint64_t offset, const char *name)
{
    char *p = data;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return svl__fail_errno(errno, "read of %s at offset %llu", name,
                                   (unsigned long long)offset);
        }
        if (n == 0)
            return svl__fail(SVL_E_CORRUPT, "%s ends at offset %llu, %zu bytes too early", name,
                             (unsigned long long)offset, len);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return SVL_OK;
}

int svl__file_size(int fd, uint64_t *size, const char *name)
{
    struct stat st;
    *size = 0;
    if (fstat(fd, &st) != 0)
        return svl__fail_errno(errno, "stat of %s", name);
    *size = (uint64_t)st.st_size;
    return SVL_OK;
}

/* Not repeated after EINTR or EIO: the kernel may have marked the lost pages clean. */
int svl__file_sync(int fd, const char *name)
{
    if (fdatasync(fd) != 0)
        return svl__fail_errno(errno, "flush of %s: what was written last may be lost", name);
    return SVL_OK;
}

int svl__directory_sync(int directory, const char *name)
{
    if (fsync(directory) != 0)
        return svl__fail_errno(errno, "flush of directory %s", name);
    return SVL_OK;
}

int svl__directory_open_shared(const char *path, int *out)
{
    int fd;
    *out = -1;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        if (errno == ENOENT)
            return SVL_E_NOT_FOUND;
        if (errno == ENAMETOOLONG)
            return svl__fail(SVL_E_PATH, "a path of %zu bytes is too long", strlen(path));
        if (errno == ENOTDIR || errno == ELOOP)
            return svl__fail(SVL_E_PATH, "%s is not a directory (links are not followed)", path);
        return svl__fail_errno(errno, "open of directory %s", path);
    }
    *out = fd;
    return SVL_OK;
}

int svl__directory_open(const char *path, int *out)
{
    int fd;
    int rc = svl__directory_open_shared(path, &fd);
    *out = -1;
    if (rc != SVL_OK)
        return rc;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = svl__fail_errno(errno, "stat of directory %s", path);
        close(fd);
        return rc;
    }
    if (st.st_uid != geteuid() && geteuid() != 0) {
        close(fd);
        return svl__fail(SVL_E_PATH, "directory %s belongs to user %u", path, (unsigned)st.st_uid);
    }
    *out = fd;
    return SVL_OK;
}

int svl__directory_list(int directory, const char *name, DIR **out)
{
    int fd;
    do
        fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    *out = fd < 0 ? NULL : fdopendir(fd);
    if (*out)
        return SVL_OK;
    int rc = svl__fail_errno(errno, "listing of %s", name);
    if (fd >= 0)
        close(fd);
    return rc;
}

int svl__directory_next(DIR *listing, const char *name, const struct dirent **entry)
{
    errno = 0;
    *entry = readdir(listing);
    return *entry || errno == 0 ? SVL_OK : svl__fail_errno(errno, "listing of %s", name);
}

int svl__directory_check_local(int directory, const char *path)
{
    struct statfs fs;
    if (fstatfs(directory, &fs) != 0)
        return svl__fail_errno(errno, "statfs of %s", path);
    switch ((uint32_t)fs.f_type) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case CIFS_MAGIC:
    case SMB2_MAGIC:
    case NINE_P_MAGIC:
    case CEPH_MAGIC:
    case AFS_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
        return svl__fail(SVL_E_FILE_SYSTEM,
                         "%s is on file system type %#lx: locks and maps are not safe there; use a "
                         "local disk, or SVL_STORE_ANY_FILE_SYSTEM if you know better",
                         path, (unsigned long)fs.f_type);
    default:
        return SVL_OK;
    }
}

int svl__random(void *data, size_t len)
{
    char *p = data;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return svl__fail_errno(errno, "random bytes from the system");
        }
        p += n;
        len -= (size_t)n;
    }
    return SVL_OK;
}

/* The whole file, or as much as there is. */
static ssize_t read_boot_id(int fd, char *text, size_t capacity)
{
    size_t len = 0;
    while (len < capacity) {
        ssize_t n = read(fd, text + len, capacity - len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -1;
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

int svl__boot_id(uint8_t out[16])
{
    static const uint8_t digit_of['g'] = {
        ['1'] = 1, ['2'] = 2,  ['3'] = 3,  ['4'] = 4,  ['5'] = 5,  ['6'] = 6,  ['7'] = 7, ['8'] = 8,
        ['9'] = 9, ['a'] = 10, ['b'] = 11, ['c'] = 12, ['d'] = 13, ['e'] = 14, ['f'] = 15
    };
    char text[64];
    int fd;
    memset(out, 0, 16);
    do
        fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 && (errno == ENOENT || errno == EACCES))
        return SVL_OK;
    ssize_t n = fd < 0 ? -1 : read_boot_id(fd, text, sizeof text);
    int rc = n < 0 ? svl__fail_errno(errno, "the kernel's boot id") : SVL_OK;
    if (fd >= 0)
        close(fd);
    size_t digits = 0;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
            continue;
        out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | digit_of[c]);
        digits++;
    }
    return rc;
}
