/* Blocks that are small and say, or hold, that they are huge: refused, or given back within what a block may be at most,
 * and what is refused takes next to no memory. */
#include <malloc.h>
#include <stdatomic.h>

#include "base/checksum.h"
#include "forgery.h"
#include "store/codec.h"

#define REFUSED_BYTES_MAX (UINT64_C(8) << 20)
#define RECORDS 4

static struct block_reader *reader;

/* --- the library's memory, counted --- */

static _Atomic uint64_t live, peak;

static void note(int64_t change)
{
    uint64_t now = atomic_fetch_add(&live, (uint64_t)change) + (uint64_t)change;
    if (now > atomic_load(&peak))
        atomic_store(&peak, now);
}

static void *allocate(size_t size, void *user)
{
    (void)user;
    void *memory = malloc(size);
    if (memory)
        note((int64_t)malloc_usable_size(memory));
    return memory;
}

static void *reallocate(void *memory, size_t size, void *user)
{
    (void)user;
    int64_t before = memory ? (int64_t)malloc_usable_size(memory) : 0;
    void *moved = realloc(memory, size);
    if (moved)
        note((int64_t)malloc_usable_size(moved) - before);
    return moved;
}

static void release(void *memory, void *user)
{
    (void)user;
    if (memory)
        note(-(int64_t)malloc_usable_size(memory));
    free(memory);
}

/* --- blocks --- */

/* Every column is there. */
static struct block *make_block(void)
{
    struct records records = { .first_id = 1 };
    static const char *const names[] = { "ab", "b", "cde", "d" };
    for (uint32_t i = 0; i < RECORDS; i++) {
        svl_record record = { .time_ns = 10 + (int64_t)i,
                              .severity = i,
                              .source = words(names[i]),
                              .key = words(names[i]),
                              .body = words(names[i]) };
        records_add(&records, &record, 5);
    }
    struct block *block = block_of(SVL_CODEC_NONE, &records);
    records_free(&records);
    return block;
}

/* As much as a block may hold, of zeros, made small. */
static void compress_zeros(uint32_t codec, struct buffer *out)
{
    struct compressor compressor = { 0 };
    uint8_t used;
    uint8_t *zeros = calloc(1, BLOCK_RAW_MAX);
    assert_non_null(zeros);
    assert_int_equal(svl__compressor_open(&compressor, codec, 0), SVL_OK);
    assert_int_equal(svl__compress(&compressor, zeros, BLOCK_RAW_MAX, out, &used), SVL_OK);
    assert_int_equal(used, codec);
    assert_true(out->len < BLOCK_RAW_MAX / 100);
    svl__compressor_close(&compressor);
    free(zeros);
}

/* Reads all of it in any way: what it took of memory. */
static uint64_t read_all(struct forgery *f, int *rc)
{
    put_together(f);
    svl__block_reader_destroy(reader);
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    uint64_t before = atomic_load(&live);
    atomic_store(&peak, before);
    *rc = svl__block_verify(reader, f->bytes, f->len);
    if (svl__block_reader_load(reader, f->bytes, f->len) == SVL_OK)
        for (uint32_t i = 0; i < f->header.zone.count; i++) {
            svl_record record;
            (void)svl__block_reader_record(reader, i, read_attributes, &record);
        }
    throw_away(f);
    return atomic_load(&peak) - before;
}

static void assert_refused(struct forgery *f, uint64_t bytes_max)
{
    int rc;
    uint64_t bytes = read_all(f, &rc);
    assert_int_equal(rc, SVL_E_CORRUPT);
    assert_in_range(bytes, 0, bytes_max);
}

static void test_section_when_it_explodes_then_refused_in_little_memory(void **state)
{
    (void)state;
    static const unsigned kinds[] = { SECTION_TIMES,   SECTION_INGEST,       SECTION_SEVERITIES,
                                      SECTION_SOURCES, SECTION_SOURCE_NAMES, SECTION_KEY_NAMES,
                                      SECTION_KEYS,    SECTION_BODY_LENGTHS, SECTION_BODY_CHUNKS };
    static const uint32_t lengths[] = { 0, 1, RECORDS, 60, BLOCK_RAW_MAX, UINT32_MAX };
    struct block *block = make_block();
    for (uint32_t codec = SVL_CODEC_LZ4; codec <= SVL_CODEC_ZSTD; codec++) {
        struct buffer bomb = { 0 };
        if (!svl__codec_is_built(codec))
            continue;
        compress_zeros(codec, &bomb);
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
                struct forgery f;
                take_apart(block, &f);
                uint8_t encoding = f.header.sections[place_of(&f, kinds[k])].encoding;
                replace_stored(&f, kinds[k], encoding, (uint8_t)codec, bomb.data, bomb.len,
                               lengths[l]);
                assert_refused(&f, REFUSED_BYTES_MAX);
            }
        svl__buffer_free(&bomb);
    }
    svl__block_release(block);
}

/* A chunk of all records, whose bodies say to have these lengths. */
static void forge_bodies(const struct block *block, struct forgery *f, uint8_t codec,
                         const struct buffer *bomb, uint32_t length)
{
    uint32_t lengths[RECORDS];
    uint8_t table[2 * VARINT_BYTES_MAX + 1 + sizeof(uint64_t)];
    for (uint32_t i = 0; i < RECORDS; i++)
        lengths[i] = length;
    uint8_t *p = put_varint(put_varint(table, RECORDS), bomb->len);
    *p++ = codec;
    store_u64(p, svl__checksum(bomb->data, bomb->len));
    p += sizeof(uint64_t);
    size_t table_len = (size_t)(p - table);
    take_apart(block, f);
    replace_stored(f, SECTION_BODY_LENGTHS, ENCODING_BYTES4, SVL_CODEC_NONE, lengths,
                   sizeof lengths, sizeof lengths);
    replace_stored(f, SECTION_BODIES, ENCODING_CHUNKS, SVL_CODEC_NONE, bomb->data, bomb->len,
                   (uint32_t)bomb->len);
    replace_stored(f, SECTION_BODY_CHUNKS, ENCODING_TABLE, SVL_CODEC_NONE, table, table_len,
                   (uint32_t)table_len);
}

static void test_chunk_when_it_explodes_then_takes_no_more_than_its_records_say(void **state)
{
    (void)state;
    struct block *block = make_block();
    for (uint32_t codec = SVL_CODEC_LZ4; codec <= SVL_CODEC_ZSTD; codec++) {
        struct buffer bomb = { 0 };
        struct forgery f;
        if (!svl__codec_is_built(codec))
            continue;
        compress_zeros(codec, &bomb);
        forge_bodies(block, &f, (uint8_t)codec, &bomb, 1); /* it holds more than they say */
        assert_refused(&f, REFUSED_BYTES_MAX);
        forge_bodies(block, &f, (uint8_t)codec, &bomb, BLOCK_RAW_MAX / RECORDS + 1);
        assert_refused(&f, REFUSED_BYTES_MAX);
        forge_bodies(block, &f, (uint8_t)codec, &bomb, UINT32_MAX);
        assert_refused(&f, REFUSED_BYTES_MAX);
        /* Whole, and as large as can be: it is read, and its zone, which says something else, is found out. */
        forge_bodies(block, &f, (uint8_t)codec, &bomb, BLOCK_RAW_MAX / RECORDS);
        assert_refused(&f, BLOCK_RAW_MAX + REFUSED_BYTES_MAX);
        svl__buffer_free(&bomb);
    }
    svl__block_release(block);
}

/* Each key but the first says to share 479 bytes with the one before. */
static void test_keys_when_they_explode_then_within_their_limit(void **state)
{
    (void)state;
    struct block *block = make_block();
    struct forgery f;
    uint8_t keys[64 + RECORD_KEY_MAX], *p = keys;
    static const uint16_t shared[RECORDS] = { 0, 479, 479, 479 }, rest[RECORDS] = { 480, 1, 1, 1 };
    *p++ = RECORDS;
    *p++ = 2; /* bytes of a length */
    memcpy(p, shared, sizeof shared);
    memcpy(p + sizeof shared, rest, sizeof rest);
    p += sizeof shared + sizeof rest;
    memset(p, 'k', RECORD_KEY_MAX);
    p += RECORD_KEY_MAX;
    *p++ = 'l', *p++ = 'm', *p++ = 'n';
    take_apart(block, &f);
    f.header.zone.count = BLOCK_RECORDS_MAX; /* and so many keys, of which four are there */
    f.header.zone.keys = BLOCK_RECORDS_MAX;
    f.header.zone.raw_bytes = BLOCK_RAW_MAX;
    replace_stored(&f, SECTION_KEY_NAMES, ENCODING_KEYS, SVL_CODEC_NONE, keys, (size_t)(p - keys),
                   (uint32_t)(p - keys));
    assert_refused(&f, BLOCK_RAW_MAX);
    svl__block_release(block);
}

static int drop_reader(void **state)
{
    (void)state;
    svl__block_reader_destroy(reader);
    return 0;
}

int main(void)
{
    svl_allocator counting = { .struct_size = sizeof counting,
                               .allocate = allocate,
                               .reallocate = reallocate,
                               .release = release };
    blocks_unused();
    if (svl_allocator_set(&counting) != SVL_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section_when_it_explodes_then_refused_in_little_memory),
        cmocka_unit_test(test_chunk_when_it_explodes_then_takes_no_more_than_its_records_say),
        cmocka_unit_test(test_keys_when_they_explode_then_within_their_limit),
    };
    return cmocka_run_group_tests_name("store/block_bombs", tests, NULL, drop_reader);
}
