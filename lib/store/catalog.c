/* catalog.c - the catalog's entries. One table; keys and values:
 *
 *   'F'                            the state: version u32 · incompatible flags u32 · store uuid 16 ·
 *                                  next_id_floor, retention_floor, watermark, last_op, ingest_last u64
 *   'S' first id (big-endian u64)  a segment: first id, last id u64 · generation, state u32 · uuid 16 · map bytes,
 *                                  blocks, raw bytes, stored bytes u64 · time min, max, ingest min, max i64 · zero 16
 *   'R' ring name                  a crash ring: 1 byte (1 = its file was made) · its directory
 *   'V' key                        a value that an operation has put
 *
 * Every value ends with the XXH3-64 of key and value: one that is damaged never passes for another's.
 * All are checked at open, so that none is missed for a damaged key. */
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "lmdb_env.h"

#define CATALOG_NAME "catalog.mdb"
#define CREATION_NAME "catalog.new"
#define MAP_BYTES (UINT64_C(1) << 30)
#define VERSION 1
#define STATE_BYTES 72
#define SEGMENT_BYTES 128
#define KEY_MAX 481
#define SUM_BYTES 8

struct catalog {
    struct lmdb_env lmdb;
    MDB_dbi table;
    bool read_only;
    bool short_of_space; /* of `lmdb` */
    struct catalog_state state;
    pthread_mutex_t lock; /* the state */
};

struct catalog_change {
    struct catalog *catalog;
    MDB_txn *txn;
    bool has_state;
    struct catalog_state state;
};

bool svl__catalog_owns(const char *name)
{
    return strcmp(name, CATALOG_NAME) == 0 || strcmp(name, CATALOG_NAME "-lock") == 0 ||
           strcmp(name, CREATION_NAME) == 0 || strcmp(name, CREATION_NAME "-lock") == 0;
}

static int error(const struct catalog *catalog, int code, const char *what)
{
    int rc = svl__lmdb_error(&catalog->lmdb, code, what);
    if (rc == SVL_E_FULL)
        rc = svl__fail(SVL_E_LIMIT, "the catalog has reached its %llu bytes",
                       (unsigned long long)MAP_BYTES);
    return rc;
}

static uint64_t sum_of(const MDB_val *key, const uint8_t *value, size_t len)
{
    return svl__checksum_seeded(value, len, svl__checksum(key->mv_data, key->mv_size));
}

static bool is_sealed(const MDB_val *key, const MDB_val *value)
{
    const uint8_t *bytes = value->mv_data;
    size_t len = value->mv_size;
    return len >= SUM_BYTES &&
           load_u64(bytes + len - SUM_BYTES) == sum_of(key, bytes, len - SUM_BYTES);
}

static int damaged(const char *what)
{
    return svl__fail(SVL_E_CORRUPT, CATALOG_NAME ": %s is damaged", what);
}

static void encode_state(const struct catalog_state *state, uint8_t out[STATE_BYTES])
{
    memset(out, 0, STATE_BYTES);
    store_u32(out, VERSION);
    memcpy(out + 8, state->store_uuid, 16);
    store_u64(out + 24, state->next_id_floor);
    store_u64(out + 32, state->retention_floor);
    store_u64(out + 40, state->watermark);
    store_u64(out + 48, state->last_op);
    store_u64(out + 56, (uint64_t)state->ingest_last_ns);
}

static int decode_state(const MDB_val *key, const MDB_val *value, struct catalog_state *state)
{
    const uint8_t *in = value->mv_data;
    if (value->mv_size >= 8 && (load_u32(in) > VERSION || load_u32(in + 4) != 0))
        return svl__fail(SVL_E_VERSION, "a store of version %u with features %#x", load_u32(in),
                         load_u32(in + 4));
    if (!is_sealed(key, value) || value->mv_size != STATE_BYTES || load_u32(in) != VERSION)
        return damaged("the store's state");
    memcpy(state->store_uuid, in + 8, 16);
    state->next_id_floor = load_u64(in + 24);
    state->retention_floor = load_u64(in + 32);
    state->watermark = load_u64(in + 40);
    state->last_op = load_u64(in + 48);
    state->ingest_last_ns = (int64_t)load_u64(in + 56);
    return SVL_OK;
}

static void encode_segment(const struct segment_info *info, uint8_t out[SEGMENT_BYTES])
{
    memset(out, 0, SEGMENT_BYTES);
    store_u64(out, info->first_id);
    store_u64(out + 8, info->last_id);
    store_u32(out + 16, info->generation);
    store_u32(out + 20, info->state);
    memcpy(out + 24, info->uuid, 16);
    store_u64(out + 40, info->map_bytes);
    store_u64(out + 48, info->blocks);
    store_u64(out + 56, info->raw_bytes);
    store_u64(out + 64, info->stored_bytes);
    store_u64(out + 72, (uint64_t)info->time_min_ns);
    store_u64(out + 80, (uint64_t)info->time_max_ns);
    store_u64(out + 88, (uint64_t)info->ingest_min_ns);
    store_u64(out + 96, (uint64_t)info->ingest_max_ns);
}

static int decode_segment(const MDB_val *key, const MDB_val *value, struct segment_info *info)
{
    const uint8_t *in = value->mv_data;
    if (!is_sealed(key, value) || value->mv_size != SEGMENT_BYTES)
        return damaged("a segment's entry");
    info->first_id = load_u64(in);
    info->last_id = load_u64(in + 8);
    info->generation = load_u32(in + 16);
    info->state = load_u32(in + 20);
    memcpy(info->uuid, in + 24, 16);
    info->map_bytes = load_u64(in + 40);
    info->blocks = load_u64(in + 48);
    info->raw_bytes = load_u64(in + 56);
    info->stored_bytes = load_u64(in + 64);
    info->time_min_ns = (int64_t)load_u64(in + 72);
    info->time_max_ns = (int64_t)load_u64(in + 80);
    info->ingest_min_ns = (int64_t)load_u64(in + 88);
    info->ingest_max_ns = (int64_t)load_u64(in + 96);
    if (info->state < SEGMENT_ACTIVE || info->state > SEGMENT_SEALED || info->first_id == 0 ||
        info->last_id + 1 < info->first_id)
        return damaged("a segment's entry");
    return SVL_OK;
}

static size_t segment_key(uint64_t first_id, uint8_t out[9])
{
    out[0] = 'S';
    store_u64(out + 1, __builtin_bswap64(first_id));
    return 9;
}

/* The last SUM_BYTES of `value` are for the checksum. */
static int put(struct catalog_change *change, const void *key, size_t key_len, uint8_t *value,
               size_t len)
{
    MDB_val k = { key_len, (void *)(uintptr_t)key }, v = { len, value };
    store_u64(value + len - SUM_BYTES, sum_of(&k, value, len - SUM_BYTES));
    return error(change->catalog, mdb_put(change->txn, change->catalog->table, &k, &v, 0), "put");
}

static int del(struct catalog_change *change, const void *key, size_t key_len)
{
    MDB_val k = { key_len, (void *)(uintptr_t)key };
    int code = mdb_del(change->txn, change->catalog->table, &k, NULL);
    return code == MDB_NOTFOUND ? SVL_OK : error(change->catalog, code, "delete");
}

static int open_table(struct catalog *catalog)
{
    MDB_txn *txn;
    int rc = catalog->read_only ? svl__lmdb_begin_new_read(&catalog->lmdb, &txn)
                                : svl__lmdb_begin_write(&catalog->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    int code = mdb_dbi_open(txn, NULL, 0, &catalog->table);
    mdb_txn_abort(txn);
    return error(catalog, code, "open");
}

static int open_named(const struct catalog_options *o, const char *name, bool create,
                      struct catalog **out)
{
    *out = NULL;
    struct catalog *catalog = svl__calloc(1, sizeof *catalog);
    if (!catalog)
        return SVL_E_NOMEM;
    struct lmdb_options options = { .directory = o->directory,
                                    .name = name,
                                    .file_mode = o->file_mode,
                                    .map_bytes = MAP_BYTES,
                                    .readers_max = o->readers_max,
                                    .tables = 0,
                                    .short_of_space = &catalog->short_of_space,
                                    .create = create,
                                    .read_only = o->read_only };
    catalog->read_only = o->read_only;
    int rc = svl__lmdb_open(&catalog->lmdb, &options);
    if (rc != SVL_OK) {
        svl__free(catalog);
        return rc;
    }
    pthread_mutex_init(&catalog->lock, NULL);
    rc = open_table(catalog);
    if (rc != SVL_OK) {
        svl__catalog_close(catalog);
        return rc;
    }
    *out = catalog;
    return SVL_OK;
}

static int commit_first_state(struct catalog *catalog)
{
    struct catalog_state state = { .next_id_floor = 1 };
    int rc = svl__random(state.store_uuid, sizeof state.store_uuid);
    struct catalog_change *change;
    if (rc == SVL_OK)
        rc = svl__catalog_begin(catalog, &change);
    if (rc != SVL_OK)
        return rc;
    rc = svl__catalog_put_state(change, &state);
    if (rc == SVL_OK)
        return svl__catalog_commit(change);
    svl__catalog_abort(change);
    return rc;
}

/* Made under another name, whole and flushed, then renamed: nobody has a catalog.mdb open yet. */
int svl__catalog_create(const struct catalog_options *options)
{
    struct catalog *catalog;
    unlinkat(options->directory, CREATION_NAME, 0);
    unlinkat(options->directory, CREATION_NAME "-lock", 0);
    int rc = open_named(options, CREATION_NAME, true, &catalog);
    if (rc != SVL_OK)
        return rc == SVL_E_NOT_FOUND ? svl__fail(SVL_E_IO, "creation of " CATALOG_NAME) : rc;
    rc = commit_first_state(catalog);
    svl__catalog_close(catalog);
    unlinkat(options->directory, CREATION_NAME "-lock", 0);
    if (rc == SVL_OK)
        rc = svl__directory_sync(options->directory, "the store");
    if (rc == SVL_OK &&
        renameat(options->directory, CREATION_NAME, options->directory, CATALOG_NAME) != 0)
        rc = svl__fail_errno(errno, "rename to " CATALOG_NAME);
    if (rc == SVL_OK)
        rc = svl__directory_sync(options->directory, "the store");
    if (rc != SVL_OK)
        unlinkat(options->directory, CREATION_NAME, 0);
    return rc;
}

static int get_state(struct catalog *catalog, MDB_txn *txn, struct catalog_state *state)
{
    MDB_val key = { 1, (void *)(uintptr_t) "F" }, value;
    int code = mdb_get(txn, catalog->table, &key, &value);
    if (code == MDB_NOTFOUND)
        return damaged("the store's state (it is missing)");
    return code ? error(catalog, code, "state") : decode_state(&key, &value, state);
}

static int read_state(struct catalog *catalog)
{
    MDB_txn *txn;
    int rc = svl__lmdb_begin_read(&catalog->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = get_state(catalog, txn, &catalog->state);
    svl__lmdb_end_read(&catalog->lmdb, txn);
    return rc;
}

void svl__catalog_close(struct catalog *catalog)
{
    if (!catalog)
        return;
    svl__lmdb_close(&catalog->lmdb);
    pthread_mutex_destroy(&catalog->lock);
    svl__free(catalog);
}

void svl__catalog_state_get(struct catalog *catalog, struct catalog_state *state)
{
    pthread_mutex_lock(&catalog->lock);
    *state = catalog->state;
    pthread_mutex_unlock(&catalog->lock);
}

/* Calls `take` for each entry whose key starts with `prefix`, or for all with EVERY_ENTRY. */
typedef int entry_fn(const MDB_val *key, const MDB_val *value, void *user);
#define EVERY_ENTRY '\0'

static int each_of(struct catalog *catalog, MDB_txn *txn, char prefix, entry_fn *take, void *user)
{
    int rc = SVL_OK;
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, catalog->table, &cursor);
    if (code == 0) {
        MDB_val key = { 1, &prefix }, value;
        code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        while (code == 0 && rc == SVL_OK &&
               (prefix == EVERY_ENTRY || *(const char *)key.mv_data == prefix)) {
            rc = take(&key, &value, user);
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    if (rc == SVL_OK && code != 0 && code != MDB_NOTFOUND)
        rc = error(catalog, code, "read");
    return rc;
}

static int each(struct catalog *catalog, char prefix, entry_fn *take, void *user)
{
    MDB_txn *txn;
    int rc = svl__lmdb_begin_read(&catalog->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = each_of(catalog, txn, prefix, take, user);
    svl__lmdb_end_read(&catalog->lmdb, txn);
    return rc;
}

static int check_entry(const MDB_val *key, const MDB_val *value, void *user)
{
    (void)user;
    return is_sealed(key, value) ? SVL_OK : damaged("an entry");
}

int svl__catalog_open(const struct catalog_options *options, struct catalog **out)
{
    int rc = open_named(options, CATALOG_NAME, false, out);
    if (rc == SVL_OK)
        rc = read_state(*out);
    if (rc == SVL_OK)
        rc = each(*out, EVERY_ENTRY, check_entry, NULL);
    if (rc != SVL_OK) {
        svl__catalog_close(*out);
        *out = NULL;
    }
    return rc;
}

static int take_segment(const MDB_val *key, const MDB_val *value, void *user)
{
    struct buffer *out = user;
    struct segment_info info;
    uint8_t expected[9];
    int rc = decode_segment(key, value, &info);
    if (rc != SVL_OK)
        return rc;
    if (key->mv_size != segment_key(info.first_id, expected) ||
        memcmp(key->mv_data, expected, sizeof expected) != 0)
        return damaged("a segment's entry");
    svl__buffer_append(out, &info, sizeof info);
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

static int take_ring(const MDB_val *key, const MDB_val *value, void *user)
{
    struct buffer *out = user;
    struct ring_name ring = { .directory = "" };
    const uint8_t *bytes = value->mv_data;
    size_t len = value->mv_size;
    if (!is_sealed(key, value) || key->mv_size - 1 >= sizeof ring.name || len < 1 + SUM_BYTES ||
        len - 1 - SUM_BYTES >= sizeof ring.directory || bytes[0] > 1)
        return damaged("a crash ring's entry");
    memcpy(ring.name, (const uint8_t *)key->mv_data + 1, key->mv_size - 1);
    ring.made = bytes[0];
    memcpy(ring.directory, bytes + 1, len - 1 - SUM_BYTES);
    svl__buffer_append(out, &ring, sizeof ring);
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

static int collect(struct catalog *catalog, char prefix, entry_fn *take, size_t size, void **out,
                   size_t *n)
{
    struct buffer found = { 0 };
    int rc = each(catalog, prefix, take, &found);
    *out = NULL;
    *n = 0;
    if (rc != SVL_OK) {
        svl__buffer_free(&found);
        return rc;
    }
    *out = found.data;
    *n = found.len / size;
    return SVL_OK;
}

int svl__catalog_segments(struct catalog *catalog, struct segment_info **out, size_t *n)
{
    return collect(catalog, 'S', take_segment, sizeof **out, (void **)(void *)out, n);
}

int svl__catalog_reload(struct catalog *catalog, struct catalog_state *state,
                        struct segment_info **segments, size_t *n)
{
    struct buffer found = { 0 };
    MDB_txn *txn;
    *segments = NULL;
    *n = 0;
    int rc = svl__lmdb_begin_read(&catalog->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    rc = get_state(catalog, txn, state);
    if (rc == SVL_OK)
        rc = each_of(catalog, txn, 'S', take_segment, &found);
    svl__lmdb_end_read(&catalog->lmdb, txn);
    if (rc != SVL_OK) {
        svl__buffer_free(&found);
        return rc;
    }
    pthread_mutex_lock(&catalog->lock);
    catalog->state = *state;
    pthread_mutex_unlock(&catalog->lock);
    *segments = (struct segment_info *)(void *)found.data;
    *n = found.len / sizeof **segments;
    return SVL_OK;
}

int svl__catalog_rings(struct catalog *catalog, struct ring_name **out, size_t *n)
{
    return collect(catalog, 'R', take_ring, sizeof **out, (void **)(void *)out, n);
}

static size_t value_key(svl_slice key, uint8_t out[KEY_MAX])
{
    out[0] = 'V';
    memcpy(out + 1, key.data, key.len);
    return key.len + 1;
}

int svl__catalog_value(struct catalog *catalog, svl_slice key, struct buffer *out)
{
    uint8_t bytes[KEY_MAX];
    MDB_txn *txn;
    if (key.len == 0 || key.len >= KEY_MAX)
        return svl__fail(SVL_E_INVALID, "a value's key of %zu bytes", key.len);
    int rc = svl__lmdb_begin_read(&catalog->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    MDB_val k = { value_key(key, bytes), bytes }, v;
    rc = error(catalog, mdb_get(txn, catalog->table, &k, &v), "value");
    if (rc == SVL_OK) {
        const uint8_t *value = v.mv_data;
        if (!is_sealed(&k, &v))
            rc = damaged("a value");
        else
            svl__buffer_append(out, value, v.mv_size - SUM_BYTES);
        if (out->failed)
            rc = SVL_E_NOMEM;
    }
    svl__lmdb_end_read(&catalog->lmdb, txn);
    return rc;
}

int svl__catalog_begin(struct catalog *catalog, struct catalog_change **out)
{
    *out = NULL;
    struct catalog_change *change = svl__calloc(1, sizeof *change);
    if (!change)
        return SVL_E_NOMEM;
    change->catalog = catalog;
    int rc = svl__lmdb_begin_write(&catalog->lmdb, &change->txn);
    if (rc != SVL_OK) {
        svl__free(change);
        return rc;
    }
    *out = change;
    return SVL_OK;
}

int svl__catalog_put_segment(struct catalog_change *change, const struct segment_info *info)
{
    uint8_t key[9], value[SEGMENT_BYTES];
    encode_segment(info, value);
    return put(change, key, segment_key(info->first_id, key), value, sizeof value);
}

int svl__catalog_remove_segment(struct catalog_change *change, const struct segment_info *info)
{
    uint8_t key[9];
    return del(change, key, segment_key(info->first_id, key));
}

static size_t ring_key(const struct ring_name *ring, uint8_t out[sizeof ring->name + 1])
{
    size_t len = strlen(ring->name);
    out[0] = 'R';
    memcpy(out + 1, ring->name, len);
    return len + 1;
}

int svl__catalog_put_ring(struct catalog_change *change, const struct ring_name *ring)
{
    uint8_t key[sizeof ring->name + 1], value[1 + sizeof ring->directory + SUM_BYTES];
    size_t len = 1 + strlen(ring->directory);
    value[0] = ring->made;
    memcpy(value + 1, ring->directory, len - 1);
    return put(change, key, ring_key(ring, key), value, len + SUM_BYTES);
}

int svl__catalog_remove_ring(struct catalog_change *change, const struct ring_name *ring)
{
    uint8_t key[sizeof ring->name + 1];
    return del(change, key, ring_key(ring, key));
}

int svl__catalog_put_value(struct catalog_change *change, svl_slice key, svl_slice value)
{
    uint8_t bytes[KEY_MAX];
    if (key.len == 0 || key.len >= KEY_MAX)
        return svl__fail(SVL_E_INVALID, "a value's key of %zu bytes", key.len);
    size_t key_len = value_key(key, bytes);
    if (!value.data)
        return del(change, bytes, key_len);
    uint8_t *sealed = svl__malloc(value.len + SUM_BYTES);
    if (!sealed)
        return SVL_E_NOMEM;
    memcpy(sealed, value.data, value.len);
    int rc = put(change, bytes, key_len, sealed, value.len + SUM_BYTES);
    svl__free(sealed);
    return rc;
}

int svl__catalog_put_state(struct catalog_change *change, const struct catalog_state *state)
{
    uint8_t value[STATE_BYTES];
    encode_state(state, value);
    change->has_state = true;
    change->state = *state;
    return put(change, "F", 1, value, sizeof value);
}

int svl__catalog_commit(struct catalog_change *change)
{
    struct catalog *catalog = change->catalog;
    int rc = svl__lmdb_commit(&catalog->lmdb, change->txn);
    if (rc == SVL_E_FULL)
        rc = error(catalog, MDB_MAP_FULL, "commit");
    if (rc == SVL_OK && change->has_state) {
        pthread_mutex_lock(&catalog->lock);
        catalog->state = change->state;
        pthread_mutex_unlock(&catalog->lock);
    }
    svl__free(change);
    return rc;
}

void svl__catalog_abort(struct catalog_change *change)
{
    mdb_txn_abort(change->txn);
    svl__free(change);
}

int svl__catalog_lagging(struct catalog *catalog)
{
    return svl__lmdb_lagging(&catalog->lmdb);
}

struct verify {
    catalog_damage_fn *damage;
    void *user;
    uint64_t last_id;
    bool damaged;
};

static void report(struct verify *v)
{
    v->damaged = true;
    v->damage(SVL_E_CORRUPT, svl_last_error(), v->user);
}

static int verify_segment(const MDB_val *key, const MDB_val *value, void *user)
{
    struct verify *v = user;
    struct segment_info info = { 0 };
    if (decode_segment(key, value, &info) != SVL_OK) {
        report(v);
        return SVL_OK;
    }
    if (info.first_id <= v->last_id) {
        svl__fail(SVL_E_CORRUPT, CATALOG_NAME ": segment %llu overlaps the one before",
                  (unsigned long long)info.first_id);
        report(v);
    }
    v->last_id = info.last_id;
    return SVL_OK;
}

static int verify_value(const MDB_val *key, const MDB_val *value, void *user)
{
    if (!is_sealed(key, value)) {
        damaged("a value");
        report(user);
    }
    return SVL_OK;
}

int svl__catalog_verify(struct catalog *catalog, catalog_damage_fn *damage, void *user)
{
    struct verify v = { .damage = damage, .user = user };
    struct buffer rings = { 0 };
    int rc = each(catalog, 'S', verify_segment, &v);
    if (rc == SVL_OK)
        rc = each(catalog, 'V', verify_value, &v);
    if (rc == SVL_OK)
        rc = each(catalog, 'R', take_ring, &rings);
    svl__buffer_free(&rings);
    if (rc == SVL_E_CORRUPT)
        report(&v);
    else if (rc != SVL_OK)
        return rc;
    return v.damaged ? SVL_E_CORRUPT : SVL_OK;
}
