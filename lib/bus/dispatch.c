/* dispatch.c - ingest handlers over one record: change, drop, emit.
 *
 * The record is decoded once. Each handler works on a copy of what the one before it left; when it has
 * succeeded and what it left is within the limits, that copy is encoded and becomes the record, and its
 * emits are kept. When it fails, both are thrown away: the record goes on as it came to it.
 *
 * Memory for a record that a handler has changed is there before the first one is called: a handler that
 * cuts secrets out of records has been called for nothing if there is none for what it leaves. Memory for
 * emits is kept from run to run: in steady state nothing is allocated. */
#include "dispatch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/callback.h"
#include "base/options.h"
#include "pattern/filter_set.h"
#include "record/wire.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_ingest_options)

struct ingest_handler {
    svl_ingest_fn *fn;
    void *user;
};

struct dispatch {
    struct dispatch_options options;
    struct ingest_handler *handlers;
    size_t count, capacity;
    struct filter_set *filters; /* the handlers', numbered as they are */
    uint8_t *current;           /* the record, once a handler has changed it: record_bytes_max */
    uint8_t *changed;           /* what a handler leaves, being encoded: record_bytes_max */
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];
    int64_t last_report_ns;
    _Atomic uint64_t dropped, failures, emitted;
};

/* What a handler is given to emit with. */
struct svl_ingest {
    struct dispatch *dispatch;
    struct buffer *emits;
    uint32_t count;
    int64_t time_ns; /* of the record at hand: stands in for an emit without a time */
};

int svl_ingest_options_init(svl_ingest_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_ingest_options");
}

int svl__dispatch_create(const struct dispatch_options *options, struct dispatch **out)
{
    *out = NULL;
    struct dispatch *dispatch = svl__calloc(1, sizeof *dispatch);
    if (!dispatch)
        return SVL_E_NOMEM;
    dispatch->options = *options;
    int rc = svl__filter_set_create(&dispatch->filters);
    if (rc != SVL_OK) {
        svl__dispatch_destroy(dispatch);
        return rc;
    }
    *out = dispatch;
    return SVL_OK;
}

void svl__dispatch_destroy(struct dispatch *dispatch)
{
    if (!dispatch)
        return;
    svl__filter_set_destroy(dispatch->filters);
    svl__free(dispatch->handlers);
    svl__free(dispatch->current);
    svl__free(dispatch->changed);
    svl__free(dispatch);
}

static bool make_room(struct dispatch *dispatch)
{
    if (!dispatch->current)
        dispatch->current = svl__malloc(dispatch->options.record_bytes_max);
    if (!dispatch->changed)
        dispatch->changed = svl__malloc(dispatch->options.record_bytes_max);
    if (!dispatch->current || !dispatch->changed)
        return false;
    if (dispatch->count < dispatch->capacity)
        return true;
    size_t capacity = dispatch->capacity ? dispatch->capacity * 2 : 8;
    struct ingest_handler *grown = svl__realloc(dispatch->handlers, capacity * sizeof *grown);
    if (!grown)
        return false;
    dispatch->handlers = grown;
    dispatch->capacity = capacity;
    return true;
}

int svl__dispatch_add(struct dispatch *dispatch, const svl_ingest_options *options,
                      svl_ingest_fn *handler, void *user)
{
    if (!handler)
        return svl__fail(SVL_E_INVALID, "handler is NULL");
    svl_ingest_options whole;
    int rc =
        svl__options_copy(&whole, sizeof whole, options, OPTIONS_FIRST_SIZE, "svl_ingest_options");
    if (rc == SVL_OK && whole.reserved != 0)
        rc = svl__fail(SVL_E_RESERVED, "svl_ingest_options.reserved is not zero");
    struct filter *filter = NULL;
    if (rc == SVL_OK)
        rc = svl__filter_compile(&whole.filter, &filter);
    if (rc == SVL_OK && !make_room(dispatch))
        rc = SVL_E_NOMEM;
    if (rc == SVL_OK)
        rc = svl__filter_set_add(dispatch->filters, filter);
    if (rc == SVL_OK)
        dispatch->handlers[dispatch->count++] = (struct ingest_handler){ handler, user };
    else
        svl__filter_destroy(filter);
    return rc;
}

size_t svl__dispatch_count(const struct dispatch *dispatch)
{
    return dispatch->count;
}

int svl_ingest_emit(svl_ingest *ingest, const svl_record *record)
{
    if (!ingest)
        return svl__fail(SVL_E_INVALID, "ingest is NULL");
    const struct dispatch_options *o = &ingest->dispatch->options;
    int rc = svl__record_check(record, o->record_bytes_max, false);
    if (rc != SVL_OK)
        return rc;
    if (ingest->count >= o->emit_max)
        return svl__fail(SVL_E_LIMIT, "%u records emitted for one (option ingest_emit_max)",
                         ingest->count);
    uint32_t size = svl__wire_size(record);
    if (ingest->emits->len + size > o->emit_bytes_max)
        return svl__fail(SVL_E_LIMIT, "%llu bytes emitted for one record; at most %llu",
                         (unsigned long long)(ingest->emits->len + size),
                         (unsigned long long)o->emit_bytes_max);
    uint8_t *to = buffer_reserve(ingest->emits, size);
    if (!to) {
        ingest->emits->failed = false;
        return SVL_E_NOMEM;
    }
    svl__wire_encode(record, ingest->time_ns, to);
    ingest->emits->len += size;
    ingest->count++;
    return SVL_OK;
}

/* A broken handler fails for every record. */
static void report(struct dispatch *dispatch, int code, const char *what)
{
    atomic_fetch_add_explicit(&dispatch->failures, 1, memory_order_relaxed);
    if (!svl__log_due(&dispatch->last_report_ns))
        return;
    svl__log(dispatch->options.log, SVL_SEVERITY_ERROR, code,
             "%s; the record is stored as it came (%llu such failures so far)", what,
             (unsigned long long)atomic_load_explicit(&dispatch->failures, memory_order_relaxed));
}

/* Makes what the handler left the current record. */
static int take_change(struct dispatch *dispatch, const svl_record *record, int64_t time_ns,
                       struct dispatch_result *result)
{
    int rc = svl__record_check(record, dispatch->options.record_bytes_max, false);
    if (rc != SVL_OK)
        return rc;
    svl__wire_encode(record, time_ns, dispatch->changed);
    uint8_t *before = dispatch->current;
    result->record = dispatch->current = dispatch->changed;
    result->record_len = svl__wire_size(record);
    dispatch->changed = before;
    return SVL_OK;
}

enum outcome { OUTCOME_KEPT, OUTCOME_CHANGED, OUTCOME_DROPPED };

/* One handler over the record at `wire`. */
static enum outcome call(struct dispatch *dispatch, const struct ingest_handler *handler,
                         const svl_record *record, struct dispatch_result *result)
{
    svl_record copy = *record;
    size_t emitted_bytes = result->emits.len;
    struct svl_ingest ingest = { dispatch, &result->emits, result->count, record->time_ns };
    struct callback_frame frame = { .kind = CALLBACK_INGEST, .owner = dispatch->options.owner };
    svl__callback_enter(&frame);
    int rc = handler->fn(&ingest, &copy, handler->user);
    svl__callback_leave(&frame);

    enum outcome outcome = OUTCOME_KEPT;
    if (rc == SVL_DROP) {
        outcome = OUTCOME_DROPPED;
    } else if (rc != SVL_OK) {
        report(dispatch, rc, "an ingest handler failed");
        result->emits.len = emitted_bytes;
        return OUTCOME_KEPT;
    } else {
        copy.id = record->id;
        copy.ingest_ns = record->ingest_ns;
        bool same = memcmp(&copy, record, sizeof copy) == 0;
        if (!same) {
            rc = take_change(dispatch, &copy, record->time_ns, result);
            if (rc != SVL_OK) {
                report(dispatch, rc, "an ingest handler left a record that breaks a limit");
                result->emits.len = emitted_bytes;
                return OUTCOME_KEPT;
            }
            outcome = OUTCOME_CHANGED;
        }
    }
    result->count = ingest.count;
    return outcome;
}

/* The next handler that wants the record: result->next. One whose pattern cannot tell is not called, which is
 * reported. */
static int find_next(struct dispatch *dispatch, const svl_record *record,
                     struct dispatch_result *result)
{
    int rc;
    while ((rc = svl__filter_set_next(dispatch->filters, record, &result->next)) == SVL_E_LIMIT) {
        report(dispatch, rc, "a record cannot be held against an ingest handler's pattern");
        result->next++;
    }
    return rc;
}

/* Decodes the record, as it is now, for the handlers from result->next on. */
static int take_record(struct dispatch *dispatch, const struct dispatch_result *result,
                       svl_record *record)
{
    int rc = svl__wire_decode(result->record, result->record_len, dispatch->attributes, record);
    return rc == SVL_OK ? svl__filter_set_take(dispatch->filters, record) : rc;
}

/* From result->next on. */
static int go_on(struct dispatch *dispatch, struct dispatch_result *result)
{
    svl_record record;
    int rc = take_record(dispatch, result, &record);
    while (rc == SVL_OK && !result->dropped) {
        rc = find_next(dispatch, &record, result);
        if (rc != SVL_OK || result->next == dispatch->count)
            break;
        if (dispatch->options.ends && atomic_load(dispatch->options.ends))
            return SVL_E_CLOSED;
        enum outcome outcome = call(dispatch, &dispatch->handlers[result->next++], &record, result);
        result->dropped = outcome == OUTCOME_DROPPED;
        if (outcome == OUTCOME_CHANGED)
            rc = take_record(dispatch, result, &record);
        if (rc == SVL_E_CORRUPT)
            return SVL__INTERNAL("a record just encoded does not decode");
    }
    if (rc != SVL_OK)
        return rc;
    atomic_fetch_add_explicit(&dispatch->dropped, result->dropped, memory_order_relaxed);
    atomic_fetch_add_explicit(&dispatch->emitted, result->count, memory_order_relaxed);
    return SVL_OK;
}

int svl__dispatch_run(struct dispatch *dispatch, const uint8_t *wire, uint32_t len,
                      struct dispatch_result *result)
{
    if (result->unfinished != wire) {
        result->dropped = false;
        result->record = wire;
        result->record_len = len;
        result->count = 0;
        result->next = 0;
        result->emits.len = 0;
    }
    int rc = go_on(dispatch, result);
    result->unfinished = rc == SVL_E_NOMEM ? wire : NULL;
    return rc;
}

void svl__dispatch_stats_get(struct dispatch *dispatch, struct dispatch_stats *stats)
{
    stats->dropped = atomic_load_explicit(&dispatch->dropped, memory_order_relaxed);
    stats->failures = atomic_load_explicit(&dispatch->failures, memory_order_relaxed);
    stats->emitted = atomic_load_explicit(&dispatch->emitted, memory_order_relaxed);
}
