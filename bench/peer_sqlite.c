/* peer_sqlite.c - SQLite: one table in WAL mode, prepared statements, 10,000 rows a transaction, synchronous OFF,
 * NORMAL and FULL, a page cache of 64 MiB, the file mapped; an index only where the question needs one. In bulk a
 * checkpoint every 64 MiB. Reads go through a connection of their own; what is there already, through that one alone.
 * Durable: FULL, a commit a record; one connection under a mutex, as its writers would only wait for each other. */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

#define TRANSACTION 10000
#define BUSY_MS 60000 /* a checkpoint and a reader wait for each other */

struct db {
    sqlite3 *writer, *reader;
    sqlite3_stmt *insert, *by_key, *newest, *since;
    uint64_t in_transaction;
    pthread_mutex_t mutex;
    char path[512];
};

static int checked_by(sqlite3 *connection, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return 0;
    return bench_fail(connection ? sqlite3_errmsg(connection) : sqlite3_errstr(rc));
}

static int run_sql(struct db *me, const char *sql)
{
    return checked_by(me->writer, sqlite3_exec(me->writer, sql, NULL, NULL, NULL));
}

/* A connection is one thread's at a time. */
static int open_connection(const char *path, int flags, sqlite3 **out)
{
    int rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(*out, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, "PRAGMA cache_size=-65536; PRAGMA mmap_size=1099511627776", NULL,
                          NULL, NULL);
    return checked_by(*out, rc);
}

static int db_close(void *store)
{
    struct db *me = store;
    sqlite3_finalize(me->insert);
    sqlite3_finalize(me->by_key);
    sqlite3_finalize(me->newest);
    sqlite3_finalize(me->since);
    sqlite3_close(me->reader);
    int rc = sqlite3_close(me->writer);
    free(me);
    return rc == SQLITE_OK ? 0 : bench_fail(sqlite3_errstr(rc));
}

static int open_writer(struct db *me, const struct store_wish *wish, const char *synchronous)
{
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%s", synchronous);
    if (open_connection(me->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &me->writer) != 0 ||
        run_sql(me, "PRAGMA journal_mode=WAL") != 0 || run_sql(me, pragma) != 0)
        return -1;
    if (wish->purpose == PURPOSE_BULK && run_sql(me, "PRAGMA wal_autocheckpoint=16384") != 0)
        return -1;
    int rc = run_sql(me, "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, time INTEGER, "
                         "severity INTEGER, source TEXT, key BLOB, body TEXT)");
    if (rc == 0 && wish->indexes & INDEX_KEY)
        rc = run_sql(me, "CREATE INDEX IF NOT EXISTS log_key ON log (key)");
    if (rc == 0 && wish->indexes & INDEX_TIME)
        rc = run_sql(me, "CREATE INDEX IF NOT EXISTS log_time ON log (time)");
    if (rc != 0)
        return -1;
    return checked_by(
        me->writer,
        sqlite3_prepare_v2(
            me->writer,
            "INSERT INTO log (time, severity, source, key, body) VALUES (?, ?, ?, ?, ?)", -1,
            &me->insert, NULL));
}

static int open_reader(struct db *me, const struct store_wish *wish)
{
    int rc = open_connection(me->path, SQLITE_OPEN_READONLY, &me->reader);
    if (rc != 0)
        return -1;
    if (wish->indexes & INDEX_KEY)
        rc = sqlite3_prepare_v2(me->reader, "SELECT body FROM log WHERE key = ? ORDER BY id", -1,
                                &me->by_key, NULL);
    if (rc == SQLITE_OK && wish->indexes & INDEX_KEY)
        rc = sqlite3_prepare_v2(me->reader,
                                "SELECT body, time FROM log WHERE key = ? ORDER BY id DESC LIMIT ?",
                                -1, &me->newest, NULL);
    if (rc == SQLITE_OK && wish->indexes & INDEX_TIME)
        rc = sqlite3_prepare_v2(me->reader,
                                "SELECT time FROM log WHERE time >= ? ORDER BY time LIMIT 1", -1,
                                &me->since, NULL);
    return checked_by(me->reader, rc);
}

static void *db_open(const char *path, const struct store_wish *wish, const char *synchronous)
{
    struct db *me = calloc(1, sizeof *me);
    if (!me)
        return NULL;
    snprintf(me->path, sizeof me->path, "%s", path);
    pthread_mutex_init(&me->mutex, NULL);
    int rc = wish->purpose == PURPOSE_READ ? 0 : open_writer(me, wish, synchronous);
    if (rc == 0)
        rc = open_reader(me, wish);
    if (rc == 0)
        return me;
    db_close(me);
    return NULL;
}

static void *open_off(const char *path, const struct store_wish *wish)
{
    return db_open(path, wish, "OFF");
}

static void *open_normal(const char *path, const struct store_wish *wish)
{
    return db_open(path, wish, "NORMAL");
}

static void *open_full(const char *path, const struct store_wish *wish)
{
    return db_open(path, wish, "FULL");
}

static int insert(struct db *me, const svl_record *record)
{
    sqlite3_stmt *it = me->insert;
    int rc = sqlite3_bind_int64(it, 1, record->time_ns);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(it, 2, (int)record->severity);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(it, 3, record->source.data, (int)record->source.len, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = record->key.len > 0
                 ? sqlite3_bind_blob(it, 4, record->key.data, (int)record->key.len, SQLITE_STATIC)
                 : sqlite3_bind_null(it, 4);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(it, 5, record->body.data, (int)record->body.len, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(it);
    sqlite3_reset(it);
    return checked_by(me->writer, rc);
}

static int db_append(void *store, const struct line *line)
{
    struct db *me = store;
    if (me->in_transaction == 0 && run_sql(me, "BEGIN") != 0)
        return -1;
    if (insert(me, &line->record) != 0)
        return -1;
    if (++me->in_transaction < TRANSACTION)
        return 0;
    me->in_transaction = 0;
    return run_sql(me, "COMMIT");
}

/* With synchronous=OFF nobody has flushed the file yet. */
static int db_finish(void *store)
{
    struct db *me = store;
    int rc = me->in_transaction > 0 ? run_sql(me, "COMMIT") : 0;
    me->in_transaction = 0;
    if (rc == 0)
        rc = checked_by(me->writer, sqlite3_wal_checkpoint_v2(
                                        me->writer, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
    int fd = open(me->path, O_RDONLY | O_CLOEXEC);
    if (rc == 0 && (fd < 0 || fdatasync(fd) != 0))
        rc = bench_fail("SQLite's file cannot be flushed");
    if (fd >= 0)
        close(fd);
    return rc;
}

static int db_append_durable(void *store, const struct line *line)
{
    struct db *me = store;
    pthread_mutex_lock(&me->mutex);
    int rc = insert(me, &line->record);
    pthread_mutex_unlock(&me->mutex);
    return rc;
}

/* The rows of a statement with a body in column 0. */
static int64_t read_bodies(struct db *me, sqlite3_stmt *statement, uint64_t *bytes)
{
    int64_t count = 0;
    int rc;
    for (; (rc = sqlite3_step(statement)) == SQLITE_ROW; count++) {
        const void *body = sqlite3_column_blob(statement, 0);
        size_t len = (size_t)sqlite3_column_bytes(statement, 0);
        *bytes += bench_sum(body, len) ? len : 0;
    }
    sqlite3_reset(statement);
    return checked_by(me->reader, rc) == 0 ? count : -1;
}

static int64_t db_scan(void *store, uint64_t *bytes)
{
    struct db *me = store;
    sqlite3_stmt *all;
    if (checked_by(me->reader, sqlite3_prepare_v2(me->reader, "SELECT body FROM log ORDER BY id",
                                                  -1, &all, NULL)) != 0)
        return -1;
    int64_t count = read_bodies(me, all, bytes);
    sqlite3_finalize(all);
    return count;
}

/* The one number that `sql` answers. */
static int64_t ask(struct db *me, const char *sql, int64_t number, const char *text)
{
    sqlite3_stmt *statement;
    if (checked_by(me->reader, sqlite3_prepare_v2(me->reader, sql, -1, &statement, NULL)) != 0)
        return -1;
    if (text)
        sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_int64(statement, 1, number);
    int rc = sqlite3_step(statement);
    int64_t answer = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return checked_by(me->reader, rc) == 0 ? answer : -1;
}

static int64_t db_count_errors(void *store)
{
    return ask(store, "SELECT count(*) FROM log WHERE severity >= ?", SVL_SEVERITY_ERROR, NULL);
}

static int64_t db_count_key(void *store, svl_slice key)
{
    struct db *me = store;
    uint64_t bytes = 0;
    sqlite3_bind_blob(me->by_key, 1, key.data, (int)key.len, SQLITE_STATIC);
    return read_bodies(me, me->by_key, &bytes);
}

static int64_t db_newest_of_key(void *store, svl_slice key, unsigned n)
{
    struct db *me = store;
    sqlite3_stmt *it = me->newest;
    int64_t time_ns = 0;
    uint64_t sum = 0;
    int rc;
    sqlite3_bind_blob(it, 1, key.data, (int)key.len, SQLITE_STATIC);
    sqlite3_bind_int64(it, 2, n);
    while ((rc = sqlite3_step(it)) == SQLITE_ROW) {
        sum += bench_sum(sqlite3_column_blob(it, 0), (size_t)sqlite3_column_bytes(it, 0));
        time_ns = sqlite3_column_int64(it, 1);
    }
    sqlite3_reset(it);
    if (checked_by(me->reader, rc) != 0)
        return -1;
    return sum > 0 ? time_ns : 0;
}

static int64_t db_first_since(void *store, int64_t time_ns)
{
    struct db *me = store;
    int rc = sqlite3_bind_int64(me->since, 1, time_ns);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(me->since);
    int64_t found = rc == SQLITE_ROW ? sqlite3_column_int64(me->since, 0) : 0;
    sqlite3_reset(me->since);
    return checked_by(me->reader, rc) == 0 ? found : -1;
}

static int64_t db_count_word(void *store, const char *word)
{
    return ask(store, "SELECT count(*) FROM log WHERE instr(body, ?) > 0", 0, word);
}

/* OFF and NORMAL promise nothing at a commit; they answer questions as FULL does. */
static const struct store_ops off_ops = { .open = open_off,
                                          .append = db_append,
                                          .finish = db_finish,
                                          .close = db_close,
                                          .indexes = INDEX_KEY | INDEX_TIME,
                                          .disk_factor = 2 };
static const struct store_ops normal_ops = { .open = open_normal,
                                             .append = db_append,
                                             .finish = db_finish,
                                             .close = db_close,
                                             .indexes = INDEX_KEY | INDEX_TIME,
                                             .disk_factor = 2 };
static const struct store_ops full_ops = { .open = open_full,
                                           .append = db_append,
                                           .finish = db_finish,
                                           .append_durable = db_append_durable,
                                           .scan = db_scan,
                                           .count_errors = db_count_errors,
                                           .count_key = db_count_key,
                                           .newest_of_key = db_newest_of_key,
                                           .first_since = db_first_since,
                                           .count_word = db_count_word,
                                           .close = db_close,
                                           .indexes = INDEX_KEY | INDEX_TIME,
                                           .disk_factor = 2 };

const struct peer peer_sqlite_off = { .name = "sqlite-off",
                                      .title = "SQLite, WAL, OFF",
                                      .version = sqlite3_libversion,
                                      .store = &off_ops };
const struct peer peer_sqlite_normal = { .name = "sqlite-normal",
                                         .title = "SQLite, WAL, NORMAL",
                                         .version = sqlite3_libversion,
                                         .store = &normal_ops };
const struct peer peer_sqlite = { .name = "sqlite",
                                  .title = "SQLite, WAL, FULL",
                                  .version = sqlite3_libversion,
                                  .store = &full_ops };
