/* journal.c - any bytes as the journal file of a store that holds nothing else: read by another process, recovered,
 * read, gone on with, and opened again. What was shown once stays, byte for byte.
 *
 * The input is a byte of switches and a sparse file (sparse.h). Unless told not to, the headers' and batches' checksums
 * are made right, and what names its neighbours: salt, chain, the store's uuid. */
#include <serverlog/store.h>
#include <string.h>

#include "forge.h"
#include "fuzz.h"
#include "place.h"
#include "sparse.h"
#include "store/journal_format.h"

enum {
    AS_IS = 1, /* nothing is made right */
    READ_FIRST =
        2, /* by another process: slow where it meets damage, which may be a write under way */
};

#define FILE_MAX (64 << 10)
#define NAME "journal.1"

static uint8_t file[FILE_MAX];

static void forge_header(uint8_t *header)
{
    memcpy(header + 24, place_uuid, sizeof place_uuid);
    store_u64(header + 96, svl__checksum(header, 96));
}

/* The batch in `page`, whose payload ends before `left`: its header's length and sums. */
static void forge_batch(uint8_t *page, size_t left, uint64_t salt, uint64_t chain)
{
    struct journal_batch_header header = { .salt = salt,
                                           .chain = chain,
                                           .durable_seq = load_u64(page + 32) };
    uint32_t rings = load_u32(page + 80), sections = load_u32(page + 84);
    if (rings > JOURNAL_RINGS_MAX || sections > JOURNAL_SECTIONS_MAX)
        return;
    static struct ring_position positions[JOURNAL_RINGS_MAX];
    static struct journal_section list[JOURNAL_SECTIONS_MAX];
    static uint8_t bytes[JOURNAL_BATCH_HEADER_MAX];
    const uint8_t *p = page + JOURNAL_BATCH_HEADER_BYTES;
    for (uint32_t i = 0; i < rings; i++, p += 24) {
        memcpy(positions[i].uuid, p, 16);
        positions[i].position = load_u64(p + 16);
    }
    size_t at = JOURNAL_BATCH_HEADER_BYTES + 24 * (size_t)rings + 16 * (size_t)sections;
    for (uint32_t i = 0; i < sections; i++, p += 16) {
        list[i] =
            (struct journal_section){ load_u32(p), load_u32(p + 4), page + at, load_u64(p + 8) };
        if (at > left || list[i].len > left - at)
            return; /* it lies about its length: left as it is */
        if (list[i].kind == JOURNAL_BLOCK)
            forge_block(page + at, list[i].len);
        at += list[i].len;
    }
    struct journal_batch batch = { .sequence = load_u64(page + 16),
                                   .first_id = load_u64(page + 40),
                                   .count = load_u64(page + 48),
                                   .last_op = load_u64(page + 56),
                                   .ingest_ns = (int64_t)load_u64(page + 64),
                                   .rings = positions,
                                   .ring_count = rings,
                                   .section_count = sections,
                                   .sections = list };
    header.payload_checksum = svl__journal_payload_checksum(list, sections, salt);
    uint32_t len = svl__journal_batch_encode(&batch, &header, bytes);
    memcpy(page, bytes, len);
}

static void forge_file(size_t size)
{
    if (size < 2 * JOURNAL_PAGE)
        return;
    uint64_t salt = load_u64(file + 48), chain = load_u64(file + 64);
    forge_header(file);
    for (size_t at = JOURNAL_PAGE; at + JOURNAL_PAGE <= size; at += JOURNAL_PAGE) {
        if (load_u32(file + at) != JOURNAL_BATCH_MAGIC)
            continue;
        forge_batch(file + at, size - at, salt, chain);
        chain = load_u64(file + at + 96);
    }
}

static int open_store(uint32_t flags, svl_store **out)
{
    svl_store_options options;
    MUST(svl_store_options_init(&options, sizeof options) == SVL_OK);
    options.flags = flags;
    options.block_bytes = 4096; /* what is recovered is encoded on the way */
    options.journal_file_bytes_max = 256 << 10;
    return place_must_be_said(svl_store_open(place_store(), &options, out));
}

static void read_by_another(struct reading *seen)
{
    svl_store *store;
    *seen = (struct reading){ 0 };
    if (open_store(SVL_STORE_READ_ONLY, &store) != SVL_OK)
        return;
    place_query(store, NULL, seen);
    MUST(svl_store_close(store) == SVL_OK);
}

/* Behind what was recovered comes what is appended, and perhaps a record of the store's own that the clock was set. */
static void append_behind(svl_store *store, const struct reading *recovered)
{
    svl_record record = { .body = { "behind", 6 } };
    uint64_t id;
    MUST(svl_store_append(store, &record, 1, &id) == SVL_OK);
    MUST(id == recovered->last_id + 1 || id == recovered->last_id + 2);
}

static void must_go_on(const struct reading *seen)
{
    svl_store *store;
    struct reading first, again;
    if (open_store(0, &store) != SVL_OK)
        return;
    place_query(store, NULL, &first);
    MUST(first.damaged == 0 && first.records == first.last_id && first.records >= seen->records);
    MUST(svl_store_verify(store, NULL, NULL, NULL) == SVL_OK);
    append_behind(store, &first);
    place_query(store, NULL, &first);
    MUST(first.damaged == 0 && first.records == first.last_id);
    MUST(svl_store_close(store) == SVL_OK);

    svl_query query;
    MUST(svl_query_init(&query, sizeof query) == SVL_OK);
    query.limit = first.records;
    MUST(open_store(0, &store) == SVL_OK);
    place_query(store, &query, &again);
    MUST(again.records == first.records && again.digest == first.digest);
    MUST(svl_store_close(store) == SVL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct place_catalog catalog;
    if (len == 0)
        return 0;
    if (!catalog.data)
        place_catalog_make(&catalog, NULL, NULL, 1);
    size_t size = sparse_unpack(data + 1, len - 1, file, sizeof file);
    if (!(data[0] & AS_IS))
        forge_file(size);
    place_begin(&catalog);
    place_write(place_store(), NAME, file, size);
    struct reading seen = { 0 };
    if (data[0] & READ_FIRST)
        read_by_another(&seen);
    must_go_on(&seen);
    return 0;
}
