/* get.c - one record by its id, as a copy that the caller keeps. */
#include <string.h>

#include "base/alloc.h"
#include "state.h"

struct svl_record_buffer {
    svl_record record;
    svl_attribute attributes[];
};

static svl_slice copy_slice(uint8_t **to, svl_slice slice)
{
    svl_slice copy = { *to, slice.len };
    if (slice.len > 0)
        memcpy(*to, slice.data, slice.len);
    *to += slice.len;
    return copy;
}

svl_record_buffer *svl__record_buffer_create(const svl_record *record)
{
    size_t attributes = record->attribute_count * sizeof(svl_attribute);
    size_t bytes = record->source.len + record->type.len + record->key.len + record->body.len;
    for (uint32_t i = 0; i < record->attribute_count; i++)
        bytes += record->attributes[i].name.len + record->attributes[i].bytes.len;
    svl_record_buffer *buffer = svl__malloc(sizeof *buffer + attributes + bytes);
    if (!buffer)
        return NULL;
    uint8_t *to = (uint8_t *)buffer->attributes + attributes;
    buffer->record = *record;
    for (uint32_t i = 0; i < record->attribute_count; i++) {
        buffer->attributes[i] = record->attributes[i];
        buffer->attributes[i].name = copy_slice(&to, record->attributes[i].name);
        buffer->attributes[i].bytes = copy_slice(&to, record->attributes[i].bytes);
    }
    buffer->record.attributes = record->attribute_count ? buffer->attributes : NULL;
    buffer->record.source = copy_slice(&to, record->source);
    buffer->record.type = copy_slice(&to, record->type);
    buffer->record.key = copy_slice(&to, record->key);
    buffer->record.body = copy_slice(&to, record->body);
    return buffer;
}

int svl_store_get(svl_store *store, uint64_t id, svl_record_buffer **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    if (id == 0)
        return svl__fail(SVL_E_INVALID, "id is 0; ids start at 1");
    svl_query query = { .struct_size = sizeof query, .id_min = id, .id_max = id };
    svl_cursor *cursor;
    int rc = svl_store_query(store, &query, &cursor);
    if (rc != SVL_OK)
        return rc;
    const svl_record *record;
    rc = svl_cursor_next(cursor, 0, &record);
    if (rc == SVL_E_END)
        rc = SVL_E_NOT_FOUND;
    if (rc == SVL_OK && !(*out = svl__record_buffer_create(record)))
        rc = SVL_E_NOMEM;
    svl_cursor_close(cursor);
    return rc;
}

const svl_record *svl_record_buffer_record(const svl_record_buffer *buffer)
{
    return buffer ? &buffer->record : NULL;
}

void svl_record_buffer_destroy(svl_record_buffer *buffer)
{
    svl__free(buffer);
}
