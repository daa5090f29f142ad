/* lmdb_readers.c - a live reader that keeps LMDB from using free pages again: who it is.
 *
 * A reading transaction pins all that was freed since it began; ours last for a block, so one that is old
 * belongs to a process that is stopped, or hangs. Of each environment only the oldest reader is told, and that
 * once: one that goes on, and falls behind again, is another occurrence. Called by the committer. */
#include <stdio.h>

#include "lmdb_env.h"

/* So many commits after its transaction began a reader lags. */
#define LAG_COMMITS 100

/* A line of mdb_reader_list(): pid, thread, transaction; "-" for one that reads nothing now. */
static int take_older(const char *line, void *context)
{
    struct lmdb_reader *oldest = context;
    size_t thread, transaction;
    int pid;
    if (sscanf(line, "%d %zx %zu", &pid, &thread, &transaction) == 3 &&
        (oldest->pid == 0 || transaction < oldest->transaction)) {
        oldest->pid = pid;
        oldest->transaction = transaction;
    }
    return 0;
}

int svl__lmdb_lagging(struct lmdb_env *env)
{
    MDB_envinfo info;
    struct lmdb_reader oldest = { .pid = 0 }, told = env->lagging;
    env->lagging = oldest;
    if (mdb_env_info(env->env, &info) != 0 || mdb_reader_list(env->env, take_older, &oldest) < 0)
        return 0;
    if (oldest.pid == 0 || info.me_last_txnid < oldest.transaction + LAG_COMMITS)
        return 0;
    env->lagging = oldest;
    bool again = oldest.pid == told.pid && oldest.transaction == told.transaction;
    return again ? 0 : oldest.pid;
}
