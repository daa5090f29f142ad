/* chunks.c - chunks written and read. */
#include "chunks.h"

#include <serverlog/store.h>

#include "base/checksum.h"
#include "base/error.h"
#include "block_format.h"

/* --- writing --- */

static int encode_chunk(struct compressor *compressor, const uint8_t *bytes, size_t len,
                        uint32_t records, struct buffer *stored, struct buffer *table)
{
    size_t at = stored->len;
    uint8_t codec;
    int rc = svl__compress(compressor, bytes, len, stored, &codec);
    if (rc != SVL_OK)
        return rc;
    uint8_t *start = buffer_reserve(table, 2 * VARINT_BYTES_MAX + 1 + sizeof(uint64_t));
    if (!start)
        return SVL_E_NOMEM;
    uint8_t *p = put_varint(start, records);
    p = put_varint(p, stored->len - at);
    *p++ = codec;
    store_u64(p, svl__checksum(stored->data + at, stored->len - at));
    table->len += (size_t)(p + sizeof(uint64_t) - start);
    return SVL_OK;
}

int svl__chunks_encode(struct compressor *compressor, const uint8_t *bytes, const uint32_t *lengths,
                       uint32_t n, struct buffer *stored, struct buffer *table)
{
    int rc = SVL_OK;
    for (uint32_t i = 0; rc == SVL_OK && i < n;) {
        /* A long record does not share a chunk with others: they would cost as much as it does. */
        uint32_t first = i;
        size_t len = lengths[i++];
        while (i < n && len + lengths[i] <= BLOCK_CHUNK_BYTES)
            len += lengths[i++];
        rc = encode_chunk(compressor, bytes, len, i - first, stored, table);
        bytes += len;
    }
    return rc;
}

/* --- reading --- */

static int damaged(const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "chunks of a block: %s", what);
}

static int take_lengths(struct chunks *chunks, const uint32_t *lengths, uint32_t n)
{
    uint32_t *offsets = space_take(&chunks->offset_space, ((size_t)n + 1) * sizeof *offsets);
    if (!offsets)
        return SVL_E_NOMEM;
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        offsets[i] = (uint32_t)at;
        at += lengths[i];
    }
    if (at > BLOCK_RAW_MAX)
        return damaged("its records are longer than a block may be");
    offsets[n] = (uint32_t)at;
    chunks->offsets = offsets;
    chunks->raw_len = (uint32_t)at;
    return SVL_OK;
}

static bool take_chunk(struct reader *r, const uint32_t *offsets, uint32_t n, struct chunk *chunk)
{
    uint64_t records = read_varint(r), stored_len = read_varint(r);
    if (records == 0 || records > n - chunk->first || stored_len > UINT32_MAX)
        return false;
    chunk->end = chunk->first + (uint32_t)records;
    chunk->raw_at = offsets[chunk->first];
    chunk->raw_len = offsets[chunk->end] - chunk->raw_at;
    chunk->stored_len = (uint32_t)stored_len;
    chunk->codec = read_u8(r);
    chunk->checksum = read_u64(r);
    chunk->bytes = NULL;
    return !r->failed;
}

static int take_table(struct chunks *chunks, svl_slice stored, svl_slice table, uint32_t n)
{
    /* An entry takes at least 11 bytes, so the table's own length limits what is allocated. */
    size_t max = table.len / (2 + 1 + sizeof(uint64_t));
    struct chunk *list = space_take(&chunks->list_space, max * sizeof *list);
    if (!list)
        return SVL_E_NOMEM;
    struct reader r = reader_of(table.data, table.len);
    uint32_t count = 0, first = 0;
    uint64_t stored_at = 0;
    while (first < n) {
        if (count == max)
            return damaged("the table ends before its records do");
        struct chunk *chunk = &list[count++];
        chunk->first = first;
        chunk->stored_at = (uint32_t)stored_at;
        if (!take_chunk(&r, chunks->offsets, n, chunk))
            return damaged("an entry of the table");
        first = chunk->end;
        stored_at += chunk->stored_len;
        if (stored_at > stored.len)
            return damaged("they are longer than the section");
    }
    if (reader_left(&r) != 0 || stored_at != stored.len)
        return damaged("there are bytes behind them");
    chunks->list = list;
    chunks->count = count;
    return SVL_OK;
}

int svl__chunks_open(struct chunks *chunks, svl_slice stored, svl_slice table,
                     const uint32_t *lengths, uint32_t n)
{
    chunks->stored = stored.data;
    chunks->current = 0;
    chunks->count = 0;
    int rc = take_lengths(chunks, lengths, n);
    if (rc != SVL_OK)
        return rc;
    if (chunks->raw_len == 0)
        return table.len + stored.len == 0 ? SVL_OK : damaged("there are some, without bytes");
    if (!space_take(&chunks->raw_space, chunks->raw_len))
        return SVL_E_NOMEM;
    return take_table(chunks, stored, table, n);
}

void svl__chunks_free(struct chunks *chunks)
{
    space_free(&chunks->list_space);
    space_free(&chunks->offset_space);
    space_free(&chunks->raw_space);
    *chunks = (struct chunks){ 0 };
}

/* The chunk of record `i`: mostly the one after the current. */
static uint32_t find_chunk(const struct chunks *chunks, uint32_t i)
{
    uint32_t low = 0, high = chunks->count - 1;
    const struct chunk *current = &chunks->list[chunks->current];
    if (i >= current->end && chunks->current < high && i < current[1].end)
        return chunks->current + 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (i >= chunks->list[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int svl__chunks_fetch(struct chunks *chunks, struct decompressor *decompressor, uint32_t i)
{
    uint32_t at = find_chunk(chunks, i);
    struct chunk *chunk = &chunks->list[at];
    chunks->current = at;
    if (chunk->bytes)
        return SVL_OK;
    const uint8_t *stored = chunks->stored + chunk->stored_at;
    if (svl__checksum(stored, chunk->stored_len) != chunk->checksum)
        return damaged("a checksum");
    if (chunk->codec == SVL_CODEC_NONE && chunk->stored_len == chunk->raw_len) {
        chunk->bytes = stored;
    } else {
        /* Every chunk has its own place: what was decompressed before stays where it is. */
        uint8_t *raw = (uint8_t *)chunks->raw_space.data + chunk->raw_at;
        int rc = svl__decompress(decompressor, chunk->codec, stored, chunk->stored_len, raw,
                                 chunk->raw_len);
        if (rc != SVL_OK)
            return rc;
        chunk->bytes = raw;
    }
    chunks->decompressed++;
    return SVL_OK;
}
