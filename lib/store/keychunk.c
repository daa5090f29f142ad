/* keychunk.c - chunks of keys, written and opened. */
#include "keychunk.h"

#include <stdio.h>

#include "base/error.h"
#include "keyset.h"
#include "record/wire.h"
#include "seal.h"

#define HEADER_BYTES 6
#define ENTRY_BYTES 4

_Static_assert(HEADER_BYTES + RECORD_KEY_MAX + RUN_BLOCKS * VARINT_BYTES_MAX + ENTRY_BYTES +
                       SEAL_BYTES <=
                   CHUNK_BYTES_MAX,
               "a key that all blocks hold fits into a chunk");
_Static_assert(CHUNK_BYTES_MAX <= UINT16_MAX, "offsets are u16");

/* --- writing --- */

void svl__key_chunk_begin(struct key_chunk_writer *writer, MDB_cursor *cursor, uint64_t place,
                          uint32_t run)
{
    writer->cursor = cursor;
    writer->place = place;
    writer->run = run;
    writer->number = 0;
    writer->count = 0;
    writer->len = HEADER_BYTES;
}

static size_t chunk_bytes(size_t len, uint32_t count)
{
    return len + (size_t)count * ENTRY_BYTES + SEAL_BYTES;
}

static bool takes(const struct key_chunk_writer *writer, size_t entry)
{
    bool is_usual =
        chunk_bytes(writer->len, writer->count) <= CHUNK_BYTES && writer->count >= CHUNK_KEYS_MIN;
    size_t grown = chunk_bytes(writer->len + entry, writer->count + 1);
    return grown <= (is_usual ? CHUNK_BYTES : CHUNK_BYTES_MAX);
}

/* Puts the chunk, of which `key` is the place, and begins the next. */
static int put_chunk(struct key_chunk_writer *writer, MDB_val *key)
{
    uint8_t *bytes = writer->bytes;
    size_t table = (size_t)writer->count * ENTRY_BYTES;
    store_u32(bytes, writer->number);
    store_u16(bytes + 4, (uint16_t)writer->count);
    memcpy(bytes + writer->len, writer->table, table);
    size_t len = writer->len + table;
    store_u64(bytes + len, svl__seal(writer->place, key, bytes, len));
    MDB_val value = { len + SEAL_BYTES, bytes };
    writer->number++;
    writer->count = 0;
    writer->len = HEADER_BYTES;
    return mdb_cursor_put(writer->cursor, key, &value, MDB_APPEND);
}

int svl__key_chunk_add(struct key_chunk_writer *writer, svl_slice key, svl_slice ids)
{
    int code = 0;
    if (!takes(writer, key.len + ids.len)) {
        uint8_t bytes[RUN_PREFIX_BYTES + RECORD_KEY_MAX];
        store_u32(bytes, __builtin_bswap32(writer->run));
        memcpy(bytes + RUN_PREFIX_BYTES, key.data, key.len);
        code = put_chunk(writer, &(MDB_val){ RUN_PREFIX_BYTES + key.len, bytes });
    }
    uint8_t *entry = writer->table + (size_t)writer->count * ENTRY_BYTES;
    memcpy(writer->bytes + writer->len, key.data, key.len);
    writer->len += key.len;
    store_u16(entry, (uint16_t)writer->len);
    memcpy(writer->bytes + writer->len, ids.data, ids.len);
    writer->len += ids.len;
    store_u16(entry + 2, (uint16_t)writer->len);
    writer->count++;
    return code;
}

int svl__key_chunk_end(struct key_chunk_writer *writer)
{
    uint8_t bytes[RUN_PREFIX_BYTES];
    store_u32(bytes, __builtin_bswap32(writer->run + 1));
    return put_chunk(writer, &(MDB_val){ sizeof bytes, bytes });
}

/* --- reading --- */

#define KEY_SHOWN 24

/* The run that a chunk under this key is of. */
static uint32_t run_of(const MDB_val *key)
{
    uint32_t prefix = __builtin_bswap32(load_u32(key->mv_data));
    return key->mv_size == RUN_PREFIX_BYTES ? prefix - 1 : prefix;
}

int svl__key_chunk_damaged(const MDB_val *key, const char *what)
{
    char text[4 * KEY_SHOWN + 1] = "";
    if (key->mv_size < RUN_PREFIX_BYTES)
        return svl__fail(SVL_E_CORRUPT, "key index, a chunk of no run: %s", what);
    const uint8_t *bytes = (const uint8_t *)key->mv_data + RUN_PREFIX_BYTES;
    size_t n = key->mv_size - RUN_PREFIX_BYTES, at = 0;
    if (n == 0)
        return svl__fail(SVL_E_CORRUPT, "key index, last chunk of run %u: %s", run_of(key), what);
    for (size_t i = 0; i < n && i < KEY_SHOWN; i++) {
        bool plain = bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
        at += (size_t)snprintf(text + at, sizeof text - at, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    return svl__fail(SVL_E_CORRUPT, "key index, run %u, chunk before key \"%s\"%s: %s", run_of(key),
                     text, n > KEY_SHOWN ? "..." : "", what);
}

static uint32_t key_end(const struct key_chunk *chunk, uint32_t i)
{
    return load_u16(chunk->table + (size_t)i * ENTRY_BYTES);
}

static uint32_t ids_end(const struct key_chunk *chunk, uint32_t i)
{
    return load_u16(chunk->table + (size_t)i * ENTRY_BYTES + 2);
}

static uint32_t key_start(const struct key_chunk *chunk, uint32_t i)
{
    return i > 0 ? ids_end(chunk, i - 1) : HEADER_BYTES;
}

/* Each key and its ids lie behind what is before them, and all of it before the table. */
static bool is_laid_out(const struct key_chunk *chunk)
{
    uint32_t at = HEADER_BYTES;
    for (uint32_t i = 0; i < chunk->count; i++) {
        uint32_t key = key_end(chunk, i), ids = ids_end(chunk, i);
        if (key <= at || key > at + RECORD_KEY_MAX || ids <= key)
            return false;
        at = ids;
    }
    return at == chunk->len;
}

int svl__key_chunk_open(uint64_t place, const MDB_val *key, const MDB_val *value,
                        struct key_chunk *out)
{
    const uint8_t *bytes = value->mv_data;
    if (key->mv_size < RUN_PREFIX_BYTES || key->mv_size > RUN_PREFIX_BYTES + RECORD_KEY_MAX ||
        value->mv_size < HEADER_BYTES + ENTRY_BYTES + SEAL_BYTES ||
        !svl__is_sealed(place, key, value))
        return svl__key_chunk_damaged(key, "damaged");
    size_t count = load_u16(bytes + 4);
    size_t left = value->mv_size - HEADER_BYTES - SEAL_BYTES;
    *out = (struct key_chunk){ .run = run_of(key),
                               .number = load_u32(bytes),
                               .count = (uint32_t)count,
                               .end = { (const uint8_t *)key->mv_data + RUN_PREFIX_BYTES,
                                        key->mv_size - RUN_PREFIX_BYTES },
                               .bytes = bytes };
    if (count == 0 || count > left / ENTRY_BYTES)
        return svl__key_chunk_damaged(key, "its number of keys");
    out->len = HEADER_BYTES + left - count * ENTRY_BYTES;
    out->table = bytes + out->len;
    return is_laid_out(out) ? SVL_OK : svl__key_chunk_damaged(key, "its table");
}

svl_slice svl__key_chunk_key(const struct key_chunk *chunk, uint32_t i)
{
    uint32_t start = key_start(chunk, i);
    return (svl_slice){ chunk->bytes + start, key_end(chunk, i) - start };
}

svl_slice svl__key_chunk_ids(const struct key_chunk *chunk, uint32_t i)
{
    uint32_t start = key_end(chunk, i);
    return (svl_slice){ chunk->bytes + start, ids_end(chunk, i) - start };
}
