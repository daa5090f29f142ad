/* batch - what a callback is given: records in one array, and what it may do with them. */
#ifndef SVL_HANDLER_BATCH_H
#define SVL_HANDLER_BATCH_H

#include "subscription.h"

#define REASON_BYTES 256

enum mark_kind { MARK_NONE, MARK_FAIL, MARK_DEFER };

/* Emits are wire records in `emits`; where each one starts and which record caused it. */
struct emit {
    size_t offset;
    uint32_t len;
    uint32_t cause;
};

struct svl_batch {
    /* of one that is polled; guarded by the handlers' lock */
    struct handlers *handlers;      /* held; NULL: of a callback */
    svl_subscription *subscription; /* NULL: not current any more */
    bool expiring;                  /* being given up by somebody else, who looks at its records */

    svl_record *records;
    size_t count;
    uint32_t attempt;
    uint32_t flags; /* SVL_BATCH_* */
    /* the first record that comes again: in ORDERED nothing behind it counts */
    enum mark_kind mark;
    size_t mark_at;
    uint32_t defer_ms;
    char reason[REASON_BYTES];
    struct buffer rejections; /* u32 a record: where its reason stands in `reasons`, + 1; 0: none */
    struct buffer reasons;
    struct buffer emits;
    struct buffer emit_list; /* struct emit each */
    uint64_t emit_bytes_max;
    uint32_t record_bytes_max;
};

/* Why record `i` was rejected, NULL if it was not. */
const char *svl__batch_rejection(const svl_batch *batch, size_t i);

#endif
