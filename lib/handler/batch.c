/* batch.c - the callback's side of a batch. */
#include "batch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "record/wire.h"

#define EMITS_MAX 10000
#define DEFER_MS_MAX 86400000u

int svl_batch_records(svl_batch *batch, const svl_record **records, size_t *n)
{
    if (records)
        *records = NULL;
    if (n)
        *n = 0;
    if (!batch || !records || !n)
        return svl__fail(SVL_E_INVALID, "batch, records or n is NULL");
    *records = batch->records;
    *n = batch->count;
    return SVL_OK;
}

uint32_t svl_batch_attempt(const svl_batch *batch)
{
    return batch ? batch->attempt : 0;
}

static int check_index(const svl_batch *batch, size_t i)
{
    if (!batch || i >= batch->count)
        return svl__fail(SVL_E_INVALID, "record %zu of a batch of %zu", i,
                         batch ? batch->count : 0);
    return SVL_OK;
}

static void mark(svl_batch *batch, size_t i, enum mark_kind kind)
{
    if (batch->mark != MARK_NONE && i > batch->mark_at)
        return;
    batch->mark = kind;
    batch->mark_at = i;
}

int svl_batch_fail(svl_batch *batch, size_t i, const char *reason)
{
    int rc = check_index(batch, i);
    if (rc != SVL_OK)
        return rc;
    mark(batch, i, MARK_FAIL);
    if (batch->mark_at == i)
        snprintf(batch->reason, sizeof batch->reason, "%s", reason ? reason : "");
    return SVL_OK;
}

int svl_batch_defer(svl_batch *batch, size_t i, uint32_t delay_ms)
{
    int rc = check_index(batch, i);
    if (rc == SVL_OK && delay_ms > DEFER_MS_MAX)
        rc = svl__fail(SVL_E_INVALID, "a delay of %u ms; at most %u", delay_ms, DEFER_MS_MAX);
    if (rc != SVL_OK)
        return rc;
    mark(batch, i, MARK_DEFER);
    if (batch->mark_at == i)
        batch->defer_ms = delay_ms;
    return SVL_OK;
}

/* One more than its cause's. */
static uint32_t count_hop(const svl_record *cause)
{
    uint32_t hops = cause->flags & SVL_RECORD_HOPS;
    return hops < SVL_RECORD_HOPS ? hops + 1 : hops;
}

int svl_batch_emit(svl_batch *batch, size_t i, const svl_record *record)
{
    int rc = check_index(batch, i);
    if (rc == SVL_OK)
        rc = svl__record_check(record, batch->record_bytes_max, false);
    if (rc != SVL_OK)
        return rc;
    svl_record emitted = *record;
    emitted.flags = count_hop(&batch->records[i]);
    uint32_t size = svl__wire_size(record);
    if (batch->emit_list.len / sizeof(struct emit) >= EMITS_MAX)
        return svl__fail(SVL_E_LIMIT, "%d records emitted by one batch", EMITS_MAX);
    if (batch->emits.len + size > batch->emit_bytes_max)
        return svl__fail(SVL_E_LIMIT, "more than %llu bytes emitted by one batch",
                         (unsigned long long)batch->emit_bytes_max);
    struct emit emit = { batch->emits.len, size, (uint32_t)i };
    uint8_t *to = buffer_reserve(&batch->emits, size);
    bool room = buffer_reserve(&batch->emit_list, sizeof emit);
    batch->emits.failed = batch->emit_list.failed = false;
    if (!to || !room)
        return SVL_E_NOMEM;
    svl__wire_encode(&emitted, svl__wall_ns(), to);
    batch->emits.len += size;
    svl__buffer_append(&batch->emit_list, &emit, sizeof emit);
    return SVL_OK;
}
