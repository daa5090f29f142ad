/* recorder - the executable's own system calls before the C library's: those that change a store's directory
 * go into a log, with every byte. LMDB's are among them.
 *
 * Pages that are written through a shared mapping (bell, attach page, LMDB's reader tables) are compared with what
 * they were at each recorded call, and noted as writes where they differ: the kernel may write them back at any time,
 * and nobody flushes them. */
#ifndef TESTS_POWER_RECORDER_H
#define TESTS_POWER_RECORDER_H

#include "log.h"

/* A flush that the recorder does not see: the states are those of a library that leaves it out. */
enum blindness {
    BLIND_TO_NOTHING,
    BLIND_TO_JOURNAL_BATCHES,
    BLIND_TO_JOURNAL_HEADERS,
    BLIND_TO_LMDB_PAGES,
    BLIND_TO_LMDB_META,            /* its O_DSYNC */
    BLIND_TO_DIRECTORY_OF_JOURNAL, /* the directory's flush that follows the creation of such a file */
    BLIND_TO_DIRECTORY_OF_SEGMENT,
    BLIND_TO_DIRECTORY_OF_CATALOG,
    BLIND_TO_DIRECTORY_ABOVE
};

/* Records what is done to the directory `path`, which need not exist. What it holds already comes first, as
 * durable: log->start is behind that. */
void recorder_start(const char *path, struct log *log, enum blindness blindness);
/* Goes on with a log whose process has died: the directory holds what it had written, durable or not. */
void recorder_go_on(const char *path, struct log *log);
void recorder_stop(void);
/* A MARK_*. */
void recorder_mark(enum op_kind kind, uint64_t a, uint64_t b);

#endif
