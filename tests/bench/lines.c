/* The keys of a store that is asked: the harness checks its peers' answers by where it says they are. */
#include <string.h>

#include "bench.h"
#include "support/support.h"

static const uint64_t totals[] = { 1, 9, 10, 11, 16, 100, 9999, 10000, 10001, 20010, 123456 };
#define TOTALS (sizeof totals / sizeof totals[0])

int bench_fail(const char *what)
{
    fail_msg("%s", what);
    return -1;
}

static bool is_key_of(const struct filled *filled, uint64_t n, const struct line *like)
{
    struct line line;
    line_make_filled(filled, n, &line);
    return line.record.key.len == like->record.key.len &&
           memcmp(line.record.key.data, like->record.key.data, like->record.key.len) == 0;
}

static void test_shared_key_when_the_store_is_filled_then_it_has_one_record_in_each_span(
    void **state)
{
    (void)state;
    for (size_t i = 0; i < TOTALS; i++) {
        struct filled filled = lines_filled(totals[i]);
        uint64_t found = 0;
        for (uint64_t key = 0; key < filled.shared_keys; key++) {
            struct line first;
            line_make_filled(&filled, lines_shared(&filled, key, 0), &first);
            for (uint64_t span = 0, last = 0; span < filled.spans; span++) {
                uint64_t n = lines_shared(&filled, key, span);
                if (n >= filled.total && span + 1 == filled.spans)
                    break;
                assert_true(n < filled.total && (span == 0 || n > last));
                assert_true(is_key_of(&filled, n, &first));
                last = n;
                found++;
            }
        }
        assert_int_equal(found, (totals[i] + 9) / 10); /* each tenth record, and none twice */
    }
}

static void test_own_key_when_asked_for_then_no_record_near_has_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOTALS; i++) {
        struct filled filled = lines_filled(totals[i]);
        if (totals[i] < 2)
            continue; /* it has none */
        for (uint64_t n = 0; n < filled.total; n += 97) {
            struct line line;
            uint64_t own = lines_own(&filled, n);
            assert_true(own < filled.total);
            line_make_filled(&filled, own, &line);
            assert_int_equal(line.record.key.len, 16);
            for (uint64_t other = 0; other < filled.total && other < 1000; other++)
                assert_true(other == own || !is_key_of(&filled, other, &line));
        }
    }
}

int main(void)
{
    if (lines_load(NULL) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_shared_key_when_the_store_is_filled_then_it_has_one_record_in_each_span),
        cmocka_unit_test(test_own_key_when_asked_for_then_no_record_near_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
