/* segment_read.c - zones and blocks, each in a read transaction of its own (S5). */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "segment_private.h"

static int damaged(const struct segment *segment, const char *what, uint64_t id)
{
    return svl__fail(SVL_E_CORRUPT, "%s: %s %llu", segment->lmdb.name, what,
                     (unsigned long long)id);
}

static int damaged_zone(const struct segment *segment, const char *what, uint64_t id)
{
    return svl__fail(SVL_E_CORRUPT, "%s, zone of block %llu: %s", segment->lmdb.name,
                     (unsigned long long)id, what);
}

static int decode_zone(const struct segment *segment, const MDB_val *key, const MDB_val *value,
                       struct zone *zone)
{
    if (key->mv_size != sizeof(uint64_t))
        return damaged(segment, "a zone's key has bytes:", key->mv_size);
    uint64_t first_id = load_u64(key->mv_data);
    if (!svl__is_sealed(segment->zones_place, key, value))
        return damaged_zone(segment, "damaged", first_id);
    int rc = svl__zone_decode(value->mv_data, value->mv_size - SEAL_BYTES, zone);
    if (rc == SVL_OK && zone->first_id != first_id)
        rc = SVL_E_CORRUPT;
    return rc == SVL_E_CORRUPT ? damaged_zone(segment, "it cannot be one", first_id) : rc;
}

/* Stands the cursor on the last zone whose first id is at or below `id`. */
static int seek_at_or_below(MDB_cursor *cursor, uint64_t id, MDB_val *key, MDB_val *value)
{
    *key = (MDB_val){ sizeof id, &id };
    int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    if (code == 0 && key->mv_size == sizeof id && load_u64(key->mv_data) > id)
        return mdb_cursor_get(cursor, key, value, MDB_PREV);
    return code;
}

static int read_zones(struct segment *segment, MDB_cursor *cursor, uint64_t id_min, uint64_t id_max,
                      bool backward, struct zone *zones, size_t max, size_t *n)
{
    MDB_val key, value;
    int code = seek_at_or_below(cursor, backward ? id_max : id_min, &key, &value);
    /* Nothing at or below id_min: the first one. */
    if (code == MDB_NOTFOUND && !backward)
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (code == 0 && *n < max) {
        struct zone zone;
        int rc = decode_zone(segment, &key, &value, &zone);
        if (rc != SVL_OK) /* those before it are whole: it is met again when they are used up */
            return *n > 0 ? SVL_OK : rc;
        uint64_t last_id = zone.first_id + zone.count - 1;
        if (backward ? last_id < id_min : zone.first_id > id_max)
            break;
        if (last_id >= id_min && zone.first_id <= id_max)
            zones[(*n)++] = zone;
        code = mdb_cursor_get(cursor, &key, &value, backward ? MDB_PREV : MDB_NEXT);
    }
    return code == MDB_NOTFOUND ? SVL_OK : svl__lmdb_error(&segment->lmdb, code, "zones");
}

/* A transaction with a cursor on the zones; nothing is left open after an error. */
static int begin_zones(struct segment *segment, MDB_txn **txn, MDB_cursor **cursor)
{
    int rc = svl__lmdb_begin_read(&segment->lmdb, txn);
    if (rc != SVL_OK)
        return rc;
    rc = svl__lmdb_error(&segment->lmdb, mdb_cursor_open(*txn, segment->zones, cursor), "zones");
    if (rc != SVL_OK)
        svl__lmdb_end_read(&segment->lmdb, *txn);
    return rc;
}

static void end_zones(struct segment *segment, MDB_txn *txn, MDB_cursor *cursor)
{
    mdb_cursor_close(cursor);
    svl__lmdb_end_read(&segment->lmdb, txn);
}

int svl__segment_zones(struct segment *segment, uint64_t id_min, uint64_t id_max, bool backward,
                       struct zone *zones, size_t max, size_t *n)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    *n = 0;
    int rc = begin_zones(segment, &txn, &cursor);
    if (rc != SVL_OK)
        return rc;
    rc = read_zones(segment, cursor, id_min, id_max, backward, zones, max, n);
    end_zones(segment, txn, cursor);
    return rc;
}

/* The key of the zone at which the cursor stands. */
static uint64_t zone_key(const MDB_val *key)
{
    return key->mv_size == sizeof(uint64_t) ? load_u64(key->mv_data) : 0;
}

/* What keys say is of damaged pages perhaps: never back, so that every walk ends. */
static int pass_zone(MDB_cursor *cursor, uint64_t id, bool backward, uint64_t *next)
{
    uint64_t behind = id + 1;
    MDB_val key = { sizeof behind, &behind }, value;
    int code = backward ? seek_at_or_below(cursor, id, &key, &value)
                        : mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    if (code != 0 && code != MDB_NOTFOUND)
        return code;
    uint64_t found = code == 0 ? zone_key(&key) : 0;
    if (backward)
        *next = found > 0 && found <= id ? found - 1 : 0;
    else if (code == 0)
        *next = found > id ? found : behind;
    else
        *next = UINT64_MAX;
    return 0;
}

int svl__segment_pass_zone(struct segment *segment, uint64_t id, bool backward, uint64_t *next)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = begin_zones(segment, &txn, &cursor);
    if (rc != SVL_OK)
        return rc;
    rc = svl__lmdb_error(&segment->lmdb, pass_zone(cursor, id, backward, next), "zones");
    end_zones(segment, txn, cursor);
    return rc;
}

int svl__segment_read_block(struct segment *segment, uint64_t first_id, struct buffer *out)
{
    MDB_txn *txn;
    out->len = 0;
    int rc = svl__lmdb_begin_read(&segment->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    MDB_val key = { sizeof first_id, &first_id }, value;
    rc = svl__lmdb_error(&segment->lmdb, mdb_get(txn, segment->blocks, &key, &value), "blocks");
    if (rc == SVL_E_NOT_FOUND)
        rc = damaged(segment, "this block is missing:", first_id);
    if (rc == SVL_OK) {
        svl__buffer_append(out, value.mv_data, value.mv_size);
        if (out->failed) {
            out->failed = false;
            rc = SVL_E_NOMEM;
        }
    }
    svl__lmdb_end_read(&segment->lmdb, txn);
    return rc;
}
