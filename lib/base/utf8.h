/* utf8 - is this text? And its characters. */
#ifndef SVL_BASE_UTF8_H
#define SVL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strict: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629). NUL is allowed. */
bool svl__utf8_valid(const void *text, size_t len);

/* The bytes of the character that starts at p, of which `left` (at least 1) are there; 0: not valid. */
size_t svl__utf8_sequence(const uint8_t *p, size_t left);

/* Writes a character of at most U+10FFFF; returns its bytes. A surrogate becomes three bytes that are not
 * valid UTF-8 (WTF-8). */
size_t svl__utf8_encode(uint32_t c, uint8_t out[4]);

/* The character at p, of which `left` bytes (at least 1) are there, and its bytes. Of text that is valid, but
 * for lone surrogates as svl__utf8_encode() writes them; of anything else some character, never more bytes
 * than there are. */
uint32_t svl__utf8_decode(const uint8_t *p, size_t left, size_t *taken);

#endif
