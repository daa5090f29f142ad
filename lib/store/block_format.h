/* block_format.h - the bytes of a block. Little-endian, no padding, nothing behind the last section:
 *
 *   offset      bytes  what
 *   0           4      magic "SVLB"
 *   4           2      format version, 1
 *   6           2      n = number of sections
 *   8           4      incompatible features: an unknown bit makes the block unreadable
 *   12          4      compatible features: an unknown bit may be ignored
 *   16          72     the zone, as in the zones table (zone.c)
 *   88          24 n   the section table, by ascending kind
 *   88 + 24 n   8      XXH3-64 of all bytes before
 *   96 + 24 n          the stored bytes of the sections, in the table's order, without gaps
 *
 *   an entry of the section table:
 *   0           2      kind
 *   2           1      encoding: what the raw bytes mean
 *   3           1      codec: SVL_CODEC_*, how the raw bytes are stored
 *   4           4      flags: bit 0 compatible, a reader that does not know the kind may skip it;
 *                      any other bit, or an unknown kind without bit 0, makes the block unreadable
 *   8           4      raw length
 *   12          4      stored length
 *   16          8      XXH3-64 of the stored bytes; 0 for chunks, which have their own
 *
 *   F1  a section is left out where its column is the default: zeros for numbers, one empty name for
 *       names, no keys, no bytes. So a column that no record uses costs nothing.
 *   F2  kinds ascend: no kind is there twice.
 *   F3  a new encoding of a known kind gets a new encoding id; a meaning never changes.
 *   F4  magic, version, number of sections and the place of the header's sum are the same in every
 *       version: a reader can tell a newer block from a damaged one.
 *
 * Raw bytes by encoding, for the block's `count` records:
 *
 *   CONSTANT   one varint, the value of every record
 *   BYTES1     count x u8
 *   BYTES2     count x u16
 *   BYTES4     count x u32
 *   VARINT     count varints
 *   DELTA      unit varint, then count zigzag varints: (value - value before) / unit, from 0
 *   RUNS       until count records are covered: zigzag varint of value - value before, varint length
 *   NAMES      n varint, n varint lengths, then the names' bytes; in order of first use
 *   KEYS       n varint, u8 width of a length (1 or 2), n lengths of what a key shares with the one
 *              before (all that is equal), n lengths of what follows, then the bytes that follow;
 *              ascending, distinct
 *   CHUNKS     chunks one behind the other, each compressed by itself; raw bytes are the records' bytes
 *              in record order, and a record is never in two chunks
 *   TABLE      for each chunk: varint records in it, varint stored length, u8 codec, u64 XXH3-64 of its
 *              stored bytes; a chunk's raw length is the sum of its records' lengths */
#ifndef SVL_STORE_BLOCK_FORMAT_H
#define SVL_STORE_BLOCK_FORMAT_H

#include <serverlog/store.h>

#include "block.h"

#define BLOCK_MAGIC UINT32_C(0x424c5653)
#define BLOCK_VERSION 1
#define BLOCK_INCOMPATIBLE_KNOWN UINT32_C(0)

#define BLOCK_ZONE_AT 16
#define BLOCK_TABLE_AT (BLOCK_ZONE_AT + ZONE_BYTES)
#define BLOCK_SECTION_BYTES 24
#define BLOCK_SUM_BYTES 8
#define BLOCK_SECTIONS_MAX 64
#define BLOCK_HEADER_BYTES(sections)                                                               \
    ((size_t)BLOCK_TABLE_AT + (size_t)BLOCK_SECTION_BYTES * (sections) + BLOCK_SUM_BYTES)

/* What columns and tables take at most besides the records' own bytes: 64 a record, and the header. */
#define BLOCK_STORED_MAX                                                                           \
    (BLOCK_RAW_MAX + UINT64_C(64) * BLOCK_RECORDS_MAX + BLOCK_HEADER_BYTES(BLOCK_SECTIONS_MAX))
_Static_assert(BLOCK_STORED_MAX <= UINT32_MAX, "offsets and lengths in a block are 32 bits");

/* Pinned, never reused. */
enum section_kind {
    SECTION_TIMES = 1,
    SECTION_INGEST = 2,
    SECTION_SEVERITIES = 3,
    SECTION_BODY_KINDS = 4,
    SECTION_FLAGS = 5,
    SECTION_SOURCE_NAMES = 6,
    SECTION_SOURCES = 7, /* index into the names */
    SECTION_TYPE_NAMES = 8,
    SECTION_TYPES = 9,
    SECTION_KEY_NAMES = 10,
    SECTION_KEYS = 11, /* 0: no key; else 1 + index into the names */
    SECTION_ATTRIBUTE_COUNTS = 12,
    SECTION_ATTRIBUTE_LENGTHS = 13, /* of a record's encoded attributes, see record/wire.c */
    SECTION_ATTRIBUTES = 14,
    SECTION_ATTRIBUTE_CHUNKS = 15,
    SECTION_BODY_LENGTHS = 16,
    SECTION_BODIES = 17,
    SECTION_BODY_CHUNKS = 18,
    SECTION_KINDS_END
};

enum section_encoding {
    ENCODING_CONSTANT = 1,
    ENCODING_BYTES1 = 2,
    ENCODING_BYTES2 = 3,
    ENCODING_BYTES4 = 4,
    ENCODING_VARINT = 5,
    ENCODING_DELTA = 6,
    ENCODING_RUNS = 7,
    ENCODING_NAMES = 8,
    ENCODING_KEYS = 9,
    ENCODING_CHUNKS = 10,
    ENCODING_TABLE = 11
};

enum section_flag { SECTION_COMPATIBLE = 1 };

/* A row of the section table, and where its stored bytes are in the block. */
struct section {
    uint16_t kind;
    uint8_t encoding;
    uint8_t codec;
    uint32_t flags;
    uint32_t raw_len;
    uint32_t stored_len;
    uint64_t checksum;
    uint32_t offset;
};

struct block_header {
    struct zone zone;
    uint32_t section_count;
    struct section sections[BLOCK_SECTIONS_MAX];
};

/* block_header.c. Writes BLOCK_HEADER_BYTES(section_count). */
void svl__block_header_encode(const struct block_header *header, uint8_t *out);
/* Checks everything that can be told without the sections' bytes. SVL_E_CORRUPT, SVL_E_VERSION. */
int svl__block_header_decode(const void *data, size_t len, struct block_header *header);

#endif
