/* Retention: whole oldest segments go, the newest never, and a cursor keeps what it reads. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/state.h"
#include "support/support.h"

#define BODY 60000

static char path[512];

static int new_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static svl_store *open_store(uint64_t records_max, uint64_t bytes_max, uint64_t age_ms)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 8 << 20;
    o.commit_bytes = 1 << 20;
    o.codec = SVL_CODEC_NONE;
    o.retain_records_max = records_max;
    o.retain_bytes_max = bytes_max;
    o.retain_age_ms_max = age_ms;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

static void append(svl_store *store, unsigned n)
{
    static char body[BODY];
    static struct rng rng = { 7 };
    svl_record records[20];
    for (unsigned i = 0; i < n; i += 20) {
        for (size_t b = 0; b < sizeof body; b += 8) {
            uint64_t random = rng_next(&rng);
            memcpy(body + b, &random, 8);
        }
        for (size_t k = 0; k < 20; k++)
            records[k] = (svl_record){ .source = slice_of("s"), .body = { body, sizeof body } };
        assert_ok(svl_store_append(store, records, 20, NULL));
    }
    assert_ok(svl_store_commit(store, -1));
}

static svl_store_stats stats_of(svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats;
}

static unsigned segment_files(void)
{
    unsigned n = 0;
    DIR *listing = opendir(path);
    assert_non_null(listing);
    for (struct dirent *e; (e = readdir(listing));)
        n += strlen(e->d_name) > 4 && strcmp(e->d_name + strlen(e->d_name) - 4, ".seg") == 0;
    closedir(listing);
    return n;
}

/* Four files of the journal are free then, and the store takes more than it may: for no record's sake. */
static void test_bytes_when_the_journal_keeps_free_files_then_no_record_goes_for_them(void **state)
{
    (void)state;
    svl_store *store = open_store(0, 0, 0);
    append(store, 1100);
    assert_ok(svl_store_close(store));

    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 8 << 20;
    o.journal_file_bytes_max = 1 << 20;
    o.commit_age_ms = 3600000;
    assert_ok(svl_store_open(path, &o, &store));
    o.retain_bytes_max = stats_of(store).disk_bytes + (7 << 19);
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(path, &o, &store));
    uint64_t commits = stats_of(store).commits;
    svl_record record = { .source = slice_of("a page of the journal") };
    for (int i = 0; stats_of(store).commits < commits + 2; i++) {
        assert_true(i < 5000);
        assert_ok(svl_store_append(store, &record, 1, NULL));
        assert_ok(svl_store_flush(store, -1));
    }
    struct journal_stats journal = { 0 }; /* the files are free behind the commit's count */
    while (journal.free_bytes < 3 << 20) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        svl__journal_stats_get(store->journal, &journal);
    }
    uint64_t retired;
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired == 0);
    svl_store_stats stats = stats_of(store);
    assert_true(stats.disk_bytes > o.retain_bytes_max);
    assert_true(stats.first_id == 1 && stats.retired_records == 0);
    assert_ok(svl_store_close(store));
}

static void test_records_when_too_many_then_oldest_segments_go(void **state)
{
    (void)state;
    svl_store *store = open_store(0, 0, 0);
    svl_cursor *cursor;
    const svl_record *record;
    append(store, 600);
    svl_store_stats before = stats_of(store);
    assert_true(before.records == 600 && before.segments >= 4);
    uint64_t retired = 9;
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired == 0); /* no limit is set */
    assert_ok(svl_store_close(store));

    store = open_store(300, 0, 0);
    assert_ok(svl_store_query(store, NULL, &cursor));
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_ok(svl_store_retain(store, &retired));
    svl_store_stats after = stats_of(store);
    assert_true(retired > 0 && after.records == 600 - retired && after.records >= 300);
    assert_true(after.first_id == retired + 1 && after.retired_records == retired);
    assert_true(after.segments < before.segments);
    svl_record_buffer *buffer;
    assert_int_equal(svl_store_get(store, retired, &buffer), SVL_E_NOT_FOUND);
    assert_ok(svl_store_get(store, retired + 1, &buffer));
    svl_record_buffer_destroy(buffer);

    unsigned n = 1; /* the cursor goes on through what is retired */
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    assert_int_equal(n, 600);
    assert_true(segment_files() == before.segments);
    uint64_t with_files = stats_of(store).disk_bytes;
    svl_cursor_close(cursor);
    assert_true(segment_files() == after.segments);
    assert_true(stats_of(store).disk_bytes < with_files);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));

    store = open_store(1, 0, 0);
    assert_ok(svl_store_retain(store, NULL));
    assert_true(stats_of(store).segments == 1 && stats_of(store).records > 0);
    append(store, 20); /* ids go on */
    assert_true(stats_of(store).last_id == 620);
    assert_ok(svl_store_close(store));
}

static void test_segment_when_retired_and_left_by_a_crash_then_its_file_goes(void **state)
{
    (void)state;
    char oldest[600], aside[600];
    uint64_t retired;
    svl_store *store = open_store(0, 0, 0);
    append(store, 400);
    assert_ok(svl_store_close(store));
    snprintf(oldest, sizeof oldest, "%s/00000000000000000001-01.seg", path);
    snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(link(oldest, aside), 0);
    store = open_store(200, 0, 0);
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired > 0);
    assert_ok(svl_store_close(store));
    assert_int_equal(rename(aside, oldest), 0);
    store = open_store(200, 0, 0);
    svl_store_stats stats = stats_of(store);
    assert_true(stats.damaged == 0 && stats.first_id == retired + 1);
    assert_int_equal(segment_files(), stats.segments);
    assert_ok(svl_store_close(store));
}

static void test_gap_when_of_one_record_then_told(void **state)
{
    (void)state;
    uint64_t retired, first, last;
    svl_cursor *cursor;
    svl_store *store = open_store(200, 0, 0);
    append(store, 400);
    assert_ok(svl_store_retain(store, &retired));
    uint64_t id = stats_of(store).first_id - 1;
    assert_true(id > 0);
    svl_query query = { .struct_size = sizeof query, .id_min = id };
    assert_ok(svl_store_query(store, &query, &cursor));
    assert_ok(svl_cursor_gap(cursor, &first, &last));
    assert_true(first == id && last == id);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
}

static void test_bytes_when_too_many_then_within_the_limit_by_themselves(void **state)
{
    (void)state;
    svl_store *store = open_store(0, 64 << 20, 0);
    append(store, 1800);                      /* 108 MB */
    assert_ok(svl_store_retain(store, NULL)); /* the committer's own may not have come to it yet */
    svl_store_stats stats = stats_of(store);
    assert_true(stats.retired_records > 0);
    assert_true(stats.disk_bytes < (UINT64_C(96) << 20));
    assert_ok(svl_store_close(store));
}

static void test_records_when_young_then_age_retires_none(void **state)
{
    (void)state;
    svl_store *store = open_store(0, 0, 3600000);
    append(store, 400);
    uint64_t retired;
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired == 0);
    assert_ok(svl_store_close(store));
    store = open_store(0, 0, 1);
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired > 0 && stats_of(store).segments == 1);
    assert_ok(svl_store_close(store));
}

static void test_records_when_the_limit_is_the_largest_number_then_none_go(void **state)
{
    (void)state;
    svl_store *store = open_store(UINT64_MAX, UINT64_MAX, 0);
    append(store, 400);
    uint64_t retired;
    assert_ok(svl_store_retain(store, &retired));
    assert_true(retired == 0 && stats_of(store).records == 400);
    assert_ok(svl_store_close(store));
}

int main(void)
{
#define RETAIN_TEST(f) cmocka_unit_test_setup(f, new_path)
    const struct CMUnitTest tests[] = {
        RETAIN_TEST(test_records_when_too_many_then_oldest_segments_go),
        RETAIN_TEST(test_segment_when_retired_and_left_by_a_crash_then_its_file_goes),
        RETAIN_TEST(test_gap_when_of_one_record_then_told),
        RETAIN_TEST(test_bytes_when_the_journal_keeps_free_files_then_no_record_goes_for_them),
        RETAIN_TEST(test_bytes_when_too_many_then_within_the_limit_by_themselves),
        RETAIN_TEST(test_records_when_young_then_age_retires_none),
        RETAIN_TEST(test_records_when_the_limit_is_the_largest_number_then_none_go),
    };
    return cmocka_run_group_tests_name("store/retain", tests, NULL, NULL);
}
