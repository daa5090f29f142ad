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

uint32_t svl_batch_flags(const svl_batch *batch)
{
    return batch ? batch->flags : 0;
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

/* Nothing is rejected yet: a 0 for each record. */
static bool begin_rejections(svl_batch *batch)
{
    if (batch->rejections.len > 0)
        return true;
    size_t size = batch->count * sizeof(uint32_t);
    uint8_t *to = buffer_reserve(&batch->rejections, size);
    batch->rejections.failed = false;
    if (!to)
        return false;
    memset(to, 0, size);
    batch->rejections.len = size;
    return true;
}

int svl_batch_reject(svl_batch *batch, size_t i, const char *reason)
{
    int rc = check_index(batch, i);
    if (rc != SVL_OK)
        return rc;
    char text[REASON_BYTES];
    snprintf(text, sizeof text, "%s", reason ? reason : "");
    size_t at = batch->reasons.len, size = strlen(text) + 1;
    if (at + size > UINT32_MAX)
        return svl__fail(SVL_E_LIMIT, "4 GiB of reasons in one batch");
    bool room = begin_rejections(batch) && buffer_reserve(&batch->reasons, size);
    batch->reasons.failed = false;
    if (!room)
        return SVL_E_NOMEM;
    svl__buffer_append(&batch->reasons, text, size);
    store_u32(batch->rejections.data + i * sizeof(uint32_t), (uint32_t)at + 1);
    return SVL_OK;
}

const char *svl__batch_rejection(const svl_batch *batch, size_t i)
{
    if (batch->rejections.len == 0)
        return NULL;
    uint32_t at = load_u32(batch->rejections.data + i * sizeof(uint32_t));
    return at != 0 ? (const char *)batch->reasons.data + at - 1 : NULL;
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
