/* A segment of whose key index LMDB's own pages are damaged: it gives all of its records, by key as well, says what is
 * damaged to whoever asks for a key, and takes nothing more. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lmdb_bytes.h"

#define RECORDS 12000u /* more than 256 blocks: a run of the key index, and some behind it */
#define AT_ONCE 100u
#define KEYS 40u
#define SEGMENT_NAME "00000000000000000001-01.seg"

static char path[512];
static svl_store *store;

static void open_store(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.segment_bytes = 16 << 20;
    assert_ok(svl_store_open(path, &o, &store));
}

static void append(uint64_t from, uint64_t n)
{
    static char keys[AT_ONCE][16];
    svl_record records[AT_ONCE];
    for (uint64_t i = 0; i < n; i++) {
        int len = snprintf(keys[i], sizeof keys[i], "key-%02d", (int)((from + i) % KEYS));
        records[i] = (svl_record){ .time_ns = (int64_t)(from + i),
                                   .key = { keys[i], (size_t)len },
                                   .body = slice_of(
                                       "some words, and some more of them, so that a block of four "
                                       "thousand bytes is full with some thirty records") };
    }
    assert_ok(svl_store_append(store, records, n, NULL));
}

static int make_store(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    open_store();
    for (uint64_t from = 0; from < RECORDS; from += AT_ONCE)
        append(from, AT_ONCE);
    assert_ok(svl_store_close(store));
    return 0;
}

/* Zeros the page from which all others of the table are reached. */
static void damage_table(const char *name)
{
    static const uint8_t zeros[PAGE];
    char file[600];
    snprintf(file, sizeof file, "%s/" SEGMENT_NAME, path);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_true(fd >= 0 && size > 0);
    uint8_t *bytes = malloc((size_t)size);
    assert_true(bytes && pread(fd, bytes, (size_t)size, 0) == size);
    uint64_t root = load_u64(bytes + find_table(bytes, name) + TABLE_ROOT);
    assert_true(root < (uint64_t)size / PAGE);
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)root * PAGE), PAGE);
    free(bytes);
    close(fd);
}

/* How many records it gives; all else that it says is of the key index, *told times. */
static uint64_t count(const char *key, unsigned *told)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    *told = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = key ? SVL_KEY_EXACT : SVL_KEY_ANY;
    query.key_low = slice_of(key ? key : "");
    assert_ok(svl_store_query(store, &query, &cursor));
    for (int rc; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END;) {
        n += rc == SVL_OK;
        if (rc == SVL_OK)
            continue;
        assert_int_equal(rc, SVL_E_CORRUPT);
        assert_non_null(strstr(svl_last_error(), "key index: " SEGMENT_NAME ": page "));
        assert_int_equal(++*told, 1);
    }
    svl_cursor_close(cursor);
    return n;
}

static void count_findings(int32_t code, const char *what, void *findings)
{
    assert_int_equal(code, SVL_E_CORRUPT);
    assert_non_null(strstr(what, SEGMENT_NAME));
    ++*(unsigned *)findings;
}

static svl_store_stats stats_of(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats;
}

static void assert_all_there(uint64_t records)
{
    unsigned told, findings = 0;
    assert_int_equal(count(NULL, &told), records);
    assert_int_equal(told, 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(count("key-07", &told), records / KEYS);
        assert_int_equal(told, 1);
    }
    assert_int_equal(svl_store_verify(store, count_findings, NULL, &findings), SVL_E_CORRUPT);
    assert_int_equal(findings, 1);
}

static void assert_lives_without(const char *table)
{
    open_store();
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
    damage_table(table);
    open_store();
    assert_all_there(RECORDS);
    assert_int_equal(stats_of().segments, 1);
    uint64_t damaged = stats_of().damaged;
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_int_equal(stats_of().segments, 2);
    assert_int_equal(stats_of().damaged, damaged + 1);
    append(RECORDS + AT_ONCE, KEYS - AT_ONCE % KEYS);
    assert_all_there(RECORDS + AT_ONCE + KEYS - AT_ONCE % KEYS);
    assert_ok(svl_store_close(store));
    open_store();
    assert_all_there(RECORDS + AT_ONCE + KEYS - AT_ONCE % KEYS);
    assert_ok(svl_store_close(store));
}

static void test_key_index_when_its_pages_are_damaged_then_blocks_answer(void **state)
{
    (void)state;
    assert_lives_without("keys");
}

static void test_key_filters_when_their_pages_are_damaged_then_blocks_answer(void **state)
{
    (void)state;
    assert_lives_without("keyfilters");
}

/* The first commit of a store is the first to need its index. */
static void test_key_index_when_damaged_and_nobody_asks_then_a_commit_tells(void **state)
{
    (void)state;
    damage_table("keys");
    open_store();
    assert_int_equal(stats_of().damaged, 0);
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_int_equal(stats_of().segments, 2);
    assert_int_equal(stats_of().damaged, 1);
    assert_ok(svl_store_close(store));
}

int main(void)
{
#define DAMAGED_TEST(f) cmocka_unit_test_setup(f, make_store)
    const struct CMUnitTest tests[] = {
        DAMAGED_TEST(test_key_index_when_its_pages_are_damaged_then_blocks_answer),
        DAMAGED_TEST(test_key_filters_when_their_pages_are_damaged_then_blocks_answer),
        DAMAGED_TEST(test_key_index_when_damaged_and_nobody_asks_then_a_commit_tells),
    };
    int failed = cmocka_run_group_tests_name("store/index_damaged", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
