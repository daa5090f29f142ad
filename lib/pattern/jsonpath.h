/* jsonpath - a value's place in a JSON document: $.detail.items[0]['a name']
 *
 * A compiled path is bytes, a step behind the other:
 *
 *     'n'  u16 length, the name          a member of an object
 *     'i'  u32                           an element of an array, from 0 */
#ifndef SVL_PATTERN_JSONPATH_H
#define SVL_PATTERN_JSONPATH_H

#include <serverlog/types.h>
#include <stdbool.h>

#include "base/bytes.h"

#define JSONPATH_BYTES_MAX 1024

/* Appends the compiled path to `out`. NULL, or what is wrong, at byte *error_at of the text. */
const char *svl__jsonpath_compile(svl_slice text, struct buffer *out, size_t *error_at);

/* The bytes of the value at the end of the path, in a document that is valid JSON. False: it is not there. Of
 * a name that an object has twice, the last one counts. */
bool svl__jsonpath_find(svl_slice path, svl_slice document, svl_slice *value);

#endif
