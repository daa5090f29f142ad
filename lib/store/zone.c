/* zone.c - the summary of a block. Little-endian:
 *
 *   offset  bytes  what
 *   0       8      first record id
 *   8       4      number of records
 *   12      4      severity mask
 *   16      8, 8   smallest and largest time
 *   32      8, 8   smallest and largest ingest time
 *   48      8      wire bytes of the records
 *   56      8      bytes of the encoded block
 *   64      4      distinct keys
 *   68      4      flags, zero */
#include "base/bytes.h"
#include "base/error.h"
#include "block_format.h"

_Static_assert(ZONE_BYTES == 72, "the table above");
_Static_assert(SVL_SEVERITY_MAX < 32, "severities are bits of a mask");

#define SEVERITY_MASK_ALL ((UINT32_C(1) << (SVL_SEVERITY_MAX + 1)) - 1)

void svl__zone_encode(const struct zone *zone, uint8_t out[ZONE_BYTES])
{
    store_u64(out, zone->first_id);
    store_u32(out + 8, zone->count);
    store_u32(out + 12, zone->severity_mask);
    store_u64(out + 16, (uint64_t)zone->time_min_ns);
    store_u64(out + 24, (uint64_t)zone->time_max_ns);
    store_u64(out + 32, (uint64_t)zone->ingest_min_ns);
    store_u64(out + 40, (uint64_t)zone->ingest_max_ns);
    store_u64(out + 48, zone->raw_bytes);
    store_u64(out + 56, zone->stored_bytes);
    store_u32(out + 64, zone->keys);
    store_u32(out + 68, zone->flags);
}

bool svl__zone_equal(const struct zone *a, const struct zone *b)
{
    uint8_t x[ZONE_BYTES], y[ZONE_BYTES];
    svl__zone_encode(a, x);
    svl__zone_encode(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static bool is_possible(const struct zone *zone)
{
    return zone->count > 0 && zone->count <= BLOCK_RECORDS_MAX && zone->first_id > 0 &&
           zone->first_id <= UINT64_MAX - zone->count && zone->severity_mask != 0 &&
           (zone->severity_mask & ~SEVERITY_MASK_ALL) == 0 &&
           zone->time_min_ns <= zone->time_max_ns && zone->ingest_min_ns <= zone->ingest_max_ns &&
           zone->raw_bytes >= (uint64_t)zone->count * WIRE_HEADER_BYTES &&
           zone->raw_bytes <= BLOCK_RAW_MAX && zone->stored_bytes >= BLOCK_HEADER_BYTES(0) &&
           zone->stored_bytes <= BLOCK_STORED_MAX && zone->keys <= zone->count && zone->flags == 0;
}

int svl__zone_decode(const void *data, size_t len, struct zone *zone)
{
    *zone = (struct zone){ 0 };
    struct reader r = reader_of(data, len);
    struct zone z = { .first_id = read_u64(&r),
                      .count = read_u32(&r),
                      .severity_mask = read_u32(&r),
                      .time_min_ns = (int64_t)read_u64(&r),
                      .time_max_ns = (int64_t)read_u64(&r),
                      .ingest_min_ns = (int64_t)read_u64(&r),
                      .ingest_max_ns = (int64_t)read_u64(&r),
                      .raw_bytes = read_u64(&r),
                      .stored_bytes = read_u64(&r),
                      .keys = read_u32(&r),
                      .flags = read_u32(&r) };
    if (r.failed || reader_left(&r) != 0 || !is_possible(&z))
        return svl__fail(SVL_E_CORRUPT, "a zone of %zu bytes for records from %llu", len,
                         (unsigned long long)z.first_id);
    *zone = z;
    return SVL_OK;
}
