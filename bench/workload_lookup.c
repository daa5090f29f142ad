/* workload_lookup.c - single questions to a filled store, warm: the one record of a key; all 1,000 of a key that are
 * scattered over the store; the newest 100 of those; a key that is not there; the first record since a time. And how
 * long it takes to open it and have an answer. */
#include "load.h"
#include "workload_store.h"

#define LOOKUPS_MIN 20
#define LOOKUPS_MAX 200
#define NEWEST 100

/* A question and its right answer. */
struct question {
    struct line line; /* whose key is asked for */
    int64_t time_ns;
    int64_t answer;
};

typedef void make_fn(const struct run *run, uint64_t i, struct question *question);
typedef int64_t ask_fn(const struct run *run, void *store, const struct question *question);

static int ask_one(const struct run *run, void *store, ask_fn *ask, const struct question *question)
{
    return ask(run, store, question) == question->answer
               ? 0
               : bench_fail("the answer to a question is another one");
}

/* Asks one question when the last one is answered, not by the clock. */
static int ask_all(struct run *run, unsigned indexes, unsigned lookups_max, make_fn *make,
                   ask_fn *ask)
{
    static struct question questions[LOOKUPS_MAX + 1]; /* the last one warms */
    static struct histogram histogram;                 /* a run is a process */
    struct watch watch;
    uint64_t lookups = run->records / 100;
    lookups = lookups < LOOKUPS_MIN ? LOOKUPS_MIN : lookups > lookups_max ? lookups_max : lookups;
    void *store = store_open_fixture(run, indexes);
    for (uint64_t i = 0; i <= lookups; i++)
        make(run, i, &questions[i]);
    int rc = store ? ask_one(run, store, ask, &questions[lookups]) : -1;
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < lookups; i++) {
        int64_t start_ns = bench_now_ns();
        rc = ask_one(run, store, ask, &questions[i]);
        histogram_add(&histogram, (uint64_t)(bench_now_ns() - start_ns));
    }
    watch_stop(&watch, run, lookups);
    load_report(&histogram, run);
    if (store)
        run->peer->store->close(store);
    return rc;
}

/* What the i-th question is about, a number below `n`. */
static uint64_t pick(uint64_t i, uint64_t n)
{
    uint64_t state = i;
    return bench_random(&state) % n;
}

static void make_hit(const struct run *run, uint64_t i, struct question *q)
{
    struct filled filled = lines_filled(run->records);
    line_make_filled(&filled, lines_own(&filled, pick(i, run->records)), &q->line);
    q->answer = 1;
}

/* The i-th question's key that many records share; in `*spans` those in which it has one. */
static uint64_t pick_shared(const struct filled *filled, uint64_t i, uint64_t *spans,
                            struct line *line)
{
    uint64_t key = pick(i, filled->shared_keys);
    line_make_filled(filled, lines_shared(filled, key, 0), line);
    *spans = filled->spans;
    if (lines_shared(filled, key, filled->spans - 1) >= filled->total)
        --*spans;
    return key;
}

static void make_many(const struct run *run, uint64_t i, struct question *q)
{
    struct filled filled = lines_filled(run->records);
    uint64_t spans;
    pick_shared(&filled, i, &spans, &q->line);
    q->answer = (int64_t)spans;
}

static void make_newest(const struct run *run, uint64_t i, struct question *q)
{
    struct filled filled = lines_filled(run->records);
    uint64_t spans, key = pick_shared(&filled, i, &spans, &q->line);
    uint64_t oldest = lines_shared(&filled, key, spans > NEWEST ? spans - NEWEST : 0);
    q->answer = LINES_TIME_FIRST_NS + (int64_t)oldest * LINES_TIME_STEP_NS;
}

/* Among the others, but of none. */
static void make_miss(const struct run *run, uint64_t i, struct question *q)
{
    line_make(pick(i, run->records), KEYS_MANY, &q->line);
    q->line.key[12] = 'x';
    q->answer = 0;
}

static void make_time(const struct run *run, uint64_t i, struct question *q)
{
    q->answer = LINES_TIME_FIRST_NS + (int64_t)pick(i, run->records) * LINES_TIME_STEP_NS;
    q->time_ns = q->answer - 1;
}

static int64_t ask_key(const struct run *run, void *store, const struct question *q)
{
    return run->peer->store->count_key(store, q->line.record.key);
}

static int64_t ask_newest(const struct run *run, void *store, const struct question *q)
{
    return run->peer->store->newest_of_key(store, q->line.record.key, NEWEST);
}

static int64_t ask_time(const struct run *run, void *store, const struct question *q)
{
    return run->peer->store->first_since(store, q->time_ns);
}

static int lookup_hit(struct run *run)
{
    return ask_all(run, INDEX_KEY, LOOKUPS_MAX, make_hit, ask_key);
}

static int lookup_many(struct run *run)
{
    return ask_all(run, INDEX_KEY, LOOKUPS_MAX / 4, make_many, ask_key);
}

static int lookup_newest(struct run *run)
{
    return ask_all(run, INDEX_KEY, LOOKUPS_MAX, make_newest, ask_newest);
}

static int lookup_miss(struct run *run)
{
    return ask_all(run, INDEX_KEY, LOOKUPS_MAX, make_miss, ask_key);
}

static int lookup_time(struct run *run)
{
    return ask_all(run, INDEX_TIME, LOOKUPS_MAX, make_time, ask_time);
}

static int open_and_ask(struct run *run)
{
    struct watch watch;
    struct question question;
    make_time(run, 0, &question);
    watch_start(&watch);
    void *store = store_open_fixture(run, INDEX_TIME);
    int rc = store ? ask_one(run, store, ask_time, &question) : -1;
    watch_stop(&watch, run, 1);
    if (store)
        run->peer->store->close(store);
    return rc;
}

static bool fits_key(const struct peer *peer)
{
    return store_fits(peer) && peer->store->count_key;
}

static bool fits_time(const struct peer *peer)
{
    return store_fits(peer) && peer->store->first_since;
}

static bool fits_newest(const struct peer *peer)
{
    return store_fits(peer) && peer->store->newest_of_key;
}

#define LOOKUP(part, text, charted, fit, measured)                                                 \
    {                                                                                              \
        .name = part, .question = text, .charts = METRIC_BIT(charted), .is_growing = true,         \
        .divisor = 1, .fits = fit, .fixture_name = FILLED, .prepare = prepare_filled,              \
        .measure = measured                                                                        \
    }

const struct workload lookup_workloads[] = {
    LOOKUP("lookup/hit", "How long does it take to read the one record of a key?", METRIC_P50_NS,
           fits_key, lookup_hit),
    LOOKUP("lookup/many", "How long does it take to read the 1,000 records of a key?",
           METRIC_P50_NS, fits_key, lookup_many),
    LOOKUP("lookup/newest", "How long does it take to read the newest 100 of a key?", METRIC_P50_NS,
           fits_newest, lookup_newest),
    LOOKUP("lookup/miss", "How long until it is known that a key is not there?", METRIC_P50_NS,
           fits_key, lookup_miss),
    LOOKUP("lookup/time", "How long until the first record since a time is read?", METRIC_P50_NS,
           fits_time, lookup_time),
    LOOKUP("open", "How long does it take to open a store and read one record?", METRIC_EACH_NS,
           fits_time, open_and_ask),
};
const size_t lookup_workload_count = sizeof lookup_workloads / sizeof lookup_workloads[0];
