/* delivery.c - one turn of a subscription: read a batch, call, apply the outcome.
 *
 * A batch is read anew for each attempt, from the position on: nothing of a failed one is kept but the
 * count of attempts. The cursor stays open from batch to batch while it yields, so a backlog is read in
 * one sweep.
 *
 * Without marks a failed call says nothing of which record it was. When its attempts are used up, the
 * batch is split: halves are tried until the record stands alone that cannot be done; splits are not
 * attempts. That record pauses the subscription. */
#include <string.h>

#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"
#include "batch.h"
#include "record/wire.h"

#define ACCEPT_POLL_MS 100
/* A turn looks at so many ids: who unsubscribes or closes waits for no more. And a position that only passes
 * records of no interest is written each time it has come this far: what a crash makes it look at again. */
#define SCANNED_IDS_MAX 65536

struct delivery {
    struct svl_batch batch;
    struct buffer records; /* svl_record each; slices are offsets into `bytes` until it is read */
    struct buffer attributes; /* svl_attribute each, likewise */
    struct buffer bytes;
    struct buffer items; /* struct feed_item each: the emits */
    uint64_t scanned;    /* everything up to here was looked at */
    bool at_end;
};

void svl__delivery_destroy(struct delivery *d)
{
    if (!d)
        return;
    svl__buffer_free(&d->batch.emits);
    svl__buffer_free(&d->batch.emit_list);
    svl__buffer_free(&d->records);
    svl__buffer_free(&d->attributes);
    svl__buffer_free(&d->bytes);
    svl__buffer_free(&d->items);
    svl__free(d);
}

/* --- reading --- */

static svl_slice copy_slice(struct buffer *bytes, svl_slice slice)
{
    svl_slice offset = { (const void *)(uintptr_t)bytes->len, slice.len };
    if (slice.len > 0)
        svl__buffer_append(bytes, slice.data, slice.len);
    return offset;
}

/* Pointers become offsets: the buffers may still move. */
static void copy_record(struct delivery *d, const svl_record *record)
{
    svl_record copy = *record;
    copy.source = copy_slice(&d->bytes, record->source);
    copy.type = copy_slice(&d->bytes, record->type);
    copy.key = copy_slice(&d->bytes, record->key);
    copy.body = copy_slice(&d->bytes, record->body);
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        svl_attribute attribute = record->attributes[i];
        attribute.name = copy_slice(&d->bytes, attribute.name);
        attribute.bytes = copy_slice(&d->bytes, attribute.bytes);
        svl__buffer_append(&d->attributes, &attribute, sizeof attribute);
    }
    svl__buffer_append(&d->records, &copy, sizeof copy);
}

static void locate(svl_slice *slice, const struct buffer *bytes)
{
    slice->data = slice->len > 0 ? bytes->data + (uintptr_t)slice->data : NULL;
}

/* Nothing moves any more: offsets become pointers. */
static void locate_all(struct delivery *d)
{
    svl_record *records = (svl_record *)(void *)d->records.data;
    svl_attribute *attributes = (svl_attribute *)(void *)d->attributes.data;
    size_t n = d->records.len / sizeof *records;
    for (size_t i = 0; i < n; i++) {
        svl_record *r = &records[i];
        locate(&r->source, &d->bytes);
        locate(&r->type, &d->bytes);
        locate(&r->key, &d->bytes);
        locate(&r->body, &d->bytes);
        r->attributes = r->attribute_count ? attributes : NULL;
        for (uint32_t k = 0; k < r->attribute_count; k++, attributes++) {
            locate(&attributes->name, &d->bytes);
            locate(&attributes->bytes, &d->bytes);
        }
    }
    d->batch.records = records;
    d->batch.count = n;
}

static void close_cursor(svl_subscription *s)
{
    svl_cursor_close(s->cursor);
    s->cursor = NULL;
}

static int open_cursor(svl_subscription *s, uint64_t from, uint64_t to)
{
    svl_query query;
    svl_query_init(&query, sizeof query);
    svl__filter_narrow(s->filter, &query);
    query.id_min = from;
    query.id_max = to;
    s->cursor_end = to;
    return svl_store_query(s->handlers->options.store, &query, &s->cursor);
}

static size_t record_bytes(const svl_record *r)
{
    size_t bytes = r->source.len + r->type.len + r->key.len + r->body.len;
    for (uint32_t i = 0; i < r->attribute_count; i++)
        bytes += r->attributes[i].name.len + r->attributes[i].bytes.len;
    return bytes;
}

/* Takes what fits of the `n` records; false if one did not: then the cursor has run ahead. */
static bool take_records(svl_subscription *s, const svl_record *records, size_t n)
{
    struct delivery *d = s->delivery;
    for (size_t i = 0; i < n; i++) {
        const svl_record *r = &records[i];
        if (svl__filter_matches(s->filter, r)) {
            if (d->records.len > 0 && d->bytes.len + record_bytes(r) > s->options.batch_bytes_max)
                return false;
            copy_record(d, r);
        }
        d->scanned = r->id;
    }
    return true;
}

/* `lock` held: what lies behind it has not been tried yet. */
static void set_position(svl_subscription *s, uint64_t position)
{
    s->position = position;
    s->attempts = 0;
    s->batch_end = 0;
    if (position >= s->split_end)
        s->split_end = 0;
}

/* Retention has taken what was not handed out yet: the position goes on behind it, and that is told. */
static void pass_retired(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    uint64_t first_id = svl__store_first_id(h->options.store);
    pthread_mutex_lock(&h->lock);
    uint64_t position = s->position, lost = first_id > position + 1 ? first_id - 1 - position : 0;
    if (lost > 0) {
        set_position(s, first_id - 1);
        s->counts.lost += lost;
    }
    pthread_mutex_unlock(&h->lock);
    if (lost > 0)
        svl__log(h->log, SVL_SEVERITY_WARN, SVL_OK,
                 "subscription %s: records %llu to %llu were retired before it came to them",
                 s->name ? s->name : "(unnamed)", (unsigned long long)position + 1,
                 (unsigned long long)first_id - 1);
}

/* Fills the batch from the position on. */
static int read_batch(svl_subscription *s, uint64_t position, uint32_t records_max, uint64_t upto)
{
    struct delivery *d = s->delivery;
    d->records.len = d->attributes.len = d->bytes.len = 0;
    d->batch.count = 0;
    d->scanned = position;
    d->at_end = false;
    int rc = SVL_OK;
    if (position >= upto) {
        d->at_end = true;
        return SVL_OK;
    }
    uint64_t limit = upto - position < SCANNED_IDS_MAX ? upto : position + SCANNED_IDS_MAX;
    if (!s->cursor)
        rc = open_cursor(s, position + 1, limit);
    while (rc == SVL_OK && d->records.len / sizeof(svl_record) < records_max) {
        const svl_record *records;
        size_t n, wanted = records_max - d->records.len / sizeof(svl_record);
        rc = svl_cursor_next_many(s->cursor, 0, wanted, &records, &n);
        if (rc == SVL_OK && !take_records(s, records, n)) {
            close_cursor(s);
            break;
        }
        if (d->records.failed || d->attributes.failed || d->bytes.failed)
            break;
        if (rc == SVL_E_CORRUPT) {
            svl__log(s->handlers->log, SVL_SEVERITY_ERROR, rc,
                     "subscription %s: records after %llu cannot be read: %s; delivery goes on "
                     "behind them",
                     s->name ? s->name : "(unnamed)", (unsigned long long)d->scanned,
                     svl_last_error());
            rc = SVL_OK;
        }
        if (rc == SVL_E_END && s->cursor_end < limit) { /* the end when it was opened */
            d->scanned = s->cursor_end;
            close_cursor(s);
            rc = open_cursor(s, d->scanned + 1, limit);
        }
    }
    if (rc == SVL_E_END) {
        d->at_end = s->cursor_end >= upto;
        d->scanned = s->cursor_end;
        close_cursor(s);
        rc = SVL_OK;
    }
    if (d->records.failed || d->attributes.failed || d->bytes.failed) {
        svl__buffer_free(&d->records);
        svl__buffer_free(&d->attributes);
        svl__buffer_free(&d->bytes);
        rc = SVL_E_NOMEM;
    }
    if (rc == SVL_OK)
        locate_all(d);
    else
        close_cursor(s);
    return rc;
}

/* --- calling --- */

static int call(svl_subscription *s, uint32_t attempt)
{
    struct svl_batch *batch = &s->delivery->batch;
    struct handlers *h = s->handlers;
    batch->attempt = attempt;
    batch->mark = MARK_NONE;
    batch->reason[0] = 0;
    batch->emits.len = batch->emit_list.len = 0;
    batch->record_bytes_max = h->options.record_bytes_max;
    batch->emit_bytes_max = svl__store_feed_bytes_max(h->options.store) - 1024;
    struct callback_frame frame = { .kind = CALLBACK_STORED,
                                    .owner = h->options.store,
                                    .subscription = s };
    svl__callback_enter(&frame);
    int rc = s->fn(batch, s->user);
    svl__callback_leave(&frame);
    return rc;
}

/* --- the outcome --- */

/* The emits of the first `done` records, as items of one feed. */
static int gather_emits(struct delivery *d, size_t done)
{
    const struct emit *emits = (const struct emit *)(const void *)d->batch.emit_list.data;
    size_t n = d->batch.emit_list.len / sizeof *emits;
    d->items.len = 0;
    for (size_t i = 0; i < n; i++) {
        if (emits[i].cause >= done)
            continue;
        struct feed_item item = { .wire = d->batch.emits.data + emits[i].offset,
                                  .len = emits[i].len };
        svl__buffer_append(&d->items, &item, sizeof item);
    }
    if (d->items.failed) {
        svl__buffer_free(&d->items);
        return SVL_E_NOMEM;
    }
    return SVL_OK;
}

/* Waits until the store takes records; SVL_E_CLOSED when it does not and somebody waits for this turn. */
static int wait_accepts(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    int rc;
    do {
        rc = svl__store_wait_accepts(h->options.store, svl__deadline_ns(ACCEPT_POLL_MS));
        pthread_mutex_lock(&h->lock);
        if (rc == SVL_E_TIMEOUT && (h->ending || s->detached))
            rc = SVL_E_CLOSED;
        pthread_mutex_unlock(&h->lock);
    } while (rc == SVL_E_TIMEOUT);
    return rc;
}

/* `lock` held. D3: the emits and the position, in one batch of the journal; without emits the position may
 * wait for the next checkpoint. */
static int move(svl_subscription *s, uint64_t position, size_t done)
{
    struct delivery *d = s->delivery;
    struct feed feed = { .items = (struct feed_item *)(void *)d->items.data,
                         .count = d->items.len / sizeof(struct feed_item) };
    int rc = feed.count > 0 ? svl__progress_feed(s, &feed, position, s->paused, NULL) : SVL_OK;
    if (rc != SVL_OK)
        return rc;
    s->dirty |= feed.count == 0 && done > 0 && s->name;
    set_position(s, position);
    s->counts.records += done;
    s->counts.emitted += feed.count;
    s->handlers->emitted += feed.count;
    return SVL_OK;
}

/* Records [0, done) are done. */
static int advance(svl_subscription *s, size_t done)
{
    struct handlers *h = s->handlers;
    struct delivery *d = s->delivery;
    uint64_t position = s->position;
    if (done == d->batch.count)
        position = d->scanned;
    else if (done > 0)
        position = d->batch.records[done].id - 1;
    if (position == s->position)
        return SVL_OK;
    int rc = gather_emits(d, done);
    if (rc == SVL_OK && d->items.len > 0)
        rc = wait_accepts(s);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&h->lock);
    rc = move(s, position, done);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static void wait_for(svl_subscription *s, int64_t wait_ns, enum subscription_state *next)
{
    s->wait_until_ns = svl__monotonic_ns() + wait_ns;
    s->waits_for_resources = false;
    *next = SUBSCRIPTION_WAITING;
}

/* Memory or the disk was short: nothing that the handler did. */
static void wait_for_resources(svl_subscription *s, enum subscription_state *next)
{
    wait_for(s, (int64_t)s->options.retry_base_ms * NS_PER_MS, next);
    s->waits_for_resources = true;
}

static bool is_stopping(struct handlers *h)
{
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);
    return stopping;
}

static void give_up(svl_subscription *s, int code, uint64_t id, uint32_t attempts,
                    enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    pthread_mutex_lock(&h->lock);
    s->paused = true;
    svl__progress_save(s, false, NULL);
    pthread_mutex_unlock(&h->lock);
    *next = SUBSCRIPTION_PAUSED;
    svl__log(
        h->log, SVL_SEVERITY_ERROR, code,
        "subscription %s is paused: record %llu failed in %u attempts%s%s; mend the handler, then "
        "svl_subscription_resume()",
        s->name ? s->name : "(unnamed)", (unsigned long long)id, attempts,
        s->delivery->batch.reason[0] ? ": " : "", s->delivery->batch.reason);
}

/* The first record that is not done has failed: try again, split, or give up. */
static void after_failure(svl_subscription *s, int code, bool marked, size_t left,
                          enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    const svl_record *head = &s->delivery->batch.records[s->delivery->batch.count - left];
    pthread_mutex_lock(&h->lock);
    s->counts.failures++;
    s->counts.last_code = code;
    if (s->split_end == 0)
        s->attempts++;
    if (s->batch_end == 0)
        s->batch_end = s->delivery->batch.records[s->delivery->batch.count - 1].id;
    bool stopping = h->stopping;
    uint32_t max = s->options.retry_attempts_max;
    uint32_t attempts = s->split_end ? max : s->attempts;
    bool exhausted = (max != UINT32_MAX && attempts >= max) || s->split_end != 0;
    if (exhausted && !marked && left > 1) {
        if (s->split_end == 0)
            s->split_end = s->delivery->batch.records[s->delivery->batch.count - 1].id;
        s->split_records = (uint32_t)(left / 2);
    }
    pthread_mutex_unlock(&h->lock);
    if (exhausted && (marked || left == 1)) {
        give_up(s, code, head->id, attempts, next);
    } else if (exhausted) {
        *next = SUBSCRIPTION_READY;
    } else if (stopping) {
        *next = SUBSCRIPTION_HALTED;
    } else {
        pthread_mutex_lock(&h->lock);
        s->counts.retries++;
        pthread_mutex_unlock(&h->lock);
        wait_for(s, svl__retry_wait_ns(&s->options, attempts), next);
    }
}

static void apply(svl_subscription *s, int rc, enum subscription_state *next)
{
    struct svl_batch *batch = &s->delivery->batch;
    size_t done = rc != SVL_OK ? 0 : batch->mark != MARK_NONE ? batch->mark_at : batch->count;
    int stored = advance(s, done);
    if (stored != SVL_OK) {
        /* The effects were not taken: nothing of the batch is done, and no attempt counted. */
        close_cursor(s);
        if (stored == SVL_E_FAILED || stored == SVL_E_CLOSED)
            *next = SUBSCRIPTION_HALTED;
        else
            wait_for_resources(s, next);
        return;
    }
    if (done == batch->count) {
        *next = SUBSCRIPTION_READY;
        return;
    }
    close_cursor(s);
    if (rc == SVL_OK && batch->mark == MARK_DEFER && is_stopping(s->handlers))
        *next = SUBSCRIPTION_HALTED; /* it comes again at the next start */
    else if (rc == SVL_OK && batch->mark == MARK_DEFER)
        wait_for(s, (int64_t)batch->defer_ms * NS_PER_MS, next);
    else
        after_failure(s, rc != SVL_OK ? rc : SVL_FAIL, rc == SVL_OK, batch->count - done, next);
}

/* A batch that is not full waits for its window. */
static bool wait_for_window(svl_subscription *s, uint32_t attempt, bool stopping,
                            enum subscription_state *next)
{
    const struct delivery *d = s->delivery;
    if (s->options.batch_window_ms == 0 || stopping || !d->at_end || attempt > 1 ||
        d->batch.count >= s->options.batch_records_max)
        return false;
    int64_t now = svl__monotonic_ns();
    if (s->window_until_ns == 0)
        s->window_until_ns = now + (int64_t)s->options.batch_window_ms * NS_PER_MS;
    if (now >= s->window_until_ns)
        return false;
    s->wait_until_ns = s->window_until_ns;
    s->window_id = d->scanned;
    s->waits_for_resources = false;
    *next = SUBSCRIPTION_WAITING;
    return true;
}

static int prepare(svl_subscription *s)
{
    if (!s->delivery)
        s->delivery = svl__calloc(1, sizeof *s->delivery);
    return s->delivery ? SVL_OK : SVL_E_NOMEM;
}

static void deliver(svl_subscription *s, enum subscription_state *next)
{
    struct handlers *h = s->handlers;
    if (!s->cursor) /* an open one still holds what it has come to */
        pass_retired(s);
    pthread_mutex_lock(&h->lock);
    uint64_t position = s->position, upto = h->stopping ? h->stop_id : h->durable_id;
    if (s->attempts > 0 && s->batch_end != 0 && s->batch_end < upto)
        upto = s->batch_end; /* the same records, not more: an attempt is theirs */
    uint32_t max = s->split_end ? s->split_records : s->options.batch_records_max;
    uint32_t attempt = s->split_end ? s->options.retry_attempts_max : s->attempts + 1;
    bool stopping = h->stopping;
    pthread_mutex_unlock(&h->lock);

    int rc = prepare(s);
    if (rc == SVL_OK)
        rc = read_batch(s, position, max, upto);
    if (rc != SVL_OK) {
        svl__log(h->log, SVL_SEVERITY_ERROR, rc, "subscription %s: reading: %s",
                 s->name ? s->name : "(unnamed)", svl_last_error());
        wait_for_resources(s, next);
        return;
    }
    if (s->delivery->batch.count == 0) {
        pthread_mutex_lock(&h->lock);
        set_position(s, s->delivery->scanned);
        s->dirty |= s->name && s->position - s->saved >= SCANNED_IDS_MAX;
        pthread_mutex_unlock(&h->lock);
        *next = s->delivery->at_end ? SUBSCRIPTION_IDLE : SUBSCRIPTION_READY;
        return;
    }
    if (wait_for_window(s, attempt, stopping, next))
        return;
    s->window_until_ns = 0;
    pthread_mutex_lock(&h->lock);
    s->counts.invocations++;
    s->counts.in_flight = s->delivery->batch.count;
    pthread_mutex_unlock(&h->lock);
    rc = call(s, attempt);
    pthread_mutex_lock(&h->lock);
    s->counts.in_flight = 0;
    bool ending = h->ending || h->failed;
    pthread_mutex_unlock(&h->lock);
    if (ending)
        *next = SUBSCRIPTION_HALTED; /* closed meanwhile: it comes again at the next start */
    else
        apply(s, rc, next);
}

void svl__delivery_rest(svl_subscription *s)
{
    close_cursor(s);
}

void svl__deliver(svl_subscription *s, enum subscription_state *next)
{
    deliver(s, next);
    if (*next != SUBSCRIPTION_READY)
        close_cursor(s);
}
