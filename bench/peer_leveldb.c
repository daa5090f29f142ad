/* peer_leveldb.c - LevelDB by its C interface: its default compression (Snappy), write buffers of 64 MiB into tables of
 * 32, a block cache of 64 MiB, a bloom filter of 10 bits a key (of use for the rows; indexes are iterated, and it has
 * none for a prefix), rows and indexes in one tree, write batches of 1,000 records without a sync, and one synced write
 * at the end: its log has everything then. Durable: a write a record with sync, which it groups over threads. */
#include <leveldb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "index_key.h"

#define BATCH 1000
#define WRITE_BUFFER_BYTES ((size_t)64 << 20)
#define TABLE_BYTES ((size_t)32 << 20)
#define CACHE_BYTES ((size_t)64 << 20)
#define FILTER_BITS 10

struct db {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_filterpolicy_t *filter;
    leveldb_cache_t *cache;
    leveldb_writeoptions_t *write, *write_sync;
    leveldb_readoptions_t *read, *read_all; /* into the cache, and past it */
    leveldb_writebatch_t *batch;            /* of append() */
    unsigned indexes;
    uint64_t in_batch;
    _Atomic uint64_t next;
};

static int checked(char *error)
{
    if (!error)
        return 0;
    bench_fail(error);
    leveldb_free(error);
    return -1;
}

static void *db_open(const char *path, const struct store_wish *wish)
{
    struct db *me = calloc(1, sizeof *me);
    char *error = NULL;
    if (!me)
        return NULL;
    me->indexes = wish->indexes;
    me->options = leveldb_options_create();
    me->filter = leveldb_filterpolicy_create_bloom(FILTER_BITS);
    leveldb_options_set_create_if_missing(me->options, 1);
    leveldb_options_set_write_buffer_size(me->options, WRITE_BUFFER_BYTES);
    leveldb_options_set_filter_policy(me->options, me->filter);
    me->cache = leveldb_cache_create_lru(CACHE_BYTES);
    leveldb_options_set_cache(me->options, me->cache);
    leveldb_options_set_max_file_size(me->options, TABLE_BYTES);
    me->write = leveldb_writeoptions_create();
    me->write_sync = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(me->write_sync, 1);
    me->read = leveldb_readoptions_create();
    me->read_all = leveldb_readoptions_create();
    leveldb_readoptions_set_fill_cache(me->read_all, 0);
    me->batch = leveldb_writebatch_create();
    me->db = leveldb_open(me->options, path, &error);
    if (checked(error) == 0)
        return me;
    free(me);
    return NULL;
}

static void put_record(struct db *me, leveldb_writebatch_t *batch, const svl_record *record)
{
    uint8_t row[ROW_BYTES_MAX], key[INDEX_KEY_BYTES_MAX], time[8];
    uint64_t id = atomic_fetch_add_explicit(&me->next, 1, memory_order_relaxed);
    size_t len = row_pack(record, row), key_len = index_key('r', (svl_slice){ "", 0 }, id, key);
    leveldb_writebatch_put(batch, (char *)key, key_len, (char *)row, len);
    if (me->indexes & INDEX_KEY && record->key.len > 0) {
        key_len = index_key('k', record->key, id, key);
        leveldb_writebatch_put(batch, (char *)key, key_len, "", 0);
    }
    if (me->indexes & INDEX_TIME) {
        put_be64(time, (uint64_t)record->time_ns);
        key_len = index_key('t', (svl_slice){ time, sizeof time }, id, key);
        leveldb_writebatch_put(batch, (char *)key, key_len, "", 0);
    }
}

static int write_batch(struct db *me)
{
    char *error = NULL;
    leveldb_write(me->db, me->write, me->batch, &error);
    leveldb_writebatch_clear(me->batch);
    me->in_batch = 0;
    return checked(error);
}

static int db_append(void *store, const struct line *line)
{
    struct db *me = store;
    put_record(me, me->batch, &line->record);
    return ++me->in_batch == BATCH ? write_batch(me) : 0;
}

static int db_finish(void *store)
{
    struct db *me = store;
    char *error = NULL;
    leveldb_write(me->db, me->write_sync, me->batch, &error);
    leveldb_writebatch_clear(me->batch);
    me->in_batch = 0;
    return checked(error);
}

static int db_append_durable(void *store, const struct line *line)
{
    struct db *me = store;
    char *error = NULL;
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    put_record(me, batch, &line->record);
    leveldb_write(me->db, me->write_sync, batch, &error);
    leveldb_writebatch_destroy(batch);
    return checked(error);
}

static int db_settle(void *store)
{
    leveldb_compact_range(((struct db *)store)->db, NULL, 0, NULL, 0);
    return 0;
}

/* --- reading --- */

/* The answer, if the iterator has not met an error. */
static int64_t end_iterating(leveldb_iterator_t *it, int64_t answer)
{
    char *error = NULL;
    leveldb_iter_get_error(it, &error);
    leveldb_iter_destroy(it);
    return checked(error) == 0 ? answer : -1;
}

/* Adds up the bodies, or counts the rows of severity `severity_min` and above. */
static int64_t read_rows(struct db *me, unsigned severity_min, uint64_t *bytes)
{
    leveldb_iterator_t *it = leveldb_create_iterator(me->db, me->read_all);
    int64_t count = 0;
    size_t len;
    for (leveldb_iter_seek(it, "r", 1);
         leveldb_iter_valid(it) && *leveldb_iter_key(it, &len) == 'r'; leveldb_iter_next(it)) {
        const void *row = leveldb_iter_value(it, &len);
        if (bytes) {
            svl_slice body = row_body(row, len);
            *bytes += bench_sum(body.data, body.len) ? body.len : 0;
        }
        count += row_severity(row) >= severity_min;
    }
    return end_iterating(it, count);
}

static int64_t db_scan(void *store, uint64_t *bytes)
{
    return read_rows(store, 0, bytes);
}

static int64_t db_count_errors(void *store)
{
    return read_rows(store, SVL_SEVERITY_ERROR, NULL);
}

/* The row that an index entry stands for, copied into `row`; -1 with words. */
static int get_row(struct db *me, const char *entry, size_t len, uint8_t row[ROW_BYTES_MAX],
                   size_t *row_len)
{
    uint8_t key[INDEX_KEY_BYTES_MAX];
    size_t key_len = index_key('r', (svl_slice){ "", 0 }, index_key_id(entry, len), key);
    char *error = NULL;
    char *value = leveldb_get(me->db, me->read, (char *)key, key_len, row_len, &error);
    if (checked(error) != 0)
        return -1;
    if (!value)
        return bench_fail("LevelDB has an index entry without a row");
    memcpy(row, value, *row_len);
    leveldb_free(value);
    return 0;
}

static int64_t db_count_key(void *store, svl_slice by)
{
    struct db *me = store;
    leveldb_iterator_t *it = leveldb_create_iterator(me->db, me->read);
    uint8_t from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t count = 0;
    uint64_t sum = 0;
    int rc = 0;
    leveldb_iter_seek(it, (char *)from, index_key('k', by, 0, from));
    for (; leveldb_iter_valid(it); leveldb_iter_next(it)) {
        size_t len, row_len;
        const char *entry = leveldb_iter_key(it, &len);
        if (!index_key_is_of('k', by, entry, len) ||
            (rc = get_row(me, entry, len, row, &row_len)) != 0)
            break;
        svl_slice body = row_body(row, row_len);
        sum += bench_sum(body.data, body.len);
        count++;
    }
    return end_iterating(it, rc != 0 ? -1 : sum > 0 ? count : 0);
}

/* From behind the key's last entry, backwards. */
static int64_t db_newest_of_key(void *store, svl_slice by, unsigned n)
{
    struct db *me = store;
    leveldb_iterator_t *it = leveldb_create_iterator(me->db, me->read);
    uint8_t from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t time_ns = 0;
    uint64_t sum = 0;
    int rc = 0;
    leveldb_iter_seek(it, (char *)from, index_key('k', by, UINT64_MAX, from));
    if (leveldb_iter_valid(it))
        leveldb_iter_prev(it);
    else
        leveldb_iter_seek_to_last(it);
    for (; n > 0 && leveldb_iter_valid(it); n--, leveldb_iter_prev(it)) {
        size_t len, row_len;
        const char *entry = leveldb_iter_key(it, &len);
        if (!index_key_is_of('k', by, entry, len) ||
            (rc = get_row(me, entry, len, row, &row_len)) != 0)
            break;
        svl_slice body = row_body(row, row_len);
        sum += bench_sum(body.data, body.len);
        time_ns = row_time(row);
    }
    return end_iterating(it, rc != 0 ? -1 : sum > 0 ? time_ns : 0);
}

static int64_t db_first_since(void *store, int64_t time_ns)
{
    struct db *me = store;
    leveldb_iterator_t *it = leveldb_create_iterator(me->db, me->read);
    uint8_t time[8], from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t found = 0;
    size_t len;
    int rc = 0;
    put_be64(time, (uint64_t)time_ns);
    leveldb_iter_seek(it, (char *)from, index_key('t', (svl_slice){ time, sizeof time }, 0, from));
    if (leveldb_iter_valid(it)) {
        const char *entry = leveldb_iter_key(it, &len);
        rc = get_row(me, entry, len, row, &len);
        found = rc == 0 ? row_time(row) : 0;
    }
    return end_iterating(it, rc != 0 ? -1 : found);
}

static int db_close(void *store)
{
    struct db *me = store;
    leveldb_close(me->db);
    leveldb_writebatch_destroy(me->batch);
    leveldb_readoptions_destroy(me->read);
    leveldb_readoptions_destroy(me->read_all);
    leveldb_writeoptions_destroy(me->write);
    leveldb_writeoptions_destroy(me->write_sync);
    leveldb_options_destroy(me->options);
    leveldb_filterpolicy_destroy(me->filter);
    leveldb_cache_destroy(me->cache);
    free(me);
    return 0;
}

static const char *version(void)
{
    static char text[24];
    snprintf(text, sizeof text, "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return text;
}

static const struct store_ops ops = { .open = db_open,
                                      .append = db_append,
                                      .finish = db_finish,
                                      .settle = db_settle,
                                      .append_durable = db_append_durable,
                                      .scan = db_scan,
                                      .count_errors = db_count_errors,
                                      .count_key = db_count_key,
                                      .newest_of_key = db_newest_of_key,
                                      .first_since = db_first_since,
                                      .close = db_close,
                                      .indexes = INDEX_KEY | INDEX_TIME,
                                      .disk_factor = 2 };

const struct peer peer_leveldb = {
    .name = "leveldb", .title = "LevelDB, Snappy", .version = version, .store = &ops
};
