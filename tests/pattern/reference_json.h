/* reference_json - the reference's own JSON reader: a tree, code point by code point. Slow and plain on purpose;
 * shares no line with lib/.
 *
 * Everything of one text lies in one arena and goes with it. Called by the reference, and by what makes random texts and
 * makes them smaller. */
#ifndef TESTS_PATTERN_REFERENCE_JSON_H
#define TESTS_PATTERN_REFERENCE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that is given back in one go. All zero is an empty one. */
struct arena {
    struct arena_chunk *chunks;
};
/* `size` zero bytes; ends the process when there are none. */
void *arena_take(struct arena *arena, size_t size);
void arena_free(struct arena *arena);

/* Code points after unescaping; a surrogate without its partner stands for itself. */
struct text {
    const uint32_t *at;
    size_t length;
};
bool text_equal(struct text a, struct text b);
bool text_is(struct text text, const char *ascii);

/* The value 0.DIGITS * 10^exponent, without zeros at either end of the digits; no digits: zero. */
struct decimal {
    bool negative;
    bool overflows; /* its nearest binary64 is an infinity */
    const char *digits;
    size_t digit_count;
    long long exponent;
};
/* Less than, equal to or greater than 0, as of the exact values. Neither may overflow. */
int decimal_compare(const struct decimal *a, const struct decimal *b);

enum json_kind {
    JSON_NULL,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json {
    enum json_kind kind;
    size_t offset;    /* of its first byte */
    size_t end;       /* of the byte behind its last */
    struct text text; /* a string's */
    struct decimal number;
    struct json *first; /* an array's elements, an object's values */
    struct json *next;  /* the one behind it */
    size_t index;       /* its place there, from 0 */
    struct text name;   /* of an object's value */
    size_t name_offset; /* of the name's opening quote */
};

/* Deeper texts are refused: the reader calls itself. */
enum { JSON_DEPTH_MAX = 200 };

/* The tree of a whole text, or NULL: then `offset` is that of the first byte that cannot be. */
struct json *json_read(struct arena *arena, const char *bytes, size_t length, size_t *offset);

#endif
