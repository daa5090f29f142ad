/* Queries with patterns, with allocations that fail: an error, nothing leaked, and the same records when there is
 * memory again. */
#include <string.h>

#include "support/patterns.h"

#define RECORDS 300

static svl_store *store;
static size_t found;
static char path[512];

/* Read-only: nothing but queries allocates. */
static void open_to_read(void)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
}

static void fill(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
    struct rng rng = { 7 };
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = 4096;
    assert_ok(svl_store_open(path, &o, &store));
    for (int i = 0; i < RECORDS; i++) {
        svl_record r = pattern_record(&rng);
        assert_ok(svl_store_append(store, &r, 1, NULL));
        if (i == RECORDS / 2)
            assert_ok(svl_store_commit(store, -1));
    }
    assert_ok(svl_store_close(store));
}

static int run(const char *pattern, uint32_t flags)
{
    svl_query q;
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    svl_query_init(&q, sizeof q);
    q.pattern = pattern;
    q.flags = flags;
    q.tail = flags & SVL_QUERY_TAIL ? 10 : 0;
    found = 0;
    int rc = svl_store_query(store, &q, &cursor);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl_cursor_next_many(cursor, 0, 50, &records, &n)) == SVL_OK)
        found += n;
    svl_cursor_close(cursor);
    return rc == SVL_E_END ? SVL_OK : rc;
}

static void test_query_when_an_allocation_fails_then_an_error_and_nothing_leaked(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "{\"source\":[\"shop\"],\"detail\":{\"items\":{\"name\":[\"a\"],\"n\":[2]}}}",
        "{\"$or\":[{\"key\":[{\"prefix\":\"k-1\"}]},{\"body\":[{\"wildcard\":\"*fail*\"}]}]}"
    };
    static const uint32_t flags[] = { 0, SVL_QUERY_BACKWARD, SVL_QUERY_TAIL };
    fill();
    int64_t before = live_allocations();
    open_to_read();
    for (size_t i = 0; i < 2; i++)
        for (size_t f = 0; f < 3; f++) {
            assert_ok(run(patterns[i], flags[f]));
            size_t expected = found;
            assert_true(expected > 0);
            for (uint64_t n = 1;; n++) {
                fail_malloc_after(n, true);
                int rc = run(patterns[i], flags[f]);
                bool failed = fail_malloc_count() >= n;
                fail_malloc_after(0, false);
                assert_true(rc == SVL_OK || rc == SVL_E_NOMEM);
                assert_true(rc != SVL_OK || found == expected);
                if (!failed)
                    break;
            }
        }
    assert_ok(svl_store_close(store));
    assert_true(live_allocations() == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_when_an_allocation_fails_then_an_error_and_nothing_leaked),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
