/* Which segments a store keeps open: one that has become full is closed, as its LMDB environment keeps the pages of all
 * its commits in memory, and read again when somebody asks for its records. What is known of its index is kept. */
#include <stdio.h>

#include "base/alloc.h"
#include "store/state.h"
#include "support/support.h"

#define RECORDS 24 /* of a MiB each: three segments and more */

static svl_store *store;

static size_t open_count(void)
{
    pthread_mutex_lock(&store->segments.lock);
    size_t n = store->segments.open_count;
    pthread_mutex_unlock(&store->segments.lock);
    return n;
}

static void fill(void)
{
    static char body[1000000];
    svl_record record = { .key = slice_of("key"), .body = { body, sizeof body } };
    for (int i = 0; i < RECORDS; i++) {
        assert_ok(svl_store_append(store, &record, 1, NULL));
        assert_ok(svl_store_commit(store, -1));
    }
}

static void open_store(const char *path)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.codec = SVL_CODEC_NONE;
    o.segment_bytes = 8 << 20;
    assert_ok(svl_store_open(path, &o, &store));
}

/* Of the oldest segment, which is opened for it. */
static bool index_is_whole(void)
{
    struct segment_entry **entries;
    struct segment *segment;
    size_t n;
    assert_ok(svl__segments_hold(&store->segments, 1, 1, &entries, &n));
    assert_int_equal(n, 1);
    assert_ok(svl__segment_use(&store->segments, entries[0], &segment));
    bool is_whole = svl__segment_index_is_whole(segment);
    svl__segment_unuse(&store->segments, entries[0]);
    svl__segment_entry_release(&store->segments, entries[0]);
    svl__free(entries);
    return is_whole;
}

static uint64_t ask_for_key(void)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("key");
    assert_ok(svl_store_query(store, &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

static void test_index_when_its_segment_is_opened_again_then_not_checked_again(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    open_store(path);
    fill();
    assert_int_equal(open_count(), 1);
    assert_true(index_is_whole());
    assert_ok(svl_store_close(store));
    open_store(path);
    assert_false(index_is_whole());
    assert_int_equal(ask_for_key(), RECORDS);
    assert_true(index_is_whole());
    assert_ok(svl_store_close(store));
}

static void test_segment_when_full_then_closed_until_it_is_read(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    open_store(path);
    fill();
    assert_true(svl__segments_count(&store->segments) > 2);
    assert_int_equal(open_count(), 1);
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_store_query(store, NULL, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        assert_true(record->id == ++n);
    svl_cursor_close(cursor);
    assert_int_equal(n, RECORDS);
    assert_true(open_count() > 1);
    assert_ptr_not_equal(store->segments.idle_newest, store->segments.idle_oldest); /* G3 */
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment_when_full_then_closed_until_it_is_read),
        cmocka_unit_test(test_index_when_its_segment_is_opened_again_then_not_checked_again),
    };
    int failed = cmocka_run_group_tests_name("store/segments_open", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
