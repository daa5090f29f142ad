/* The indexes of a machine against obvious loops: tables, radix trees, ranges, wildcards, addresses. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "pattern/cidr.h"
#include "pattern/radix.h"
#include "pattern/range.h"
#include "pattern/table.h"
#include "pattern/wildcard.h"
#include "support/support.h"

enum { STRINGS = 300, ROUNDS = 4000 };

struct bit_string {
    struct posting posting;
    uint8_t bytes[4];
    uint32_t bits;
    bool is_in;
};

static bool begins_with(const uint8_t *bytes, uint32_t bits, const struct bit_string *s)
{
    for (uint32_t i = 0; i < s->bits; i++)
        if (i >= bits || (bytes[i / 8] ^ s->bytes[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

/* Few different bytes, so that strings begin with each other. */
static void make(struct rng *rng, uint8_t bytes[4], uint32_t *bits)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(rng_below(rng, 3) * 0x55);
    *bits = (uint32_t)rng_below(rng, 33);
}

static void check_lookup(struct rng *rng, const struct radix *tree,
                         const struct bit_string strings[STRINGS])
{
    uint8_t bytes[4];
    uint32_t bits, found = 0, wanted = 0, last = 0;
    make(rng, bytes, &bits);
    struct radix_walk walk = radix_walk(tree, bytes, bits);
    struct posting *p;
    while ((p = svl__radix_next(&walk)))
        for (; p; p = posting_next(p), found++) {
            const struct bit_string *s = p->owner;
            assert_true(s->is_in && begins_with(bytes, bits, s) && s->bits >= last);
            last = s->bits;
        }
    for (int i = 0; i < STRINGS; i++)
        wanted += strings[i].is_in && begins_with(bytes, bits, &strings[i]);
    assert_int_equal(found, wanted);
}

static void test_radix_when_strings_come_and_go_then_finds_those_it_begins_with(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    static struct bit_string strings[STRINGS];
    struct radix tree = { NULL };
    struct epoch epoch;
    svl__epoch_init(&epoch);
    for (int i = 0; i < STRINGS; i++)
        make(rng, strings[i].bytes, &strings[i].bits);
    for (int round = 0; round < ROUNDS + STRINGS; round++) {
        struct bit_string *s =
            &strings[round < ROUNDS ? rng_below(rng, STRINGS) : (uint64_t)(round - ROUNDS)];
        if (s->is_in) {
            svl__radix_remove(&tree, &s->posting, &epoch);
            s->is_in = false;
        } else if (round < ROUNDS) {
            s->posting.owner = s;
            s->is_in = svl__radix_put(&tree, s->bytes, s->bits, &s->posting, &epoch);
            assert_true(s->is_in);
        }
        svl__epoch_advance(&epoch);
        svl__epoch_collect(&epoch);
        check_lookup(rng, &tree, strings);
    }
    assert_null(tree.root);
    assert_int_equal(epoch.bytes, 0);
    svl__epoch_destroy(&epoch);
}

static double any_double(struct rng *rng)
{
    static const double some[] = { 0,   1,       -1,       5,      -5,
                                   0.1, 1e300,   -1e300,   5e-324, 255,
                                   256, DBL_MAX, -DBL_MAX, 2.5,    9007199254740993.0 };
    if (rng_below(rng, 2))
        return some[rng_below(rng, sizeof some / sizeof some[0])];
    return (double)(int64_t)rng_next(rng) / (double)(1 + rng_below(rng, 1000000));
}

static void test_range_when_cut_then_its_blocks_hold_exactly_what_lies_in_it(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    for (int round = 0; round < ROUNDS; round++) {
        double a = any_double(rng), b = any_double(rng);
        double low = a < b ? a : b, high = a < b ? b : a;
        struct range_block blocks[RANGE_BLOCKS_MAX];
        unsigned n = svl__range_cut(low, high, blocks);
        assert_in_range(n, 1, RANGE_BLOCKS_MAX);
        for (int i = 0; i < 20; i++) {
            double v = i == 0 ? low : i == 1 ? high : any_double(rng);
            uint8_t key[8];
            unsigned held = 0;
            svl__range_key(v, key);
            for (unsigned k = 0; k < n; k++) {
                unsigned bit = 0;
                while (bit < blocks[k].bits &&
                       !((key[bit / 8] ^ blocks[k].bytes[bit / 8]) >> (7 - bit % 8) & 1))
                    bit++;
                held += bit == blocks[k].bits;
            }
            assert_int_equal(held, v >= low && v <= high);
        }
    }
}

/* By trying all places for each star: slow and obvious. */
static bool matches(const char *wildcard, const char *text)
{
    if (*wildcard == 0)
        return *text == 0;
    if (*wildcard != '*')
        return *wildcard == *text && matches(wildcard + 1, text + 1);
    for (;; text++) {
        if (matches(wildcard + 1, text))
            return true;
        if (*text == 0)
            return false;
    }
}

static void any_text(struct rng *rng, const char *letters, size_t count, char *out)
{
    size_t n = rng_below(rng, 12);
    for (size_t i = 0; i < n; i++) {
        out[i] = letters[rng_below(rng, count)];
        if (i > 0 && out[i] == '*' && out[i - 1] == '*')
            out[i] = 'a';
    }
    out[n] = 0;
}

static void test_wildcard_when_compared_then_as_by_trying(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    unsigned matched = 0;
    for (int round = 0; round < 50 * ROUNDS; round++) {
        char wildcard[16], text[16];
        uint8_t compiled[16];
        uint32_t stars;
        const char *why;
        any_text(rng, "ab*", 3, wildcard);
        any_text(rng, "ab", 2, text);
        int64_t n = svl__wildcard_compile(slice_of(wildcard), compiled, &stars, &why);
        assert_true(n >= 0);
        bool wanted = matches(wildcard, text);
        assert_int_equal(svl__wildcard_matches((svl_slice){ compiled, (size_t)n },
                                               (const uint8_t *)text, strlen(text)),
                         wanted);
        matched += wanted;
    }
    assert_in_range(matched, ROUNDS, 49 * ROUNDS);
}

static void test_cidr_when_read_then_host_bits_are_zero(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_one;
        uint32_t bits, mask;
        uint8_t first, last;
    } cases[] = {
        { "10.1.2.3/8", true, 32, 8, 10, 0 },
        { "10.1.2.3", true, 32, 32, 10, 3 },
        { "255.255.255.255/31", true, 32, 31, 255, 254 },
        { "0.0.0.0/0", true, 32, 0, 0, 0 },
        { "::1", true, 128, 128, 0, 1 },
        { "2001:db8::ff/121", true, 128, 121, 0x20, 0x80 },
        { "::ffff:1.2.3.4", true, 128, 128, 0, 4 },
        { "10.1.2.3/33", false, 0, 0, 0, 0 },
        { "10.1.2.3/08", false, 0, 0, 0, 0 },
        { "10.1.2.3/+8", false, 0, 0, 0, 0 },
        { "10.1.2.3/", false, 0, 0, 0, 0 },
        { "10.1.2", false, 0, 0, 0, 0 },
        { "010.1.2.3", false, 0, 0, 0, 0 },
        { "::1%lo", false, 0, 0, 0, 0 },
        { "::/129", false, 0, 0, 0, 0 },
        { "", false, 0, 0, 0, 0 },
        { "/8", false, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address a;
        uint32_t mask;
        assert_int_equal(svl__cidr_read(slice_of(cases[i].text), &a, &mask), cases[i].is_one);
        if (!cases[i].is_one)
            continue;
        assert_int_equal(a.bits, cases[i].bits);
        assert_int_equal(mask, cases[i].mask);
        assert_int_equal(a.bytes[0], cases[i].first);
        assert_int_equal(a.bytes[a.bits / 8 - 1], cases[i].last);
    }
}

static void test_table_when_items_come_and_go_then_finds_those_of_a_hash(void **state)
{
    (void)state;
    struct rng seeded = { test_seed() }, *rng = &seeded;
    static uint64_t items[STRINGS]; /* an item's hash is in it; several have the same one */
    static bool is_in[STRINGS];
    struct table table = { NULL, 0, 0 };
    struct epoch epoch;
    svl__epoch_init(&epoch);
    for (int i = 0; i < STRINGS; i++)
        items[i] = rng_below(rng, STRINGS / 3) * 0x10001;
    for (int round = 0; round < 10 * ROUNDS; round++) {
        uint64_t i = rng_below(rng, STRINGS);
        if (is_in[i])
            svl__table_remove(&table, items[i], &items[i]);
        else
            assert_true(svl__table_put(&table, items[i], &items[i], &epoch));
        is_in[i] = !is_in[i];
        svl__epoch_advance(&epoch);
        svl__epoch_collect(&epoch);
        unsigned found = 0, wanted = 0;
        uint64_t hash = items[rng_below(rng, STRINGS)];
        struct table_probe probe = table_probe(&table, hash);
        const uint64_t *item;
        while ((item = table_next(&probe))) {
            assert_true(*item == hash && is_in[item - items]);
            found++;
        }
        for (int k = 0; k < STRINGS; k++)
            wanted += is_in[k] && items[k] == hash;
        assert_int_equal(found, wanted);
    }
    svl__table_destroy(&table, &epoch);
    assert_int_equal(epoch.bytes, 0);
    svl__epoch_destroy(&epoch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_radix_when_strings_come_and_go_then_finds_those_it_begins_with),
        cmocka_unit_test(test_range_when_cut_then_its_blocks_hold_exactly_what_lies_in_it),
        cmocka_unit_test(test_wildcard_when_compared_then_as_by_trying),
        cmocka_unit_test(test_cidr_when_read_then_host_bits_are_zero),
        cmocka_unit_test(test_table_when_items_come_and_go_then_finds_those_of_a_hash),
    };
    return cmocka_run_group_tests_name("pattern/indexes", tests, NULL, NULL);
}
