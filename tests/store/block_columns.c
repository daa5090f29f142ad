/* Columns asked for alone say what whole records say; what no record uses costs nothing. */
#include "blocks.h"

static struct block_reader *reader_with(const struct block *block)
{
    struct block_reader *reader;
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    assert_int_equal(svl__block_reader_load(reader, block->data, block->len), SVL_OK);
    return reader;
}

static void test_columns_when_asked_alone_then_agree_with_records(void **state)
{
    (void)state;
    struct records records = records_any(100, 700, 2000);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_reader *reader = reader_with(block);
    const int64_t *times;
    const uint8_t *severities;
    const uint32_t *source, *type, *key;
    const svl_slice *sources, *types, *keys;
    uint32_t source_count, type_count, key_count;
    /* In an order of its own: each is independent of the others. */
    assert_int_equal(svl__block_reader_keys(reader, &key, &keys, &key_count), SVL_OK);
    assert_int_equal(svl__block_reader_severities(reader, &severities), SVL_OK);
    assert_int_equal(svl__block_reader_types(reader, &type, &types, &type_count), SVL_OK);
    assert_int_equal(svl__block_reader_times(reader, &times), SVL_OK);
    assert_int_equal(svl__block_reader_sources(reader, &source, &sources, &source_count), SVL_OK);
    assert_int_equal(key_count, block->zone.keys);
    assert_int_equal(svl__block_reader_chunks(reader), 0);
    for (uint32_t i = 0; i < records.count; i++) {
        const svl_record *record = &records.list[i];
        assert_int_equal(times[i], record->time_ns);
        assert_int_equal(severities[i], record->severity);
        assert_true(source[i] < source_count && type[i] < type_count);
        assert_slice(sources[source[i]], record->source);
        assert_slice(types[type[i]], record->type);
        assert_true((key[i] == UINT32_MAX) == (record->key.len == 0));
        if (key[i] != UINT32_MAX)
            assert_slice(keys[key[i]], record->key);
    }
    for (uint32_t i = 1; i < key_count; i++)
        assert_true(svl__key_compare(keys[i - 1], keys[i]) < 0);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
    records_free(&records);
}

static void test_record_when_read_alone_then_costs_one_chunk(void **state)
{
    (void)state;
    struct records records = { .first_id = 1 };
    for (int i = 0; i < 2000; i++)
        records_add(&records, &(svl_record){ .body = words("a hundred bytes, about so many") }, 0);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_reader *reader = reader_with(block);
    svl_record record;
    assert_int_equal(svl__block_reader_record(reader, 1000, read_attributes, &record), SVL_OK);
    assert_record(&record, &records.list[1000]);
    assert_int_equal(svl__block_reader_chunks(reader), 1);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
    records_free(&records);
}

static void test_record_when_others_are_read_then_stays_where_it_is(void **state)
{
    (void)state;
    struct records records = records_any(1, 900, 3000);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_reader *reader = reader_with(block);
    svl_record *read = malloc(records.count * sizeof *read);
    assert_non_null(read);
    for (uint32_t i = records.count; i-- > 0;)
        assert_int_equal(svl__block_reader_record(reader, i, read_attributes, &read[i]), SVL_OK);
    for (uint32_t i = 0; i < records.count; i++) {
        assert_slice(read[i].body, records.list[i].body);
        assert_slice(read[i].key, records.list[i].key);
    }
    free(read);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
    records_free(&records);
}

static void test_constant_columns_when_stored_then_cost_nothing(void **state)
{
    (void)state;
    struct records one = { .first_id = 1 }, many = { .first_id = 1 };
    svl_record record = { .time_ns = 1000000000,
                          .severity = 9,
                          .body_kind = SVL_BODY_JSON,
                          .source = words("sshd"),
                          .type = words("login") };
    records_add(&one, &record, 1000);
    for (int i = 0; i < 1000; i++)
        records_add(&many, &record, 1000);
    /* No codec helps here. A difference of 0 is a byte a record; nothing else may grow but the run. */
    struct block *small = block_of(SVL_CODEC_NONE, &one), *large = block_of(SVL_CODEC_NONE, &many);
    assert_true(large->len <= small->len + 1000 + 4);
    assert_holds(large, &many);
    svl__block_release(small);
    svl__block_release(large);
    records_free(&one);
    records_free(&many);
}

static void test_reader_without_a_block_when_asked_then_says_so(void **state)
{
    (void)state;
    struct block_reader *reader;
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    const int64_t *times = (const int64_t *)&times;
    svl_record record;
    struct key_set *keys;
    assert_int_equal(svl__block_reader_times(reader, &times), SVL_E_STATE);
    assert_null(times);
    assert_int_equal(svl__block_reader_record(reader, 0, read_attributes, &record), SVL_E_STATE);
    assert_int_equal(svl__block_reader_key_set(reader, &keys), SVL_E_STATE);
    assert_null(keys);
    assert_int_equal(svl__block_reader_zone(reader)->count, 0);
    svl__block_reader_destroy(reader);
}

static void test_record_past_the_last_when_asked_then_is_refused(void **state)
{
    (void)state;
    struct records records = records_any(1, 5, 100);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_reader *reader = reader_with(block);
    svl_record record;
    assert_int_equal(svl__block_reader_record(reader, 5, read_attributes, &record), SVL_E_CORRUPT);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
    records_free(&records);
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_when_asked_alone_then_agree_with_records),
        cmocka_unit_test(test_record_when_read_alone_then_costs_one_chunk),
        cmocka_unit_test(test_record_when_others_are_read_then_stays_where_it_is),
        cmocka_unit_test(test_constant_columns_when_stored_then_cost_nothing),
        cmocka_unit_test(test_reader_without_a_block_when_asked_then_says_so),
        cmocka_unit_test(test_record_past_the_last_when_asked_then_is_refused),
    };
    return cmocka_run_group_tests_name("store/block_columns", tests, NULL, NULL);
}
