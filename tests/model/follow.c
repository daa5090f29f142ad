/* follow.c - cursors that follow: everything that matches, once, in order, from where they began. */
#include <stdlib.h>

#include "ask.h"
#include "support/model.h"

static void keep(const struct asker *a, struct following *f, uint64_t id)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 1024;
        f->ids = realloc(f->ids, f->capacity * sizeof *f->ids);
        if (!f->ids)
            wrong(a->who, "no memory");
    }
    f->ids[f->count++] = id;
}

/* The newest record that matches, backwards; what is behind it is followed. */
static void begin_behind_newest(struct asker *a, struct following *f)
{
    svl_query back = f->query;
    svl_cursor *cursor;
    const svl_record *record;
    back.flags = SVL_QUERY_BACKWARD;
    must(svl_store_query(a->store, &back, &cursor), a->who, "svl_store_query");
    if (svl_cursor_next(cursor, 0, &record) == SVL_OK) {
        keep(a, f, record->id);
        f->query.id_min = record->id + 1;
    }
    svl_cursor_close(cursor);
}

void follow_begin(struct asker *a, struct following *f)
{
    *f = (struct following){ .pattern = -1 };
    must(svl_query_init(&f->query, sizeof f->query), a->who, "svl_query_init");
    if (rng_below(&a->rng, 2) == 0) {
        f->pattern = (int)rng_below(&a->rng, PATTERNS);
        f->query.pattern = pattern_text((unsigned)f->pattern);
    } else if (rng_below(&a->rng, 2) == 0) {
        f->query.severity_min = (uint32_t)rng_below(&a->rng, 25);
    }
    uint64_t known = atomic_load(&ledger->known);
    f->before = durable_for(a);
    switch (rng_below(&a->rng, 4)) {
    case 0:
        f->query.id_min = known - rng_below(&a->rng, known < 2000 ? known + 1 : 2000);
        f->query.flags = SVL_QUERY_FOLLOW;
        break;
    case 1:
        f->query.tail = 1 + rng_below(&a->rng, 50);
        f->query.flags = SVL_QUERY_FOLLOW | SVL_QUERY_TAIL;
        break;
    case 2:
        begin_behind_newest(a, f);
        f->query.flags = SVL_QUERY_FOLLOW;
        break;
    default:
        f->query.flags = SVL_QUERY_FOLLOW | SVL_QUERY_TAIL;
    }
    must(svl_store_query(a->store, &f->query, &f->cursor), a->who, "svl_store_query");
    f->after = durable_for(a).id;
}

int follow_take(struct asker *a, struct following *f, int64_t timeout_ms, size_t max)
{
    const svl_record *record;
    int rc = SVL_OK;
    for (size_t i = 0; i < max && rc == SVL_OK; i++) {
        rc = svl_cursor_next(f->cursor, timeout_ms, &record);
        if (rc == SVL_OK) {
            gaps_take(a, f->cursor, &f->gaps);
            keep(a, f, record->id);
            if (!check_record(a, record))
                return SVL_E_CLOSED;
        }
    }
    if (rc != SVL_OK && rc != SVL_E_TIMEOUT && rc != SVL_E_AGAIN && rc != SVL_E_CLOSED)
        must(rc, a->who, "svl_cursor_next");
    return rc;
}

static bool matches(const struct following *f, uint64_t id)
{
    svl_record r = record_in_entry(id);
    svl_query q = f->query;
    q.flags = 0;
    q.id_min = 0;
    return model_matches(&q, id, &r) &&
           (f->pattern < 0 || pattern_matches((unsigned)f->pattern, &r));
}

static uint64_t count_matches(const struct following *f, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (uint64_t id = from; id <= to; id++)
        n += matches(f, id);
    return n;
}

/* Where it may have begun: everything that matches from there on has to be there. */
static uint64_t beginning(struct asker *a, const struct following *f)
{
    bool is_tail = f->query.flags & SVL_QUERY_TAIL;
    uint64_t first = f->count > 0 ? f->ids[0] : 0;
    if (!is_tail)
        return first != 0 && first < f->query.id_min ? first
               : f->query.id_min                     ? f->query.id_min
                                                     : 1;
    /* Of `tail` records some had come by the latest beginning, and all of them behind the earliest end. */
    if (first == 0 || first > f->after)
        return f->after + 1;
    uint64_t least = count_matches(f, first, horizon_id(&f->before));
    uint64_t most = count_matches(f, first, f->after);
    bool is_first = first_kept(a) >= first || count_matches(f, first_kept(a), first - 1) == 0;
    if (least > f->query.tail || (most < f->query.tail && !is_first))
        wrong(a->who, "the last %llu began with record %llu, of %llu to %llu that matched",
              (unsigned long long)f->query.tail, (unsigned long long)first,
              (unsigned long long)least, (unsigned long long)most);
    return first;
}

static void check(struct asker *a, const struct following *f, uint64_t end)
{
    size_t at = 0;
    uint64_t kept = first_kept(a);
    for (uint64_t id = beginning(a, f); id <= end; id++) {
        bool came = at < f->count && f->ids[at] == id;
        at += came;
        if (matches(f, id) == came)
            continue;
        if (!came && id < kept && (at == 0 || gaps_hold(&f->gaps, id)))
            continue;
        wrong(a->who, "a follower from %llu, flags %u, tail %llu, pattern %s: record %llu %s",
              (unsigned long long)f->query.id_min, f->query.flags,
              (unsigned long long)f->query.tail, f->query.pattern ? f->query.pattern : "-",
              (unsigned long long)id, came ? "does not match" : "was left out");
    }
    if (at < f->count)
        wrong(a->who, "a follower got %llu twice, out of order, or too soon",
              (unsigned long long)f->ids[at]);
}

void follow_end(struct asker *a, struct following *f, bool to_the_end)
{
    uint64_t end = f->count > 0 ? f->ids[f->count - 1] : 0;
    if (to_the_end) {
        uint64_t durable = durable_for(a).id; /* nothing that came later is asked for */
        int rc = SVL_OK;
        while ((rc == SVL_OK || rc == SVL_E_AGAIN) &&
               (f->count == 0 || f->ids[f->count - 1] < durable))
            rc = follow_take(a, f, 0, 1);
        uint64_t last = f->count > 0 ? f->ids[f->count - 1] : 0;
        end = last > durable ? last : durable;
    }
    svl_cursor_close(f->cursor);
    if (await_known(end > f->after ? end : f->after) && !has_failed())
        check(a, f, end);
    atomic_fetch_add(&ledger->checks, 1);
    free(f->ids);
}
