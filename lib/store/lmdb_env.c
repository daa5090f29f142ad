/* lmdb_env.c - environments, opened and closed with care. */
#define _GNU_SOURCE
#include "lmdb_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/step.h"

#define META_PAGE_BYTES 4096
#define META_BYTES 160
#define CHECK_TRIES 20

int svl__lmdb_error(const struct lmdb_env *env, int code, const char *what)
{
    switch (code) {
    case MDB_SUCCESS:
        return SVL_OK;
    case MDB_MAP_FULL:
        return SVL_E_FULL;
    case MDB_NOTFOUND:
        return SVL_E_NOT_FOUND;
    case MDB_VERSION_MISMATCH:
        return svl__fail(SVL_E_VERSION, "%s: %s: another version of LMDB wrote it", env->name,
                         what);
    case MDB_READERS_FULL:
        return svl__fail(SVL_E_RESOURCE, "%s: %s: more readers than readers_max", env->name, what);
    case MDB_PANIC: /* a meta page could not be written: the file is as it was */
        return svl__fail(SVL_E_FAILED, "%s: %s: a commit failed before; open it again", env->name,
                         what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return svl__fail(SVL_E_CORRUPT, "%s: %s: %s", env->name, what, mdb_strerror(code));
    default:
        if (code > 0)
            return svl__fail_errno(code, "%s: %s", env->name, what);
        return svl__fail(SVL_E_INTERNAL, "%s: %s: %s", env->name, what, mdb_strerror(code));
    }
}

/* The lock file is created by LMDB without a check for links: so it is looked at first. */
static int check_lock_file(const struct lmdb_options *o)
{
    char name[80];
    struct stat st;
    snprintf(name, sizeof name, "%s-lock", o->name);
    if (fstatat(o->directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SVL_OK : svl__fail_errno(errno, "stat of %s", name);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return svl__fail(SVL_E_PATH, "%s is not a plain file of its own", name);
    return SVL_OK;
}

/* What both meta pages say: their transactions are in it. */
static bool read_metas(int fd, const char *name, uint8_t out[2][META_BYTES])
{
    return svl__file_read(fd, out[0], META_BYTES, 0, name) == SVL_OK &&
           svl__file_read(fd, out[1], META_BYTES, META_PAGE_BYTES, name) == SVL_OK;
}

/* A file that another process writes may change under the walk: then it is walked again. */
static int check_changing(int fd, const char *name, uint64_t map_bytes, const char *const *without,
                          bool to_write)
{
    uint8_t before[2][META_BYTES], after[2][META_BYTES];
    for (int i = 0; i < CHECK_TRIES; i++) {
        bool read = read_metas(fd, name, before);
        int rc = svl__lmdb_check(fd, name, map_bytes, without, to_write);
        if (rc != SVL_E_CORRUPT || !read || !read_metas(fd, name, after) ||
            memcmp(before, after, sizeof before) == 0)
            return rc;
    }
    return svl__fail(SVL_E_RESOURCE, "%s changes faster than it can be checked; try again", name);
}

int svl__lmdb_check_open(const struct lmdb_env *env, const char *const *without, bool to_write)
{
    MDB_envinfo info;
    unsigned flags;
    int fd, code = mdb_env_info(env->env, &info);
    if (code == 0)
        code = mdb_env_get_flags(env->env, &flags);
    if (code == 0)
        code = mdb_env_get_fd(env->env, &fd);
    if (code != 0)
        return svl__lmdb_error(env, code, "its descriptor");
    return (flags & MDB_RDONLY ? check_changing : svl__lmdb_check)(fd, env->name, info.me_mapsize,
                                                                   without, to_write);
}

/* Opens or makes the data file ourselves, checks it, and lets LMDB open it again by directory
 * descriptor: no path is walked, no link followed. */
static int prepare_file(const struct lmdb_options *o)
{
    int rc;
    int flags = (o->read_only ? O_RDONLY : O_RDWR) | (o->create ? O_CREAT | O_EXCL : 0);
    int fd = svl__file_open(o->directory, o->name, flags, o->file_mode, &rc);
    if (rc == SVL_OK && o->create && fchmod(fd, o->file_mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", o->name);
    if (rc == SVL_OK && !o->create)
        rc = (o->read_only ? check_changing : svl__lmdb_check)(fd, o->name, o->map_bytes,
                                                               o->unchecked, !o->unchecked);
    if (fd >= 0)
        close(fd);
    return rc == SVL_OK ? check_lock_file(o) : rc;
}

/* A writer that was killed between its meta page and the transaction number in the lock file has committed:
 * LMDB finds that out, and mends the number, when the next one locks for writing, but not when it reads. One that died
 * in the write of the meta page may have left it in memory only: it is flushed before anything follows from it. */
static int adopt_last_commit(MDB_env *env)
{
    MDB_txn *txn;
    int code = mdb_env_sync(env, 1);
    if (code == 0)
        code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code == 0)
        mdb_txn_abort(txn);
    return code;
}

static int open_env(struct lmdb_env *env, const struct lmdb_options *o)
{
    bool is_only_read = o->read_only || o->is_final;
    char path[128];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", o->directory, o->name);
    int code = mdb_env_create(&env->env);
    if (code == 0)
        code = mdb_env_set_mapsize(env->env, o->map_bytes);
    if (code == 0)
        code = mdb_env_set_maxreaders(env->env, o->readers_max);
    if (code == 0)
        code = mdb_env_set_maxdbs(env->env, o->tables);
    if (code == 0)
        code =
            mdb_env_open(env->env, path, MDB_NOSUBDIR | MDB_NOTLS | (is_only_read ? MDB_RDONLY : 0),
                         o->file_mode);
    /* The file was opened before: what is not there is the way to it. */
    if (code == ENOENT && access("/proc/self/fd", X_OK) != 0)
        return svl__fail(SVL_E_RESOURCE, "%s: open: a store needs /proc to be mounted", env->name);
    if (code == ENOENT && faccessat(o->directory, o->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno == ENOENT)
        return SVL_E_NOT_FOUND; /* its writer has removed it meanwhile */
    if (code == 0 && !is_only_read && !o->create)
        code = adopt_last_commit(env->env);
    STEP("LMDB: last commit adopted");
    int fd;
    if (code == 0)
        code = mdb_env_get_fd(env->env, &fd);
    if (code == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        code = errno;
    char lock_name[80];
    snprintf(lock_name, sizeof lock_name, "%s-lock", o->name);
    if (code == 0 && !o->read_only && fchmodat(o->directory, lock_name, o->file_mode, 0) != 0)
        code = errno;
    return svl__lmdb_error(env, code, "open");
}

int svl__lmdb_open(struct lmdb_env *env, const struct lmdb_options *options)
{
    *env = (struct lmdb_env){ .directory = options->directory,
                              .short_of_space = options->short_of_space };
    snprintf(env->name, sizeof env->name, "%s", options->name);
    int rc = prepare_file(options);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_init(&env->lock, NULL);
    rc = open_env(env, options);
    if (rc != SVL_OK)
        svl__lmdb_close(env);
    return rc;
}

void svl__lmdb_close(struct lmdb_env *env)
{
    if (!env->env)
        return;
    while (env->reader_count > 0)
        mdb_txn_abort(env->readers[--env->reader_count]);
    mdb_env_close(env->env);
    pthread_mutex_destroy(&env->lock);
    env->env = NULL;
}

static int failure(const struct lmdb_env *env)
{
    return svl__fail(SVL_E_FAILED, "%s takes no more writes after a failed flush", env->name);
}

int svl__lmdb_begin_write(struct lmdb_env *env, MDB_txn **txn)
{
    int dead;
    *txn = NULL;
    if (env->failed)
        return failure(env);
    mdb_reader_check(env->env, &dead);
    return svl__lmdb_error(env, mdb_txn_begin(env->env, NULL, 0, txn), "a write transaction");
}

/* LMDB reports a write that fell short as EIO, whatever stopped it; asked for one more page, the system
 * says what. */
static bool cannot_grow(const struct lmdb_env *env)
{
    static const uint8_t zeros[META_PAGE_BYTES];
    struct rlimit limit;
    uint64_t size;
    int fd;
    if (mdb_env_get_fd(env->env, &fd) != 0 || svl__file_size(fd, &size, env->name) != SVL_OK)
        return false;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size + sizeof zeros > limit.rlim_cur)
        return true; /* the write would raise SIGXFSZ */
    return svl__file_write(fd, zeros, sizeof zeros, size, env->name) == SVL_E_NO_SPACE;
}

/* A commit fails before its meta page, so the old state stands; unless that page itself was written, in
 * which case LMDB refuses every later transaction. */
static bool is_usable(const struct lmdb_env *env)
{
    MDB_txn *probe;
    int code = mdb_txn_begin(env->env, NULL, MDB_RDONLY, &probe);
    if (code == 0)
        mdb_txn_abort(probe);
    return code != MDB_PANIC;
}

static void remember(struct lmdb_env *env, bool short_of_space)
{
    if (env->short_of_space)
        *env->short_of_space = short_of_space;
}

/* Whether a commit failed for lack of space. Space that comes between LMDB's write and cannot_grow() leaves
 * an EIO that nothing explains: behind a commit that was short of it, one is taken for the same and tried
 * again. That is safe, whatever it was: the old state stands, and the next transaction writes all its pages
 * anew. */
static bool is_short_of_space(struct lmdb_env *env, int code)
{
    bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
    bool was_short = env->short_of_space && *env->short_of_space;
    bool may_be = (full || code == EIO) && is_usable(env);
    bool is_short = may_be && (full || cannot_grow(env));
    remember(env, is_short);
    return is_short || (may_be && was_short);
}

int svl__lmdb_commit(struct lmdb_env *env, MDB_txn *txn)
{
    int code = mdb_txn_commit(txn);
    if (code == 0) {
        remember(env, false);
        return SVL_OK;
    }
    if (code == MDB_MAP_FULL)
        return SVL_E_FULL;
    if (code == ENOMEM)
        return svl__fail(SVL_E_NOMEM, "%s: commit", env->name);
    if (is_short_of_space(env, code))
        return svl__fail(SVL_E_NO_SPACE, "%s: commit", env->name);
    env->failed = true;
    svl__fail_errno(code > 0 ? code : EIO, "%s: commit", env->name);
    return svl__fail(SVL_E_FAILED, "%.300s", svl_last_error());
}

/* Places of processes that were killed are had again once somebody looks: a writer does before it writes, but
 * to a segment that is full nobody writes any more. */
int svl__lmdb_begin_new_read(struct lmdb_env *env, MDB_txn **txn)
{
    int dead, code = mdb_txn_begin(env->env, NULL, MDB_RDONLY, txn);
    if (code == MDB_READERS_FULL && mdb_reader_check(env->env, &dead) == 0)
        code = mdb_txn_begin(env->env, NULL, MDB_RDONLY, txn);
    return svl__lmdb_error(env, code, "a read transaction");
}

int svl__lmdb_begin_read(struct lmdb_env *env, MDB_txn **txn)
{
    *txn = NULL;
    pthread_mutex_lock(&env->lock);
    if (env->reader_count > 0)
        *txn = env->readers[--env->reader_count];
    pthread_mutex_unlock(&env->lock);
    if (!*txn)
        return svl__lmdb_begin_new_read(env, txn);
    int code = mdb_txn_renew(*txn);
    if (code != 0) {
        mdb_txn_abort(*txn);
        *txn = NULL;
    }
    return svl__lmdb_error(env, code, "a read transaction");
}

void svl__lmdb_end_read(struct lmdb_env *env, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    pthread_mutex_lock(&env->lock);
    bool keep = env->reader_count < LMDB_READERS_KEPT;
    if (keep)
        env->readers[env->reader_count++] = txn;
    pthread_mutex_unlock(&env->lock);
    if (!keep)
        mdb_txn_abort(txn);
}
