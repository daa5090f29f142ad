/* Keys asked for in what is in no block yet: each batch is passed by marks of its keys, which are made when somebody
 * asks and must be of all its records. */
#include "store/keymarks.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "store/state.h"
#include "support/support.h"

#define KEYS 3000 /* of 65,536 marks: some have the same */
#define THREADS 4

static svl_store *open_store(void)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 1 << 20; /* nothing is encoded */
    assert_ok(svl_store_open(temp_path(), &o, &store));
    return store;
}

static svl_slice key_of(unsigned i, char text[16])
{
    return (svl_slice){ text, (size_t)snprintf(text, 16, "key-%u", i) };
}

static void append(svl_store *store, unsigned from, unsigned n)
{
    static svl_record records[KEYS];
    static char keys[KEYS][16];
    for (unsigned i = 0; i < n; i++)
        records[i] = (svl_record){ .time_ns = from + i + 1, .key = key_of(from + i, keys[i]) };
    assert_ok(svl_store_append(store, records, n, NULL));
    assert_ok(svl_store_flush(store, -1));
}

/* Of the one record that has the key; 0: none has. */
static int64_t time_of(svl_store *store, unsigned i)
{
    char text[16];
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    int64_t time_ns = 0;
    svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = key_of(i, text);
    if (svl_store_query(store, &query, &cursor) != SVL_OK)
        return -1;
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        time_ns = time_ns == 0 ? record->time_ns : -1;
    svl_cursor_close(cursor);
    return time_ns;
}

static void test_key_when_the_batch_that_was_asked_grows_then_what_came_is_found_too(void **state)
{
    (void)state;
    svl_store *store = open_store();
    for (unsigned i = 0; i < 40; i++) {
        append(store, i, 1);
        assert_true(store->tail.batch_count == 1); /* the one before it took it in */
        for (unsigned k = 0; k <= i; k++)
            assert_int_equal(time_of(store, k), k + 1);
        assert_int_equal(time_of(store, i + 1), 0);
    }
    assert_ok(svl_store_close(store));
}

static void test_key_when_others_have_its_mark_then_only_its_own_record_is_found(void **state)
{
    (void)state;
    svl_store *store = open_store();
    append(store, 0, KEYS);
    assert_int_equal(store->tail.block_count, 0);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(time_of(store, i), i + 1);
    for (unsigned i = KEYS; i < 2 * KEYS; i++)
        assert_int_equal(time_of(store, i), 0);
    assert_ok(svl_store_close(store));
}

/* Every third record has the key "one", which none else has; the others have none. */
static void append_thirds(svl_store *store, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        svl_record record = { .time_ns = i + 1, .key = slice_of(i % 3 == 0 ? "one" : "") };
        assert_ok(svl_store_append(store, &record, 1, NULL));
    }
    assert_ok(svl_store_flush(store, -1));
}

/* Of the ids first to last those that it has: how many, and how many records were looked at. */
static unsigned count_of_one(svl_store *store, uint64_t first, uint64_t last, uint32_t flags,
                             uint64_t *examined)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    svl_cursor_explanation explanation = { .struct_size = sizeof explanation };
    uint64_t before = flags & SVL_QUERY_BACKWARD ? UINT64_MAX : 0;
    unsigned n = 0;
    svl_query_init(&query, sizeof query);
    query.key_kind = SVL_KEY_EXACT;
    query.key_low = slice_of("one");
    query.flags = flags;
    query.id_min = first;
    query.id_max = last;
    assert_ok(svl_store_query(store, &query, &cursor));
    for (; svl_cursor_next(cursor, 0, &record) == SVL_OK; n++) {
        assert_true(record->id >= first && record->id <= last && record->id % 3 == 1);
        assert_true(flags & SVL_QUERY_BACKWARD ? record->id < before : record->id > before);
        before = record->id;
    }
    assert_ok(svl_cursor_explain(cursor, &explanation));
    *examined = explanation.records_examined;
    svl_cursor_close(cursor);
    return n;
}

static void test_key_when_a_part_of_a_batch_is_asked_then_that_and_no_other_record_is_looked_at(
    void **state)
{
    (void)state;
    svl_store *store = open_store();
    uint64_t examined;
    append_thirds(store, 300);
    /* Too few to make marks for: all of them are looked at. */
    assert_int_equal(count_of_one(store, 292, 300, 0, &examined), 3);
    assert_int_equal(examined, 9);
    assert_int_equal(count_of_one(store, 1, 300, 0, &examined), 100);
    assert_int_equal(examined, 100);
    assert_int_equal(count_of_one(store, 292, 300, 0, &examined), 3);
    assert_int_equal(examined, 3);
    assert_int_equal(count_of_one(store, 2, 3, 0, &examined), 0);
    assert_int_equal(examined, 0);
    assert_int_equal(count_of_one(store, 50, 250, SVL_QUERY_BACKWARD, &examined), 67);
    assert_int_equal(examined, 67);
    assert_ok(svl_store_close(store));
}

static void *ask_all(void *argument)
{
    for (unsigned i = 0; i < 100; i++)
        if (time_of(argument, i) != i + 1)
            return argument;
    return NULL;
}

static void test_key_when_threads_ask_a_new_batch_at_once_then_each_finds_it(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        pthread_t threads[THREADS];
        void *failed;
        svl_store *store = open_store();
        append(store, 0, 100);
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ask_all, store), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], &failed), 0);
            assert_null(failed);
        }
        assert_ok(svl_store_close(store));
    }
}

static void test_mark_when_there_is_a_key_then_it_is_not_that_of_none(void **state)
{
    (void)state;
    assert_int_equal(svl__key_mark((svl_slice){ NULL, 0 }), 0);
    for (unsigned i = 0; i < 1000000; i++) {
        char text[16];
        assert_int_not_equal(svl__key_mark(key_of(i, text)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_when_the_batch_that_was_asked_grows_then_what_came_is_found_too),
        cmocka_unit_test(test_key_when_others_have_its_mark_then_only_its_own_record_is_found),
        cmocka_unit_test(
            test_key_when_a_part_of_a_batch_is_asked_then_that_and_no_other_record_is_looked_at),
        cmocka_unit_test(test_key_when_threads_ask_a_new_batch_at_once_then_each_finds_it),
        cmocka_unit_test(test_mark_when_there_is_a_key_then_it_is_not_that_of_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
