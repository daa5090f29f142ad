/* file - whole reads and writes, safe opens, directories that may hold a store. */
#ifndef SVL_BASE_FILE_H
#define SVL_BASE_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* openat() with O_CLOEXEC | O_NOFOLLOW, of a regular file with one link that the caller owns; EINTR
 * repeated. -1 and *rc after a failure: SVL_E_NOT_FOUND (without words) for ENOENT. What it made by O_EXCL is gone
 * then. */
int svl__file_open(int directory, const char *name, int flags, mode_t mode, int *rc);

/* All of it or an error; a read past the end is SVL_E_CORRUPT. `name` is for the words. */
int svl__file_write(int fd, const void *data, size_t len, uint64_t offset, const char *name);
int svl__file_writev(int fd, struct iovec *parts, int count, uint64_t offset, const char *name);
int svl__file_read(int fd, void *data, size_t len, uint64_t offset, const char *name);

int svl__file_size(int fd, uint64_t *size, const char *name);
/* fdatasync(); the words say that the file must not be trusted any more. */
int svl__file_sync(int fd, const char *name);
int svl__directory_sync(int directory, const char *name);

/* Opens directory `path` itself, not what a link there points to: SVL_E_PATH where it is something
 * else or another user's, SVL_E_NOT_FOUND (without words) where it is not there. */
int svl__directory_open(const char *path, int *out);

/* The same for a directory that others may own, such as /dev/shm. */
int svl__directory_open_shared(const char *path, int *out);

/* What is in an open directory, from its beginning on: closed by closedir(). `name` is for the words. */
int svl__directory_list(int directory, const char *name, DIR **out);
/* *entry is NULL behind the last one. An error is not taken for that: whoever looks for what is not there would find
 * it so. */
int svl__directory_next(DIR *listing, const char *name, const struct dirent **entry);

/* SVL_E_FILE_SYSTEM on a network file system or an unknown FUSE. */
int svl__directory_check_local(int directory, const char *path);

/* Random bytes from the system. */
int svl__random(void *data, size_t len);

/* The kernel's random id of this boot; zeros after an error, and where a system does not tell. */
int svl__boot_id(uint8_t out[16]);

#endif
