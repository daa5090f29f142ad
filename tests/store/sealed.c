/* Every byte of a segment's zones and of its key index, keys and values, is changed once under an open store: a query
 * gives each record that it asks for, or says what is damaged; never fewer without a word, and never wrong ones. Of a
 * damaged index it gives each record all the same. The executable's own mdb_cursor_open() stands before LMDB's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lmdb_bytes.h"
#include "store/state.h"

#define RECORDS 160
#define SEGMENT_NAME "00000000000000000001-01.seg"
#define FLAG_BRANCH 1
#define NODE_BIGDATA 1
#define PLACES_MAX (64 << 10)

static char path[512];
static int file = -1;
static bool damages_index;
static uint8_t *bytes; /* of the segment's file, as it was written */

static _Thread_local int opens_left; /* of LMDB's cursors, with the one that fails; 0: none does */

int mdb_cursor_open(MDB_txn *txn, MDB_dbi table, MDB_cursor **cursor)
{
    int (*real)(MDB_txn *, MDB_dbi, MDB_cursor **);
    if (opens_left > 0 && --opens_left == 0)
        return ENOMEM;
    *(void **)&real = dlsym(RTLD_NEXT, "mdb_cursor_open");
    return real(txn, table, cursor);
}

static svl_record record_of(uint64_t id, char key[32])
{
    int n = snprintf(key, 32, "key-%03d", (int)(id * 7 % RECORDS));
    return (svl_record){ .time_ns = (int64_t)id * 1000,
                         .severity = (uint32_t)(id % 25),
                         .key = { key, (size_t)n },
                         .body = slice_of(
                             "some words, so that it takes a few records to fill a block") };
}

static svl_store *open_store(void)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.segment_bytes = 8 << 20;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

/* --- where things lie in the file --- */

static uint32_t places[PLACES_MAX];
static size_t place_count;

static void add_places(size_t at, size_t n)
{
    assert_true(place_count + n <= PLACES_MAX);
    for (size_t i = 0; i < n; i++)
        places[place_count++] = (uint32_t)(at + i);
}

static void find_places_in(size_t page)
{
    size_t n = ((size_t)load_u16(bytes + page + 12) - META_AT) / 2;
    bool branch = load_u16(bytes + page + 10) & FLAG_BRANCH;
    for (size_t i = 0; i < n; i++) {
        size_t node = page + load_u16(bytes + page + META_AT + 2 * i);
        size_t key = load_u16(bytes + node + 6);
        size_t value = load_u16(bytes + node) | (size_t)load_u16(bytes + node + 2) << 16;
        if (branch) { /* no branches of branches in a table of some entries */
            find_places_in((load_u16(bytes + node) | (size_t)load_u16(bytes + node + 2) << 16) *
                           PAGE);
            continue;
        }
        add_places(node + NODE_BYTES, key);
        if (load_u16(bytes + node + 4) & NODE_BIGDATA)
            add_places(load_u64(bytes + node + NODE_BYTES + key) * PAGE + META_AT, value);
        else
            add_places(node + NODE_BYTES + key, value);
    }
}

static void find_places(const char *table)
{
    place_count = 0;
    find_places_in(load_u64(bytes + find_table(bytes, table) + TABLE_ROOT) * PAGE);
    assert_true(place_count > 0);
}

static void flip(uint32_t at, uint8_t bits)
{
    uint8_t byte = bytes[at] ^ bits;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
}

/* --- what is asked --- */

struct answer {
    unsigned found, told;
};

static struct answer ask(svl_store *store, const svl_query *query)
{
    struct answer answer = { 0, 0 };
    bool seen[RECORDS + 2] = { false };
    svl_cursor *cursor;
    const svl_record *record;
    char key[32];
    assert_ok(svl_store_query(store, query, &cursor));
    for (int rc; (rc = svl_cursor_next(cursor, 0, &record)) != SVL_E_END;) {
        if (rc != SVL_OK) {
            assert_int_equal(rc, SVL_E_CORRUPT);
            assert_non_null(strstr(svl_last_error(), SEGMENT_NAME));
            assert_true(++answer.told <= RECORDS);
            continue;
        }
        svl_record right = record_of(record->id, key);
        assert_true(record->id >= 1 && record->id <= RECORDS + 1 && !seen[record->id]);
        assert_true(record->time_ns == right.time_ns && record->key.len == right.key.len &&
                    memcmp(record->key.data, key, right.key.len) == 0);
        seen[record->id] = true;
        answer.found++;
    }
    svl_cursor_close(cursor);
    return answer;
}

/* How many the query asks for, by its own words. */
static unsigned expected_of(const svl_query *q)
{
    unsigned n = 0;
    for (uint64_t id = 1; id <= RECORDS + 1; id++) {
        char key[32];
        svl_record r = record_of(id, key);
        bool keyed =
            q->key_kind == SVL_KEY_ANY ||
            (r.key.len >= q->key_low.len && memcmp(key, q->key_low.data, q->key_low.len) == 0);
        n += keyed && r.severity >= q->severity_min &&
             (q->time_max_ns == 0 || (r.time_ns >= q->time_min_ns && r.time_ns < q->time_max_ns));
    }
    return n;
}

/* Damage is told wherever something is missing; whether it was told at all. */
static bool is_told(svl_store *store, const svl_query *query, uint32_t at)
{
    unsigned expected = expected_of(query);
    struct answer answer = ask(store, query);
    bool fewer = answer.found < expected && (answer.told == 0 || damages_index);
    if (answer.found > expected || fewer)
        fail_msg("byte %u of the file is another one: %u records of %u, damage told %u times", at,
                 answer.found, expected, answer.told);
    return answer.told > 0;
}

/* All ways to ask that zones or the index answer. */
static bool ask_all_ways(svl_store *store, struct rng *rng, uint32_t at)
{
    bool told = false;
    char key[32];
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    told |= is_told(store, &query, at);
    query.flags = SVL_QUERY_BACKWARD;
    told |= is_told(store, &query, at);
    query.flags = 0;
    query.severity_min = 24;
    told |= is_told(store, &query, at);
    query.severity_min = 0;
    query.time_min_ns = (int64_t)rng_below(rng, RECORDS) * 1000;
    query.time_max_ns = query.time_min_ns + 5000;
    told |= is_told(store, &query, at);
    query.time_min_ns = query.time_max_ns = 0;
    query.key_kind = SVL_KEY_PREFIX;
    query.key_low = slice_of("key-0");
    told |= is_told(store, &query, at);
    query.key_low = slice_of("key-");
    told |= is_told(store, &query, at);
    query.key_kind = SVL_KEY_EXACT;
    for (int i = 0; i < 6; i++) {
        query.key_low = record_of(1 + rng_below(rng, RECORDS), key).key;
        told |= is_told(store, &query, at);
    }
    return told;
}

static void assert_every_byte_counts(const char *table)
{
    struct rng rng = { test_seed() };
    svl_store *store = open_store();
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_false(ask_all_ways(store, &rng, 0));
    find_places(table);
    damages_index = strcmp(table, "keys") == 0;
    for (size_t i = 0; i < place_count; i++) {
        flip(places[i], (uint8_t)(1u << rng_below(&rng, 8)));
        bool told = ask_all_ways(store, &rng, places[i]);
        if (!told || svl_store_verify(store, NULL, NULL, NULL) != SVL_E_CORRUPT)
            fail_msg("%s: byte %u of the file is another one, and %s minds", table, places[i],
                     told ? "only verify" : "no query");
        flip(places[i], 0);
    }
    assert_false(ask_all_ways(store, &rng, 0));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
    print_message("%s: %zu bytes\n", table, place_count);
}

static void is_of_filters(int32_t code, const char *what, void *findings)
{
    assert_int_equal(code, SVL_E_CORRUPT);
    assert_non_null(strstr(what, "filter"));
    ++*(unsigned *)findings;
}

static void is_of_no_block(int32_t code, const char *what, void *findings)
{
    assert_int_equal(code, SVL_E_CORRUPT);
    const char *segment = strstr(what, ".seg");
    if (strstr(what, "block ") || !segment || strstr(segment + 1, ".seg"))
        fail_msg("%s", what);
    ++*(unsigned *)findings;
}

/* Of LMDB's pages perhaps, and of the index; not of each block whose keys it has. */
static void test_key_index_when_a_bit_flips_then_verify_blames_no_block(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    svl_store *store = open_store();
    find_places("keys");
    for (size_t i = 0; i < place_count; i++) {
        unsigned findings = 0;
        flip(places[i], (uint8_t)(1u << rng_below(&rng, 8)));
        assert_int_equal(svl_store_verify(store, is_of_no_block, NULL, &findings), SVL_E_CORRUPT);
        assert_in_range(findings, 1, 2);
        flip(places[i], 0);
    }
    assert_ok(svl_store_close(store));
}

/* Only what has a key's line is read by a lookup, which then still finds all. */
static void test_key_filter_when_a_bit_flips_then_told_by_verify_and_nothing_is_left_out(
    void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    svl_store *store = open_store();
    unsigned told = 0, findings = 0;
    find_places("keyfilters");
    damages_index = true;
    for (size_t i = 0; i < place_count; i++) {
        flip(places[i], (uint8_t)(1u << rng_below(&rng, 8)));
        told += ask_all_ways(store, &rng, places[i]);
        if (svl_store_verify(store, is_of_filters, NULL, &findings) != SVL_E_CORRUPT)
            fail_msg("byte %u of the file is another one, and verify does not mind", places[i]);
        flip(places[i], 0);
    }
    assert_true(told > place_count / 4 && findings == place_count);
    assert_false(ask_all_ways(store, &rng, 0));
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void test_zones_when_a_bit_flips_then_told_by_each_query(void **state)
{
    (void)state;
    assert_every_byte_counts("zones");
}

static void test_key_index_when_a_bit_flips_then_told_by_each_query(void **state)
{
    (void)state;
    assert_every_byte_counts("keys");
}

/* Of the n-th cursor of LMDB that a query takes there is none: whether it was. */
static bool ask_short_of_memory(svl_store *store, const svl_query *query, int n,
                                struct answer right)
{
    svl_cursor *cursor = NULL;
    const svl_record *record;
    struct answer answer = { 0, 0 };
    opens_left = n;
    int rc = svl_store_query(store, query, &cursor);
    while (rc == SVL_OK || rc == SVL_E_CORRUPT) {
        rc = svl_cursor_next(cursor, 0, &record);
        answer.found += rc == SVL_OK;
        answer.told += rc == SVL_E_CORRUPT;
    }
    bool was_short = opens_left == 0;
    opens_left = 0;
    svl_cursor_close(cursor);
    assert_int_equal(rc, was_short ? SVL_E_NOMEM : SVL_E_END);
    assert_true(was_short || (answer.found == right.found && answer.told == right.told));
    return was_short;
}

static void test_damaged_zone_when_memory_is_short_too_then_nothing_is_left_out(void **state)
{
    (void)state;
    svl_store *store = open_store();
    find_places("zones");
    flip(places[place_count / 2], 1);
    svl_query query;
    assert_ok(svl_query_init(&query, sizeof query));
    for (int backward = 0; backward < 2; backward++) {
        query.flags = backward ? SVL_QUERY_BACKWARD : 0;
        struct answer right = ask(store, &query);
        assert_true(right.found > 0 && right.told == 1);
        int n = 1;
        while (ask_short_of_memory(store, &query, n, right))
            n++;
        assert_true(n > 2);
    }
    assert_ok(svl_store_close(store));
}

/* RECORDS in a segment that is full, with its run of the key index, and one behind it. */
static int make_store(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store *store = open_store();
    char key[32], name[600];
    for (uint64_t id = 1; id <= RECORDS; id++) {
        svl_record record = record_of(id, key);
        assert_ok(svl_store_append(store, &record, 1, NULL));
    }
    assert_ok(svl_store_commit(store, -1));
    pthread_mutex_lock(&store->lock);
    store->roll_wanted = true;
    pthread_mutex_unlock(&store->lock);
    svl_record last = record_of(RECORDS + 1, key);
    assert_ok(svl_store_append(store, &last, 1, NULL));
    assert_ok(svl_store_close(store));
    snprintf(name, sizeof name, "%s/" SEGMENT_NAME, path);
    file = open(name, O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_true(file >= 0 && fstat(file, &st) == 0);
    bytes = malloc((size_t)st.st_size);
    assert_non_null(bytes);
    assert_true(pread(file, bytes, (size_t)st.st_size, 0) == st.st_size);
    return 0;
}

static int drop_store(void **state)
{
    (void)state;
    free(bytes);
    close(file);
    return 0;
}

int main(void)
{
#define SEALED_TEST(f) cmocka_unit_test_setup_teardown(f, make_store, drop_store)
    const struct CMUnitTest tests[] = {
        SEALED_TEST(test_zones_when_a_bit_flips_then_told_by_each_query),
        SEALED_TEST(test_key_filter_when_a_bit_flips_then_told_by_verify_and_nothing_is_left_out),
        SEALED_TEST(test_key_index_when_a_bit_flips_then_told_by_each_query),
        SEALED_TEST(test_key_index_when_a_bit_flips_then_verify_blames_no_block),
        SEALED_TEST(test_damaged_zone_when_memory_is_short_too_then_nothing_is_left_out),
    };
    int failed = cmocka_run_group_tests_name("store/sealed", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
