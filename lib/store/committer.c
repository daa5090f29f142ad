/* committer.c - blocks into the active segment, then the catalog, then out of the tail.
 *
 *     segment commit (watermark inside) -> catalog commit (segment row, values, watermark)
 *         -> the tail drops the blocks -> journal files are free -> retention
 *
 * A crash between any two of these leaves a record in two places at most, never in none: recovery skips
 * what the segment's watermark covers, and the journal goes last. A full map rolls to a new segment,
 * which the catalog knows before a block is in it. While no commit is due, filters of full segments are made. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/step.h"
#include "base/thread.h"
#include "state.h"

/* A commit takes at most this part of a segment, so that little of a full one is left unused. */
#define SEGMENT_PART 8
/* And at most half of the 131,071 pages that LMDB 0.9 holds for a transaction: beyond them it writes some out
 * before the commit, and 0.9.24 loses the memory of its list of these (ITS#9155). */
#define COMMIT_BYTES_MAX (UINT64_C(256) << 20)
#define DISK_FULL_RETRY_MS 1000

/* What one commit works on. */
struct commit {
    svl_store *store;
    struct block **blocks; /* held */
    size_t count;
    struct values values; /* a copy */
    uint64_t op;          /* operations up to it are in `values` or the catalog */
    int64_t ingest_ns;    /* of the newest durable batch */
    uint64_t request;
    bool roll;
    bool has_filled;             /* a segment */
    struct segment_entry *entry; /* the active segment, held and in use */
    struct segment *segment;
};

static void leave_segment(struct commit *c)
{
    if (c->segment)
        svl__segment_unuse(&c->store->segments, c->entry);
    if (c->entry)
        svl__segment_entry_release(&c->store->segments, c->entry);
    c->segment = NULL;
    c->entry = NULL;
}

static int enter_segment(struct commit *c)
{
    c->entry = svl__segments_hold_last(&c->store->segments);
    if (!c->entry)
        return SVL_E_NOT_FOUND;
    struct segment_info info;
    svl__segment_entry_info(&c->store->segments, c->entry, &info);
    if (info.state != SEGMENT_ACTIVE) {
        leave_segment(c);
        return SVL_E_NOT_FOUND;
    }
    return svl__segment_use(&c->store->segments, c->entry, &c->segment);
}

/* One transaction of the catalog: what this commit has reached so far, and `created` if a segment was
 * begun. */
static int commit_catalog(struct commit *c, const struct segment_info *current,
                          const struct segment_info *created)
{
    svl_store *store = c->store;
    pthread_mutex_lock(&store->catalog_lock);
    struct catalog_state state = store->catalog_state;
    if (current && current->last_id >= current->first_id && current->last_id > state.watermark)
        state.watermark = current->last_id;
    if (state.next_id_floor <= state.watermark)
        state.next_id_floor = state.watermark + 1;
    state.last_op = c->op;
    /* Not the highest in the segment: the clock may have been set back in it. */
    state.ingest_last_ns = c->ingest_ns;
    struct catalog_change *change;
    int rc = svl__catalog_begin(store->catalog, &change);
    if (rc == SVL_OK) {
        if (current)
            rc = svl__catalog_put_segment(change, current);
        if (rc == SVL_OK && created)
            rc = svl__catalog_put_segment(change, created);
        if (rc == SVL_OK)
            rc = svl__values_put(&c->values, change);
        if (rc == SVL_OK)
            rc = svl__catalog_put_state(change, &state);
        if (rc == SVL_OK)
            rc = svl__catalog_commit(change);
        else
            svl__catalog_abort(change);
    }
    if (rc == SVL_OK)
        store->catalog_state = state;
    pthread_mutex_unlock(&store->catalog_lock);
    return rc;
}

void svl__filters_want(svl_store *store)
{
    if (store->reader)
        return;
    store->filters_wanted = true;
    svl__job_wake(store, JOB_COMMIT);
}

static bool is_empty(const struct segment_info *info)
{
    return info->last_id < info->first_id;
}

static void tell_damaged(struct commit *c, int rc)
{
    svl_store *store = c->store;
    struct segment_info info;
    svl__segment_info_get(c->segment, &info);
    if (store->damaged_segment == info.first_id)
        return; /* a full disk keeps the next one from being begun */
    store->damaged_segment = info.first_id;
    svl__log(&store->log, SVL_SEVERITY_ERROR, rc, "%s: %s; new records go to another segment",
             store->path, svl_last_error());
    pthread_mutex_lock(&store->lock);
    store->stats.damaged++;
    pthread_mutex_unlock(&store->lock);
}

/* A segment that is damaged, or that cannot be read, takes nothing more, as if it were full. */
static int fill_segment(struct commit *c, struct block *const *blocks, size_t n, bool finish)
{
    int rc = svl__segment_check_commit(c->segment);
    bool is_unreadable = rc == SVL_E_IO;
    if (rc == SVL_OK)
        rc = svl__segment_commit(c->segment, blocks, n, finish);
    if (rc != SVL_E_CORRUPT && !is_unreadable)
        return rc;
    tell_damaged(c, rc);
    return SVL_E_FULL;
}

/* The key index of the active segment is finished, if it can be; *old is what it is then. */
static int finish_segment(struct commit *c, struct segment_info *old)
{
    int rc = fill_segment(c, NULL, 0, true);
    if (rc != SVL_OK && rc != SVL_E_FULL)
        return rc;
    svl__segment_info_get(c->segment, old);
    old->state = SEGMENT_FULL;
    return SVL_OK;
}

/* The active segment is full, or there is none (generation 0 here): finishes it and begins the next. One
 * that is full without a block, begun with a smaller segment_bytes, gives way to its next generation. */
static int roll(struct commit *c, uint64_t first_id)
{
    svl_store *store = c->store;
    struct segment_info old = { .first_id = first_id, .last_id = first_id - 1 };
    int rc = c->segment ? finish_segment(c, &old) : SVL_OK;
    if (rc != SVL_OK)
        return rc;
    struct segment_info info = { .first_id = first_id,
                                 .last_id = first_id - 1,
                                 .generation = is_empty(&old) ? old.generation + 1 : 1,
                                 .state = SEGMENT_ACTIVE,
                                 .map_bytes = store->options.segment_bytes };
    STEP("roll: old segment finished");
    struct segment *created;
    struct segment_entry *entry;
    rc = svl__segment_create(&store->segments.place, &info, &created);
    if (rc != SVL_OK)
        return rc;
    rc = svl__segments_prepare(&store->segments, &info, created, &entry);
    if (rc == SVL_OK)
        rc = commit_catalog(c, is_empty(&old) ? NULL : &old, &info);
    STEP("roll: new segment named");
    if (rc != SVL_OK) {
        svl__free(entry);
        svl__segment_close(created);
        return rc;
    }
    if (is_empty(&old))
        svl__segments_retire(&store->segments, old.first_id);
    else
        svl__segments_update(&store->segments, &old);
    svl__segments_add(&store->segments, entry);
    c->has_filled |= !is_empty(&old);
    leave_segment(c);
    return enter_segment(c);
}

static size_t portion(const struct commit *c, size_t from)
{
    uint64_t limit = c->store->options.segment_bytes / SEGMENT_PART, bytes = 0;
    size_t n = 0;
    if (limit > COMMIT_BYTES_MAX)
        limit = COMMIT_BYTES_MAX;
    while (from + n < c->count) {
        bytes += svl__segment_block_bytes(c->blocks[from + n]);
        if (n > 0 && bytes > limit)
            break;
        n++;
    }
    return n;
}

/* The first block that the segment does not hold: a commit that failed after its segment was written
 * comes again with the same blocks. */
static size_t skip_written(const struct commit *c)
{
    struct segment_info info;
    svl__segment_info_get(c->segment, &info);
    size_t n = 0;
    while (n < c->count && c->blocks[n]->zone.first_id <= info.last_id)
        n++;
    return n;
}

/* The clock was set: times of before and after it lie in different segments. */
static int roll_unless_empty(struct commit *c)
{
    struct segment_info info;
    svl__segment_info_get(c->segment, &info);
    size_t first = skip_written(c);
    return info.blocks > 0 && first < c->count ? roll(c, c->blocks[first]->zone.first_id) : SVL_OK;
}

static int commit_blocks(struct commit *c)
{
    int rc = enter_segment(c);
    if (rc == SVL_E_NOT_FOUND && c->count > 0)
        rc = roll(c, c->blocks[0]->zone.first_id);
    else if (rc == SVL_E_NOT_FOUND)
        return SVL_OK;
    if (rc == SVL_OK && c->roll && c->count > 0)
        rc = roll_unless_empty(c);
    bool fresh = false;
    for (size_t done = rc == SVL_OK ? skip_written(c) : 0; rc == SVL_OK && done < c->count;) {
        size_t n = portion(c, done), before = done;
        rc = fill_segment(c, c->blocks + done, n, false);
        done = skip_written(c); /* some are in, perhaps, whatever it says */
        fresh &= done == before;
        if (rc == SVL_OK || (rc == SVL_E_FULL && done == c->count)) {
            rc = SVL_OK;
        } else if (rc == SVL_E_FULL && fresh) {
            rc = SVL__INTERNAL("a commit does not fit an empty segment");
        } else if (rc == SVL_E_FULL) {
            rc = roll(c, c->blocks[done]->zone.first_id);
            fresh = true;
        }
    }
    return rc;
}

static bool has_uncommitted(const svl_store *store)
{
    return store->tail.durable_id > store->committed_id || store->values.count > 0;
}

uint64_t svl__commit_request(svl_store *store)
{
    if (!has_uncommitted(store))
        return 0;
    store->commit_retry_ns = 0;
    uint64_t request = ++store->commit_wanted;
    svl__job_wake(store, JOB_COMMIT);
    return request;
}

/* `lock` held: what is committed leaves the tail. */
static bool settle(struct commit *c, const struct segment_info *info)
{
    svl_store *store = c->store;
    if (info) {
        for (size_t i = 0; i < c->count; i++)
            store->stats.segment_bytes_written += c->blocks[i]->len;
        if (info->last_id > store->committed_id)
            store->committed_id = info->last_id;
    }
    svl__tail_drop_blocks(&store->tail, store->committed_id);
    svl__values_forget(&store->values, c->op);
    store->committed_op = c->op;
    store->commit_done = c->request;
    store->commit_waits = 0;
    if (c->roll && c->count > 0)
        store->roll_wanted = false;
    store->stats.commits++;
    store->filters_wanted |= c->has_filled || store->filters_wait;
    store->oldest_uncommitted_ns = has_uncommitted(store) ? svl__monotonic_ns() : 0;
    if (store->oldest_uncommitted_ns == 0)
        svl__tail_drop_spares(&store->tail); /* idle, as far as can be told */
    pthread_cond_broadcast(&store->progress);
    return svl__store_turns_ready(store);
}

static void tell_lagging(const svl_store *store, int pid, const char *file)
{
    if (pid != 0)
        svl__log(&store->log, SVL_SEVERITY_WARN, SVL_OK,
                 "%s: process %d reads %s as it was 100 commits ago, or is stopped while it reads: "
                 "no space in it is used again until the process goes on or ends",
                 store->path, pid, file);
}

static void look_for_lagging(const struct commit *c)
{
    tell_lagging(c->store, svl__catalog_lagging(c->store->catalog), "the catalog");
    if (c->segment)
        tell_lagging(c->store, svl__segment_lagging(c->segment), "the newest segment");
}

static int do_commit(struct commit *c)
{
    svl_store *store = c->store;
    int rc = commit_blocks(c);
    STEP("commit: segment written");
    struct segment_info info;
    bool has_segment = c->segment != NULL;
    if (rc == SVL_OK) {
        if (has_segment)
            svl__segment_info_get(c->segment, &info);
        rc = commit_catalog(c, has_segment ? &info : NULL, NULL);
    }
    STEP("commit: catalog written");
    if (rc == SVL_OK)
        look_for_lagging(c);
    leave_segment(c);
    if (rc != SVL_OK)
        return rc;
    if (has_segment)
        svl__segments_update(&store->segments, &info);
    pthread_mutex_lock(&store->lock);
    bool ready = settle(c, has_segment ? &info : NULL);
    uint64_t id = store->committed_id, op = store->committed_op;
    pthread_mutex_unlock(&store->lock);
    STEP("commit: blocks left the tail");
    svl__journal_recycle(store->journal, id, op);
    STEP("commit: journal recycled");
    if (ready)
        svl__store_tell_ready(store);
    return SVL_OK;
}

static void drop_commit(struct commit *c)
{
    for (size_t i = 0; i < c->count; i++)
        svl__block_release(c->blocks[i]);
    svl__free(c->blocks);
    svl__values_free(&c->values);
    c->blocks = NULL;
    c->count = 0;
}

/* When a commit is to begin: 0 = now. */
static int64_t begin_due_ns(const svl_store *store)
{
    if (store->commit_wanted > store->commit_done ||
        store->tail.block_bytes >= store->options.commit_bytes ||
        (svl__store_memory(store) >= store->options.tail_bytes && has_uncommitted(store)))
        return 0;
    if (store->oldest_uncommitted_ns == 0)
        return INT64_MAX;
    if (svl__journal_live_bytes(store->journal) >=
        JOURNAL_LIVE_FILES_MAX * store->options.journal_file_bytes_max)
        return 0;
    return store->oldest_uncommitted_ns + store->options.commit_age_ms * NS_PER_MS;
}

/* The blocks of the commit that has begun are there; or the store ends, and what is not encoded stays in
 * the journal. */
static bool has_blocks(const svl_store *store)
{
    return store->tail.encoded_id >= store->commit_upto || (store->ending && store->encoder_short);
}

static int64_t own_due_ns(const svl_store *store)
{
    int64_t due_ns = store->commit_upto == 0 ? begin_due_ns(store)
                     : has_blocks(store)     ? 0
                                             : INT64_MAX;
    return due_ns < store->commit_retry_ns ? store->commit_retry_ns : due_ns;
}

/* What space there is on a full disk is the commit's that waits for it. */
static bool is_filter_due(const svl_store *store)
{
    return store->filters_wanted && !store->commit_waits && !store->write_waits;
}

int64_t svl__commit_due_ns(const svl_store *store)
{
    if (store->closing || store->failed)
        return INT64_MAX;
    return is_filter_due(store) ? 0 : own_due_ns(store);
}

/* `lock` held: a commit that is not for bytes takes what makes no whole block as well, so the encoder is
 * asked first. False: it has to do something. */
static bool ask_for_blocks(svl_store *store)
{
    if (store->commit_upto != 0)
        return has_blocks(store);
    store->commit_asked = store->commit_wanted;
    if (store->tail.block_bytes < store->options.commit_bytes ||
        store->commit_asked != store->commit_done) {
        store->commit_upto = store->encode_wanted = store->tail.durable_id;
        svl__job_wake(store, JOB_ENCODE);
        svl__job_wake(store, JOB_FLUSH);
    }
    return has_blocks(store);
}

/* `lock` held: what the commit is to hold: commit_bytes of blocks, as LMDB has all of them in memory once more. While
 * that is not all that was asked for, the next commit is due at once. */
static int take(struct commit *c)
{
    svl_store *store = c->store;
    uint64_t last_id = svl__tail_last_within(&store->tail, store->options.commit_bytes);
    int rc = svl__tail_hold_blocks(&store->tail, store->committed_id + 1, last_id, &c->blocks,
                                   &c->count);
    if (rc == SVL_OK)
        rc = svl__values_copy(&store->values, &c->values);
    if (rc != SVL_OK)
        return rc;
    bool is_part = last_id < store->commit_upto && last_id < store->tail.encoded_id;
    c->request = is_part ? store->commit_done : store->commit_asked;
    if (!is_part)
        store->commit_upto = 0;
    c->op = store->durable_op;
    c->ingest_ns = store->durable_ingest_ns;
    c->roll = store->roll_wanted;
    return SVL_OK;
}

/* A shortage: what was not written stays in the tail. Retention may give space, then it is tried again. */
static void retry_later(svl_store *store, int code)
{
    svl__log(&store->log, SVL_SEVERITY_WARN, code, "%s: commit: %s; it is tried again", store->path,
             svl_last_error());
    svl__store_retain_now(store, NULL);
    /* Before the journal takes it, too. */
    bool gave = code == SVL_E_NO_SPACE && svl__journal_trim(store->journal);
    pthread_mutex_lock(&store->lock);
    store->stats.disk_full_waits += code == SVL_E_NO_SPACE;
    store->commit_waits = code;
    store->commit_given_up = store->ending;
    store->commit_retry_ns = svl__monotonic_ns() + (gave ? 0 : DISK_FULL_RETRY_MS * NS_PER_MS);
    pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
}

static void make_filter(svl_store *store)
{
    int rc = svl__segments_make_filter(&store->segments);
    pthread_mutex_lock(&store->lock);
    store->filters_wanted |= rc == SVL_OK;
    store->filters_wait = is_shortage(rc);
    pthread_mutex_unlock(&store->lock);
}

void svl__commit_step(svl_store *store)
{
    struct commit c = { .store = store };
    pthread_mutex_lock(&store->lock);
    if (is_filter_due(store) && own_due_ns(store) > svl__monotonic_ns()) {
        store->filters_wanted = false;
        pthread_mutex_unlock(&store->lock);
        make_filter(store);
        return;
    }
    bool ready = ask_for_blocks(store);
    int rc = ready ? take(&c) : SVL_OK;
    pthread_mutex_unlock(&store->lock);
    if (!ready)
        return;
    if (rc == SVL_OK)
        rc = do_commit(&c);
    drop_commit(&c);
    if (rc == SVL_OK)
        svl__store_retain_now(store, NULL);
    else if (is_shortage(rc))
        retry_later(store, rc);
    else
        svl__store_fail(store, rc);
}
