#include <serverlog.h>
#include <stdio.h>

int print_body(svl_store *store, uint64_t id)
{
    svl_record_buffer *buffer;
    int rc = svl_store_get(store, id, &buffer);
    if (rc != SVL_OK)
        return rc;
    const svl_record *record = svl_record_buffer_record(buffer);
    fwrite(record->body.data, 1, record->body.len, stdout);
    svl_record_buffer_destroy(buffer);
    return SVL_OK;
}
