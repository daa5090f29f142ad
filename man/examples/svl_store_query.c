#include <serverlog.h>
#include <stdio.h>
#include <string.h>

/* Counts the errors of one host, newest first, at most a thousand. */
int count_errors(svl_store *store, const char *host, uint64_t *count)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    *count = 0;
    int rc = svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = (svl_slice){ host, strlen(host) };
    query.severity_min = SVL_SEVERITY_ERROR;
    query.flags = SVL_QUERY_BACKWARD;
    query.limit = 1000;
    if (rc == SVL_OK)
        rc = svl_store_query(store, &query, &cursor);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl_cursor_next_many(cursor, 0, 100, &records, &n)) == SVL_OK)
        *count += n;
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? SVL_OK : rc;
}
