/* block_builder.h - a block under construction: block_build.c collects it, block_write.c encodes it. */
#ifndef SVL_STORE_BLOCK_BUILDER_H
#define SVL_STORE_BLOCK_BUILDER_H

#include "block_format.h"
#include "codec.h"
#include "column.h"
#include "dictionary.h"
#include "keyset.h"
#include "space.h"

/* The columns that are numbers of 32 bits. */
enum column {
    COLUMN_SEVERITY,
    COLUMN_BODY_KIND,
    COLUMN_FLAGS,
    COLUMN_SOURCE,
    COLUMN_TYPE,
    COLUMN_KEY, /* 0: no key; else 1 + number in the dictionary */
    COLUMN_ATTRIBUTE_COUNT,
    COLUMN_ATTRIBUTE_LENGTH,
    COLUMN_BODY_LENGTH,
    COLUMN_COUNT
};

struct block_builder {
    struct block_options options;
    uint64_t first_id;
    uint64_t raw_bytes;
    uint32_t count;
    uint32_t capacity; /* of the arrays of one element a record */
    int64_t *times;
    uint32_t *columns[COLUMN_COUNT];
    struct run *ingest;
    uint32_t ingest_count, ingest_capacity;
    struct dictionary sources, types, keys;
    struct buffer attributes, bodies; /* of all records, one behind the other */

    /* While finishing. */
    struct compressor compressor;
    struct buffer stored;  /* sections as they will be stored */
    struct buffer scratch; /* one section before it is compressed */
    struct space sorted_keys, names, column;
};

/* Forgets the records, keeps the memory. */
void svl__block_builder_clear(struct block_builder *builder);

#endif
