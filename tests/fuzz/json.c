/* json.c - any bytes to the JSON scanner, with and without vectors; its texts and numbers to those who read
 * and write them. The first byte says when to skip and leave. */
#include <math.h>
#include <string.h>

#include "base/casefold.h"
#include "base/json_number.h"
#include "base/json_write.h"
#include "fuzz.h"
#include "support/json_plain.h"

static void must_be_same(const struct json_scan *a, const struct json_scan *b)
{
    MUST(a->at - a->start == b->at - b->start && a->token - a->start == b->token - b->start);
    MUST(a->depth == b->depth && a->state == b->state && a->error_at == b->error_at);
    MUST((a->error == NULL) == (b->error == NULL));
    MUST(a->text.data - a->start == b->text.data - b->start && a->text.len == b->text.len);
    MUST(a->text.escaped == b->text.escaped);
    MUST(a->start <= a->token && a->token <= a->at && a->at <= a->end);
}

/* Decoded, written and read again, it is the same. */
static void try_text(const struct json_text *text)
{
    uint8_t *decoded = malloc(text->len * 2 + 8), *again = decoded + text->len + 4;
    MUST(decoded != NULL);
    struct json_text rest = *text;
    size_t len = svl__json_decode(&rest, decoded, text->len);
    MUST(rest.len == 0 && len <= text->len);

    rest = *text;
    size_t parts = 0;
    while (rest.len > 0) {
        size_t n = svl__json_decode(&rest, again + parts, 4);
        MUST(n > 0);
        parts += n;
    }
    MUST(parts == len && memcmp(decoded, again, len) == 0);

    struct buffer out = { 0 };
    svl__json_write_string(&out, decoded, len);
    MUST(!out.failed);
    struct json_scan s;
    svl__json_start(&s, out.data, out.len, 0);
    MUST(svl__json_next(&s) == JSON_STRING);
    struct json_text written = s.text;
    MUST(svl__json_next(&s) == JSON_END);
    uint8_t *back = malloc(written.len + 1), *folded = malloc(CASEFOLD_BYTES_MAX(len) + 1);
    MUST(back != NULL && folded != NULL);
    MUST(svl__json_decode(&written, back, out.len) == len && memcmp(back, decoded, len) == 0);
    MUST(svl__casefold_text(decoded, len, folded) <= CASEFOLD_BYTES_MAX(len));
    free(back);
    free(folded);
    free(decoded);
    svl__buffer_free(&out);
}

static void try_number(const struct json_text *text)
{
    svl_slice slice = { text->data, text->len };
    struct json_number n, again;
    bool finite = svl__json_number(slice, &n);
    char *copy = malloc(text->len + 1);
    MUST(copy != NULL);
    memcpy(copy, text->data, text->len);
    copy[text->len] = 0;
    double expected = strtod(copy, NULL);
    MUST(n.value == expected && finite == (isfinite(expected) != 0));
    MUST(svl__json_number_compare(slice, slice) == 0);
    free(copy);
    if (!finite)
        return;
    struct buffer out = { 0 };
    svl__json_write_f64(&out, n.value);
    MUST(!out.failed && svl__json_number((svl_slice){ out.data, out.len }, &again));
    MUST(again.value == n.value);
    svl__buffer_free(&out);
}

/* Goes through the text; leaps where `leaps` has a bit, in turn. */
static bool walk(const uint8_t *data, size_t len, uint8_t leaps)
{
    struct json_scan a, b;
    svl__json_start(&a, data, len, 0);
    plain_start(&b, data, len, 0);
    for (unsigned i = 0;; i++) {
        enum json_token token = svl__json_next(&a);
        MUST(token == plain_next(&b));
        must_be_same(&a, &b);
        if (token <= JSON_END)
            return token == JSON_END;
        if (token == JSON_NAME || token == JSON_STRING)
            try_text(&a.text);
        if (token == JSON_NUMBER)
            try_number(&a.text);
        if ((leaps >> i % 8 & 1) == 0 || a.depth == 0)
            continue;
        if (token == JSON_NAME)
            MUST(svl__json_skip(&a) == plain_skip(&b));
        else
            MUST(svl__json_leave(&a) == plain_leave(&b));
        must_be_same(&a, &b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t leaps = len > 0 ? *data++ : 0;
    len -= len > 0;
    struct json_scan s;
    svl__json_start(&s, data, len, 0);
    bool valid = svl__json_check(&s);
    MUST(valid || (s.error && s.error_at <= len));
    MUST(walk(data, len, 0) == valid);
    if (valid)
        MUST(walk(data, len, leaps));
    else
        walk(data, len, leaps);
    return 0;
}
