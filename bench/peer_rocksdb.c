/* peer_rocksdb.c - RocksDB by its C interface: LZ4, background threads for the cores, a bloom filter of 10 bits a key,
 * write batches of 1,000 records with the log but without a sync, one flush of all at the end. Durable: a write a
 * record with sync, which RocksDB itself groups over threads. */
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench_config.h"
#include "index_key.h"

#define BATCH 1000
#define READAHEAD_BYTES (2 << 20)

struct db {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write, *write_sync;
    rocksdb_readoptions_t *read, *read_all;
    rocksdb_writebatch_t *batch; /* of append() */
    unsigned indexes;
    uint64_t in_batch;
    _Atomic uint64_t next;
};

static int checked(char *error)
{
    if (!error)
        return 0;
    bench_fail(error);
    rocksdb_free(error);
    return -1;
}

static rocksdb_options_t *make_options(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_increase_parallelism(options, (int)sysconf(_SC_NPROCESSORS_ONLN));
    return options;
}

static void *db_open(const char *path, const struct store_wish *wish)
{
    struct db *me = calloc(1, sizeof *me);
    char *error = NULL;
    if (!me)
        return NULL;
    me->indexes = wish->indexes;
    me->options = make_options();
    me->write = rocksdb_writeoptions_create();
    me->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(me->write_sync, 1);
    me->read = rocksdb_readoptions_create();
    me->read_all = rocksdb_readoptions_create();
    rocksdb_readoptions_set_readahead_size(me->read_all, READAHEAD_BYTES);
    me->batch = rocksdb_writebatch_create();
    me->db = rocksdb_open(me->options, path, &error);
    if (checked(error) == 0)
        return me;
    free(me);
    return NULL;
}

static void put_record(struct db *me, rocksdb_writebatch_t *batch, const svl_record *record)
{
    uint8_t row[ROW_BYTES_MAX], key[INDEX_KEY_BYTES_MAX], time[8];
    uint64_t id = atomic_fetch_add_explicit(&me->next, 1, memory_order_relaxed);
    size_t len = row_pack(record, row), key_len = index_key('r', (svl_slice){ "", 0 }, id, key);
    rocksdb_writebatch_put(batch, (char *)key, key_len, (char *)row, len);
    if (me->indexes & INDEX_KEY && record->key.len > 0) {
        key_len = index_key('k', record->key, id, key);
        rocksdb_writebatch_put(batch, (char *)key, key_len, "", 0);
    }
    if (me->indexes & INDEX_TIME) {
        put_be64(time, (uint64_t)record->time_ns);
        key_len = index_key('t', (svl_slice){ time, sizeof time }, id, key);
        rocksdb_writebatch_put(batch, (char *)key, key_len, "", 0);
    }
}

static int write_batch(struct db *me)
{
    char *error = NULL;
    rocksdb_write(me->db, me->write, me->batch, &error);
    rocksdb_writebatch_clear(me->batch);
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
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    int rc = write_batch(me);
    rocksdb_flushoptions_set_wait(options, 1);
    if (rc == 0) {
        rocksdb_flush(me->db, options, &error);
        rc = checked(error);
    }
    rocksdb_flushoptions_destroy(options);
    return rc;
}

static int db_append_durable(void *store, const struct line *line)
{
    struct db *me = store;
    char *error = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    put_record(me, batch, &line->record);
    rocksdb_write(me->db, me->write_sync, batch, &error);
    rocksdb_writebatch_destroy(batch);
    return checked(error);
}

/* --- reading --- */

/* Adds up the bodies, or counts the rows of severity `severity_min` and above. */
static int64_t read_rows(struct db *me, unsigned severity_min, uint64_t *bytes)
{
    rocksdb_iterator_t *it = rocksdb_create_iterator(me->db, me->read_all);
    int64_t count = 0;
    size_t len;
    for (rocksdb_iter_seek(it, "r", 1);
         rocksdb_iter_valid(it) && *rocksdb_iter_key(it, &len) == 'r'; rocksdb_iter_next(it)) {
        const void *row = rocksdb_iter_value(it, &len);
        if (bytes) {
            svl_slice body = row_body(row, len);
            *bytes += bench_sum(body.data, body.len) ? body.len : 0;
        }
        count += row_severity(row) >= severity_min;
    }
    rocksdb_iter_destroy(it);
    return count;
}

static int64_t db_scan(void *store, uint64_t *bytes)
{
    return read_rows(store, 0, bytes);
}

static int64_t db_count_errors(void *store)
{
    return read_rows(store, SVL_SEVERITY_ERROR, NULL);
}

/* The row that an index entry stands for, copied into `row`; its length, 0: not there. */
static size_t get_row(struct db *me, const char *entry, size_t len, uint8_t row[ROW_BYTES_MAX])
{
    uint8_t key[INDEX_KEY_BYTES_MAX];
    size_t key_len = index_key('r', (svl_slice){ "", 0 }, index_key_id(entry, len), key),
           row_len = 0;
    char *error = NULL;
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned(me->db, me->read, (char *)key, key_len, &error);
    if (checked(error) == 0 && pinned) {
        const char *value = rocksdb_pinnableslice_value(pinned, &row_len);
        memcpy(row, value, row_len);
    }
    rocksdb_pinnableslice_destroy(pinned);
    return row_len;
}

static int64_t db_count_key(void *store, svl_slice by)
{
    struct db *me = store;
    rocksdb_iterator_t *it = rocksdb_create_iterator(me->db, me->read);
    uint8_t from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t count = 0;
    uint64_t sum = 0;
    rocksdb_iter_seek(it, (char *)from, index_key('k', by, 0, from));
    for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t len, row_len;
        const char *entry = rocksdb_iter_key(it, &len);
        if (!index_key_is_of('k', by, entry, len) || (row_len = get_row(me, entry, len, row)) == 0)
            break;
        svl_slice body = row_body(row, row_len);
        sum += bench_sum(body.data, body.len);
        count++;
    }
    rocksdb_iter_destroy(it);
    return sum > 0 ? count : 0;
}

/* From behind the key's last entry, backwards. */
static int64_t db_newest_of_key(void *store, svl_slice by, unsigned n)
{
    struct db *me = store;
    rocksdb_iterator_t *it = rocksdb_create_iterator(me->db, me->read);
    uint8_t from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t time_ns = 0;
    uint64_t sum = 0;
    rocksdb_iter_seek(it, (char *)from, index_key('k', by, UINT64_MAX, from));
    if (rocksdb_iter_valid(it))
        rocksdb_iter_prev(it);
    else
        rocksdb_iter_seek_to_last(it);
    for (; n > 0 && rocksdb_iter_valid(it); n--, rocksdb_iter_prev(it)) {
        size_t len, row_len;
        const char *entry = rocksdb_iter_key(it, &len);
        if (!index_key_is_of('k', by, entry, len) || (row_len = get_row(me, entry, len, row)) == 0)
            break;
        svl_slice body = row_body(row, row_len);
        sum += bench_sum(body.data, body.len);
        time_ns = row_time(row);
    }
    rocksdb_iter_destroy(it);
    return sum > 0 ? time_ns : 0;
}

static int64_t db_first_since(void *store, int64_t time_ns)
{
    struct db *me = store;
    rocksdb_iterator_t *it = rocksdb_create_iterator(me->db, me->read);
    uint8_t time[8], from[INDEX_KEY_BYTES_MAX], row[ROW_BYTES_MAX];
    int64_t found = 0;
    size_t len;
    put_be64(time, (uint64_t)time_ns);
    rocksdb_iter_seek(it, (char *)from, index_key('t', (svl_slice){ time, sizeof time }, 0, from));
    if (rocksdb_iter_valid(it)) {
        const char *entry = rocksdb_iter_key(it, &len);
        found = get_row(me, entry, len, row) > 0 ? row_time(row) : 0;
    }
    rocksdb_iter_destroy(it);
    return found;
}

static int db_close(void *store)
{
    struct db *me = store;
    rocksdb_close(me->db);
    rocksdb_writebatch_destroy(me->batch);
    rocksdb_readoptions_destroy(me->read);
    rocksdb_readoptions_destroy(me->read_all);
    rocksdb_writeoptions_destroy(me->write);
    rocksdb_writeoptions_destroy(me->write_sync);
    rocksdb_options_destroy(me->options);
    free(me);
    return 0;
}

static const char *version(void)
{
    return BENCH_ROCKSDB_VERSION;
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
                                      .disk_factor = 2.5 };

const struct peer peer_rocksdb = {
    .name = "rocksdb", .title = "RocksDB, LZ4", .version = version, .store = &ops
};
