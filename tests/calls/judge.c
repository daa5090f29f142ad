/* judge.c - what must be there, once nothing fails any more. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "script.h"

#define WAIT_MS 10000

struct seen {
    uint8_t in[NUMBERS_MAX], added[NUMBERS_MAX], echo[NUMBERS_MAX];
    long last, last_of_other; /* numbers of inputs; -1 */
    uint64_t last_id;
    unsigned records;
};

static bool is_source(const svl_record *record, const char *name)
{
    return record->source.len == strlen(name) &&
           memcmp(record->source.data, name, record->source.len) == 0;
}

static void see_input(struct run *run, struct seen *seen, unsigned number)
{
    long *last = number < FIRST_OF_OTHER ? &seen->last : &seen->last_of_other;
    if (seen->in[number]++ > 0)
        run_wrong(run, "input %u is there twice", number);
    else if (*last >= (long)number)
        run_wrong(run, "input %u stands behind %ld", number, *last);
    else if (run->fates[number] == FATE_NONE)
        run_wrong(run, "input %u was never published", number);
    *last = (long)number;
}

static void see(struct run *run, struct seen *seen, const svl_record *record)
{
    char key[16] = "";
    if (record->id <= seen->last_id)
        run_wrong(run, "record %llu stands behind %llu", (unsigned long long)record->id,
                  (unsigned long long)seen->last_id);
    seen->last_id = record->id;
    seen->records++;
    if (record->key.len == 0 || record->key.len >= sizeof key)
        return;
    memcpy(key, record->key.data, record->key.len);
    unsigned number = (unsigned)strtoul(key, NULL, 10);
    if (number >= NUMBERS_MAX)
        run_wrong(run, "an input with number %u", number);
    else if (is_source(record, "in"))
        see_input(run, seen, number);
    else if (is_source(record, "added") && seen->added[number]++ > 0)
        run_wrong(run, "input %u has two added records", number);
    else if (is_source(record, "echo") && seen->echo[number]++ > 0)
        run_wrong(run, "input %u has two echoes", number);
}

/* A call that fails now says what is left behind wrong. */
static bool went_well(struct run *run, int rc, const char *call)
{
    if (rc != SVL_OK)
        run_wrong(run, "afterwards %s gave %d: %s", call, rc, svl_last_error());
    return rc == SVL_OK;
}

static void walk(struct run *run, svl_store *store, struct seen *seen)
{
    svl_cursor *cursor;
    const svl_record *record;
    *seen = (struct seen){ .last = -1, .last_of_other = -1 };
    if (!went_well(run, svl_store_query(store, NULL, &cursor), "svl_store_query()"))
        return;
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK)
        see(run, seen, record);
    went_well(run, rc == SVL_E_END ? SVL_OK : rc, "svl_cursor_next()");
    svl_cursor_close(cursor);
}

/* What was taken is in the store, or, where the store has failed, in a ring that outlives it: from there it came. */
static void look_for_inputs(const struct script *script, struct run *run, const struct seen *seen)
{
    bool all = run->is_crash_safe || (run->rc == SVL_OK && run->closed == SVL_OK);
    for (unsigned i = 0; i < NUMBERS_MAX; i++) {
        bool must = run->fates[i] == FATE_ACKNOWLEDGED || (all && run->fates[i] == FATE_TAKEN);
        bool may_be_retired = !script->pipeline;
        if (must && !seen->in[i] && !may_be_retired)
            run_wrong(run, "input %u is missing; it was %s", i,
                      run->fates[i] == FATE_TAKEN ? "taken" : "acknowledged");
        if (script->pipeline && seen->in[i] && i % LETTER_EVERY != 0 && !seen->echo[i])
            run_wrong(run, "input %u has no echo", i);
    }
}

/* Retention goes by whole segments from the oldest on: what is left is everything from some number on. */
static void look_for_rest(struct run *run, const struct seen *seen)
{
    bool any = false;
    for (unsigned i = 0; i < NUMBERS_MAX; i++) {
        any |= seen->in[i] > 0;
        if (any && run->fates[i] == FATE_ACKNOWLEDGED && !seen->in[i])
            run_wrong(run, "input %u is missing; it was acknowledged", i);
    }
    bool is_retired = run->fates[0] == FATE_ACKNOWLEDGED && !seen->in[0];
    if (is_retired && seen->records < RETAIN_RECORDS)
        run_wrong(run, "only %u records are left", seen->records);
}

static unsigned rejected(const struct seen *seen)
{
    unsigned n = 0;
    for (unsigned i = 0; i < NUMBERS_MAX; i += LETTER_EVERY)
        n += seen->in[i];
    return n;
}

/* Every call fails the same way for who goes on: the store takes more, is whole, and closes. */
static void judge_store(const struct script *script, struct run *run)
{
    svl_store *store;
    struct seen seen;
    char key[16];
    if (!went_well(run, script_open_store(run, 0, &store), "svl_store_open()"))
        return;
    walk(run, store, &seen);
    look_for_inputs(script, run, &seen);
    look_for_rest(run, &seen);
    svl_record record = script_record(NUMBERS_MAX - 1, key);
    went_well(run, svl_store_append(store, &record, 1, NULL), "svl_store_append()");
    went_well(run, svl_store_commit(store, -1), "svl_store_commit()");
    went_well(run, svl_store_verify(store, NULL, NULL, NULL), "svl_store_verify()");
    went_well(run, svl_store_close(store), "svl_store_close()");
}

static unsigned count_rings(void)
{
    unsigned n = 0;
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        n += entry->d_name[0] != '.';
    closedir(listing);
    return n;
}

/* A host removes what others have left, in its time: its own ring stays. */
static void wait_for_rings(struct run *run)
{
    for (int i = 0; i < WAIT_MS && count_rings() > 1; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    if (count_rings() > 1)
        run_wrong(run, "%u rings of others stay", count_rings() - 1);
}

static void judge_pipeline(const struct script *script, struct run *run)
{
    svl_pipeline *p;
    struct seen seen;
    char key[16];
    uint64_t letters, id;
    run->patience_ms = WAIT_MS;
    if (!went_well(run, script_open_pipeline(run, 0, &p), "svl_open()"))
        return;
    unsigned number = run->numbers++;
    svl_record record = script_record(number, key);
    run->fates[number] = FATE_ACKNOWLEDGED;
    if (went_well(run, svl_start(p), "svl_start()") &&
        went_well(run, svl_publish_sync(p, &record, -1, &id), "svl_publish_sync()")) {
        wait_for_rings(run);
        went_well(run, svl_stop(p, WAIT_MS), "svl_stop()");
        walk(run, svl_pipeline_store(p), &seen);
        look_for_inputs(script, run, &seen);
        if (went_well(run, svl_deadletter_count(p, "echo", &letters), "svl_deadletter_count()") &&
            letters != rejected(&seen))
            run_wrong(run, "%llu dead letters of %u", (unsigned long long)letters, rejected(&seen));
        went_well(run, svl_store_verify(svl_pipeline_store(p), NULL, NULL, NULL),
                  "svl_store_verify()");
    }
    went_well(run, svl_close(p), "svl_close()");
}

void judge(const struct script *script, struct run *run)
{
    if (script->pipeline)
        judge_pipeline(script, run);
    else
        judge_store(script, run);
    if (count_rings() > 0)
        run_wrong(run, "%u rings are left behind", count_rings());
}
