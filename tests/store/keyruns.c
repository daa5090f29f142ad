/* The key index: whatever is in runs and whatever still waits for one, a lookup names the blocks that a
 * walk over all keys finds. */
#include "segment_files.h"

#define MAP_BYTES (UINT64_C(16) << 20)
#define BLOCKS_MAX 700

/* The plain model: what each block holds. */
struct model_block {
    uint64_t first_id, last_id;
    struct records records;
};

static struct model_block blocks[BLOCKS_MAX];
static size_t block_count;
static uint64_t next_id;

static void model_start(void)
{
    block_count = 0;
    next_id = 1;
}

static void model_free(void)
{
    for (size_t i = 0; i < block_count; i++)
        records_free(&blocks[i].records);
    block_count = 0;
}

/* Few letters and mostly few of them, so that blocks share keys and keys share prefixes. */
static svl_slice any_key(uint8_t *out)
{
    static const uint8_t letters[] = { 'a', 'b', 'c', '\0', 0xff };
    size_t len = chance(20) ? 1 + chance(4) : 1 + chance(RECORD_KEY_MAX);
    size_t kinds = len > 4 ? 2 : sizeof letters;
    for (size_t i = 0; i < len; i++)
        out[i] = letters[chance(kinds)];
    if (chance(30) == 0) /* the last of all, and longer than what is compared as one number */
        memset(out, 0xff, len);
    return (svl_slice){ out, len };
}

/* A block of up to `records_max` records; some have no key, some blocks none at all. */
static struct block *add_block(uint32_t records_max)
{
    struct model_block *m = &blocks[block_count++];
    assert_true(block_count <= BLOCKS_MAX);
    bool has_keys = chance(8) != 0;
    uint32_t n = 1 + (uint32_t)chance(records_max);
    m->records = (struct records){ .first_id = next_id };
    for (uint32_t i = 0; i < n; i++) {
        uint8_t bytes[RECORD_KEY_MAX];
        svl_record record = { .time_ns = 1, .body = words("x") };
        if (has_keys && chance(5) != 0)
            record.key = any_key(bytes);
        records_add(&m->records, &record, 1);
    }
    m->first_id = next_id;
    m->last_id = next_id + n - 1;
    next_id += n;
    return block_of(SVL_CODEC_NONE, &m->records);
}

static void commit_new(struct segment *segment, size_t n, uint32_t records_max, bool finish)
{
    struct block *list[64];
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++)
        list[i] = add_block(records_max);
    assert_ok(svl__segment_commit(segment, list, n, finish));
    for (size_t i = 0; i < n; i++)
        svl__block_release(list[i]);
}

/* The words of serverlog/store.h on svl_key_kind, spelled out. */
static bool meets(const struct key_condition *c, svl_slice key)
{
    size_t shorter = key.len < c->low.len ? key.len : c->low.len;
    int low = shorter ? memcmp(key.data, c->low.data, shorter) : 0;
    if (key.len == 0)
        return false;
    if (c->kind == SVL_KEY_EXACT)
        return same_slice(key, c->low);
    if (c->kind == SVL_KEY_PREFIX)
        return key.len >= c->low.len && low == 0;
    if (low < 0 || (low == 0 && key.len < c->low.len))
        return false;
    shorter = key.len < c->high.len ? key.len : c->high.len;
    int high = shorter ? memcmp(key.data, c->high.data, shorter) : 0;
    return c->high.len == 0 || high < 0 || (high == 0 && key.len < c->high.len);
}

static bool block_meets(const struct model_block *m, const struct key_condition *c)
{
    for (uint32_t i = 0; i < m->records.count; i++)
        if (meets(c, m->records.list[i].key))
            return true;
    return false;
}

static void assert_found(struct segment *segment, const struct key_condition *c, uint64_t id_min,
                         uint64_t id_max)
{
    struct buffer found = { 0 };
    bool is_whole;
    assert_ok(svl__segment_find_keys(segment, c, id_min, id_max, &found, &is_whole));
    assert_true(is_whole);
    size_t n = found.len / sizeof(uint64_t), at = 0;
    for (size_t i = 0; i < block_count; i++) {
        bool met = blocks[i].first_id <= id_max && block_meets(&blocks[i], c);
        bool named = at < n && load_u64(found.data + at * sizeof(uint64_t)) == blocks[i].first_id;
        /* Where blocks end is not in the index: one before the range may be named, the last one. */
        if (blocks[i].last_id >= id_min)
            assert_true(named == met);
        else if (named)
            assert_true(met && at == 0);
        at += named;
    }
    assert_int_equal(at, n);
    svl__buffer_free(&found);
}

static struct key_condition any_condition(uint8_t low[RECORD_KEY_MAX], uint8_t high[RECORD_KEY_MAX])
{
    struct key_condition c = { .kind = SVL_KEY_EXACT + (uint32_t)chance(3),
                               .low = any_key(low),
                               .high = any_key(high) };
    if (c.kind != SVL_KEY_RANGE || chance(4) == 0)
        c.high.len = 0;
    if (c.kind != SVL_KEY_EXACT && chance(6) == 0)
        c.low.len = 0;
    return c;
}

static void assert_found_any(struct segment *segment, int rounds)
{
    uint8_t low[RECORD_KEY_MAX], high[RECORD_KEY_MAX];
    for (int i = 0; i < rounds; i++) {
        struct key_condition c = any_condition(low, high);
        assert_found(segment, &c, 1, UINT64_MAX);
        uint64_t id = 1 + chance(next_id);
        assert_found(segment, &c, id, UINT64_MAX);
        assert_found(segment, &c, 1, id);
        assert_found(segment, &c, id, id + chance(50));
    }
}

static void test_lookup_when_over_many_runs_then_finds_what_a_walk_finds(void **state)
{
    (void)state;
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    for (int round = 0; round < 25; round++) {
        commit_new(segment, 1 + chance(6), 30, chance(2));
        assert_found_any(segment, 10);
    }
    commit_new(segment, 3, 30, false);
    assert_true(segment->runs > 2 && segment->pending_blocks > 0);
    assert_found_any(segment, 100);
    segment_reopen(&segment);
    assert_true(segment->runs > 2 && segment->pending_blocks > 0);
    assert_found_any(segment, 100);
    assert_ok(svl__segment_commit(segment, NULL, 0, true));
    assert_true(segment->pending_blocks == 0 && segment->set_count == 0);
    assert_found_any(segment, 100);
    segment_reopen(&segment);
    assert_found_any(segment, 100);
    svl__segment_close(segment);
    model_free();
}

static void test_run_when_256_blocks_wait_then_is_made_unasked(void **state)
{
    (void)state;
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    while (block_count < 2 * RUN_BLOCKS + 20) {
        commit_new(segment, 1 + chance(40), 2, false);
        assert_int_equal(segment->runs, block_count / RUN_BLOCKS);
        assert_int_equal(segment->pending_blocks, block_count % RUN_BLOCKS);
    }
    assert_found_any(segment, 30);
    segment_reopen(&segment);
    assert_int_equal(segment->runs, block_count / RUN_BLOCKS);
    assert_int_equal(segment->pending_blocks, block_count % RUN_BLOCKS);
    assert_found_any(segment, 30);
    svl__segment_close(segment);
    model_free();
}

static void test_lookup_when_segment_has_no_keys_then_finds_nothing(void **state)
{
    (void)state;
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    struct key_condition all = { .kind = SVL_KEY_PREFIX };
    assert_found(segment, &all, 1, UINT64_MAX);
    struct records records = { .first_id = 1 };
    records_add(&records, &(svl_record){ .body = words("no key") }, 1);
    struct block *block = block_of(SVL_CODEC_NONE, &records);
    assert_ok(svl__segment_commit(segment, &block, 1, true));
    assert_int_equal(segment->runs, 0);
    assert_found(segment, &all, 1, UINT64_MAX);
    svl__block_release(block);
    records_free(&records);
    svl__segment_close(segment);
}

/* --- what a file may hold --- */

static MDB_txn *begin_forging(struct segment *segment)
{
    MDB_txn *txn;
    assert_ok(svl__lmdb_begin_write(&segment->lmdb, &txn));
    return txn;
}

#define LAST_OF_RUN_0 "\0\0\0\1"

/* Puts a chunk with a right seal in the place of run 0's last one. */
static void put_chunk(struct segment *segment, uint8_t *value, size_t len)
{
    MDB_txn *txn = begin_forging(segment);
    MDB_val k = { 4, (void *)(uintptr_t)LAST_OF_RUN_0 }, v = { len + SEAL_BYTES, value };
    store_u64(value + len, svl__seal(segment->keys_place, &k, value, len));
    assert_int_equal(mdb_put(txn, segment->keys, &k, &v, 0), 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
}

static int find_exactly(struct segment *segment, svl_slice key)
{
    struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = key };
    struct buffer found = { 0 };
    bool is_whole;
    int rc = svl__segment_find_keys(segment, &exact, 1, UINT64_MAX, &found, &is_whole);
    assert_true(is_whole == (rc == SVL_OK));
    svl__buffer_free(&found);
    return rc;
}

static struct segment *segment_with_one_run(void)
{
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    segment->runs = 1;
    return segment;
}

static void test_chunk_when_it_has_no_list_of_ids_then_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        { "\x00", 1 },                                          /* id 0 */
        { "\x05\x00", 2 },                                      /* the same id twice */
        { "\x05\x80", 2 },                                      /* cut off */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 },     /* more than 64 bits */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", 11 }, /* past the last id */
    };
    struct segment *segment = segment_with_one_run();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t value[64] = "\0\0\0\0\1\0zebra";
        size_t ids = 11 + cases[i].len;
        memcpy(value + 11, cases[i].bytes, cases[i].len);
        store_u16(value + ids, 11);
        store_u16(value + ids + 2, (uint16_t)ids);
        put_chunk(segment, value, ids + 4);
        assert_int_equal(find_exactly(segment, words("zebra")), SVL_E_CORRUPT);
        assert_ok(find_exactly(segment, words("zebr")));
    }
    svl__segment_close(segment);
}

static void test_chunk_when_its_table_lies_then_corrupt(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint16_t number;
    } cases[] = {
        { 4, 0 },       /* no keys */
        { 4, 2 },       /* a table that begins in the ids */
        { 4, 3 },       /* one that begins before the value */
        { 4, 0xffff },  /* likewise */
        { 12, 6 },      /* a key of no bytes */
        { 12, 5 },      /* of less */
        { 12, 12 },     /* no ids */
        { 12, 0xffff }, /* a key that ends behind the value */
        { 14, 11 },     /* no ids */
        { 14, 10 },     /* less */
        { 14, 13 },     /* ids that reach into the table */
        { 14, 0xffff }, /* behind the value */
    };
    struct segment *segment = segment_with_one_run();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t value[24] = "\0\0\0\0\1\0zebra\5\x0b\0\x0c\0";
        put_chunk(segment, value, 16);
        assert_ok(find_exactly(segment, words("zebra")));
        store_u16(value + cases[i].at, cases[i].number);
        put_chunk(segment, value, 16);
        assert_int_equal(find_exactly(segment, words("zebra")), SVL_E_CORRUPT);
    }
    for (size_t len = 0; len < 16; len++) {
        uint8_t value[24] = "\0\0\0\0\1\0zebra\5\x0b\0\x0c\0";
        put_chunk(segment, value, len);
        assert_int_equal(find_exactly(segment, words("zebra")), SVL_E_CORRUPT);
    }
    svl__segment_close(segment);
}

/* Three blocks with the keys 100 to 899, a run of some chunks; the second of two. */
static struct segment *segment_of_chunks(uint64_t first_id)
{
    struct segment *segment = segment_new(first_id, MAP_BYTES);
    for (unsigned n = 0; n < 3; n++) {
        struct records records = { .first_id = first_id + 800 * n };
        for (unsigned i = 0; i < 800; i++) {
            char key[16];
            snprintf(key, sizeof key, "%u", 100 + i);
            svl_record record = { .key = words(key) };
            records_add(&records, &record, 1);
        }
        struct block *block = block_of(SVL_CODEC_NONE, &records);
        assert_ok(svl__segment_commit(segment, &block, 1, n != 1));
        svl__block_release(block);
        records_free(&records);
    }
    assert_int_equal(segment->runs, 2);
    return segment;
}

/* How many lookups of the keys 000 to 999 are refused; all others find what there is. Each as a range of one key: no
 * filter spares it its chunk. */
static unsigned count_refused(struct segment *segment, uint64_t first_id)
{
    unsigned refused = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%03u", i);
        svl_slice low = words(key), behind = { key, low.len + 1 };
        struct key_condition one = { .kind = SVL_KEY_RANGE, .low = low, .high = behind };
        struct buffer found = { 0 };
        bool is_whole;
        int rc = svl__segment_find_keys(segment, &one, 1, UINT64_MAX, &found, &is_whole);
        assert_true(is_whole == (rc == SVL_OK));
        assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT);
        refused += rc == SVL_E_CORRUPT;
        if (rc == SVL_OK) {
            bool is_there = i >= 100 && i < 900;
            assert_int_equal(found.len, (is_there ? 3 : 0) * sizeof(uint64_t));
            for (size_t n = 0; n < found.len / sizeof(uint64_t); n++)
                assert_true(load_u64(found.data + n * sizeof(uint64_t)) == first_id + 800 * n);
        }
        svl__buffer_free(&found);
    }
    return refused;
}

static void test_lookup_when_a_chunk_is_missing_then_corrupt_for_what_it_covers(void **state)
{
    (void)state;
    for (unsigned chunk = 0;; chunk++) {
        struct segment *segment = segment_of_chunks(1);
        assert_int_equal(count_refused(segment, 1), 0);
        MDB_txn *txn = begin_forging(segment);
        MDB_cursor *cursor;
        MDB_val key, value;
        assert_int_equal(mdb_cursor_open(txn, segment->keys, &cursor), 0);
        int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        for (unsigned i = 0; i < chunk && code == 0; i++)
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        if (code == 0)
            assert_int_equal(mdb_cursor_del(cursor, 0), 0);
        mdb_cursor_close(cursor);
        assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
        assert_in_range(count_refused(segment, 1), code == 0 ? 40 : 0, code == 0 ? 250 : 0);
        svl__segment_close(segment);
        svl__segment_file_remove(place.directory, "00000000000000000001-01.seg");
        if (code != 0) {
            assert_true(chunk > 10);
            break;
        }
    }
}

/* Copies the value of the `from`-th chunk of one segment to the place of the `to`-th of the other. */
static void copy_chunk(struct segment *one, unsigned from, struct segment *other, unsigned to)
{
    MDB_val key, value;
    uint8_t copy[CHUNK_BYTES_MAX];
    size_t len = 0;
    for (int n = 0; n < 2; n++) {
        struct segment *segment = n == 0 ? one : other;
        MDB_txn *txn = begin_forging(segment);
        MDB_cursor *cursor;
        assert_int_equal(mdb_cursor_open(txn, segment->keys, &cursor), 0);
        assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
        for (unsigned i = 0; i < (n == 0 ? from : to); i++)
            assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_NEXT), 0);
        if (n == 0) {
            len = value.mv_size;
            memcpy(copy, value.mv_data, len);
        } else {
            value = (MDB_val){ len, copy };
            assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
        }
        mdb_cursor_close(cursor);
        assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
    }
}

static void test_lookup_when_another_chunk_is_in_the_place_of_one_then_corrupt(void **state)
{
    (void)state;
    struct segment *one = segment_of_chunks(1), *other = segment_of_chunks(5000);
    copy_chunk(one, 1, one, 2); /* of the same run */
    assert_in_range(count_refused(one, 1), 40, 250);
    copy_chunk(other, 0, one, 0); /* the same keys, of another segment */
    assert_in_range(count_refused(one, 1), 180, 500);
    assert_int_equal(count_refused(other, 5000), 0);
    svl__segment_close(one);
    svl__segment_close(other);
}

/* The number of runs is the file's word: there must be as many. */
static void test_lookup_when_the_file_says_to_have_more_runs_then_corrupt(void **state)
{
    (void)state;
    static const uint32_t runs[] = { 3, 4, UINT32_MAX };
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    commit_new(segment, 3, 30, true);
    commit_new(segment, 3, 30, true);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        segment->runs = runs[i];
        assert_int_equal(find_exactly(segment, words("zebra")), SVL_E_CORRUPT);
    }
    svl__segment_close(segment);
    model_free();
}

static void test_ids_when_sorted_then_ascend_each_once(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct buffer ids = { 0 };
        bool given[64] = { false };
        for (uint64_t n = chance(200); n > 0; n--) {
            uint64_t id = chance(64);
            given[id] = true;
            svl__buffer_append(&ids, &id, sizeof id);
        }
        svl__ids_sort_unique(&ids);
        size_t at = 0;
        for (uint64_t id = 0; id < 64; id++) {
            if (!given[id])
                continue;
            assert_true(at < ids.len && load_u64(ids.data + at) == id);
            at += sizeof id;
        }
        assert_int_equal(at, ids.len);
        svl__buffer_free(&ids);
    }
}

/* Their differences fit no 32 bits. */
static void test_ids_when_far_apart_then_ascend_as_well(void **state)
{
    (void)state;
    static const uint64_t given[] = { UINT64_MAX, 3, (UINT64_C(1) << 31) + 4,
                                      (UINT64_C(1) << 32) + 5, 4 };
    static const uint64_t sorted[] = { 3, 4, (UINT64_C(1) << 31) + 4, (UINT64_C(1) << 32) + 5,
                                       UINT64_MAX };
    struct buffer ids = { 0 };
    svl__buffer_append(&ids, given, sizeof given);
    svl__ids_sort_unique(&ids);
    assert_int_equal(ids.len, sizeof sorted);
    assert_memory_equal(ids.data, sorted, sizeof sorted);
    svl__buffer_free(&ids);
}

int main(void)
{
    chance_start();
    segment_files_unused();
#define SEGMENT_TEST(f) cmocka_unit_test_setup_teardown(f, place_new, place_close)
    const struct CMUnitTest tests[] = {
        SEGMENT_TEST(test_lookup_when_over_many_runs_then_finds_what_a_walk_finds),
        SEGMENT_TEST(test_run_when_256_blocks_wait_then_is_made_unasked),
        SEGMENT_TEST(test_lookup_when_segment_has_no_keys_then_finds_nothing),
        SEGMENT_TEST(test_chunk_when_it_has_no_list_of_ids_then_corrupt),
        SEGMENT_TEST(test_chunk_when_its_table_lies_then_corrupt),
        SEGMENT_TEST(test_lookup_when_a_chunk_is_missing_then_corrupt_for_what_it_covers),
        SEGMENT_TEST(test_lookup_when_another_chunk_is_in_the_place_of_one_then_corrupt),
        SEGMENT_TEST(test_lookup_when_the_file_says_to_have_more_runs_then_corrupt),
        cmocka_unit_test(test_ids_when_sorted_then_ascend_each_once),
        cmocka_unit_test(test_ids_when_far_apart_then_ascend_as_well),
    };
    return cmocka_run_group_tests_name("store/keyruns", tests, NULL, NULL);
}
