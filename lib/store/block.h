/* block - many records as one compressed, columnar unit: what LMDB stores under a first record id.
 *
 *   B1  the records of a block have the ids first_id, first_id + 1, ... without a gap.
 *   B2  a block contains nothing of its segment or store: the same bytes may be a journal section.
 *   B3  any byte string is either a valid block or SVL_E_CORRUPT / SVL_E_VERSION / SVL_E_CODEC: every
 *       declared size is limited before anything is allocated, every section has its checksum.
 *
 * block.h the face · block_format.h the byte table, block_header.c · zone.c · block_build.c collects,
 * block_write.c encodes · block_read.c, block_verify.c · and what they are made of, none of which knows
 * of the others: codec.c none, LZ4, zstd · column.c numbers · names.c dictionaries as bytes ·
 * dictionary.c dictionaries under construction · chunks.c bodies · keyset.c keys in order */
#ifndef SVL_STORE_BLOCK_H
#define SVL_STORE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/wire.h"

#define BLOCK_RECORDS_MAX 65536            /* also what a reader accepts */
#define BLOCK_RAW_MAX (UINT64_C(64) << 20) /* uncompressed; a record of any allowed size fits */
#define BLOCK_CHUNK_BYTES 16384            /* bodies are compressed in chunks of about this many */

/* What a query reads to skip a block without touching it: also, under a seal, the value in the zones table. */
struct zone {
    uint64_t first_id;
    uint32_t count;
    uint32_t severity_mask; /* bit s: some record has severity s */
    int64_t time_min_ns, time_max_ns;
    int64_t ingest_min_ns, ingest_max_ns;
    uint64_t raw_bytes;    /* wire bytes of its records */
    uint64_t stored_bytes; /* of the encoded block */
    uint32_t keys;         /* distinct keys */
    uint32_t flags;        /* zero */
};
#define ZONE_BYTES 72
void svl__zone_encode(const struct zone *zone, uint8_t out[ZONE_BYTES]);
bool svl__zone_equal(const struct zone *a, const struct zone *b);
/* SVL_E_CORRUPT for sizes, orders or flags that cannot be. */
int svl__zone_decode(const void *data, size_t len, struct zone *zone);

/* The sorted, distinct keys of one block; immutable and reference-counted (any thread). */
struct key_set;
struct key_set *svl__key_set_hold(struct key_set *set);
void svl__key_set_release(struct key_set *set);         /* NULL is fine */
uint64_t svl__key_set_block(const struct key_set *set); /* first record id of its block */
uint32_t svl__key_set_count(const struct key_set *set);
svl_slice svl__key_set_at(const struct key_set *set, uint32_t i);
size_t svl__key_set_bytes(const struct key_set *set); /* memory it takes */

/* Who is told of keys, one at a time. */
typedef void key_fn(svl_slice key, void *user);

/* A condition on keys, as a query gives it (SVL_KEY_*), bytewise order. */
struct key_condition {
    uint32_t kind;
    svl_slice low, high;
};
/* <0, 0, >0 as memcmp, shorter first. */
int svl__key_compare(svl_slice a, svl_slice b);
/* Keys that match form one run of a sorted sequence: <0 the key lies before it, 0 in it, >0 behind. */
int svl__key_locate(const struct key_condition *condition, svl_slice key);
bool svl__key_set_matches(const struct key_set *set, const struct key_condition *condition);

/* --- building: one thread --- */

struct block_options {
    uint32_t codec;       /* SVL_CODEC_NONE, _LZ4, _ZSTD: SVL_E_CODEC if not built in */
    uint32_t level;       /* of zstd; 0 = default */
    uint64_t block_bytes; /* full at this many wire bytes (or BLOCK_RECORDS_MAX) */
};

struct block_builder;
int svl__block_builder_create(const struct block_options *options, struct block_builder **out);
void svl__block_builder_destroy(struct block_builder *builder);

/* Adds the record after the last one; the first one gives the block its first_id. SVL_OK,
 * SVL_E_FULL (not added: finish first; never for an empty builder), SVL_E_NOMEM (not added either),
 * SVL_E_RECORD_SIZE (larger than BLOCK_RAW_MAX). The view's bytes are copied. The last record may lead
 * past block_bytes: a block is full once it has reached them. */
int svl__block_builder_add(struct block_builder *builder, uint64_t id, int64_t ingest_ns,
                           const struct wire_view *record);
uint32_t svl__block_builder_count(const struct block_builder *builder);
uint64_t svl__block_builder_raw_bytes(const struct block_builder *builder);

/* One finished block: immutable and reference-counted (any thread). */
struct block {
    uint8_t *data;
    size_t len;
    struct zone zone;
    struct key_set *keys; /* NULL if no record has a key */
    /* private */
    _Atomic uint32_t references;
};
struct block *svl__block_hold(struct block *block);
void svl__block_release(struct block *block); /* NULL is fine */

/* Encodes what was added (at least one record) and empties the builder for the next block. After
 * SVL_E_NOMEM the builder still holds its records: call again. */
int svl__block_builder_finish(struct block_builder *builder, struct block **out);

/* --- reading: one thread; memory is kept for the next block --- */

struct block_reader;
int svl__block_reader_create(struct block_reader **out);
void svl__block_reader_destroy(struct block_reader *reader);

/* Takes up a block: checks its header; columns and bodies are decoded when first asked for. `data` is
 * borrowed until the next load. After a failure there is no block: what is asked then is SVL_E_STATE. */
int svl__block_reader_load(struct block_reader *reader, const void *data, size_t len);
/* The same for bytes that were found under `zone`: SVL_E_CORRUPT also for a whole block that says anything else of
 * itself: it would bring records that nobody asked for. */
int svl__block_reader_load_of(struct block_reader *reader, const struct zone *zone,
                              const void *data, size_t len);
const struct zone *svl__block_reader_zone(const struct block_reader *reader); /* from the header */

/* Columns: decoded, checked and kept on first use. Arrays of zone.count, borrowed until the next
 * load. Source and type give, for each record, an index below *dictionary_count into *dictionary;
 * keys likewise, sorted and distinct, with index UINT32_MAX for a record without a key. */
int svl__block_reader_times(struct block_reader *reader, const int64_t **times);
int svl__block_reader_severities(struct block_reader *reader, const uint8_t **severities);
int svl__block_reader_sources(struct block_reader *reader, const uint32_t **index,
                              const svl_slice **dictionary, uint32_t *dictionary_count);
int svl__block_reader_types(struct block_reader *reader, const uint32_t **index,
                            const svl_slice **dictionary, uint32_t *dictionary_count);
int svl__block_reader_keys(struct block_reader *reader, const uint32_t **index,
                           const svl_slice **dictionary, uint32_t *dictionary_count);

/* The keys alone as a set, for an index kept in memory. */
int svl__block_reader_key_set(struct block_reader *reader, struct key_set **out);

/* Record `i` whole, with space for its attributes at `attributes` (RECORD_ATTRIBUTES_MAX). Its slices
 * are borrowed until the next load: decoding another chunk does not move them. */
int svl__block_reader_record(struct block_reader *reader, uint32_t i, svl_attribute *attributes,
                             svl_record *out);

/* The same in two steps: all but the body, and the body. */
int svl__block_reader_head(struct block_reader *reader, uint32_t i, svl_attribute *attributes,
                           svl_record *out);
int svl__block_reader_body(struct block_reader *reader, uint32_t i, svl_slice *body);

/* Body chunks decompressed since the reader was created. */
uint64_t svl__block_reader_chunks(const struct block_reader *reader);

/* Decodes and checks everything in a block: sections, order, counts, dictionaries, sizes, and that its
 * zone is what its records say. */
int svl__block_verify(struct block_reader *reader, const void *data, size_t len);

/* codec.c: codecs that this build has; the best of them. */
uint32_t svl__codec_default(void);
bool svl__codec_is_built(uint32_t codec);

#endif
