/* dispatch - ingest handlers, run inline over one record at a time, before it is stored.
 *
 * Used by the pipeline thread alone once it runs; registration comes before. */
#ifndef SVL_BUS_DISPATCH_H
#define SVL_BUS_DISPATCH_H

#include <serverlog/handler.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct dispatch;

struct dispatch_options {
    const void *owner;         /* the svl_store: for svl__callback_enter() */
    uint32_t record_bytes_max; /* of what handlers leave and emit */
    uint32_t emit_max;         /* records added for one */
    uint64_t emit_bytes_max;   /* and their bytes */
    const _Atomic bool *ends;  /* once true no handler is called any more; NULL: never */
    const struct log_sink *log;
};

int svl__dispatch_create(const struct dispatch_options *options, struct dispatch **out);
void svl__dispatch_destroy(struct dispatch *dispatch);

/* Registers a handler: SVL_E_INVALID, _STRUCT_SIZE, _OPTION, _NOMEM. */
int svl__dispatch_add(struct dispatch *dispatch, const svl_ingest_options *options,
                      svl_ingest_fn *handler, void *user);
size_t svl__dispatch_count(const struct dispatch *dispatch); /* 0: records pass untouched */

/* What one record became: itself, unless it was dropped, and what was emitted behind it. */
struct dispatch_result {
    bool dropped;
    const uint8_t *record; /* the bytes given, or, changed, the dispatch's: until the next run */
    uint32_t record_len;
    struct buffer emits; /* wire records; the caller's, emptied by run, kept from run to run */
    uint32_t count;      /* of them */
    size_t next;         /* the handler that is to be asked next */
    const uint8_t *unfinished; /* the record that there was no memory for; NULL: none */
};

/* Runs all handlers that match over the wire record. A failing handler leaves the record as it came.
 * SVL_OK, SVL_E_CORRUPT (not a record), SVL_E_CLOSED (without words: `ends`, with handlers not called yet:
 * nothing is to be stored). SVL_E_NOMEM: a pattern could not be asked; the next run, of the same bytes, goes on
 * there, and calls no handler again. What a handler leaves has its place already. */
int svl__dispatch_run(struct dispatch *dispatch, const uint8_t *wire, uint32_t len,
                      struct dispatch_result *result);

struct dispatch_stats {
    uint64_t dropped, failures, emitted;
};
void svl__dispatch_stats_get(struct dispatch *dispatch,
                             struct dispatch_stats *stats); /* any thread */

#endif
