/* feed.c - records into memory: ids, tickets, the open batch, and when to stop feeding.
 *
 * A feed is planned first (which records go into the open batch, which into new ones, with all memory
 * got), then done: after a failure nothing was taken.
 *
 * A batch takes the records of one block, less those fed before it that are in none yet: blocks end where batches
 * do, and one that is encoded before its batch is written goes into the journal as that block. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

uint64_t svl__store_memory(const svl_store *store)
{
    return store->tail.bytes + store->unwritten_bytes;
}

bool svl__store_accepts_locked(const svl_store *store)
{
    return !store->write_waits && svl__store_memory(store) < 2 * store->options.tail_bytes;
}

bool svl__store_accepts(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool accepts = svl__store_accepts_locked(store) || store->failed;
    if (!accepts)
        store->not_accepting = true;
    pthread_mutex_unlock(&store->lock);
    return accepts;
}

bool svl__store_turns_ready(svl_store *store)
{
    if (!store->not_accepting || (!store->failed && !svl__store_accepts_locked(store)))
        return false;
    store->not_accepting = false;
    pthread_cond_broadcast(&store->progress);
    return true;
}

int svl__store_wait_accepts(svl_store *store, int64_t deadline_ns)
{
    int rc = SVL_OK;
    pthread_mutex_lock(&store->lock);
    while (!store->failed && !svl__store_accepts_locked(store)) {
        store->not_accepting = true;
        if (!svl__store_wait_progress(store, deadline_ns)) {
            rc = SVL_E_TIMEOUT;
            break;
        }
    }
    if (store->failed)
        rc = svl__store_failure(store);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int svl__store_wait_room(svl_store *store)
{
    int rc = SVL_OK;
    pthread_mutex_lock(&store->lock);
    while (rc == SVL_OK && !store->failed && !svl__store_accepts_locked(store)) {
        rc = store->write_waits ? store->write_waits : store->commit_waits;
        if (rc != SVL_OK) {
            svl__fail(rc, "%s takes no records before there is some again", store->path);
        } else {
            store->not_accepting = true;
            svl__store_wait_progress(store, INT64_MAX);
        }
    }
    if (store->failed)
        rc = svl__store_failure(store);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int svl__store_waits_for(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    int code = store->write_waits ? store->write_waits : store->commit_waits;
    pthread_mutex_unlock(&store->lock);
    return code;
}

uint64_t svl__store_feed_bytes_max(const svl_store *store)
{
    return svl__journal_batch_bytes_max(store->journal);
}

/* Records and bytes of one feed that go into one batch. */
struct share {
    size_t records;
    size_t bytes;
};

/* The group that begins at `from`. */
static struct share next_group(const struct feed *feed, size_t from)
{
    struct share group = { 0, 0 };
    do
        group.bytes += feed->items[from + group.records++].len;
    while (from + group.records < feed->count &&
           (feed->atomic || feed->items[from + group.records].follows));
    return group;
}

/* How many items, from `from` on, a batch with `room` bytes takes: whole groups only. */
static struct share take_groups(const struct feed *feed, size_t from, uint64_t room)
{
    struct share share = { 0, 0 };
    while (from + share.records < feed->count) {
        struct share group = next_group(feed, from + share.records);
        if (share.bytes + group.bytes > room)
            break;
        share.records += group.records;
        share.bytes += group.bytes;
    }
    return share;
}

static size_t ops_size(const struct feed *feed)
{
    size_t size = 0;
    for (size_t i = 0; i < feed->op_count; i++)
        size += svl__op_size(&feed->ops[i]);
    return size;
}

static int check_feed(const struct feed *feed, uint64_t bytes_max)
{
    for (size_t i = 0; i < feed->op_count; i++) {
        int rc = svl__op_check(&feed->ops[i]);
        if (rc != SVL_OK)
            return rc;
    }
    uint64_t ops = ops_size(feed);
    for (size_t i = 0; i < feed->count;) {
        struct share group = next_group(feed, i);
        uint64_t bytes = ops + group.bytes;
        if (bytes > bytes_max)
            return svl__fail(SVL_E_LIMIT,
                             "%llu bytes that belong together; at most %llu (a quarter of "
                             "journal_file_bytes_max)",
                             (unsigned long long)bytes, (unsigned long long)bytes_max);
        i += group.records;
    }
    return ops > bytes_max
               ? svl__fail(SVL_E_LIMIT, "%llu bytes of operations", (unsigned long long)ops)
               : SVL_OK;
}

static uint64_t batch_bytes(const struct batch *batch)
{
    return batch ? batch->wire.len + batch->ops.len : 0;
}

/* The places that a position still needs. */
static uint32_t places_for(const struct batch *batch, const struct ring_position *ring)
{
    if (!ring)
        return 0;
    for (uint32_t i = 0; i < batch->ring_count; i++)
        if (memcmp(batch->rings[i].uuid, ring->uuid, sizeof ring->uuid) == 0)
            return 0;
    return 1;
}

/* A batch that names as many rings as it can takes nothing of another one. */
static bool has_place(const struct batch *batch, const struct feed *feed)
{
    return batch->ring_count + places_for(batch, feed->ring) + places_for(batch, feed->told) <=
           JOURNAL_RINGS_MAX;
}

/* Bytes of the block under way behind a batch that is closed: one that is not half full goes on in the next. */
static uint64_t fed_after(const svl_store *store, uint64_t block_fed)
{
    return block_fed >= store->options.block_bytes / 2 ? 0 : block_fed;
}

/* What of the feed goes into the batch (may be NULL), with `block_fed` bytes in the block under way. False: the batch
 * takes nothing of it. */
static bool find_share(const svl_store *store, const struct feed *feed, size_t from,
                       const struct batch *batch, uint64_t block_fed, struct share *share)
{
    *share = (struct share){ 0, 0 };
    uint64_t max = svl__journal_batch_bytes_max(store->journal);
    uint64_t used = batch_bytes(batch) + ops_size(feed), block_bytes = store->options.block_bytes;
    if (!batch || !has_place(batch, feed) || used > max)
        return false;
    uint64_t room = block_fed < block_bytes ? block_bytes - block_fed : 0;
    *share = take_groups(feed, from, max - used < room ? max - used : room);
    /* What is too large for a block has to begin somewhere. */
    if (share->records == 0 && batch->count == 0 && from < feed->count) {
        struct share group = next_group(feed, from);
        if (group.bytes <= max - used)
            *share = group;
    }
    return true;
}

static bool reserve(struct batch *batch, struct share share, size_t ops_bytes)
{
    if (!svl__batch_reserve(batch, share.records, share.bytes))
        return false;
    bool ok = buffer_reserve(&batch->ops, ops_bytes) != NULL;
    batch->ops.failed = false;
    return ok;
}

/* The open batch, if the feed may be in it: what a full disk may refuse never shares a batch with what it
 * may not. */
static struct batch *batch_for(const svl_store *store, const struct feed *feed)
{
    return store->open && store->open->refusable == feed->refusable ? store->open : NULL;
}

/* The batches behind the open one that this feed needs, a list with their memory reserved. */
static int plan(svl_store *store, const struct feed *feed, struct batch **more)
{
    size_t ops_bytes = ops_size(feed), done = 0;
    uint64_t block_fed = store->block_fed;
    struct batch *batch = batch_for(store, feed), **link = more;
    *more = NULL;
    for (;;) {
        struct share share;
        bool fits = find_share(store, feed, done, batch, block_fed, &share) &&
                    done + share.records == feed->count;
        if (batch && !reserve(batch, share, fits ? ops_bytes : 0))
            break;
        done += share.records;
        if (fits)
            return SVL_OK;
        if (batch || store->open)
            block_fed = fed_after(store, block_fed + share.bytes);
        batch = *link = svl__tail_take_spare(&store->tail);
        if (!batch)
            batch = *link = svl__batch_create();
        if (!batch)
            break;
        link = &batch->next;
    }
    while (*more) {
        batch = *more;
        *more = batch->next;
        svl__batch_release(batch);
    }
    return SVL_E_NOMEM;
}

static void enqueue_open(svl_store *store)
{
    struct batch *batch = store->open;
    uint64_t block_fed = fed_after(store, store->block_fed);
    batch->ends_block = block_fed < store->block_fed;
    store->block_fed = block_fed;
    if (store->queue_last)
        store->queue_last->next = batch;
    else
        store->queue_first = batch;
    store->queue_last = batch;
    store->open = NULL;
}

static void note_ring(struct batch *batch, const struct ring_position *ring)
{
    for (uint32_t i = 0; i < batch->ring_count; i++) {
        if (memcmp(batch->rings[i].uuid, ring->uuid, sizeof ring->uuid) == 0) {
            batch->rings[i].position = ring->position;
            return;
        }
    }
    if (batch->ring_count < JOURNAL_RINGS_MAX)
        batch->rings[batch->ring_count++] = *ring;
}

static void fill(svl_store *store, struct feed *feed, size_t *done)
{
    struct batch *batch = store->open;
    struct share share;
    find_share(store, feed, *done, batch, store->block_fed, &share);
    for (size_t i = 0; i < share.records; i++) {
        struct feed_item *item = &feed->items[*done + i];
        if (batch->count == 0)
            batch->first_id = store->next_id;
        item->id = store->next_id++;
        svl__batch_append(batch, item->wire, item->len);
    }
    if (feed->told && feed->told_item >= *done && feed->told_item - *done < share.records)
        note_ring(batch, feed->told);
    *done += share.records;
    if (feed->ring && share.records > 0) {
        /* A batch says up to where of the ring it holds the records: else they would come again. */
        struct ring_position upto = *feed->ring;
        upto.position = feed->items[*done - 1].ring_end;
        if (upto.position != 0)
            note_ring(batch, &upto);
    }
    store->unwritten_bytes += share.bytes;
    store->block_fed += share.bytes;
    store->stats.records_in += share.records;
    store->stats.bytes_in += share.bytes;
}

static void open_batch(svl_store *store, struct batch *batch)
{
    store->open = batch;
    batch->next = NULL;
    batch->ticket = store->next_ticket++;
    batch->first_id = store->next_id;
    batch->last_op = store->last_op;
    batch->clock_records = 0;
}

/* Everything is planned and reserved: nothing here can fail. *news: the flusher does not know yet that there is
 * something. */
static uint64_t take(svl_store *store, struct feed *feed, struct batch *more, bool *news)
{
    size_t done = 0;
    bool first_record = feed->count > 0 && store->unwritten_bytes == 0; /* due before values are */
    *news = more || first_record || feed->urgent || feed->space_wanted;
    if (!store->queue_first && !store->open)
        store->held_since_ns = svl__monotonic_ns();
    if (batch_for(store, feed))
        fill(store, feed, &done);
    while (more) {
        struct batch *next = more->next;
        if (store->open)
            enqueue_open(store);
        open_batch(store, more);
        more->refusable = feed->refusable;
        fill(store, feed, &done);
        more = next;
    }
    struct batch *batch = store->open;
    for (size_t i = 0; i < feed->op_count; i++)
        svl__op_encode(&feed->ops[i], &batch->ops);
    batch->op_count += (uint32_t)feed->op_count;
    store->last_op += feed->op_count;
    batch->last_op = store->last_op;
    batch->clock_records += feed->tells_clock;
    store->stats.clock_records += feed->tells_clock;
    if (feed->ring)
        note_ring(batch, feed->ring);
    if (feed->urgent && store->flush_wanted < batch->ticket)
        store->flush_wanted = batch->ticket;
    store->write_wanted |= feed->space_wanted;
    return batch->ticket;
}

static int feed_and_hold(svl_store *store, struct feed *feed, uint64_t *ticket, struct batch **held)
{
    int rc = check_feed(feed, svl__journal_batch_bytes_max(store->journal));
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    struct batch *more = NULL;
    bool news = false;
    if (store->failed)
        rc = svl__store_failure(store);
    else if (store->closing)
        rc = svl__fail(SVL_E_CLOSED, "store %s", store->path);
    else
        rc = plan(store, feed, &more);
    if (rc == SVL_OK) {
        *ticket = take(store, feed, more, &news);
        if (held)
            *held = svl__batch_hold(store->open);
    }
    if (news && !feed->flushed_by_caller)
        svl__job_wake_and_unlock(store, JOB_FLUSH);
    else
        pthread_mutex_unlock(&store->lock);
    return rc;
}

int svl__store_feed(svl_store *store, struct feed *feed, uint64_t *ticket)
{
    uint64_t given = 0;
    int rc = feed_and_hold(store, feed, &given, NULL);
    if (ticket)
        *ticket = given;
    return rc;
}

void svl__store_flush_here(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    svl__job_take(store, JOB_FLUSH);
    pthread_mutex_unlock(&store->lock);
}

uint64_t svl__store_last_ticket(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t ticket = store->next_ticket - 1;
    pthread_mutex_unlock(&store->lock);
    return ticket;
}

/* `lock` held. Waits until what `ticket` stands for is durable, or `batch` (may be NULL) was refused. */
static int wait_durable(svl_store *store, uint64_t ticket, const struct batch *batch,
                        int64_t deadline_ns)
{
    int rc = SVL_OK;
    if (store->flush_wanted < ticket) {
        store->flush_wanted = ticket;
        svl__job_wake(store, JOB_FLUSH);
    }
    while (store->durable_ticket < ticket && !store->failed && rc == SVL_OK) {
        if (batch && batch->refused)
            break;
        if (!svl__store_wait_progress(store, deadline_ns))
            rc = SVL_E_TIMEOUT;
    }
    if (batch && batch->refused)
        return svl__fail(batch->refused, "the batch was not written to %s", store->path);
    if (store->durable_ticket >= ticket)
        return SVL_OK;
    return store->failed ? svl__store_failure(store) : rc;
}

int svl__store_wait(svl_store *store, uint64_t ticket, int64_t deadline_ns)
{
    pthread_mutex_lock(&store->lock);
    int rc = wait_durable(store, ticket, NULL, deadline_ns);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int svl__store_feed_durably(svl_store *store, struct feed *feed)
{
    uint64_t ticket;
    struct batch *batch;
    feed->atomic = feed->urgent = feed->refusable = true;
    int rc = feed_and_hold(store, feed, &ticket, &batch);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    rc = wait_durable(store, ticket, batch, INT64_MAX);
    pthread_mutex_unlock(&store->lock);
    svl__batch_release(batch);
    svl__jobs_catch_up(store);
    return rc;
}
