/* flusher.c - batches into the journal, and the flush that makes them durable.
 *
 *     open batch --full--> queue --stamp--> queue --write--> written list --flush--> tail: durable, visible
 *          |                                  |                  ^
 *          +--------------- write ------------|------------------+
 *                                             +--> encoder: its block, which is written instead
 *
 * A flush starts at once when somebody waits or when the last one started sync_interval ago, else when that has
 * passed: so at once after a quiet moment, and never when idle. Records look only at the last flush that had records
 * in it: else one would wait out the interval that the position of a handler, written some time after the last
 * record, has begun. So there are at most two flushes an interval for which nobody waits. One flush acknowledges all
 * who wait. Until it is due a batch is held in memory, so that its block may be encoded and its bytes be written
 * once: not when the encoder is behind, when somebody wants a ring's space, or for longer than HOLD_MS. What is not
 * encoded when it is written goes as the wire records that it is: nothing here waits for the encoder. */
#include <stdio.h>

#include "base/clock.h"
#include "base/step.h"
#include "base/thread.h"
#include "state.h"

#define RETRY_MS 100
/* A private ring dies with the process, and with it what was published and not written. */
#define HOLD_MS 20
#define BLOCKS_MAX (JOURNAL_SECTIONS_MAX - 1) /* of a batch; a section is for its operations */

/* `lock` held. */
static struct batch *take_all(svl_store *store)
{
    store->encode_ahead = 0; /* too late */
    store->write_wanted = false;
    struct batch *first = store->queue_first;
    if (store->open) {
        if (store->queue_last)
            store->queue_last->next = store->open;
        else
            first = store->open;
    }
    store->queue_first = store->queue_last = store->open = NULL;
    return first;
}

/* `lock` held: its blocks are there. */
static bool is_encoded(const svl_store *store, const struct batch *batch)
{
    struct block *blocks[BLOCKS_MAX];
    return batch->count == 0 || svl__tail_blocks_of(&store->tail, batch, BLOCKS_MAX, blocks) > 0;
}

/* `lock` held: what is encoded, for whoever wants the space; all, if that is nothing. */
static struct batch *take_encoded(svl_store *store)
{
    struct batch *first = store->queue_first, *last = NULL;
    for (struct batch *b = first; b && b->is_stamped && is_encoded(store, b); b = b->next)
        last = b;
    if (!last)
        return take_all(store);
    store->write_wanted = false;
    store->held_since_ns = svl__monotonic_ns(); /* those behind are younger than these */
    store->queue_first = last->next;
    if (!last->next)
        store->queue_last = NULL;
    last->next = NULL;
    return first;
}

/* `lock` held: puts `list` back before what came since. */
static void give_back(svl_store *store, struct batch *list)
{
    struct batch *last = list;
    while (last->next)
        last = last->next;
    last->next = store->queue_first;
    if (!store->queue_last)
        store->queue_last = last;
    store->queue_first = list;
}

/* Feeds with it, for the next open, by what retention still goes behind the clock. */
static int feed_clock(svl_store *store, struct feed *feed, uint64_t *ticket)
{
    pthread_mutex_lock(&store->lock);
    int64_t forward_ns = store->clock.forward_ns;
    pthread_mutex_unlock(&store->lock);
    uint8_t bytes[sizeof forward_ns];
    store_u64(bytes, (uint64_t)forward_ns);
    struct store_op op = { .key = { CLOCK_FORWARD_KEY, sizeof CLOCK_FORWARD_KEY - 1 } };
    if (forward_ns > 0)
        op.value = (svl_slice){ bytes, sizeof bytes };
    feed->ops = &op;
    feed->op_count = forward_ns != store->clock_kept_ns;
    feed->refusable = true;
    int rc = svl__store_feed(store, feed, ticket);
    if (rc == SVL_OK)
        store->clock_kept_ns = forward_ns;
    return rc;
}

/* The record that tells of a step of the clock; from its batch on ingest time follows the clock. */
static void tell_step(svl_store *store, int64_t step_ns)
{
    char text[64];
    int n = snprintf(text, sizeof text, "the clock was set by %lld seconds",
                     (long long)(step_ns / NS_PER_S));
    static const char source[] = "serverlog.clock", name[] = "step_ns";
    svl_attribute step = { .name = { name, sizeof name - 1 },
                           .kind = SVL_ATTRIBUTE_I64,
                           .i64 = step_ns };
    svl_record record = { .severity = SVL_SEVERITY_WARN,
                          .source = { source, sizeof source - 1 },
                          .body = { text, (size_t)n },
                          .attributes = &step,
                          .attribute_count = 1 };
    uint8_t wire[256];
    svl__wire_encode(&record, svl__wall_ns(), wire);
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record) };
    struct feed feed = { .items = &item, .count = 1, .tells_clock = true };
    if (feed_clock(store, &feed, &store->step_ticket) != SVL_OK)
        store->step_ticket = 0;
    pthread_mutex_lock(&store->lock);
    store->roll_wanted = true;
    pthread_mutex_unlock(&store->lock);
    svl__log(&store->log, SVL_SEVERITY_WARN, SVL_OK, "%s: %s", store->path, text);
}

/* Ingest time is monotone: small steps back of the clock are not followed, large ones from the record
 * on that tells of them. */
static int64_t ingest_now(svl_store *store, uint64_t ticket)
{
    int64_t wall = svl__wall_ns();
    pthread_mutex_lock(&store->lock);
    int64_t step_ns = svl__clock_watch_step(&store->clock, wall, svl__boot_ns());
    bool changed = store->clock.forward_ns != store->clock_kept_ns; /* it has stood */
    pthread_mutex_unlock(&store->lock);
    struct feed nothing = { .count = 0 };
    if (step_ns != 0)
        tell_step(store, step_ns);
    else if (changed)
        feed_clock(store, &nothing, NULL);
    if (store->step_ticket != 0 && ticket >= store->step_ticket) {
        store->step_ticket = 0;
        store->ingest_last_ns = wall;
    }
    /* A step forward, too, is taken only with its record. */
    if (wall < store->ingest_last_ns || store->step_ticket != 0)
        return store->ingest_last_ns;
    store->ingest_last_ns = wall;
    return wall;
}

/* `lock` held: the next batch that is full and has no ingest time yet; none behind one that may be refused, which
 * gives its ids back. */
static struct batch *find_unstamped(const svl_store *store)
{
    struct batch *batch = store->queue_first;
    while (batch && batch->is_stamped)
        batch = batch->next;
    bool useful = batch && !batch->refusable && !svl__encoder_is_behind(store);
    return useful ? batch : NULL;
}

/* Gives full batches their ingest time, with which they can be encoded. */
static void stamp(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    struct batch *batch;
    while ((batch = find_unstamped(store))) {
        pthread_mutex_unlock(&store->lock);
        svl__batch_set_ingest(batch, ingest_now(store, batch->ticket)); /* cannot fail: reserved */
        pthread_mutex_lock(&store->lock);
        batch->is_stamped = true;
        if (batch->ends_block) {
            store->encode_ahead = svl__batch_last_id(batch);
            svl__job_wake(store, JOB_ENCODE);
        }
    }
    pthread_mutex_unlock(&store->lock);
}

/* All memory that showing the batch will take: once it is written it can only become visible. */
static int prepare(svl_store *store, struct batch *batch)
{
    svl_slice ops = { batch->ops.data, batch->ops.len };
    int rc = svl__values_apply(&batch->values, ops, batch->op_count, batch->last_op, 0);
    if (rc == SVL_OK) {
        pthread_mutex_lock(&store->lock);
        rc = svl__tail_reserve_batches(&store->tail, store->written_batches + 1);
        if (rc == SVL_OK)
            rc = svl__values_reserve(&store->values, store->written_values + batch->values.count);
        pthread_mutex_unlock(&store->lock);
    }
    return rc;
}

/* The batch's blocks, held, if all are there and smaller than its records: how many. */
static size_t hold_blocks(svl_store *store, const struct batch *batch, struct block **blocks)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&store->lock);
    size_t n = batch->count ? svl__tail_blocks_of(&store->tail, batch, BLOCKS_MAX, blocks) : 0;
    for (size_t i = 0; i < n; i++)
        bytes += blocks[i]->len;
    if (bytes >= batch->wire.len)
        n = 0;
    for (size_t i = 0; i < n; i++)
        svl__block_hold(blocks[i]);
    pthread_mutex_unlock(&store->lock);
    return n;
}

static int write_sections(svl_store *store, const struct batch *batch, struct block **blocks,
                          size_t block_count)
{
    struct journal_section sections[BLOCKS_MAX + 1];
    uint32_t n = 0;
    for (; n < block_count; n++)
        sections[n] = (struct journal_section){ JOURNAL_BLOCK, blocks[n]->zone.count,
                                                blocks[n]->data, blocks[n]->len };
    if (batch->count > 0 && block_count == 0)
        sections[n++] = (struct journal_section){ JOURNAL_WIRE, batch->count, batch->wire.data,
                                                  batch->wire.len };
    if (batch->op_count > 0)
        sections[n++] = (struct journal_section){ JOURNAL_OPS, batch->op_count, batch->ops.data,
                                                  batch->ops.len };
    struct journal_batch out = { .first_id = batch->first_id,
                                 .count = batch->count,
                                 .last_op = batch->last_op,
                                 .ingest_ns = svl__batch_ingest_ns(batch, 0),
                                 .rings = batch->rings,
                                 .ring_count = batch->ring_count,
                                 .section_count = n,
                                 .sections = sections };
    return svl__journal_write(store->journal, &out);
}

static int write_batch(svl_store *store, struct batch *batch)
{
    if (!batch->is_stamped && !svl__batch_set_ingest(batch, ingest_now(store, batch->ticket)))
        return SVL_E_NOMEM;
    int rc = prepare(store, batch);
    if (rc != SVL_OK)
        return rc;
    struct block *blocks[BLOCKS_MAX];
    size_t n = hold_blocks(store, batch, blocks);
    rc = write_sections(store, batch, blocks, n);
    for (size_t i = 0; i < n; i++)
        svl__block_release(blocks[i]);
    return rc;
}

/* `lock` held: of the batches that wait in memory, those at the end that may be refused are, with `code`:
 * ids and operations go back to where they were, as nothing of it was written. What may not be refused
 * keeps its ids, and with them what was fed before it. */
static void refuse(svl_store *store, struct batch **list, int code)
{
    struct batch **end = list, *before = store->written_last;
    for (struct batch *b = *list; b; b = b->next) {
        if (!b->refusable) {
            before = b;
            end = &b->next;
        }
    }
    struct batch *refused = *end;
    *end = NULL;
    if (!refused)
        return;
    store->next_id = refused->first_id;
    store->last_op = refused->last_op - refused->op_count;
    store->clock_kept_ns = -1; /* perhaps not kept: feed_clock() was one of them */
    /* Who waits for all that was fed waits for what is left; appenders see `refused` in the batch that
     * they hold. */
    *(before ? &before->ticket : &store->durable_ticket) = store->next_ticket - 1;
    while (refused) {
        struct batch *next = refused->next;
        store->unwritten_bytes -= refused->wire.len;
        store->stats.records_in -= refused->count;
        store->stats.clock_records -= refused->clock_records;
        store->stats.bytes_in -= refused->wire.len;
        refused->refused = code;
        svl__batch_release(refused);
        refused = next;
    }
}

/* A full disk, no memory for a small thing, no descriptor: what may not be refused stays in memory, up to
 * its limit; then whoever feeds waits. Tried again and again; a store that is being closed gives up
 * instead. */
static int retry_later(svl_store *store, struct batch *list, int code)
{
    pthread_mutex_lock(&store->lock);
    bool began = !store->write_waits;
    give_back(store, list);
    list = take_all(store);
    refuse(store, &list, code);
    store->write_waits = list ? code : 0;
    store->write_retry_ns = svl__monotonic_ns() + RETRY_MS * NS_PER_MS;
    store->stats.disk_full_waits += code == SVL_E_NO_SPACE;
    if (list)
        give_back(store, list);
    pthread_cond_broadcast(&store->progress);
    bool give_up = store->ending && list;
    bool ready = svl__store_turns_ready(store);
    pthread_mutex_unlock(&store->lock);
    if (began)
        svl__log(&store->log, SVL_SEVERITY_ERROR, code, "%s: %s; writing pauses and tries again",
                 store->path, svl_last_error());
    if (ready)
        svl__store_tell_ready(store);
    return give_up ? code : SVL_OK;
}

/* Writes a list of batches in order; what is written goes to the written list. Returns what is left
 * (NULL: all written), with *rc set. */
static struct batch *write_list(svl_store *store, struct batch *list, int *rc)
{
    *rc = SVL_OK;
    while (list) {
        *rc = write_batch(store, list);
        if (*rc != SVL_OK)
            return list;
        struct batch *written = list;
        list = list->next;
        written->next = NULL;
        store->written_batches++;
        store->written_values += written->values.count;
        if (written->ring_count > 0)
            svl__store_tell_written(store, written);
        STEP("flush: rings told of the write");
        pthread_mutex_lock(&store->lock);
        if (store->written_last)
            store->written_last->next = written;
        else
            store->written_first = written;
        store->written_last = written;
        pthread_mutex_unlock(&store->lock);
    }
    return NULL;
}

static int write_new(svl_store *store, struct batch *list)
{
    int rc;
    struct batch *rest = write_list(store, list, &rc);
    if (!rest) {
        pthread_mutex_lock(&store->lock);
        bool waited = store->write_waits;
        store->write_waits = 0;
        bool ready = svl__store_turns_ready(store);
        pthread_mutex_unlock(&store->lock);
        if (waited)
            svl__log(&store->log, SVL_SEVERITY_INFO, SVL_OK, "%s: writing goes on", store->path);
        if (ready)
            svl__store_tell_ready(store);
        return SVL_OK;
    }
    if (is_shortage(rc))
        return retry_later(store, rest, rc);
    pthread_mutex_lock(&store->lock);
    give_back(store, rest);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

/* `lock` held: the written batches become durable: visible, and whoever waits is told. */
static void publish_written(svl_store *store)
{
    while (store->written_first) {
        struct batch *batch = store->written_first;
        svl__values_merge(&store->values, &batch->values);
        store->durable_op = batch->last_op;
        store->durable_ingest_ns = svl__batch_ingest_ns(batch, 0);
        store->written_first = batch->next;
        if (!store->written_first)
            store->written_last = NULL;
        batch->next = NULL;
        store->durable_ticket = batch->ticket;
        store->unwritten_bytes -= batch->wire.len;
        if (store->oldest_uncommitted_ns == 0)
            store->oldest_uncommitted_ns = svl__monotonic_ns();
        if (batch->count > 0)
            svl__tail_add_batch(&store->tail, batch); /* cannot fail: reserved */
        else
            svl__batch_release(batch);
    }
    store->written_batches = store->written_values = 0;
    pthread_cond_broadcast(&store->progress);
}

void svl__store_tell_others(svl_store *store)
{
    struct bell_news news;
    svl__journal_position(store->journal, &news.salt, &news.durable_seq);
    svl__bell_ring(store->bell, &news);
}

static int flush(svl_store *store)
{
    uint64_t durable;
    int rc = svl__journal_flush(store->journal, &durable);
    if (rc != SVL_OK)
        return rc;
    svl__store_tell_others(store); /* before anyone is: what was acknowledged is seen everywhere */
    STEP("flush: bell rung");
    pthread_mutex_lock(&store->lock);
    store->stats.flushes++;
    publish_written(store);
    uint64_t id = store->tail.durable_id, ticket = store->durable_ticket;
    bool encode = store->tail.wire_bytes >= store->options.block_bytes;
    svl__job_wake(store, JOB_COMMIT);
    if (encode)
        svl__job_wake(store, JOB_ENCODE);
    pthread_mutex_unlock(&store->lock);
    STEP("flush: records visible");
    svl__store_tell_durable(store, id, ticket);
    STEP("flush: acknowledged");
    return SVL_OK;
}

/* Whichever job has found the failure: `durable` is told by this one. */
static void tell_failed(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t id = store->tail.durable_id, ticket = store->durable_ticket;
    store->failure_told = true;
    pthread_mutex_unlock(&store->lock);
    svl__store_tell_durable(store, id, ticket);
}

/* --- when; `lock` held --- */

/* Of what is written, or about to be. */
static int64_t flush_due_ns(const svl_store *store)
{
    bool commit_waits_for_it =
        store->commit_upto > store->tail.encoded_id && store->tail.ahead_count > 0;
    if (store->closing || store->flush_wanted > store->durable_ticket || commit_waits_for_it)
        return 0;
    /* unwritten_bytes: a record waits for its flush */
    int64_t last_ns =
        store->unwritten_bytes > 0 ? store->last_records_flush_ns : store->last_flush_ns;
    return last_ns + store->options.sync_interval_ms * NS_PER_MS;
}

static int64_t write_due_ns(const svl_store *store)
{
    if (!store->queue_first && !store->open)
        return INT64_MAX;
    if (store->write_waits)
        return store->ending ? 0 : store->write_retry_ns;
    if (store->write_wanted || (store->queue_first && svl__encoder_is_behind(store)))
        return 0;
    int64_t flush_ns = flush_due_ns(store), held_ns = store->held_since_ns + HOLD_MS * NS_PER_MS;
    return flush_ns < held_ns ? flush_ns : held_ns;
}

int64_t svl__flush_due_ns(const svl_store *store)
{
    if (store->failed)
        return store->failure_told ? INT64_MAX : 0;
    if (store->clock_step_ns != 0 || find_unstamped(store))
        return 0;
    int64_t write_ns = write_due_ns(store);
    int64_t flush_ns = store->written_first ? flush_due_ns(store) : INT64_MAX;
    return write_ns < flush_ns ? write_ns : flush_ns;
}

/* --- a step --- */

static void tell_clock(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    int64_t step_ns = store->clock_step_ns;
    store->clock_step_ns = 0;
    pthread_mutex_unlock(&store->lock);
    if (step_ns != 0)
        tell_step(store, step_ns);
}

static bool has_records(const struct batch *list)
{
    while (list && list->count == 0)
        list = list->next;
    return list != NULL;
}

static int write_and_flush(svl_store *store)
{
    int64_t now = svl__monotonic_ns();
    pthread_mutex_lock(&store->lock);
    bool flush_now = flush_due_ns(store) <= now;
    struct batch *list = NULL;
    if (write_due_ns(store) <= now)
        list = store->write_wanted && !flush_now ? take_encoded(store) : take_all(store);
    pthread_mutex_unlock(&store->lock);
    int rc = list ? write_new(store, list) : SVL_OK;
    if (rc != SVL_OK || !flush_now || !store->written_first)
        return rc;
    pthread_mutex_lock(&store->lock);
    store->last_flush_ns = svl__monotonic_ns();
    if (has_records(store->written_first))
        store->last_records_flush_ns = store->last_flush_ns;
    pthread_mutex_unlock(&store->lock);
    return flush(store);
}

void svl__flush_step(svl_store *store)
{
    if (svl__store_has_failed(store)) {
        tell_failed(store);
        return;
    }
    tell_clock(store);
    stamp(store);
    int rc = write_and_flush(store);
    if (rc != SVL_OK)
        svl__store_fail(store, rc);
}
