/* What a cursor gives at the edges: of time, of ids, and where a segment is not what it says. */
#include "store/cursor.h"

#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "store/segment_private.h"
#include "support/support.h"

#define SEGMENT_BYTES (UINT64_C(8) << 20)
#define RECORDS 400

static char path[512];

static svl_store *open_store(void)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.segment_bytes = SEGMENT_BYTES;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

static void append(svl_store *store, int n)
{
    static char body[100];
    for (int i = 0; i < n; i++) {
        svl_record record = { .key = slice_of("key"), .body = { body, sizeof body } };
        assert_ok(svl_store_append(store, &record, 1, NULL));
    }
    assert_ok(svl_store_commit(store, -1));
}

/* RECORDS in the first segment; with `full` it is no more the active one, and its index is finished. */
static void make_store(bool full)
{
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    append(store, RECORDS);
    if (full) {
        pthread_mutex_lock(&store->lock);
        store->roll_wanted = true;
        pthread_mutex_unlock(&store->lock);
        append(store, 1);
    }
    assert_ok(svl_store_close(store));
}

/* A change of the first segment's file by LMDB itself. */
static MDB_txn *begin_change(const char *name, MDB_dbi *table)
{
    char file[600];
    snprintf(file, sizeof file, "%s/00000000000000000001-01.seg", path);
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, SEGMENT_BYTES), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, file, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, name, MDB_INTEGERKEY, table), 0);
    return txn;
}

static void end_change(MDB_txn *txn)
{
    MDB_env *env = mdb_txn_env(txn);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void get_block(MDB_txn *txn, MDB_dbi blocks, MDB_cursor_op at, MDB_val *key, MDB_val *value)
{
    MDB_cursor *cursor;
    assert_int_equal(mdb_cursor_open(txn, blocks, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, key, value, at), 0);
    mdb_cursor_close(cursor);
}

/* The first or last entry of "blocks": svl__free() it. */
static MDB_val copy_block(MDB_cursor_op at)
{
    MDB_dbi blocks;
    MDB_val key, value;
    MDB_txn *txn = begin_change("blocks", &blocks);
    get_block(txn, blocks, at, &key, &value);
    MDB_val copy = { value.mv_size, svl__malloc(value.mv_size) };
    assert_non_null(copy.mv_data);
    memcpy(copy.mv_data, value.mv_data, value.mv_size);
    end_change(txn);
    return copy;
}

/* In the first or last one's place. */
static void replace_block(MDB_cursor_op at, MDB_val value)
{
    MDB_dbi blocks;
    MDB_val key, before;
    MDB_txn *txn = begin_change("blocks", &blocks);
    get_block(txn, blocks, at, &key, &before);
    uint64_t id = load_u64(key.mv_data);
    key = (MDB_val){ sizeof id, &id };
    assert_int_equal(mdb_put(txn, blocks, &key, &value, 0), 0);
    end_change(txn);
    svl__free(value.mv_data);
}

static void misplace_block(bool first_over_last)
{
    MDB_val value = copy_block(first_over_last ? MDB_FIRST : MDB_LAST);
    replace_block(first_over_last ? MDB_LAST : MDB_FIRST, value);
}

static void assert_damage_is_told(const svl_query *query)
{
    svl_store *store = open_store();
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t last = 0, damaged = 0;
    assert_ok(svl_store_query(store, query, &cursor));
    for (int rc; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END;) {
        assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT);
        damaged += rc == SVL_E_CORRUPT;
        assert_true(damaged <= 1);
        if (rc != SVL_OK)
            continue;
        assert_true(record->id > last && record->id >= query->id_min);
        assert_true(query->id_max == 0 || record->id <= query->id_max);
        last = record->id;
    }
    assert_true(damaged == 1);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

static void test_block_when_another_is_in_its_place_then_corrupt_and_the_rest_is_right(void **state)
{
    (void)state;
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    for (int first_over_last = 0; first_over_last < 2; first_over_last++) {
        make_store(true);
        misplace_block(first_over_last);
        query.id_min = first_over_last ? RECORDS - 1 : 0;
        query.id_max = first_over_last ? 0 : 3;
        query.key_kind = SVL_KEY_ANY;
        query.key_low = (svl_slice){ NULL, 0 };
        assert_damage_is_told(&query);
        query.key_kind = SVL_KEY_EXACT;
        query.key_low = slice_of("key");
        assert_damage_is_told(&query);
    }
}

/* Whole, and of the same first record. */
static void test_block_when_one_of_fewer_records_is_in_its_place_then_corrupt(void **state)
{
    (void)state;
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    append(store, 3);
    assert_ok(svl_store_close(store));
    MDB_val shorter = copy_block(MDB_FIRST);
    make_store(true);
    replace_block(MDB_FIRST, shorter);
    assert_damage_is_told(&query);
}

static void test_block_when_another_is_in_its_place_then_its_keys_are_not_trusted(void **state)
{
    (void)state;
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("no such key"); /* it may be in the block that is not there */
    make_store(false);
    misplace_block(true);
    assert_damage_is_told(&query);
    assert_non_null(strstr(svl_last_error(), "in its place"));
}

static void test_lookup_when_the_index_names_what_is_not_there_then_corrupt(void **state)
{
    (void)state;
    uint64_t id = 1;
    MDB_dbi zones;
    MDB_val key = { sizeof id, &id };
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("key");
    make_store(true);
    MDB_txn *txn = begin_change("zones", &zones);
    assert_int_equal(mdb_del(txn, zones, &key, NULL), 0);
    end_change(txn);
    assert_damage_is_told(&query);
}

/* Damage is told once, and all but `lost` records are given. */
static void assert_lost(svl_store *store, const svl_query *query, uint64_t lost)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0, told = 0;
    svl_store_stats before = { .struct_size = sizeof before }, after = before;
    assert_ok(svl_store_stats_get(store, &before));
    assert_ok(svl_store_query(store, query, &cursor));
    for (int rc; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END;) {
        assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT);
        if (rc == SVL_E_CORRUPT)
            assert_non_null(strstr(svl_last_error(), "00000000000000000001-01.seg"));
        n += rc == SVL_OK;
        told += rc == SVL_E_CORRUPT;
    }
    svl_cursor_close(cursor);
    assert_ok(svl_store_stats_get(store, &after));
    assert_true(told == 1 && n == RECORDS + 1 - lost);
    assert_true(after.damaged == before.damaged + 1);
}

static void test_lookup_when_the_index_is_damaged_then_told_and_all_blocks_are_read(void **state)
{
    (void)state;
    MDB_dbi keys;
    MDB_cursor *cursor;
    MDB_val key, value;
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("key");
    make_store(true);
    MDB_txn *txn = begin_change("keys", &keys);
    assert_int_equal(mdb_cursor_open(txn, keys, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    value = (MDB_val){ 1, (void *)(uintptr_t) "" };
    assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
    mdb_cursor_close(cursor);
    end_change(txn);
    svl_store *store = open_store();
    assert_lost(store, &query, 0);
    query.flags = SVL_QUERY_BACKWARD;
    assert_lost(store, &query, 0);
    assert_ok(svl_store_close(store));
    assert_non_null(strstr(svl_last_error(), "key index, last chunk of run 0"));
}

static void test_verify_when_the_index_has_a_chunk_too_many_then_told(void **state)
{
    (void)state;
    MDB_dbi keys;
    MDB_val key = { 5, (void *)(uintptr_t) "\0\0\0\0z" }, value = { 1, (void *)(uintptr_t) "\1" };
    make_store(true);
    svl_store *store = open_store();
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
    MDB_txn *txn = begin_change("keys", &keys);
    assert_int_equal(mdb_put(txn, keys, &key, &value, 0), 0);
    end_change(txn);
    store = open_store();
    assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_CORRUPT);
    assert_ok(svl_store_close(store));
}

enum harm { HARM_DELETES, HARM_DAMAGES, HARM_MOVES };

/* Harms the zone of the first, the last, or a block between; how many records its block has. */
static uint64_t harm_zone(MDB_cursor_op at, enum harm harm)
{
    MDB_dbi zones;
    MDB_cursor *cursor;
    MDB_val key, value, other;
    struct zone zone;
    uint8_t changed[SEGMENT_ZONE_BYTES];
    MDB_txn *txn = begin_change("zones", &zones);
    assert_int_equal(mdb_cursor_open(txn, zones, &cursor), 0);
    /* A whole zone, of another block. */
    assert_int_equal(mdb_cursor_get(cursor, &key, &other, at == MDB_LAST ? MDB_FIRST : MDB_LAST),
                     0);
    assert_int_equal(other.mv_size, sizeof changed);
    memcpy(changed, other.mv_data, sizeof changed);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, at == MDB_NEXT ? MDB_FIRST : at), 0);
    if (at == MDB_NEXT)
        assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_NEXT), 0);
    assert_ok(svl__zone_decode(value.mv_data, ZONE_BYTES, &zone));
    if (harm == HARM_DAMAGES) {
        memcpy(changed, value.mv_data, sizeof changed);
        changed[24] ^= 1; /* its largest time */
    }
    value = (MDB_val){ sizeof changed, changed };
    assert_int_equal(harm == HARM_DELETES ? mdb_cursor_del(cursor, 0)
                                          : mdb_cursor_put(cursor, &key, &value, MDB_CURRENT),
                     0);
    mdb_cursor_close(cursor);
    end_change(txn);
    return zone.count;
}

static void assert_zone_is_lost(enum harm harm)
{
    static const MDB_cursor_op places[] = { MDB_FIRST, MDB_NEXT, MDB_LAST };
    for (size_t i = 0; i < 3; i++) {
        make_store(true);
        uint64_t lost = harm_zone(places[i], harm);
        svl_query query;
        svl_store *store = open_store();
        assert_ok(svl_query_init(&query, sizeof query));
        assert_lost(store, &query, lost);
        query.flags = SVL_QUERY_BACKWARD;
        assert_lost(store, &query, lost);
        query.key_kind = SVL_KEY_EXACT;
        query.key_low = slice_of("key");
        assert_lost(store, &query, lost);
        query.flags = 0;
        assert_lost(store, &query, lost);
        assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_CORRUPT);
        assert_ok(svl_store_close(store));
    }
}

static void test_zone_when_missing_then_told_and_the_rest_is_read(void **state)
{
    (void)state;
    assert_zone_is_lost(HARM_DELETES);
}

static void test_zone_when_damaged_then_told_and_the_rest_is_read(void **state)
{
    (void)state;
    assert_zone_is_lost(HARM_DAMAGES);
}

static void test_zone_when_another_block_s_is_in_its_place_then_told_and_the_rest_is_read(
    void **state)
{
    (void)state;
    assert_zone_is_lost(HARM_MOVES);
}

/* No run covers them yet: their keys are read when the segment is opened. */
static void test_zone_of_a_block_without_index_when_harmed_then_told_and_the_rest_is_read(
    void **state)
{
    (void)state;
    static const MDB_cursor_op places[] = { MDB_FIRST, MDB_NEXT, MDB_LAST };
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    for (unsigned i = 0; i < 9; i++) {
        make_store(false);
        uint64_t lost = harm_zone(places[i % 3], i / 3);
        svl_store *store = open_store();
        append(store, 1); /* into a segment of its own */
        query.key_kind = SVL_KEY_ANY;
        query.key_low = (svl_slice){ NULL, 0 };
        assert_lost(store, &query, lost);
        query.key_kind = SVL_KEY_EXACT;
        query.key_low = slice_of("key");
        assert_lost(store, &query, lost);
        assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_CORRUPT);
        assert_ok(svl_store_close(store));
    }
}

static void test_segment_when_a_key_is_no_number_then_not_mapped(void **state)
{
    (void)state;
    MDB_dbi zones;
    uint32_t half = UINT32_MAX;
    uint8_t bytes[ZONE_BYTES] = { 0 };
    MDB_val key = { sizeof half, &half }, value = { sizeof bytes, bytes };
    make_store(false);
    MDB_txn *txn = begin_change("zones", &zones);
    assert_int_equal(mdb_put(txn, zones, &key, &value, 0), 0);
    end_change(txn);
    svl_store *store;
    assert_int_equal(svl_store_open(path, NULL, &store), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), "no number"));
}

static void assert_count(svl_store *store, const svl_query *query, uint64_t expected)
{
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_store_query(store, query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    assert_true(n == expected);
    svl_cursor_close(cursor);
}

static void test_record_when_its_time_is_the_last_there_is_then_found(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    svl_query all, until;
    assert_ok(svl_query_init(&all, sizeof all));
    assert_ok(svl_query_init(&until, sizeof until));
    until.time_max_ns = INT64_MAX; /* a bound, exclusive as any other */
    svl_record records[] = { { .time_ns = INT64_MAX }, { .time_ns = INT64_MIN } };
    assert_ok(svl_store_append(store, records, 2, NULL));
    for (int committed = 0; committed < 2; committed++) {
        svl_record_buffer *buffer;
        assert_count(store, &all, 2);
        assert_count(store, &until, 1);
        assert_ok(svl_store_get(store, 1, &buffer));
        assert_true(svl_record_buffer_record(buffer)->time_ns == INT64_MAX);
        svl_record_buffer_destroy(buffer);
        assert_ok(svl_store_commit(store, -1));
    }
    assert_ok(svl_store_close(store));
    store = open_store();
    assert_count(store, &all, 2);
    assert_ok(svl_store_close(store));
}

/* A unit far below the query's ids, as the one before a gap of 2^32 ids can be. */
static void test_unit_when_the_query_begins_far_above_then_gives_nothing(void **state)
{
    (void)state;
    struct block_options options = { .codec = SVL_CODEC_NONE, .block_bytes = 4096 };
    struct block_builder *builder;
    struct block *block;
    assert_ok(svl__block_builder_create(&options, &builder));
    for (uint64_t id = 1; id <= 10; id++) {
        uint8_t wire[64];
        struct wire_view view;
        svl_record record = { .time_ns = 1 };
        svl__wire_encode(&record, 1, wire);
        assert_ok(svl__wire_view(wire, svl__wire_size(&record), &view));
        assert_ok(svl__block_builder_add(builder, id, 1, &view));
    }
    assert_ok(svl__block_builder_finish(builder, &block));
    svl_cursor *cursor = svl__calloc(1, sizeof *cursor);
    assert_non_null(cursor);
    cursor->conditions = (struct conditions){ .id_min = (UINT64_C(1) << 32) + 3,
                                              .id_max = UINT64_MAX,
                                              .time_min_ns = INT64_MIN };
    assert_ok(svl__block_reader_create(&cursor->reader));
    assert_ok(svl__block_reader_load(cursor->reader, block->data, block->len));
    assert_ok(svl__unit_filter_block(cursor, 0));
    assert_int_equal(cursor->matches.count, 0);
    svl__free(cursor->matches.rows);
    svl__block_reader_destroy(cursor->reader);
    svl__free(cursor);
    svl__block_release(block);
    svl__block_builder_destroy(builder);
}

static void test_attributes_when_of_many_records_then_no_more_at_once_than_there_is_room_for(
    void **state)
{
    (void)state;
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX] = { 0 };
    svl_record record = { .attributes = attributes, .attribute_count = RECORD_ATTRIBUTES_MAX };
    const svl_record *records;
    svl_cursor *cursor;
    uint64_t total = 0;
    size_t n;
    for (size_t i = 0; i < RECORD_ATTRIBUTES_MAX; i++)
        attributes[i] = (svl_attribute){ .kind = SVL_ATTRIBUTE_I64, .name = slice_of("n") };
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    for (int i = 0; i < 20; i++)
        assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_flush(store, -1));
    assert_ok(svl_store_query(store, NULL, &cursor));
    while (svl_cursor_next_many(cursor, 0, SIZE_MAX, &records, &n) == SVL_OK) {
        assert_in_range(n, 1, 4); /* of 1,024 attributes */
        for (size_t i = 0; i < n; i++)
            assert_ptr_equal(records[i].attributes,
                             records[0].attributes + i * RECORD_ATTRIBUTES_MAX);
        total += n;
    }
    assert_int_equal(total, 20);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_block_when_another_is_in_its_place_then_corrupt_and_the_rest_is_right),
        cmocka_unit_test(test_block_when_one_of_fewer_records_is_in_its_place_then_corrupt),
        cmocka_unit_test(test_block_when_another_is_in_its_place_then_its_keys_are_not_trusted),
        cmocka_unit_test(test_zone_when_damaged_then_told_and_the_rest_is_read),
        cmocka_unit_test(
            test_zone_when_another_block_s_is_in_its_place_then_told_and_the_rest_is_read),
        cmocka_unit_test(
            test_zone_of_a_block_without_index_when_harmed_then_told_and_the_rest_is_read),
        cmocka_unit_test(test_lookup_when_the_index_is_damaged_then_told_and_all_blocks_are_read),
        cmocka_unit_test(test_verify_when_the_index_has_a_chunk_too_many_then_told),
        cmocka_unit_test(test_zone_when_missing_then_told_and_the_rest_is_read),
        cmocka_unit_test(test_segment_when_a_key_is_no_number_then_not_mapped),
        cmocka_unit_test(test_lookup_when_the_index_names_what_is_not_there_then_corrupt),
        cmocka_unit_test(test_record_when_its_time_is_the_last_there_is_then_found),
        cmocka_unit_test(test_unit_when_the_query_begins_far_above_then_gives_nothing),
        cmocka_unit_test(
            test_attributes_when_of_many_records_then_no_more_at_once_than_there_is_room_for),
    };
    return cmocka_run_group_tests_name("store/cursor", tests, NULL, NULL);
}
