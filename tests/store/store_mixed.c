/* A store put together of files that do not belong together: copies of different times, another segment's file or page,
 * another store's. What is damaged is named, everything else is read, and no record is ever wrong. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "support/support.h"

#define PAGE 4096
#define BODY_BYTES 60000
#define RECORDS 300 /* of incompressible bytes: two segments are full, a third has space left */
#define BATCH 10    /* of them are appended at once */
#define SAMPLE 100  /* pages that are tried */

static char store_path[512], segments[3][64], files[3][600];

/* --- records by their number --- */

static void body_of(uint64_t id, uint8_t body[BODY_BYTES])
{
    struct rng rng = { id * 77 };
    for (size_t i = 0; i < BODY_BYTES; i += sizeof(uint64_t))
        store_u64(body + i, rng_next(&rng));
}

static int key_of(uint64_t id, char key[16])
{
    return snprintf(key, 16, "key-%02d", (int)(id % 37));
}

static svl_store_options options_of(uint32_t flags)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = flags;
    o.segment_bytes = 8 << 20;
    o.commit_bytes = 1 << 20;
    return o;
}

/* Records `id` to `id` + BATCH - 1. */
static void append(svl_store *store, uint64_t id)
{
    static uint8_t bodies[BATCH][BODY_BYTES];
    char keys[BATCH][16];
    svl_record records[BATCH];
    for (uint64_t i = 0; i < BATCH; i++) {
        body_of(id + i, bodies[i]);
        records[i] = (svl_record){ .time_ns = (int64_t)(id + i),
                                   .key = { keys[i], (size_t)key_of(id + i, keys[i]) },
                                   .body = { bodies[i], BODY_BYTES } };
    }
    assert_ok(svl_store_append(store, records, BATCH, NULL));
}

static bool is_right(const svl_record *r)
{
    static uint8_t body[BODY_BYTES];
    char key[16];
    size_t key_len = (size_t)key_of(r->id, key);
    body_of(r->id, body);
    return r->id >= 1 && r->id <= RECORDS && r->time_ns == (int64_t)r->id &&
           r->key.len == key_len && memcmp(r->key.data, key, key_len) == 0 &&
           r->body.len == sizeof body && memcmp(r->body.data, body, sizeof body) == 0;
}

/* --- the store --- */

static void find_segments(void)
{
    size_t n = 0;
    for (uint64_t id = 1; id <= RECORDS && n < 3; id++) {
        char name[64], file[600];
        snprintf(name, sizeof name, "%020llu-01.seg", (unsigned long long)id);
        snprintf(file, sizeof file, "%s/%s", store_path, name);
        if (access(file, F_OK) != 0)
            continue;
        snprintf(segments[n], sizeof segments[n], "%s", name);
        snprintf(files[n++], sizeof files[0], "%s", file);
    }
    assert_int_equal(n, 3);
}

/* Its directory is copied at `copy_at` records, if that is not 0, to `copy`. */
static void make_store(uint64_t copy_at, char copy[512])
{
    svl_store_options o = options_of(0);
    svl_store *store;
    snprintf(store_path, sizeof store_path, "%s", temp_path());
    assert_ok(svl_store_open(store_path, &o, &store));
    for (uint64_t id = 1; id <= RECORDS; id += BATCH) {
        append(store, id);
        if (id + BATCH - 1 != copy_at)
            continue;
        assert_ok(svl_store_close(store));
        snprintf(copy, 512, "%s", temp_path());
        copy_tree(store_path, copy);
        assert_ok(svl_store_open(store_path, &o, &store));
    }
    assert_ok(svl_store_close(store));
    find_segments();
}

static int make_whole(void **state)
{
    (void)state;
    make_store(0, NULL);
    return 0;
}

static int remove_store(void **state)
{
    (void)state;
    remove_tree(store_path);
    return 0;
}

/* --- what is read --- */

struct found {
    uint64_t records, damaged;
    char words[600]; /* of the last damage */
    bool wrong;
};

static struct found read_all(svl_store *store, const svl_query *query)
{
    struct found found = { 0 };
    svl_cursor *cursor;
    const svl_record *record;
    int rc = svl_store_query(store, query, &cursor);
    if (rc != SVL_OK) {
        found.wrong = rc != SVL_E_CORRUPT && rc != SVL_E_FOREIGN;
        found.damaged = 1;
        return found;
    }
    while (!found.wrong && (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END) {
        if (rc == SVL_OK) {
            found.records++;
            found.wrong = !is_right(record);
            continue;
        }
        found.wrong = (rc != SVL_E_CORRUPT && rc != SVL_E_FOREIGN) || ++found.damaged > RECORDS;
        snprintf(found.words, sizeof found.words, "%s", svl_last_error());
    }
    svl_cursor_close(cursor);
    return found;
}

/* The segment is named as damaged; the other two are whole: by a writer and by a reader. */
static void assert_only_damaged(size_t segment, const char *words)
{
    for (uint32_t flags = 0; flags <= SVL_STORE_READ_ONLY; flags += SVL_STORE_READ_ONLY) {
        svl_store_options o = options_of(flags);
        svl_store *store;
        assert_ok(svl_store_open(store_path, &o, &store));
        struct found found = read_all(store, NULL);
        assert_false(found.wrong);
        assert_in_range(found.damaged, 1, 1);
        assert_in_range(found.records, RECORDS / 4, RECORDS - 1);
        if (!strstr(found.words, segments[segment]) || !strstr(found.words, words))
            fail_msg("%s", found.words);
        int rc = svl_store_verify(store, NULL, NULL, NULL);
        assert_true(rc == SVL_E_CORRUPT || rc == SVL_E_FOREIGN);
        assert_ok(svl_store_close(store));
    }
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[16 << 20];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t n = read(in, bytes, sizeof bytes);
    assert_true(n > 0 && write(out, bytes, (size_t)n) == n);
    close(in);
    close(out);
}

static void test_segment_when_missing_then_named_and_the_others_are_read(void **state)
{
    (void)state;
    assert_int_equal(unlink(files[0]), 0);
    assert_only_damaged(0, "missing");
    svl_store_options o = options_of(0);
    svl_store_stats before = { .struct_size = sizeof before }, after = before;
    svl_store *store;
    assert_ok(svl_store_open(store_path, &o, &store));
    assert_ok(svl_store_stats_get(store, &before));
    read_all(store, NULL);
    assert_ok(svl_store_stats_get(store, &after));
    assert_true(after.damaged == before.damaged + 1);
    assert_ok(svl_store_close(store));
}

static void count_finding(int code, const char *what, void *user)
{
    size_t *found = user;
    found[2]++;
    found[0] += code == SVL_E_PATH && strstr(what, "links are not followed");
    found[1] += code == SVL_E_CORRUPT && strstr(what, "missing");
}

/* Others may have their reason for it, and mend it: a cursor does not go on without its records. */
static void test_segment_when_a_link_then_a_cursor_stops_and_verify_goes_on(void **state)
{
    (void)state;
    char elsewhere[612];
    snprintf(elsewhere, sizeof elsewhere, "%s.elsewhere", files[0]);
    assert_int_equal(rename(files[0], elsewhere), 0);
    assert_int_equal(symlink(elsewhere, files[0]), 0);
    assert_int_equal(unlink(files[1]), 0);
    svl_store_options o = options_of(0);
    svl_store *store;
    svl_cursor *cursor;
    const svl_record *record;
    svl_record_buffer *copy;
    size_t found[3] = { 0 };
    assert_ok(svl_store_open(store_path, &o, &store));
    assert_int_equal(svl_store_get(store, 1, &copy), SVL_E_PATH);
    assert_int_equal(svl_store_verify(store, count_finding, NULL, found), SVL_E_CORRUPT);
    assert_true(found[0] == 1 && found[1] == 1 && found[2] == 2);
    assert_ok(svl_store_query(store, NULL, &cursor));
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_PATH);
    assert_non_null(strstr(svl_last_error(), segments[0]));
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_PATH);
    svl_cursor_close(cursor);
    assert_int_equal(unlink(files[0]), 0);
    assert_int_equal(rename(elsewhere, files[0]), 0);
    assert_ok(svl_store_get(store, 1, &copy));
    svl_record_buffer_destroy(copy);
    assert_ok(svl_store_close(store));
}

static void test_segment_when_another_one_of_the_store_is_in_its_place_then_named(void **state)
{
    (void)state;
    copy_file(files[1], files[0]);
    assert_only_damaged(0, "not the segment that the catalog names");
}

static void test_segment_when_of_another_store_then_named(void **state)
{
    char own[512], foreign[600], old[600];
    snprintf(own, sizeof own, "%s", store_path);
    snprintf(old, sizeof old, "%s", files[0]);
    make_whole(state);
    snprintf(foreign, sizeof foreign, "%s", files[0]);
    copy_file(foreign, old);
    remove_tree(store_path);
    snprintf(store_path, sizeof store_path, "%s", own);
    assert_only_damaged(0, "belongs to another store");
}

static void test_segment_when_older_than_the_catalog_then_named(void **state)
{
    (void)state;
    char copy[512], old[1200];
    make_store(60, copy); /* in the middle of the first segment */
    snprintf(old, sizeof old, "%s/%s", copy, segments[0]);
    copy_file(old, files[0]);
    assert_only_damaged(0, "older than the catalog says");
}

/* Records follow the active one: without it nobody knows what comes next. */
static void test_active_segment_when_older_than_the_catalog_then_refused(void **state)
{
    (void)state;
    svl_store_options o = options_of(0);
    svl_store *store;
    char copy[512], old[1200];
    make_store(RECORDS - BATCH, copy);
    snprintf(old, sizeof old, "%s/%s", copy, segments[2]);
    copy_file(old, files[2]);
    assert_int_equal(svl_store_open(store_path, &o, &store), SVL_E_CORRUPT);
    assert_non_null(strstr(svl_last_error(), segments[2]));
    assert_non_null(strstr(svl_last_error(), "older than the catalog says"));
}

/* The catalog knows less than there is: it says so, and overwrites nothing. */
static void test_catalog_when_older_than_the_segments_then_they_are_left_alone(void **state)
{
    (void)state;
    svl_store_options o = options_of(0);
    svl_store *store;
    struct stat before, after;
    char copy[512], old[1200], catalog[600];
    make_store(60, copy);
    snprintf(old, sizeof old, "%s/catalog.mdb", copy);
    snprintf(catalog, sizeof catalog, "%s/catalog.mdb", store_path);
    copy_file(old, catalog);
    assert_int_equal(stat(files[2], &before), 0);
    if (svl_store_open(store_path, &o, &store) == SVL_OK) {
        struct found found = read_all(store, NULL);
        assert_false(found.wrong);
        svl_store_stats stats = { .struct_size = sizeof stats };
        assert_ok(svl_store_stats_get(store, &stats));
        assert_true(stats.damaged > 0);
        svl_store_close(store);
    } else {
        assert_string_not_equal(svl_last_error(), "");
    }
    assert_int_equal(stat(files[1], &after), 0);
    assert_int_equal(stat(files[2], &after), 0);
    assert_true(before.st_size == after.st_size && before.st_ino == after.st_ino);
}

/* --- pages of another segment, under their own numbers --- */

enum outcome { OUTCOME_WHOLE, OUTCOME_DAMAGED, OUTCOME_WRONG };

/* In a child, so that a signal is a failure here. What no checksum covers, the key index, may miss what is there: then
 * verifying says so. */
static int use_store(void *user)
{
    (void)user;
    svl_store_options o = options_of(SVL_STORE_READ_ONLY);
    svl_store *store;
    svl_query query;
    if (svl_store_open(store_path, &o, &store) != SVL_OK)
        return OUTCOME_WRONG; /* of a full segment */
    assert_ok(svl_query_init(&query, sizeof query));
    struct found all = read_all(store, NULL);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("key-07");
    struct found keyed = read_all(store, &query);
    if (all.wrong || keyed.wrong)
        return OUTCOME_WRONG;
    int rc = svl_store_verify(store, NULL, NULL, NULL);
    bool whole = all.records == RECORDS && keyed.records == (RECORDS + 30) / 37;
    svl_store_close(store);
    if (rc == SVL_OK)
        return whole && all.damaged + keyed.damaged == 0 ? OUTCOME_WHOLE : OUTCOME_WRONG;
    return rc == SVL_E_CORRUPT ? OUTCOME_DAMAGED : OUTCOME_WRONG;
}

static bool is_of_a_tree(const uint8_t *page)
{
    return load_u16(page + 10) == 1 ||
           load_u16(page + 10) == 2; /* LMDB's flags of a branch, a leaf */
}

static void test_page_when_of_another_segment_then_damage_is_told_or_harmless(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    unsigned outcomes[2] = { 0 };
    struct stat st;
    int to = open(files[0], O_RDWR | O_CLOEXEC), from = open(files[1], O_RDONLY | O_CLOEXEC);
    assert_true(to >= 0 && from >= 0 && fstat(to, &st) == 0);
    for (int i = 0, tries = 0; i < SAMPLE && tries < 100 * SAMPLE; tries++) {
        uint8_t page[PAGE], other[PAGE];
        off_t at = PAGE * (off_t)(2 + rng_below(&rng, (uint64_t)st.st_size / PAGE - 2));
        assert_int_equal(pread(to, page, PAGE, at), PAGE);
        if (pread(from, other, PAGE, at) != PAGE || memcmp(page, other, PAGE) == 0)
            continue;
        /* Few pages are of a tree, and most of the others are alike. */
        if (!is_of_a_tree(page) && !is_of_a_tree(other) && rng_below(&rng, 40) != 0)
            continue;
        i++;
        assert_int_equal(pwrite(to, other, PAGE, at), PAGE);
        int outcome = use_in_child(use_store, NULL);
        if (outcome > OUTCOME_DAMAGED)
            print_error("page %lld: outcome %d\n", (long long)at / PAGE, outcome);
        assert_in_range(outcome, OUTCOME_WHOLE, OUTCOME_DAMAGED);
        outcomes[outcome]++;
        assert_int_equal(pwrite(to, page, PAGE, at), PAGE);
    }
    close(to);
    close(from);
    print_message("%u harmless, %u damaged\n", outcomes[OUTCOME_WHOLE], outcomes[OUTCOME_DAMAGED]);
    assert_true(outcomes[OUTCOME_DAMAGED] > 0);
    assert_int_equal(use_in_child(use_store, NULL), OUTCOME_WHOLE);
}

int main(void)
{
#define WHOLE_TEST(f) cmocka_unit_test_setup_teardown(f, make_whole, remove_store)
    const struct CMUnitTest tests[] = {
        WHOLE_TEST(test_segment_when_missing_then_named_and_the_others_are_read),
        WHOLE_TEST(test_segment_when_a_link_then_a_cursor_stops_and_verify_goes_on),
        WHOLE_TEST(test_segment_when_another_one_of_the_store_is_in_its_place_then_named),
        WHOLE_TEST(test_segment_when_of_another_store_then_named),
        cmocka_unit_test_teardown(test_segment_when_older_than_the_catalog_then_named,
                                  remove_store),
        cmocka_unit_test_teardown(test_active_segment_when_older_than_the_catalog_then_refused,
                                  remove_store),
        cmocka_unit_test_teardown(
            test_catalog_when_older_than_the_segments_then_they_are_left_alone, remove_store),
        WHOLE_TEST(test_page_when_of_another_segment_then_damage_is_told_or_harmless),
    };
    int failed = cmocka_run_group_tests_name("store/mixed", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
