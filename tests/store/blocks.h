/* blocks.h - for the block tests: records made from a seed, put through a builder, compared with
 * what a reader gives back. */
#ifndef TESTS_STORE_BLOCKS_H
#define TESTS_STORE_BLOCKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <serverlog/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "store/block_format.h"

/* --- chance: SVL_TEST_SEED repeats a run --- */

static uint64_t chance_state;

static void chance_start(void)
{
    const char *seed = getenv("SVL_TEST_SEED");
    chance_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)(uintptr_t)&seed * 0x9e3779b97f4a7c15;
    printf("SVL_TEST_SEED=%" PRIu64 "\n", chance_state);
}

static uint64_t chance(uint64_t below)
{
    uint64_t z = (chance_state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return below ? z % below : z;
}

/* --- records --- */

struct records {
    svl_record *list;
    uint32_t count;
    uint64_t first_id;
    uint8_t **wires; /* what the records point into */
};

/* A copy of `record` in its wire form, its members pointing there; attributes of its own. */
static svl_record keep(const svl_record *record, uint8_t **wire)
{
    uint32_t len = svl__wire_size(record);
    *wire = malloc(len);
    svl_attribute *attributes = malloc((record->attribute_count + 1) * sizeof *attributes);
    assert_non_null(*wire);
    assert_non_null(attributes);
    svl__wire_encode(record, record->time_ns, *wire);
    svl_record copy;
    assert_int_equal(svl__wire_decode(*wire, len, attributes, &copy), SVL_OK);
    copy.attributes = attributes;
    return copy;
}

static void records_add(struct records *records, const svl_record *record, int64_t ingest_ns)
{
    uint32_t i = records->count++;
    if ((i & (i - 1)) == 0) {
        size_t capacity = i ? 2 * (size_t)i : 1;
        records->list = realloc(records->list, capacity * sizeof *records->list);
        records->wires = realloc(records->wires, capacity * sizeof *records->wires);
        assert_non_null(records->list);
        assert_non_null(records->wires);
    }
    records->list[i] = keep(record, &records->wires[i]);
    records->list[i].id = records->first_id + i;
    records->list[i].ingest_ns = ingest_ns;
}

static void records_free(struct records *records)
{
    for (uint32_t i = 0; i < records->count; i++) {
        free((void *)records->list[i].attributes);
        free(records->wires[i]);
    }
    free(records->list);
    free(records->wires);
    *records = (struct records){ 0 };
}

static svl_slice words(const char *text)
{
    return (svl_slice){ text, strlen(text) };
}

/* Random bytes of which some repeat, at `out`. */
static svl_slice chance_bytes(uint8_t *out, size_t len)
{
    uint8_t range = chance(2) ? 255 : 3;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)chance(range);
    return (svl_slice){ out, len };
}

static svl_slice chance_name(char *out, uint64_t kinds)
{
    return (svl_slice){ out, (size_t)snprintf(out, 32, "name.%" PRIu64, chance(kinds)) };
}

#define CHANCE_ATTRIBUTES 5

static uint32_t chance_attributes(svl_attribute *out, uint8_t *bytes)
{
    uint32_t n = chance(3) ? 0 : (uint32_t)chance(CHANCE_ATTRIBUTES + 1);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (svl_attribute){ .kind = (uint32_t)(1 + chance(5)), .name = words("http.status") };
        if (out[i].kind == SVL_ATTRIBUTE_TEXT)
            out[i].bytes = words("some text");
        else if (out[i].kind == SVL_ATTRIBUTE_BYTES)
            out[i].bytes = chance_bytes(bytes, chance(64));
        else if (out[i].kind == SVL_ATTRIBUTE_F64)
            out[i].f64 = (double)chance(1000) / 8;
        else
            out[i].i64 =
                out[i].kind == SVL_ATTRIBUTE_BOOL ? (int64_t)chance(2) : (int64_t)chance(0);
    }
    return n;
}

/* A record of any shape, body of up to `body_max` bytes. */
static void records_add_any(struct records *records, size_t body_max)
{
    static uint8_t body[1 << 20];
    uint8_t key[RECORD_KEY_MAX], bytes[64];
    char source[32], type[32];
    svl_attribute attributes[CHANCE_ATTRIBUTES];
    svl_record r = { .time_ns = INT64_C(1700000000000000000) + (int64_t)chance(1000000000),
                     .severity = (uint32_t)chance(SVL_SEVERITY_MAX + 1),
                     .body_kind = (uint32_t)chance(3),
                     .source = chance_name(source, 40),
                     .type = chance_name(type, 300),
                     .attributes = attributes,
                     .attribute_count = chance_attributes(attributes, bytes) };
    if (chance(8) == 0)
        r.time_ns = chance(2) ? INT64_MIN : INT64_MAX;
    if (chance(3))
        r.key = chance_bytes(key, 1 + chance(chance(4) ? 12 : RECORD_KEY_MAX));
    if (chance(5))
        r.body = chance_bytes(body, chance(chance(10) ? 200 : body_max + 1));
    if (chance(50) == 0)
        r.flags = (uint32_t)chance(0);
    records_add(records, &r, INT64_C(1700000000000000000) + (int64_t)(records->count / 7) * 1000);
}

static struct records records_any(uint64_t first_id, uint32_t count, size_t body_max)
{
    struct records records = { .first_id = first_id };
    for (uint32_t i = 0; i < count; i++)
        records_add_any(&records, body_max);
    return records;
}

/* --- blocks --- */

static struct block_builder *builder_of(uint32_t codec, uint64_t block_bytes)
{
    struct block_options options = { .codec = codec, .block_bytes = block_bytes };
    struct block_builder *builder;
    assert_int_equal(svl__block_builder_create(&options, &builder), SVL_OK);
    return builder;
}

static int add_record(struct block_builder *builder, const struct records *records, uint32_t i)
{
    struct wire_view view;
    uint32_t len = svl__wire_size(&records->list[i]);
    assert_int_equal(svl__wire_view(records->wires[i], len, &view), SVL_OK);
    return svl__block_builder_add(builder, records->list[i].id, records->list[i].ingest_ns, &view);
}

static struct block *build(struct block_builder *builder, const struct records *records)
{
    for (uint32_t i = 0; i < records->count; i++)
        assert_int_equal(add_record(builder, records, i), SVL_OK);
    struct block *block;
    assert_int_equal(svl__block_builder_finish(builder, &block), SVL_OK);
    return block;
}

static struct block *block_of(uint32_t codec, const struct records *records)
{
    struct block_builder *builder = builder_of(codec, BLOCK_RAW_MAX);
    struct block *block = build(builder, records);
    svl__block_builder_destroy(builder);
    return block;
}

static bool same_slice(svl_slice a, svl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void assert_slice(svl_slice a, svl_slice b)
{
    assert_int_equal(a.len, b.len);
    assert_true(same_slice(a, b));
}

static void assert_attribute(const svl_attribute *a, const svl_attribute *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_slice(a->name, b->name);
    assert_slice(a->bytes, b->bytes);
    assert_int_equal(a->i64, b->i64);
    assert_memory_equal(&a->f64, &b->f64, sizeof a->f64);
}

static void assert_record(const svl_record *a, const svl_record *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->time_ns, b->time_ns);
    assert_int_equal(a->ingest_ns, b->ingest_ns);
    assert_int_equal(a->severity, b->severity);
    assert_int_equal(a->body_kind, b->body_kind);
    assert_int_equal(a->flags, b->flags);
    assert_slice(a->source, b->source);
    assert_slice(a->type, b->type);
    assert_slice(a->key, b->key);
    assert_slice(a->body, b->body);
    assert_int_equal(a->attribute_count, b->attribute_count);
    for (uint32_t i = 0; i < a->attribute_count; i++)
        assert_attribute(&a->attributes[i], &b->attributes[i]);
}

static svl_attribute read_attributes[RECORD_ATTRIBUTES_MAX];

/* The block gives back every record, and all of it checks out. */
static void assert_holds(const struct block *block, const struct records *records)
{
    struct block_reader *reader;
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    assert_int_equal(svl__block_verify(reader, block->data, block->len), SVL_OK);
    assert_int_equal(svl__block_reader_load(reader, block->data, block->len), SVL_OK);
    assert_memory_equal(svl__block_reader_zone(reader), &block->zone, sizeof block->zone);
    assert_int_equal(block->zone.count, records->count);
    assert_int_equal(block->zone.first_id, records->first_id);
    for (uint32_t i = 0; i < records->count; i++) {
        svl_record record;
        assert_int_equal(svl__block_reader_record(reader, i, read_attributes, &record), SVL_OK);
        assert_record(&record, &records->list[i]);
    }
    svl__block_reader_destroy(reader);
}

/* Each test file uses some of these. */
static inline void blocks_unused(void)
{
    (void)chance_start, (void)records_any, (void)records_free, (void)block_of, (void)assert_holds;
}

#endif
