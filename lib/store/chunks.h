/* chunks - the records' bodies (or attributes), compressed in pieces of about BLOCK_CHUNK_BYTES, so that
 * one record costs one small decompression: see CHUNKS and TABLE in block_format.h. */
#ifndef SVL_STORE_CHUNKS_H
#define SVL_STORE_CHUNKS_H

#include "codec.h"
#include "record/wire.h"
#include "space.h"

/* Appends the chunks of `n` records, whose bytes lie one behind the other, to `stored` and their table
 * to `table`. */
int svl__chunks_encode(struct compressor *compressor, const uint8_t *bytes, const uint32_t *lengths,
                       uint32_t n, struct buffer *stored, struct buffer *table);

struct chunk {
    uint32_t first, end; /* its records: [first, end) */
    uint32_t raw_at;     /* where its bytes begin among all records' */
    uint32_t raw_len;
    uint32_t stored_at; /* in the section */
    uint32_t stored_len;
    uint64_t checksum;
    const uint8_t *bytes; /* NULL until decompressed */
    uint8_t codec;
};

struct chunks {
    const uint8_t *stored;
    struct chunk *list;
    uint32_t count;
    uint32_t current; /* used last */
    uint32_t raw_len;
    const uint32_t *offsets; /* of each record's bytes among all records', and the end */
    struct space list_space, offset_space, raw_space;
    uint64_t decompressed; /* chunks, ever */
};

/* Takes up the chunks of `n` records: both sections' bytes, the table checked already. Nothing is
 * decompressed. SVL_E_CORRUPT, SVL_E_NOMEM. */
int svl__chunks_open(struct chunks *chunks, svl_slice stored, svl_slice table,
                     const uint32_t *lengths, uint32_t n);
void svl__chunks_free(struct chunks *chunks); /* zeroed is fine */

/* Makes the chunk of record `i` the current one, decompressed. */
int svl__chunks_fetch(struct chunks *chunks, struct decompressor *decompressor, uint32_t i);

/* The bytes of record `i`, borrowed until the next open. */
static inline int chunks_at(struct chunks *chunks, struct decompressor *decompressor, uint32_t i,
                            svl_slice *out)
{
    uint32_t at = chunks->offsets[i], len = chunks->offsets[i + 1] - at;
    *out = (svl_slice){ "", 0 };
    if (len == 0)
        return SVL_OK;
    const struct chunk *chunk = &chunks->list[chunks->current];
    if (i < chunk->first || i >= chunk->end || !chunk->bytes) {
        int rc = svl__chunks_fetch(chunks, decompressor, i);
        if (rc != SVL_OK)
            return rc;
        chunk = &chunks->list[chunks->current];
    }
    *out = (svl_slice){ chunk->bytes + (at - chunk->raw_at), len };
    return SVL_OK;
}

#endif
