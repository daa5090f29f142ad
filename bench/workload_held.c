/* workload_held.c - how long a thread is held up that logs 50,000 records a second by the clock, each with one of
 * 100,000 keys, into a store that works beside it; and the same with a thread that only computes. What a peer does
 * every so many records, such as a commit, is in the times: its user waits for it. */
#include "load.h"
#include "workload_store.h"

#define INTERVAL_NS 20000

struct writer {
    const struct store_ops *ops;
    void *store;
};

static int append_one(void *user, unsigned thread, uint64_t i)
{
    struct writer *me = user;
    struct line line;
    (void)thread;
    line_make(i, KEYS_MANY, &line);
    return me->ops->append(me->store, &line);
}

static int held(struct run *run)
{
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = INDEX_KEY,
                               .records = run->records };
    struct writer me = { .ops = run->peer->store };
    struct load load = { .threads = 1,
                         .operations = run->records,
                         .interval_ns = INTERVAL_NS,
                         .operate = append_one,
                         .user = &me };
    me.store = me.ops->open(run->path, &wish);
    if (!me.store)
        return bench_fail("a store cannot be made");
    int rc = load_run(&load, run);
    if (rc == 0)
        rc = me.ops->finish(me.store);
    return me.ops->close(me.store) == 0 ? rc : -1;
}

static bool fits(const struct peer *peer)
{
    return store_fits(peer) && peer->store->count_key && !peer->is_program;
}

#define CHARTS (METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P999_NS))

const struct workload held_workloads[] = {
    { .name = "ingest-latency/idle",
      .question = "How long is one held up that logs 50,000 records a second?",
      .charts = CHARTS,
      .divisor = 2,
      .fits = fits,
      .measure = held },
    { .name = "ingest-latency/hog",
      .question = "How long is one held up that logs so beside a busy thread?",
      .charts = CHARTS,
      .divisor = 2,
      .has_hog = true,
      .fits = fits,
      .measure = held },
};
const size_t held_workload_count = sizeof held_workloads / sizeof held_workloads[0];
