/* Keys: their order, sets of them, and where conditions put them. */
#include "blocks.h"
#include "store/keyset.h"

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void test_keys_when_compared_then_are_in_bytewise_order(void **state)
{
    (void)state;
    static const svl_slice ascending[] = { { "", 0 },       { "\0", 1 },      { "\0\0", 2 },
                                           { "a", 1 },      { "a\0", 2 },     { "aa", 2 },
                                           { "b", 1 },      { "\x7f", 1 },    { "\x80", 1 },
                                           { "\xff\0", 2 }, { "\xff\xff", 2 } };
    int n = sizeof ascending / sizeof ascending[0];
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            assert_int_equal(sign(svl__key_compare(ascending[a], ascending[b])), sign(a - b));
}

static void test_key_when_located_then_lies_before_in_or_behind_the_condition(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *low, *high, *key;
        int place;
    } cases[] = {
        { SVL_KEY_ANY, "", "", "a", 0 },         { SVL_KEY_ANY, "", "", "", 0 },
        { SVL_KEY_EXACT, "b", "", "a", -1 },     { SVL_KEY_EXACT, "b", "", "b", 0 },
        { SVL_KEY_EXACT, "b", "", "ba", 1 },     { SVL_KEY_EXACT, "b", "", "", -1 },
        { SVL_KEY_EXACT, "", "", "", -1 },       { SVL_KEY_EXACT, "", "", "a", 1 },
        { SVL_KEY_PREFIX, "ab", "", "a", -1 },   { SVL_KEY_PREFIX, "ab", "", "aa", -1 },
        { SVL_KEY_PREFIX, "ab", "", "ab", 0 },   { SVL_KEY_PREFIX, "ab", "", "ab\xff", 0 },
        { SVL_KEY_PREFIX, "ab", "", "ac", 1 },   { SVL_KEY_PREFIX, "", "", "a", 0 },
        { SVL_KEY_PREFIX, "", "", "", -1 },      { SVL_KEY_PREFIX, "\xff", "", "\xff\xff", 0 },
        { SVL_KEY_RANGE, "b", "d", "a", -1 },    { SVL_KEY_RANGE, "b", "d", "b", 0 },
        { SVL_KEY_RANGE, "b", "d", "c\xff", 0 }, { SVL_KEY_RANGE, "b", "d", "d", 1 },
        { SVL_KEY_RANGE, "b", "", "\xff", 0 },   { SVL_KEY_RANGE, "", "b", "a", 0 },
        { SVL_KEY_RANGE, "", "", "a", 0 },       { SVL_KEY_RANGE, "", "", "", -1 },
        { SVL_KEY_RANGE, "d", "b", "c", -1 },    { SVL_KEY_RANGE, "d", "b", "e", 1 },
        { SVL_KEY_RANGE, "b", "b", "b", 1 },     { 99, "", "", "a", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct key_condition condition = { cases[i].kind, words(cases[i].low),
                                           words(cases[i].high) };
        assert_int_equal(sign(svl__key_locate(&condition, words(cases[i].key))), cases[i].place);
    }
}

static void test_keys_when_sorted_then_ascend_and_keep_their_numbers(void **state)
{
    (void)state;
    enum { MAX = 3000 };
    static uint8_t bytes[MAX][32];
    static struct sorted_key keys[MAX], scratch[MAX];
    for (int round = 0; round < 50; round++) {
        uint32_t n = (uint32_t)chance(round < 20 ? 20 : MAX);
        size_t shared = chance(20);
        for (uint32_t i = 0; i < n; i++) {
            memset(bytes[i], 'p', shared);
            size_t rest = chance(12);
            for (size_t b = 0; b < rest; b++)
                bytes[i][shared + b] = (uint8_t)chance(3);
            keys[i] = (struct sorted_key){ .key = { bytes[i], shared + rest }, .number = i };
        }
        svl__key_sort(keys, scratch, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_ptr_equal(keys[i].key.data, bytes[keys[i].number]);
            if (i > 0)
                assert_true(svl__key_compare(keys[i - 1].key, keys[i].key) <= 0);
        }
    }
}

static void test_set_when_of_a_block_then_has_its_keys_from_writer_and_reader(void **state)
{
    (void)state;
    struct records records = records_any(77, 500, 50);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_reader *reader;
    struct key_set *read;
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    assert_int_equal(svl__block_reader_load(reader, block->data, block->len), SVL_OK);
    assert_int_equal(svl__block_reader_key_set(reader, &read), SVL_OK);
    struct key_set *written = svl__key_set_hold(block->keys);
    svl__block_release(block); /* sets live on their own */
    assert_int_equal(svl__key_set_block(read), 77);
    assert_int_equal(svl__key_set_count(read), svl__key_set_count(written));
    assert_int_equal(svl__key_set_bytes(read), svl__key_set_bytes(written));
    for (uint32_t i = 0; i < svl__key_set_count(read); i++)
        assert_slice(svl__key_set_at(read, i), svl__key_set_at(written, i));
    for (uint32_t i = 0; i < records.count; i++) {
        struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = records.list[i].key };
        assert_true(svl__key_set_matches(read, &exact) == (records.list[i].key.len > 0));
    }
    svl__key_set_release(read);
    svl__key_set_release(written);
    svl__block_reader_destroy(reader);
    records_free(&records);
}

static void test_set_when_matched_then_says_what_a_walk_over_it_says(void **state)
{
    (void)state;
    static const char *const names[] = { "alpha", "beta", "betamax", "gamma", "omega" };
    svl_slice keys[5];
    for (int i = 0; i < 5; i++)
        keys[i] = words(names[i]);
    static const char *const probes[] = { "", "a", "b", "beta", "betam", "c", "omega", "omegas" };
    size_t n = sizeof probes / sizeof probes[0];
    struct key_set *set = svl__key_set_create(1, keys, 5);
    assert_non_null(set);
    for (uint32_t kind = SVL_KEY_ANY; kind <= SVL_KEY_RANGE; kind++) {
        for (size_t l = 0; l < n; l++) {
            for (size_t h = 0; h < n; h++) {
                struct key_condition condition = { kind, words(probes[l]), words(probes[h]) };
                bool any = false;
                for (int i = 0; i < 5; i++)
                    any |= svl__key_locate(&condition, keys[i]) == 0;
                assert_true(svl__key_set_matches(set, &condition) == any);
            }
        }
    }
    svl__key_set_release(set);
    svl__key_set_release(NULL);
}

static void test_block_without_keys_when_asked_for_a_set_then_has_none(void **state)
{
    (void)state;
    struct records records = { .first_id = 1 };
    records_add(&records, &(svl_record){ .body = words("no key") }, 0);
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    assert_null(block->keys);
    struct block_reader *reader;
    struct key_set *set;
    assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
    assert_int_equal(svl__block_reader_load(reader, block->data, block->len), SVL_OK);
    assert_int_equal(svl__block_reader_key_set(reader, &set), SVL_OK);
    assert_null(set);
    svl__block_reader_destroy(reader);
    svl__block_release(block);
    records_free(&records);
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_when_compared_then_are_in_bytewise_order),
        cmocka_unit_test(test_key_when_located_then_lies_before_in_or_behind_the_condition),
        cmocka_unit_test(test_keys_when_sorted_then_ascend_and_keep_their_numbers),
        cmocka_unit_test(test_set_when_of_a_block_then_has_its_keys_from_writer_and_reader),
        cmocka_unit_test(test_set_when_matched_then_says_what_a_walk_over_it_says),
        cmocka_unit_test(test_block_without_keys_when_asked_for_a_set_then_has_none),
    };
    return cmocka_run_group_tests_name("store/block_keys", tests, NULL, NULL);
}
