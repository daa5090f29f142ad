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
    assert_ok(svl__segment_find_keys(segment, c, id_min, id_max, &found));
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

static int put_entry(struct segment *segment, svl_slice key, svl_slice value)
{
    MDB_txn *txn;
    uint8_t bytes[64] = { 0 }; /* run 0 */
    memcpy(bytes + 4, key.data, key.len);
    MDB_val k = { 4 + key.len, bytes }, v = { value.len, (void *)(uintptr_t)value.data };
    assert_ok(svl__lmdb_begin_write(&segment->lmdb, &txn));
    int code = mdb_put(txn, segment->keys, &k, &v, 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
    return code;
}

static void test_entry_when_no_list_of_ids_then_corrupt(void **state)
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
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    commit_new(segment, 3, 30, true);
    segment->runs = 1;
    struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = words("zebra") };
    struct key_condition other = { .kind = SVL_KEY_EXACT, .low = words("zebr") };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer found = { 0 };
        svl_slice value = { cases[i].bytes, cases[i].len };
        assert_int_equal(put_entry(segment, exact.low, value), 0);
        assert_int_equal(svl__segment_find_keys(segment, &exact, 1, UINT64_MAX, &found),
                         SVL_E_CORRUPT);
        svl__buffer_free(&found);
        assert_found(segment, &other, 1, UINT64_MAX);
    }
    svl__segment_close(segment);
    model_free();
}

/* The number of runs is the file's word. */
static void test_lookup_when_the_file_says_to_have_all_runs_there_can_be_then_ends(void **state)
{
    (void)state;
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    commit_new(segment, 3, 30, true);
    commit_new(segment, 3, 30, true);
    segment->runs = UINT32_MAX;
    struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = words("zebra") };
    struct key_condition all = { .kind = SVL_KEY_PREFIX };
    assert_found(segment, &exact, 1, UINT64_MAX);
    assert_found(segment, &all, 1, UINT64_MAX);
    svl__segment_close(segment);
    model_free();
}

static void test_entry_when_without_a_key_then_corrupt(void **state)
{
    (void)state;
    model_start();
    struct segment *segment = segment_new(1, MAP_BYTES);
    commit_new(segment, 3, 30, true);
    segment->runs = 2;
    MDB_txn *txn;
    MDB_val key = { 4, (void *)(uintptr_t) "\0\0\0\1" }, value = { 1, (void *)(uintptr_t) "\1" };
    struct key_condition all = { .kind = SVL_KEY_PREFIX };
    struct buffer found = { 0 };
    assert_ok(svl__lmdb_begin_write(&segment->lmdb, &txn));
    assert_int_equal(mdb_put(txn, segment->keys, &key, &value, 0), 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
    assert_int_equal(svl__segment_find_keys(segment, &all, 1, UINT64_MAX, &found), SVL_E_CORRUPT);
    svl__buffer_free(&found);
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
        SEGMENT_TEST(test_entry_when_no_list_of_ids_then_corrupt),
        SEGMENT_TEST(test_lookup_when_the_file_says_to_have_all_runs_there_can_be_then_ends),
        SEGMENT_TEST(test_entry_when_without_a_key_then_corrupt),
        cmocka_unit_test(test_ids_when_sorted_then_ascend_each_once),
        cmocka_unit_test(test_ids_when_far_apart_then_ascend_as_well),
    };
    return cmocka_run_group_tests_name("store/keyruns", tests, NULL, NULL);
}
