/* journal_format.c - headers of journal files and batches, as bytes. */
#include "journal_format.h"

#include <string.h>

#include "base/bytes.h"

void svl__journal_file_header_encode(const struct journal_file_header *header,
                                     uint8_t out[JOURNAL_FILE_HEADER_BYTES])
{
    memset(out, 0, JOURNAL_FILE_HEADER_BYTES);
    store_u64(out, JOURNAL_MAGIC);
    store_u32(out + 8, JOURNAL_VERSION);
    store_u32(out + 20, JOURNAL_PAGE);
    memcpy(out + 24, header->store_uuid, 16);
    store_u64(out + 40, header->number);
    store_u64(out + 48, header->salt);
    store_u64(out + 56, header->first_sequence);
    store_u64(out + 64, header->chain);
    store_u64(out + 72, header->salt_before);
    store_u64(out + 80, header->durable_seq);
    store_u64(out + 88, header->size);
    store_u64(out + 96, svl__checksum(out, 96));
}

int svl__journal_file_header_decode(const uint8_t *in, struct journal_file_header *header)
{
    if (load_u64(in) != JOURNAL_MAGIC || load_u64(in + 96) != svl__checksum(in, 96))
        return SVL_E_NOT_FOUND;
    if (load_u32(in + 8) != JOURNAL_VERSION || load_u32(in + 16) != 0 ||
        load_u32(in + 20) != JOURNAL_PAGE)
        return svl__fail(SVL_E_VERSION, "a journal of version %u with features %#x",
                         load_u32(in + 8), load_u32(in + 16));
    memcpy(header->store_uuid, in + 24, 16);
    header->number = load_u64(in + 40);
    header->salt = load_u64(in + 48);
    header->first_sequence = load_u64(in + 56);
    header->chain = load_u64(in + 64);
    header->salt_before = load_u64(in + 72);
    header->durable_seq = load_u64(in + 80);
    header->size = load_u64(in + 88);
    if (header->number > JOURNAL_NUMBER_MAX || header->first_sequence == 0 ||
        header->first_sequence > JOURNAL_NUMBER_MAX)
        return SVL_E_NOT_FOUND;
    return SVL_OK;
}

/* Over the header without its own field: two parts, chained by the seed. */
static uint64_t header_checksum(const uint8_t *header, uint32_t len, uint64_t salt)
{
    uint64_t first = svl__checksum_seeded(header, 96, salt);
    return svl__checksum_seeded(header + JOURNAL_BATCH_HEADER_BYTES,
                                len - JOURNAL_BATCH_HEADER_BYTES, first);
}

uint64_t svl__journal_payload_checksum(const struct journal_section *sections, uint32_t n,
                                       uint64_t salt)
{
    uint64_t sum = salt;
    for (uint32_t i = 0; i < n; i++)
        sum = svl__checksum_seeded(sections[i].data, sections[i].len, sum);
    return sum;
}

uint32_t svl__journal_batch_encode(const struct journal_batch *batch,
                                   struct journal_batch_header *header, uint8_t *out)
{
    uint8_t *p = out + JOURNAL_BATCH_HEADER_BYTES;
    uint64_t payload = 0;
    for (uint32_t i = 0; i < batch->ring_count; i++, p += 24) {
        memcpy(p, batch->rings[i].uuid, 16);
        store_u64(p + 16, batch->rings[i].position);
    }
    for (uint32_t i = 0; i < batch->section_count; i++, p += 16) {
        store_u32(p, batch->sections[i].kind);
        store_u32(p + 4, batch->sections[i].count);
        store_u64(p + 8, batch->sections[i].len);
        payload += batch->sections[i].len;
    }
    header->header_len = (uint32_t)(p - out);
    header->length = header->header_len + payload;
    store_u32(out, JOURNAL_BATCH_MAGIC);
    store_u32(out + 4, header->header_len);
    store_u64(out + 8, header->salt);
    store_u64(out + 16, batch->sequence);
    store_u64(out + 24, header->chain);
    store_u64(out + 32, header->durable_seq);
    store_u64(out + 40, batch->first_id);
    store_u64(out + 48, batch->count);
    store_u64(out + 56, batch->last_op);
    store_u64(out + 64, (uint64_t)batch->ingest_ns);
    store_u64(out + 72, header->length);
    store_u32(out + 80, batch->ring_count);
    store_u32(out + 84, batch->section_count);
    store_u64(out + 88, header->payload_checksum);
    header->checksum = header_checksum(out, header->header_len, header->salt);
    store_u64(out + 96, header->checksum);
    return header->header_len;
}

bool svl__journal_batch_decode(const uint8_t *page, size_t len, uint64_t salt,
                               struct journal_batch_header *header)
{
    if (len < JOURNAL_BATCH_HEADER_BYTES || load_u32(page) != JOURNAL_BATCH_MAGIC ||
        load_u64(page + 8) != salt)
        return false;
    *header = (struct journal_batch_header){
        .header_len = load_u32(page + 4),
        .salt = salt,
        .sequence = load_u64(page + 16),
        .chain = load_u64(page + 24),
        .durable_seq = load_u64(page + 32),
        .first_id = load_u64(page + 40),
        .count = load_u64(page + 48),
        .last_op = load_u64(page + 56),
        .ingest_ns = (int64_t)load_u64(page + 64),
        .length = load_u64(page + 72),
        .ring_count = load_u32(page + 80),
        .section_count = load_u32(page + 84),
        .payload_checksum = load_u64(page + 88),
        .checksum = load_u64(page + 96),
    };
    if (header->ring_count > JOURNAL_RINGS_MAX || header->section_count > JOURNAL_SECTIONS_MAX ||
        header->header_len !=
            JOURNAL_BATCH_HEADER_BYTES + 24 * header->ring_count + 16 * header->section_count ||
        header->header_len > len || header->length < header->header_len)
        return false;
    return header->checksum == header_checksum(page, header->header_len, salt);
}
