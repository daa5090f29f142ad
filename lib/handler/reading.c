/* reading.c - filling a batch from the log, or from dead letters that are to be delivered again.
 *
 * A batch is read anew for each attempt, from the position on: nothing of a failed one is kept but the
 * count of attempts. The cursor stays open from batch to batch while it yields, so a backlog is read in
 * one sweep. */
#include <string.h>

#include "base/alloc.h"
#include "deadletter.h"
#include "delivery.h"
#include "record/wire.h"

static svl_slice copy_slice(struct buffer *bytes, svl_slice slice)
{
    svl_slice offset = { (const void *)(uintptr_t)bytes->len, slice.len };
    if (slice.len > 0)
        svl__buffer_append(bytes, slice.data, slice.len);
    return offset;
}

/* Pointers become offsets: the buffers may still move. `id`: what the position counts. */
static void copy_record(struct delivery *d, const svl_record *record, uint64_t id)
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
    svl__buffer_append(&d->ids, &id, sizeof id);
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

static struct source *source_of(svl_subscription *s)
{
    return s->redriving ? &s->letters : &s->live;
}

void svl__reading_close(svl_subscription *s)
{
    struct source *source = source_of(s);
    svl_cursor_close(source->cursor);
    source->cursor = NULL;
}

void svl__reading_close_all(svl_subscription *s)
{
    svl_cursor_close(s->live.cursor);
    svl_cursor_close(s->letters.cursor);
    s->live.cursor = s->letters.cursor = NULL;
}

static int open_letters(svl_subscription *s, uint64_t from, uint64_t to)
{
    struct delivery *d = s->delivery;
    if (!d->decoded)
        d->decoded = svl__malloc(RECORD_ATTRIBUTES_MAX * sizeof *d->decoded);
    if (!d->decoded)
        return SVL_E_NOMEM;
    return svl__deadletter_query(s->handlers->options.store, s->name, from, to, &s->letters.cursor);
}

static int open_live(svl_subscription *s, uint64_t from, uint64_t to)
{
    svl_query query;
    svl_query_init(&query, sizeof query);
    svl__filter_narrow(s->filter, &query);
    query.id_min = from;
    query.id_max = to;
    return svl__store_query_selected(s->handlers->options.store, &query,
                                     svl__filter_selection(s->filter), &s->live.cursor);
}

/* SVL_E_NOT_FOUND: retention has come past `from`. Asked when the cursor holds what is left: nothing goes between the
 * two. */
static int open_source(svl_subscription *s, uint64_t from, uint64_t to)
{
    source_of(s)->end = to;
    if (s->redriving)
        return open_letters(s, from, to);
    int rc = open_live(s, from, to);
    if (rc != SVL_OK || svl__store_first_id(s->handlers->options.store) <= from)
        return rc;
    svl__reading_close(s);
    return SVL_E_NOT_FOUND;
}

static size_t record_bytes(const svl_record *r)
{
    size_t bytes = r->source.len + r->type.len + r->key.len + r->body.len;
    for (uint32_t i = 0; i < r->attribute_count; i++)
        bytes += r->attributes[i].name.len + r->attributes[i].bytes.len;
    return bytes;
}

/* The original of a dead letter; one that cannot be read stays unresolved, and is told. */
static bool decode_letter(svl_subscription *s, const svl_record *letter, svl_record *original)
{
    int rc = svl__deadletter_decode(letter, s->delivery->decoded, original);
    if (rc != SVL_OK)
        svl__log(s->handlers->log, SVL_SEVERITY_ERROR, rc, "subscription %s: %s",
                 svl__subscription_name(s), svl_last_error());
    return rc == SVL_OK;
}

/* Takes what fits of the `n` records; false if one did not: then the cursor has run ahead. */
static bool take_records(svl_subscription *s, const svl_record *records, size_t n)
{
    struct delivery *d = s->delivery;
    for (size_t i = 0; i < n; i++) {
        const svl_record *r = &records[i];
        uint64_t id = r->id;
        svl_record original;
        bool wanted =
            s->redriving ? decode_letter(s, r, &original) : svl__filter_admits(s->filter, r);
        if (s->redriving)
            r = &original;
        if (wanted) {
            if (d->records.len > 0 && d->bytes.len + record_bytes(r) > s->options.batch_bytes_max)
                return false;
            copy_record(d, r, id);
        }
        d->scanned = id;
    }
    return true;
}

static bool is_short(struct delivery *d)
{
    return d->records.failed || d->ids.failed || d->attributes.failed || d->bytes.failed;
}

static void let_go(struct delivery *d)
{
    svl__buffer_free(&d->records);
    svl__buffer_free(&d->ids);
    svl__buffer_free(&d->attributes);
    svl__buffer_free(&d->bytes);
}

/* Retention has taken what was not handed out yet: the position goes on behind it, and that is told. */
void svl__reading_pass_retired(svl_subscription *s)
{
    struct handlers *h = s->handlers;
    uint64_t first_id = svl__store_first_id(h->options.store);
    pthread_mutex_lock(&h->lock);
    uint64_t position = s->position, lost = first_id > position + 1 ? first_id - 1 - position : 0;
    if (lost > 0) {
        svl__set_position(s, first_id - 1);
        s->counts.lost += lost;
    }
    pthread_mutex_unlock(&h->lock);
    if (lost > 0)
        svl__log(h->log, SVL_SEVERITY_WARN, SVL_OK,
                 "subscription %s: records %llu to %llu were retired before it came to them",
                 svl__subscription_name(s), (unsigned long long)position + 1,
                 (unsigned long long)first_id - 1);
}

/* How far this turn looks. Dead letters are found by their key, however far apart they are. */
static uint64_t limit_of(const svl_subscription *s, uint64_t position, uint64_t upto)
{
    return s->redriving || upto - position < SCANNED_IDS_MAX ? upto : position + SCANNED_IDS_MAX;
}

/* The cursor goes on behind what is damaged, and behind a record that its pattern cannot be asked of; of those
 * there may be many. */
static void tell_passed(svl_subscription *s, int rc)
{
    if (rc == SVL_E_CORRUPT)
        svl__log(s->handlers->log, SVL_SEVERITY_ERROR, rc,
                 "subscription %s: damage behind record %llu: %s; delivery goes on with what can "
                 "be read",
                 svl__subscription_name(s), (unsigned long long)s->delivery->scanned,
                 svl_last_error());
    else if (svl__log_due(&s->limit_told_ns))
        svl__log(
            s->handlers->log, SVL_SEVERITY_ERROR, rc,
            "subscription %s: a record cannot be held against its pattern: %s; delivery goes on "
            "behind it",
            svl__subscription_name(s), svl_last_error());
}

int svl__reading_fill(svl_subscription *s, uint64_t position, uint32_t records_max, uint64_t upto)
{
    struct delivery *d = s->delivery;
    d->records.len = d->ids.len = d->attributes.len = d->bytes.len = 0;
    d->batch.count = 0;
    d->scanned = position;
    d->at_end = false;
    int rc = SVL_OK;
    if (position >= upto) {
        d->at_end = true;
        return SVL_OK;
    }
    struct source *source = source_of(s);
    uint64_t limit = limit_of(s, position, upto);
    if (!source->cursor)
        rc = open_source(s, position + 1, limit);
    while (rc == SVL_OK && d->records.len / sizeof(svl_record) < records_max) {
        const svl_record *records;
        size_t n, wanted = records_max - d->records.len / sizeof(svl_record);
        rc = svl_cursor_next_many(source->cursor, 0, wanted, &records, &n);
        if (rc == SVL_OK && !take_records(s, records, n)) {
            svl__reading_close(s);
            break;
        }
        if (is_short(d))
            break;
        if (rc == SVL_E_CORRUPT || rc == SVL_E_LIMIT) {
            tell_passed(s, rc);
            rc = SVL_OK;
        }
        if (rc == SVL_E_END && source->end < limit) { /* the end when it was opened */
            d->scanned = source->end;
            svl__reading_close(s);
            rc = open_source(s, d->scanned + 1, limit);
        }
    }
    if (rc == SVL_E_NOT_FOUND) /* up to there; the next turn counts what was retired behind it */
        rc = SVL_OK;
    if (rc == SVL_E_END) {
        d->at_end = source->end >= upto;
        d->scanned = source->end;
        svl__reading_close(s);
        rc = SVL_OK;
    }
    if (is_short(d)) {
        let_go(d);
        rc = SVL_E_NOMEM;
    }
    if (rc == SVL_OK)
        locate_all(d);
    else
        svl__reading_close(s);
    return rc;
}
