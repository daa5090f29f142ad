/* flusher.c - batches into the journal, and the flush that makes them durable.
 *
 *     open batch / queue  --write-->  written list  --flush-->  tail: durable, visible
 *
 * A write follows as soon as there is something; a flush at once when somebody waits or when the last
 * one started sync_interval ago, else when that has passed: so at once after a quiet moment, and never
 * when idle. One flush acknowledges all who wait. */
#include <stdio.h>

#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

#define RETRY_MS 100

static struct batch *take_all(svl_store *store)
{
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
    struct feed feed = { .items = &item, .count = 1 };
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

static int write_batch(svl_store *store, struct batch *batch)
{
    int64_t ingest_ns = ingest_now(store, batch->ticket);
    if (!svl__batch_set_ingest(batch, ingest_ns))
        return SVL_E_NOMEM;
    int rc = prepare(store, batch);
    if (rc != SVL_OK)
        return rc;
    struct journal_section sections[2];
    uint32_t n = 0;
    if (batch->count > 0)
        sections[n++] = (struct journal_section){ JOURNAL_WIRE, batch->count, batch->wire.data,
                                                  batch->wire.len };
    if (batch->op_count > 0)
        sections[n++] = (struct journal_section){ JOURNAL_OPS, batch->op_count, batch->ops.data,
                                                  batch->ops.len };
    struct journal_batch out = { .first_id = batch->first_id,
                                 .count = batch->count,
                                 .last_op = batch->last_op,
                                 .ingest_ns = ingest_ns,
                                 .rings = batch->rings,
                                 .ring_count = batch->ring_count,
                                 .section_count = n,
                                 .sections = sections };
    return svl__journal_write(store->journal, &out);
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
        if (store->written_last)
            store->written_last->next = written;
        else
            store->written_first = written;
        store->written_last = written;
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
    pthread_mutex_lock(&store->lock);
    store->stats.flushes++;
    publish_written(store);
    uint64_t id = store->tail.durable_id, ticket = store->durable_ticket;
    bool encode = store->tail.wire_bytes >= store->options.block_bytes;
    svl__job_wake(store, JOB_COMMIT);
    if (encode)
        svl__job_wake(store, JOB_ENCODE);
    pthread_mutex_unlock(&store->lock);
    svl__store_tell_durable(store, id, ticket);
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

static int64_t write_due_ns(const svl_store *store)
{
    if (!store->queue_first && !store->open)
        return INT64_MAX;
    return store->write_waits && !store->ending ? store->write_retry_ns : 0;
}

/* Of what is written, or about to be. */
static int64_t flush_due_ns(const svl_store *store)
{
    if (store->closing || store->flush_wanted > store->durable_ticket)
        return 0;
    return store->last_flush_ns + store->options.sync_interval_ms * NS_PER_MS;
}

int64_t svl__flush_due_ns(const svl_store *store)
{
    if (store->failed)
        return store->failure_told ? INT64_MAX : 0;
    if (store->clock_step_ns != 0)
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

static int write_and_flush(svl_store *store)
{
    int64_t now = svl__monotonic_ns();
    pthread_mutex_lock(&store->lock);
    bool flush_now = flush_due_ns(store) <= now;
    struct batch *list = write_due_ns(store) <= now ? take_all(store) : NULL;
    pthread_mutex_unlock(&store->lock);
    int rc = list ? write_new(store, list) : SVL_OK;
    if (rc != SVL_OK || !flush_now || !store->written_first)
        return rc;
    pthread_mutex_lock(&store->lock);
    store->last_flush_ns = svl__monotonic_ns();
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
    int rc = write_and_flush(store);
    if (rc != SVL_OK)
        svl__store_fail(store, rc);
}
