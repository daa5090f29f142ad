/* block_verify.c - is a block what its writer would have written?
 *
 * Reading checks what reading relies on. This also checks what a query takes on trust when it
 * skips: the zone, that no name is in a dictionary twice or for nothing, and the sections that
 * were not needed. */
#include <serverlog/store.h>

#include "base/checksum.h"
#include "base/error.h"
#include "block_format.h"
#include "keyset.h"
#include "space.h"

static int wrong(const struct zone *zone, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "block of record %llu: %s", (unsigned long long)zone->first_id,
                     what);
}

/* Also the sums of sections that this version does not know. */
static int verify_sums(const uint8_t *data, size_t len)
{
    struct block_header header;
    int rc = svl__block_header_decode(data, len, &header);
    for (uint32_t i = 0; rc == SVL_OK && i < header.section_count; i++) {
        const struct section *section = &header.sections[i];
        uint64_t sum = section->encoding == ENCODING_CHUNKS
                           ? 0
                           : svl__checksum(data + section->offset, section->stored_len);
        if (sum != section->checksum)
            rc = wrong(&header.zone, "the checksum of a section");
    }
    return rc;
}

/* Every record, decoded, added up to what the zone must say. */
static int add_up(struct block_reader *reader, svl_attribute *attributes, struct zone *sum)
{
    const struct zone *zone = svl__block_reader_zone(reader);
    *sum = (struct zone){ .first_id = zone->first_id,
                          .count = zone->count,
                          .time_min_ns = INT64_MAX,
                          .time_max_ns = INT64_MIN,
                          .ingest_min_ns = INT64_MAX,
                          .ingest_max_ns = INT64_MIN };
    for (uint32_t i = 0; i < zone->count; i++) {
        svl_record record;
        int rc = svl__block_reader_record(reader, i, attributes, &record);
        if (rc != SVL_OK)
            return rc;
        if (record.time_ns < sum->time_min_ns)
            sum->time_min_ns = record.time_ns;
        if (record.time_ns > sum->time_max_ns)
            sum->time_max_ns = record.time_ns;
        if (record.ingest_ns < sum->ingest_min_ns)
            sum->ingest_min_ns = record.ingest_ns;
        if (record.ingest_ns > sum->ingest_max_ns)
            sum->ingest_max_ns = record.ingest_ns;
        sum->severity_mask |= UINT32_C(1) << record.severity;
        sum->raw_bytes += svl__wire_size(&record);
    }
    return SVL_OK;
}

static int verify_zone(struct block_reader *reader)
{
    const struct zone *zone = svl__block_reader_zone(reader);
    svl_attribute *attributes = svl__malloc(RECORD_ATTRIBUTES_MAX * sizeof *attributes);
    if (!attributes)
        return SVL_E_NOMEM;
    struct zone sum;
    int rc = add_up(reader, attributes, &sum);
    svl__free(attributes);
    if (rc != SVL_OK)
        return rc;
    bool same = sum.time_min_ns == zone->time_min_ns && sum.time_max_ns == zone->time_max_ns &&
                sum.ingest_min_ns == zone->ingest_min_ns &&
                sum.ingest_max_ns == zone->ingest_max_ns &&
                sum.severity_mask == zone->severity_mask && sum.raw_bytes == zone->raw_bytes;
    return same ? SVL_OK : wrong(zone, "its zone is not what its records say");
}

/* Each name once, and each used by a record; `n` is at most the number of records. */
static int verify_names(const struct zone *zone, const uint32_t *index, const svl_slice *names,
                        uint32_t n)
{
    struct sorted_key *sorted = svl__malloc(2 * sizeof *sorted * n);
    bool *used = svl__calloc(n, sizeof *used);
    int rc = sorted && used ? SVL_OK : SVL_E_NOMEM;
    for (uint32_t i = 0; rc == SVL_OK && i < zone->count; i++)
        if (index[i] != UINT32_MAX)
            used[index[i]] = true;
    for (uint32_t i = 0; rc == SVL_OK && i < n; i++) {
        sorted[i] = (struct sorted_key){ .key = names[i], .number = i };
        if (!used[i])
            rc = wrong(zone, "a name that no record uses");
    }
    if (rc == SVL_OK)
        svl__key_sort(sorted, sorted + n, n);
    for (uint32_t i = 1; rc == SVL_OK && i < n; i++)
        if (svl__key_compare(sorted[i - 1].key, sorted[i].key) == 0)
            rc = wrong(zone, "a name that is in its dictionary twice");
    svl__free(used);
    svl__free(sorted);
    return rc;
}

typedef int column_fn(struct block_reader *, const uint32_t **, const svl_slice **, uint32_t *);

static int verify_dictionaries(struct block_reader *reader)
{
    static column_fn *const columns[] = { svl__block_reader_sources, svl__block_reader_types,
                                          svl__block_reader_keys };
    int rc = SVL_OK;
    for (size_t c = 0; rc == SVL_OK && c < sizeof columns / sizeof columns[0]; c++) {
        const uint32_t *index;
        const svl_slice *names;
        uint32_t n;
        rc = columns[c](reader, &index, &names, &n);
        if (rc == SVL_OK)
            rc = verify_names(svl__block_reader_zone(reader), index, names, n);
    }
    return rc;
}

int svl__block_verify(struct block_reader *reader, const void *data, size_t len)
{
    int rc = svl__block_reader_load(reader, data, len);
    if (rc == SVL_OK)
        rc = verify_sums(data, len);
    if (rc == SVL_OK)
        rc = verify_zone(reader);
    if (rc == SVL_OK)
        rc = verify_dictionaries(reader);
    return rc;
}
