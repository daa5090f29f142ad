/* ask.c - questions at random, and what their answers must be. */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/model.h"

#define ANSWER_MAX IDS_MAX
#define WINDOW 3000 /* ids that most questions are about */

static svl_store_stats stats_of(const struct asker *a)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    must(svl_store_stats_get(a->store, &stats), a->who, "svl_store_stats_get");
    return stats;
}

struct horizon durable_for(const struct asker *a)
{
    struct horizon told = horizon_now();
    uint64_t seen = stats_of(a).last_id;
    told.id = told.id > seen ? told.id : seen;
    return told;
}

uint64_t first_kept(const struct asker *a)
{
    return stats_of(a).first_id;
}

/* Retired by now; before that first_id was the lower. */
static bool is_retired(const struct asker *a, uint64_t id)
{
    return id < first_kept(a);
}

bool check_record(const struct asker *a, const svl_record *record)
{
    if (record->id == 0 || record->id >= IDS_MAX)
        wrong(a->who, "id %llu", (unsigned long long)record->id);
    if (!await_known(record->id))
        return false;
    const struct entry *entry = entry_of(record->id);
    unsigned class_ = label_class(entry->label);
    const char *difference = NULL;
    if (record->time_ns != entry->time_ns)
        difference = "time (of the one seen first)";
    else if (class_ == CLASS_PUBLISHED || class_ == CLASS_EMITTED) {
        svl_record expected = record_stored(entry->label);
        difference = record_difference(record, &expected);
    } else if (record->severity != entry->severity)
        difference = "severity (of the one seen first)";
    if (difference)
        wrong(a->who, "record %llu, label %#llx: not its %s", (unsigned long long)record->id,
              (unsigned long long)entry->label, difference);
    return true;
}

/* --- what matches --- */

static bool matches(const svl_query *q, int pattern, uint64_t id)
{
    svl_record r = record_in_entry(id);
    return model_matches(q, id, &r) && (pattern < 0 || pattern_matches((unsigned)pattern, &r));
}

bool gaps_hold(const struct gaps *gaps, uint64_t id)
{
    for (unsigned i = 0; i < gaps->count; i++)
        if (id >= gaps->first[i] && id <= gaps->last[i])
            return true;
    return false;
}

void gaps_take(const struct asker *a, svl_cursor *cursor, struct gaps *gaps)
{
    uint64_t first, last;
    must(svl_cursor_gap(cursor, &first, &last), a->who, "svl_cursor_gap");
    if (first == 0 && last == 0)
        return;
    if (first > last || !is_retired(a, last) || gaps->count == GAPS_MAX)
        wrong(a->who, "a gap from %llu to %llu; the first kept is %llu", (unsigned long long)first,
              (unsigned long long)last, (unsigned long long)first_kept(a));
    gaps->first[gaps->count] = first;
    gaps->last[gaps->count++] = last;
}

/* --- queries --- */

static svl_query random_query(struct asker *a, int *pattern)
{
    uint64_t first = first_kept(a), known = atomic_load(&ledger->known);
    struct model_record record = { .id = first ? first : 1 };
    struct model span = { .records = &record,
                          .count = known > record.id ? (size_t)(known - record.id) : 0 };
    svl_query q = model_random_query(&a->rng, &span);
    if (rng_below(&a->rng, 8) == 0)
        q.source = slice_of("serverlog.deadletter");
    if (rng_below(&a->rng, 16) != 0) { /* else it is about all there is */
        q.id_min = record.id + rng_below(&a->rng, span.count + 2);
        q.id_max = q.id_min + rng_below(&a->rng, WINDOW);
        if (rng_below(&a->rng, 2) == 0) { /* the newest ones */
            q.id_min = known > WINDOW ? known - rng_below(&a->rng, WINDOW) : 0;
            q.id_max = 0;
        }
    }
    *pattern = rng_below(&a->rng, 3) == 0 ? (int)rng_below(&a->rng, PATTERNS) : -1;
    q.pattern = *pattern < 0 ? NULL : pattern_text((unsigned)*pattern);
    return q;
}

struct answer {
    uint64_t *ids;
    size_t count;
    struct gaps gaps;
};

static void take_answer(struct asker *a, const svl_query *q, struct answer *answer)
{
    svl_cursor *cursor;
    const svl_record *records;
    size_t n;
    int rc;
    must(svl_store_query(a->store, q, &cursor), a->who, "svl_store_query");
    while ((rc = svl_cursor_next_many(cursor, 0, 1 + rng_below(&a->rng, 300), &records, &n)) ==
           SVL_OK) {
        if (!(q->flags & SVL_QUERY_BACKWARD))
            gaps_take(a, cursor, &answer->gaps);
        for (size_t i = 0; i < n; i++) {
            if (answer->count == ANSWER_MAX)
                wrong(a->who, "an answer of more than %u records", ANSWER_MAX);
            answer->ids[answer->count++] = records[i].id;
            if (!check_record(a, &records[i]))
                break;
        }
        if (has_failed())
            break;
    }
    if (rc != SVL_E_END && rc != SVL_OK)
        must(rc, a->who, "svl_cursor_next_many");
    if (!(q->flags & SVL_QUERY_BACKWARD))
        gaps_take(a, cursor, &answer->gaps);
    svl_cursor_close(cursor);
}

/* Of a query, for messages. */
static void misses(const struct asker *a, const svl_query *q, const struct answer *answer,
                   uint64_t id, const char *what)
{
    wrong(a->who,
          "a query of ids %llu to %llu, flags %u, limit %llu, severity %u, key kind %u, pattern %s "
          "%s record %llu (label %#llx); %zu came",
          (unsigned long long)q->id_min, (unsigned long long)q->id_max, q->flags,
          (unsigned long long)q->limit, q->severity_min, q->key_kind, q->pattern ? q->pattern : "-",
          what, (unsigned long long)id, (unsigned long long)entry_of(id)->label, answer->count);
}

/* The next id in the query's order; 0: there is none. */
static uint64_t next_id(uint64_t id, bool backward, uint64_t low, uint64_t high)
{
    if (backward)
        return id > low ? id - 1 : 0;
    return id < high ? id + 1 : 0;
}

/* `before`: the snapshot holds all up to it; `after`: and nothing behind it. */
static void check_answer(struct asker *a, const svl_query *q, int pattern,
                         const struct answer *answer, uint64_t before, uint64_t after)
{
    bool backward = q->flags & SVL_QUERY_BACKWARD;
    uint64_t low = q->id_min ? q->id_min : 1;
    uint64_t high = q->id_max && q->id_max < after ? q->id_max : after;
    uint64_t kept = first_kept(a);
    size_t at = 0;
    for (uint64_t id = low > high ? 0
                       : backward ? high
                                  : low;
         id != 0; id = next_id(id, backward, low, high)) {
        bool came = at < answer->count && answer->ids[at] == id;
        if (!matches(q, pattern, id)) {
            if (came)
                misses(a, q, answer, id, "does not ask for");
            continue;
        }
        if (q->limit != 0 && at == q->limit)
            break;
        if (came) {
            at++;
            continue;
        }
        bool is_behind = id > before && (backward ? at == 0 : at == answer->count);
        bool is_gone =
            id < kept && (backward ? at == answer->count : at == 0 || gaps_hold(&answer->gaps, id));
        if (!is_behind && !is_gone)
            misses(a, q, answer, id, "misses");
    }
    if (at < answer->count)
        misses(a, q, answer, answer->ids[at], "has besides, or twice, or out of order,");
}

static void ask(struct asker *a, const svl_query *q, int pattern)
{
    struct answer answer = { .ids = malloc(ANSWER_MAX * sizeof *answer.ids) };
    if (!answer.ids)
        wrong(a->who, "no memory");
    struct horizon before = durable_for(a);
    take_answer(a, q, &answer);
    uint64_t after = durable_for(a).id;
    if (await_known(after) && !has_failed())
        check_answer(a, q, pattern, &answer, horizon_id(&before), after);
    atomic_fetch_add(&ledger->checks, 1);
    free(answer.ids);
}

void ask_query(struct asker *a)
{
    int pattern;
    svl_query q = random_query(a, &pattern);
    ask(a, &q, pattern);
}

void ask_all(struct asker *a)
{
    svl_query q;
    must(svl_query_init(&q, sizeof q), a->who, "svl_query_init");
    ask(a, &q, -1);
}

void ask_get(struct asker *a)
{
    uint64_t known = atomic_load(&ledger->known);
    svl_record_buffer *buffer;
    if (known == 0)
        return;
    uint64_t id = 1 + rng_below(&a->rng, known);
    int rc = svl_store_get(a->store, id, &buffer);
    if (rc == SVL_E_NOT_FOUND && is_retired(a, id))
        return;
    must(rc, a->who, "svl_store_get");
    if (svl_record_buffer_record(buffer)->id != id)
        wrong(a->who, "svl_store_get of %llu gave another record", (unsigned long long)id);
    check_record(a, svl_record_buffer_record(buffer));
    svl_record_buffer_destroy(buffer);
    if (svl_store_get(a->store, IDS_MAX + id, &buffer) != SVL_E_NOT_FOUND)
        wrong(a->who, "a record that was never stored");
}

static void tell_damage(int32_t code, const char *what, void *user)
{
    (void)user;
    fprintf(stderr, "damage: %d, %s\n", code, what);
}

void ask_verify(struct asker *a)
{
    must(svl_store_verify(a->store, tell_damage, NULL, NULL), a->who, "svl_store_verify");
}
