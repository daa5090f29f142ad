/* Which segments a store keeps open: one that has become full is closed, as its LMDB environment keeps the pages of all
 * its commits in memory, and read again when somebody asks for its records. */
#include <stdio.h>

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
    svl_record record = { .body = { body, sizeof body } };
    for (int i = 0; i < RECORDS; i++) {
        assert_ok(svl_store_append(store, &record, 1, NULL));
        assert_ok(svl_store_commit(store, -1));
    }
}

static void test_segment_when_full_then_closed_until_it_is_read(void **state)
{
    (void)state;
    svl_store_options o;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.codec = SVL_CODEC_NONE;
    o.segment_bytes = 8 << 20;
    assert_ok(svl_store_open(path, &o, &store));
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
    };
    int failed = cmocka_run_group_tests_name("store/segments_open", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
