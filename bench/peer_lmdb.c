/* peer_lmdb.c - raw LMDB, one record a put, as its documentation advises for bulk loads: MDB_APPEND, large
 * transactions, no sync in between and one at the end. And the floor: a plain file, written once, flushed
 * for each record. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define TRANSACTION 10000

struct lmdb {
    MDB_env *env;
    MDB_dbi records, keys;
    MDB_txn *txn;
};

static int open_lmdb(struct lmdb *db, const char *path, unsigned flags, bool keyed)
{
    MDB_txn *txn;
    int rc = mkdir(path, 0700) == 0 ? 0 : -1;
    if (rc == 0)
        rc = mdb_env_create(&db->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(db->env, (size_t)64 << 30);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(db->env, 2);
    if (rc == 0)
        rc = mdb_env_open(db->env, path, flags, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "records", MDB_CREATE | MDB_INTEGERKEY, &db->records);
    if (rc == 0 && keyed)
        rc = mdb_dbi_open(txn, "keys", MDB_CREATE, &db->keys);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    return rc;
}

static int put(struct lmdb *db, uint64_t id, const svl_record *record, bool keyed)
{
    MDB_val key = { sizeof id, &id };
    MDB_val value = { record->body.len, (void *)(uintptr_t)record->body.data };
    int rc = mdb_put(db->txn, db->records, &key, &value, MDB_APPEND);
    if (rc == 0 && keyed) {
        char entry[64]; /* key, then id: one entry a record */
        memcpy(entry, record->key.data, record->key.len);
        memcpy(entry + record->key.len, &id, sizeof id);
        key = (MDB_val){ record->key.len + sizeof id, entry };
        value = (MDB_val){ 0, NULL };
        rc = mdb_put(db->txn, db->keys, &key, &value, 0);
    }
    return rc;
}

static int64_t append(const struct settings *settings, uint64_t keys)
{
    struct lmdb db = { 0 };
    const char *path = bench_path(settings, "lmdb");
    int rc = open_lmdb(&db, path, MDB_NOSYNC, keys > 0);
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; rc == 0 && i < settings->records; i++) {
        svl_record record = bench_record(i, keys);
        if (i % TRANSACTION == 0)
            rc = mdb_txn_begin(db.env, NULL, 0, &db.txn);
        if (rc == 0)
            rc = put(&db, i, &record, keys > 0);
        if (rc == 0 && (i % TRANSACTION == TRANSACTION - 1 || i + 1 == settings->records))
            rc = mdb_txn_commit(db.txn);
    }
    if (rc == 0)
        rc = mdb_env_sync(db.env, 1);
    int64_t took_ns = bench_now_ns() - start_ns;
    mdb_env_close(db.env);
    bench_remove(path);
    return rc == 0 ? took_ns : bench_fail("LMDB");
}

int64_t lmdb_append(const struct settings *settings)
{
    return append(settings, 0);
}

int64_t lmdb_append_keyed(const struct settings *settings)
{
    return append(settings, 100000);
}

int64_t lmdb_durable(const struct settings *settings)
{
    struct lmdb db = { 0 };
    const char *path = bench_path(settings, "lmdb");
    int rc = open_lmdb(&db, path, 0, false);
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; rc == 0 && i < settings->records; i++) {
        svl_record record = bench_record(i, 0);
        rc = mdb_txn_begin(db.env, NULL, 0, &db.txn);
        if (rc == 0)
            rc = put(&db, i, &record, false);
        if (rc == 0)
            rc = mdb_txn_commit(db.txn);
    }
    int64_t took_ns = bench_now_ns() - start_ns;
    mdb_env_close(db.env);
    bench_remove(path);
    return rc == 0 ? took_ns : bench_fail("LMDB");
}

int64_t file_durable(const struct settings *settings)
{
    const char *path = bench_path(settings, "file");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t size = settings->records * 256;
    char *zeros = calloc(1, size);
    bool ok = fd >= 0 && zeros && write(fd, zeros, size) == (ssize_t)size && fdatasync(fd) == 0;
    free(zeros);
    off_t at = 0;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; ok && i < settings->records; i++) {
        svl_record record = bench_record(i, 0);
        ok = pwrite(fd, record.body.data, record.body.len, at) == (ssize_t)record.body.len &&
             fdatasync(fd) == 0;
        at += (off_t)record.body.len;
    }
    int64_t took_ns = bench_now_ns() - start_ns;
    close(fd);
    unlink(path);
    return ok ? took_ns : bench_fail("file");
}
