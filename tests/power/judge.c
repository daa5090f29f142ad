/* judge.c - the steps: read along (now and then), open, look, verify, write, close; open again, look, close. */
#include "judge.h"

#include <stdio.h>
#include <string.h>

#include "store/store.h"

#define WAIT_MS 30000
/* Of what is written to a state. */
#define GENERATION 99

struct trial {
    const struct script *script;
    struct expectation expectation;
    char *why;
};

/* What a walk over all records has seen. */
struct walk {
    const struct trial *trial;
    uint64_t records, last_id;
    uint64_t input, split, echo; /* last numbers, 0 = none yet */
    uint64_t letters;
};

static bool wrong(const struct trial *t, const char *what, uint64_t a, uint64_t b)
{
    snprintf(t->why, VERDICT_BYTES, "%s (%llu, %llu)", what, (unsigned long long)a,
             (unsigned long long)b);
    return false;
}

static bool call_failed(const struct trial *t, const char *call, int rc)
{
    snprintf(t->why, VERDICT_BYTES, "%s gave %d: %.400s", call, rc, svl_last_error());
    return false;
}

static bool take_input(struct walk *w, uint64_t number, uint64_t id)
{
    const struct expectation *e = &w->trial->expectation;
    bool first = w->input == 0;
    if ((first && w->records == 0 && id == 1 && number != 1) || (!first && number != w->input + 1))
        return wrong(w->trial, "inputs are missing or doubled: before, now", w->input, number);
    if (number > e->submitted)
        return wrong(w->trial, "an input that was never submitted", number, e->submitted);
    if (number == e->acked && e->acked_id != 0 && id != e->acked_id)
        return wrong(w->trial, "an acknowledged record has another id: was, is", e->acked_id, id);
    w->input = number;
    return true;
}

/* A split stands behind its input, always. */
static bool take_split(struct walk *w, uint64_t number)
{
    if (number != w->input || number == w->split)
        return wrong(w->trial, "a split without its input", number, w->input);
    w->split = number;
    return true;
}

static bool split_is_due(const struct walk *w)
{
    return w->trial->script->pipeline && w->input % SPLIT_EVERY == 0 && w->split != w->input;
}

static bool is_echoed(uint64_t number)
{
    return number % ECHO_EVERY == 0 && number % LETTER_EVERY != 0;
}

static bool take_echo(struct walk *w, uint64_t number)
{
    uint64_t next = w->echo + ECHO_EVERY;
    while (!is_echoed(next))
        next += ECHO_EVERY;
    if (number > w->input || number != next)
        return wrong(w->trial, "echoes are missing or doubled: before, now", w->echo, number);
    w->echo = number;
    return true;
}

static bool take_record(struct walk *w, const svl_record *record)
{
    static struct made_record expected;
    static const char own[] = "serverlog.", letter[] = "serverlog.deadletter";
    enum stream stream;
    uint64_t number, generation;
    bool ok = true;
    if (w->last_id != 0 && record->id != w->last_id + 1)
        return wrong(w->trial, "a hole in the ids: before, now", w->last_id, record->id);
    bool is_own = record->source.len >= sizeof own - 1 &&
                  memcmp(record->source.data, own, sizeof own - 1) == 0;
    if (is_own) {
        w->letters += record->source.len == sizeof letter - 1 &&
                      memcmp(record->source.data, letter, sizeof letter - 1) == 0;
    } else {
        if (!record_parse(record, &stream, &number, &generation))
            return wrong(w->trial, "a record that nobody wrote: id", record->id, 0);
        record_make(&expected, stream, number,
                    expectation_generation(&w->trial->expectation, number));
        if (!record_equals(record, &expected.record))
            return wrong(w->trial, "another record's contents: id, number", record->id, number);
        if (split_is_due(w) && stream != STREAM_SPLIT)
            return wrong(w->trial, "a split is missing", w->input, number);
        if (stream < STREAM_SPLIT)
            ok = take_input(w, number, record->id);
        else
            ok = stream == STREAM_SPLIT ? take_split(w, number) : take_echo(w, number);
    }
    w->last_id = record->id;
    w->records++;
    return ok;
}

static bool walk_all(struct trial *t, svl_store *store, struct walk *w)
{
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    *w = (struct walk){ .trial = t };
    int rc = svl_store_query(store, NULL, &cursor);
    if (rc != SVL_OK)
        return call_failed(t, "query", rc);
    bool ok = true;
    while (ok && (rc = svl_cursor_next_many(cursor, 0, 100, &records, &n)) == SVL_OK)
        for (size_t i = 0; ok && i < n; i++)
            ok = take_record(w, &records[i]);
    if (ok && rc != SVL_E_END)
        ok = call_failed(t, "reading", rc);
    if (ok && split_is_due(w))
        ok = wrong(t, "a split is missing", w->input, 0);
    svl_cursor_close(cursor);
    return ok;
}

static bool check_value(struct trial *t, svl_store *store, uint64_t expected)
{
    struct buffer value = { 0 };
    uint64_t last = 0;
    int rc = svl__store_value(store, slice_of("power/last"), &value);
    bool whole = rc == SVL_OK && value.len == sizeof last;
    if (whole)
        memcpy(&last, value.data, sizeof last);
    svl__buffer_free(&value);
    if (rc != SVL_E_NOT_FOUND && !whole)
        return call_failed(t, "the value", rc);
    return last == expected ||
           wrong(t, "a value apart from its records: is, expected", last, expected);
}

/* All that was acknowledged is there, no group in part. */
static bool check_all(struct trial *t, svl_store *store, struct walk *w)
{
    const struct expectation *e = &t->expectation;
    uint64_t kept = t->script->retain_records;
    if (!walk_all(t, store, w))
        return false;
    if (w->input < e->acked)
        return wrong(t, "acknowledged inputs are lost: last, acknowledged", w->input, e->acked);
    if (!expectation_may_end(e, w->input))
        return wrong(t, "a part of a group: last, submitted", w->input, e->submitted);
    if (w->last_id != w->records && (kept == 0 || w->records < kept))
        return wrong(t, "the oldest records are gone: records, last id", w->records, w->last_id);
    return !t->script->valued || check_value(t, store, w->input);
}

static void note_damage(int32_t code, const char *what, void *user)
{
    const struct trial *t = user;
    snprintf(t->why, VERDICT_BYTES, "verify found %d: %.400s", (int)code, what);
}

static bool verify(struct trial *t, svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    int rc = svl_store_verify(store, note_damage, NULL, t);
    if (rc == SVL_E_CORRUPT)
        return false;
    if (rc == SVL_OK)
        rc = svl_store_stats_get(store, &stats);
    if (rc != SVL_OK)
        return call_failed(t, "verify", rc);
    return stats.damaged == 0 || wrong(t, "damage was found: places", stats.damaged, 0);
}

/* What is written now is all that may be behind the last input. */
static void expect_more(struct trial *t, uint64_t last, uint64_t n)
{
    struct expectation *e = &t->expectation;
    expectation_apply(e, &(struct op){ .kind = MARK_GENERATION, .a = last + 1, .b = GENERATION });
    expectation_apply(e, &(struct op){ .kind = MARK_GROUP, .a = last + n });
    expectation_apply(e, &(struct op){ .kind = MARK_ACK, .a = last + n });
}

/* A reader may not see the newest of what is durable: that is proven by what is written behind it. */
static bool read_along(struct trial *t, const char *path)
{
    struct walk w;
    svl_store *store;
    svl_store_options o = script_store_options(t->script);
    o.flags = SVL_STORE_READ_ONLY;
    int rc = svl_store_open(path, &o, &store);
    if (rc == SVL_E_NOT_FOUND && t->expectation.acked == 0)
        return true;
    if (rc != SVL_OK)
        return call_failed(t, "opening to read", rc);
    bool ok = walk_all(t, store, &w);
    svl_store_close(store);
    return ok;
}

static bool open_plain(struct trial *t, const char *path, svl_store **store)
{
    svl_store_options o = script_store_options(t->script);
    int rc = svl_store_open(path, &o, store);
    return rc == SVL_OK || call_failed(t, "opening", rc);
}

static bool close_plain(struct trial *t, svl_store *store, bool ok)
{
    int rc = svl_store_close(store);
    return ok && rc != SVL_OK ? call_failed(t, "closing", rc) : ok;
}

static bool write_more(struct trial *t, svl_store *store, uint64_t last)
{
    int rc = script_append(t->script, store, last, 2, GENERATION);
    if (rc != SVL_OK)
        return call_failed(t, "appending", rc);
    expect_more(t, last, 2);
    return true;
}

static bool use_store(struct trial *t, const char *path)
{
    struct walk w;
    svl_store *store;
    if (!open_plain(t, path, &store))
        return false;
    bool ok = check_all(t, store, &w) && verify(t, store) && write_more(t, store, w.input) &&
              check_all(t, store, &w);
    return close_plain(t, store, ok);
}

/* Publishes what its handlers split and echo, and lets them come to the end. */
static bool publish_more(struct trial *t, svl_pipeline *p, uint64_t last)
{
    static struct made_record made;
    int rc = svl_start(p);
    if (rc != SVL_OK)
        return call_failed(t, "starting", rc);
    for (uint64_t number = last + 1; rc == SVL_OK && number <= last + 2; number++) {
        record_make(&made, STREAM_INPUT, number, GENERATION);
        rc = svl_publish_sync(p, &made.record, WAIT_MS, NULL);
    }
    if (rc == SVL_OK)
        rc = svl_stop(p, WAIT_MS);
    if (rc != SVL_OK)
        return call_failed(t, "publishing", rc);
    expect_more(t, last, 2);
    return true;
}

/* Once the handlers are at the end, each input that is due for it has its echo, or its dead letter. */
static bool check_effects(const struct trial *t, const struct walk *w)
{
    uint64_t last = w->input;
    while (last > 0 && !is_echoed(last))
        last--;
    if (w->echo != last)
        return wrong(t, "echoes are missing: last, expected", w->echo, last);
    return w->letters == w->input / LETTER_EVERY ||
           wrong(t, "dead letters are missing or doubled: found, last input", w->letters, w->input);
}

static bool use_pipeline(struct trial *t, const char *path)
{
    struct walk w;
    svl_pipeline *p;
    int rc = script_open_pipeline(t->script, path, &p);
    if (rc != SVL_OK)
        return call_failed(t, "opening", rc);
    svl_store *store = svl_pipeline_store(p);
    bool ok = check_all(t, store, &w) && verify(t, store) && publish_more(t, p, w.input) &&
              check_all(t, store, &w) && check_effects(t, &w);
    rc = svl_close(p);
    return ok && rc != SVL_OK ? call_failed(t, "closing", rc) : ok;
}

static bool use_again(struct trial *t, const char *path)
{
    struct walk w;
    svl_store *store;
    if (!open_plain(t, path, &store))
        return false;
    bool ok = check_all(t, store, &w) && (!t->script->pipeline || check_effects(t, &w)) &&
              verify(t, store);
    return close_plain(t, store, ok);
}

bool judge(const struct script *script, const struct expectation *expectation, const char *path,
           struct rng *rng, char why[VERDICT_BYTES])
{
    static struct trial t;
    t.script = script;
    t.expectation = *expectation;
    t.why = why;
    bool ok = rng_below(rng, 3) != 0 || read_along(&t, path);
    if (ok)
        ok = script->pipeline ? use_pipeline(&t, path) : use_store(&t, path);
    return ok && use_again(&t, path);
}
