/* json_plain.h - the JSON scanner once more, without vectors: plain_next() for svl__json_next(), and so on. */
#ifndef TESTS_SUPPORT_JSON_PLAIN_H
#define TESTS_SUPPORT_JSON_PLAIN_H

#include "base/json_scan.h"

void plain_start(struct json_scan *s, const void *text, size_t len, uint32_t depth_max);
enum json_token plain_next(struct json_scan *s);
bool plain_skip(struct json_scan *s);
bool plain_leave(struct json_scan *s);
bool plain_check(struct json_scan *s);
bool plain_equals(const struct json_text *text, svl_slice decoded);
size_t plain_decode(struct json_text *rest, uint8_t *out, size_t capacity);

#define SVL_JSON_PLAIN 1
#define svl__json_start plain_start
#define svl__json_next plain_next
#define svl__json_skip plain_skip
#define svl__json_leave plain_leave
#define svl__json_check plain_check
#define svl__json_equals plain_equals
#define svl__json_decode plain_decode
#include "base/json_scan.c"
#undef svl__json_start
#undef svl__json_next
#undef svl__json_skip
#undef svl__json_leave
#undef svl__json_check
#undef svl__json_equals
#undef svl__json_decode

#endif
