/* The smallest segments: whatever the records are, a commit fits, if need be into a new one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define SEGMENT_BYTES (UINT64_C(8) << 20)
#define BATCH 1000

static struct rng rng;

/* What a case's keys are: `key_bytes` of a counter, or random ones. */
struct shape {
    size_t key_bytes;
    bool random_keys;
    uint64_t block_bytes;
    uint64_t records;
};

static uint64_t next_key;

static void append(svl_store *store, const struct shape *shape)
{
    static svl_record records[BATCH];
    static uint8_t keys[BATCH][480];
    memset(records, 0, sizeof records);
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t number = ++next_key;
        for (size_t b = shape->key_bytes; b-- > 0; number >>= 8)
            keys[i][b] = (uint8_t)(shape->random_keys ? rng_next(&rng) : number);
        records[i].time_ns = 1;
        records[i].key = (svl_slice){ keys[i], shape->key_bytes };
    }
    assert_ok(svl_store_append(store, records, BATCH, NULL));
}

static void use(const struct shape *shape)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = SEGMENT_BYTES;
    o.block_bytes = shape->block_bytes;
    o.journal_file_bytes_max = UINT64_C(8) << 20;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, &o, &store));
    for (uint64_t n = 0; n < shape->records; n += BATCH)
        append(store, shape);
    assert_ok(svl_store_commit(store, -1));
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.records == shape->records && stats.failed == 0 && stats.segments > 1);
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.records == shape->records);
    assert_ok(svl_store_close(store));
    remove_tree(path);
}

static void test_commit_when_blocks_are_mostly_keys_then_fits_its_segments(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        { 8, false, 0, 600000 },                 /* many records in few bytes of blocks */
        { 3, false, 4096, 900000 },              /* short keys, short blocks */
        { 100, true, SEGMENT_BYTES / 8, 60000 }, /* keys that do not compress, large blocks */
        { 480, true, SEGMENT_BYTES / 8, 20000 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        use(&shapes[i]);
}

static void test_block_bytes_when_above_an_eighth_of_a_segment_then_refused(void **state)
{
    (void)state;
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = SEGMENT_BYTES;
    o.block_bytes = SEGMENT_BYTES / 8 + 1;
    assert_int_equal(svl_store_open(temp_path(), &o, &store), SVL_E_OPTION);
    assert_null(store);
    o.block_bytes = SEGMENT_BYTES / 8;
    assert_ok(svl_store_open(temp_path(), &o, &store));
    assert_ok(svl_store_close(store));
}

int main(void)
{
    rng.state = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_when_blocks_are_mostly_keys_then_fits_its_segments),
        cmocka_unit_test(test_block_bytes_when_above_an_eighth_of_a_segment_then_refused),
    };
    return cmocka_run_group_tests_name("store/store_small_segments", tests, NULL, NULL);
}
