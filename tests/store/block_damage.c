/* Any bytes are safe: a damaged block is refused, or gives back exactly what was written. */
#include "blocks.h"

static struct block_reader *reader;

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

static void assert_data_error(int rc)
{
    assert_true(rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_CODEC);
}

/* Reads what it can in another order than verifying does; what is read must be what was written. */
static void assert_refused_or_same(const uint8_t *data, size_t len, const struct records *records)
{
    assert_data_error(svl__block_verify(reader, data, len));
    int rc = svl__block_reader_load(reader, data, len);
    if (rc != SVL_OK) {
        assert_data_error(rc);
        return;
    }
    assert_int_equal(svl__block_reader_zone(reader)->count, records->count);
    struct key_set *set;
    rc = svl__block_reader_key_set(reader, &set);
    if (rc == SVL_OK)
        svl__key_set_release(set);
    else
        assert_data_error(rc);
    for (uint32_t i = records->count; i-- > 0;) {
        svl_record record;
        rc = svl__block_reader_record(reader, i, read_attributes, &record);
        if (rc == SVL_OK)
            assert_record(&record, &records->list[i]);
        else
            assert_data_error(rc);
    }
}

/* In memory of exactly its size, so that a step outside is seen. */
static uint8_t *copy_of(const struct block *block, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, block->data, len);
    return copy;
}

static void flip_all(uint32_t codec)
{
    if (!svl__codec_is_built(codec))
        return;
    struct records records = records_any(3, 25, 300);
    struct block *block = block_of(codec, &records);
    uint8_t *copy = copy_of(block, block->len);
    for (size_t at = 0; at < block->len; at++) {
        static const uint8_t masks[] = { 0x01, 0x80, 0xff };
        for (size_t m = 0; m < sizeof masks; m++) {
            copy[at] ^= masks[m];
            assert_refused_or_same(copy, block->len, &records);
            copy[at] ^= masks[m];
        }
    }
    assert_int_equal(svl__block_verify(reader, copy, block->len), SVL_OK);
    free(copy);
    svl__block_release(block);
    records_free(&records);
}

static void test_block_when_any_byte_is_flipped_then_is_refused(void **state)
{
    (void)state;
    flip_all(SVL_CODEC_NONE);
    flip_all(SVL_CODEC_LZ4);
    flip_all(SVL_CODEC_ZSTD);
}

static void test_block_when_cut_at_any_length_then_is_refused(void **state)
{
    (void)state;
    struct records records = records_any(3, 40, 300);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    for (size_t len = 0; len < block->len; len++) {
        uint8_t *copy = copy_of(block, len);
        assert_int_equal(svl__block_reader_load(reader, copy, len), SVL_E_CORRUPT);
        assert_int_equal(svl__block_verify(reader, copy, len), SVL_E_CORRUPT);
        assert_int_equal(svl__block_reader_zone(reader)->count, 0);
        free(copy);
    }
    svl__block_release(block);
    records_free(&records);
}

static void test_block_when_bytes_follow_then_is_refused(void **state)
{
    (void)state;
    struct records records = records_any(3, 40, 300);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    uint8_t *longer = malloc(block->len + 1);
    assert_non_null(longer);
    memcpy(longer, block->data, block->len);
    longer[block->len] = 0;
    assert_int_equal(svl__block_reader_load(reader, longer, block->len + 1), SVL_E_CORRUPT);
    free(longer);
    svl__block_release(block);
    records_free(&records);
}

static void test_noise_when_loaded_then_is_refused(void **state)
{
    (void)state;
    uint8_t noise[400];
    assert_int_equal(svl__block_reader_load(reader, NULL, 0), SVL_E_CORRUPT);
    for (int round = 0; round < 2000; round++) {
        size_t len = chance(sizeof noise);
        chance_bytes(noise, len);
        if (len >= 4)
            store_u32(noise, BLOCK_MAGIC);
        assert_int_equal(svl__block_reader_load(reader, noise, len), SVL_E_CORRUPT);
    }
}

static void test_reader_when_a_block_was_refused_then_reads_the_next(void **state)
{
    (void)state;
    struct records records = records_any(3, 100, 300);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    uint8_t *copy = copy_of(block, block->len);
    copy[block->len - 1] ^= 1;
    assert_data_error(svl__block_verify(reader, copy, block->len));
    assert_int_equal(svl__block_verify(reader, block->data, block->len), SVL_OK);
    free(copy);
    svl__block_release(block);
    records_free(&records);
}

static void test_zone_when_impossible_then_is_refused(void **state)
{
    (void)state;
    const struct zone good = { .first_id = 5,
                               .count = 10,
                               .severity_mask = 1 << 9,
                               .time_min_ns = -1,
                               .time_max_ns = 1,
                               .ingest_min_ns = 2,
                               .ingest_max_ns = 2,
                               .raw_bytes = 320,
                               .stored_bytes = 200,
                               .keys = 10 };
    uint8_t bytes[ZONE_BYTES];
    struct zone zone;
    svl__zone_encode(&good, bytes);
    assert_int_equal(svl__zone_decode(bytes, sizeof bytes, &zone), SVL_OK);
    assert_memory_equal(&zone, &good, sizeof zone);
    for (size_t len = 0; len < sizeof bytes; len++)
        assert_int_equal(svl__zone_decode(bytes, len, &zone), SVL_E_CORRUPT);

    struct zone bad[16];
    for (int i = 0; i < 16; i++)
        bad[i] = good;
    bad[0].first_id = 0;
    bad[1].first_id = UINT64_MAX - 9;
    bad[2].count = 0;
    bad[3].count = BLOCK_RECORDS_MAX + 1;
    bad[4].severity_mask = 0;
    bad[5].severity_mask = UINT32_C(1) << 25;
    bad[6].time_max_ns = -2;
    bad[7].ingest_max_ns = 1;
    bad[8].raw_bytes = 319;
    bad[9].raw_bytes = BLOCK_RAW_MAX + 1;
    bad[10].stored_bytes = 0;
    bad[11].stored_bytes = UINT64_MAX;
    bad[12].keys = 11;
    bad[13].flags = 1;
    bad[14].raw_bytes = UINT64_MAX;
    bad[15].count = UINT32_MAX;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        svl__zone_encode(&bad[i], bytes);
        assert_int_equal(svl__zone_decode(bytes, sizeof bytes, &zone), SVL_E_CORRUPT);
        assert_int_equal(zone.count, 0);
    }
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_when_any_byte_is_flipped_then_is_refused),
        cmocka_unit_test(test_block_when_cut_at_any_length_then_is_refused),
        cmocka_unit_test(test_block_when_bytes_follow_then_is_refused),
        cmocka_unit_test(test_noise_when_loaded_then_is_refused),
        cmocka_unit_test(test_reader_when_a_block_was_refused_then_reads_the_next),
        cmocka_unit_test(test_zone_when_impossible_then_is_refused),
    };
    return cmocka_run_group_tests_name("store/block_damage", tests, make_reader, drop_reader);
}
