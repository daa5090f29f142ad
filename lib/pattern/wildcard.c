/* wildcard.c - compiled and matched. */
#define _GNU_SOURCE /* memmem(), which is linear where a loop of our own would not be */
#include "wildcard.h"

#include <string.h>

int64_t svl__wildcard_compile(svl_slice text, uint8_t *out, uint32_t *stars, const char **why)
{
    const uint8_t *p = text.data;
    int64_t n = 0;
    *stars = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (p[i] == '*') {
            if (n > 0 && out[n - 1] == WILDCARD_STAR) {
                *why = "two stars in a row: one is enough";
                return -1;
            }
            out[n++] = WILDCARD_STAR;
            ++*stars;
            continue;
        }
        if (p[i] == '\\') {
            i++;
            if (i == text.len || (p[i] != '*' && p[i] != '\\')) {
                *why = "a backslash before anything but '*' or another backslash";
                return -1;
            }
        }
        out[n++] = p[i];
    }
    return n;
}

/* The run that starts at `from`: up to the next star or the end. */
static svl_slice run_at(svl_slice wildcard, size_t from)
{
    const uint8_t *p = (const uint8_t *)wildcard.data + from;
    const uint8_t *star = memchr(p, WILDCARD_STAR, wildcard.len - from);
    return (svl_slice){ p, star ? (size_t)(star - p) : wildcard.len - from };
}

bool svl__wildcard_matches(svl_slice wildcard, const uint8_t *text, size_t len)
{
    svl_slice run = run_at(wildcard, 0);
    if (run.len > len || memcmp(text, run.data, run.len) != 0)
        return false;
    if (run.len == wildcard.len)
        return run.len == len;
    size_t at = run.len, from = run.len + 1;
    for (;;) {
        run = run_at(wildcard, from);
        if (from + run.len == wildcard.len)
            return run.len <= len - at && memcmp(text + len - run.len, run.data, run.len) == 0;
        const uint8_t *found = memmem(text + at, len - at, run.data, run.len);
        if (!found)
            return false;
        at = (size_t)(found - text) + run.len;
        from += run.len + 1;
    }
}
