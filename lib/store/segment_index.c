/* segment_index.c - the key index of a segment, asked: in memory for the newest blocks, by its runs for the others. */
#include <string.h>

#include "base/error.h"
#include "segment_private.h"

struct key_runs svl__segment_runs(const struct segment *segment, MDB_txn *txn, uint32_t count)
{
    struct key_filters filters = { txn, segment->filters, segment->filters_place,
                                   segment->has_filters };
    return (struct key_runs){ txn, segment->keys, segment->keys_place, count, filters };
}

/* The blocks above indexed_to, from the sets in memory; *runs is how many runs cover the rest. */
static int find_in_sets(struct segment *segment, const struct key_condition *condition,
                        struct buffer *out, uint32_t *runs)
{
    pthread_mutex_lock(&segment->lock);
    *runs = segment->runs;
    for (size_t i = 0; i < segment->set_count; i++) {
        if (!svl__key_set_matches(segment->sets[i], condition))
            continue;
        uint64_t id = svl__key_set_block(segment->sets[i]);
        svl__buffer_append(out, &id, sizeof id);
    }
    svl__buffer_append(out, segment->lost, segment->lost_count * sizeof *segment->lost);
    pthread_mutex_unlock(&segment->lock);
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

/* Drops the blocks outside [id_min, id_max]; the one that id_min lies in stays. */
static void keep_range(struct buffer *ids, uint64_t id_min, uint64_t id_max)
{
    uint64_t *at = (uint64_t *)(void *)ids->data;
    size_t n = ids->len / sizeof *at, first = 0, last = n;
    while (first + 1 < n && at[first + 1] <= id_min)
        first++;
    while (last > first && at[last - 1] > id_max)
        last--;
    if (first > 0)
        memmove(at, at + first, (last - first) * sizeof *at);
    ids->len = (last - first) * sizeof *at;
}

int svl__segment_find_keys(struct segment *segment, const struct key_condition *condition,
                           uint64_t id_min, uint64_t id_max, struct buffer *out, bool *is_whole)
{
    *is_whole = false;
    /* The sets first: a run that a commit makes of them meanwhile is then not missed, only doubled. */
    uint32_t runs;
    int rc = find_in_sets(segment, condition, out, &runs);
    if (rc == SVL_OK)
        rc = svl__segment_check_index(segment);
    MDB_txn *txn;
    if (rc == SVL_OK)
        rc = svl__lmdb_begin_read(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    int code;
    struct key_runs all = svl__segment_runs(segment, txn, runs);
    rc = svl__keyruns_find(&all, condition, out, is_whole, &code);
    if (rc == SVL_E_CORRUPT)
        svl__fail_at(rc, "%s", segment->lmdb.name);
    if (rc == SVL_OK)
        rc = svl__lmdb_error(&segment->lmdb, code, "key index");
    svl__lmdb_end_read(&segment->lmdb, txn);
    svl__ids_sort_unique(out);
    keep_range(out, id_min, id_max);
    return rc;
}

/* Its runs, and what is in memory, which is in none: where the index of a full segment could not be finished. */
int svl__segment_key_groups(struct segment *segment, uint32_t *groups)
{
    pthread_mutex_lock(&segment->lock);
    bool is_lost = segment->lost_count > 0;
    *groups = segment->runs + 1;
    pthread_mutex_unlock(&segment->lock);
    return is_lost ? svl__fail(SVL_E_CORRUPT, "%s: a block with keys of it cannot be read",
                               segment->lmdb.name)
                   : SVL_OK;
}

static void each_key_of_sets(struct segment *segment, key_fn *each, void *user)
{
    pthread_mutex_lock(&segment->lock);
    for (size_t i = 0; i < segment->set_count; i++)
        for (uint32_t n = 0; n < svl__key_set_count(segment->sets[i]); n++)
            each(svl__key_set_at(segment->sets[i], n), user);
    pthread_mutex_unlock(&segment->lock);
}

int svl__segment_each_key(struct segment *segment, uint32_t group, key_fn *each, void *user)
{
    if (group == segment->runs) {
        each_key_of_sets(segment, each, user);
        return SVL_OK;
    }
    MDB_txn *txn;
    int code, rc = svl__segment_check_index(segment);
    if (rc == SVL_OK)
        rc = svl__lmdb_begin_read(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    struct key_runs runs = svl__segment_runs(segment, txn, segment->runs);
    rc = svl__keyrun_each_key(&runs, group, each, user, &code);
    if (rc == SVL_E_CORRUPT)
        svl__fail_at(rc, "%s", segment->lmdb.name);
    if (rc == SVL_OK)
        rc = svl__lmdb_error(&segment->lmdb, code, "key index");
    svl__lmdb_end_read(&segment->lmdb, txn);
    return rc;
}
