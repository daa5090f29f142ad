/* ingest.c - marked, alone where it is suspect, past the handlers where it has killed the process. */
#include "ingest.h"

#include "record/wire.h"

/* This thread's slot. */
#define SLOT 0

static void tell(svl_pipeline *p, const struct ingest_record *record, uint32_t level,
                 uint32_t crashes, const char *what)
{
    struct wire_view view;
    if (svl__wire_view(record->wire, record->len, &view) == SVL_OK)
        svl__log(p->log, level, SVL_OK,
                 "a record of source \"%.*s\" and type \"%.*s\" %s: it was in the ingest handlers "
                 "when the process died (alone: %u times of %d)",
                 (int)view.source.len, view.source.len ? (const char *)view.source.data : "",
                 (int)view.type.len, view.type.len ? (const char *)view.type.data : "", what,
                 crashes, CRASHES_MAX);
}

static int set_aside(svl_pipeline *p, const struct ingest_record *record,
                     struct dispatch_result *result, struct buffer *unprocessed)
{
    unprocessed->len = 0;
    uint8_t *wire = buffer_reserve(unprocessed, record->len);
    unprocessed->failed = false;
    if (!wire)
        return SVL_E_NOMEM;
    memcpy(wire, record->wire, record->len);
    svl__wire_add_flags(wire, SVL_RECORD_UNPROCESSED);
    result->dropped = false;
    result->record = wire;
    result->record_len = record->len;
    result->count = 0;
    result->emits.len = 0;
    atomic_fetch_add_explicit(&p->unprocessed, 1, memory_order_relaxed);
    tell(p, record, SVL_SEVERITY_ERROR, CRASHES_MAX,
         "is stored as it came, without ingest handlers");
    return SVL_OK;
}

int svl__ingest_run(svl_pipeline *p, const struct ingest_record *record,
                    struct dispatch_result *result, struct buffer *unprocessed)
{
    enum crash_verdict verdict = CRASH_FREE;
    uint64_t ring = svl__crash_ring(record->uuid);
    uint32_t crashes = 0;
    if (record->ring_survives)
        verdict = svl__crash_judge(p->crash, MARKED_INGEST, ring, record->end, &crashes);
    if (verdict == CRASH_SET_ASIDE)
        return set_aside(p, record, result, unprocessed);
    if (verdict == CRASH_ALONE)
        tell(p, record, SVL_SEVERITY_WARN, crashes, "runs alone");
    struct crash_run run = { .what = { record->ring_survives ? MARKED_INGEST : MARKED_NOTHING, ring,
                                       record->end, record->end },
                             .alone = verdict == CRASH_ALONE ? crashes + 1 : 0 };
    if (!svl__crash_enter(p->crash, SLOT, &run))
        return SVL_E_CLOSED;
    int rc = svl__dispatch_run(p->dispatch, record->wire, record->len, result);
    svl__crash_leave(p->crash, SLOT, &run);
    return rc;
}
