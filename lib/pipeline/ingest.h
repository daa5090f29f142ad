/* ingest - one record of a ring through the ingest handlers, by the rules of the crash marker.
 *
 * For the pipeline's thread, and who calls svl_start(). */
#ifndef SVL_PIPELINE_INGEST_H
#define SVL_PIPELINE_INGEST_H

#include "pipeline.h"

struct ingest_record {
    const uint8_t *wire;
    uint32_t len;
    const uint8_t *uuid; /* of its ring */
    uint64_t end;        /* the position behind it */
    bool ring_survives;  /* the process: else the record dies with it, and is never met again */
};

/* What the handlers make of it; or, where it has killed the process, the record as it came, flagged, in `unprocessed`.
 * SVL_E_NOMEM (no handler was called) and as svl__dispatch_run(). */
int svl__ingest_run(svl_pipeline *pipeline, const struct ingest_record *record,
                    struct dispatch_result *result, struct buffer *unprocessed);

#endif
