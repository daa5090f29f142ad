/* Queries with a pattern: the records that a look at every single one would give, and no more read than that takes. */
#include <string.h>

#include "support/patterns.h"

#define MODEL_MAX 4096

struct ids {
    uint64_t ids[MODEL_MAX];
    size_t n;
};

static char path[512];
static svl_store *store;

static int start(void **state)
{
    (void)state;
    svl_store_options o;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    o.segment_bytes = UINT64_C(8) << 20;
    assert_ok(svl_store_open(path, &o, &store));
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_ok(svl_store_close(store));
    return 0;
}

static svl_query query_of(const char *pattern)
{
    svl_query q;
    assert_ok(svl_query_init(&q, sizeof q));
    q.pattern = pattern;
    return q;
}

static svl_cursor *open_cursor(const svl_query *q)
{
    svl_cursor *cursor;
    assert_ok(svl_store_query(store, q, &cursor));
    return cursor;
}

static void take(svl_cursor *cursor, struct ids *ids)
{
    const svl_record *records;
    size_t n;
    int rc;
    while ((rc = svl_cursor_next_many(cursor, 0, 7, &records, &n)) == SVL_OK)
        for (size_t i = 0; i < n; i++) {
            assert_true(ids->n < MODEL_MAX);
            ids->ids[ids->n++] = records[i].id;
        }
    assert_int_equal(rc, SVL_E_END);
}

static svl_cursor_explanation run(const svl_query *q, struct ids *ids)
{
    svl_cursor_explanation e = { .struct_size = sizeof e };
    svl_cursor *cursor = open_cursor(q);
    ids->n = 0;
    take(cursor, ids);
    assert_ok(svl_cursor_explain(cursor, &e));
    assert_true(e.records_returned == ids->n);
    svl_cursor_close(cursor);
    return e;
}

/* Every record of the rest of the query, each held against the pattern by itself. */
static void scan(const svl_query *q, struct ids *ids)
{
    svl_query all = *q;
    svl_pattern *pattern;
    const svl_record *record;
    all.pattern = NULL;
    all.limit = 0;
    assert_ok(svl_pattern_compile(q->pattern, strlen(q->pattern), &pattern, NULL));
    svl_cursor *cursor = open_cursor(&all);
    for (ids->n = 0; svl_cursor_next(cursor, 0, &record) == SVL_OK;) {
        int matched;
        assert_ok(svl_pattern_match_record(pattern, record, 0, &matched));
        assert_true(ids->n < MODEL_MAX);
        if (matched && (q->limit == 0 || ids->n < q->limit))
            ids->ids[ids->n++] = record->id;
    }
    svl_cursor_close(cursor);
    svl_pattern_destroy(pattern);
}

static void assert_same(const struct ids *a, const struct ids *b, const char *pattern)
{
    if (a->n != b->n || memcmp(a->ids, b->ids, a->n * sizeof a->ids[0]) != 0)
        fail_msg("%s: %zu records, %zu by a scan", pattern, a->n, b->n);
}

/* In segments, in blocks and in batches of the tail. */
static void fill(struct rng *rng)
{
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 400; i++) {
            svl_record r = pattern_record(rng);
            assert_ok(svl_store_append(store, &r, 1, NULL));
        }
        if (part < 2)
            assert_ok(svl_store_commit(store, -1));
    }
}

static void test_query_when_it_has_a_pattern_then_what_a_scan_gives(void **state)
{
    (void)state;
    static struct ids found, scanned;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    char pattern[1024];
    size_t sum = 0, bodies = 0, chunks = 0;
    fill(rng);
    for (int round = 0; round < test_times(400); round++) {
        svl_query q = query_of(pattern_any(rng, pattern));
        if (rng_below(rng, 3) == 0)
            q.severity_min = 1 + (uint32_t)rng_below(rng, 20);
        if (rng_below(rng, 3) == 0)
            q.time_max_ns = PATTERN_TIME + (int64_t)rng_below(rng, 600) * 1000000;
        if (rng_below(rng, 4) == 0)
            q.source = slice_of("shop");
        if (rng_below(rng, 4) == 0) {
            q.key_kind = SVL_KEY_PREFIX;
            q.key_low = slice_of("k-1");
        }
        if (rng_below(rng, 3) == 0)
            q.limit = 1 + rng_below(rng, 20);
        if (rng_below(rng, 2) == 0)
            q.flags = SVL_QUERY_BACKWARD;
        scan(&q, &scanned);
        svl_cursor_explanation e = run(&q, &found);
        assert_same(&found, &scanned, pattern);
        sum += found.n;
        chunks += e.chunks_decoded;
        bodies += found.n > 0;
    }
    assert_true(sum > 0 && bodies > 0 && chunks > 0);
}

static void test_tail_when_it_has_a_pattern_then_the_last_that_match(void **state)
{
    (void)state;
    static struct ids found, scanned;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    char pattern[1024];
    fill(rng);
    for (int round = 0; round < test_times(50); round++) {
        svl_query q = query_of(pattern_any(rng, pattern));
        scan(&q, &scanned);
        q.flags = SVL_QUERY_TAIL;
        q.tail = 1 + rng_below(rng, 10);
        run(&q, &found);
        if (scanned.n > q.tail) {
            memmove(scanned.ids, scanned.ids + (scanned.n - q.tail), q.tail * sizeof(uint64_t));
            scanned.n = q.tail;
        }
        assert_same(&found, &scanned, pattern);
    }
}

/* --- what is read --- */

/* 30 blocks and more: time and key ascend, one record in a hundred is severe, and of another source. */
static void fill_sorted(void)
{
    for (int i = 0; i < 1000; i++) {
        char key[16], body[160];
        snprintf(key, sizeof key, "k-%04d", i);
        snprintf(body, sizeof body, "{\"n\":%d,\"text\":\"%0100d\"}", i, i);
        svl_record r = { .time_ns = PATTERN_TIME + (int64_t)i * 1000000000,
                         .severity = i % 100 == 0 ? SVL_SEVERITY_ERROR : SVL_SEVERITY_INFO,
                         .body_kind = SVL_BODY_JSON,
                         .source = slice_of(i % 100 == 0 ? "rare" : "often"),
                         .key = slice_of(key),
                         .body = slice_of(body) };
        assert_ok(svl_store_append(store, &r, 1, NULL));
    }
    assert_ok(svl_store_commit(store, -1));
}

static const struct {
    const char *pattern;
    size_t found;
    bool by_zone, by_key; /* blocks are left out by this */
    bool few_chunks;      /* fewer than blocks are decoded */
} readings[] = {
    { "{\"severity\":[{\"numeric\":[\">=\",17]}]}", 10, true, false, false },
    { "{\"severity\":[17,18],\"detail\":{\"n\":[300]}}", 1, true, false, false },
    { "{\"time-ns\":[{\"numeric\":[\">=\",1790000000000000000,\"<\",1790000010000000000]}]}", 10,
      true, false, false },
    { "{\"time\":[{\"prefix\":\"2026-09-21T14:13:2\"}]}", 10, true, false, false },
    { "{\"key\":[\"k-0500\"]}", 1, false, true, false },
    { "{\"key\":[{\"prefix\":\"k-05\"}]}", 100, false, true, false },
    { "{\"$or\":[{\"key\":[\"k-0500\"]},{\"key\":[\"k-0501\"]}]}", 2, false, true, false },
    { "{\"source\":[\"rare\"]}", 10, false, false, true },
    { "{\"source\":[\"rare\"],\"detail\":{\"n\":[300]}}", 1, false, false, true },
    { "{\"source\":[{\"prefix\":\"ra\"}],\"detail\":{\"n\":[300,301]}}", 1, false, false, true },
    { "{\"source\":[{\"suffix\":\"re\"}]}", 10, false, false, true },
    { "{\"source\":[{\"anything-but\":\"often\"}],\"body\":[{\"exists\":false}]}", 10, false, false,
      true },
    { "{\"type\":[\"never\"],\"detail\":{\"n\":[300]}}", 0, false, false, true },
    { "{\"severity\":[99]}", 0, true, false, true },
    { "{\"$or\":[{\"source\":[\"rare\"]},{\"detail\":{\"n\":[301]}}]}", 11, false, false, false },
    { "{\"detail\":{\"n\":[300]}}", 1, false, false, false },
};

static void test_query_when_a_pattern_names_the_envelope_then_the_rest_is_not_read(void **state)
{
    (void)state;
    static struct ids found;
    fill_sorted();
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        svl_query q = query_of(readings[i].pattern);
        for (uint32_t backward = 0; backward < 2; backward++) {
            q.flags = backward ? SVL_QUERY_BACKWARD : 0;
            svl_cursor_explanation e = run(&q, &found);
            if (found.n != readings[i].found || e.blocks < 30)
                fail_msg("%s: %zu found, %llu blocks", q.pattern, found.n,
                         (unsigned long long)e.blocks);
            if ((e.blocks_skipped_zone > e.blocks / 2) != readings[i].by_zone ||
                (e.blocks_skipped_key > e.blocks / 2) != readings[i].by_key)
                fail_msg("%s: of %llu blocks %llu skipped by zone, %llu by key", q.pattern,
                         (unsigned long long)e.blocks, (unsigned long long)e.blocks_skipped_zone,
                         (unsigned long long)e.blocks_skipped_key);
            bool all = e.chunks_decoded >= e.blocks;
            if (!readings[i].by_zone && !readings[i].by_key && all == readings[i].few_chunks)
                fail_msg("%s: %llu chunks of %llu blocks", q.pattern,
                         (unsigned long long)e.chunks_decoded, (unsigned long long)e.blocks);
        }
    }
}

static void test_query_when_limited_then_bodies_behind_are_not_read(void **state)
{
    (void)state;
    static struct ids found;
    fill_sorted();
    svl_query q = query_of("{\"detail\":{\"n\":[{\"numeric\":[\">=\",0]}]}}");
    q.limit = 3;
    svl_cursor_explanation e = run(&q, &found);
    assert_int_equal(found.n, 3);
    assert_true(e.chunks_decoded == 1);
}

static void test_key_when_it_is_longer_than_any_then_nothing_is_found(void **state)
{
    (void)state;
    static struct ids found;
    char pattern[1100];
    fill_sorted();
    snprintf(pattern, sizeof pattern, "{\"key\":[\"%0700d\"]}", 0);
    svl_query q = query_of(pattern);
    run(&q, &found);
    assert_int_equal(found.n, 0);
}

/* --- follow --- */

static void append_source(const char *source)
{
    svl_record r = { .source = slice_of(source) };
    assert_ok(svl_store_append(store, &r, 1, NULL));
}

static void test_follower_when_it_has_a_pattern_then_what_matches_as_it_comes(void **state)
{
    (void)state;
    const svl_record *record;
    svl_query q = query_of("{\"source\":[{\"suffix\":\"y\"}]}");
    q.flags = SVL_QUERY_FOLLOW;
    append_source("any");
    append_source("other");
    svl_cursor *cursor = open_cursor(&q);
    assert_ok(svl_cursor_next(cursor, 0, &record));
    assert_true(record->id == 1);
    assert_int_equal(svl_cursor_next(cursor, 1, &record), SVL_E_TIMEOUT);
    for (uint64_t i = 0; i < 100; i++) {
        append_source(i % 10 == 0 ? "sky" : "ground");
        int rc = svl_cursor_next(cursor, i % 10 == 0 ? 10000 : 0, &record);
        assert_int_equal(rc, i % 10 == 0 ? SVL_OK : SVL_E_TIMEOUT);
        assert_true(i % 10 != 0 || record->id == 3 + i);
    }
    svl_cursor_close(cursor);
}

/* --- what goes wrong --- */

static const struct {
    const char *pattern;
    int code;
    const char *path;
} wrong[] = {
    { "", SVL_E_PATTERN, "$" },
    { "{}", SVL_E_PATTERN, "$" },
    { "{\"source\":\"x\"}", SVL_E_PATTERN, "$.source" },
    { "{\"detail\":{\"n\":[{\"numeric\":[\">\"]}]}}", SVL_E_PATTERN, "$.detail.n[0].numeric" },
    { "{\"a\":[1]} x", SVL_E_PATTERN, "byte" },
};

static void test_query_when_its_pattern_is_none_then_refused_with_member_path_and_place(
    void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        svl_query q = query_of(wrong[i].pattern);
        svl_cursor *cursor = (svl_cursor *)1;
        assert_int_equal(svl_store_query(store, &q, &cursor), wrong[i].code);
        assert_null(cursor);
        const char *words = svl_last_error();
        if (!strstr(words, "svl_query.pattern") || !strstr(words, wrong[i].path) ||
            !strstr(words, "byte"))
            fail_msg("%s: %s", wrong[i].pattern, words);
    }
}

/* $or inside $or, 2^n combinations. */
static void test_query_when_its_pattern_is_too_complex_then_refused(void **state)
{
    (void)state;
    char pattern[1024] = "{";
    for (int i = 0; i < 11; i++)
        sprintf(pattern + strlen(pattern), "%s\"f%d\":{\"$or\":[{\"a\":[1]},{\"b\":[1]}]}",
                i ? "," : "", i);
    strcat(pattern, "}");
    svl_query q = query_of(pattern);
    svl_cursor *cursor;
    assert_int_equal(svl_store_query(store, &q, &cursor), SVL_E_PATTERN_COMPLEX);
    assert_non_null(strstr(svl_last_error(), "svl_query.pattern"));
}

static void test_record_when_it_cannot_be_held_against_the_pattern_then_told_once_and_passed(
    void **state)
{
    (void)state;
    static char pattern[HARD_BYTES], hard[HARD_BYTES];
    const svl_record *record;
    pattern_hard(pattern, hard);
    sprintf(pattern + strlen(pattern) - 1, ",\"severity\":[9]}");
    for (int i = 0; i < 4; i++) {
        svl_record r = { .severity = i == 0 ? 1 : 9,
                         .body_kind = SVL_BODY_JSON,
                         .body = slice_of(i < 3 ? hard : "{}") };
        assert_ok(svl_store_append(store, &r, 1, NULL));
    }
    svl_query q = query_of(pattern);
    svl_cursor *cursor = open_cursor(&q);
    for (int i = 2; i <= 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "record %d:", i);
        assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_LIMIT);
        assert_non_null(strstr(svl_last_error(), name));
    }
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_END);
    svl_cursor_close(cursor);
}

static void test_time_when_the_query_ends_before_all_times_then_nothing(void **state)
{
    (void)state;
    static struct ids found;
    append_source("any");
    svl_query q = query_of(NULL);
    q.time_max_ns = INT64_MIN;
    run(&q, &found);
    assert_int_equal(found.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_query_when_it_has_a_pattern_then_what_a_scan_gives),
        TEST(test_tail_when_it_has_a_pattern_then_the_last_that_match),
        TEST(test_query_when_a_pattern_names_the_envelope_then_the_rest_is_not_read),
        TEST(test_query_when_limited_then_bodies_behind_are_not_read),
        TEST(test_key_when_it_is_longer_than_any_then_nothing_is_found),
        TEST(test_follower_when_it_has_a_pattern_then_what_matches_as_it_comes),
        TEST(test_query_when_its_pattern_is_none_then_refused_with_member_path_and_place),
        TEST(test_query_when_its_pattern_is_too_complex_then_refused),
        TEST(test_record_when_it_cannot_be_held_against_the_pattern_then_told_once_and_passed),
        TEST(test_time_when_the_query_ends_before_all_times_then_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
