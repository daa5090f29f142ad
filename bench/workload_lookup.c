/* workload_lookup.c - single questions to a filled store, warm: all records of a key, of a key that is not there, the
 * first record since a time; and how long it takes to open it and have an answer. */
#include "load.h"
#include "workload_store.h"

#define LOOKUPS_MIN 20
#define LOOKUPS_MAX 200

/* Asks up to LOOKUPS_MAX times, one question when the last one is answered, not by the clock. */
static int ask_all(struct run *run, unsigned indexes,
                   int (*ask)(const struct run *run, void *store, uint64_t i))
{
    static struct histogram histogram; /* a run is a process */
    struct watch watch;
    uint64_t lookups = run->records / 100;
    lookups = lookups < LOOKUPS_MIN ? LOOKUPS_MIN : lookups > LOOKUPS_MAX ? LOOKUPS_MAX : lookups;
    void *store = store_open_fixture(run, indexes);
    int rc = store ? ask(run, store, lookups) : -1; /* warm */
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < lookups; i++) {
        int64_t start_ns = bench_now_ns();
        rc = ask(run, store, i);
        histogram_add(&histogram, (uint64_t)(bench_now_ns() - start_ns));
    }
    watch_stop(&watch, run, lookups);
    load_report(&histogram, run);
    if (store)
        run->peer->store->close(store);
    return rc;
}

/* Which record the i-th question is about. */
static uint64_t pick(const struct run *run, uint64_t i)
{
    uint64_t state = i;
    return bench_random(&state) % run->records;
}

static int ask_hit(const struct run *run, void *store, uint64_t i)
{
    struct line line;
    line_make(pick(run, i), KEYS_MANY, &line);
    int64_t count = run->peer->store->count_key(store, line.record.key);
    return count > 0 ? 0 : bench_fail("a key that is there is not found");
}

static int ask_miss(const struct run *run, void *store, uint64_t i)
{
    struct line line;
    line_make(pick(run, i), KEYS_MANY, &line);
    line.key[12] = 'x'; /* among the others, but of none */
    int64_t count = run->peer->store->count_key(store, line.record.key);
    return count == 0 ? 0 : bench_fail("a key that is not there is found");
}

static int ask_time(const struct run *run, void *store, uint64_t i)
{
    int64_t time_ns = LINES_TIME_FIRST_NS + (int64_t)pick(run, i) * LINES_TIME_STEP_NS;
    int64_t found = run->peer->store->first_since(store, time_ns - 1);
    return found == time_ns ? 0 : bench_fail("the first record since a time is another");
}

static int lookup_hit(struct run *run)
{
    return ask_all(run, INDEX_KEY, ask_hit);
}

static int lookup_miss(struct run *run)
{
    return ask_all(run, INDEX_KEY, ask_miss);
}

static int lookup_time(struct run *run)
{
    return ask_all(run, INDEX_TIME, ask_time);
}

static int open_and_ask(struct run *run)
{
    struct watch watch;
    watch_start(&watch);
    void *store = store_open_fixture(run, INDEX_TIME);
    int rc = store ? ask_time(run, store, 0) : -1;
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

#define LOOKUP(part, text, charted, fit, fixture, prepared, measured)                              \
    {                                                                                              \
        .name = part, .question = text, .charts = METRIC_BIT(charted), .is_growing = true,         \
        .divisor = 1, .fits = fit, .fixture_name = fixture, .prepare = prepared,                   \
        .measure = measured                                                                        \
    }

const struct workload lookup_workloads[] = {
    LOOKUP("lookup/hit", "How long does it take to read all records of a key?", METRIC_P50_NS,
           fits_key, "keyed", prepare_keyed, lookup_hit),
    LOOKUP("lookup/miss", "How long until it is known that a key is not there?", METRIC_P50_NS,
           fits_key, "keyed", prepare_keyed, lookup_miss),
    LOOKUP("lookup/time", "How long until the first record since a time is read?", METRIC_P50_NS,
           fits_time, "timed", prepare_timed, lookup_time),
    LOOKUP("open", "How long does it take to open a store and read one record?", METRIC_EACH_NS,
           fits_time, "timed", prepare_timed, open_and_ask),
};
const size_t lookup_workload_count = sizeof lookup_workloads / sizeof lookup_workloads[0];
