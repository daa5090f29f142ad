/* document - a record as the JSON document that event patterns and transformers see, in text.
 *
 * Matching never builds it; whoever puts a record's parts into other text does. */
#ifndef SVL_PATTERN_DOCUMENT_H
#define SVL_PATTERN_DOCUMENT_H

#include <serverlog/types.h>

#include "base/bytes.h"

#define DOCUMENT_DEPTH_MAX 128 /* of a JSON body, to be a detail */

/* Appends the document of a checked record: always valid JSON. A detail is the body byte for byte. SVL_OK or
 * SVL_E_NOMEM. */
int svl__document_write(const svl_record *record, struct buffer *out);

/* The name of a severity's range: "INFO" of 9 to 12; "" of 0. */
const char *svl__severity_text(uint32_t severity);

#endif
