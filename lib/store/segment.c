/* segment.c - creating, opening and closing; what the file says of itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/step.h"
#include "segment_private.h"

#define NAME_DIGITS 20
/* Offsets in what a segment says of itself. */
#define META_LAST_ID 56
#define META_INDEXED_TO 64
/* Two meta pages, the main table's and "meta"'s, one more if the disk was full: a first block's commit
 * writes copies of two of them, and at least three new ones. */
#define EMPTY_FILE_BYTES (5 * 4096)

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
    store_u64(out + META_LAST_ID, info->last_id);
    store_u64(out + META_INDEXED_TO, segment->indexed_to);
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
    if (load_u64(in + META_LAST_ID) < info->last_id || load_u64(in + 72) < info->blocks)
        return damaged(segment, "it is older than the catalog says");
    segment->runs = load_u32(in + 12);
    info->last_id = load_u64(in + META_LAST_ID);
    segment->indexed_to = load_u64(in + META_INDEXED_TO);
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

/* LMDB takes a table that is there with the flags that it has. */
static int open_table(MDB_txn *txn, const char *name, unsigned create, unsigned kind, MDB_dbi *out)
{
    unsigned flags = 0;
    int code = mdb_dbi_open(txn, name, create | kind, out);
    if (code == 0)
        code = mdb_dbi_flags(txn, *out, &flags);
    return code == 0 && flags != kind ? MDB_INCOMPATIBLE : code;
}

/* A segment that was begun without filters has none to its end: its runs are all asked. */
static int open_filters(struct segment *segment, MDB_txn *txn, unsigned create)
{
    int code = open_table(txn, "keyfilters", create, MDB_INTEGERKEY, &segment->filters);
    segment->has_filters = code == 0;
    return code == MDB_NOTFOUND ? 0 : code;
}

static int open_tables(struct segment *segment, MDB_txn *txn, unsigned create)
{
    int code = open_table(txn, "blocks", create, MDB_INTEGERKEY, &segment->blocks);
    if (code == 0)
        code = open_table(txn, "zones", create, MDB_INTEGERKEY, &segment->zones);
    if (code == 0)
        code = open_table(txn, "keys", create, 0, &segment->keys);
    if (code == 0)
        code = open_table(txn, "meta", create, 0, &segment->meta);
    if (code == 0)
        code = open_filters(segment, txn, create);
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
    segment->zones_place = svl__seal_place(info->uuid, "zones");
    segment->keys_place = svl__seal_place(info->uuid, "keys");
    segment->filters_place = svl__seal_place(info->uuid, "keyfilters");
    memcpy(segment->store_uuid, place->store_uuid, sizeof segment->store_uuid);
    pthread_mutex_init(&segment->check_lock, NULL);
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
                                    .tables = 5,
                                    .short_of_space = place->short_of_space,
                                    .unchecked = svl__index_tables,
                                    .create = create,
                                    .read_only = place->read_only,
                                    .is_final = !create && segment->info.state != SEGMENT_ACTIVE };
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

bool svl__segment_file_is_empty(int directory, const char *name)
{
    struct stat st;
    return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_size <= EMPTY_FILE_BYTES;
}

void svl__segment_file_remove(int directory, const char *name)
{
    char lock_name[SEGMENT_NAME_BYTES + 8];
    snprintf(lock_name, sizeof lock_name, "%.*s-lock", SEGMENT_NAME_BYTES, name);
    unlinkat(directory, name, 0);
    unlinkat(directory, lock_name, 0);
}

/* A creation that a crash cut off gives way; records do not, whatever the catalog knows of them. */
static int make_way(const struct segment_place *place, const char *name)
{
    if (faccessat(place->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return svl__fail_errno(errno, "look for %s", name);
    } else if (!svl__segment_file_is_empty(place->directory, name))
        return svl__fail(SVL_E_CORRUPT,
                         "segment file %s holds records, and the catalog does not name it (is the "
                         "catalog an older copy?): restore the catalog, or move the file away",
                         name);
    svl__segment_file_remove(place->directory, name);
    return SVL_OK;
}

int svl__segment_create(const struct segment_place *place, struct segment_info *info,
                        struct segment **out)
{
    struct segment *segment;
    char name[SEGMENT_NAME_BYTES];
    *out = NULL;
    svl__segment_name(info, name);
    int rc = make_way(place, name);
    if (rc == SVL_OK)
        rc = svl__random(info->uuid, sizeof info->uuid);
    if (rc == SVL_OK)
        rc = create_object(place, info, &segment);
    if (rc != SVL_OK)
        return rc;
    rc = open_env(place, segment, true);
    STEP("segment file: made");
    if (rc == SVL_OK)
        rc = write_first(segment);
    svl__segment_trust_pages(segment);
    STEP("segment file: empty and whole");
    if (rc == SVL_OK)
        rc = svl__directory_sync(place->directory, "the store");
    STEP("segment file: name flushed");
    if (rc != SVL_OK) {
        svl__segment_close(segment);
        svl__segment_file_remove(place->directory, name);
        return rc;
    }
    *out = segment;
    return SVL_OK;
}

static int get_meta(struct segment *segment, MDB_txn *txn, MDB_val *value)
{
    MDB_val key = { 7, (void *)(uintptr_t) "segment" };
    int code = mdb_get(txn, segment->meta, &key, value);
    if (code == MDB_NOTFOUND)
        return damaged(segment, "it says nothing of itself");
    return svl__lmdb_error(&segment->lmdb, code, "meta");
}

static int read_meta(struct segment *segment)
{
    MDB_txn *txn;
    MDB_val value;
    int rc = svl__lmdb_begin_new_read(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = open_tables(segment, txn, 0);
    if (rc == SVL_OK)
        rc = get_meta(segment, txn, &value);
    if (rc == SVL_OK)
        rc = decode_meta(segment, &value);
    /* Committed, not aborted: the table handles stay open with it. */
    if (rc == SVL_OK)
        return svl__lmdb_error(&segment->lmdb, mdb_txn_commit(txn), "open");
    mdb_txn_abort(txn);
    return rc;
}

/* The key sets of blocks that no run covers yet. */
struct pending {
    struct key_set *sets[RUN_BLOCKS + 1];
    size_t set_count;
    size_t blocks;
    uint64_t records, key_bytes;
    uint64_t lost[RUN_BLOCKS];
    size_t lost_count;
};

static int read_key_set(struct segment *segment, struct block_reader *reader,
                        const struct zone *zone, struct buffer *bytes, struct key_set **set)
{
    int rc = svl__segment_read_block(segment, zone->first_id, bytes);
    if (rc == SVL_OK)
        rc = svl__block_reader_load_of(reader, zone, bytes->data, bytes->len);
    if (rc == SVL_OK)
        rc = svl__block_reader_key_set(reader, set);
    return rc;
}

/* A block that cannot be read: any key may be there. */
static void add_lost(struct pending *pending, uint64_t first_id)
{
    pending->lost[pending->lost_count++] = first_id;
    pending->blocks++;
}

/* One block's. What is damaged harms no other block. */
static int add_key_set(struct segment *segment, struct block_reader *reader,
                       const struct zone *zone, struct buffer *bytes, struct pending *pending)
{
    struct key_set *set = NULL;
    int rc = read_key_set(segment, reader, zone, bytes, &set);
    pending->records += zone->count;
    if (rc == SVL_E_CORRUPT || rc == SVL_E_CODEC || rc == SVL_E_VERSION) {
        svl__fail_at(rc, "%s, block of record %llu", segment->lmdb.name,
                     (unsigned long long)zone->first_id);
        add_lost(pending, zone->first_id);
        return SVL_OK;
    }
    pending->blocks++;
    if (set) {
        pending->key_bytes += svl__key_set_bytes(set);
        pending->sets[pending->set_count++] = set;
    }
    return rc;
}

/* The block that begins with record *from, which becomes what is behind it. */
static int read_pending_block(struct segment *segment, struct block_reader *reader,
                              struct buffer *bytes, uint64_t *from, uint64_t to,
                              struct pending *pending)
{
    struct zone zone;
    size_t n;
    if (pending->blocks == RUN_BLOCKS)
        return damaged(segment, "too many blocks lack an index");
    int rc = svl__segment_zones(segment, *from, to, false, &zone, 1, &n);
    if (rc == SVL_OK && (n == 0 || zone.first_id != *from))
        rc = svl__fail(SVL_E_CORRUPT, "%s, zone of block %llu: it is missing", segment->lmdb.name,
                       (unsigned long long)*from);
    if (rc == SVL_E_CORRUPT) {
        add_lost(pending, *from);
        return svl__segment_pass_zone(segment, *from, false, from);
    }
    if (rc != SVL_OK)
        return rc;
    *from = zone.first_id + zone.count;
    return add_key_set(segment, reader, &zone, bytes, pending);
}

static int read_pending(struct segment *segment, uint64_t from, uint64_t to,
                        struct pending *pending)
{
    struct buffer bytes = { 0 };
    struct block_reader *reader;
    int rc = svl__block_reader_create(&reader);
    while (rc == SVL_OK && from <= to)
        rc = read_pending_block(segment, reader, &bytes, &from, to, pending);
    svl__block_reader_destroy(reader);
    svl__buffer_free(&bytes);
    return rc;
}

/* `lock` held, or nobody else knows the segment: the sets are handed over. */
static void add_pending(struct segment *segment, struct pending *pending)
{
    memcpy(segment->sets + segment->set_count, pending->sets,
           pending->set_count * sizeof *pending->sets);
    segment->set_count += pending->set_count;
    segment->pending_blocks += pending->blocks;
    segment->pending_records += pending->records;
    segment->pending_key_bytes += pending->key_bytes;
    memcpy(segment->lost + segment->lost_count, pending->lost,
           pending->lost_count * sizeof *pending->lost);
    segment->lost_count += pending->lost_count;
    pending->set_count = 0;
}

static void drop_pending(struct pending *pending)
{
    for (size_t i = 0; i < pending->set_count; i++)
        svl__key_set_release(pending->sets[i]);
    pending->set_count = 0;
}

static int read_key_sets(struct segment *segment)
{
    struct pending pending = { .set_count = 0 };
    int rc = read_pending(segment, segment->indexed_to + 1, segment->info.last_id, &pending);
    if (rc == SVL_OK)
        add_pending(segment, &pending);
    drop_pending(&pending);
    return rc;
}

/* `lock` held: the sets that a run covers by now. */
static void drop_indexed(struct segment *segment)
{
    size_t kept = 0;
    for (size_t i = 0; i < segment->set_count; i++) {
        if (svl__key_set_block(segment->sets[i]) > segment->indexed_to)
            segment->sets[kept++] = segment->sets[i];
        else
            svl__key_set_release(segment->sets[i]);
    }
    segment->set_count = kept;
}

size_t svl__segment_lost_blocks(struct segment *segment)
{
    pthread_mutex_lock(&segment->lock);
    size_t n = segment->lost_count;
    pthread_mutex_unlock(&segment->lock);
    return n;
}

int svl__segment_reload(struct segment *segment)
{
    uint8_t bytes[SEGMENT_META_BYTES];
    struct pending pending = { .set_count = 0 };
    MDB_txn *txn;
    MDB_val value;
    int rc = svl__lmdb_begin_read(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = get_meta(segment, txn, &value);
    if (rc == SVL_OK && value.mv_size != sizeof bytes)
        rc = damaged(segment, "what it says of itself is damaged");
    if (rc == SVL_OK)
        memcpy(bytes, value.mv_data, sizeof bytes);
    svl__lmdb_end_read(&segment->lmdb, txn);
    if (rc != SVL_OK)
        return rc;
    value = (MDB_val){ sizeof bytes, bytes };
    /* The sets first: nobody may see the new watermark without them. */
    uint64_t last_id = load_u64(bytes + META_LAST_ID), indexed = load_u64(bytes + META_INDEXED_TO);
    uint64_t known = segment->info.last_id > indexed ? segment->info.last_id : indexed;
    rc = read_pending(segment, known + 1, last_id, &pending);
    if (rc == SVL_OK) {
        pthread_mutex_lock(&segment->lock);
        rc = decode_meta(segment, &value);
        drop_indexed(segment);
        if (rc == SVL_OK && segment->set_count + pending.set_count <= RUN_BLOCKS &&
            segment->lost_count + pending.lost_count <= RUN_BLOCKS)
            add_pending(segment, &pending);
        else if (rc == SVL_OK)
            rc = damaged(segment, "too many blocks lack an index");
        pthread_mutex_unlock(&segment->lock);
    }
    drop_pending(&pending);
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
    pthread_mutex_destroy(&segment->check_lock);
    svl__free(segment);
}

void svl__segment_info_get(const struct segment *segment, struct segment_info *info)
{
    struct segment *s = (struct segment *)(uintptr_t)segment;
    pthread_mutex_lock(&s->lock);
    *info = s->info;
    pthread_mutex_unlock(&s->lock);
}
