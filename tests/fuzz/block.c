/* block.c - any bytes as a block, read in every way: an error with words, or columns and records that agree. What
 * verifies is made again of its records. The first byte's bit 0: the bytes are left as they are; else their lengths and
 * checksums are made right (forge.h), so that what they protect is read. */
#include <serverlog/store.h>
#include <string.h>

#include "forge.h"
#include "fuzz.h"
#include "record/wire.h"
#include "store/block.h"

enum { AS_IS = 1 };

/* A column that cannot be read is decoded again for each record that is asked for: a cursor leaves at the first. */
#define FAILURES_MAX 16

static svl_attribute attributes[RECORD_ATTRIBUTES_MAX];

/* What a whole block was read as. */
struct columns {
    const int64_t *times;
    const uint8_t *severities;
    const uint32_t *sources, *types, *keys;
    const svl_slice *source_names, *type_names, *key_names;
    uint32_t source_count, type_count, key_count;
};

static int must_be_said(int rc)
{
    MUST(rc == SVL_OK || rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_CODEC);
    MUST(rc == SVL_OK || svl_last_error()[0]);
    return rc;
}

static bool same(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void must_ascend(const svl_slice *keys, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        MUST(svl__key_compare(keys[i - 1], keys[i]) < 0);
}

/* The keys first, as an open does; then each column, as a query does. */
static int read_columns(struct block_reader *reader, struct columns *c)
{
    struct key_set *set;
    int rc = must_be_said(svl__block_reader_key_set(reader, &set));
    uint32_t count = set ? svl__key_set_count(set) : 0;
    svl__key_set_release(set);
    if (rc == SVL_OK)
        rc = must_be_said(svl__block_reader_keys(reader, &c->keys, &c->key_names, &c->key_count));
    if (rc == SVL_OK) {
        MUST(c->key_count == count);
        must_ascend(c->key_names, count);
    }
    if (rc == SVL_OK)
        rc = must_be_said(svl__block_reader_times(reader, &c->times));
    if (rc == SVL_OK)
        rc = must_be_said(svl__block_reader_severities(reader, &c->severities));
    if (rc == SVL_OK)
        rc = must_be_said(
            svl__block_reader_sources(reader, &c->sources, &c->source_names, &c->source_count));
    if (rc == SVL_OK)
        rc = must_be_said(
            svl__block_reader_types(reader, &c->types, &c->type_names, &c->type_count));
    return rc;
}

static void must_agree(const svl_record *record, const struct columns *c, uint32_t i)
{
    MUST(record->time_ns == c->times[i] && record->severity == c->severities[i]);
    MUST(c->sources[i] < c->source_count && c->types[i] < c->type_count);
    MUST(same(record->source, c->source_names[c->sources[i]]));
    MUST(same(record->type, c->type_names[c->types[i]]));
    if (c->keys[i] == UINT32_MAX) {
        MUST(record->key.len == 0);
        return;
    }
    MUST(c->keys[i] < c->key_count && same(record->key, c->key_names[c->keys[i]]));
}

/* From the last to the first: chunks are met in another order than verifying does. `c`: NULL, or all columns. */
static void read_records(struct block_reader *reader, const struct columns *c)
{
    const struct zone *zone = svl__block_reader_zone(reader);
    unsigned failures = 0;
    for (uint32_t i = zone->count; i-- > 0 && failures < FAILURES_MAX;) {
        svl_record record;
        if (must_be_said(svl__block_reader_record(reader, i, attributes, &record)) != SVL_OK) {
            failures++;
            continue;
        }
        MUST(record.id == zone->first_id + i && record.severity <= SVL_SEVERITY_MAX);
        MUST(record.attribute_count <= RECORD_ATTRIBUTES_MAX);
        MUST(svl__wire_size(&record) >= WIRE_HEADER_BYTES);
        if (c)
            must_agree(&record, c, i);
    }
}

static void add_record(struct block_builder *builder, struct block_reader *reader, uint32_t i)
{
    svl_record record;
    struct wire_view view;
    MUST(svl__block_reader_record(reader, i, attributes, &record) == SVL_OK);
    uint32_t len = svl__wire_size(&record);
    uint8_t *wire = malloc(len);
    MUST(wire != NULL);
    svl__wire_encode(&record, record.time_ns, wire);
    MUST(svl__wire_check(wire, len, &view) == SVL_OK);
    MUST(svl__block_builder_add(builder, record.id, record.ingest_ns, &view) == SVL_OK);
    free(wire);
}

/* All that a query goes by is the same; only how it is stored may differ. */
static void must_be_made_again(struct block_reader *reader)
{
    const struct zone zone = *svl__block_reader_zone(reader);
    struct block_options options = { .codec = SVL_CODEC_NONE, .block_bytes = BLOCK_RAW_MAX };
    struct block_builder *builder;
    struct block *block;
    MUST(svl__block_builder_create(&options, &builder) == SVL_OK);
    for (uint32_t i = 0; i < zone.count; i++)
        add_record(builder, reader, i);
    MUST(svl__block_builder_finish(builder, &block) == SVL_OK);
    MUST(block->zone.raw_bytes == zone.raw_bytes && block->zone.keys == zone.keys);
    MUST(block->zone.severity_mask == zone.severity_mask);
    MUST(block->zone.time_min_ns == zone.time_min_ns &&
         block->zone.time_max_ns == zone.time_max_ns);
    MUST(svl__block_verify(reader, block->data, block->len) == SVL_OK);
    svl__block_release(block);
    svl__block_builder_destroy(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_len)
{
    if (input_len == 0)
        return 0;
    size_t len = input_len - 1;
    uint8_t *data = malloc(len ? len : 1); /* of exactly its size, so that a step outside is seen */
    MUST(data != NULL);
    memcpy(data, input + 1, len);
    if (!(input[0] & AS_IS))
        forge_block(data, len);
    struct block_reader *reader;
    struct columns columns = { 0 };
    MUST(svl__block_reader_create(&reader) == SVL_OK);
    if (must_be_said(svl__block_reader_load(reader, data, len)) == SVL_OK) {
        bool has_columns = read_columns(reader, &columns) == SVL_OK;
        read_records(reader, has_columns ? &columns : NULL);
        if (must_be_said(svl__block_verify(reader, data, len)) == SVL_OK) {
            MUST(has_columns);
            must_be_made_again(reader);
        }
    }
    svl__block_reader_destroy(reader);
    free(data);
    return 0;
}
