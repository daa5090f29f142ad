/* When a block takes no more records. */
#include "blocks.h"

static struct wire_view view_of(uint32_t length, svl_slice body)
{
    return (struct wire_view){ .time_ns = 1, .length = length, .body = body };
}

static uint8_t zeros[1 << 20];

static int add_sized(struct block_builder *builder, uint64_t id, size_t body_len)
{
    struct wire_view view =
        view_of((uint32_t)(WIRE_HEADER_BYTES + body_len), (svl_slice){ zeros, body_len });
    return svl__block_builder_add(builder, id, 0, &view);
}

static void finish(struct block_builder *builder, uint32_t count)
{
    struct block *block;
    assert_int_equal(svl__block_builder_count(builder), count);
    assert_int_equal(svl__block_builder_finish(builder, &block), SVL_OK);
    assert_int_equal(block->zone.count, count);
    svl__block_release(block);
}

static void test_block_when_its_bytes_are_reached_then_is_full(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, 1000);
    for (uint64_t id = 1; id <= 10; id++)
        assert_int_equal(add_sized(builder, id, 100 - WIRE_HEADER_BYTES), SVL_OK);
    assert_int_equal(svl__block_builder_raw_bytes(builder), 1000);
    assert_int_equal(add_sized(builder, 11, 0), SVL_E_FULL);
    finish(builder, 10);
    assert_int_equal(add_sized(builder, 11, 0), SVL_OK);
    svl__block_builder_destroy(builder);
}

static void test_empty_builder_when_record_is_larger_than_a_block_then_takes_it(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, 4096);
    assert_int_equal(add_sized(builder, 1, sizeof zeros), SVL_OK);
    assert_int_equal(add_sized(builder, 2, 1), SVL_E_FULL);
    finish(builder, 1);
    svl__block_builder_destroy(builder);
}

static void test_block_when_it_has_65536_records_then_is_full(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, BLOCK_RAW_MAX);
    for (uint64_t id = 1; id <= BLOCK_RECORDS_MAX; id++)
        assert_int_equal(add_sized(builder, id, 0), SVL_OK);
    assert_int_equal(add_sized(builder, BLOCK_RECORDS_MAX + 1, 0), SVL_E_FULL);
    finish(builder, BLOCK_RECORDS_MAX);
    svl__block_builder_destroy(builder);
}

static void test_block_when_a_record_would_lead_past_the_maximum_then_is_full(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, UINT64_MAX);
    size_t body_len = sizeof zeros - WIRE_HEADER_BYTES;
    for (uint64_t id = 1; id <= BLOCK_RAW_MAX / sizeof zeros; id++)
        assert_int_equal(add_sized(builder, id, body_len), SVL_OK);
    assert_int_equal(add_sized(builder, BLOCK_RAW_MAX / sizeof zeros + 1, 0), SVL_E_FULL);
    finish(builder, BLOCK_RAW_MAX / sizeof zeros);
    svl__block_builder_destroy(builder);
}

static void test_record_when_larger_than_any_block_then_is_refused(void **state)
{
    (void)state;
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, 4096);
    struct wire_view view = view_of(BLOCK_RAW_MAX + 1, (svl_slice){ zeros, 1 });
    assert_int_equal(svl__block_builder_add(builder, 1, 0, &view), SVL_E_RECORD_SIZE);
    assert_int_equal(svl__block_builder_count(builder), 0);
    svl__block_builder_destroy(builder);
}

static void test_codec_when_unknown_or_level_too_high_then_no_builder(void **state)
{
    (void)state;
    struct block_options unknown = { .codec = 9 };
    struct block_options level = { .codec = SVL_CODEC_ZSTD, .level = 1000 };
    struct block_builder *builder;
    assert_int_not_equal(svl__block_builder_create(&unknown, &builder), SVL_OK);
    assert_null(builder);
    assert_int_not_equal(svl__block_builder_create(&level, &builder), SVL_OK);
    assert_null(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_when_its_bytes_are_reached_then_is_full),
        cmocka_unit_test(test_empty_builder_when_record_is_larger_than_a_block_then_takes_it),
        cmocka_unit_test(test_block_when_it_has_65536_records_then_is_full),
        cmocka_unit_test(test_block_when_a_record_would_lead_past_the_maximum_then_is_full),
        cmocka_unit_test(test_record_when_larger_than_any_block_then_is_refused),
        cmocka_unit_test(test_codec_when_unknown_or_level_too_high_then_no_builder),
    };
    return cmocka_run_group_tests_name("store/block_full", tests, NULL, NULL);
}
