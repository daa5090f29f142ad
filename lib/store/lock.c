/* lock.c - the writer's lock and the process-wide table of stores that are open. */
#define _GNU_SOURCE
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/thread.h"

enum use { USE_READ, USE_WRITE, USE_ATTACHED };

struct store_lock {
    enum use use;
    dev_t device;
    ino_t inode;
    int fd;
    uint64_t process_mark; /* entries of a parent process mean nothing in its child */
    struct store_lock *next;
};

static pthread_mutex_t table_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct store_lock *table;

/* Who attaches and who reads do not mind each other, nor others that attach. */
static bool excludes(enum use one, enum use other)
{
    return (one != USE_ATTACHED && other != USE_ATTACHED) || one == USE_WRITE || other == USE_WRITE;
}

static const struct store_lock *find(dev_t device, ino_t inode, enum use use)
{
    for (const struct store_lock *lock = table; lock; lock = lock->next)
        if (lock->device == device && lock->inode == inode && excludes(lock->use, use) &&
            !svl__forked(lock->process_mark))
            return lock;
    return NULL;
}

static int lock_file(int fd, const char *path)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_SETLK, &whole) == 0)
        return SVL_OK;
    if (errno != EACCES && errno != EAGAIN)
        return svl__fail_errno(errno, "lock of %s", path);
    struct flock holder = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK && holder.l_pid > 0)
        return svl__fail(SVL_E_BUSY, "process %ld writes to %s", (long)holder.l_pid, path);
    return svl__fail(SVL_E_BUSY, "another process writes to %s", path);
}

/* Only for writing a lock is taken. */
static int take_locked(int directory, const char *path, mode_t file_mode, struct store_lock *lock)
{
    struct stat st;
    if (fstat(directory, &st) != 0)
        return svl__fail_errno(errno, "stat of %s", path);
    const struct store_lock *other = find(st.st_dev, st.st_ino, lock->use);
    if (other && lock->use == USE_ATTACHED)
        return svl__fail(SVL_E_BUSY, "this process has %s open: it publishes with svl_publish()",
                         path);
    if (other && other->use == USE_ATTACHED)
        return svl__fail(SVL_E_BUSY, "this process is attached to %s; close its publishers first",
                         path);
    if (other)
        return svl__fail(SVL_E_BUSY,
                         "this process has %s open already, or a cursor on it; close that first",
                         path);
    int rc = SVL_OK;
    if (lock->use == USE_WRITE)
        lock->fd = svl__file_open(directory, LOCK_NAME, O_RDWR | O_CREAT, file_mode, &rc);
    if (rc == SVL_OK && lock->use == USE_WRITE)
        rc = lock_file(lock->fd, path);
    if (rc != SVL_OK)
        return rc;
    lock->device = st.st_dev;
    lock->inode = st.st_ino;
    lock->process_mark = svl__process_mark();
    lock->next = table;
    table = lock;
    return SVL_OK;
}

static int take(int directory, const char *path, mode_t file_mode, enum use use,
                struct store_lock **out)
{
    *out = NULL;
    struct store_lock *lock = svl__calloc(1, sizeof *lock);
    if (!lock)
        return SVL_E_NOMEM;
    lock->fd = -1;
    lock->use = use;
    pthread_mutex_lock(&table_mutex);
    int rc = take_locked(directory, path, file_mode, lock);
    pthread_mutex_unlock(&table_mutex);
    if (rc != SVL_OK) {
        if (lock->fd >= 0)
            close(lock->fd);
        svl__free(lock);
        return rc;
    }
    *out = lock;
    return SVL_OK;
}

void svl__lock_drop(struct store_lock *lock)
{
    if (!lock)
        return;
    pthread_mutex_lock(&table_mutex);
    struct store_lock **at = &table;
    while (*at && *at != lock)
        at = &(*at)->next;
    if (*at)
        *at = lock->next;
    if (lock->fd >= 0)
        close(lock->fd);
    pthread_mutex_unlock(&table_mutex);
    svl__free(lock);
}

int svl__lock_take(int directory, const char *path, mode_t file_mode, struct store_lock **out)
{
    return take(directory, path, file_mode, USE_WRITE, out);
}

int svl__lock_note(int directory, const char *path, struct store_lock **out)
{
    return take(directory, path, 0, USE_READ, out);
}

int svl__lock_note_attached(int directory, const char *path, struct store_lock **out)
{
    return take(directory, path, 0, USE_ATTACHED, out);
}

bool svl__lock_is_taken(int directory)
{
    int rc;
    int fd = svl__file_open(directory, LOCK_NAME, O_RDONLY, 0, &rc);
    if (fd < 0)
        return false;
    struct flock holder = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    bool taken = fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK;
    close(fd);
    return taken;
}
