/* lmdb_env - what the catalog and the segments both need of LMDB: files opened through our own checks,
 * codes as ours, and an end to writing after a failed flush.
 *
 * Traps of LMDB 0.9 that are kept clear of here: it follows symbolic links (checked before), its data
 * descriptor is inherited by exec (flag set after), it maps whatever it is given (header and size are
 * checked with pread before), it goes on after a failed fdatasync (the handle is poisoned), and while readers
 * keep the lock file alive it shows a new writer the state before the last commit of one that was killed
 * (a writer takes the write lock once before it reads). */
#ifndef SVL_STORE_LMDB_ENV_H
#define SVL_STORE_LMDB_ENV_H

#include <lmdb.h>
#include <pthread.h>
#include <serverlog/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LMDB_READERS_KEPT 16

struct lmdb_reader {
    int pid; /* 0: none */
    size_t transaction;
};

struct lmdb_env {
    MDB_env *env;
    char name[64];
    int directory;
    bool failed;          /* after a failed flush: nothing more is written */
    bool *short_of_space; /* of the options */
    pthread_mutex_t lock;
    MDB_txn
        *readers[LMDB_READERS_KEPT]; /* reset read transactions, kept so that each keeps its slot */
    unsigned reader_count;
    struct lmdb_reader lagging; /* as told last; the writing thread's */
};

struct lmdb_options {
    int directory; /* borrowed for the environment's life */
    const char *name;
    mode_t file_mode;
    uint64_t map_bytes;
    uint32_t readers_max;
    unsigned tables;
    bool *short_of_space; /* borrowed, or NULL: the last commit was, of all that share it */
    /* Tables, NULL at the end, that nobody reads before svl__lmdb_check_open(), nor writes anything; NULL: the open
     * checks all. */
    const char *const *unchecked;
    bool create;    /* the file must not be there */
    bool read_only; /* another process may write it */
    bool is_final;  /* nobody writes it any more: what LMDB keeps for a writer is spared, 3 MiB */
};

/* Opens or creates. SVL_E_NOT_FOUND (bare) if it is not there; SVL_E_CORRUPT for a header or size that
 * cannot be. */
int svl__lmdb_open(struct lmdb_env *env, const struct lmdb_options *options);
void svl__lmdb_close(struct lmdb_env *env);

/* An LMDB code as ours, with words. */
int svl__lmdb_error(const struct lmdb_env *env, int code, const char *what);

/* A write transaction; dead readers are cleared first. SVL_E_FAILED once poisoned. */
int svl__lmdb_begin_write(struct lmdb_env *env, MDB_txn **txn);
/* Commits. SVL_E_NO_SPACE: nothing changed. Another failure poisons: SVL_E_FAILED. */
int svl__lmdb_commit(struct lmdb_env *env, MDB_txn *txn);

/* A read transaction of the caller's own, to be aborted or committed. */
int svl__lmdb_begin_new_read(struct lmdb_env *env, MDB_txn **txn);
/* A read transaction, to be given back in the same call. */
int svl__lmdb_begin_read(struct lmdb_env *env, MDB_txn **txn);
void svl__lmdb_end_read(struct lmdb_env *env, MDB_txn *txn);

/* lmdb_readers.c: the process whose reader lags a hundred commits behind, once each time that one does; else
 * 0. The writing thread's. */
int svl__lmdb_lagging(struct lmdb_env *env);

/* svl__lmdb_check() of the file of an open environment. Not beside writes of this process. */
int svl__lmdb_check_open(const struct lmdb_env *env, const char *const *without, bool to_write);

/* lmdb_check.c: reads every page of the trees with pread, trusting nothing: SVL_E_CORRUPT with words
 * naming the page. Before LMDB walks them. The map's size is fixed at creation: another one is damage. The tables named
 * in `without` (NULL at the end, or NULL for none) are left out. `to_write`: all that a commit relies on as well. */
int svl__lmdb_check(int fd, const char *name, uint64_t map_bytes, const char *const *without,
                    bool to_write);

#endif
