/* The scanner with vectors and the one without, which goes byte by byte: on the same text, whatever it is,
 * they give the same tokens, places and errors. */
#include "support/json_plain.h"

#include <stdlib.h>

#include "support/support.h"

#define TEXT_MAX 4096

static void put(char *text, size_t *len, const char *piece)
{
    size_t n = strlen(piece);
    if (*len + n < TEXT_MAX - 512) {
        memcpy(text + *len, piece, n);
        *len += n;
    }
}

static void put_string(struct rng *rng, char *text, size_t *len)
{
    static const char *const pieces[] = {
        "a",
        "bcd",
        "some more text than a chunk of sixteen",
        "\\\"",
        "\\\\",
        "\\n",
        "\\u00e4",
        "\\ud800",
        "\xc3\xa4",
        "\xf0\x9f\x98\x80",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
    };
    put(text, len, "\"");
    for (size_t n = rng_below(rng, 6); n > 0; n--)
        put(text, len, pieces[rng_below(rng, sizeof pieces / sizeof pieces[0])]);
    put(text, len, "\"");
}

/* A valid document; its open containers are a stack of closing brackets. */
static size_t random_document(struct rng *rng, char *text)
{
    static const char *const scalars[] = { "0", "-1.5e3", "true", "false", "null", "123456789" };
    char closing[16];
    size_t len = 0, depth = 0, steps = 1 + rng_below(rng, 60);
    put(text, &len, "[");
    closing[depth++] = ']';
    bool first = true;
    while (depth > 0) {
        if (steps == 0 || rng_below(rng, 5) == 0) {
            text[len++] = closing[--depth];
            first = false;
            continue;
        }
        steps--;
        if (!first)
            put(text, &len, rng_below(rng, 4) ? "," : " ,\n ");
        first = false;
        if (closing[depth - 1] == '}') {
            put_string(rng, text, &len);
            put(text, &len, rng_below(rng, 4) ? ":" : " : ");
        }
        if (depth < sizeof closing && rng_below(rng, 2)) {
            bool object = rng_below(rng, 2);
            put(text, &len, object ? "{" : "[");
            closing[depth++] = object ? '}' : ']';
            first = true;
        } else if (rng_below(rng, 2)) {
            put_string(rng, text, &len);
        } else {
            put(text, &len, scalars[rng_below(rng, sizeof scalars / sizeof scalars[0])]);
        }
    }
    return len;
}

static void mutate(struct rng *rng, char *text, size_t len)
{
    static const char bytes[] = "\"\"\"\\\\\\[]{},: \n01e.\x1f\x80\xff";
    for (size_t n = rng_below(rng, 4); n > 0; n--)
        text[rng_below(rng, len)] = bytes[rng_below(rng, sizeof bytes)];
}

static void assert_same(const struct json_scan *a, const struct json_scan *b)
{
    assert_ptr_equal(a->at, b->at);
    assert_ptr_equal(a->token, b->token);
    assert_int_equal(a->depth, b->depth);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->error_at, b->error_at);
    assert_int_equal(a->error == NULL, b->error == NULL);
    if (a->error)
        assert_string_equal(a->error, b->error);
    assert_ptr_equal(a->text.data, b->text.data);
    assert_int_equal(a->text.len, b->text.len);
    assert_int_equal(a->text.escaped, b->text.escaped);
}

/* Goes through the text, with a skip or a leave now and then. Returns whether it came to the end. */
static bool walk(struct rng *rng, const char *text, size_t len, unsigned leaps)
{
    struct json_scan a, b;
    svl__json_start(&a, text, len, 0);
    plain_start(&b, text, len, 0);
    for (;;) {
        enum json_token token = svl__json_next(&a);
        assert_int_equal(token, plain_next(&b));
        assert_same(&a, &b);
        if (token <= JSON_END)
            return token == JSON_END;
        if (rng_below(rng, 8) >= leaps)
            continue;
        if (token == JSON_NAME)
            assert_int_equal(svl__json_skip(&a), plain_skip(&b));
        else if (a.depth > 0)
            assert_int_equal(svl__json_leave(&a), plain_leave(&b));
        assert_same(&a, &b);
    }
}

static void test_document_when_valid_then_both_agree(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 20000; i++) {
        char text[TEXT_MAX];
        size_t len = random_document(&rng, text);
        assert_true(walk(&rng, text, len, (unsigned)rng_below(&rng, 3)));
    }
}

static void test_document_when_mutated_then_both_agree(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int i = 0; i < 40000; i++) {
        char text[TEXT_MAX];
        size_t len = random_document(&rng, text);
        mutate(&rng, text, len);
        if (rng_below(&rng, 4) == 0)
            len = 1 + rng_below(&rng, len);
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, text, len);
        walk(&rng, (const char *)copy, len, (unsigned)rng_below(&rng, 4));
        free(copy);
    }
}

/* Few kinds of byte, so that quotes, brackets and runs of backslashes meet at every place of a block. */
static void test_bytes_when_random_then_both_skip_alike(void **state)
{
    (void)state;
    static const char bytes[] = { '"', '\\', '\\', '[', ']', '{', '}', 'a' };
    struct rng rng = { test_seed() };
    for (int i = 0; i < 60000; i++) {
        char text[300];
        size_t len = 1 + rng_below(&rng, sizeof text - 1), kinds = 2 + rng_below(&rng, 7);
        for (size_t j = 0; j < len; j++)
            text[j] = bytes[rng_below(&rng, kinds)];
        text[0] = rng_below(&rng, 4) ? '[' : '"';
        struct json_scan a, b;
        svl__json_start(&a, text, len, 0);
        plain_start(&b, text, len, 0);
        assert_int_equal(svl__json_skip(&a), plain_skip(&b));
        assert_same(&a, &b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_when_valid_then_both_agree),
        cmocka_unit_test(test_document_when_mutated_then_both_agree),
        cmocka_unit_test(test_bytes_when_random_then_both_skip_alike),
    };
    return cmocka_run_group_tests_name("base/json_plain", tests, NULL, NULL);
}
