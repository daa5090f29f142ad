/* lock - one writer for a store: across processes by an fcntl lock, within one by a table.
 *
 * An fcntl lock goes when the process closes any descriptor of the file, and a second open in the same
 * process would get it: so the table, keyed by device and inode, comes first, and the file is opened
 * once. Such a lock is not inherited by fork(). */
#ifndef SVL_STORE_LOCK_H
#define SVL_STORE_LOCK_H

#include <serverlog/types.h>
#include <stdbool.h>
#include <sys/types.h>

#define LOCK_NAME "lock"

struct store_lock;

/* SVL_E_BUSY, with who holds it where that can be said. */
int svl__lock_take(int directory, const char *path, mode_t file_mode, struct store_lock **out);
/* For a reader: only the table, so that this process opens the store once (LMDB's rule for its files). */
int svl__lock_note(int directory, const char *path, struct store_lock **out);
/* For a process that publishes into the store: SVL_E_BUSY if this very process writes to it, which it then cannot
 * begin before the lock is dropped. Any number of them, and beside a reader. */
int svl__lock_note_attached(int directory, const char *path, struct store_lock **out);
/* A process writes to the store. Not for one that this process writes to: looking lets its lock go. */
bool svl__lock_is_taken(int directory);
/* Closes the file, which lets the lock go. NULL is fine. */
void svl__lock_drop(struct store_lock *lock);

#endif
