/* batch - what a callback is given: records in one array, and what it may do with them. */
#ifndef SVL_HANDLER_BATCH_H
#define SVL_HANDLER_BATCH_H

#include "subscription.h"

enum mark_kind { MARK_NONE, MARK_FAIL, MARK_DEFER };

/* Emits are wire records in `emits`; where each one starts and which record caused it. */
struct emit {
    size_t offset;
    uint32_t len;
    uint32_t cause;
};

struct svl_batch {
    svl_record *records;
    size_t count;
    uint32_t attempt;
    /* the first mark: in ORDERED nothing behind it counts */
    enum mark_kind mark;
    size_t mark_at;
    uint32_t defer_ms;
    char reason[256];
    struct buffer emits;
    struct buffer emit_list; /* struct emit each */
    uint64_t emit_bytes_max;
    uint32_t record_bytes_max;
};

#endif
