/* Numbers and bounded reading: nothing is read past the end, whatever the bytes. */
#include "base/bytes.h"

#include "support/support.h"

static void test_varint_when_read_back_then_same(void **state)
{
    (void)state;
    static const uint64_t values[] = { 0,         1,     127,        128,
                                       16383,     16384, UINT32_MAX, UINT64_MAX - 1,
                                       UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t bytes[VARINT_BYTES_MAX];
        size_t n = (size_t)(put_varint(bytes, values[i]) - bytes);
        struct reader r = reader_of(bytes, n);
        assert_true(read_varint(&r) == values[i]);
        assert_false(r.failed);
        assert_int_equal(reader_left(&r), 0);
        for (size_t cut = 0; cut < n; cut++) {
            r = reader_of(bytes, cut);
            read_varint(&r);
            assert_true(r.failed);
        }
    }
}

static void test_varint_when_longer_than_64_bits_then_fails(void **state)
{
    (void)state;
    uint8_t bytes[11] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, 0 };
    struct reader r = reader_of(bytes, 10);
    read_varint(&r);
    assert_true(r.failed);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0xff;
    r = reader_of(bytes, sizeof bytes);
    read_varint(&r);
    assert_true(r.failed);
}

static void test_zigzag_when_undone_then_same(void **state)
{
    (void)state;
    static const int64_t values[] = { 0, -1, 1, -64, 63, INT64_MIN, INT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_true(unzigzag(zigzag(values[i])) == values[i]);
    assert_true(zigzag(-1) == 1 && zigzag(1) == 2);
}

static void test_reader_when_past_the_end_then_zero_and_failed(void **state)
{
    (void)state;
    static const uint8_t three[3] = { 1, 2, 3 };
    struct reader r = reader_of(three, 3);
    assert_int_equal(read_u16(&r), 0x0201);
    assert_int_equal(read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(read_u8(&r), 0);
    r = reader_of(NULL, 0);
    assert_null(read_bytes(&r, 1));
}

static void test_buffer_when_appended_then_holds_all(void **state)
{
    (void)state;
    struct buffer b = { 0 };
    for (uint32_t i = 0; i < 10000; i++)
        svl__buffer_append(&b, &i, sizeof i);
    assert_false(b.failed);
    assert_int_equal(b.len, 40000);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(load_u32(b.data + 4 * i), i);
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    svl__buffer_free(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varint_when_read_back_then_same),
        cmocka_unit_test(test_varint_when_longer_than_64_bits_then_fails),
        cmocka_unit_test(test_zigzag_when_undone_then_same),
        cmocka_unit_test(test_reader_when_past_the_end_then_zero_and_failed),
        cmocka_unit_test(test_buffer_when_appended_then_holds_all),
    };
    return cmocka_run_group_tests_name("base/bytes", tests, NULL, NULL);
}
