/* A segment of whose key index LMDB's own pages are damaged: it gives all of its records, by key as well, says what is
 * damaged to whoever asks for a key, and takes nothing more; nor does one whose pages cannot be read. The executable's own pread() stands
 * before the library's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lmdb_bytes.h"
#include "store/state.h"

#define RECORDS 12000u /* more than 256 blocks: a run of the key index, and some behind it */
#define AT_ONCE 100u
#define KEYS 40u
#define SEGMENT_NAME "00000000000000000001-01.seg"

static char path[512];
static svl_store *store;

static ino_t segment_file;
static off_t unreadable; /* a place of it that a read may not touch; 0: none */
static size_t read_most; /* a longer read of it fails; 0: none */

static bool is_unreadable(int fd, size_t len, off_t at)
{
    struct stat st;
    if ((unreadable == 0 && read_most == 0) || fstat(fd, &st) != 0 || st.st_ino != segment_file)
        return false;
    bool touches = unreadable != 0 && at <= unreadable && unreadable < at + (off_t)len;
    return touches || (read_most != 0 && len > read_most);
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    if (!is_unreadable(fd, len, at))
        return syscall(SYS_pread64, fd, data, len, at);
    errno = EIO;
    return -1;
}

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
    struct stat st;
    char file[600];
    snprintf(file, sizeof file, "%s/" SEGMENT_NAME, path);
    assert_int_equal(stat(file, &st), 0);
    segment_file = st.st_ino;
    unreadable = 0;
    read_most = 0;
    return 0;
}

static int open_file(void)
{
    char file[600];
    snprintf(file, sizeof file, "%s/" SEGMENT_NAME, path);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Where the page is from which all others of the table are reached. */
static off_t root_of(const char *table)
{
    int fd = open_file();
    off_t size = lseek(fd, 0, SEEK_END);
    uint8_t *bytes = malloc((size_t)size);
    assert_true(bytes && pread(fd, bytes, (size_t)size, 0) == size);
    uint64_t root = load_u64(bytes + find_table(bytes, table) + TABLE_ROOT);
    assert_true(root < (uint64_t)size / PAGE);
    free(bytes);
    close(fd);
    return (off_t)root * PAGE;
}

static void damage_table(const char *name)
{
    static const uint8_t zeros[PAGE];
    off_t at = root_of(name);
    int fd = open_file();
    assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), PAGE);
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
        assert_non_null(
            strstr(svl_last_error(), "key index: " SEGMENT_NAME ": page ")); /* no word of LMDB's */
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

static void assert_lives_without_index(void)
{
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
    damage_table("keys");
    assert_lives_without_index();
}

static void test_key_filters_when_their_pages_are_damaged_then_blocks_answer(void **state)
{
    (void)state;
    damage_table("keyfilters");
    assert_lives_without_index();
}

/* A query that needs it ends, as the page may be read another time. */
static void test_key_index_when_its_pages_cannot_be_read_then_the_store_goes_on(void **state)
{
    (void)state;
    unsigned told;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    unreadable = root_of("keys");
    open_store();
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_int_equal(stats_of().segments, 2);
    assert_int_equal(stats_of().damaged, 1);
    assert_int_equal(count(NULL, &told), RECORDS + AT_ONCE);
    assert_int_equal(told, 0);
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("key-07");
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_IO);
    assert_non_null(strstr(svl_last_error(), SEGMENT_NAME));
    svl_cursor_close(cursor);
    assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_IO);
    unreadable = 0;
    assert_int_equal(count("key-07", &told), (RECORDS + AT_ONCE + KEYS - 8) / KEYS);
    assert_int_equal(told, 0);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void test_pages_when_others_beside_them_cannot_be_read_then_nothing_is_said(void **state)
{
    (void)state;
    unsigned told;
    read_most = PAGE;
    open_store();
    assert_int_equal(count(NULL, &told), RECORDS);
    assert_int_equal(told, 0);
    assert_int_equal(count("key-07", &told), RECORDS / KEYS);
    assert_int_equal(told, 0);
    read_most = 0;
    assert_ok(svl_store_close(store));
}

static void test_key_index_when_verify_finds_damage_then_nobody_walks_it(void **state)
{
    (void)state;
    unsigned told;
    open_store();
    assert_int_equal(count("key-07", &told), RECORDS / KEYS);
    assert_int_equal(told, 0);
    pthread_mutex_lock(&store->lock);
    store->roll_wanted = true; /* verify reads pages of what nobody writes to */
    pthread_mutex_unlock(&store->lock);
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    damage_table("keys");
    unsigned findings = 0;
    assert_int_equal(svl_store_verify(store, count_findings, NULL, &findings), SVL_E_CORRUPT);
    assert_int_equal(findings, 1);
    count("key-07", &told);
    assert_int_equal(told, 1);
    assert_ok(svl_store_close(store));
}

/* It was whole when a key was asked for. */
static void test_key_index_when_a_commit_finds_damage_then_nobody_walks_it(void **state)
{
    (void)state;
    unsigned told;
    open_store();
    assert_int_equal(count("key-07", &told), RECORDS / KEYS);
    assert_int_equal(told, 0);
    damage_table("keys");
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_int_equal(stats_of().segments, 2);
    assert_int_equal(count("key-07", &told), (RECORDS + AT_ONCE + KEYS - 8) / KEYS);
    assert_int_equal(told, 1);
    assert_ok(svl_store_close(store));
}

static void test_key_index_when_verify_finds_damage_before_a_commit_then_nobody_walks_it(
    void **state)
{
    (void)state;
    unsigned told, findings = 0;
    open_store();
    assert_int_equal(count("key-07", &told), RECORDS / KEYS);
    damage_table("keys");
    assert_int_equal(svl_store_verify(store, count_findings, NULL, &findings), SVL_E_CORRUPT);
    assert_int_equal(findings, 1);
    assert_int_equal(count("key-07", &told), RECORDS / KEYS);
    assert_int_equal(told, 1);
    assert_ok(svl_store_close(store));
}

/* The clock was set, say: the segment is left before a commit would have told. */
static void test_key_index_when_damaged_and_the_segment_is_left_then_told(void **state)
{
    (void)state;
    damage_table("keys");
    open_store();
    pthread_mutex_lock(&store->lock);
    store->roll_wanted = true;
    pthread_mutex_unlock(&store->lock);
    append(RECORDS, AT_ONCE);
    assert_ok(svl_store_commit(store, -1));
    assert_int_equal(stats_of().segments, 2);
    assert_int_equal(stats_of().damaged, 1);
    assert_ok(svl_store_close(store));
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
        DAMAGED_TEST(test_key_index_when_its_pages_cannot_be_read_then_the_store_goes_on),
        DAMAGED_TEST(test_pages_when_others_beside_them_cannot_be_read_then_nothing_is_said),
        DAMAGED_TEST(test_key_index_when_verify_finds_damage_then_nobody_walks_it),
        DAMAGED_TEST(test_key_index_when_verify_finds_damage_before_a_commit_then_nobody_walks_it),
        DAMAGED_TEST(test_key_index_when_a_commit_finds_damage_then_nobody_walks_it),
        DAMAGED_TEST(test_key_index_when_damaged_and_the_segment_is_left_then_told),
        DAMAGED_TEST(test_key_index_when_damaged_and_nobody_asks_then_a_commit_tells),
    };
    int failed = cmocka_run_group_tests_name("store/index_damaged", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
