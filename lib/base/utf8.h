/* utf8 - is this text? */
#ifndef SVL_BASE_UTF8_H
#define SVL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Strict: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629). NUL is allowed. */
bool svl__utf8_valid(const void *text, size_t len);

#endif
