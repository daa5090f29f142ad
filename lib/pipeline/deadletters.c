/* deadletters.c - the host's way to dead letters. */
#include <serverlog/deadletter.h>

#include "pipeline.h"

int svl_deadletter_list(svl_pipeline *pipeline, const char *subscription, uint64_t id_min,
                        uint64_t id_max, svl_cursor **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    int rc = svl__pipeline_check(pipeline, NULL);
    return rc == SVL_OK
               ? svl__handlers_dead_letters(pipeline->handlers, subscription, id_min, id_max, out)
               : rc;
}

int svl_deadletter_count(svl_pipeline *pipeline, const char *subscription, uint64_t *count)
{
    if (!count)
        return svl__fail(SVL_E_INVALID, "count is NULL");
    *count = 0;
    svl_cursor *cursor;
    int rc = svl_deadletter_list(pipeline, subscription, 0, 0, &cursor), damage = SVL_OK;
    if (rc != SVL_OK)
        return rc;
    const svl_record *records;
    size_t n;
    while ((rc = svl_cursor_next_many(cursor, 0, SIZE_MAX, &records, &n)) == SVL_OK ||
           svl__is_damage(rc)) {
        *count += n;
        damage = rc != SVL_OK ? rc : damage;
    }
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? damage : rc;
}

int svl_deadletter_redrive(svl_pipeline *pipeline, const char *subscription, uint64_t id_min,
                           uint64_t id_max)
{
    int rc = svl__pipeline_check(pipeline, NULL);
    return rc == SVL_OK ? svl__handlers_redrive(pipeline->handlers, subscription, id_min, id_max)
                        : rc;
}
