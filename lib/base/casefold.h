/* casefold - text without regard to case: Unicode's simple case folding, one character to one (so that a
 * sharp s is not "ss"). Does not depend on the locale. */
#ifndef SVL_BASE_CASEFOLD_H
#define SVL_BASE_CASEFOLD_H

#include <stddef.h>
#include <stdint.h>

/* Two characters are equal but for their case when these are equal. */
uint32_t svl__casefold(uint32_t c);

/* Folds UTF-8 as the JSON scanner decodes it (lone surrogates are kept). `out` has space for
 * CASEFOLD_BYTES_MAX(len): a character of two bytes may become one of three. Returns the bytes written. */
#define CASEFOLD_BYTES_MAX(len) ((len) + (len) / 2)
size_t svl__casefold_text(const uint8_t *text, size_t len, uint8_t *out);

#endif
