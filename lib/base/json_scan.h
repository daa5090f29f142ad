/* json_scan - JSON read in one pass, token by token, where it lies: strict RFC 8259, strict UTF-8, no
 * allocation, no recursion.
 *
 *     struct json_scan s;
 *     svl__json_start(&s, text, len, 0);
 *     while ((token = svl__json_next(&s)) > JSON_END)
 *         ...
 *
 * A member of an object is two tokens: JSON_NAME, then its value. Who does not want what follows says so,
 * and it is passed over by its quotes and brackets alone, many bytes at a time:
 *
 *     after JSON_NAME, or before the first token    svl__json_skip()    the value at hand
 *     anywhere inside an object or array            svl__json_leave()   the rest of it, with its end
 *
 * What was skipped or left is not checked: only what JSON_END came behind, with neither, is all valid.
 *
 * Text is handed out raw, as it stands between its quotes, and decoded on request. An escaped surrogate
 * that has no partner ("\ud800") is valid by RFC 8259 and no character: it decodes to the three bytes
 * that UTF-8's scheme would give it (ED A0 80 to ED BF BF, known as WTF-8). As raw bytes these are refused,
 * so that they equal nothing but the same escape.
 *
 * A struct json_scan is its caller's, to be copied freely: a copy goes on from the same place. */
#ifndef SVL_BASE_JSON_SCAN_H
#define SVL_BASE_JSON_SCAN_H

#include <serverlog/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_DEFAULT 128
#define JSON_DEPTH_LIMIT 1024

enum json_token {
    JSON_ERROR, /* and from now on only this: see `error` and `error_at` */
    JSON_END,   /* the value was the whole text; again and again */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_NAME, /* with its colon */
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* Borrowed from the scanned text. */
struct json_text {
    const uint8_t *data; /* a name or string: between its quotes; a number: all of it */
    size_t len;
    bool escaped; /* holds a backslash: to be decoded. Else data is the decoded text already */
};

struct json_scan {
    /* To be read. */
    struct json_text text; /* of the last JSON_NAME, _STRING or _NUMBER */
    uint32_t depth;        /* objects and arrays open */
    const char *error;     /* static: what is wrong; NULL unless JSON_ERROR */
    size_t error_at;       /* its byte offset; len: the text ends too early */
    const uint8_t *token;  /* where the last token starts */

    /* The scanner's own. */
    const uint8_t *at, *start, *end;
    uint8_t state, after; /* what may come now; and behind a value of the innermost container */
    uint32_t depth_max;
    uint64_t objects[JSON_DEPTH_LIMIT / 64]; /* a bit a level: it is an object */
};

/* `text` is borrowed while the scan goes on. depth_max: how many objects and arrays may be open at once;
 * 0 is JSON_DEPTH_DEFAULT, more than JSON_DEPTH_LIMIT is that. */
void svl__json_start(struct json_scan *s, const void *text, size_t len, uint32_t depth_max);

enum json_token svl__json_next(struct json_scan *s);

/* Passes over the value at hand: to be called only where a value must come. False: an error, as
 * JSON_ERROR. */
bool svl__json_skip(struct json_scan *s);

/* Passes over the rest of the innermost open object or array; its end token is not given. After
 * JSON_OBJECT or JSON_ARRAY that is all of it, after JSON_NAME the member's value too. False: an error. */
bool svl__json_leave(struct json_scan *s);

/* The last token's place, as a byte offset; after a skip, where the value starts. */
static inline size_t json_offset(const struct json_scan *s)
{
    return (size_t)(s->token - s->start);
}

/* The bytes of a value, quotes and brackets included: after the token of one that is no object or array,
 * after a skip, and after a leave that came right behind JSON_OBJECT or JSON_ARRAY. */
static inline svl_slice json_raw(const struct json_scan *s)
{
    return (svl_slice){ s->token, (size_t)(s->at - s->token) };
}

/* Decodes from the beginning of a name or string as many whole characters as `capacity` has space for, and
 * takes them from `rest`: returns their bytes. A capacity of rest->len is enough for all of it, one of 4
 * for progress. */
size_t svl__json_decode(struct json_text *rest, uint8_t *out, size_t capacity);

/* Is the text, decoded, this? */
bool svl__json_equals(const struct json_text *text, svl_slice decoded);

/* Reads all that is left: true when the whole text is one valid JSON value, else `error` and `error_at`
 * say why not. */
bool svl__json_check(struct json_scan *s);

#endif
