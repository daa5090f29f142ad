/* forge.c - a block's checksums: see the table in store/block_format.h; of a segment's file: see store/segment_private.h. */
#include "forge.h"

#include <serverlog/store.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "store/block_format.h"
#include "store/segment_private.h"

/* Rows of the section table. */
#define ROW_CODEC 3
#define ROW_RAW_LEN 8
#define ROW_STORED_LEN 12
#define ROW_SUM 16
#define ZONE_STORED_BYTES (BLOCK_ZONE_AT + 56)

/* The chunks lie one behind the other, as long as their table says. */
static void forge_chunks(uint8_t *table, size_t table_len, const uint8_t *chunks, size_t len)
{
    struct reader r = reader_of(table, table_len);
    for (size_t at = 0; reader_left(&r) > 0;) {
        read_varint(&r);
        uint64_t stored = read_varint(&r);
        read_u8(&r);
        size_t sum_at = table_len - reader_left(&r);
        read_u64(&r);
        if (r.failed || stored > len - at)
            return;
        store_u64(table + sum_at, svl__checksum(chunks + at, stored));
        at += stored;
    }
}

/* The last section takes what is left. */
static void stretch_last(uint8_t *row, size_t left)
{
    store_u32(row + ROW_STORED_LEN, (uint32_t)left);
    if (row[ROW_CODEC] == SVL_CODEC_NONE)
        store_u32(row + ROW_RAW_LEN, (uint32_t)left);
}

static void forge_sections(uint8_t *data, size_t len, uint32_t sections)
{
    size_t at = BLOCK_HEADER_BYTES(sections), before_at = 0, before_len = 0;
    unsigned kind_before = 0;
    for (uint32_t i = 0; i < sections; i++) {
        uint8_t *row = data + BLOCK_TABLE_AT + i * BLOCK_SECTION_BYTES;
        if (i + 1 == sections)
            stretch_last(row, len - at);
        uint32_t stored = load_u32(row + ROW_STORED_LEN);
        unsigned kind = load_u16(row);
        if (stored > len - at)
            return;
        bool is_table = kind == SECTION_BODY_CHUNKS || kind == SECTION_ATTRIBUTE_CHUNKS;
        if (is_table && kind_before == kind - 1 && row[ROW_CODEC] == SVL_CODEC_NONE)
            forge_chunks(data + at, stored, data + before_at, before_len);
        bool is_chunks = kind == SECTION_BODIES || kind == SECTION_ATTRIBUTES;
        store_u64(row + ROW_SUM, is_chunks ? 0 : svl__checksum(data + at, stored));
        kind_before = kind;
        before_at = at;
        before_len = stored;
        at += stored;
    }
}

void forge_block(uint8_t *data, size_t len)
{
    if (len < BLOCK_HEADER_BYTES(0) || load_u32(data) != BLOCK_MAGIC)
        return;
    uint32_t sections = load_u16(data + 6);
    size_t header = BLOCK_HEADER_BYTES(sections);
    if (header > len)
        return;
    store_u64(data + ZONE_STORED_BYTES, len);
    forge_sections(data, len, sections);
    store_u64(data + header - BLOCK_SUM_BYTES, svl__checksum(data, header - BLOCK_SUM_BYTES));
}

/* See the byte table in store/lmdb_check.c. */
#define PAGE 4096
#define PAGE_HEADER 16
#define NODE_HEADER 8
#define FLAG_LEAF 2
#define NODE_BIGDATA 1

/* The value of a leaf's node, in its page or in those that it points to, as far as the file has it; NULL: none. */
static uint8_t *find_value(uint8_t *file, size_t size, size_t node, size_t key, size_t len)
{
    size_t at = node + NODE_HEADER + key;
    if (load_u16(file + node + 4) & NODE_BIGDATA) {
        if (at + sizeof(uint64_t) > size || load_u64(file + at) >= size / PAGE)
            return NULL;
        at = load_u64(file + at) * PAGE + PAGE_HEADER;
    }
    return at <= size && len <= size - at ? file + at : NULL;
}

/* What the segment says of itself. */
static void forge_meta(uint8_t *bytes, size_t len, const uint8_t uuid[16])
{
    if (len < SEGMENT_META_BYTES)
        return;
    memcpy(bytes + 16, uuid, 16);
    memcpy(bytes + 32, uuid, 16);
    store_u64(bytes + 128, svl__checksum(bytes, 128));
}

/* Seals each line, if it has the length and the zeros of a filter. */
static bool forge_filter(uint8_t *bytes, size_t len, uint64_t run, const uint8_t uuid[16])
{
    static const uint8_t zeros[FILTER_HEAD_BYTES];
    if (len <= FILTER_HEAD_BYTES || (len - FILTER_HEAD_BYTES) % BLOOM_LINE_BYTES != 0 ||
        memcmp(bytes, zeros, sizeof zeros) != 0)
        return false;
    uint64_t place = svl__seal_place(uuid, "keyfilters");
    uint64_t lines = (len - FILTER_HEAD_BYTES) / BLOOM_LINE_BYTES;
    for (uint64_t i = 0; i < lines; i++) {
        uint8_t *line = bytes + FILTER_HEAD_BYTES + i * BLOOM_LINE_BYTES;
        uint64_t what[] = { run, lines, i };
        uint64_t seed = svl__checksum_seeded(what, sizeof what, place);
        store_u64(line + BLOOM_LINE_BYTES - SEAL_BYTES,
                  svl__checksum_seeded(line, BLOOM_LINE_BYTES - SEAL_BYTES, seed));
    }
    return true;
}

/* Keys of eight bytes are numbers, of blocks, zones and runs with filters; the others, but "segment", are of chunks. */
static void forge_entry(uint8_t *file, size_t size, size_t node, const uint8_t uuid[16])
{
    size_t len = load_u16(file + node) | (size_t)load_u16(file + node + 2) << 16;
    MDB_val key = { load_u16(file + node + 6), file + node + NODE_HEADER };
    uint8_t *value = find_value(file, size, node, key.mv_size, len);
    bool is_number = key.mv_size == sizeof(uint64_t);
    if (!value || load_u16(file + node + 4) > NODE_BIGDATA || key.mv_size < RUN_PREFIX_BYTES ||
        node + NODE_HEADER + key.mv_size > size || len < SEAL_BYTES)
        return;
    uint64_t place = svl__seal_place(uuid, is_number ? "zones" : "keys");
    if (is_number && forge_filter(value, len, load_u64(key.mv_data), uuid))
        return;
    if (is_number && len != SEGMENT_ZONE_BYTES)
        forge_block(value, len); /* or nothing: a list of free pages */
    else if (key.mv_size == 7 && memcmp(key.mv_data, "segment", 7) == 0)
        forge_meta(value, len, uuid);
    else
        store_u64(value + len - SEAL_BYTES, svl__seal(place, &key, value, len - SEAL_BYTES));
}

void forge_entries(uint8_t *file, size_t size, const uint8_t uuid[16])
{
    for (size_t page = 2 * PAGE; page + PAGE <= size; page += PAGE) {
        if (load_u16(file + page + 10) != FLAG_LEAF)
            continue;
        size_t lower = load_u16(file + page + 12);
        for (size_t i = PAGE_HEADER; i + 2 <= lower && lower <= PAGE; i += 2) {
            size_t at = load_u16(file + page + i);
            if (at + NODE_HEADER <= PAGE)
                forge_entry(file, size, page + at, uuid);
        }
    }
}
