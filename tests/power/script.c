/* script.c - what the runs do. All are short: as many kinds of calls as there are, each a few times. */
#define _GNU_SOURCE
#include "script.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "record/wire.h"
#include "store/store.h"

#define GROUP_MAX 5
#define JOURNAL_BYTES (256 << 10)
#define SPLIT_EVERY 4
#define ECHO_EVERY 3
#define NS_PER_S INT64_C(1000000000)

static char ring_directory[512];
static _Atomic int64_t wall_shift_s;

/* The wall clock is set ahead: the next commit begins a new segment, without eight megabytes to fill the old. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME)
        t->tv_sec += atomic_load(&wall_shift_s);
    return rc;
}

static void set_clock_ahead(void)
{
    atomic_fetch_add(&wall_shift_s, 2 * 3600);
}

void script_set_up(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    snprintf(ring_directory, sizeof ring_directory, "%s", temp_path());
    if (mkdir(ring_directory, 0700) != 0) {
        perror(ring_directory);
        exit(1);
    }
}

void script_record(const struct script *script, enum blindness blindness, struct log *log,
                   char *path)
{
    char own_path[512];
    char *at = path ? path : own_path;
    *log = (struct log){ 0 };
    snprintf(log->script, sizeof log->script, "%s", script->name);
    snprintf(at, sizeof own_path, "%s", temp_path());
    recorder_start(at, log, blindness);
    script->run(script, at);
    recorder_stop();
    if (!path)
        remove_tree(at);
}

svl_store_options script_store_options(const struct script *script)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.journal_file_bytes_max = script->journal_bytes ? script->journal_bytes : JOURNAL_BYTES;
    o.segment_bytes = 8 << 20;
    o.commit_bytes = 64 << 10;
    o.tail_bytes = 1 << 20;
    o.block_bytes = 4096;
    o.record_bytes_max = 16384;
    o.readers_max = 8;
    o.sync_interval_ms = 5;
    o.retain_records_max = script->retain_records;
    if (script->large) {
        o.record_bytes_max = 64 << 10;
        o.commit_bytes = 1 << 20;
        o.tail_bytes = 4 << 20;
        o.block_bytes = 64 << 10;
    }
    return o;
}

/* The record is kept; every fourth is followed by a split of it. */
static int split(svl_ingest *ingest, svl_record *record, void *user)
{
    struct made_record *made = user;
    enum stream stream;
    uint64_t number, generation;
    if (!record_parse(record, &stream, &number, &generation) || number % SPLIT_EVERY != 0)
        return SVL_OK;
    record_make(made, STREAM_SPLIT, number, generation);
    return svl_ingest_emit(ingest, &made->record);
}

/* Every third is echoed, exactly once. */
static int echo(svl_batch *batch, void *user)
{
    struct made_record *made = user;
    const svl_record *records;
    size_t n;
    int rc = svl_batch_records(batch, &records, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++) {
        enum stream stream;
        uint64_t number, generation;
        if (!record_parse(&records[i], &stream, &number, &generation) || number % ECHO_EVERY != 0)
            continue;
        record_make(made, STREAM_ECHO, number, generation);
        rc = svl_batch_emit(batch, i, &made->record);
    }
    return rc;
}

int script_open_pipeline(const struct script *script, const char *path, svl_pipeline **out)
{
    static struct made_record for_split, for_echo;
    svl_store_options store = script_store_options(script);
    svl_options options;
    svl_stored_options stored;
    int rc = svl_options_init(&options, sizeof options);
    options.store = &store;
    options.ring_bytes = 128 << 10;
    options.ring_directory = ring_directory;
    if (rc == SVL_OK)
        rc = svl_stored_options_init(&stored, sizeof stored);
    stored.name = "echo";
    stored.filter.source = "input";
    stored.start_at = SVL_START_EARLIEST;
    stored.checkpoint_interval_ms = 5;
    stored.batch_records_max = 7;
    if (rc == SVL_OK)
        rc = svl_open(path, &options, out);
    if (rc != SVL_OK)
        return rc;
    rc = svl_on_ingest(*out, NULL, split, &for_split);
    if (rc == SVL_OK)
        rc = svl_on_stored(*out, &stored, echo, &for_echo, NULL);
    if (rc != SVL_OK)
        svl_close(*out);
    return rc;
}

/* A group with its value, as one batch of records and an operation. */
static int feed_group(svl_store *store, const struct made_record *made, unsigned n, uint64_t last,
                      uint64_t *ticket)
{
    static uint8_t wire[GROUP_MAX][16384];
    struct feed_item items[GROUP_MAX] = { { 0 } };
    for (unsigned i = 0; i < n; i++) {
        svl__wire_encode(&made[i].record, 1, wire[i]);
        items[i].wire = wire[i];
        items[i].len = svl__wire_size(&made[i].record);
    }
    struct store_op op = { slice_of("power/last"), { &last, sizeof last } };
    struct feed feed = { .items = items, .count = n, .ops = &op, .op_count = 1, .atomic = true };
    return svl__store_feed(store, &feed, ticket);
}

static int submit(const struct script *script, svl_store *store, uint64_t number, unsigned n,
                  uint64_t generation, uint64_t *ticket, uint64_t *first_id)
{
    static struct made_record made[GROUP_MAX];
    svl_record records[GROUP_MAX];
    for (unsigned i = 0; i < n; i++) {
        record_make(&made[i], script->large ? STREAM_LARGE : STREAM_INPUT, number + 1 + i,
                    generation);
        records[i] = made[i].record;
    }
    *ticket = *first_id = 0;
    return script->valued ? feed_group(store, made, n, number + n, ticket)
                          : svl_store_append(store, records, n, first_id);
}

int script_append(const struct script *script, svl_store *store, uint64_t number, unsigned n,
                  uint64_t generation)
{
    uint64_t ticket, first_id;
    int rc = submit(script, store, number, n, generation, &ticket, &first_id);
    return rc == SVL_OK && script->valued ? svl__store_wait(store, ticket, INT64_MAX) : rc;
}

uint64_t script_last_number(svl_store *store)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    enum stream stream;
    uint64_t number = 0, found, generation;
    assert_ok(svl_query_init(&query, sizeof query));
    query.flags = SVL_QUERY_BACKWARD;
    assert_ok(svl_store_query(store, &query, &cursor));
    while (number == 0 && svl_cursor_next(cursor, 0, &record) == SVL_OK)
        if (record_parse(record, &stream, &found, &generation) && stream != STREAM_ECHO)
            number = found;
    svl_cursor_close(cursor);
    return number;
}

/* Who writes, and how far it has come. */
struct writer {
    const struct script *script;
    svl_store *store;
    uint64_t number, generation;
};

static void open_writer(struct writer *w, const char *path)
{
    svl_store_options o = script_store_options(w->script);
    assert_ok(svl_store_open(path, &o, &w->store));
}

/* All is durable that was written. */
static void close_writer(struct writer *w)
{
    assert_ok(svl_store_close(w->store));
    recorder_mark(MARK_ACK, w->number, 0);
}

/* Where the values stand, several groups are written between two flushes. */
static void append(struct writer *w, unsigned n)
{
    uint64_t ticket, first_id;
    recorder_mark(MARK_GROUP, w->number + n, 0);
    assert_ok(submit(w->script, w->store, w->number, n, w->generation, &ticket, &first_id));
    w->number += n;
    if (!w->script->valued) {
        recorder_mark(MARK_ACK, w->number, first_id + n - 1);
    } else if (w->number % 3 == 0) {
        assert_ok(svl_store_flush(w->store, -1));
        recorder_mark(MARK_ACK, w->number, 0);
    }
}

static svl_store_stats stats_of(const struct writer *w)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(w->store, &stats));
    return stats;
}

static void append_groups(struct writer *w, unsigned groups)
{
    for (unsigned i = 0; i < groups; i++)
        append(w, 1 + (unsigned)((w->number * 7 + i) % GROUP_MAX));
}

static void run_appends(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    append_groups(&w, 80); /* into a second journal file */
    assert_ok(svl_store_commit(w.store, -1));
    append_groups(&w, 70); /* into a recycled one */
    assert_true(stats_of(&w).journal_bytes_written > 2 * JOURNAL_BYTES);
    close_writer(&w);
}

static void run_commits(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    for (int i = 0; i < 8; i++) {
        append_groups(&w, 6);
        if (i % 3 == 1)
            set_clock_ahead();
        assert_ok(svl_store_commit(w.store, -1));
        if (i == 3) {
            close_writer(&w);
            open_writer(&w, path);
        }
    }
    append_groups(&w, 6);
    assert_true(script->retain_records ? stats_of(&w).retired_records > 0
                                       : stats_of(&w).segments > 2);
    close_writer(&w);
}

static void run_creation(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    append_groups(&w, 2);
    close_writer(&w);
}

/* Each makes a journal file. */
static void run_opens(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    for (int i = 0; i < 5; i++) {
        open_writer(&w, path);
        append_groups(&w, 2);
        close_writer(&w);
    }
}

/* Until a commit finds the segment full. */
static void run_full(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 8; k++)
            append(&w, GROUP_MAX);
        assert_ok(svl_store_commit(w.store, -1));
    }
    assert_true(stats_of(&w).segments > 1);
    close_writer(&w);
}

/* After a power cut: what is visible is durable from now on, and what is not there never was. */
static void mark_found(struct writer *w)
{
    w->number = script_last_number(w->store);
    recorder_mark(MARK_GENERATION, w->number + 1, w->generation);
    recorder_mark(MARK_ACK, w->number, 0);
}

static void resume_store(const struct script *script, const char *path, uint64_t generation)
{
    struct writer w = { .script = script, .generation = generation };
    open_writer(&w, path);
    mark_found(&w);
    append_groups(&w, 4);
    assert_ok(svl_store_commit(w.store, -1));
    append_groups(&w, 4);
    close_writer(&w);
}

static void open_started(struct writer *w, const char *path, svl_pipeline **p)
{
    assert_ok(script_open_pipeline(w->script, path, p));
    assert_ok(svl_start(*p));
    w->store = svl_pipeline_store(*p);
}

/* Published, and now and then waited for. */
static void publish(struct writer *w, svl_pipeline *p, unsigned n)
{
    static struct made_record made;
    for (unsigned i = 0; i < n; i++) {
        uint64_t number = ++w->number, id;
        record_make(&made, STREAM_INPUT, number, w->generation);
        recorder_mark(MARK_GROUP, number, 0);
        if (number % 5 == 0) {
            assert_ok(svl_publish_sync(p, &made.record, -1, &id));
            recorder_mark(MARK_ACK, number, id);
            continue;
        }
        assert_ok(svl_publish(p, &made.record));
        if (number % 7 == 0) {
            assert_ok(svl_flush(p, -1));
            recorder_mark(MARK_ACK, number, 0);
        }
    }
}

static void close_pipeline(struct writer *w, svl_pipeline *p)
{
    assert_ok(svl_close(p));
    recorder_mark(MARK_ACK, w->number, 0);
}

static void run_pipeline(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    svl_pipeline *p;
    open_started(&w, path, &p);
    publish(&w, p, 40);
    assert_ok(svl_store_commit(w.store, -1));
    publish(&w, p, 20);
    close_pipeline(&w, p);
    open_started(&w, path, &p);
    publish(&w, p, 20);
    close_pipeline(&w, p);
}

static void resume_pipeline(const struct script *script, const char *path, uint64_t generation)
{
    struct writer w = { .script = script, .generation = generation };
    svl_pipeline *p;
    assert_ok(script_open_pipeline(script, path, &p));
    w.store = svl_pipeline_store(p);
    mark_found(&w);
    assert_ok(svl_start(p));
    publish(&w, p, 12);
    close_pipeline(&w, p);
}

const struct script scripts[] = {
    { .name = "creation", .states = 150, .run = run_creation, .resume = resume_store },
    { .name = "opens", .states = 250, .run = run_opens, .resume = resume_store },
    { .name = "appends", .states = 250, .run = run_appends, .resume = resume_store },
    { .name = "commits", .states = 300, .run = run_commits, .resume = resume_store },
    { .name = "retention",
      .states = 250,
      .run = run_commits,
      .resume = resume_store,
      .retain_records = 30 },
    { .name = "values", .states = 250, .run = run_commits, .resume = resume_store, .valued = true },
    { .name = "full segment",
      .states = 40,
      .run = run_full,
      .resume = resume_store,
      .large = true,
      .journal_bytes = 1 << 20 },
    { .name = "pipeline",
      .states = 300,
      .run = run_pipeline,
      .resume = resume_pipeline,
      .pipeline = true },
    { .name = NULL },
};

const struct script *script_named(const char *name)
{
    const struct script *s = scripts;
    while (s->name && strcmp(s->name, name) != 0)
        s++;
    return s->name ? s : NULL;
}
