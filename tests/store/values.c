/* Values: operations as bytes and back, the newest of each key, and what is no operation. */
#include "store/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define KEYS 40
#define VALUE_MAX 24

static struct rng rng;

/* The newest operation on each key; number 0: none. */
struct model {
    uint64_t op[KEYS];
    bool deleted[KEYS];
    size_t len[KEYS];
    uint8_t bytes[KEYS][VALUE_MAX];
};

/* Keys in no order of their numbers; one is the beginning of another. */
static svl_slice key_of(size_t i, char out[32])
{
    return (svl_slice){ out, (size_t)snprintf(out, 32, "%zu", i * 7 % KEYS) };
}

/* `n` random operations as a section; the last gets number `last_op`. Those above `done_op` go into the
 * model too. */
static struct buffer section_of(size_t n, uint64_t last_op, uint64_t done_op, struct model *m)
{
    struct buffer ops = { 0 };
    for (size_t i = 0; i < n; i++) {
        size_t k = rng_below(&rng, KEYS);
        uint8_t value[VALUE_MAX];
        char key[32];
        for (size_t b = 0; b < VALUE_MAX; b++)
            value[b] = (uint8_t)rng_next(&rng);
        bool deletes = rng_below(&rng, 3) == 0;
        struct store_op op = { key_of(k, key), { value, rng_below(&rng, VALUE_MAX + 1) } };
        if (deletes)
            op.value = (svl_slice){ NULL, 0 };
        size_t before = ops.len;
        assert_ok(svl__op_check(&op));
        svl__op_encode(&op, &ops);
        assert_int_equal(ops.len - before, svl__op_size(&op));
        if (last_op - n + 1 + i <= done_op)
            continue;
        m->op[k] = last_op - n + 1 + i;
        m->deleted[k] = deletes;
        m->len[k] = op.value.len;
        memcpy(m->bytes[k], value, sizeof value);
    }
    assert_false(ops.failed);
    return ops;
}

static svl_slice slice(const struct buffer *b)
{
    return (svl_slice){ b->data, b->len };
}

static void assert_same(const struct values *values, const struct model *m)
{
    size_t count = 0;
    for (size_t k = 0; k < KEYS; k++) {
        char key[32];
        const struct value_entry *entry = svl__values_find(values, key_of(k, key));
        assert_true((entry != NULL) == (m->op[k] != 0));
        if (!entry)
            continue;
        count++;
        assert_true(entry->op == m->op[k] && entry->deleted == m->deleted[k]);
        assert_int_equal(entry->value_len, m->len[k]);
        if (m->len[k] > 0)
            assert_memory_equal(entry->bytes + entry->key_len, m->bytes[k], m->len[k]);
    }
    assert_int_equal(values->count, count);
    assert_null(svl__values_find(values, slice_of("no such key")));
}

static void forget(struct model *m, uint64_t last_op)
{
    for (size_t k = 0; k < KEYS; k++)
        if (m->op[k] <= last_op)
            m->op[k] = 0;
}

static void test_operations_when_applied_then_the_newest_of_each_key(void **state)
{
    (void)state;
    struct values values = { 0 }, copy;
    struct model m = { .op = { 0 } };
    uint64_t last_op = 0;
    assert_same(&values, &m);
    for (int round = 0; round < 2000; round++) {
        size_t n = rng_below(&rng, 6);
        last_op += n;
        /* A journal that is replayed has operations that the catalog has already. */
        uint64_t done_op = rng_below(&rng, 4) ? 0 : last_op - rng_below(&rng, n + 1);
        struct buffer ops = section_of(n, last_op, done_op, &m);
        assert_ok(svl__values_apply(&values, slice(&ops), (uint32_t)n, last_op, done_op));
        svl__buffer_free(&ops);
        assert_same(&values, &m);
        if (rng_below(&rng, 10) == 0) {
            assert_ok(svl__values_copy(&values, &copy));
            uint64_t upto = last_op - rng_below(&rng, 20 < last_op ? 20 : last_op + 1);
            struct model before = m;
            forget(&m, upto);
            svl__values_forget(&values, upto);
            assert_same(&values, &m);
            assert_same(&copy, &before); /* lives on its own */
            svl__values_free(&copy);
        }
    }
    svl__values_free(&values);
    assert_true(values.count == 0 && values.entries == NULL);
    assert_ok(svl__values_copy(&values, &copy));
    assert_int_equal(copy.count, 0);
}

static int apply_any(svl_slice ops, uint32_t count, uint64_t last_op)
{
    struct values values = { 0 };
    int rc = svl__values_apply(&values, ops, count, last_op, 0);
    svl__values_free(&values);
    return rc;
}

static void test_section_when_cut_or_too_long_then_corrupt(void **state)
{
    (void)state;
    struct model m = { .op = { 0 } };
    for (int round = 0; round < 50; round++) {
        uint32_t n = 1 + (uint32_t)rng_below(&rng, 5);
        struct buffer ops = section_of(n, n, 0, &m);
        assert_ok(apply_any(slice(&ops), n, n));
        for (size_t cut = 0; cut < ops.len; cut++) {
            uint8_t *exact = malloc(cut + 1);
            assert_non_null(exact);
            memcpy(exact + 1, ops.data, cut); /* a read behind the end is seen */
            assert_int_equal(apply_any((svl_slice){ exact + 1, cut }, n, n), SVL_E_CORRUPT);
            free(exact);
        }
        assert_int_equal(apply_any(slice(&ops), n - 1, n), SVL_E_CORRUPT);
        assert_int_equal(apply_any(slice(&ops), n + 1, n + 1), SVL_E_CORRUPT);
        assert_int_equal(apply_any(slice(&ops), n, n - 1), SVL_E_CORRUPT); /* number 0 */
        svl__buffer_free(&ops);
    }
    assert_ok(apply_any((svl_slice){ NULL, 0 }, 0, 0));
}

static void test_section_when_of_any_bytes_then_safe(void **state)
{
    (void)state;
    int taken = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[40];
        size_t len = rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = rng_below(&rng, 3) ? (uint8_t)rng_below(&rng, 3) : (uint8_t)rng_next(&rng);
        uint8_t *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact + 1, bytes, len);
        int rc = apply_any((svl_slice){ exact + 1, len }, (uint32_t)rng_below(&rng, 4), 10);
        assert_true(rc == SVL_OK || rc == SVL_E_CORRUPT);
        taken += rc == SVL_OK;
        refused += rc != SVL_OK;
        free(exact);
    }
    assert_true(taken > 0 && refused > 0);
}

static void test_operation_when_at_its_limits_then_taken_or_refused(void **state)
{
    (void)state;
    static uint8_t bytes[VALUE_BYTES_MAX + 1];
    static const struct {
        size_t key, value;
        int code;
    } cases[] = {
        { 1, 0, SVL_OK },
        { VALUE_KEY_MAX, VALUE_BYTES_MAX, SVL_OK },
        { 0, 1, SVL_E_INVALID },
        { VALUE_KEY_MAX + 1, 1, SVL_E_INVALID },
        { 1, VALUE_BYTES_MAX + 1, SVL_E_INVALID },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_op op = { { bytes, cases[i].key }, { bytes, cases[i].value } };
        struct buffer ops = { 0 };
        assert_int_equal(svl__op_check(&op), cases[i].code);
        /* The journal is not trusted to hold only what was checked. */
        svl__op_encode(&op, &ops);
        assert_int_equal(apply_any(slice(&ops), 1, 1),
                         cases[i].code == SVL_OK ? SVL_OK : SVL_E_CORRUPT);
        svl__buffer_free(&ops);
    }
}

static void test_empty_value_when_put_then_is_not_a_deletion(void **state)
{
    (void)state;
    struct values values = { 0 };
    struct buffer ops = { 0 };
    struct store_op empty = { slice_of("empty"), { "", 0 } },
                    gone = { slice_of("gone"), { NULL, 0 } };
    svl__op_encode(&empty, &ops);
    svl__op_encode(&gone, &ops);
    assert_ok(svl__values_apply(&values, slice(&ops), 2, 2, 0));
    assert_false(svl__values_find(&values, slice_of("empty"))->deleted);
    assert_true(svl__values_find(&values, slice_of("gone"))->deleted);
    svl__buffer_free(&ops);
    svl__values_free(&values);
}

int main(void)
{
    rng.state = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations_when_applied_then_the_newest_of_each_key),
        cmocka_unit_test(test_section_when_cut_or_too_long_then_corrupt),
        cmocka_unit_test(test_section_when_of_any_bytes_then_safe),
        cmocka_unit_test(test_operation_when_at_its_limits_then_taken_or_refused),
        cmocka_unit_test(test_empty_value_when_put_then_is_not_a_deletion),
    };
    return cmocka_run_group_tests_name("store/values", tests, NULL, NULL);
}
