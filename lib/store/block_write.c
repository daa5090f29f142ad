/* block_write.c - collected records as one finished block.
 *
 * The builder is emptied only when the block is whole: without memory nothing has changed. */
#include <serverlog/store.h>
#include <stdatomic.h>

#include "base/checksum.h"
#include "base/error.h"
#include "block_builder.h"
#include "chunks.h"
#include "names.h"

/* --- sections --- */

struct writer {
    struct block_builder *builder;
    struct block_header header;
    struct sorted_key *keys; /* by key */
    svl_slice *key_names;    /* the same, the bytes alone */
};

static void clear(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = false;
}

/* An empty section of `kind`, the next in the table. */
static struct section *add_section(struct writer *writer, uint16_t kind, uint8_t encoding)
{
    struct section *section = &writer->header.sections[writer->header.section_count++];
    *section = (struct section){ .kind = kind, .encoding = encoding, .codec = SVL_CODEC_NONE };
    return section;
}

/* What is in `scratch` becomes a section. */
static int put_section(struct writer *writer, uint16_t kind, uint8_t encoding)
{
    struct block_builder *builder = writer->builder;
    struct buffer *stored = &builder->stored, *raw = &builder->scratch;
    if (raw->failed)
        return SVL_E_NOMEM;
    size_t at = stored->len;
    struct section *section = add_section(writer, kind, encoding);
    int rc = svl__compress(&builder->compressor, raw->data, raw->len, stored, &section->codec);
    if (rc != SVL_OK)
        return rc;
    section->raw_len = (uint32_t)raw->len;
    section->stored_len = (uint32_t)(stored->len - at);
    section->checksum = svl__checksum(stored->data + at, stored->len - at);
    clear(raw);
    return SVL_OK;
}

static bool all_zero(const uint32_t *values, uint32_t n)
{
    uint32_t any = 0;
    for (uint32_t i = 0; i < n; i++)
        any |= values[i];
    return any == 0;
}

static int put_numbers(struct writer *writer, uint16_t kind, const uint32_t *values)
{
    struct block_builder *builder = writer->builder;
    if (all_zero(values, builder->count))
        return SVL_OK;
    return put_section(writer, kind, svl__column_encode(values, builder->count, &builder->scratch));
}

static int put_column(struct writer *writer, uint16_t kind, enum column column)
{
    return put_numbers(writer, kind, writer->builder->columns[column]);
}

static int put_names(struct writer *writer, uint16_t kind, const struct dictionary *dictionary)
{
    struct block_builder *builder = writer->builder;
    if (dictionary->count == 1 && dictionary->entries[0].len == 0)
        return SVL_OK;
    svl_slice *names = space_take(&builder->names, dictionary->count * sizeof *names);
    if (!names)
        return SVL_E_NOMEM;
    for (uint32_t i = 0; i < dictionary->count; i++)
        names[i] = dictionary_at(dictionary, i);
    return put_section(writer, kind,
                       svl__names_encode(names, dictionary->count, &builder->scratch));
}

/* --- keys --- */

/* Sorts the keys, once all are known. */
static int sort_keys(struct writer *writer)
{
    struct block_builder *builder = writer->builder;
    const struct dictionary *keys = &builder->keys;
    uint32_t n = keys->count;
    if (n == 0)
        return SVL_OK;
    size_t each = 2 * sizeof *writer->keys + sizeof *writer->key_names;
    struct sorted_key *sorted = space_take(&builder->sorted_keys, n * each);
    if (!sorted)
        return SVL_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (struct sorted_key){ .key = dictionary_at(keys, i), .number = i };
    svl__key_sort(sorted, sorted + n, n);
    writer->keys = sorted;
    writer->key_names = (svl_slice *)(sorted + 2 * (size_t)n);
    for (uint32_t i = 0; i < n; i++)
        writer->key_names[i] = sorted[i].key;
    return SVL_OK;
}

/* The keys, and for each record 1 + the place of its key in their order. */
static int put_keys(struct writer *writer)
{
    struct block_builder *builder = writer->builder;
    uint32_t n = builder->keys.count;
    if (n == 0)
        return SVL_OK;
    int rc = put_section(writer, SECTION_KEY_NAMES,
                         svl__keys_encode(writer->key_names, n, &builder->scratch));
    if (rc != SVL_OK)
        return rc;
    size_t places_len = (size_t)n + 1;
    uint32_t *places = space_take(&builder->column, (places_len + builder->count) * sizeof *places);
    if (!places)
        return SVL_E_NOMEM;
    uint32_t *values = places + places_len;
    places[0] = 0;
    for (uint32_t i = 0; i < n; i++)
        places[writer->keys[i].number + 1] = i + 1;
    for (uint32_t i = 0; i < builder->count; i++)
        values[i] = places[builder->columns[COLUMN_KEY][i]];
    return put_numbers(writer, SECTION_KEYS, values);
}

/* --- bodies and attributes --- */

/* Lengths, the chunks, and behind them the table that their compression gives. */
static int put_chunks(struct writer *writer, uint16_t chunks_kind, uint16_t table_kind,
                      const struct buffer *bytes, const uint32_t *lengths)
{
    struct block_builder *builder = writer->builder;
    if (bytes->len == 0)
        return SVL_OK;
    size_t at = builder->stored.len;
    struct section *section = add_section(writer, chunks_kind, ENCODING_CHUNKS);
    int rc = svl__chunks_encode(&builder->compressor, bytes->data, lengths, builder->count,
                                &builder->stored, &builder->scratch);
    if (rc != SVL_OK)
        return rc;
    section->raw_len = section->stored_len = (uint32_t)(builder->stored.len - at);
    return put_section(writer, table_kind, ENCODING_TABLE);
}

/* --- the block --- */

static int put_sections(struct writer *writer)
{
    struct block_builder *b = writer->builder;
    int rc = put_section(writer, SECTION_TIMES, svl__times_encode(b->times, b->count, &b->scratch));
    if (rc == SVL_OK)
        rc = put_section(writer, SECTION_INGEST,
                         svl__runs_encode(b->ingest, b->ingest_count, &b->scratch));
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_SEVERITIES, COLUMN_SEVERITY);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_BODY_KINDS, COLUMN_BODY_KIND);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_FLAGS, COLUMN_FLAGS);
    if (rc == SVL_OK)
        rc = put_names(writer, SECTION_SOURCE_NAMES, &b->sources);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_SOURCES, COLUMN_SOURCE);
    if (rc == SVL_OK)
        rc = put_names(writer, SECTION_TYPE_NAMES, &b->types);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_TYPES, COLUMN_TYPE);
    if (rc == SVL_OK)
        rc = put_keys(writer);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_ATTRIBUTE_COUNTS, COLUMN_ATTRIBUTE_COUNT);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_ATTRIBUTE_LENGTHS, COLUMN_ATTRIBUTE_LENGTH);
    if (rc == SVL_OK)
        rc = put_chunks(writer, SECTION_ATTRIBUTES, SECTION_ATTRIBUTE_CHUNKS, &b->attributes,
                        b->columns[COLUMN_ATTRIBUTE_LENGTH]);
    if (rc == SVL_OK)
        rc = put_column(writer, SECTION_BODY_LENGTHS, COLUMN_BODY_LENGTH);
    if (rc == SVL_OK)
        rc = put_chunks(writer, SECTION_BODIES, SECTION_BODY_CHUNKS, &b->bodies,
                        b->columns[COLUMN_BODY_LENGTH]);
    return rc;
}

static struct zone summarise(const struct block_builder *builder)
{
    struct zone zone = { .first_id = builder->first_id,
                         .count = builder->count,
                         .time_min_ns = INT64_MAX,
                         .time_max_ns = INT64_MIN,
                         .ingest_min_ns = INT64_MAX,
                         .ingest_max_ns = INT64_MIN,
                         .raw_bytes = builder->raw_bytes,
                         .keys = builder->keys.count };
    for (uint32_t i = 0; i < builder->count; i++) {
        int64_t time_ns = builder->times[i];
        zone.time_min_ns = time_ns < zone.time_min_ns ? time_ns : zone.time_min_ns;
        zone.time_max_ns = time_ns > zone.time_max_ns ? time_ns : zone.time_max_ns;
        zone.severity_mask |= UINT32_C(1) << builder->columns[COLUMN_SEVERITY][i];
    }
    for (uint32_t i = 0; i < builder->ingest_count; i++) {
        int64_t ingest_ns = builder->ingest[i].value;
        zone.ingest_min_ns = ingest_ns < zone.ingest_min_ns ? ingest_ns : zone.ingest_min_ns;
        zone.ingest_max_ns = ingest_ns > zone.ingest_max_ns ? ingest_ns : zone.ingest_max_ns;
    }
    return zone;
}

/* Header and sections into memory of exactly their size. */
static int assemble(struct writer *writer, struct block *block)
{
    const struct buffer *stored = &writer->builder->stored;
    size_t header_len = BLOCK_HEADER_BYTES(writer->header.section_count);
    block->len = header_len + stored->len;
    if (block->len > BLOCK_STORED_MAX)
        return SVL__INTERNAL("a block takes more than its columns can");
    block->data = svl__malloc(block->len);
    if (!block->data)
        return SVL_E_NOMEM;
    writer->header.zone = summarise(writer->builder);
    writer->header.zone.stored_bytes = block->len;
    block->zone = writer->header.zone;
    svl__block_header_encode(&writer->header, block->data);
    memcpy(block->data + header_len, stored->data, stored->len);
    uint32_t keys = writer->builder->keys.count;
    if (keys > 0)
        block->keys = svl__key_set_create(block->zone.first_id, writer->key_names, keys);
    return keys > 0 && !block->keys ? SVL_E_NOMEM : SVL_OK;
}

int svl__block_builder_finish(struct block_builder *builder, struct block **out)
{
    *out = NULL;
    if (builder->count == 0)
        return SVL__INTERNAL("a block without records");
    clear(&builder->stored);
    clear(&builder->scratch);
    struct block *block = svl__calloc(1, sizeof *block);
    if (!block)
        return SVL_E_NOMEM;
    atomic_init(&block->references, 1);
    struct writer writer = { .builder = builder };
    int rc = sort_keys(&writer);
    if (rc == SVL_OK)
        rc = put_sections(&writer);
    if (rc == SVL_OK)
        rc = assemble(&writer, block);
    if (rc != SVL_OK) {
        svl__block_release(block);
        return rc;
    }
    svl__block_builder_clear(builder);
    *out = block;
    return SVL_OK;
}

struct block *svl__block_hold(struct block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void svl__block_release(struct block *block)
{
    /* Release: this holder's reads are over. Acquire: the last one frees after all of them. */
    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    svl__key_set_release(block->keys);
    svl__free(block->data);
    svl__free(block);
}
