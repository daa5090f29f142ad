/* A segment: what was committed is read back, as often as it is opened; a full map asks for a roll and
 * has lost nothing; a file of another version or store is refused. */
#include "base/checksum.h"
#include "segment_files.h"

#define MAP_BYTES (UINT64_C(3) << 20)
#define FIRST_ID 1000
#define BLOCKS_MAX 400

static struct block *blocks[BLOCKS_MAX];
static size_t block_count;

static uint64_t next_id(void)
{
    const struct block *last = block_count ? blocks[block_count - 1] : NULL;
    return last ? last->zone.first_id + last->zone.count : FIRST_ID;
}

/* The next block, with `records` records of keys of `key_bytes`, all different in the segment. */
static struct block *next_block(uint32_t records, size_t key_bytes, size_t body_bytes)
{
    static uint8_t body[4096];
    struct records list = { .first_id = next_id() };
    chance_bytes(body, sizeof body);
    for (uint32_t i = 0; i < records; i++) {
        uint64_t id = __builtin_bswap64(list.first_id + i);
        svl_record r = { .time_ns = 1 + (int64_t)chance(1000),
                         .severity = (uint32_t)chance(25),
                         .key = { (const uint8_t *)&id + sizeof id - key_bytes, key_bytes },
                         .body = { body, body_bytes } };
        records_add(&list, &r, (int64_t)list.first_id);
    }
    struct block *block = block_of(SVL_CODEC_NONE, &list);
    records_free(&list);
    return block;
}

static void forget_blocks(void)
{
    while (block_count > 0)
        svl__block_release(blocks[--block_count]);
}

/* Commits up to four new blocks; they are kept if the segment took them. */
static int commit_some(struct segment *segment, uint32_t records, size_t key_bytes, size_t body_max)
{
    size_t before = block_count;
    for (uint64_t n = 1 + chance(4); n > 0; n--) {
        assert_true(block_count < BLOCKS_MAX);
        struct block *block = next_block(records, key_bytes, chance(body_max + 1));
        blocks[block_count++] = block; /* what next_block() looks at */
    }
    int rc = svl__segment_commit(segment, blocks + before, block_count - before, false);
    while (rc != SVL_OK && block_count > before)
        svl__block_release(blocks[--block_count]);
    return rc;
}

/* Also what a failed test has left. */
static int start(void **state)
{
    forget_blocks();
    return place_new(state);
}

static void no_damage(int32_t code, const char *what, void *user)
{
    (void)user;
    print_error("%d: %s\n", code, what);
}

static int count_bytes(uint64_t bytes, void *user)
{
    *(uint64_t *)user += bytes;
    return SVL_OK;
}

static void assert_info(struct segment *segment)
{
    struct segment_info info;
    uint64_t raw = 0, stored = 0;
    int64_t time_min = INT64_MAX, time_max = INT64_MIN;
    svl__segment_info_get(segment, &info);
    for (size_t i = 0; i < block_count; i++) {
        const struct zone *z = &blocks[i]->zone;
        raw += z->raw_bytes;
        stored += z->stored_bytes;
        time_min = z->time_min_ns < time_min ? z->time_min_ns : time_min;
        time_max = z->time_max_ns > time_max ? z->time_max_ns : time_max;
    }
    assert_true(info.first_id == FIRST_ID && info.last_id == next_id() - 1);
    assert_true(info.blocks == block_count && info.raw_bytes == raw && info.stored_bytes == stored);
    if (block_count == 0)
        return;
    assert_true(info.time_min_ns == time_min && info.time_max_ns == time_max);
    assert_true(info.ingest_min_ns == FIRST_ID);
    assert_true(info.ingest_max_ns == (int64_t)blocks[block_count - 1]->zone.first_id);
}

/* Everything that was committed, and nothing else. */
static void assert_whole(struct segment *segment)
{
    struct buffer bytes = { 0 };
    uint64_t checked = 0;
    assert_info(segment);
    for (size_t i = 0; i < block_count; i++) {
        assert_ok(svl__segment_read_block(segment, blocks[i]->zone.first_id, &bytes));
        assert_int_equal(bytes.len, blocks[i]->len);
        assert_memory_equal(bytes.data, blocks[i]->data, bytes.len);
    }
    assert_int_equal(svl__segment_read_block(segment, next_id(), &bytes), SVL_E_CORRUPT);
    assert_int_equal(svl__segment_read_block(segment, FIRST_ID + 1, &bytes), SVL_E_CORRUPT);
    svl__buffer_free(&bytes);
    assert_ok(svl__segment_verify(segment, NULL, true, no_damage, count_bytes, &checked));
    assert_true(checked == segment->info.stored_bytes);
}

static void assert_zones(struct segment *segment, uint64_t id_min, uint64_t id_max, bool backward,
                         size_t max)
{
    struct zone zones[BLOCKS_MAX];
    size_t n, at = 0;
    assert_ok(svl__segment_zones(segment, id_min, id_max, backward, zones, max, &n));
    for (size_t i = 0; i < block_count && at < max; i++) {
        const struct zone *z = &blocks[backward ? block_count - 1 - i : i]->zone;
        if (z->first_id > id_max || z->first_id + z->count <= id_min)
            continue;
        assert_true(at < n);
        assert_memory_equal(&zones[at++], z, sizeof *z);
    }
    assert_int_equal(at, n);
}

static void test_blocks_when_appended_until_full_then_all_are_read_back(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_info(segment);
    int rc;
    while ((rc = commit_some(segment, 100, 8, 40)) == SVL_OK)
        if (chance(10) == 0)
            segment_reopen(&segment);
    assert_int_equal(rc, SVL_E_FULL);
    assert_true(block_count > 10);
    assert_whole(segment);
    assert_int_equal(commit_some(segment, 4000, 8, 40), SVL_E_FULL); /* and goes on to say so */
    segment_reopen(&segment);
    assert_whole(segment);
    assert_ok(svl__segment_commit(segment, NULL, 0, true));
    assert_whole(segment);
    assert_int_equal(segment->pending_blocks, 0);
    segment_reopen(&segment);
    assert_whole(segment);
    svl__segment_close(segment);
    forget_blocks();
}

/* Short keys take more in the index than in the sets that wait for it. */
static void test_map_when_full_of_short_keys_then_the_last_run_still_fits(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, UINT64_C(5) << 20);
    while (commit_some(segment, 4000, 3, 0) == SVL_OK)
        ;
    assert_int_equal(segment->runs, 0);
    assert_ok(svl__segment_commit(segment, NULL, 0, true));
    assert_int_equal(segment->runs, 1);
    segment_reopen(&segment);
    assert_info(segment);
    svl__segment_close(segment);
    forget_blocks();
}

static void test_zones_when_asked_for_a_range_then_those_that_reach_into_it(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_zones(segment, 1, UINT64_MAX, false, 10);
    assert_zones(segment, 1, UINT64_MAX, true, 10);
    for (int i = 0; i < 10; i++)
        assert_ok(commit_some(segment, 1 + (uint32_t)chance(20), 8, 40));
    for (int i = 0; i < 500; i++) {
        uint64_t span = next_id() - FIRST_ID + 40;
        uint64_t low = FIRST_ID - 20 + chance(span), high = low + chance(span);
        size_t max = chance(3) ? BLOCKS_MAX : 1 + chance(5);
        assert_zones(segment, low, chance(4) ? high : UINT64_MAX, chance(2), max);
    }
    svl__segment_close(segment);
    forget_blocks();
}

static void test_commit_when_of_nothing_then_changes_nothing(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_ok(svl__segment_commit(segment, NULL, 0, true));
    assert_ok(svl__segment_commit(segment, NULL, 0, false));
    assert_whole(segment);
    segment_reopen(&segment);
    assert_whole(segment);
    svl__segment_close(segment);
}

static void test_name_when_parsed_then_says_what_it_was_made_of(void **state)
{
    (void)state;
    static const char *const others[] = { "",
                                          "00000000000000000007-03.se",
                                          "00000000000000000007-03.segx",
                                          "00000000000000000007-03.seg-lock",
                                          "0000000000000000007-03.seg",
                                          "000000000000000000007-03.seg",
                                          "0000000000000000000x-03.seg",
                                          "00000000000000000007_03.seg",
                                          "00000000000000000007-3x.seg",
                                          " 0000000000000000007-03.seg",
                                          "catalog.mdb" };
    char name[SEGMENT_NAME_BYTES];
    uint64_t first_id;
    uint32_t generation;
    struct segment_info info = { .first_id = UINT64_MAX, .generation = 42 };
    svl__segment_name(&info, name);
    assert_string_equal(name, "18446744073709551615-42.seg");
    assert_true(svl__segment_name_parse(name, &first_id, &generation));
    assert_true(first_id == UINT64_MAX && generation == 42);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(svl__segment_name_parse(others[i], &first_id, &generation));
}

/* --- what is refused --- */

static struct segment_info close_for(struct segment *segment)
{
    struct segment_info info;
    svl__segment_info_get(segment, &info);
    svl__segment_close(segment);
    return info;
}

static void assert_refused(const struct segment_info *info, int code)
{
    struct segment *segment = (struct segment *)(void *)place_path;
    assert_int_equal(svl__segment_open(&place, info, &segment), code);
    assert_null(segment);
    assert_string_not_equal(svl_last_error(), "");
}

static void test_segment_when_not_the_one_named_then_refused(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_ok(commit_some(segment, 20, 8, 40));
    struct segment_info info = close_for(segment), other = info;
    other.uuid[3] ^= 1;
    assert_refused(&other, SVL_E_CORRUPT);
    other = info;
    other.map_bytes += 4096;
    assert_refused(&other, SVL_E_CORRUPT);
    other = info;
    other.generation++;
    assert_refused(&other, SVL_E_CORRUPT); /* its file is missing */
    place.store_uuid[0] ^= 1;
    assert_refused(&info, SVL_E_FOREIGN);
    place.store_uuid[0] ^= 1;
    assert_ok(svl__segment_open(&place, &info, &segment));
    assert_whole(segment);
    svl__segment_close(segment);
    forget_blocks();
}

static void test_segment_when_created_again_then_is_another_and_empty(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    struct segment_info info = close_for(segment);
    segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_whole(segment);
    svl__segment_close(segment);
    assert_refused(&info, SVL_E_CORRUPT);
}

static void test_segment_when_created_over_records_then_refused(void **state)
{
    (void)state;
    struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
    assert_ok(commit_some(segment, 2, 1, 1));
    struct segment_info info = close_for(segment), other = info;
    assert_int_equal(svl__segment_create(&place, &other, &segment), SVL_E_CORRUPT);
    assert_null(segment);
    assert_ok(svl__segment_open(&place, &info, &segment));
    assert_whole(segment);
    svl__segment_close(segment);
    forget_blocks();
}

/* The meta entry as another version might have written it: `more` bytes longer, its checksum right. */
static void write_meta(const struct segment_info *info, uint32_t version, uint32_t compatible,
                       uint32_t incompatible, size_t more)
{
    uint8_t bytes[SEGMENT_META_BYTES + 16] = { 0 };
    struct segment *segment;
    MDB_txn *txn;
    assert_ok(svl__segment_open(&place, info, &segment));
    svl__segment_meta_encode(segment, bytes);
    store_u32(bytes, version);
    store_u32(bytes + 4, compatible);
    store_u32(bytes + 8, incompatible);
    size_t sum_at = SEGMENT_META_BYTES + more - 8;
    store_u64(bytes + SEGMENT_META_BYTES - 8, 0);
    store_u64(bytes + sum_at, svl__checksum(bytes, sum_at));
    MDB_val key = { 7, (void *)(uintptr_t) "segment" },
            value = { SEGMENT_META_BYTES + more, bytes };
    assert_ok(svl__lmdb_begin_write(&segment->lmdb, &txn));
    assert_int_equal(mdb_put(txn, segment->meta, &key, &value, 0), 0);
    assert_ok(svl__lmdb_commit(&segment->lmdb, txn));
    svl__segment_close(segment);
}

static void test_segment_when_of_another_version_then_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t version, compatible, incompatible;
        size_t more;
        int code;
    } cases[] = {
        { 2, 0, 0, 0, SVL_E_VERSION },          { 2, 0, 0, 16, SVL_E_VERSION },
        { UINT32_MAX, 0, 0, 0, SVL_E_VERSION }, { 1, 0, 1, 0, SVL_E_VERSION },
        { 1, 0, 1u << 31, 16, SVL_E_VERSION },  { 0, 0, 0, 0, SVL_E_CORRUPT },
        { 1, 0, 0, 16, SVL_E_CORRUPT },         { 1, 5, 0, 0, SVL_OK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct segment *segment = segment_new(FIRST_ID, MAP_BYTES);
        assert_ok(commit_some(segment, 20, 8, 40));
        struct segment_info info = close_for(segment);
        write_meta(&info, cases[i].version, cases[i].compatible, cases[i].incompatible,
                   cases[i].more);
        if (cases[i].code == SVL_OK) {
            assert_ok(svl__segment_open(&place, &info, &segment));
            assert_whole(segment);
            svl__segment_close(segment);
        } else {
            assert_refused(&info, cases[i].code);
        }
        char name[SEGMENT_NAME_BYTES];
        svl__segment_name(&info, name);
        svl__segment_file_remove(place.directory, name);
        forget_blocks();
    }
}

int main(void)
{
    chance_start();
    segment_files_unused();
#define SEGMENT_TEST(f) cmocka_unit_test_setup_teardown(f, start, place_close)
    const struct CMUnitTest tests[] = {
        SEGMENT_TEST(test_blocks_when_appended_until_full_then_all_are_read_back),
        SEGMENT_TEST(test_map_when_full_of_short_keys_then_the_last_run_still_fits),
        SEGMENT_TEST(test_zones_when_asked_for_a_range_then_those_that_reach_into_it),
        SEGMENT_TEST(test_commit_when_of_nothing_then_changes_nothing),
        cmocka_unit_test(test_name_when_parsed_then_says_what_it_was_made_of),
        SEGMENT_TEST(test_segment_when_not_the_one_named_then_refused),
        SEGMENT_TEST(test_segment_when_created_again_then_is_another_and_empty),
        SEGMENT_TEST(test_segment_when_created_over_records_then_refused),
        SEGMENT_TEST(test_segment_when_of_another_version_then_refused),
    };
    return cmocka_run_group_tests_name("store/segment", tests, NULL, NULL);
}
