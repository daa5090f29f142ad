/* peer_rocksdb.c - RocksDB by its C interface: a column family for rows and one for each index, LZ4, background threads
 * for the cores, a block cache of 64 MiB, bloom filters of 10 bits, in the index of keys by its prefix, which is what
 * is asked for. In bulk write batches of 1,000 records without the log, and one flush of all at the end, as its
 * documentation advises. Durable: a write a record with sync, which RocksDB itself groups over threads. */
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "bench_config.h"
#include "index_key.h"

#define BATCH 1000
#define READAHEAD_BYTES (2 << 20)
#define CACHE_BYTES ((size_t)64 << 20)
#define FILTER_BITS 10
#define ID_BYTES 8 /* at the end of an index entry */

enum family { ROWS, KEYS, TIMES, FAMILIES };

struct db {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILIES];
    rocksdb_options_t *options[FAMILIES];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write, *write_sync;
    rocksdb_readoptions_t *read, *read_key, *read_all;
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

/* --- what the index of keys is found by: all but the id --- */

static char *key_prefix(void *state, const char *key, size_t len, size_t *prefix_len)
{
    (void)state;
    *prefix_len = len - ID_BYTES;
    return (char *)(uintptr_t)key;
}

static unsigned char has_prefix(void *state, const char *key, size_t len)
{
    (void)state;
    (void)key;
    return len >= ID_BYTES;
}

static const char *prefix_name(void *state)
{
    (void)state;
    return "all but the id";
}

static void prefix_destroy(void *state)
{
    (void)state;
}

/* --- open --- */

static rocksdb_options_t *make_options(enum family family, rocksdb_cache_t *cache)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom(FILTER_BITS));
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_increase_parallelism(options, (int)sysconf(_SC_NPROCESSORS_ONLN));
    if (family == KEYS)
        rocksdb_options_set_prefix_extractor(
            options, rocksdb_slicetransform_create(NULL, prefix_destroy, key_prefix, has_prefix,
                                                   NULL, prefix_name));
    return options;
}

static void free_all(struct db *me)
{
    rocksdb_writebatch_destroy(me->batch);
    rocksdb_readoptions_destroy(me->read);
    rocksdb_readoptions_destroy(me->read_key);
    rocksdb_readoptions_destroy(me->read_all);
    rocksdb_writeoptions_destroy(me->write);
    rocksdb_writeoptions_destroy(me->write_sync);
    for (int i = 0; i < FAMILIES; i++)
        rocksdb_options_destroy(me->options[i]);
    rocksdb_cache_destroy(me->cache);
    free(me);
}

static void *db_open(const char *path, const struct store_wish *wish)
{
    static const char *const names[FAMILIES] = { "default", "keys", "times" };
    struct db *me = calloc(1, sizeof *me);
    char *error = NULL;
    if (!me)
        return NULL;
    me->indexes = wish->indexes;
    me->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    for (int i = 0; i < FAMILIES; i++)
        me->options[i] = make_options((enum family)i, me->cache);
    me->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(me->write, 1);
    me->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(me->write_sync, 1);
    me->read = rocksdb_readoptions_create();
    me->read_key = rocksdb_readoptions_create();
    rocksdb_readoptions_set_prefix_same_as_start(me->read_key, 1);
    me->read_all = rocksdb_readoptions_create();
    rocksdb_readoptions_set_readahead_size(me->read_all, READAHEAD_BYTES);
    rocksdb_readoptions_set_fill_cache(me->read_all, 0);
    me->batch = rocksdb_writebatch_create();
    const rocksdb_options_t *const options[FAMILIES] = { me->options[ROWS], me->options[KEYS],
                                                         me->options[TIMES] };
    me->db = rocksdb_open_column_families(me->options[ROWS], path, FAMILIES, names, options,
                                          me->families, &error);
    if (checked(error) == 0)
        return me;
    free_all(me);
    return NULL;
}

/* --- writing --- */

static void put_entry(struct db *me, rocksdb_writebatch_t *batch, enum family family, svl_slice by,
                      uint64_t id)
{
    uint8_t entry[INDEX_KEY_BYTES_MAX];
    size_t len = index_key(0, by, id, entry);
    rocksdb_writebatch_put_cf(batch, me->families[family], (char *)entry, len, "", 0);
}

static void put_record(struct db *me, rocksdb_writebatch_t *batch, const svl_record *record)
{
    uint8_t row[ROW_BYTES_MAX], key[ID_BYTES], time[8];
    uint64_t id = atomic_fetch_add_explicit(&me->next, 1, memory_order_relaxed);
    size_t len = row_pack(record, row);
    put_be64(key, id);
    rocksdb_writebatch_put_cf(batch, me->families[ROWS], (char *)key, sizeof key, (char *)row, len);
    if (me->indexes & INDEX_KEY && record->key.len > 0)
        put_entry(me, batch, KEYS, record->key, id);
    put_be64(time, (uint64_t)record->time_ns);
    if (me->indexes & INDEX_TIME)
        put_entry(me, batch, TIMES, (svl_slice){ time, sizeof time }, id);
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
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    int rc = write_batch(me);
    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; rc == 0 && i < FAMILIES; i++) {
        char *error = NULL;
        rocksdb_flush_cf(me->db, options, me->families[i], &error);
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

static int db_settle(void *store)
{
    struct db *me = store;
    for (int i = 0; i < FAMILIES; i++)
        rocksdb_compact_range_cf(me->db, me->families[i], NULL, 0, NULL, 0);
    return 0;
}

/* --- reading --- */

static rocksdb_iterator_t *iterate(struct db *me, enum family family,
                                   const rocksdb_readoptions_t *options)
{
    return rocksdb_create_iterator_cf(me->db, options, me->families[family]);
}

/* The answer, if the iterator has not met an error. */
static int64_t end_iterating(rocksdb_iterator_t *it, int64_t answer)
{
    char *error = NULL;
    rocksdb_iter_get_error(it, &error);
    rocksdb_iter_destroy(it);
    return checked(error) == 0 ? answer : -1;
}

/* Adds up the bodies, or counts the rows of severity `severity_min` and above. */
static int64_t read_rows(struct db *me, unsigned severity_min, uint64_t *bytes)
{
    rocksdb_iterator_t *it = iterate(me, ROWS, me->read_all);
    int64_t count = 0;
    size_t len;
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        const void *row = rocksdb_iter_value(it, &len);
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

/* Reads the body of the row that the iterator's index entry stands for: its sum, and the row's time. -1 with words. */
static int read_row(struct db *me, const rocksdb_iterator_t *it, uint64_t *sum, int64_t *time_ns)
{
    uint8_t key[ID_BYTES];
    char *error = NULL;
    size_t len;
    const char *entry = rocksdb_iter_key(it, &len);
    put_be64(key, index_key_id(entry, len));
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(me->db, me->read, me->families[ROWS],
                                                            (char *)key, sizeof key, &error);
    int rc = checked(error);
    const char *row = rc == 0 && pinned ? rocksdb_pinnableslice_value(pinned, &len) : NULL;
    if (row) {
        svl_slice body = row_body(row, len);
        *sum += bench_sum(body.data, body.len);
        *time_ns = row_time((const uint8_t *)row);
    } else if (rc == 0) {
        rc = bench_fail("RocksDB has an index entry without a row");
    }
    rocksdb_pinnableslice_destroy(pinned);
    return rc;
}

static bool is_at(const rocksdb_iterator_t *it, svl_slice by)
{
    size_t len;
    if (!rocksdb_iter_valid(it))
        return false;
    const char *entry = rocksdb_iter_key(it, &len);
    return index_key_is_of(0, by, entry, len);
}

static int64_t db_count_key(void *store, svl_slice by)
{
    struct db *me = store;
    rocksdb_iterator_t *it = iterate(me, KEYS, me->read_key);
    uint8_t from[INDEX_KEY_BYTES_MAX];
    int64_t count = 0, time_ns;
    uint64_t sum = 0;
    int rc = 0;
    rocksdb_iter_seek(it, (char *)from, index_key(0, by, 0, from));
    for (; rc == 0 && is_at(it, by); rocksdb_iter_next(it), count++)
        rc = read_row(me, it, &sum, &time_ns);
    return end_iterating(it, rc != 0 ? -1 : sum > 0 ? count : 0);
}

/* From the key's last entry, backwards. */
static int64_t db_newest_of_key(void *store, svl_slice by, unsigned n)
{
    struct db *me = store;
    rocksdb_iterator_t *it = iterate(me, KEYS, me->read_key);
    uint8_t from[INDEX_KEY_BYTES_MAX];
    int64_t time_ns = 0;
    uint64_t sum = 0;
    int rc = 0;
    rocksdb_iter_seek_for_prev(it, (char *)from, index_key(0, by, UINT64_MAX, from));
    for (; rc == 0 && n > 0 && is_at(it, by); n--, rocksdb_iter_prev(it))
        rc = read_row(me, it, &sum, &time_ns);
    return end_iterating(it, rc != 0 ? -1 : sum > 0 ? time_ns : 0);
}

static int64_t db_first_since(void *store, int64_t time_ns)
{
    struct db *me = store;
    rocksdb_iterator_t *it = iterate(me, TIMES, me->read);
    uint8_t time[8], from[INDEX_KEY_BYTES_MAX];
    int64_t found = 0;
    uint64_t sum = 0;
    put_be64(time, (uint64_t)time_ns);
    rocksdb_iter_seek(it, (char *)from, index_key(0, (svl_slice){ time, sizeof time }, 0, from));
    int rc = rocksdb_iter_valid(it) ? read_row(me, it, &sum, &found) : 0;
    return end_iterating(it, rc != 0 ? -1 : found);
}

static int db_close(void *store)
{
    struct db *me = store;
    for (int i = 0; i < FAMILIES; i++)
        rocksdb_column_family_handle_destroy(me->families[i]);
    rocksdb_close(me->db);
    free_all(me);
    return 0;
}

static const char *version(void)
{
    return BENCH_ROCKSDB_VERSION;
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
                                      .disk_factor = 2.5 };

const struct peer peer_rocksdb = {
    .name = "rocksdb", .title = "RocksDB, LZ4", .version = version, .store = &ops
};
