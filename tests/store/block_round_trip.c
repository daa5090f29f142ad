/* Whatever records go into a block come out of it, with every codec. */
#include "blocks.h"

static const uint32_t codecs[] = { SVL_CODEC_NONE, SVL_CODEC_LZ4, SVL_CODEC_ZSTD };

/* Builds and reads back with each codec of this build; frees the records. */
static void assert_survives(struct records *records)
{
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        if (!svl__codec_is_built(codecs[c]))
            continue;
        struct block *block = block_of(codecs[c], records);
        assert_holds(block, records);
        svl__block_release(block);
    }
    records_free(records);
}

static void test_records_of_any_shape_when_read_then_are_as_written(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct records records =
            records_any(1 + chance(UINT32_MAX), 1 + (uint32_t)chance(600), 40000);
        assert_survives(&records);
    }
}

static void test_builder_when_used_again_then_starts_anew(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, BLOCK_RAW_MAX);
    uint64_t first_id = 7;
    for (int round = 0; round < 10; round++) {
        struct records records = records_any(first_id, 1 + (uint32_t)chance(500), 3000);
        struct block *block = build(builder, &records);
        assert_holds(block, &records);
        svl__block_release(block);
        assert_int_equal(svl__block_builder_count(builder), 0);
        assert_int_equal(svl__block_builder_raw_bytes(builder), 0);
        first_id += records.count;
        records_free(&records);
    }
    svl__block_builder_destroy(builder);
}

static void test_empty_records_when_read_then_are_empty(void **state)
{
    (void)state;
    struct records records = { .first_id = 1 };
    for (int i = 0; i < 1000; i++)
        records_add(&records, &(svl_record){ 0 }, 0);
    assert_survives(&records);
}

static void test_one_record_of_a_mebibyte_when_read_then_is_whole(void **state)
{
    (void)state;
    static uint8_t body[(1 << 20) - WIRE_HEADER_BYTES];
    struct records records = { .first_id = UINT64_MAX - 1 };
    records_add(&records, &(svl_record){ .body = chance_bytes(body, sizeof body) }, 5);
    assert_survives(&records);
}

static void test_long_record_among_short_when_read_then_all_are_whole(void **state)
{
    (void)state;
    static uint8_t body[300000];
    struct records records = { .first_id = 1 };
    for (int i = 0; i < 50; i++) {
        svl_record record = { .body = chance_bytes(body, i % 10 == 5 ? sizeof body : 100) };
        records_add(&records, &record, i);
    }
    assert_survives(&records);
}

static void test_255_attributes_when_read_then_are_in_order(void **state)
{
    (void)state;
    static svl_attribute attributes[RECORD_ATTRIBUTES_MAX];
    static char names[RECORD_ATTRIBUTES_MAX][RECORD_NAME_MAX];
    for (int i = 0; i < RECORD_ATTRIBUTES_MAX; i++) {
        memset(names[i], 'a' + i % 26, sizeof names[i]);
        attributes[i] = (svl_attribute){ .kind = SVL_ATTRIBUTE_I64,
                                         .name = { names[i], 1 + (size_t)i },
                                         .i64 = i };
    }
    struct records records = { .first_id = 1 };
    svl_record full = { .attributes = attributes, .attribute_count = RECORD_ATTRIBUTES_MAX };
    for (int i = 0; i < 3; i++) {
        records_add(&records, &full, 0);
        records_add(&records, &(svl_record){ .body = words("none") }, 0);
    }
    assert_survives(&records);
}

static void test_65536_records_when_read_then_are_as_written(void **state)
{
    (void)state;
    struct records records = { .first_id = 10 };
    for (uint32_t i = 0; i < BLOCK_RECORDS_MAX; i++) {
        char key[16], body[64];
        svl_record record = {
            .time_ns = (int64_t)i * 1000000,
            .severity = i % 25,
            .key = { key, (size_t)snprintf(key, sizeof key, "%u", (unsigned)chance(200000)) },
            .body = { body, (size_t)snprintf(body, sizeof body, "line %u of many", i) }
        };
        records_add(&records, &record, i / 100);
    }
    assert_survives(&records);
}

static void test_names_and_keys_of_every_length_when_read_then_are_as_written(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_KEY_MAX];
    memset(bytes, 'n', sizeof bytes);
    struct records records = { .first_id = 1 };
    for (size_t len = 0; len <= RECORD_KEY_MAX; len++) {
        size_t name_len = len < RECORD_NAME_MAX ? len : RECORD_NAME_MAX;
        svl_record record = { .source = { bytes, name_len },
                              .type = { bytes, RECORD_NAME_MAX - name_len },
                              .key = { bytes, RECORD_KEY_MAX - len } };
        records_add(&records, &record, 0);
    }
    assert_survives(&records);
}

static void test_times_of_any_order_and_unit_when_read_then_are_exact(void **state)
{
    (void)state;
    static const int64_t units[] = { 1, 1000, 1000000, 1000000000, 7 };
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        struct records records = { .first_id = 1 };
        for (int i = 0; i < 300; i++) {
            int64_t time_ns = ((int64_t)chance(2000000) - 1000000) * units[u];
            records_add(&records, &(svl_record){ .time_ns = time_ns ? time_ns : 1 }, -time_ns);
        }
        records_add(&records, &(svl_record){ .time_ns = INT64_MIN }, INT64_MAX);
        records_add(&records, &(svl_record){ .time_ns = INT64_MAX }, INT64_MIN);
        assert_survives(&records);
    }
}

/* As small as records can be and as different as they can be: the most that columns can take. */
static void test_widest_columns_when_read_then_fit_the_limits(void **state)
{
    (void)state;
    struct records records = { .first_id = 1 };
    for (uint32_t i = 0; i < BLOCK_RECORDS_MAX; i++) {
        uint32_t mixed = i * UINT32_C(2654435761);
        svl_record record = { .time_ns = (int64_t)(chance(0) | 1),
                              .severity = i % 25,
                              .body_kind = i % 3,
                              .source = { &i, 2 },
                              .type = { &mixed, 4 },
                              .key = { &mixed, 4 },
                              .body = { &mixed, i % 2 },
                              .flags = mixed };
        records_add(&records, &record, (int64_t)chance(0));
    }
    assert_survives(&records);
}

static void test_column_when_its_largest_is_at_a_width_then_is_as_written(void **state)
{
    (void)state;
    static const uint32_t largest[] = { UINT8_MAX, UINT8_MAX + 1, UINT16_MAX, UINT16_MAX + 1,
                                        UINT32_MAX };
    for (size_t l = 0; l < sizeof largest / sizeof largest[0]; l++) {
        struct records records = { .first_id = 1 };
        for (uint32_t i = 0; i < 100; i++)
            records_add(&records, &(svl_record){ .time_ns = 1, .flags = i % 2 ? largest[l] : 0 },
                        1);
        assert_survives(&records);
    }
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_of_any_shape_when_read_then_are_as_written),
        cmocka_unit_test(test_builder_when_used_again_then_starts_anew),
        cmocka_unit_test(test_empty_records_when_read_then_are_empty),
        cmocka_unit_test(test_one_record_of_a_mebibyte_when_read_then_is_whole),
        cmocka_unit_test(test_long_record_among_short_when_read_then_all_are_whole),
        cmocka_unit_test(test_255_attributes_when_read_then_are_in_order),
        cmocka_unit_test(test_65536_records_when_read_then_are_as_written),
        cmocka_unit_test(test_names_and_keys_of_every_length_when_read_then_are_as_written),
        cmocka_unit_test(test_widest_columns_when_read_then_fit_the_limits),
        cmocka_unit_test(test_column_when_its_largest_is_at_a_width_then_is_as_written),
        cmocka_unit_test(test_times_of_any_order_and_unit_when_read_then_are_exact),
    };
    return cmocka_run_group_tests_name("store/block_round_trip", tests, NULL, NULL);
}
