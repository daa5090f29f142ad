/* segment_write.c - a commit: blocks, zones, perhaps runs of the key index, and the watermark. A large run is a
 * transaction of its own, as LMDB has all that one writes in memory. */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/step.h"
#include "segment_private.h"

/* Kept free for the last run and the pages that a commit rewrites. */
#define HEADROOM_BYTES (1u << 20)
#define PAGE_BYTES 4096
/* From this many bytes on a run is not written together with blocks. */
#if defined(SVL_STEPS)
#define RUN_ALONE_BYTES (8u << 10) /* so that tests have such runs everywhere */
#else
#define RUN_ALONE_BYTES (4u << 20)
#endif

/* A transaction in the making: the segment's state as it will be. */
struct commit {
    struct segment *segment;
    MDB_txn *txn;
    struct segment_info info;
    struct key_set *sets[RUN_BLOCKS + 1];
    size_t set_count;
    size_t pending_blocks;
    uint64_t pending_records, pending_key_bytes;
    uint32_t runs;
    uint64_t indexed_to;
};

static void begin_state(struct commit *c, struct segment *segment)
{
    *c = (struct commit){ .segment = segment };
    pthread_mutex_lock(&segment->lock);
    c->info = segment->info;
    c->set_count = segment->set_count;
    for (size_t i = 0; i < c->set_count; i++)
        c->sets[i] = svl__key_set_hold(segment->sets[i]);
    c->pending_blocks = segment->pending_blocks;
    c->pending_records = segment->pending_records;
    c->pending_key_bytes = segment->pending_key_bytes;
    c->runs = segment->runs;
    c->indexed_to = segment->indexed_to;
    pthread_mutex_unlock(&segment->lock);
}

static void drop_sets(struct key_set **sets, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        svl__key_set_release(sets[i]);
    *n = 0;
}

static void widen(struct segment_info *info, const struct zone *zone)
{
    if (info->blocks == 0 || zone->time_min_ns < info->time_min_ns)
        info->time_min_ns = zone->time_min_ns;
    if (info->blocks == 0 || zone->time_max_ns > info->time_max_ns)
        info->time_max_ns = zone->time_max_ns;
    if (info->blocks == 0 || zone->ingest_min_ns < info->ingest_min_ns)
        info->ingest_min_ns = zone->ingest_min_ns;
    if (info->blocks == 0 || zone->ingest_max_ns > info->ingest_max_ns)
        info->ingest_max_ns = zone->ingest_max_ns;
    info->blocks++;
    info->raw_bytes += zone->raw_bytes;
    info->stored_bytes += zone->stored_bytes;
    info->last_id = zone->first_id + zone->count - 1;
}

/* Merges what has gathered into one run. */
static int append_run(struct commit *c)
{
    struct segment *s = c->segment;
    if (c->set_count > 0) {
        struct key_runs runs = svl__segment_runs(s, c->txn, c->runs);
        int code = svl__keyrun_append(&runs, c->sets, c->set_count);
        if (code != 0)
            return svl__lmdb_error(&s->lmdb, code, "key index");
        c->runs++;
    }
    drop_sets(c->sets, &c->set_count);
    c->pending_blocks = 0;
    c->pending_records = c->pending_key_bytes = 0;
    c->indexed_to = c->info.last_id;
    return SVL_OK;
}

static int append_block(struct commit *c, struct block *block)
{
    struct segment *s = c->segment;
    if (block->zone.first_id != c->info.last_id + 1)
        return SVL__INTERNAL("a block does not follow its segment");
    uint64_t id = block->zone.first_id;
    uint8_t zone[SEGMENT_ZONE_BYTES];
    MDB_val key = { sizeof id, &id }, value = { block->len, block->data };
    svl__zone_encode(&block->zone, zone);
    store_u64(zone + ZONE_BYTES, svl__seal(s->zones_place, &key, zone, ZONE_BYTES));
    int code = mdb_put(c->txn, s->blocks, &key, &value, MDB_APPEND);
    if (code == 0) {
        value = (MDB_val){ sizeof zone, zone };
        code = mdb_put(c->txn, s->zones, &key, &value, MDB_APPEND);
    }
    if (code != 0)
        return svl__lmdb_error(&s->lmdb, code, "blocks");
    widen(&c->info, &block->zone);
    c->pending_blocks++;
    c->pending_records += block->zone.count;
    if (block->keys) {
        c->sets[c->set_count++] = svl__key_set_hold(block->keys);
        c->pending_key_bytes += svl__key_set_bytes(block->keys);
    }
    return SVL_OK;
}

static bool is_run_due(const struct commit *c)
{
    return c->pending_blocks >= RUN_BLOCKS || c->pending_records >= RUN_RECORDS ||
           c->pending_key_bytes >= RUN_KEY_BYTES;
}

/* Bytes of the map that the environment uses now. */
static uint64_t used_bytes(struct segment *s)
{
    MDB_envinfo info;
    mdb_env_info(s->lmdb.env, &info);
    return ((uint64_t)info.me_last_pgno + 1) * PAGE_BYTES;
}

/* What the keys of a block take in a run at most: twice their bytes, for chunks that end before a long key, and pages
 * that such chunks leave half empty; and of each one its ids, its place in a chunk, its part of the filter, and a share
 * of LMDB's own. */
static uint64_t run_bytes(const struct key_set *keys)
{
    return 2 * svl__key_set_bytes(keys) + UINT64_C(20) * svl__key_set_count(keys);
}

uint64_t svl__segment_block_bytes(const struct block *block)
{
    return align_up(block->len + 16, PAGE_BYTES) + 128 + (block->keys ? run_bytes(block->keys) : 0);
}

/* What the run needs that covers what is pending. */
static uint64_t pending_run_bytes(const struct commit *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->set_count; i++)
        bytes += run_bytes(c->sets[i]);
    return bytes;
}

/* Blocks never eat into what the last run needs. */
static bool has_room(const struct commit *c, struct block *const *blocks, size_t n)
{
    uint64_t need = used_bytes(c->segment) + HEADROOM_BYTES + pending_run_bytes(c);
    for (size_t i = 0; i < n; i++)
        need += svl__segment_block_bytes(blocks[i]);
    return need <= c->info.map_bytes;
}

static int put_meta(struct commit *c)
{
    /* Encoded from a copy: the segment itself changes only once this is committed. */
    struct segment *s = c->segment;
    struct segment *after = svl__malloc(sizeof *after);
    if (!after)
        return SVL_E_NOMEM;
    after->info = c->info;
    after->runs = c->runs;
    after->indexed_to = c->indexed_to;
    memcpy(after->store_uuid, s->store_uuid, sizeof after->store_uuid);
    uint8_t bytes[SEGMENT_META_BYTES];
    svl__segment_meta_encode(after, bytes);
    svl__free(after);
    MDB_val key = { 7, (void *)(uintptr_t) "segment" }, value = { sizeof bytes, bytes };
    return svl__lmdb_error(&s->lmdb, mdb_put(c->txn, s->meta, &key, &value, 0), "meta");
}

static void end_state(struct commit *c)
{
    struct segment *s = c->segment;
    pthread_mutex_lock(&s->lock);
    drop_sets(s->sets, &s->set_count);
    s->info = c->info;
    memcpy(s->sets, c->sets, c->set_count * sizeof *c->sets);
    s->set_count = c->set_count;
    s->pending_blocks = c->pending_blocks;
    s->pending_records = c->pending_records;
    s->pending_key_bytes = c->pending_key_bytes;
    s->runs = c->runs;
    s->indexed_to = c->indexed_to;
    pthread_mutex_unlock(&s->lock);
    c->set_count = 0; /* handed over */
}

/* The run that is due; or blocks, up to where a large one is, with the smaller ones between them. */
static int fill(struct commit *c, struct block *const *blocks, size_t n, bool finish, size_t *done)
{
    int rc = SVL_OK;
    if (is_run_due(c) || (finish && *done == n)) {
        rc = append_run(c);
        return rc == SVL_OK ? put_meta(c) : rc;
    }
    while (rc == SVL_OK && *done < n && !is_run_due(c)) {
        rc = append_block(c, blocks[(*done)++]);
        if (rc == SVL_OK && is_run_due(c) && pending_run_bytes(c) < RUN_ALONE_BYTES)
            rc = append_run(c);
    }
    return rc == SVL_OK ? put_meta(c) : rc;
}

static int write_some(struct commit *c, struct block *const *blocks, size_t n, bool finish,
                      size_t *done)
{
    struct segment *s = c->segment;
    size_t done_then = *done;
    int rc = svl__lmdb_begin_write(&s->lmdb, &c->txn);
    if (rc != SVL_OK)
        return rc;
    rc = fill(c, blocks, n, finish, &done_then);
    if (rc != SVL_OK) {
        mdb_txn_abort(c->txn);
        return rc;
    }
    STEP("segment: to be committed");
    rc = svl__lmdb_commit(&s->lmdb, c->txn);
    STEP("segment: committed");
    if (rc != SVL_OK)
        return rc;
    end_state(c);
    *done = done_then;
    return SVL_OK;
}

/* One transaction. *more: there is something for another one. */
static int commit_some(struct commit *c, struct block *const *blocks, size_t n, bool finish,
                       size_t *done, bool *more)
{
    struct segment *s = c->segment;
    begin_state(c, s);
    *more = *done < n || is_run_due(c) || (finish && c->pending_blocks > 0);
    int rc = SVL_OK;
    if (*more && svl__segment_lost_blocks(s) > 0)
        rc = SVL_E_FULL; /* a run would say that it covers them */
    else if (*done == 0 && n > 0 && !has_room(c, blocks, n))
        rc = SVL_E_FULL;
    else if (*more)
        rc = write_some(c, blocks, n, finish, done);
    drop_sets(c->sets, &c->set_count);
    return rc;
}

int svl__segment_commit(struct segment *segment, struct block *const *blocks, size_t n, bool finish)
{
    struct commit *c = svl__malloc(sizeof *c);
    if (!c)
        return SVL_E_NOMEM;
    c->segment = segment;
    size_t done = 0;
    bool more = true;
    int rc = SVL_OK;
    while (rc == SVL_OK && more)
        rc = commit_some(c, blocks, n, finish, &done, &more);
    svl__free(c);
    /* All blocks are in, and none is taken behind them: their keys stay in memory. has_room() keeps it from that. */
    return rc == SVL_E_FULL && n > 0 && done == n && !finish ? SVL_OK : rc;
}

int svl__segment_lagging(struct segment *segment)
{
    return svl__lmdb_lagging(&segment->lmdb);
}
