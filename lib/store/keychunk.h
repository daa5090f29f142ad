/* keychunk - what a run of the key index is made of: keys in a row under one seal, read as a whole.
 *
 *   K1  exactly one chunk of a run covers a key: they follow each other without a gap, from the least key that can
 *       be to the greatest. So a key that the chunk covering it does not hold is in no block of the run, and one that
 *       no chunk covers is damage.
 *
 *   key     run number (big-endian u32), then the first key of the chunk behind it: this one covers what is less. Of a
 *           run's last chunk the number of the next run, and nothing else
 *   value   offset   bytes  what
 *           0        4      number of the chunk in its run, from 0
 *           4        2      n = number of keys, at least 1
 *           6               of each key, ascending: its bytes, and the first record ids of the blocks that hold it:
 *                           varints, the first as it is, then deltas
 *           -8 - 4n  4n     of each key: where its bytes end and where its ids end, u16 offsets of the value
 *           -8       8      seal (seal.h)
 *
 * A chunk covers from its own first key on; the first of a run from the least one on. keyruns.c writes and asks. */
#ifndef SVL_STORE_KEYCHUNK_H
#define SVL_STORE_KEYCHUNK_H

#include <lmdb.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "block.h"

#define RUN_BLOCKS 256 /* at most, that a run covers */
#define RUN_PREFIX_BYTES 4
/* Four of this many bytes with keys of a usual length fit into a page of LMDB; what is larger than half a page gets
 * pages of its own, of which it fills one: so do chunks of keys that are so long that only a few would fit. */
#define CHUNK_BYTES 960
#define CHUNK_KEYS_MIN 4
#define CHUNK_BYTES_MAX 4080

/* A run in the making: the chunk under way. */
struct key_chunk_writer {
    MDB_cursor *cursor;
    uint64_t place; /* seal.h */
    uint32_t run, number;
    uint32_t count;
    size_t len; /* of `bytes`: header, keys and ids so far */
    uint8_t bytes[CHUNK_BYTES_MAX], table[CHUNK_BYTES_MAX];
};

void svl__key_chunk_begin(struct key_chunk_writer *writer, MDB_cursor *cursor, uint64_t place,
                          uint32_t run);
/* A key behind all before it. Returns an LMDB code, as the next. */
int svl__key_chunk_add(struct key_chunk_writer *writer, svl_slice key, svl_slice ids);
/* The run is complete; at least one key was added. */
int svl__key_chunk_end(struct key_chunk_writer *writer);

/* A chunk as it is read; borrowed from LMDB. */
struct key_chunk {
    uint32_t run, number, count;
    svl_slice end; /* it covers keys before this one; empty: and all behind */
    const uint8_t *bytes, *table;
    size_t len; /* up to the table */
};

/* SVL_E_CORRUPT, with words that name run and chunk, if the seal is wrong or it is not laid out as above. */
int svl__key_chunk_open(uint64_t place, const MDB_val *key, const MDB_val *value,
                        struct key_chunk *out);

/* SVL_E_CORRUPT, `what` being wrong with the chunk that stands under `key`. */
int svl__key_chunk_damaged(const MDB_val *key, const char *what);

svl_slice svl__key_chunk_key(const struct key_chunk *chunk, uint32_t i);
/* Where key `i` stands: varints. */
svl_slice svl__key_chunk_ids(const struct key_chunk *chunk, uint32_t i);

#endif
