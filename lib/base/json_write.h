/* json_write - text and numbers as JSON, appended to a buffer. */
#ifndef SVL_BASE_JSON_WRITE_H
#define SVL_BASE_JSON_WRITE_H

#include "bytes.h"

/* A string with its quotes. Escaped is what must be (quotes, backslashes, control characters) and nothing
 * else. A lone surrogate, as json_scan decodes it, becomes its escape again; a byte that belongs to no
 * character becomes U+FFFD. */
void svl__json_write_string(struct buffer *out, const void *text, size_t len);

/* The same without the quotes: to be put between others of the kind. */
void svl__json_write_characters(struct buffer *out, const void *text, size_t len);

void svl__json_write_u64(struct buffer *out, uint64_t value);
void svl__json_write_i64(struct buffer *out, int64_t value);

/* In few digits, at most 17, that read back as the same double, whatever the locale. JSON has no infinity
 * and no NaN: null. */
void svl__json_write_f64(struct buffer *out, double value);

/* What is no value: brackets, commas, names that need no escape. */
static inline void json_write_raw(struct buffer *out, const char *text)
{
    svl__buffer_append(out, text, strlen(text));
}

#endif
