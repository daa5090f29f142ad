/* block_read.c - a block taken apart, no more of it than is asked for.
 *
 * Each part is decoded at its first use into memory that stays for the next block: `decoded`
 * says which parts are there. Nothing in a block is believed before its checksum is right, and
 * nothing is allocated by a length that the records' number does not allow. */
#include <serverlog/store.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"
#include "block_format.h"
#include "chunks.h"
#include "column.h"
#include "keyset.h"
#include "names.h"

enum part {
    PART_TIMES = 1 << 0,
    PART_SEVERITIES = 1 << 1,
    PART_SOURCES = 1 << 2,
    PART_TYPES = 1 << 3,
    PART_KEYS = 1 << 4,
    PART_REST = 1 << 5 /* what only whole records need */
};

/* Names, and for each record the number of its own. */
struct name_column {
    svl_slice *names;
    uint32_t *index;
    uint32_t count;
    struct space bytes_space, names_space, index_space;
};

struct block_reader {
    const uint8_t *data; /* NULL: no block */
    struct block_header header;
    const struct section *sections[SECTION_KINDS_END]; /* by kind; NULL: left out */
    unsigned decoded;                                  /* PART_* */
    struct decompressor decompressor;
    struct space raw; /* a section on its way into a column */

    int64_t *times, *ingest;
    uint8_t *severities, *body_kinds, *attribute_counts;
    uint32_t *flags;
    struct name_column sources, types, keys;
    struct chunks attributes, bodies;
    struct space time_space, ingest_space, severity_space, body_kind_space, attribute_count_space,
        flag_space, length_space;
};

int svl__block_reader_create(struct block_reader **out)
{
    *out = svl__calloc(1, sizeof **out);
    return *out ? SVL_OK : SVL_E_NOMEM;
}

static void free_names(struct name_column *column)
{
    space_free(&column->bytes_space);
    space_free(&column->names_space);
    space_free(&column->index_space);
}

void svl__block_reader_destroy(struct block_reader *reader)
{
    if (!reader)
        return;
    svl__decompressor_close(&reader->decompressor);
    space_free(&reader->raw);
    free_names(&reader->sources);
    free_names(&reader->types);
    free_names(&reader->keys);
    svl__chunks_free(&reader->attributes);
    svl__chunks_free(&reader->bodies);
    space_free(&reader->time_space);
    space_free(&reader->ingest_space);
    space_free(&reader->severity_space);
    space_free(&reader->body_kind_space);
    space_free(&reader->attribute_count_space);
    space_free(&reader->flag_space);
    space_free(&reader->length_space);
    svl__free(reader);
}

int svl__block_reader_load(struct block_reader *reader, const void *data, size_t len)
{
    reader->data = NULL;
    reader->decoded = 0;
    memset(reader->sections, 0, sizeof reader->sections);
    struct block_header *header = &reader->header;
    int rc = svl__block_header_decode(data, len, header);
    if (rc != SVL_OK) {
        header->zone = (struct zone){ 0 };
        return rc;
    }
    for (uint32_t i = 0; i < header->section_count; i++)
        if (header->sections[i].kind < SECTION_KINDS_END)
            reader->sections[header->sections[i].kind] = &header->sections[i];
    reader->data = data;
    return SVL_OK;
}

int svl__block_reader_load_of(struct block_reader *reader, const struct zone *zone,
                              const void *data, size_t len)
{
    int rc = svl__block_reader_load(reader, data, len);
    const struct zone found = reader->header.zone;
    if (rc != SVL_OK || svl__zone_equal(&found, zone))
        return rc;
    reader->data = NULL;
    reader->header.zone = (struct zone){ 0 };
    return svl__fail(SVL_E_CORRUPT,
                     "block of record %llu: another one, of record %llu, is in its place",
                     (unsigned long long)zone->first_id, (unsigned long long)found.first_id);
}

const struct zone *svl__block_reader_zone(const struct block_reader *reader)
{
    return &reader->header.zone;
}

uint64_t svl__block_reader_chunks(const struct block_reader *reader)
{
    return reader->bodies.decompressed;
}

/* --- sections --- */

static int damaged(const struct block_reader *reader, const char *what, unsigned kind)
{
    return svl__fail(SVL_E_CORRUPT, "block of record %llu, section %u: %s",
                     (unsigned long long)reader->header.zone.first_id, kind, what);
}

/* How long a section's raw bytes can be at most: what its encodings give for that many records. */
static uint64_t raw_len_max(const struct zone *zone, unsigned kind)
{
    switch (kind) {
    case SECTION_SOURCE_NAMES:
    case SECTION_TYPE_NAMES:
        return VARINT_BYTES_MAX + (uint64_t)zone->count * (VARINT_BYTES_MAX + RECORD_NAME_MAX);
    case SECTION_KEY_NAMES:
        return VARINT_BYTES_MAX + (uint64_t)zone->keys * (2 * VARINT_BYTES_MAX + RECORD_KEY_MAX);
    default:
        return VARINT_BYTES_MAX + (uint64_t)zone->count * 3 * VARINT_BYTES_MAX;
    }
}

/* The raw bytes of a section that is there: in the block itself or decompressed into `space`. */
static int take_section(struct block_reader *reader, unsigned kind, struct space *space,
                        svl_slice *raw)
{
    const struct section *section = reader->sections[kind];
    const uint8_t *stored = reader->data + section->offset;
    if (section->raw_len > raw_len_max(&reader->header.zone, kind))
        return damaged(reader, "it is too long", kind);
    if (svl__checksum(stored, section->stored_len) != section->checksum)
        return damaged(reader, "its checksum", kind);
    *raw = (svl_slice){ stored, section->raw_len };
    if (section->codec == SVL_CODEC_NONE)
        return SVL_OK; /* the header's check has seen that both lengths are one */
    uint8_t *out = space_take(space, section->raw_len);
    if (!out)
        return SVL_E_NOMEM;
    raw->data = out;
    return svl__decompress(&reader->decompressor, section->codec, stored, section->stored_len, out,
                           section->raw_len);
}

/* A column of numbers; zeros where it is left out. */
static int take_numbers(struct block_reader *reader, unsigned kind, struct space *space,
                        uint32_t **out)
{
    uint32_t n = reader->header.zone.count;
    uint32_t *values = *out = space_take(space, n * sizeof *values);
    if (!values)
        return SVL_E_NOMEM;
    if (!reader->sections[kind]) {
        memset(values, 0, n * sizeof *values);
        return SVL_OK;
    }
    svl_slice raw;
    int rc = take_section(reader, kind, &reader->raw, &raw);
    return rc == SVL_OK ? svl__column_decode(reader->sections[kind]->encoding, raw, n, values) : rc;
}

static int take_small_numbers(struct block_reader *reader, unsigned kind, struct space *space,
                              uint8_t **out)
{
    uint32_t n = reader->header.zone.count;
    uint8_t *values = *out = space_take(space, n);
    if (!values)
        return SVL_E_NOMEM;
    if (!reader->sections[kind]) {
        memset(values, 0, n);
        return SVL_OK;
    }
    svl_slice raw;
    int rc = take_section(reader, kind, &reader->raw, &raw);
    return rc == SVL_OK ? svl__column_decode_u8(reader->sections[kind]->encoding, raw, n, values)
                        : rc;
}

static uint32_t largest(const uint32_t *values, uint32_t n)
{
    uint32_t max = 0;
    for (uint32_t i = 0; i < n; i++)
        max = values[i] > max ? values[i] : max;
    return max;
}

/* --- parts --- */

typedef int take_times_fn(uint8_t encoding, svl_slice raw, uint32_t n, int64_t *values);

/* Times are never left out: no time is the default. */
static int take_times_by(struct block_reader *reader, unsigned kind, take_times_fn *decode,
                         struct space *space, int64_t **out)
{
    uint32_t n = reader->header.zone.count;
    if (!reader->sections[kind])
        return damaged(reader, "it is missing", kind);
    int64_t *values = *out = space_take(space, n * sizeof *values);
    if (!values)
        return SVL_E_NOMEM;
    svl_slice raw;
    int rc = take_section(reader, kind, &reader->raw, &raw);
    return rc == SVL_OK ? decode(reader->sections[kind]->encoding, raw, n, values) : rc;
}

static int take_times(struct block_reader *reader)
{
    return take_times_by(reader, SECTION_TIMES, svl__times_decode, &reader->time_space,
                         &reader->times);
}

static int take_severities(struct block_reader *reader)
{
    int rc = take_small_numbers(reader, SECTION_SEVERITIES, &reader->severity_space,
                                &reader->severities);
    uint8_t max = 0;
    for (uint32_t i = 0; rc == SVL_OK && i < reader->header.zone.count; i++)
        max = reader->severities[i] > max ? reader->severities[i] : max;
    if (rc == SVL_OK && max > SVL_SEVERITY_MAX)
        return damaged(reader, "a severity that does not exist", SECTION_SEVERITIES);
    return rc;
}

static int take_names(struct block_reader *reader, unsigned names_kind, unsigned index_kind,
                      struct name_column *column)
{
    uint32_t n = reader->header.zone.count;
    const struct section *section = reader->sections[names_kind];
    column->count = 1;
    column->names = space_take(&column->names_space, (section ? n : 1) * sizeof *column->names);
    if (!column->names)
        return SVL_E_NOMEM;
    column->names[0] = (svl_slice){ NULL, 0 };
    if (section) {
        svl_slice raw;
        int rc = take_section(reader, names_kind, &column->bytes_space, &raw);
        if (rc == SVL_OK)
            rc = svl__names_decode(section->encoding, raw, n, column->names, &column->count);
        if (rc != SVL_OK)
            return rc;
    }
    int rc = take_numbers(reader, index_kind, &column->index_space, &column->index);
    if (rc == SVL_OK && largest(column->index, n) >= column->count)
        return damaged(reader, "an index past its dictionary", index_kind);
    return rc;
}

static int take_sources(struct block_reader *reader)
{
    return take_names(reader, SECTION_SOURCE_NAMES, SECTION_SOURCES, &reader->sources);
}

static int take_types(struct block_reader *reader)
{
    return take_names(reader, SECTION_TYPE_NAMES, SECTION_TYPES, &reader->types);
}

/* The key dictionary alone, which is all that a key set needs. */
static int take_key_names(struct block_reader *reader)
{
    struct name_column *keys = &reader->keys;
    const struct section *section = reader->sections[SECTION_KEY_NAMES];
    keys->count = reader->header.zone.keys;
    if ((keys->count > 0) != (section != NULL))
        return damaged(reader, "the zone says something else about it", SECTION_KEY_NAMES);
    keys->names = space_take(&keys->names_space, keys->count * sizeof *keys->names);
    if (!keys->names)
        return SVL_E_NOMEM;
    if (!section)
        return SVL_OK;
    svl_slice raw;
    int rc = take_section(reader, SECTION_KEY_NAMES, &reader->raw, &raw);
    if (rc == SVL_OK)
        rc = svl__keys_decode(section->encoding, raw, keys->count, &keys->bytes_space, keys->names);
    return rc;
}

static int take_keys(struct block_reader *reader)
{
    struct name_column *keys = &reader->keys;
    uint32_t n = reader->header.zone.count;
    int rc = take_key_names(reader);
    if (rc == SVL_OK)
        rc = take_numbers(reader, SECTION_KEYS, &keys->index_space, &keys->index);
    if (rc != SVL_OK)
        return rc;
    if (largest(keys->index, n) > keys->count)
        return damaged(reader, "an index past its dictionary", SECTION_KEYS);
    for (uint32_t i = 0; i < n; i++)
        keys->index[i]--; /* 0, no key, becomes UINT32_MAX */
    return SVL_OK;
}

/* The stored bytes of the chunks: in place, their checksums are in the table. */
static int take_chunk_bytes(struct block_reader *reader, unsigned kind, svl_slice *stored)
{
    const struct section *section = reader->sections[kind];
    *stored = (svl_slice){ NULL, 0 };
    if (!section)
        return SVL_OK;
    if (section->encoding != ENCODING_CHUNKS)
        return svl__fail(SVL_E_VERSION, "chunks in encoding %u", section->encoding);
    if (section->codec != SVL_CODEC_NONE)
        return damaged(reader, "it is compressed as a whole", kind);
    *stored = (svl_slice){ reader->data + section->offset, section->stored_len };
    return SVL_OK;
}

static int take_chunks(struct block_reader *reader, unsigned lengths_kind, unsigned chunks_kind,
                       unsigned table_kind, struct chunks *chunks)
{
    uint32_t *lengths;
    svl_slice stored, table = { NULL, 0 };
    int rc = take_numbers(reader, lengths_kind, &reader->length_space, &lengths);
    if (rc == SVL_OK)
        rc = take_chunk_bytes(reader, chunks_kind, &stored);
    if (rc == SVL_OK && reader->sections[table_kind]) {
        if (reader->sections[table_kind]->encoding != ENCODING_TABLE)
            return svl__fail(SVL_E_VERSION, "a table in encoding %u",
                             reader->sections[table_kind]->encoding);
        rc = take_section(reader, table_kind, &reader->raw, &table);
    }
    if (rc == SVL_OK)
        rc = svl__chunks_open(chunks, stored, table, lengths, reader->header.zone.count);
    return rc;
}

static int take_rest(struct block_reader *reader)
{
    int rc = take_times_by(reader, SECTION_INGEST, svl__runs_decode, &reader->ingest_space,
                           &reader->ingest);
    if (rc == SVL_OK)
        rc = take_small_numbers(reader, SECTION_BODY_KINDS, &reader->body_kind_space,
                                &reader->body_kinds);
    if (rc == SVL_OK)
        rc = take_numbers(reader, SECTION_FLAGS, &reader->flag_space, &reader->flags);
    if (rc == SVL_OK)
        rc = take_small_numbers(reader, SECTION_ATTRIBUTE_COUNTS, &reader->attribute_count_space,
                                &reader->attribute_counts);
    if (rc == SVL_OK)
        rc = take_chunks(reader, SECTION_ATTRIBUTE_LENGTHS, SECTION_ATTRIBUTES,
                         SECTION_ATTRIBUTE_CHUNKS, &reader->attributes);
    if (rc == SVL_OK)
        rc = take_chunks(reader, SECTION_BODY_LENGTHS, SECTION_BODIES, SECTION_BODY_CHUNKS,
                         &reader->bodies);
    return rc;
}

typedef int take_fn(struct block_reader *reader);

static int decode_part(struct block_reader *reader, unsigned part, take_fn *take)
{
    if (reader->decoded & part)
        return SVL_OK;
    if (!reader->data)
        return svl__fail(SVL_E_STATE, "no block is loaded");
    int rc = take(reader);
    if (rc == SVL_OK)
        reader->decoded |= part;
    return rc;
}

/* --- what is asked for --- */

int svl__block_reader_times(struct block_reader *reader, const int64_t **times)
{
    int rc = decode_part(reader, PART_TIMES, take_times);
    *times = rc == SVL_OK ? reader->times : NULL;
    return rc;
}

int svl__block_reader_severities(struct block_reader *reader, const uint8_t **severities)
{
    int rc = decode_part(reader, PART_SEVERITIES, take_severities);
    *severities = rc == SVL_OK ? reader->severities : NULL;
    return rc;
}

static int give_names(struct block_reader *reader, unsigned part, take_fn *take,
                      const struct name_column *column, const uint32_t **index,
                      const svl_slice **dictionary, uint32_t *dictionary_count)
{
    int rc = decode_part(reader, part, take);
    *index = rc == SVL_OK ? column->index : NULL;
    *dictionary = rc == SVL_OK ? column->names : NULL;
    *dictionary_count = rc == SVL_OK ? column->count : 0;
    return rc;
}

int svl__block_reader_sources(struct block_reader *reader, const uint32_t **index,
                              const svl_slice **dictionary, uint32_t *dictionary_count)
{
    return give_names(reader, PART_SOURCES, take_sources, &reader->sources, index, dictionary,
                      dictionary_count);
}

int svl__block_reader_types(struct block_reader *reader, const uint32_t **index,
                            const svl_slice **dictionary, uint32_t *dictionary_count)
{
    return give_names(reader, PART_TYPES, take_types, &reader->types, index, dictionary,
                      dictionary_count);
}

int svl__block_reader_keys(struct block_reader *reader, const uint32_t **index,
                           const svl_slice **dictionary, uint32_t *dictionary_count)
{
    return give_names(reader, PART_KEYS, take_keys, &reader->keys, index, dictionary,
                      dictionary_count);
}

int svl__block_reader_key_set(struct block_reader *reader, struct key_set **out)
{
    *out = NULL;
    if (!reader->data)
        return svl__fail(SVL_E_STATE, "no block is loaded");
    const struct zone *zone = &reader->header.zone;
    int rc = reader->decoded & PART_KEYS ? SVL_OK : take_key_names(reader);
    if (rc != SVL_OK || zone->keys == 0)
        return rc;
    *out = svl__key_set_create(zone->first_id, reader->keys.names, zone->keys);
    return *out ? SVL_OK : SVL_E_NOMEM;
}

static int decode_all(struct block_reader *reader)
{
    int rc = decode_part(reader, PART_TIMES, take_times);
    if (rc == SVL_OK)
        rc = decode_part(reader, PART_SEVERITIES, take_severities);
    if (rc == SVL_OK)
        rc = decode_part(reader, PART_SOURCES, take_sources);
    if (rc == SVL_OK)
        rc = decode_part(reader, PART_TYPES, take_types);
    if (rc == SVL_OK)
        rc = decode_part(reader, PART_KEYS, take_keys);
    if (rc == SVL_OK)
        rc = decode_part(reader, PART_REST, take_rest);
    return rc;
}

/* Everything of the block but chunks, and that it has a record `i`. */
static int prepare(struct block_reader *reader, uint32_t i)
{
    int rc = reader->decoded & PART_REST ? SVL_OK : decode_all(reader);
    const struct zone *zone = &reader->header.zone;
    if (rc == SVL_OK && i >= zone->count)
        rc = svl__fail(SVL_E_CORRUPT, "record %u of the %u of block %llu", i + 1, zone->count,
                       (unsigned long long)zone->first_id);
    return rc;
}

int svl__block_reader_body(struct block_reader *reader, uint32_t i, svl_slice *body)
{
    *body = (svl_slice){ NULL, 0 };
    int rc = prepare(reader, i);
    return rc == SVL_OK ? chunks_at(&reader->bodies, &reader->decompressor, i, body) : rc;
}

int svl__block_reader_record(struct block_reader *reader, uint32_t i, svl_attribute *attributes,
                             svl_record *out)
{
    int rc = svl__block_reader_head(reader, i, attributes, out);
    return rc == SVL_OK ? svl__block_reader_body(reader, i, &out->body) : rc;
}

int svl__block_reader_head(struct block_reader *reader, uint32_t i, svl_attribute *attributes,
                           svl_record *out)
{
    memset(out, 0, sizeof *out);
    int rc = prepare(reader, i);
    if (rc != SVL_OK)
        return rc;
    svl_slice encoded;
    uint32_t attribute_count = reader->attribute_counts[i], key = reader->keys.index[i];
    rc = chunks_at(&reader->attributes, &reader->decompressor, i, &encoded);
    if (rc == SVL_OK && (attribute_count > 0 || encoded.len > 0))
        rc = svl__attributes_decode(encoded, attribute_count, attributes);
    if (rc != SVL_OK)
        return rc;
    out->id = reader->header.zone.first_id + i;
    out->time_ns = reader->times[i];
    out->ingest_ns = reader->ingest[i];
    out->severity = reader->severities[i];
    out->body_kind = reader->body_kinds[i];
    out->source = reader->sources.names[reader->sources.index[i]];
    out->type = reader->types.names[reader->types.index[i]];
    if (key != UINT32_MAX)
        out->key = reader->keys.names[key];
    out->attributes = attribute_count > 0 ? attributes : NULL;
    out->attribute_count = attribute_count;
    out->flags = reader->flags[i];
    return SVL_OK;
}
