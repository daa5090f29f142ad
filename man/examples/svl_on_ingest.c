#include <serverlog.h>

/* Drops debug records, and files the others under their host. */
static int shape(svl_ingest *ingest, svl_record *record, void *user)
{
    const svl_slice *host = user;
    (void)ingest;
    if (record->severity < SVL_SEVERITY_INFO)
        return SVL_DROP;
    record->key = *host;
    return SVL_OK;
}

int add_shape(svl_pipeline *log, svl_slice *host)
{
    return svl_on_ingest(log, NULL, shape, host);
}
