/* Filters of full segments: who asks for one key opens no segment that does not have it; what is missing or damaged of a
 * filter costs time, and no record. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "store/bloom.h"
#include "store/seal.h"
#include "store/segments_private.h"
#include "store/state.h"
#include "support/support.h"

#define RECORDS 1400u /* of 20,000 bytes: three full segments, and a fourth */
#define AT_ONCE 50u
#define FIRST "00000000000000000001-01"
#define LINE 64u

static char path[512];
static svl_store *store;
static char said[4096]; /* what the log was told */
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static void tell(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)code, (void)user;
    pthread_mutex_lock(&said_lock);
    size_t len = strlen(said);
    if (level >= SVL_SEVERITY_WARN)
        snprintf(said + len, sizeof said - len, "%s\n", text);
    pthread_mutex_unlock(&said_lock);
}

static unsigned times_said(const char *text)
{
    unsigned n = 0;
    pthread_mutex_lock(&said_lock);
    for (const char *at = said; (at = strstr(at, text)); at += strlen(text))
        n++;
    pthread_mutex_unlock(&said_lock);
    return n;
}

static void open_store(uint32_t flags)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.codec = SVL_CODEC_NONE;
    o.segment_bytes = 8 << 20;
    o.flags = flags;
    o.log = tell;
    said[0] = 0;
    assert_ok(svl_store_open(path, &o, &store));
}

static void key_of(uint64_t id, char key[24])
{
    snprintf(key, 24, "key-%06llu", (unsigned long long)id);
}

static void append_and_commit(uint64_t n)
{
    static char body[20000], keys[AT_ONCE][24];
    svl_record records[AT_ONCE];
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    for (uint64_t i = 0; i < n; i++) {
        key_of(stats.last_id + 1 + i, keys[i]);
        records[i] = (svl_record){ .key = slice_of(keys[i]), .body = { body, sizeof body } };
    }
    assert_ok(svl_store_append(store, records, n, NULL));
    assert_ok(svl_store_commit(store, -1));
}

static const char *file_of(const char *name)
{
    static char file[600];
    snprintf(file, sizeof file, "%s/%s", path, name);
    return file;
}

static bool is_there(const char *name)
{
    return access(file_of(name), F_OK) == 0;
}

static bool filters_are_there(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    uint64_t n = 0;
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing));)
        n += strlen(entry->d_name) == strlen(FIRST ".keys") && strstr(entry->d_name, ".keys");
    closedir(listing);
    return n + 1 == stats.segments;
}

static char found[4096]; /* what a verify did */
static int32_t found_code;
static unsigned found_count;

static void find(int32_t code, const char *what, void *user)
{
    (void)user;
    found_code = code;
    found_count++;
    snprintf(found, sizeof found, "%s", what);
}

/* Nobody tells when a filter was made: it is looked for. */
static void wait_until(bool (*is_so)(void))
{
    for (int i = 0; i < 20000 && !is_so(); i++)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    assert_true(is_so());
}

/* Each full segment has its filter then. */
static int make_store(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    open_store(0);
    for (uint64_t id = 1; id <= RECORDS; id += AT_ONCE)
        append_and_commit(AT_ONCE);
    wait_until(filters_are_there);
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    return svl_store_close(store);
}

static void reopen(uint32_t flags)
{
    assert_ok(svl_store_close(store));
    open_store(flags);
}

static svl_store_stats stats_now(void)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats;
}

static size_t open_count(void)
{
    pthread_mutex_lock(&store->segments.lock);
    size_t n = store->segments.open_count;
    pthread_mutex_unlock(&store->segments.lock);
    return n;
}

/* How many records have the key; *skipped segments were not looked into. */
static unsigned count(const char *key, uint64_t *skipped)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    unsigned n = 0;
    svl_cursor_explanation explanation = { .struct_size = sizeof explanation };
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of(key);
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        assert_true(record->key.len == strlen(key) &&
                    memcmp(record->key.data, key, record->key.len) == 0);
        n++;
    }
    assert_int_equal(rc, SVL_E_END);
    assert_ok(svl_cursor_explain(cursor, &explanation));
    *skipped = explanation.segments_skipped;
    svl_cursor_close(cursor);
    return n;
}

static void assert_each_key_is_found(void)
{
    uint64_t skipped;
    for (uint64_t id = 1; id <= RECORDS; id += 7) {
        char key[24];
        key_of(id, key);
        assert_int_equal(count(key, &skipped), 1);
    }
}

static int open_file(const char *name)
{
    int fd = open(file_of(name), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void change_byte(const char *name, off_t at)
{
    uint8_t byte;
    int fd = open_file(name);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* As the oldest segment's. */
static struct segment_info first_info(void)
{
    struct segment_entry **entries;
    struct segment_info info;
    size_t n;
    assert_ok(svl__segments_hold(&store->segments, 1, 1, &entries, &n));
    assert_int_equal(n, 1);
    svl__segment_entry_info(&store->segments, entries[0], &info);
    svl__segment_entry_release(&store->segments, entries[0]);
    svl__free(entries);
    return info;
}

/* --- asking --- */

static void test_lookup_when_a_key_is_in_no_segment_then_opens_none(void **state)
{
    (void)state;
    uint64_t skipped, all = 0, others = 0;
    reopen(0);
    uint64_t full = stats_now().segments - 1;
    assert_true(full >= 3);
    assert_int_equal(open_count(), 1);
    for (unsigned i = 0; i < 2000; i++) {
        char key[24];
        snprintf(key, sizeof key, "none-%06u", i);
        assert_int_equal(count(key, &skipped), 0);
        all += full;
        others += full - skipped;
    }
    assert_true(others * 50 < all);
}

static void test_lookup_when_a_key_is_in_one_segment_then_opens_that(void **state)
{
    (void)state;
    uint64_t skipped, alone = 0;
    reopen(0);
    uint64_t full = stats_now().segments - 1;
    for (unsigned i = 0; i < 20; i++) { /* some seem to be in another one as well */
        char key[24];
        key_of(1 + i, key);
        assert_int_equal(count(key, &skipped), 1);
        alone += skipped == full - 1;
    }
    assert_true(alone >= 15);
    assert_true(is_there(FIRST ".keys"));
    assert_each_key_is_found();
}

/* A prefix is asked of each segment. */
static void test_query_when_for_a_prefix_then_all_of_it(void **state)
{
    (void)state;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    unsigned n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_PREFIX;
    query.key_low = slice_of("key-");
    assert_ok(svl_store_query(store, &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    assert_int_equal(n, RECORDS);
}

static void test_reader_when_filters_are_there_then_asks_them(void **state)
{
    (void)state;
    uint64_t skipped;
    reopen(SVL_STORE_READ_ONLY);
    assert_int_equal(count("none", &skipped), 0);
    assert_true(skipped >= 2);
    assert_each_key_is_found();
}

static void test_filter_when_made_then_small_and_counted(void **state)
{
    (void)state;
    struct segment_info info = first_info();
    struct stat segment, filter;
    assert_int_equal(stat(file_of(FIRST ".seg"), &segment), 0);
    assert_int_equal(stat(file_of(FIRST ".keys"), &filter), 0);
    uint64_t keys = info.last_id - info.first_id + 1;
    uint64_t lines = ((uint64_t)filter.st_size - 2 * LINE) / LINE;
    assert_in_range(lines, (keys + 31) / 32, (keys + 31) / 32 * 3);
    assert_int_equal(filter.st_mode & 0777, 0600);
    uint64_t with = stats_now().disk_bytes;
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    assert_true(stats_now().disk_bytes < with); /* it is counted */
}

/* --- what is missing, or in the way --- */

static bool first_is_there(void)
{
    return is_there(FIRST ".keys");
}

static void test_filter_when_missing_then_its_segment_is_asked_and_it_is_made_again(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    open_store(SVL_STORE_READ_ONLY);
    uint64_t skipped, full = stats_now().segments - 1;
    assert_each_key_is_found();
    assert_int_equal(count("none of them", &skipped), 0);
    assert_int_equal(skipped, full - 1);
    reopen(0); /* nothing is asked or written */
    wait_until(first_is_there);
    assert_each_key_is_found();
    assert_int_equal(times_said("\n"), 0);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
}

static bool is_told_not_made(void)
{
    return times_said(FIRST ".keys cannot be made: ") > 0;
}

static void test_filter_when_it_cannot_be_made_then_told_and_tried_at_the_next_open(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    assert_int_equal(mkdir(file_of(FIRST ".keys-new"), 0700), 0);
    open_store(0);
    wait_until(is_told_not_made);
    append_and_commit(1);
    append_and_commit(1);
    assert_int_equal(times_said("\n"), 1);
    assert_each_key_is_found();
    assert_int_equal(rmdir(file_of(FIRST ".keys-new")), 0);
    reopen(0);
    wait_until(first_is_there);
}

static void test_filter_when_made_then_of_the_mode_of_files(void **state)
{
    (void)state;
    svl_store_options o;
    struct stat st;
    assert_ok(svl_store_close(store));
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.file_mode = 0640;
    mode_t mask = umask(077);
    assert_ok(svl_store_open(path, &o, &store));
    wait_until(first_is_there);
    umask(mask);
    assert_int_equal(stat(file_of(FIRST ".keys"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static bool first_is_a_file(void)
{
    struct stat st;
    return lstat(file_of(FIRST ".keys"), &st) == 0 && S_ISREG(st.st_mode);
}

static void test_filter_when_a_link_then_reported_and_made_again(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    assert_int_equal(symlink("/etc/passwd", file_of(FIRST ".keys")), 0);
    open_store(SVL_STORE_READ_ONLY);
    assert_each_key_is_found();
    assert_int_equal(svl_store_verify(store, find, NULL, NULL), SVL_E_CORRUPT);
    assert_int_equal(found_code, SVL_E_PATH);
    assert_int_equal(found_count, 1);
    reopen(0);
    wait_until(first_is_a_file);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
}

static void test_open_when_filters_are_of_no_segment_then_removed(void **state)
{
    (void)state;
    static const char *const names[] = { FIRST ".keys-new", "00000000000000000001-02.keys",
                                         "00000000000000000002-01.keys",
                                         "00000000000000000002-01.keys-new" };
    static const char *const others[] = { "1-01.keys", "00000000000000000002-01.keys-old",
                                          "x.keys" };
    assert_ok(svl_store_close(store));
    for (size_t i = 0; i < 4; i++)
        close(open(file_of(names[i]), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    for (size_t i = 0; i < 3; i++)
        close(open(file_of(others[i]), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    open_store(0);
    for (size_t i = 0; i < 4; i++)
        assert_false(is_there(names[i]));
    for (size_t i = 0; i < 3; i++)
        assert_true(is_there(others[i]));
    assert_true(is_there(FIRST ".keys"));
    assert_int_equal(stats_now().damaged, 0);
}

static void test_retention_when_it_takes_a_segment_then_its_filter_too(void **state)
{
    (void)state;
    svl_store_options o;
    uint64_t retired;
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 8 << 20;
    o.retain_records_max = 100;
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired > 0);
    assert_false(is_there(FIRST ".seg") || is_there(FIRST ".keys"));
}

/* --- damage --- */

static bool is_whole(void)
{
    return svl_store_verify(store, NULL, NULL, NULL) == SVL_OK;
}

static void test_filter_when_its_head_is_damaged_then_told_once_and_made_again(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    change_byte(FIRST ".keys", 20);
    open_store(SVL_STORE_READ_ONLY);
    assert_each_key_is_found();
    assert_int_equal(stats_now().damaged, 1);
    assert_int_equal(times_said(FIRST ".keys is damaged: "), 1);
    assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_CORRUPT);
    reopen(0);
    wait_until(is_whole);
    assert_true(times_said(FIRST ".keys is damaged: ") <= 1); /* verify may come upon it first */
    uint64_t skipped, full = stats_now().segments - 1;
    assert_int_equal(count("none of them", &skipped), 0);
    assert_int_equal(skipped, full);
}

static void damage_each_line(void)
{
    struct stat st;
    assert_int_equal(stat(file_of(FIRST ".keys"), &st), 0);
    for (off_t at = 2 * LINE; at < st.st_size; at += LINE)
        change_byte(FIRST ".keys", at + 3);
}

static void test_filter_when_lines_are_damaged_then_its_segment_is_asked(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    damage_each_line();
    open_store(SVL_STORE_READ_ONLY);
    assert_each_key_is_found();
    assert_int_equal(stats_now().damaged, 1);
    assert_int_equal(times_said(FIRST ".keys is damaged: "), 1);
    reopen(0);
    assert_each_key_is_found(); /* by which it is made again, for the next open */
    assert_int_equal(times_said(FIRST ".keys is damaged: "), 1);
    wait_until(is_whole);
    assert_each_key_is_found();
    reopen(0);
    assert_each_key_is_found();
    assert_int_equal(times_said("\n"), 0);
}

static void test_filter_when_verify_finds_damage_then_made_again(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    damage_each_line();
    open_store(0);
    assert_int_equal(svl_store_verify(store, NULL, NULL, NULL), SVL_E_CORRUPT);
    wait_until(is_whole);
}

static bool damage_is_found(const struct segment_info *info)
{
    struct segment_filter *filter;
    int rc = svl__segment_filter_open(&store->segments.place, info, &filter);
    if (rc == SVL_OK)
        rc = svl__segment_filter_check(filter);
    bool misses = false;
    for (uint64_t id = info->first_id; filter && id <= info->last_id; id += 13) {
        char key[24];
        bool is_damaged = false;
        key_of(id, key);
        uint64_t hash = svl__segment_filter_hash(filter, slice_of(key));
        misses |= !svl__segment_filter_may_have(filter, hash, &is_damaged);
    }
    svl__segment_filter_close(filter);
    assert_false(misses); /* F2 */
    assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT);
    return rc != SVL_OK;
}

static void test_filter_when_any_byte_is_another_then_found_and_no_key_is_missed(void **state)
{
    (void)state;
    struct segment_info info = first_info();
    struct stat st;
    assert_false(damage_is_found(&info));
    assert_int_equal(stat(file_of(FIRST ".keys"), &st), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        change_byte(FIRST ".keys", at);
        assert_true(damage_is_found(&info));
        change_byte(FIRST ".keys", at);
    }
    assert_false(damage_is_found(&info));
}

static void test_filter_when_shorter_or_longer_then_found(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 16];
    struct segment_info info = first_info();
    int fd = open_file(FIRST ".keys");
    ssize_t size = pread(fd, bytes, sizeof bytes, 0);
    assert_true(size > (ssize_t)(2 * LINE) && size < (ssize_t)sizeof bytes);
    for (off_t other = 0; other < size + 130; other++) {
        assert_int_equal(ftruncate(fd, other), 0);
        assert_true(other == size || damage_is_found(&info));
        assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
    }
    close(fd);
}

/* What the file says of itself, sealed anew, as someone would who knows how. */
static void forge_head(size_t at, uint32_t value, const struct segment_info *info)
{
    uint8_t head[LINE];
    int fd = open_file(FIRST ".keys");
    assert_int_equal(pread(fd, head, sizeof head, at < LINE ? 0 : LINE), sizeof head);
    store_u32(head + at % LINE, value);
    store_u64(head + 56, svl__checksum_seeded(head, 56, svl__seal_place(info->uuid, "filter")));
    assert_int_equal(pwrite(fd, head, sizeof head, at < LINE ? 0 : LINE), sizeof head);
    close(fd);
}

static void test_filter_when_forged_then_found(void **state)
{
    (void)state;
    static uint8_t bytes[1 << 16];
    static const size_t places[] = {
        0, 8, 12, 32, 36, 40, 44, LINE, LINE + 4, LINE + 8, LINE + 12
    };
    static const uint32_t values[] = { 0, 1, 2, 3, 255, 1 << 20, UINT32_C(1) << 31, UINT32_MAX };
    struct segment_info info = first_info();
    struct segment_filter *filter;
    int fd = open_file(FIRST ".keys");
    ssize_t size = pread(fd, bytes, sizeof bytes, 0);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (size_t n = 0; n < sizeof values / sizeof *values; n++) {
            if (load_u32(bytes + places[i]) == values[n])
                continue;
            forge_head(places[i], values[n], &info);
            int rc = svl__segment_filter_open(&store->segments.place, &info, &filter);
            assert_int_equal(rc, places[i] == 8 ? SVL_E_VERSION : SVL_E_CORRUPT);
            assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
        }
    }
    forge_head(8, 2, &info); /* a later library's is left to that one */
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    reopen(0);
    assert_each_key_is_found();
    append_and_commit(1);
    assert_int_equal(svl__segment_filter_open(&store->segments.place, &info, &filter),
                     SVL_E_VERSION);
    assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
    info.uuid[3] ^= 1; /* of another segment under its name */
    assert_int_equal(svl__segment_filter_open(&store->segments.place, &info, &filter),
                     SVL_E_CORRUPT);
    close(fd);
}

/* A filter that is whole and lacks a key: of it the records are found by nobody. */
static void test_verify_when_a_filter_lacks_keys_then_minds(void **state)
{
    (void)state;
    struct segment_info info = first_info();
    assert_ok(svl_store_close(store));
    int fd = open_file(FIRST ".keys");
    uint8_t head[LINE], *lines;
    assert_int_equal(pread(fd, head, sizeof head, LINE), sizeof head);
    struct bloom bloom = { NULL, load_u64(head + 8), svl__seal_place(info.uuid, "filter"), 0 };
    bloom.bytes = lines = calloc(bloom.lines, LINE);
    assert_non_null(lines);
    svl__bloom_seal(&bloom);
    assert_int_equal(pwrite(fd, lines, bloom.lines * LINE, 2 * LINE), bloom.lines * LINE);
    free(lines);
    close(fd);
    open_store(0);
    assert_int_equal(svl_store_verify(store, find, NULL, NULL), SVL_E_CORRUPT);
    assert_non_null(strstr(found, "a key of it is not in the segment's filter"));
}

/* --- many keys --- */

static bool first_is_begun(void)
{
    return is_there(FIRST ".keys-new") || is_there(FIRST ".keys");
}

static bool first_is_gone(void)
{
    return !is_there(FIRST ".seg") && !first_is_begun();
}

#define MANY 1400000u /* more than one part is for */
#define MANY_AT_ONCE 2000u

static void test_filter_when_of_many_keys_then_of_parts_with_all_of_them(void **state)
{
    (void)state;
    static char keys[MANY_AT_ONCE][24];
    static svl_record records[MANY_AT_ONCE];
    svl_store_options o;
    uint8_t head[LINE];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 128 << 20;
    assert_ok(svl_store_open(path, &o, &store));
    for (uint64_t id = 1; stats_now().segments < 2; id += MANY_AT_ONCE) {
        for (unsigned i = 0; i < MANY_AT_ONCE; i++) {
            key_of(id + i, keys[i]);
            records[i] = (svl_record){ .key = slice_of(keys[i]) };
        }
        assert_ok(svl_store_append(store, records, MANY_AT_ONCE, NULL));
    }
    wait_until(first_is_there);
    int fd = open_file(FIRST ".keys");
    assert_int_equal(pread(fd, head, sizeof head, 0), sizeof head);
    assert_true(load_u32(head + 12) > 1);
    close(fd);
    struct segment_info info = first_info();
    assert_true(info.last_id > MANY);
    assert_false(damage_is_found(&info));
    assert_ok(svl_store_close(store));
    /* Retired while it is made: nothing of it stays. */
    assert_int_equal(unlink(file_of(FIRST ".keys")), 0);
    o.retain_records_max = 1;
    assert_ok(svl_store_open(path, &o, &store));
    wait_until(first_is_begun);
    assert_ok(svl_store_retain(store, NULL));
    wait_until(first_is_gone);
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lookup_when_a_key_is_in_no_segment_then_opens_none,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(test_lookup_when_a_key_is_in_one_segment_then_opens_that,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(test_query_when_for_a_prefix_then_all_of_it, make_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_reader_when_filters_are_there_then_asks_them,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_made_then_small_and_counted, make_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(
            test_filter_when_missing_then_its_segment_is_asked_and_it_is_made_again, make_store,
            close_store),
        cmocka_unit_test_setup_teardown(
            test_filter_when_it_cannot_be_made_then_told_and_tried_at_the_next_open, make_store,
            close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_made_then_of_the_mode_of_files, make_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_a_link_then_reported_and_made_again,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(test_open_when_filters_are_of_no_segment_then_removed,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(test_retention_when_it_takes_a_segment_then_its_filter_too,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(
            test_filter_when_its_head_is_damaged_then_told_once_and_made_again, make_store,
            close_store),
        cmocka_unit_test_setup_teardown(
            test_filter_when_lines_are_damaged_then_its_segment_is_asked, make_store, close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_verify_finds_damage_then_made_again,
                                        make_store, close_store),
        cmocka_unit_test_setup_teardown(
            test_filter_when_any_byte_is_another_then_found_and_no_key_is_missed, make_store,
            close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_shorter_or_longer_then_found, make_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_filter_when_forged_then_found, make_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(test_verify_when_a_filter_lacks_keys_then_minds, make_store,
                                        close_store),
        cmocka_unit_test(test_filter_when_of_many_keys_then_of_parts_with_all_of_them),
    };
    int failed = cmocka_run_group_tests_name("store/segment_filter", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
