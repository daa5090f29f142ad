/* workload_mixed.c - a thread ingests records with keys as fast as it can, another looks up keys of what is there, 500
 * a second by the clock: the rate of the one, the times of the other. What is found grows meanwhile; at the end, behind
 * the clock, some keys must have all of their records. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "load.h"
#include "workload_store.h"

#define INTERVAL_NS 2000000
#define CHECKED 16

struct mixed {
    const struct store_ops *ops;
    void *store;
    uint64_t records;
    atomic_bool is_done;
    struct histogram lookups;
};

static int look_up(struct mixed *me, uint64_t i)
{
    struct line line;
    uint64_t state = i;
    line_make(bench_random(&state) % me->records, KEYS_MANY, &line);
    return me->ops->count_key(me->store, line.record.key) < 0 ? -1 : 0;
}

/* Turns by the clock until the writer is done: a lookup that is late counts its wait. */
static void *look_up_all(void *argument)
{
    struct mixed *me = argument;
    int64_t turn_ns = bench_now_ns();
    for (uint64_t i = 0; !atomic_load(&me->is_done); i++, turn_ns += INTERVAL_NS) {
        load_wait_until(turn_ns);
        if (look_up(me, i) != 0)
            return me;
        histogram_add(&me->lookups, (uint64_t)(bench_now_ns() - turn_ns));
    }
    return NULL;
}

/* The keys of records all over the store, and how often each comes. */
struct checked {
    struct line lines[CHECKED];
    int64_t counts[CHECKED];
};

static void count_checked(struct checked *checked, uint64_t records)
{
    for (unsigned i = 0; i < CHECKED; i++)
        line_make(i * records / CHECKED, KEYS_MANY, &checked->lines[i]);
    for (uint64_t n = 0; n < records; n++) {
        struct line line;
        line_make(n, KEYS_MANY, &line);
        for (unsigned i = 0; i < CHECKED; i++)
            checked->counts[i] += line.record.key.len == checked->lines[i].record.key.len &&
                                  memcmp(line.key, checked->lines[i].key, line.record.key.len) == 0;
    }
}

static int check(const struct mixed *me, const struct checked *checked)
{
    for (unsigned i = 0; i < CHECKED; i++)
        if (me->ops->count_key(me->store, checked->lines[i].record.key) != checked->counts[i])
            return bench_fail("a key has not the records that it should");
    return 0;
}

static int mixed(struct run *run)
{
    static struct checked checked;
    static struct mixed me; /* a run is a process */
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = INDEX_KEY,
                               .records = run->records };
    struct line line;
    struct watch watch;
    pthread_t reader;
    void *failed = NULL;
    me.ops = run->peer->store;
    me.records = run->records;
    count_checked(&checked, run->records);
    me.store = me.ops->open(run->path, &wish);
    if (!me.store || pthread_create(&reader, NULL, look_up_all, &me) != 0)
        return bench_fail("a store or a reader cannot be made");
    int rc = 0;
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make(i, KEYS_MANY, &line);
        rc = me.ops->append(me.store, &line);
    }
    if (rc == 0)
        rc = me.ops->finish(me.store);
    watch_stop(&watch, run, run->records);
    atomic_store(&me.is_done, true);
    pthread_join(reader, &failed);
    load_report(&me.lookups, run);
    if (rc == 0)
        rc = check(&me, &checked);
    if (me.ops->close(me.store) != 0 || failed)
        rc = -1;
    return rc;
}

/* The journal's reader is another program, of files that are complete. */
static bool fits(const struct peer *peer)
{
    return store_fits(peer) && peer->store->count_key && !peer->is_program;
}

const struct workload mixed_workloads[] = {
    { .name = "mixed",
      .question = "How many records a second while keys are looked up?",
      .charts = METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_P99_NS),
      .divisor = 1,
      .fits = fits,
      .measure = mixed },
};
const size_t mixed_workload_count = sizeof mixed_workloads / sizeof mixed_workloads[0];
