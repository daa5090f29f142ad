/* Filters: what they let through, what they tell a query, and which of them are refused. */
#include "pattern/filter.h"

#include <stdlib.h>

#include "record/wire.h"
#include "support/filters.h"

static struct filter *compile(const svl_filter *from)
{
    struct filter *filter;
    assert_ok(svl__filter_compile(from, &filter));
    return filter;
}

static bool matches(const struct filter *filter, const svl_record *record)
{
    bool matches;
    assert_ok(svl__filter_match(filter, record, &matches));
    return matches;
}

static void test_filter_when_of_any_conditions_then_lets_through_what_meets_all(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    size_t met = 0, checked = 0;
    for (int round = 0; round < 200; round++) {
        for (unsigned conditions = 0; conditions < 16; conditions++) {
            svl_filter from = filter_any(rng, conditions);
            struct filter *filter = compile(&from);
            for (int i = 0; i < 20; i++, checked++) {
                svl_record record = filter_record(rng);
                bool meets = filter_meets(&from, &record);
                assert_true(matches(filter, &record) == meets);
                met += meets;
            }
            svl__filter_destroy(filter);
        }
    }
    assert_in_range(met, checked / 20, checked / 2);
}

static void test_filter_when_all_zero_then_all_but_the_librarys_own(void **state)
{
    (void)state;
    struct filter *filter = compile(&(svl_filter){ .source = NULL });
    svl_record record = { .source = { NULL, 0 } };
    assert_true(matches(filter, &record));
    record.source = slice_of("serverlog");
    assert_true(matches(filter, &record));
    record.source = slice_of("serverlog.gap");
    assert_false(matches(filter, &record));
    svl__filter_destroy(filter);
}

static bool equal(svl_slice a, svl_slice b)
{
    return a.len == b.len && filter_starts(a, b.data, b.len);
}

/* What serverlog/store.h says of the conditions that a filter can set. */
static bool query_finds(const svl_query *q, const svl_record *r)
{
    if (q->key_kind != SVL_KEY_ANY && q->key_kind != SVL_KEY_PREFIX)
        return false;
    if (q->key_kind == SVL_KEY_PREFIX &&
        (r->key.len == 0 || !filter_starts(r->key, q->key_low.data, q->key_low.len)))
        return false;
    return r->severity >= q->severity_min && (q->source.len == 0 || equal(q->source, r->source)) &&
           (q->type.len == 0 || equal(q->type, r->type));
}

static void test_query_when_narrowed_then_finds_all_that_match(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    size_t skipped = 0;
    for (int round = 0; round < 3000; round++) {
        svl_filter from = filter_any(rng, (unsigned)rng_below(rng, 16));
        struct filter *filter = compile(&from);
        svl_query query;
        assert_ok(svl_query_init(&query, sizeof query));
        svl__filter_narrow(filter, &query);
        for (int i = 0; i < 10; i++) {
            svl_record record = filter_record(rng);
            if (filter_meets(&from, &record))
                assert_true(query_finds(&query, &record));
            skipped += !query_finds(&query, &record);
        }
        svl__filter_destroy(filter);
    }
    assert_true(skipped > 10000); /* it does narrow */
}

static void test_filter_when_compiled_then_keeps_nothing_of_the_callers(void **state)
{
    (void)state;
    char source[] = "abc", type[] = "t*", key[] = "key";
    svl_filter from = { .source = source, .type = type, .key_prefix = { key, 3 } };
    struct filter *filter = compile(&from);
    memset(source, 'x', 3);
    memset(type, 'x', 2);
    memset(key, 'x', 3);
    svl_record record = { .source = slice_of("abc"),
                          .type = slice_of("type"),
                          .key = slice_of("keys") };
    assert_true(matches(filter, &record));
    svl__filter_destroy(filter);
    svl__filter_destroy(NULL);
}

static void test_key_prefix_when_of_any_bytes_then_compared_as_bytes(void **state)
{
    (void)state;
    svl_filter from = { .key_prefix = { "\0\xff", 2 } };
    struct filter *filter = compile(&from);
    svl_record record = { .key = { "\0\xff\0", 3 } };
    assert_true(matches(filter, &record));
    record.key = (svl_slice){ "\0\xfe\0", 3 };
    assert_false(matches(filter, &record));
    record.key = (svl_slice){ "\0", 1 };
    assert_false(matches(filter, &record));
    svl__filter_destroy(filter);
}

static void test_filter_when_beyond_a_limit_then_refused(void **state)
{
    (void)state;
    static char name[RECORD_NAME_MAX + 1], prefix[RECORD_NAME_MAX + 2],
        too_long[RECORD_NAME_MAX + 2], prefix_too_long[RECORD_NAME_MAX + 3],
        key[RECORD_KEY_MAX + 1];
    memset(name, 'n', RECORD_NAME_MAX);
    memset(too_long, 'n', RECORD_NAME_MAX + 1);
    memset(prefix, 'n', RECORD_NAME_MAX);
    prefix[RECORD_NAME_MAX] = '*';
    memset(prefix_too_long, 'n', RECORD_NAME_MAX + 1);
    prefix_too_long[RECORD_NAME_MAX + 1] = '*';
    static const struct {
        svl_filter filter;
        int code;
    } cases[] = {
        { { .severity_min = SVL_SEVERITY_MAX }, SVL_OK },
        { { .severity_min = SVL_SEVERITY_MAX + 1 }, SVL_E_INVALID },
        { { .reserved = 1 }, SVL_E_RESERVED },
        { { .source = name }, SVL_OK },
        { { .source = prefix }, SVL_OK },
        { { .source = too_long }, SVL_E_NAME_TOO_LONG },
        { { .source = prefix_too_long }, SVL_E_NAME_TOO_LONG },
        { { .source = "\xff" }, SVL_E_UTF8 },
        { { .type = name }, SVL_OK },
        { { .type = prefix }, SVL_OK },
        { { .type = too_long }, SVL_E_NAME_TOO_LONG },
        { { .type = prefix_too_long }, SVL_E_NAME_TOO_LONG },
        { { .type = "\xc3*" }, SVL_E_UTF8 },
        { { .key_prefix = { key, RECORD_KEY_MAX } }, SVL_OK },
        { { .key_prefix = { key, RECORD_KEY_MAX + 1 } }, SVL_E_KEY_TOO_LONG },
        { { .key_prefix = { NULL, 1 } }, SVL_E_INVALID },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct filter *filter = (struct filter *)(void *)name;
        int rc = svl__filter_compile(&cases[i].filter, &filter);
        if (rc != cases[i].code)
            print_error("case %zu: %d, not %d\n", i, rc, cases[i].code);
        assert_int_equal(rc, cases[i].code);
        assert_true((filter == NULL) == (rc != SVL_OK));
        svl__filter_destroy(filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_when_of_any_conditions_then_lets_through_what_meets_all),
        cmocka_unit_test(test_filter_when_all_zero_then_all_but_the_librarys_own),
        cmocka_unit_test(test_query_when_narrowed_then_finds_all_that_match),
        cmocka_unit_test(test_filter_when_compiled_then_keeps_nothing_of_the_callers),
        cmocka_unit_test(test_key_prefix_when_of_any_bytes_then_compared_as_bytes),
        cmocka_unit_test(test_filter_when_beyond_a_limit_then_refused),
    };
    return cmocka_run_group_tests_name("pattern/filter", tests, NULL, NULL);
}
