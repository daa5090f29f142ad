/* transform - a compiled transformer: what transform_compile.c makes and transform.c applies.
 *
 * The template is parts, in order: pieces of its own text, and variables. A variable is a number: below
 * variable_count one with a path, from TRANSFORM_VARIABLES_MAX on one of enum reserved. Immutable once
 * compiled, but for the count of its references. */
#ifndef SVL_PATTERN_TRANSFORM_H
#define SVL_PATTERN_TRANSFORM_H

#include <serverlog/transformer.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

#define TRANSFORM_BYTES_MAX (256u << 10) /* of the compiled text */
#define TRANSFORM_INPUT_MAX (16u << 20)  /* of an event */
#define TRANSFORM_OUTPUT_MAX (16u << 20)
#define TRANSFORM_VARIABLES_MAX 100
#define TRANSFORM_NAME_MAX 256

enum reserved {
    RESERVED_EVENT_JSON = TRANSFORM_VARIABLES_MAX,
    RESERVED_EVENT,
    RESERVED_INGESTION_TIME,
    RESERVED_RULE_NAME,
    TRANSFORM_VALUES /* all variables, with a path and reserved */
};

enum part_form {
    PART_LITERAL,
    PART_VALUE,     /* where JSON has a value */
    PART_IN_STRING, /* between the quotes of a JSON string */
    PART_TEXT       /* in a template that is text */
};

struct part {
    enum part_form form;
    uint32_t variable; /* unless PART_LITERAL */
    uint32_t at, len;  /* PART_LITERAL: in bytes */
};

struct svl_transformer {
    _Atomic uint32_t
        references; /* T4: who gives one back releases its uses; T5: the last one acquires all */
    uint32_t body_kind; /* SVL_BODY_JSON or _TEXT */
    uint32_t variable_count;
    struct {
        uint32_t at, len; /* the compiled path, in bytes */
    } paths[TRANSFORM_VARIABLES_MAX];
    bool used[TRANSFORM_VALUES];
    struct buffer bytes, parts;
};

/* One reference more; svl_transformer_destroy() gives one back. */
svl_transformer *svl__transformer_share(svl_transformer *transformer);

static inline const struct part *transform_parts(const svl_transformer *t, size_t *count)
{
    *count = t->parts.len / sizeof(struct part);
    return (const struct part *)(const void *)t->parts.data;
}

/* Of its bytes, of which there may be none at all. */
static inline svl_slice transform_bytes(const svl_transformer *t, uint32_t at, uint32_t len)
{
    return len > 0 ? (svl_slice){ t->bytes.data + at, len } : (svl_slice){ "", 0 };
}

#endif
