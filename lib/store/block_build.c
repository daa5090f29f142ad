/* block_build.c - collecting records for a block: as columns from the start, so that adding one
 * is a few stores and the copy of its body. */
#include <serverlog/store.h>

#include "base/error.h"
#include "base/file.h"
#include "block_builder.h"

#define RECORDS_MIN 256

int svl__block_builder_create(const struct block_options *options, struct block_builder **out)
{
    *out = NULL;
    struct block_builder *builder = svl__calloc(1, sizeof *builder);
    if (!builder)
        return SVL_E_NOMEM;
    builder->options = *options;
    if (options->codec == SVL_CODEC_DEFAULT)
        builder->options.codec = svl__codec_default();
    uint64_t seed = 0;
    int rc = svl__random(&seed, sizeof seed);
    if (rc == SVL_OK)
        rc = svl__compressor_open(&builder->compressor, builder->options.codec, options->level);
    if (rc != SVL_OK) {
        svl__block_builder_destroy(builder);
        return rc;
    }
    builder->sources.seed = builder->types.seed = builder->keys.seed = seed;
    *out = builder;
    return SVL_OK;
}

void svl__block_builder_destroy(struct block_builder *builder)
{
    if (!builder)
        return;
    svl__free(builder->times);
    for (int c = 0; c < COLUMN_COUNT; c++)
        svl__free(builder->columns[c]);
    svl__free(builder->ingest);
    svl__dictionary_free(&builder->sources);
    svl__dictionary_free(&builder->types);
    svl__dictionary_free(&builder->keys);
    svl__buffer_free(&builder->attributes);
    svl__buffer_free(&builder->bodies);
    svl__compressor_close(&builder->compressor);
    svl__buffer_free(&builder->stored);
    svl__buffer_free(&builder->scratch);
    space_free(&builder->sorted_keys);
    space_free(&builder->names);
    space_free(&builder->column);
    svl__free(builder);
}

void svl__block_builder_clear(struct block_builder *builder)
{
    builder->count = 0;
    builder->raw_bytes = 0;
    builder->ingest_count = 0;
    svl__dictionary_truncate(&builder->sources, 0);
    svl__dictionary_truncate(&builder->types, 0);
    svl__dictionary_truncate(&builder->keys, 0);
    builder->attributes.len = 0;
    builder->bodies.len = 0;
}

uint32_t svl__block_builder_count(const struct block_builder *builder)
{
    return builder->count;
}

uint64_t svl__block_builder_raw_bytes(const struct block_builder *builder)
{
    return builder->raw_bytes;
}

/* Full as soon as block_bytes are reached: the last record may lead past it, never past the
 * maximum. */
static bool is_full(const struct block_builder *builder, const struct wire_view *record)
{
    return builder->count > 0 && (builder->count == BLOCK_RECORDS_MAX ||
                                  builder->raw_bytes >= builder->options.block_bytes ||
                                  record->length > BLOCK_RAW_MAX - builder->raw_bytes);
}

/* The arrays may have grown by different amounts after a failure; `capacity` is what all have. */
static int grow_columns(struct block_builder *builder)
{
    uint32_t capacity = builder->capacity ? builder->capacity * 2 : RECORDS_MIN;
    int64_t *times = svl__realloc(builder->times, capacity * sizeof *times);
    if (!times)
        return SVL_E_NOMEM;
    builder->times = times;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        uint32_t *column = svl__realloc(builder->columns[c], capacity * sizeof *column);
        if (!column)
            return SVL_E_NOMEM;
        builder->columns[c] = column;
    }
    builder->capacity = capacity;
    return SVL_OK;
}

static int grow_ingest(struct block_builder *builder)
{
    uint32_t capacity = builder->ingest_capacity ? builder->ingest_capacity * 2 : 16;
    struct run *ingest = svl__realloc(builder->ingest, capacity * sizeof *ingest);
    if (!ingest)
        return SVL_E_NOMEM;
    builder->ingest = ingest;
    builder->ingest_capacity = capacity;
    return SVL_OK;
}

static bool has_room(struct buffer *buffer, size_t len)
{
    bool room = len == 0 || buffer_reserve(buffer, len);
    buffer->failed = false; /* a later record may be smaller, or memory be there again */
    return room;
}

/* Space for the record in everything that grows but the dictionaries. */
static int make_room(struct block_builder *builder, const struct wire_view *record)
{
    int rc = SVL_OK;
    if (builder->count == builder->capacity)
        rc = grow_columns(builder);
    if (rc == SVL_OK && builder->ingest_count == builder->ingest_capacity)
        rc = grow_ingest(builder);
    if (rc != SVL_OK)
        return rc;
    if (!has_room(&builder->bodies, record->body.len) ||
        !has_room(&builder->attributes, record->attributes.len))
        return SVL_E_NOMEM;
    return SVL_OK;
}

/* All three numbers, or none of the names is left behind: every entry is used by some record. */
static int number_names(struct block_builder *builder, const struct wire_view *record,
                        uint32_t *source, uint32_t *type, uint32_t *key)
{
    uint32_t sources = builder->sources.count, types = builder->types.count;
    *key = 0;
    int rc = dictionary_number(&builder->sources, record->source, source);
    if (rc == SVL_OK)
        rc = dictionary_number(&builder->types, record->type, type);
    if (rc == SVL_OK && record->key.len > 0) {
        rc = dictionary_number(&builder->keys, record->key, key);
        ++*key;
    }
    if (rc != SVL_OK) {
        svl__dictionary_truncate(&builder->sources, sources);
        svl__dictionary_truncate(&builder->types, types);
    }
    return rc;
}

static void append(struct buffer *buffer, svl_slice bytes)
{
    if (bytes.len > 0)
        memcpy(buffer->data + buffer->len, bytes.data, bytes.len);
    buffer->len += bytes.len;
}

static void append_ingest(struct block_builder *builder, int64_t ingest_ns)
{
    uint32_t n = builder->ingest_count;
    if (n > 0 && builder->ingest[n - 1].value == ingest_ns)
        builder->ingest[n - 1].count++;
    else
        builder->ingest[builder->ingest_count++] = (struct run){ ingest_ns, 1 };
}

int svl__block_builder_add(struct block_builder *builder, uint64_t id, int64_t ingest_ns,
                           const struct wire_view *record)
{
    if (is_full(builder, record))
        return SVL_E_FULL;
    if (record->length > BLOCK_RAW_MAX)
        return svl__fail(SVL_E_RECORD_SIZE, "a record of %u bytes in a block", record->length);
    if (id == 0 || (builder->count > 0 && id != builder->first_id + builder->count))
        return SVL__INTERNAL("ids of a block have a gap");
    uint32_t source, type, key, i = builder->count;
    int rc = make_room(builder, record);
    if (rc == SVL_OK)
        rc = number_names(builder, record, &source, &type, &key);
    if (rc != SVL_OK)
        return rc;
    if (i == 0)
        builder->first_id = id;
    builder->times[i] = record->time_ns;
    builder->columns[COLUMN_SEVERITY][i] = record->severity;
    builder->columns[COLUMN_BODY_KIND][i] = record->body_kind;
    builder->columns[COLUMN_FLAGS][i] = record->flags;
    builder->columns[COLUMN_SOURCE][i] = source;
    builder->columns[COLUMN_TYPE][i] = type;
    builder->columns[COLUMN_KEY][i] = key;
    builder->columns[COLUMN_ATTRIBUTE_COUNT][i] = record->attribute_count;
    builder->columns[COLUMN_ATTRIBUTE_LENGTH][i] = (uint32_t)record->attributes.len;
    builder->columns[COLUMN_BODY_LENGTH][i] = (uint32_t)record->body.len;
    append_ingest(builder, ingest_ns);
    append(&builder->attributes, record->attributes);
    append(&builder->bodies, record->body);
    builder->raw_bytes += record->length;
    builder->count++;
    return SVL_OK;
}
