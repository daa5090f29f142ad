/* Blocks whose every checksum is right and whose contents are not: made by hand, section by
 * section. */
#include "base/alloc.h"
#include "base/checksum.h"
#include "forgery.h"
#include "store/chunks.h"

static struct block_reader *reader;

static void replace(struct forgery *f, unsigned kind, uint8_t encoding, const void *raw, size_t len)
{
    replace_stored(f, kind, encoding, SVL_CODEC_NONE, raw, len, (uint32_t)len);
}

/* Four records, each with another source, type, key and body; nothing is compressed. */
static struct block *four_records(void)
{
    struct records records = { .first_id = 1 };
    static const char *const names[] = { "ab", "b", "cde", "d" };
    for (uint32_t i = 0; i < 4; i++) {
        svl_attribute attribute = { .kind = SVL_ATTRIBUTE_I64, .name = words("n"), .i64 = i };
        svl_record record = { .time_ns = 10 + (int64_t)i,
                              .severity = i,
                              .body_kind = SVL_BODY_JSON,
                              .source = words(names[i]),
                              .type = words(names[3 - i]),
                              .key = words(names[i]),
                              .body = words(names[i]),
                              .attributes = &attribute,
                              .attribute_count = i % 2 };
        records_add(&records, &record, 5);
    }
    struct block *block = block_of(SVL_CODEC_NONE, &records);
    assert_holds(block, &records);
    records_free(&records);
    return block;
}

/* Verifying gives `rc`; reading all of it in any way is safe. */
static void assert_found_out(struct forgery *f, int rc)
{
    put_together(f);
    assert_int_equal(svl__block_verify(reader, f->bytes, f->len), rc);
    if (svl__block_reader_load(reader, f->bytes, f->len) != SVL_OK)
        return;
    for (uint32_t i = 0; i < f->header.zone.count; i++) {
        svl_record record;
        (void)svl__block_reader_record(reader, i, read_attributes, &record);
    }
}

/* The bytes of an initialiser and their number. */
#define BYTES(...) { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void test_section_when_it_lies_then_verify_finds_out(void **state)
{
    (void)state;
    static const struct {
        unsigned kind;
        uint8_t encoding;
        uint8_t raw[24];
        size_t len;
        int rc;
    } lies[] = {
        { SECTION_TIMES, ENCODING_DELTA, BYTES(1, 20, 2, 2), SVL_E_CORRUPT },
        { SECTION_TIMES, ENCODING_DELTA, BYTES(1, 20, 2, 2, 2, 2), SVL_E_CORRUPT },
        { SECTION_TIMES, ENCODING_DELTA, BYTES(1, 20, 2, 2, 4), SVL_E_CORRUPT },
        { SECTION_TIMES, ENCODING_DELTA, BYTES(0, 20, 2, 2, 2), SVL_E_CORRUPT },
        { SECTION_TIMES, ENCODING_BYTES1, BYTES(1, 2, 3, 4), SVL_E_VERSION },
        { SECTION_TIMES, 77, BYTES(1), SVL_E_VERSION },
        { SECTION_INGEST, ENCODING_RUNS, BYTES(10, 5), SVL_E_CORRUPT },
        { SECTION_INGEST, ENCODING_RUNS, BYTES(10, 3), SVL_E_CORRUPT },
        { SECTION_INGEST, ENCODING_RUNS, BYTES(10, 0, 0, 4), SVL_E_CORRUPT },
        { SECTION_INGEST, ENCODING_RUNS, BYTES(12, 4), SVL_E_CORRUPT },
        { SECTION_INGEST, ENCODING_RUNS, BYTES(10, 4, 0), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_BYTES1, BYTES(0, 1, 2), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_BYTES1, BYTES(0, 1, 2, 25), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_BYTES1, BYTES(0, 1, 2, 4), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_CONSTANT, BYTES(9), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_CONSTANT, BYTES(0x80, 2), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_CONSTANT, BYTES(1, 1), SVL_E_CORRUPT },
        { SECTION_SEVERITIES, ENCODING_VARINT, BYTES(0, 1, 2, 3), SVL_E_VERSION },
        { SECTION_BODY_KINDS, ENCODING_BYTES2, BYTES(0, 0, 0, 0, 0, 0, 0, 0), SVL_E_VERSION },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES, BYTES(0), SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES, BYTES(5, 0, 0, 0, 0, 0), SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES, BYTES(4, 2, 1, 3, 2, 'a', 'b', 'b'),
          SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES, BYTES(2, 2, 1, 'a', 'b', 'b'), SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES,
          BYTES(4, 2, 2, 2, 1, 'a', 'b', 'a', 'b', 'c', 'd', 'e'), SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_NAMES, BYTES(4, 0x80, 2, 1, 3, 1), SVL_E_CORRUPT },
        { SECTION_SOURCE_NAMES, ENCODING_KEYS, BYTES(1, 0, 0), SVL_E_VERSION },
        { SECTION_SOURCES, ENCODING_BYTES1, BYTES(0, 1, 2, 4), SVL_E_CORRUPT },
        { SECTION_SOURCES, ENCODING_BYTES1, BYTES(0, 1, 2, 2), SVL_E_CORRUPT },
        { SECTION_SOURCES, ENCODING_CONSTANT, BYTES(0xff, 0xff, 0xff, 0xff, 0x1f), SVL_E_CORRUPT },
        { SECTION_SOURCES, ENCODING_BYTES2, BYTES(0, 0, 1, 0, 2, 0, 3), SVL_E_CORRUPT },
        { SECTION_SOURCES, ENCODING_BYTES4, BYTES(0, 0, 0, 0), SVL_E_CORRUPT },
        { SECTION_TYPES, ENCODING_VARINT, BYTES(0, 1, 2), SVL_E_CORRUPT },
        { SECTION_TYPES, ENCODING_VARINT, BYTES(0, 1, 2, 3, 0), SVL_E_CORRUPT },
        { SECTION_TYPES, ENCODING_VARINT, BYTES(0, 1, 2, 0x83, 0x80, 0x80, 0x80, 0x10),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(3, 1, 0, 0, 0, 1, 1, 1, 'a', 'b', 'c'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 1, 0, 0, 0, 0, 1, 1, 1, 1, 'a', 'c', 'b', 'd'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 1, 0, 0, 0, 0, 1, 1, 1, 1, 'a', 'b', 'b', 'd'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 1, 1, 0, 0, 0, 1, 1, 1, 1, 'a', 'b', 'c', 'd'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 1, 0, 1, 0, 0, 1, 0, 1, 1, 'a', 'b', 'c'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 1, 0, 0, 0, 0, 1, 1, 1, 1, 'a', 'b', 'c'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS,
          BYTES(4, 1, 0, 0, 0, 0, 1, 1, 1, 1, 'a', 'b', 'c', 'd', 'e'), SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 3, 0, 0, 0, 0, 1, 1, 1, 1, 'a', 'b', 'c', 'd'),
          SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS, BYTES(4, 0), SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS,
          BYTES(4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xe1, 1, 1, 0, 1, 0, 1, 0, 'a'), SVL_E_CORRUPT },
        { SECTION_KEY_NAMES, ENCODING_KEYS,
          BYTES(4, 1, 0, 0, 0, 0, 2, 2, 1, 1, 'a', 'a', 'a', 'b', 'c', 'd'), SVL_E_CORRUPT },
        { SECTION_KEYS, ENCODING_BYTES1, BYTES(1, 2, 3, 5), SVL_E_CORRUPT },
        { SECTION_KEYS, ENCODING_BYTES1, BYTES(1, 2, 3, 0), SVL_E_CORRUPT },
        { SECTION_ATTRIBUTE_COUNTS, ENCODING_BYTES1, BYTES(0, 1, 0, 2), SVL_E_CORRUPT },
        { SECTION_ATTRIBUTE_COUNTS, ENCODING_BYTES1, BYTES(1, 1, 0, 1), SVL_E_CORRUPT },
        { SECTION_ATTRIBUTE_COUNTS, ENCODING_BYTES1, BYTES(0, 1, 0, 0), SVL_E_CORRUPT },
        { SECTION_ATTRIBUTE_LENGTHS, ENCODING_BYTES1, BYTES(0, 15, 0, 16), SVL_E_CORRUPT },
        { SECTION_BODY_LENGTHS, ENCODING_BYTES1, BYTES(2, 1, 3, 2), SVL_E_CORRUPT },
        { SECTION_BODY_LENGTHS, ENCODING_BYTES1, BYTES(0, 0, 0, 0), SVL_E_CORRUPT },
        { SECTION_BODY_LENGTHS, ENCODING_VARINT,
          BYTES(0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff,
                0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f),
          SVL_E_CORRUPT },
        { SECTION_BODIES, ENCODING_CHUNKS, BYTES('a', 'b'), SVL_E_CORRUPT },
        { SECTION_BODIES, ENCODING_CHUNKS, BYTES('a', 'b', 'b', 'c', 'd', 'e', 'e'),
          SVL_E_CORRUPT },
        { SECTION_BODIES, ENCODING_BYTES1, BYTES('a', 'b', 'b', 'c', 'd', 'e', 'd'),
          SVL_E_VERSION },
        { SECTION_BODY_CHUNKS, ENCODING_TABLE, BYTES(5, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0),
          SVL_E_CORRUPT },
        { SECTION_BODY_CHUNKS, ENCODING_TABLE, BYTES(0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0),
          SVL_E_CORRUPT },
        { SECTION_BODY_CHUNKS, ENCODING_TABLE, BYTES(4, 7, 1, 0, 0, 0, 0, 0, 0, 0), SVL_E_CORRUPT },
        { SECTION_BODY_CHUNKS, ENCODING_TABLE, BYTES(4, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0),
          SVL_E_CORRUPT },
        { SECTION_BODY_CHUNKS, ENCODING_NAMES, BYTES(4, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0),
          SVL_E_VERSION },
    };
    struct block *block = four_records();
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct forgery f;
        take_apart(block, &f);
        replace(&f, lies[i].kind, lies[i].encoding, lies[i].raw, lies[i].len);
        put_together(&f);
        int rc = svl__block_verify(reader, f.bytes, f.len);
        if (rc != lies[i].rc)
            fail_msg("lie %zu (section %u): %d", i, lies[i].kind, rc);
        assert_found_out(&f, lies[i].rc);
        throw_away(&f);
    }
    svl__block_release(block);
}

/* As a query reads them: verify would find the name that is not used. */
static void test_index_when_just_past_its_dictionary_then_no_column(void **state)
{
    (void)state;
    static const uint8_t past_names[] = { 0, 1, 2, 4 }, past_keys[] = { 1, 2, 3, 5 };
    const uint32_t *index;
    const svl_slice *names;
    uint32_t n;
    struct block *block = four_records();
    struct forgery f;
    take_apart(block, &f);
    replace(&f, SECTION_SOURCES, ENCODING_BYTES1, past_names, sizeof past_names);
    replace(&f, SECTION_TYPES, ENCODING_BYTES1, past_names, sizeof past_names);
    replace(&f, SECTION_KEYS, ENCODING_BYTES1, past_keys, sizeof past_keys);
    put_together(&f);
    assert_int_equal(svl__block_reader_load(reader, f.bytes, f.len), SVL_OK);
    assert_int_equal(svl__block_reader_sources(reader, &index, &names, &n), SVL_E_CORRUPT);
    assert_int_equal(svl__block_reader_types(reader, &index, &names, &n), SVL_E_CORRUPT);
    assert_int_equal(svl__block_reader_keys(reader, &index, &names, &n), SVL_E_CORRUPT);
    throw_away(&f);
    svl__block_release(block);
}

static void put_entry(struct buffer *table, uint64_t records)
{
    uint8_t entry[2 + 1 + sizeof(uint64_t)] = { (uint8_t)records, 1 }; /* of one stored byte */
    svl__buffer_append(table, entry, sizeof entry);
}

static void test_chunk_when_it_says_to_hold_more_than_is_left_then_corrupt(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 1, 1, 1 };
    for (uint64_t second = 0; second <= 4; second++) {
        struct chunks chunks = { 0 };
        struct buffer table = { 0 };
        put_entry(&table, 1);
        put_entry(&table, second);
        int rc = svl__chunks_open(&chunks, words("ab"), (svl_slice){ table.data, table.len },
                                  lengths, 3);
        assert_int_equal(rc, second == 2 ? SVL_OK : SVL_E_CORRUPT);
        svl__chunks_free(&chunks);
        svl__buffer_free(&table);
    }
}

static void test_section_when_left_out_then_verify_finds_out(void **state)
{
    (void)state;
    struct block *block = four_records();
    struct forgery f;
    take_apart(block, &f);
    uint32_t count = f.header.section_count;
    throw_away(&f);
    for (uint32_t out = 0; out < count; out++) {
        take_apart(block, &f);
        free(f.stored[out]);
        for (uint32_t i = out; i + 1 < count; i++) {
            f.header.sections[i] = f.header.sections[i + 1];
            f.stored[i] = f.stored[i + 1];
        }
        f.stored[--f.header.section_count] = NULL;
        /* What a body is, is the producer's word: no other section can contradict it. */
        unsigned kind = block->data[BLOCK_TABLE_AT + out * BLOCK_SECTION_BYTES];
        assert_found_out(&f, kind == SECTION_BODY_KINDS ? SVL_OK : SVL_E_CORRUPT);
        throw_away(&f);
    }
    svl__block_release(block);
}

static void test_zone_when_it_lies_then_verify_finds_out(void **state)
{
    (void)state;
    struct block *block = four_records();
    struct zone lies[11];
    const size_t n = sizeof lies / sizeof lies[0];
    for (size_t i = 0; i < n; i++)
        lies[i] = block->zone;
    lies[0].count--;
    lies[1].count++;
    lies[2].severity_mask |= 1 << 20;
    lies[3].severity_mask = 1;
    lies[4].time_min_ns--;
    lies[5].time_max_ns++;
    lies[6].ingest_min_ns--;
    lies[7].ingest_max_ns++;
    lies[8].raw_bytes++;
    lies[9].keys--;
    lies[10].keys = 0;
    for (size_t i = 0; i < n; i++) {
        struct forgery f;
        take_apart(block, &f);
        f.header.zone = lies[i];
        assert_found_out(&f, SVL_E_CORRUPT);
        throw_away(&f);
    }
    svl__block_release(block);
}

/* A length that no decompression will give, or that nobody could want to allocate. */
static void test_lengths_when_they_lie_then_nothing_is_believed(void **state)
{
    (void)state;
    struct records records = { .first_id = 1 };
    for (int i = 0; i < 3000; i++)
        records_add(&records,
                    &(svl_record){ .time_ns = 1 + i,
                                   .severity = (uint32_t)i % 5,
                                   .body = words("the same body again and again") },
                    0);
    static const uint32_t lengths[] = { 0, 1, 2999, 3001, 100000, UINT32_MAX };
    for (uint32_t codec = SVL_CODEC_LZ4; codec <= SVL_CODEC_ZSTD; codec++) {
        if (!svl__codec_is_built(codec))
            continue;
        struct block *block = block_of(codec, &records);
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            struct forgery f;
            take_apart(block, &f);
            struct section *section = &f.header.sections[place_of(&f, SECTION_SEVERITIES)];
            assert_int_equal(section->codec, codec);
            section->raw_len = lengths[l];
            assert_found_out(&f, SVL_E_CORRUPT);
            throw_away(&f);
        }
        svl__block_release(block);
    }
    records_free(&records);
}

static void test_section_when_its_codec_is_unknown_then_says_so(void **state)
{
    (void)state;
    struct block *block = four_records();
    struct forgery f;
    take_apart(block, &f);
    f.header.sections[0].codec = 200;
    assert_found_out(&f, SVL_E_VERSION);
    f.header.sections[0].codec = 0;
    assert_found_out(&f, SVL_E_VERSION);
    throw_away(&f);
    svl__block_release(block);
}

static void test_unknown_section_when_compatible_then_is_skipped(void **state)
{
    (void)state;
    struct block *block = four_records();
    struct forgery f;
    take_apart(block, &f);
    uint32_t i = f.header.section_count++;
    f.header.sections[i] = (struct section){ .kind = 900,
                                             .encoding = 99,
                                             .codec = 77,
                                             .flags = SECTION_COMPATIBLE,
                                             .raw_len = UINT32_MAX,
                                             .stored_len = 5 };
    f.stored[i] = malloc(5);
    assert_non_null(f.stored[i]);
    memcpy(f.stored[i], "later", 5);
    assert_found_out(&f, SVL_OK);
    f.bytes[f.len - 1] ^= 1; /* its sum counts all the same */
    assert_int_equal(svl__block_verify(reader, f.bytes, f.len), SVL_E_CORRUPT);
    f.header.sections[i].flags = 0;
    assert_found_out(&f, SVL_E_VERSION);
    f.header.sections[i].flags = SECTION_COMPATIBLE | 2;
    assert_found_out(&f, SVL_E_VERSION);
    throw_away(&f);
    svl__block_release(block);
}

/* Reads everything in every way; whatever comes of it, nothing may be touched outside. */
static void read_all(const uint8_t *data, size_t len)
{
    if (svl__block_verify(reader, data, len) == SVL_OK ||
        svl__block_reader_load(reader, data, len) != SVL_OK)
        return;
    struct key_set *set;
    if (svl__block_reader_key_set(reader, &set) == SVL_OK)
        svl__key_set_release(set);
    for (uint32_t i = 0; i < svl__block_reader_zone(reader)->count; i++) {
        svl_record record;
        (void)svl__block_reader_record(reader, i, read_attributes, &record);
    }
}

static void test_section_when_any_byte_is_forged_then_reading_is_safe(void **state)
{
    (void)state;
    for (uint32_t codec = SVL_CODEC_NONE; codec <= SVL_CODEC_ZSTD; codec++) {
        if (!svl__codec_is_built(codec))
            continue;
        struct records records = records_any(3, 60, 300);
        struct block *block = block_of(codec, &records);
        struct forgery f;
        take_apart(block, &f);
        for (uint32_t i = 0; i < f.header.section_count; i++) {
            if (f.header.sections[i].encoding == ENCODING_CHUNKS)
                continue;
            for (uint32_t at = 0; at < f.header.sections[i].stored_len; at++) {
                uint8_t kept = f.stored[i][at];
                static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
                f.stored[i][at] = values[chance(sizeof values)];
                put_together(&f);
                read_all(f.bytes, f.len);
                f.stored[i][at] = kept;
            }
        }
        throw_away(&f);
        svl__block_release(block);
        records_free(&records);
    }
}

/* The bytes of the chunks changed, and their sum in the table as well. */
static void forge_chunk(struct forgery *f, uint32_t chunks, uint32_t table, uint32_t at)
{
    uint8_t *stored = f->stored[chunks], kept = stored[at];
    stored[at] ^= (uint8_t)(1 + chance(255));
    size_t sum_at = f->header.sections[table].stored_len - sizeof(uint64_t);
    store_u64(f->stored[table] + sum_at,
              svl__checksum(stored, f->header.sections[chunks].stored_len));
    put_together(f);
    read_all(f->bytes, f->len);
    stored[at] = kept;
}

static void test_chunk_when_any_byte_is_forged_then_reading_is_safe(void **state)
{
    (void)state;
    for (uint32_t codec = SVL_CODEC_NONE; codec <= SVL_CODEC_ZSTD; codec++) {
        if (!svl__codec_is_built(codec))
            continue;
        struct records records = records_any(3, 60, 100); /* one chunk, a table of one entry */
        struct block *block = block_of(codec, &records);
        struct forgery f;
        take_apart(block, &f);
        uint32_t bodies = place_of(&f, SECTION_BODIES);
        uint32_t attributes = place_of(&f, SECTION_ATTRIBUTES);
        for (uint32_t at = 0; at < f.header.sections[bodies].stored_len; at++)
            forge_chunk(&f, bodies, bodies + 1, at);
        for (uint32_t at = 0; at < f.header.sections[attributes].stored_len; at++)
            forge_chunk(&f, attributes, attributes + 1, at);
        throw_away(&f);
        svl__block_release(block);
        records_free(&records);
    }
}

/* A change in the header, its checksum made right again. */
static void assert_header(const struct block *block, size_t at, uint8_t value, int rc)
{
    uint8_t *copy = malloc(block->len);
    assert_non_null(copy);
    memcpy(copy, block->data, block->len);
    copy[at] = value;
    size_t header_len = BLOCK_HEADER_BYTES(load_u16(copy + 6));
    store_u64(copy + header_len - BLOCK_SUM_BYTES,
              svl__checksum(copy, header_len - BLOCK_SUM_BYTES));
    assert_int_equal(svl__block_reader_load(reader, copy, block->len), rc);
    free(copy);
}

static void test_header_when_newer_or_impossible_then_says_which(void **state)
{
    (void)state;
    struct block *block = four_records();
    assert_header(block, 0, 'X', SVL_E_CORRUPT);
    assert_header(block, 4, 2, SVL_E_VERSION);
    assert_header(block, 8, 1, SVL_E_VERSION); /* an incompatible feature */
    assert_header(block, 12, 1, SVL_OK);       /* a compatible one */
    assert_header(block, BLOCK_TABLE_AT, SECTION_INGEST, SVL_E_CORRUPT); /* twice */
    assert_header(block, BLOCK_TABLE_AT, SECTION_BODIES, SVL_E_CORRUPT); /* not in order */
    assert_header(block, BLOCK_TABLE_AT + 12, 0, SVL_E_CORRUPT);         /* two lengths */
    svl__block_release(block);
}

static int make_reader(void **state)
{
    (void)state;
    return svl__block_reader_create(&reader);
}

static int drop_reader(void **state)
{
    (void)state;
    svl__block_reader_destroy(reader);
    return 0;
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_when_it_lies_then_verify_finds_out),
        cmocka_unit_test(test_index_when_just_past_its_dictionary_then_no_column),
        cmocka_unit_test(test_chunk_when_it_says_to_hold_more_than_is_left_then_corrupt),
        cmocka_unit_test(test_section_when_left_out_then_verify_finds_out),
        cmocka_unit_test(test_zone_when_it_lies_then_verify_finds_out),
        cmocka_unit_test(test_lengths_when_they_lie_then_nothing_is_believed),
        cmocka_unit_test(test_section_when_its_codec_is_unknown_then_says_so),
        cmocka_unit_test(test_unknown_section_when_compatible_then_is_skipped),
        cmocka_unit_test(test_section_when_any_byte_is_forged_then_reading_is_safe),
        cmocka_unit_test(test_chunk_when_any_byte_is_forged_then_reading_is_safe),
        cmocka_unit_test(test_header_when_newer_or_impossible_then_says_which),
    };
    return cmocka_run_group_tests_name("store/block_lies", tests, make_reader, drop_reader);
}
