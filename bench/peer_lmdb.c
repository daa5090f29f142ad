/* peer_lmdb.c - raw LMDB: a row under each id by MDB_APPEND and MDB_RESERVE, 10,000 puts a transaction, no sync until
 * one at the end, as its documentation advises for bulk loads; an index is a table of ids under what they are found
 * by (MDB_DUPFIXED). Durable: a transaction a record, synced. And a block of 2,048 rows under each first id, as a log
 * store without columns would. */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define TRANSACTION 10000
#define BLOCK_RECORDS 2048
#define MAP_BYTES ((size_t)1 << 40)

struct db {
    MDB_env *env;
    MDB_dbi records, keys, times;
    unsigned indexes;
    MDB_txn *txn; /* of append() */
    uint64_t next, in_txn;
    uint8_t *block; /* rows with their lengths, of the block under construction */
    size_t block_len, block_capacity;
    uint64_t block_records;
};

static int checked(int rc)
{
    return rc == MDB_SUCCESS ? 0 : bench_fail(mdb_strerror(rc));
}

static int open_tables(struct db *me, unsigned flags)
{
    MDB_txn *txn;
    MDB_stat st;
    int rc = mdb_txn_begin(me->env, NULL, flags & MDB_RDONLY, &txn);
    unsigned create = flags & MDB_RDONLY ? 0 : MDB_CREATE;
    if (rc == 0)
        rc = mdb_dbi_open(txn, "records", create | MDB_INTEGERKEY, &me->records);
    if (rc == 0 && me->indexes & INDEX_KEY)
        rc = mdb_dbi_open(txn, "keys", create | MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP,
                          &me->keys);
    if (rc == 0 && me->indexes & INDEX_TIME)
        rc = mdb_dbi_open(txn, "times", create | MDB_DUPSORT | MDB_DUPFIXED | MDB_INTEGERDUP,
                          &me->times);
    if (rc == 0)
        rc = mdb_stat(txn, me->records, &st);
    if (rc == 0)
        me->next = st.ms_entries;
    return rc == 0 ? mdb_txn_commit(txn) : rc;
}

static void *db_open(const char *path, const struct store_wish *wish)
{
    struct db *me = calloc(1, sizeof *me);
    unsigned flags = wish->purpose == PURPOSE_BULK   ? MDB_NOSYNC
                     : wish->purpose == PURPOSE_READ ? MDB_RDONLY
                                                     : 0;
    if (!me)
        return NULL;
    me->indexes = wish->indexes;
    mkdir(path, 0700);
    int rc = mdb_env_create(&me->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(me->env, MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(me->env, 3);
    if (rc == 0)
        rc = mdb_env_open(me->env, path, flags, 0600);
    if (rc == 0)
        rc = open_tables(me, flags);
    if (rc == 0)
        return me;
    checked(rc);
    mdb_env_close(me->env);
    free(me);
    return NULL;
}

static int put_id(MDB_txn *txn, MDB_dbi table, svl_slice by, uint64_t id)
{
    MDB_val key = { by.len, (void *)by.data }, value = { sizeof id, &id };
    return mdb_put(txn, table, &key, &value, MDB_APPENDDUP); /* ids ascend */
}

static int put_record(struct db *me, MDB_txn *txn, const svl_record *record)
{
    uint8_t time[8];
    uint64_t id = me->next++;
    MDB_val key = { sizeof id, &id }, value = { row_bytes(record), NULL };
    int rc = mdb_put(txn, me->records, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc == 0)
        row_pack(record, value.mv_data);
    if (rc == 0 && me->indexes & INDEX_KEY && record->key.len > 0)
        rc = put_id(txn, me->keys, record->key, id);
    put_be64(time, (uint64_t)record->time_ns);
    if (rc == 0 && me->indexes & INDEX_TIME)
        rc = put_id(txn, me->times, (svl_slice){ time, sizeof time }, id);
    return rc;
}

static int commit(struct db *me)
{
    int rc = me->txn ? mdb_txn_commit(me->txn) : 0;
    me->txn = NULL;
    me->in_txn = 0;
    return checked(rc);
}

static int db_append(void *store, const struct line *line)
{
    struct db *me = store;
    int rc = me->txn ? 0 : mdb_txn_begin(me->env, NULL, 0, &me->txn);
    if (rc == 0)
        rc = put_record(me, me->txn, &line->record);
    if (rc != 0)
        return checked(rc);
    return ++me->in_txn == TRANSACTION ? commit(me) : 0;
}

static int db_finish(void *store)
{
    struct db *me = store;
    return commit(me) == 0 ? checked(mdb_env_sync(me->env, 1)) : -1;
}

static int db_append_durable(void *store, const struct line *line)
{
    struct db *me = store;
    MDB_txn *txn;
    int rc = mdb_txn_begin(me->env, NULL, 0, &txn); /* LMDB lets one in */
    if (rc != 0)
        return checked(rc);
    rc = put_record(me, txn, &line->record);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return checked(rc);
}

/* --- reading --- */

struct reading {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static int begin_reading(struct db *me, MDB_dbi table, struct reading *out)
{
    int rc = mdb_txn_begin(me->env, NULL, MDB_RDONLY, &out->txn);
    return checked(rc == 0 ? mdb_cursor_open(out->txn, table, &out->cursor) : rc);
}

static int64_t end_reading(struct reading *reading, int rc, int64_t answer)
{
    mdb_cursor_close(reading->cursor);
    mdb_txn_abort(reading->txn);
    return rc == 0 || rc == MDB_NOTFOUND ? answer : checked(rc);
}

static int64_t db_scan(void *store, uint64_t *bytes)
{
    struct db *me = store;
    struct reading reading;
    MDB_val key, value;
    int64_t count = 0;
    int rc = begin_reading(me, me->records, &reading);
    if (rc != 0)
        return -1;
    for (; (rc = mdb_cursor_get(reading.cursor, &key, &value, MDB_NEXT)) == 0; count++) {
        svl_slice body = row_body(value.mv_data, value.mv_size);
        *bytes += bench_sum(body.data, body.len) ? body.len : 0;
    }
    return end_reading(&reading, rc, count);
}

static int64_t db_count_errors(void *store)
{
    struct db *me = store;
    struct reading reading;
    MDB_val key, value;
    int64_t count = 0;
    int rc = begin_reading(me, me->records, &reading);
    if (rc != 0)
        return -1;
    while ((rc = mdb_cursor_get(reading.cursor, &key, &value, MDB_NEXT)) == 0)
        count += row_severity(value.mv_data) >= SVL_SEVERITY_ERROR;
    return end_reading(&reading, rc, count);
}

/* The record of an id that an index gives. */
static int get_record(struct db *me, MDB_txn *txn, const MDB_val *id, MDB_val *value)
{
    uint64_t number; /* they do not lie aligned */
    memcpy(&number, id->mv_data, sizeof number);
    MDB_val key = { sizeof number, &number };
    return mdb_get(txn, me->records, &key, value);
}

static int64_t db_count_key(void *store, svl_slice by)
{
    struct db *me = store;
    struct reading reading;
    MDB_val key = { by.len, (void *)by.data }, id, value;
    int64_t count = 0;
    uint64_t bytes = 0;
    int rc = begin_reading(me, me->keys, &reading);
    if (rc != 0)
        return -1;
    rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_SET);
    while (rc == 0 && (rc = get_record(me, reading.txn, &id, &value)) == 0) {
        svl_slice body = row_body(value.mv_data, value.mv_size);
        bytes += bench_sum(body.data, body.len);
        count++;
        rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_NEXT_DUP);
    }
    return end_reading(&reading, rc, bytes > 0 ? count : 0);
}

/* From the key's last id, backwards. */
static int64_t db_newest_of_key(void *store, svl_slice by, unsigned n)
{
    struct db *me = store;
    struct reading reading;
    MDB_val key = { by.len, (void *)by.data }, id, value;
    int64_t time_ns = 0;
    uint64_t bytes = 0;
    int rc = begin_reading(me, me->keys, &reading);
    if (rc != 0)
        return -1;
    rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_SET);
    if (rc == 0)
        rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_LAST_DUP);
    while (rc == 0 && n-- > 0 && (rc = get_record(me, reading.txn, &id, &value)) == 0) {
        svl_slice body = row_body(value.mv_data, value.mv_size);
        bytes += bench_sum(body.data, body.len);
        time_ns = row_time(value.mv_data);
        rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_PREV_DUP);
    }
    return end_reading(&reading, rc, bytes > 0 ? time_ns : 0);
}

static int64_t db_first_since(void *store, int64_t time_ns)
{
    struct db *me = store;
    struct reading reading;
    uint8_t time[8];
    put_be64(time, (uint64_t)time_ns);
    MDB_val key = { sizeof time, time }, id, value;
    int rc = begin_reading(me, me->times, &reading);
    if (rc != 0)
        return -1;
    rc = mdb_cursor_get(reading.cursor, &key, &id, MDB_SET_RANGE);
    if (rc == 0)
        rc = get_record(me, reading.txn, &id, &value);
    return end_reading(&reading, rc, rc == 0 ? row_time(value.mv_data) : 0);
}

static int db_close(void *store)
{
    struct db *me = store;
    mdb_env_close(me->env);
    free(me->block);
    free(me);
    return 0;
}

/* --- a block a put --- */

static int put_block(struct db *me)
{
    uint64_t id = me->next;
    MDB_val key = { sizeof id, &id }, value = { me->block_len, me->block };
    int rc = me->txn ? 0 : mdb_txn_begin(me->env, NULL, 0, &me->txn);
    if (rc == 0)
        rc = mdb_put(me->txn, me->records, &key, &value, MDB_APPEND);
    me->next += me->block_records;
    me->in_txn += me->block_records;
    me->block_len = 0;
    me->block_records = 0;
    if (rc != 0)
        return checked(rc);
    return me->in_txn >= TRANSACTION ? commit(me) : 0;
}

static int blocks_append(void *store, const struct line *line)
{
    struct db *me = store;
    if (me->block_len + ROW_BYTES_MAX + 4 > me->block_capacity) {
        size_t capacity = me->block_capacity ? me->block_capacity * 2 : 1 << 20;
        uint8_t *grown = realloc(me->block, capacity);
        if (!grown)
            return bench_fail("no memory for a block");
        me->block = grown;
        me->block_capacity = capacity;
    }
    uint32_t len = (uint32_t)row_pack(&line->record, me->block + me->block_len + 4);
    memcpy(me->block + me->block_len, &len, 4);
    me->block_len += 4 + len;
    return ++me->block_records == BLOCK_RECORDS ? put_block(me) : 0;
}

static int blocks_finish(void *store)
{
    struct db *me = store;
    int rc = me->block_records > 0 ? put_block(me) : 0;
    return rc == 0 ? db_finish(store) : rc;
}

static int64_t blocks_scan(void *store, uint64_t *bytes)
{
    struct db *me = store;
    struct reading reading;
    MDB_val key, value;
    int64_t count = 0;
    int rc = begin_reading(me, me->records, &reading);
    if (rc != 0)
        return -1;
    while ((rc = mdb_cursor_get(reading.cursor, &key, &value, MDB_NEXT)) == 0) {
        const uint8_t *at = value.mv_data, *end = at + value.mv_size;
        for (uint32_t len; at < end; at += len, count++) {
            memcpy(&len, at, 4);
            at += 4;
            svl_slice body = row_body(at, len);
            *bytes += bench_sum(body.data, body.len) ? body.len : 0;
        }
    }
    return end_reading(&reading, rc, count);
}

static const char *version(void)
{
    static char text[24];
    int major, minor, patch;
    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static const struct store_ops ops = { .open = db_open,
                                      .append = db_append,
                                      .finish = db_finish,
                                      .append_durable = db_append_durable,
                                      .scan = db_scan,
                                      .count_errors = db_count_errors,
                                      .count_key = db_count_key,
                                      .newest_of_key = db_newest_of_key,
                                      .first_since = db_first_since,
                                      .close = db_close,
                                      .indexes = INDEX_KEY | INDEX_TIME,
                                      .disk_factor = 2.5 };
static const struct store_ops blocks_ops = { .open = db_open,
                                             .append = blocks_append,
                                             .finish = blocks_finish,
                                             .scan = blocks_scan,
                                             .close = db_close,
                                             .disk_factor = 1.5 };

const struct peer peer_lmdb = {
    .name = "lmdb", .title = "LMDB, a record a put", .version = version, .store = &ops
};
const struct peer peer_lmdb_blocks = { .name = "lmdb-blocks",
                                       .title = "LMDB, 2,048 records a put",
                                       .version = version,
                                       .store = &blocks_ops };
