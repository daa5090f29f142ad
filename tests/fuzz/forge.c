/* forge.c - a block's checksums: see the table in store/block_format.h. */
#include "forge.h"

#include <serverlog/store.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "store/block_format.h"

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
