/* journal_format - the bytes of a journal file. Little-endian.
 *
 * Page 0, the file header; written and flushed before the first batch that counts lies behind it:
 *
 *   offset  bytes  what
 *   0       8      magic "SVLJRNL1"
 *   8       4      format version, 1
 *   12      4      compatible feature flags: may be unknown
 *   16      4      incompatible feature flags: unknown ones make the file unreadable
 *   20      4      page size, 4096
 *   24      16     store uuid
 *   40      8      file number in the log, from 1; 0: not part of it (a recovery that is not done)
 *   48      8      salt, random
 *   56      8      sequence of the first batch in this file: earlier files count only up to it
 *   64      8      header checksum of the batch before that one; 0 = none
 *   72      8      salt of the file before; 0 = none
 *   80      8      durable_seq: every batch up to it was flushed when this was written
 *   88      8      size of the file: a shorter one has lost its end
 *   96      8      XXH3-64 of bytes 0 to 95
 *
 * From page 1 on, batches, each at a multiple of the page size, in sequence:
 *
 *   0       4      magic "SVLB"
 *   4       4      header length h: these bytes with both tables
 *   8       8      salt of the file
 *   16      8      sequence, from 1, without a gap over all files
 *   24      8      header checksum of the batch before; 0 = none
 *   32      8      durable_seq
 *   40      8      first record id
 *   48      8      records
 *   56      8      number of the last operation
 *   64      8      ingest time
 *   72      8      length of everything, unpadded
 *   80      4      rings r
 *   84      4      sections s
 *   88      8      XXH3-64 of the sections: each seeded with that of the one before, the first with the salt
 *   96      8      header checksum: XXH3-64 of bytes 104 to h - 1, seeded with that of bytes 0 to 95, seeded with the
 *                  salt
 *   104     24 r   ring uuid (16), position (8)
 *           16 s   section kind (4), count (4), length (8)
 *   h              the sections, back to back */
#ifndef SVL_STORE_JOURNAL_FORMAT_H
#define SVL_STORE_JOURNAL_FORMAT_H

#include "base/checksum.h"
#include "journal.h"

#define JOURNAL_MAGIC UINT64_C(0x314c4e524a4c5653) /* "SVLJRNL1" */
#define JOURNAL_VERSION 1
#define JOURNAL_FILE_HEADER_BYTES 104
#define JOURNAL_NUMBER_MAX                                                                         \
    (UINT64_C(1) << 62) /* of files and batches: there is always a next one */
#define JOURNAL_BATCH_MAGIC UINT32_C(0x424c5653) /* "SVLB" */
#define JOURNAL_BATCH_HEADER_BYTES 104
#define JOURNAL_BATCH_HEADER_MAX                                                                   \
    (JOURNAL_BATCH_HEADER_BYTES + 24 * JOURNAL_RINGS_MAX + 16 * JOURNAL_SECTIONS_MAX)
_Static_assert(JOURNAL_BATCH_HEADER_MAX <= JOURNAL_PAGE, "a batch's header lies in one page");

struct journal_file_header {
    uint8_t store_uuid[16];
    uint64_t number;
    uint64_t salt;
    uint64_t first_sequence;
    uint64_t chain;
    uint64_t salt_before;
    uint64_t durable_seq;
    uint64_t size;
};

void svl__journal_file_header_encode(const struct journal_file_header *header,
                                     uint8_t out[JOURNAL_FILE_HEADER_BYTES]);
/* SVL_OK, SVL_E_NOT_FOUND (bare: not a header), SVL_E_VERSION with words. */
int svl__journal_file_header_decode(const uint8_t *in, struct journal_file_header *header);

/* A batch's header as read; tables are decoded apart. */
struct journal_batch_header {
    uint32_t header_len;
    uint32_t ring_count, section_count;
    uint64_t salt, sequence, chain, durable_seq;
    uint64_t first_id, count, last_op;
    int64_t ingest_ns;
    uint64_t length;
    uint64_t payload_checksum;
    uint64_t checksum;
};

/* Encodes header and tables into `out` (JOURNAL_BATCH_HEADER_MAX bytes); returns its length.
 * batch->sequence and the header's chain, salt, durable_seq and payload checksum are the caller's. */
uint32_t svl__journal_batch_encode(const struct journal_batch *batch,
                                   struct journal_batch_header *header, uint8_t *out);
/* Is there a valid header of this salt in the page at `page`? Checks its checksum, not the payload. */
bool svl__journal_batch_decode(const uint8_t *page, size_t len, uint64_t salt,
                               struct journal_batch_header *header);
/* Seeded checksum over several sections. */
uint64_t svl__journal_payload_checksum(const struct journal_section *sections, uint32_t n,
                                       uint64_t salt);

#endif
