/* Filters of the key index: they never deny a key that is there, seldom affirm one that is not, and say so when they
 * are damaged. */
#include "segment_files.h"

#define MAP_BYTES (UINT64_C(64) << 20)
#define RUNS_MAX 200

/* A block of `n` records with keys "<run>/<number>"; `ends`: with those before it, its run. */
static void commit_block(struct segment *segment, uint32_t run, uint32_t n, bool ends)
{
    struct records records = { .first_id = segment->info.last_id + 1 };
    for (uint32_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "%u/%u", run, i);
        records_add(&records, &(svl_record){ .key = words(key) }, 1);
    }
    struct block *block = block_of(SVL_CODEC_NONE, &records);
    assert_ok(svl__segment_commit(segment, &block, 1, ends));
    svl__block_release(block);
    records_free(&records);
}

static void commit_run(struct segment *segment, uint32_t run, uint32_t n)
{
    commit_block(segment, run, n, true);
}

static int ask(struct segment *segment, svl_slice key, uint32_t first, uint32_t n, uint64_t *runs)
{
    MDB_txn *txn;
    int code;
    assert_ok(svl__lmdb_begin_read(&segment->lmdb, &txn));
    struct key_runs all = svl__segment_runs(segment, txn, segment->runs);
    int rc = svl__keyfilters_ask(&all.filters, key, first, n, runs, &code);
    svl__lmdb_end_read(&segment->lmdb, txn);
    assert_int_equal(code, 0);
    return rc;
}

/* *n: in how many blocks it is found, if none is left out. */
static int find(struct segment *segment, const char *key, size_t *n)
{
    bool is_whole;
    struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = words(key) };
    struct buffer found = { 0 };
    int rc = svl__segment_find_keys(segment, &exact, 1, UINT64_MAX, &found, &is_whole);
    *n = is_whole ? found.len / sizeof(uint64_t) : SIZE_MAX;
    svl__buffer_free(&found);
    return rc;
}

static int verify(struct segment *segment)
{
    MDB_txn *txn;
    int code;
    assert_ok(svl__lmdb_begin_read(&segment->lmdb, &txn));
    struct key_runs all = svl__segment_runs(segment, txn, segment->runs);
    int rc = svl__keyfilters_check(&all.filters, segment->runs, &code);
    svl__lmdb_end_read(&segment->lmdb, txn);
    assert_int_equal(code, 0);
    return rc;
}

static size_t get_filter(struct segment *segment, uint64_t run, uint8_t *out, size_t max)
{
    MDB_txn *txn;
    MDB_val key = { sizeof run, &run }, value;
    assert_ok(svl__lmdb_begin_read(&segment->lmdb, &txn));
    assert_int_equal(mdb_get(txn, segment->filters, &key, &value), 0);
    assert_true(value.mv_size <= max);
    memcpy(out, value.mv_data, value.mv_size);
    svl__lmdb_end_read(&segment->lmdb, txn);
    return value.mv_size;
}

static void test_filter_when_its_size_varies_then_names_each_key_and_few_others(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1, 2, 31, 32, 33, 1000, 2016, 2017, 30000 };
    struct segment *segment = segment_new(1, MAP_BYTES);
    unsigned asked = 0, wrong = 0;
    for (uint32_t run = 0; run < sizeof sizes / sizeof sizes[0]; run++) {
        uint64_t runs;
        char key[32];
        commit_run(segment, run, sizes[run]);
        for (uint32_t i = 0; i < 2 * sizes[run]; i++) {
            snprintf(key, sizeof key, "%u/%u", run, i);
            assert_ok(ask(segment, words(key), run, 1, &runs));
            assert_true(i >= sizes[run] || runs == 1);
            asked += i >= sizes[run];
            wrong += i >= sizes[run] && runs != 0;
        }
    }
    print_message("%u of %u keys that are not there seem to be\n", wrong, asked);
    assert_true(asked > 30000 && wrong < asked / 200);
    assert_ok(verify(segment));
    svl__segment_close(segment);
}

#define OTHERS 4000 /* keys that are not there: a hundredth of fewer may be chance */

/* Its size follows the keys, not how often they come. */
static void test_filter_when_blocks_share_keys_then_is_as_small_and_as_good(void **state)
{
    (void)state;
    static const struct {
        uint32_t keys;
        int blocks;
    } sizes[] = { { 1, 2 },    { 1, 256 },  { 24, 256 }, { 31, 23 },
                  { 33, 100 }, { 56, 256 }, { 700, 23 }, { 3000, 23 } };
    static uint8_t filter[1 << 16];
    struct segment *segment = segment_new(1, MAP_BYTES);
    for (uint32_t run = 0; run < sizeof sizes / sizeof sizes[0]; run++) {
        uint32_t n = sizes[run].keys, wrong = 0;
        for (int block = 1; block <= sizes[run].blocks; block++)
            commit_block(segment, run, n, block == sizes[run].blocks);
        uint64_t lines = (n + BLOOM_LINE_KEYS - 1) / BLOOM_LINE_KEYS;
        size_t len = get_filter(segment, run, filter, sizeof filter);
        assert_in_range((len - FILTER_HEAD_BYTES) / BLOOM_LINE_BYTES, lines, lines * 2);
        for (uint32_t i = 0; i < n + OTHERS; i++) {
            uint64_t runs;
            char key[32];
            snprintf(key, sizeof key, "%u/%u", run, i);
            assert_ok(ask(segment, words(key), run, 1, &runs));
            assert_true(i >= n || runs == 1);
            wrong += i >= n && runs != 0;
        }
        assert_true(wrong <= OTHERS / 100);
    }
    assert_ok(verify(segment));
    svl__segment_close(segment);
}

/* A run's bit is right wherever the runs that are asked begin and end. */
static void test_filters_when_more_runs_than_asked_at_once_then_each_has_its_bit(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    for (uint32_t run = 0; run < RUNS_MAX; run++)
        commit_run(segment, run, 3);
    for (uint32_t run = 0; run < RUNS_MAX; run++) {
        char key[32];
        size_t n;
        snprintf(key, sizeof key, "%u/2", run);
        assert_ok(find(segment, key, &n));
        assert_int_equal(n, 1);
        for (uint32_t first = 0; first < RUNS_MAX; first += 1 + (uint32_t)chance(20)) {
            uint32_t most = RUNS_MAX - first < 64 ? RUNS_MAX - first : 64;
            uint32_t count = 1 + (uint32_t)chance(most);
            uint64_t runs;
            assert_ok(ask(segment, words(key), first, count, &runs));
            assert_true(count == 64 || runs >> count == 0);
            if (run >= first && run < first + count)
                assert_true(runs >> (run - first) & 1);
        }
    }
    svl__segment_close(segment);
}

static MDB_txn *begin_forging(struct segment *segment)
{
    MDB_txn *txn;
    assert_ok(svl__lmdb_begin_write(&segment->lmdb, &txn));
    return txn;
}

/* Cuts the seal of a run's only chunk: whoever reads it finds it damaged. */
static void damage_chunk(struct segment *segment, uint32_t run)
{
    MDB_txn *txn = begin_forging(segment);
    uint8_t bytes[4], copy[CHUNK_BYTES_MAX];
    store_u32(bytes, __builtin_bswap32(run + 1));
    MDB_val key = { sizeof bytes, bytes }, value;
    assert_int_equal(mdb_get(txn, segment->keys, &key, &value), 0);
    memcpy(copy, value.mv_data, value.mv_size);
    copy[value.mv_size - 1] ^= 1;
    value.mv_data = copy;
    assert_int_equal(mdb_put(txn, segment->keys, &key, &value, 0), 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
}

static void test_lookup_when_a_filter_rules_a_run_out_then_does_not_read_it(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    size_t n;
    for (uint32_t run = 0; run < 3; run++)
        commit_run(segment, run, 10);
    damage_chunk(segment, 1);
    assert_int_equal(find(segment, "1/4", &n), SVL_E_CORRUPT);
    assert_ok(find(segment, "0/4", &n));
    assert_int_equal(n, 1);
    assert_ok(find(segment, "2/4", &n));
    assert_int_equal(n, 1);
    svl__segment_close(segment);
}

/* Puts `len` bytes, or nothing, as the filter of a run. */
static void put_filter(struct segment *segment, uint64_t run, const void *bytes, size_t len)
{
    MDB_txn *txn = begin_forging(segment);
    MDB_val key = { sizeof run, &run }, value = { len, (void *)(uintptr_t)bytes };
    assert_int_equal(bytes ? mdb_put(txn, segment->filters, &key, &value, 0)
                           : mdb_del(txn, segment->filters, &key, NULL),
                     0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
}

/* The last key of each run of ten. */
static void assert_found_in_each(struct segment *segment, uint32_t runs)
{
    for (uint32_t run = 0; run < runs; run++) {
        char key[32];
        size_t n;
        snprintf(key, sizeof key, "%u/9", run);
        assert_ok(find(segment, key, &n));
        assert_int_equal(n, 1);
    }
}

static void test_run_when_it_has_no_filter_then_is_asked(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    for (uint32_t run = 0; run < 3; run++)
        commit_run(segment, run, 10);
    put_filter(segment, 1, NULL, 0);
    assert_found_in_each(segment, 3);
    assert_ok(verify(segment));
    svl__segment_close(segment);
}

/* As a store of before has it: no table of filters. It goes on without. */
static void test_segment_when_it_has_no_filters_then_its_runs_are_asked(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    size_t n;
    commit_run(segment, 0, 10);
    MDB_txn *txn = begin_forging(segment);
    assert_int_equal(mdb_drop(txn, segment->filters, 1), 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
    segment_reopen(&segment);
    assert_false(segment->has_filters);
    commit_run(segment, 1, 10);
    segment_reopen(&segment);
    assert_false(segment->has_filters);
    assert_found_in_each(segment, 2);
    assert_ok(find(segment, "zebra", &n));
    assert_int_equal(n, 0);
    assert_ok(verify(segment));
    svl__segment_close(segment);
}

/* For how many of a run's 100 keys damage is told; all are found. */
static unsigned count_told(struct segment *segment, uint32_t run)
{
    unsigned told = 0;
    for (uint32_t i = 0; i < 100; i++) {
        char key[32];
        size_t n;
        snprintf(key, sizeof key, "%u/%u", run, i);
        int rc = find(segment, key, &n);
        assert_true((rc == SVL_E_CORRUPT || rc == SVL_OK) && n == 1);
        told += rc == SVL_E_CORRUPT;
    }
    return told;
}

static void test_filter_when_any_byte_is_another_then_verify_minds_and_lookups_of_its_line(
    void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    uint8_t filter[FILTER_HEAD_BYTES + 4 * BLOOM_LINE_BYTES];
    commit_run(segment, 0, 100);
    assert_int_equal(get_filter(segment, 0, filter, sizeof filter), sizeof filter);
    assert_int_equal(count_told(segment, 0), 0);
    for (size_t at = 0; at < sizeof filter; at++) {
        uint8_t flip = (uint8_t)(1u << chance(8));
        filter[at] ^= flip;
        put_filter(segment, 0, filter, sizeof filter);
        assert_int_equal(verify(segment), SVL_E_CORRUPT);
        if (at < FILTER_HEAD_BYTES)
            assert_int_equal(count_told(segment, 0), 0);
        else
            assert_in_range(count_told(segment, 0), 5, 60);
        filter[at] ^= flip;
    }
    svl__segment_close(segment);
}

static void test_filter_when_it_is_none_then_corrupt(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES), *other = segment_new(100000, MAP_BYTES);
    uint8_t filter[FILTER_HEAD_BYTES + 8 * BLOOM_LINE_BYTES];
    const size_t len = FILTER_HEAD_BYTES + 4 * BLOOM_LINE_BYTES;
    commit_run(segment, 0, 100);
    commit_run(segment, 1, 100);
    commit_run(other, 0, 100);
    get_filter(segment, 0, filter, len);
    static const size_t sizes[] = { 1, 47, 48, 49, 64, 111, 113, len - 1, len + 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put_filter(segment, 0, filter, sizes[i]);
        assert_int_equal(count_told(segment, 0), 100);
        assert_int_equal(verify(segment), SVL_E_CORRUPT);
    }
    /* A line less, or one more: lines know of how many they are one. */
    put_filter(segment, 0, filter, len - BLOOM_LINE_BYTES);
    assert_int_equal(count_told(segment, 0), 100);
    memset(filter + len, 0xff, BLOOM_LINE_BYTES);
    put_filter(segment, 0, filter, len + BLOOM_LINE_BYTES);
    assert_int_equal(count_told(segment, 0), 100);
    /* Of another run, of another segment; its lines in another order. */
    put_filter(segment, 1, filter, len);
    assert_int_equal(count_told(segment, 1), 100);
    put_filter(other, 0, filter, len);
    assert_int_equal(count_told(other, 0), 100);
    memcpy(filter + len, filter + FILTER_HEAD_BYTES, BLOOM_LINE_BYTES);
    memmove(filter + FILTER_HEAD_BYTES, filter + FILTER_HEAD_BYTES + BLOOM_LINE_BYTES,
            len - FILTER_HEAD_BYTES);
    put_filter(segment, 0, filter, len);
    assert_int_equal(count_told(segment, 0), 100);
    svl__segment_close(segment);
    svl__segment_close(other);
}

static void test_filters_when_one_is_of_no_run_then_verify_minds(void **state)
{
    (void)state;
    struct segment *segment = segment_new(1, MAP_BYTES);
    uint8_t filter[FILTER_HEAD_BYTES + BLOOM_LINE_BYTES];
    commit_run(segment, 0, 10);
    size_t len = get_filter(segment, 0, filter, sizeof filter);
    put_filter(segment, 1, filter, len);
    assert_int_equal(verify(segment), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), "filter of run 1: there is no such run"));
    svl__segment_close(segment);
}

int main(void)
{
    chance_start();
    segment_files_unused();
#define SEGMENT_TEST(f) cmocka_unit_test_setup_teardown(f, place_new, place_close)
    const struct CMUnitTest tests[] = {
        SEGMENT_TEST(test_filter_when_its_size_varies_then_names_each_key_and_few_others),
        SEGMENT_TEST(test_filter_when_blocks_share_keys_then_is_as_small_and_as_good),
        SEGMENT_TEST(test_filters_when_more_runs_than_asked_at_once_then_each_has_its_bit),
        SEGMENT_TEST(test_lookup_when_a_filter_rules_a_run_out_then_does_not_read_it),
        SEGMENT_TEST(test_run_when_it_has_no_filter_then_is_asked),
        SEGMENT_TEST(test_segment_when_it_has_no_filters_then_its_runs_are_asked),
        SEGMENT_TEST(
            test_filter_when_any_byte_is_another_then_verify_minds_and_lookups_of_its_line),
        SEGMENT_TEST(test_filter_when_it_is_none_then_corrupt),
        SEGMENT_TEST(test_filters_when_one_is_of_no_run_then_verify_minds),
    };
    return cmocka_run_group_tests_name("store/keyfilter", tests, NULL, NULL);
}
