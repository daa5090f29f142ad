/* script.c - the list of runs, and what stands around each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runs.h"

static char ring_directory[512];

void script_set_up(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    snprintf(ring_directory, sizeof ring_directory, "%s", temp_path());
    if (mkdir(ring_directory, 0700) != 0) {
        perror(ring_directory);
        exit(1);
    }
}

const char *script_ring_directory(void)
{
    return ring_directory;
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
    o.sync_interval_ms = script->flush_every > 3 ? 1000 : 5;
    o.retain_records_max = script->retain_records;
    if (script->ahead)
        o.block_bytes = 16 << 10; /* smaller than the records also without a codec */
    if (script->large) {
        o.record_bytes_max = 64 << 10;
        o.commit_bytes = 1 << 20;
        o.tail_bytes = 4 << 20;
        o.block_bytes = 64 << 10;
    }
    return o;
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

void writer_mark_found(struct writer *w)
{
    w->number = script_last_number(w->store);
    recorder_mark(MARK_GENERATION, w->number + 1, w->generation);
    recorder_mark(MARK_ACK, w->number, 0);
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
    { .name = "values",
      .states = 200,
      .run = run_commits,
      .resume = resume_store,
      .valued = true,
      .flush_every = 3 },
    { .name = "feeds",
      .states = 120,
      .run = run_feeds,
      .resume = resume_store,
      .valued = true,
      .flush_every = 40 },
    { .name = "ahead",
      .states = 200,
      .run = run_ahead,
      .resume = resume_store,
      .valued = true,
      .flush_every = 40,
      .ahead = true },
    { .name = "full-segment",
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
    { .name = "attached",
      .states = 150,
      .run = run_attached,
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
