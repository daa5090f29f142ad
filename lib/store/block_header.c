/* block_header.c - a block's header as bytes and back: see the table in block_format.h. */
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "block_format.h"

static void encode_section(const struct section *section, uint8_t *out)
{
    store_u16(out, section->kind);
    out[2] = section->encoding;
    out[3] = section->codec;
    store_u32(out + 4, section->flags);
    store_u32(out + 8, section->raw_len);
    store_u32(out + 12, section->stored_len);
    store_u64(out + 16, section->checksum);
}

void svl__block_header_encode(const struct block_header *header, uint8_t *out)
{
    store_u32(out, BLOCK_MAGIC);
    store_u16(out + 4, BLOCK_VERSION);
    store_u16(out + 6, (uint16_t)header->section_count);
    store_u32(out + 8, 0);
    store_u32(out + 12, 0);
    svl__zone_encode(&header->zone, out + BLOCK_ZONE_AT);
    uint8_t *p = out + BLOCK_TABLE_AT;
    for (uint32_t i = 0; i < header->section_count; i++, p += BLOCK_SECTION_BYTES)
        encode_section(&header->sections[i], p);
    store_u64(p, svl__checksum(out, (size_t)(p - out)));
}

static int corrupt(const struct block_header *header, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "block of record %llu: %s",
                     (unsigned long long)header->zone.first_id, what);
}

static int newer(const struct block_header *header, const char *what, uint32_t value)
{
    return svl__fail(SVL_E_VERSION, "block of record %llu: %s %#x",
                     (unsigned long long)header->zone.first_id, what, value);
}

static int decode_section(struct reader *r, struct block_header *header, struct section *section)
{
    section->kind = read_u16(r);
    section->encoding = read_u8(r);
    section->codec = read_u8(r);
    section->flags = read_u32(r);
    section->raw_len = read_u32(r);
    section->stored_len = read_u32(r);
    section->checksum = read_u64(r);
    if (section->flags & ~(uint32_t)SECTION_COMPATIBLE)
        return newer(header, "section flags", section->flags);
    if (section->kind == 0 || section->kind >= SECTION_KINDS_END)
        return section->flags & SECTION_COMPATIBLE
                   ? SVL_OK
                   : newer(header, "a section of kind", section->kind);
    if (section->raw_len > BLOCK_STORED_MAX)
        return corrupt(header, "a section is longer than any block");
    if (section->codec == SVL_CODEC_NONE && section->raw_len != section->stored_len)
        return corrupt(header, "a section that is not compressed has two lengths");
    return SVL_OK;
}

/* The sections must fill the block from the header to its end. */
static int decode_table(struct reader *r, size_t len, struct block_header *header)
{
    uint64_t offset = BLOCK_HEADER_BYTES(header->section_count);
    uint32_t kind_before = 0;
    for (uint32_t i = 0; i < header->section_count; i++) {
        struct section *section = &header->sections[i];
        int rc = decode_section(r, header, section);
        if (rc != SVL_OK)
            return rc;
        if (i > 0 && section->kind <= kind_before)
            return corrupt(header, "its sections are not in order");
        kind_before = section->kind;
        section->offset = (uint32_t)offset;
        offset += section->stored_len;
        if (offset > len)
            return corrupt(header, "its sections are longer than the block");
    }
    return offset == len ? SVL_OK : corrupt(header, "there are bytes behind its sections");
}

int svl__block_header_decode(const void *data, size_t len, struct block_header *header)
{
    header->section_count = 0;
    header->zone = (struct zone){ 0 };
    const uint8_t *bytes = data;
    if (len < BLOCK_HEADER_BYTES(0) || load_u32(bytes) != BLOCK_MAGIC)
        return svl__fail(SVL_E_CORRUPT, "%zu bytes that are not a block", len);
    uint32_t sections = load_u16(bytes + 6);
    size_t header_len = BLOCK_HEADER_BYTES(sections);
    if (header_len > len || load_u64(bytes + header_len - BLOCK_SUM_BYTES) !=
                                svl__checksum(bytes, header_len - BLOCK_SUM_BYTES))
        return svl__fail(SVL_E_CORRUPT, "a block of %zu bytes: the checksum of its header", len);
    if (load_u16(bytes + 4) != BLOCK_VERSION)
        return newer(header, "format version", load_u16(bytes + 4));
    if (load_u32(bytes + 8) & ~BLOCK_INCOMPATIBLE_KNOWN)
        return newer(header, "incompatible features", load_u32(bytes + 8));
    if (sections > BLOCK_SECTIONS_MAX)
        return newer(header, "number of sections", sections);
    int rc = svl__zone_decode(bytes + BLOCK_ZONE_AT, ZONE_BYTES, &header->zone);
    if (rc != SVL_OK)
        return rc;
    if (header->zone.stored_bytes != len)
        return corrupt(header, "it is longer or shorter than its zone says");
    header->section_count = sections;
    struct reader r = reader_of(bytes + BLOCK_TABLE_AT, (size_t)BLOCK_SECTION_BYTES * sections);
    return decode_table(&r, len, header);
}
