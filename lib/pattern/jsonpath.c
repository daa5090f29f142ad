/* jsonpath.c - what a path may say, and where it leads. */
#include "jsonpath.h"

#include "base/json_scan.h"

#define STEP_NAME 'n'
#define STEP_INDEX 'i'

static void append_name(struct buffer *out, const char *name, size_t len)
{
    uint8_t head[3] = { STEP_NAME };
    store_u16(head + 1, (uint16_t)len);
    svl__buffer_append(out, head, sizeof head);
    svl__buffer_append(out, name, len);
}

/* The name behind a dot, which ends before the next step. */
static const char *read_plain_name(const char **at, const char *end, struct buffer *out)
{
    const char *start = *at, *p = start;
    while (p < end && *p != '.' && *p != '[')
        p++;
    for (*at = start; *at < p; (*at)++)
        if ((unsigned char)**at <= ' ' || strchr("\"'*]()?@,:", **at))
            return "this character is part of a name only in brackets: ['the name']";
    if (p == start)
        return "a name is expected behind the dot";
    append_name(out, start, (size_t)(p - start));
    return NULL;
}

static const char *read_quoted_name(const char **at, const char *end, struct buffer *out)
{
    const char *start = *at + 1;
    const char *quote = memchr(start, **at, (size_t)(end - start));
    if (!quote)
        return "the name's second quote is missing";
    append_name(out, start, (size_t)(quote - start));
    *at = quote + 1;
    return NULL;
}

static const char *read_index(const char **at, const char *end, struct buffer *out)
{
    uint64_t index = 0;
    const char *p = *at;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        index = index * 10 + (uint64_t)(*p - '0');
        if (index > UINT32_MAX)
            return "the index is too large";
    }
    if (p == *at)
        return "a name in quotes or an index, from 0, is expected in the brackets";
    *at = p;
    uint8_t step[5] = { STEP_INDEX };
    store_u32(step + 1, (uint32_t)index);
    svl__buffer_append(out, step, sizeof step);
    return NULL;
}

static const char *read_step(const char **at, const char *end, struct buffer *out)
{
    const char *error;
    if (**at == '.') {
        (*at)++;
        return read_plain_name(at, end, out);
    }
    if (**at != '[')
        return "'.' or '[' is expected here";
    (*at)++;
    if (*at < end && (**at == '\'' || **at == '"'))
        error = read_quoted_name(at, end, out);
    else
        error = read_index(at, end, out);
    if (error)
        return error;
    if (*at == end || **at != ']')
        return "a ']' is expected here";
    (*at)++;
    return NULL;
}

const char *svl__jsonpath_compile(svl_slice text, struct buffer *out, size_t *error_at)
{
    const char *start = text.data, *end = start + text.len, *p = start;
    const char *error = NULL;
    *error_at = 0;
    if (text.len > JSONPATH_BYTES_MAX)
        return "the path is too long";
    if (text.len == 0 || *p++ != '$')
        return "a path begins with $, the event";
    while (!error && p < end)
        error = read_step(&p, end, out);
    *error_at = (size_t)(p - start);
    return error;
}

/* From behind JSON_OBJECT to the first token of the value of the last member with this name. */
static enum json_token go_to_member(struct json_scan *s, svl_slice name)
{
    struct json_scan found;
    bool is_found = false;
    while (svl__json_next(s) == JSON_NAME) {
        if (svl__json_equals(&s->text, name)) {
            found = *s;
            is_found = true;
        }
        svl__json_skip(s);
    }
    if (!is_found)
        return JSON_ERROR;
    *s = found;
    return svl__json_next(s);
}

/* From behind JSON_ARRAY to the first token of the element. */
static enum json_token go_to_element(struct json_scan *s, uint32_t index)
{
    for (;; index--) {
        enum json_token token = svl__json_next(s);
        if (token <= JSON_END || token == JSON_ARRAY_END)
            return JSON_ERROR;
        if (index == 0)
            return token;
        if (token == JSON_OBJECT || token == JSON_ARRAY)
            svl__json_leave(s);
    }
}

bool svl__jsonpath_find(svl_slice path, svl_slice document, svl_slice *value)
{
    struct json_scan s;
    svl__json_start(&s, document.data, document.len, JSON_DEPTH_LIMIT);
    enum json_token token = svl__json_next(&s);
    struct reader steps = reader_of(path.data, path.len);
    while (reader_left(&steps) > 0) {
        if (read_u8(&steps) == STEP_INDEX) {
            uint32_t index = read_u32(&steps);
            token = token == JSON_ARRAY ? go_to_element(&s, index) : JSON_ERROR;
        } else {
            size_t len = read_u16(&steps);
            svl_slice name = { read_bytes(&steps, len), len };
            token = token == JSON_OBJECT ? go_to_member(&s, name) : JSON_ERROR;
        }
    }
    if (token <= JSON_END)
        return false;
    if (token == JSON_OBJECT || token == JSON_ARRAY)
        svl__json_leave(&s);
    *value = json_raw(&s);
    return true;
}
