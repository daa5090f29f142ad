/* runs_store.c - a store alone: all are short, with as many kinds of calls as there are, each a few times. */
#include <stdio.h>

#include "calls/calls.h"
#include "record/wire.h"
#include "runs.h"
#include "store/journal_format.h"
#include "store/store.h"

#define GROUP_MAX 5
#define CLOCK_STEP_S 7200

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

static enum stream stream_of(const struct script *script)
{
    return script->large ? STREAM_LARGE : script->ahead ? STREAM_PLAIN : STREAM_INPUT;
}

static int submit(const struct script *script, svl_store *store, uint64_t number, unsigned n,
                  uint64_t generation, uint64_t *ticket, uint64_t *first_id)
{
    static struct made_record made[GROUP_MAX];
    svl_record records[GROUP_MAX];
    for (unsigned i = 0; i < n; i++) {
        record_make(&made[i], stream_of(script), number + 1 + i, generation);
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

static void open_writer(struct writer *w, const char *path)
{
    svl_store_options o = script_store_options(w->script);
    if (w->script->ahead)
        o.flags |= SVL_THREADLESS;
    assert_ok(svl_store_open(path, &o, &w->store));
}

/* All is durable that was written. */
static void close_writer(struct writer *w)
{
    assert_ok(svl_store_close(w->store));
    recorder_mark(MARK_ACK, w->number, 0);
}

/* Where values stand, several groups are written between two flushes. */
static void append(struct writer *w, unsigned n)
{
    uint64_t ticket, first_id;
    recorder_mark(MARK_GROUP, w->number + n, 0);
    assert_ok(submit(w->script, w->store, w->number, n, w->generation, &ticket, &first_id));
    w->number += n;
    while (w->script->ahead && svl__store_work(w->store))
        ;
    if (!w->script->valued) {
        recorder_mark(MARK_ACK, w->number, first_id + n - 1);
    } else if (w->number % w->script->flush_every == 0) {
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

void run_appends(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    append_groups(&w, 80); /* into a second journal file */
    assert_ok(svl_store_commit(w.store, -1));
    append_groups(&w, 70); /* into a recycled one */
    assert_true(stats_of(&w).journal_bytes_written > 2 * JOURNAL_BYTES);
    close_writer(&w);
}

/* Into a second journal file before the first is flushed. */
void run_feeds(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    append_groups(&w, 220);
    assert_true(stats_of(&w).journal_bytes_written > JOURNAL_BYTES);
    close_writer(&w);
}

/* Sections of this kind in the batches of a journal file. */
static unsigned count_sections(const char *path, unsigned file, uint32_t kind)
{
    static uint8_t bytes[JOURNAL_BYTES];
    struct journal_file_header header;
    struct journal_batch_header batch;
    unsigned n = 0;
    char name[600];
    snprintf(name, sizeof name, "%s/journal.%u", path, file);
    FILE *f = fopen(name, "re");
    size_t len = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    if (len < JOURNAL_PAGE || svl__journal_file_header_decode(bytes, &header) != SVL_OK)
        return 0;
    for (size_t at = JOURNAL_PAGE; at + JOURNAL_PAGE <= len; at += JOURNAL_PAGE) {
        if (!svl__journal_batch_decode(bytes + at, JOURNAL_PAGE, header.salt, &batch))
            continue;
        const uint8_t *section = bytes + at + JOURNAL_BATCH_HEADER_BYTES + 24 * batch.ring_count;
        for (uint32_t i = 0; i < batch.section_count; i++, section += 16)
            n += load_u32(section) == kind;
    }
    return n;
}

/* Blocks that are encoded before their batch is written, beside what is not. */
void run_ahead(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    unsigned blocks = 0, wires = 0;
    open_writer(&w, path);
    append_groups(&w, 120);
    for (unsigned file = 0; file < 4; file++) {
        blocks += count_sections(path, file, JOURNAL_BLOCK);
        wires += count_sections(path, file, JOURNAL_WIRE);
    }
    assert_true(blocks > 0 && wires > 0);
    assert_ok(svl_store_commit(w.store, -1));
    append_groups(&w, 40);
    close_writer(&w);
}

void run_commits(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    for (int i = 0; i < 8; i++) {
        append_groups(&w, 6);
        if (i % 3 == 1)
            calls_set_clock_ahead(CLOCK_STEP_S);
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

void run_creation(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    open_writer(&w, path);
    append_groups(&w, 2);
    close_writer(&w);
}

/* Each makes a journal file. */
void run_opens(const struct script *script, const char *path)
{
    struct writer w = { .script = script };
    for (int i = 0; i < 5; i++) {
        open_writer(&w, path);
        append_groups(&w, 2);
        close_writer(&w);
    }
}

/* Until a commit finds the segment full. */
void run_full(const struct script *script, const char *path)
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

void resume_store(const struct script *script, const char *path, uint64_t generation)
{
    struct writer w = { .script = script, .generation = generation };
    open_writer(&w, path);
    writer_mark_found(&w);
    append_groups(&w, 4);
    assert_ok(svl_store_commit(w.store, -1));
    append_groups(&w, 4);
    close_writer(&w);
}
