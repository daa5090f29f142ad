/* segment.c - creating, opening and closing; what the file says of itself. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "segment_private.h"

#define NAME_DIGITS 20

void svl__segment_name(const struct segment_info *info, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "%020llu-%02u.seg", (unsigned long long)info->first_id,
             info->generation % 100);
}

bool svl__segment_name_parse(const char *name, uint64_t *first_id, uint32_t *generation)
{
    if (strlen(name) != NAME_DIGITS + 7 || strspn(name, "0123456789") != NAME_DIGITS ||
        name[NAME_DIGITS] != '-' || strspn(name + NAME_DIGITS + 1, "0123456789") != 2 ||
        strcmp(name + NAME_DIGITS + 3, ".seg") != 0)
        return false;
    *first_id = strtoull(name, NULL, 10);
    *generation = (uint32_t)strtoul(name + NAME_DIGITS + 1, NULL, 10);
    return true;
}

void svl__segment_meta_encode(const struct segment *segment, uint8_t out[SEGMENT_META_BYTES])
{
    const struct segment_info *info = &segment->info;
    memset(out, 0, SEGMENT_META_BYTES);
    store_u32(out, SEGMENT_VERSION);
    store_u32(out + 12, segment->runs);
    memcpy(out + 16, info->uuid, 16);
    memcpy(out + 32, segment->store_uuid, 16);
    store_u64(out + 48, info->first_id);
    store_u64(out + 56, info->last_id);
    store_u64(out + 64, segment->indexed_to);
    store_u64(out + 72, info->blocks);
    store_u64(out + 80, info->raw_bytes);
    store_u64(out + 88, info->stored_bytes);
    store_u64(out + 96, (uint64_t)info->time_min_ns);
    store_u64(out + 104, (uint64_t)info->time_max_ns);
    store_u64(out + 112, (uint64_t)info->ingest_min_ns);
    store_u64(out + 120, (uint64_t)info->ingest_max_ns);
    store_u64(out + 128, svl__checksum(out, 128));
}

static int damaged(const struct segment *segment, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "%s: %s", segment->lmdb.name, what);
}

static int decode_meta(struct segment *segment, const MDB_val *value)
{
    const uint8_t *in = value->mv_data;
    if (value->mv_size >= 12 && (load_u32(in) > SEGMENT_VERSION || load_u32(in + 8) != 0))
        return svl__fail(SVL_E_VERSION, "%s: version %u with features %#x", segment->lmdb.name,
                         load_u32(in), load_u32(in + 8));
    if (value->mv_size != SEGMENT_META_BYTES || load_u32(in) != SEGMENT_VERSION ||
        load_u64(in + 128) != svl__checksum(in, 128))
        return damaged(segment, "what it says of itself is damaged");
    struct segment_info *info = &segment->info;
    if (memcmp(in + 32, segment->store_uuid, 16) != 0)
        return svl__fail(SVL_E_FOREIGN, "%s belongs to another store", segment->lmdb.name);
    if (memcmp(in + 16, info->uuid, 16) != 0 || load_u64(in + 48) != info->first_id)
        return damaged(segment, "it is not the segment that the catalog names");
    /* A commit enters the segment first, then the catalog. */
    if (load_u64(in + 56) < info->last_id || load_u64(in + 72) < info->blocks)
        return damaged(segment, "it is older than the catalog says");
    segment->runs = load_u32(in + 12);
    info->last_id = load_u64(in + 56);
    segment->indexed_to = load_u64(in + 64);
    info->blocks = load_u64(in + 72);
    info->raw_bytes = load_u64(in + 80);
    info->stored_bytes = load_u64(in + 88);
    info->time_min_ns = (int64_t)load_u64(in + 96);
    info->time_max_ns = (int64_t)load_u64(in + 104);
    info->ingest_min_ns = (int64_t)load_u64(in + 112);
    info->ingest_max_ns = (int64_t)load_u64(in + 120);
    if (info->last_id + 1 < info->first_id || segment->indexed_to > info->last_id)
        return damaged(segment, "its ids are out of order");
    return SVL_OK;
}

static int open_tables(struct segment *segment, MDB_txn *txn, unsigned flags)
{
    int code = mdb_dbi_open(txn, "blocks", flags | MDB_INTEGERKEY, &segment->blocks);
    if (code == 0)
        code = mdb_dbi_open(txn, "zones", flags | MDB_INTEGERKEY, &segment->zones);
    if (code == 0)
        code = mdb_dbi_open(txn, "keys", flags, &segment->keys);
    if (code == 0)
        code = mdb_dbi_open(txn, "meta", flags, &segment->meta);
    if (code == MDB_NOTFOUND || code == MDB_INCOMPATIBLE)
        return damaged(segment, "a table is missing or of another kind");
    return svl__lmdb_error(&segment->lmdb, code, "tables");
}

static int create_object(const struct segment_place *place, const struct segment_info *info,
                         struct segment **out)
{
    struct segment *segment = svl__calloc(1, sizeof *segment);
    *out = segment;
    if (!segment)
        return SVL_E_NOMEM;
    segment->info = *info;
    segment->indexed_to = info->first_id - 1;
    memcpy(segment->store_uuid, place->store_uuid, sizeof segment->store_uuid);
    pthread_mutex_init(&segment->lock, NULL);
    return SVL_OK;
}

static int open_env(const struct segment_place *place, struct segment *segment, bool create)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(&segment->info, name);
    struct lmdb_options options = { .directory = place->directory,
                                    .name = name,
                                    .file_mode = place->file_mode,
                                    .map_bytes = segment->info.map_bytes,
                                    .readers_max = place->readers_max,
                                    .tables = 4,
                                    .create = create };
    int rc = svl__lmdb_open(&segment->lmdb, &options);
    if (rc == SVL_E_NOT_FOUND)
        rc = svl__fail(SVL_E_CORRUPT, "segment file %s is missing", name);
    return rc;
}

static int write_first(struct segment *segment)
{
    MDB_txn *txn;
    uint8_t bytes[SEGMENT_META_BYTES];
    int rc = svl__lmdb_begin_write(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = open_tables(segment, txn, MDB_CREATE);
    if (rc == SVL_OK) {
        svl__segment_meta_encode(segment, bytes);
        MDB_val key = { 7, (void *)(uintptr_t) "segment" }, value = { sizeof bytes, bytes };
        rc = svl__lmdb_error(&segment->lmdb, mdb_put(txn, segment->meta, &key, &value, 0), "meta");
    }
    if (rc == SVL_OK)
        return svl__lmdb_commit(&segment->lmdb, txn);
    mdb_txn_abort(txn);
    return rc;
}

static void remove_files(const struct segment_place *place, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES], lock_name[SEGMENT_NAME_BYTES + 8];
    svl__segment_name(info, name);
    snprintf(lock_name, sizeof lock_name, "%s-lock", name);
    unlinkat(place->directory, name, 0);
    unlinkat(place->directory, lock_name, 0);
}

int svl__segment_create(const struct segment_place *place, struct segment_info *info,
                        struct segment **out)
{
    struct segment *segment;
    *out = NULL;
    int rc = svl__random(info->uuid, sizeof info->uuid);
    if (rc == SVL_OK)
        rc = create_object(place, info, &segment);
    if (rc != SVL_OK)
        return rc;
    remove_files(place, info);
    rc = open_env(place, segment, true);
    if (rc == SVL_OK)
        rc = write_first(segment);
    if (rc == SVL_OK)
        rc = svl__directory_sync(place->directory, "the store");
    if (rc != SVL_OK) {
        svl__segment_close(segment);
        remove_files(place, info);
        return rc;
    }
    *out = segment;
    return SVL_OK;
}

static int read_meta(struct segment *segment)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(segment->lmdb.env, NULL, MDB_RDONLY, &txn);
    if (code != 0)
        return svl__lmdb_error(&segment->lmdb, code, "open");
    int rc = open_tables(segment, txn, 0);
    if (rc == SVL_OK) {
        MDB_val key = { 7, (void *)(uintptr_t) "segment" }, value;
        code = mdb_get(txn, segment->meta, &key, &value);
        rc = code == MDB_NOTFOUND ? damaged(segment, "it says nothing of itself")
             : code               ? svl__lmdb_error(&segment->lmdb, code, "meta")
                                  : decode_meta(segment, &value);
    }
    /* Committed, not aborted: the table handles stay open with it. */
    if (rc == SVL_OK)
        return svl__lmdb_error(&segment->lmdb, mdb_txn_commit(txn), "open");
    mdb_txn_abort(txn);
    return rc;
}

/* The key sets of the blocks that no run covers yet. */
static int read_key_sets(struct segment *segment)
{
    struct zone zone;
    struct buffer bytes = { 0 };
    struct block_reader *reader;
    uint64_t from = segment->indexed_to + 1, to = segment->info.last_id;
    size_t n = 0;
    int rc = svl__block_reader_create(&reader);
    while (rc == SVL_OK && from <= to) {
        rc = svl__segment_zones(segment, from, to, false, &zone, 1, &n);
        if (rc != SVL_OK || n == 0)
            break;
        if (segment->pending_blocks == RUN_BLOCKS)
            rc = damaged(segment, "too many blocks lack an index");
        if (rc == SVL_OK)
            rc = svl__segment_read_block(segment, zone.first_id, &bytes);
        if (rc == SVL_OK)
            rc = svl__block_reader_load_of(reader, &zone, bytes.data, bytes.len);
        struct key_set *set = NULL;
        if (rc == SVL_OK)
            rc = svl__block_reader_key_set(reader, &set);
        if (rc != SVL_OK)
            break;
        segment->pending_blocks++;
        segment->pending_records += zone.count;
        if (set) {
            segment->pending_key_bytes += svl__key_set_bytes(set);
            segment->sets[segment->set_count++] = set;
        }
        from = zone.first_id + zone.count;
    }
    svl__block_reader_destroy(reader);
    svl__buffer_free(&bytes);
    return rc;
}

int svl__segment_open(const struct segment_place *place, const struct segment_info *info,
                      struct segment **out)
{
    struct segment *segment;
    *out = NULL;
    int rc = create_object(place, info, &segment);
    if (rc == SVL_OK)
        rc = open_env(place, segment, false);
    if (rc == SVL_OK)
        rc = read_meta(segment);
    if (rc == SVL_OK)
        rc = read_key_sets(segment);
    if (rc != SVL_OK) {
        svl__segment_close(segment);
        return rc;
    }
    *out = segment;
    return SVL_OK;
}

void svl__segment_close(struct segment *segment)
{
    if (!segment)
        return;
    for (size_t i = 0; i < segment->set_count; i++)
        svl__key_set_release(segment->sets[i]);
    svl__lmdb_close(&segment->lmdb);
    pthread_mutex_destroy(&segment->lock);
    svl__free(segment);
}

void svl__segment_info_get(const struct segment *segment, struct segment_info *info)
{
    struct segment *s = (struct segment *)(uintptr_t)segment;
    pthread_mutex_lock(&s->lock);
    *info = s->info;
    pthread_mutex_unlock(&s->lock);
}
