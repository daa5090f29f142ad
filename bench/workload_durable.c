/* workload_durable.c - records that are on the disk when the call returns: one thread, one after the other; 64 threads;
 * and one thread at a rate that every disk holds, by the clock, beside nothing and beside a thread that computes. */
#include <pthread.h>

#include "load.h"

#define THREADS_MAX 64
#define WARM_RECORDS 1000 /* before the clock: what a file's first records alone cost */
#define INTERVAL_NS 5000000

static bool fits(const struct peer *peer)
{
    return peer->store && peer->store->append_durable;
}

struct writer {
    const struct store_ops *ops;
    void *store;
    pthread_barrier_t *start;
    uint64_t from, n;
    int rc;
};

static void *write_all(void *argument)
{
    struct writer *me = argument;
    struct line line;
    if (me->start)
        pthread_barrier_wait(me->start);
    for (uint64_t i = 0; me->rc == 0 && i < me->n; i++) {
        line_make(me->from + i, 0, &line);
        me->rc = me->ops->append_durable(me->store, &line);
    }
    return NULL;
}

static void *open_durable(const struct run *run)
{
    struct store_wish wish = { .purpose = PURPOSE_DURABLE,
                               .records = run->records + THREADS_MAX + WARM_RECORDS };
    struct writer warm = { .ops = run->peer->store,
                           .store = run->peer->store->open(run->path, &wish),
                           .n = run->records < WARM_RECORDS ? run->records : WARM_RECORDS };
    if (!warm.store)
        bench_fail("a store cannot be made");
    else
        write_all(&warm);
    if (warm.store && warm.rc != 0) {
        run->peer->store->close(warm.store);
        return NULL;
    }
    return warm.store;
}

/* They wait for each other and for who started them. All are started, or none writes. */
static unsigned start_writers(struct writer *writers, pthread_t *threads, unsigned count)
{
    unsigned started = 0;
    while (started < count &&
           pthread_create(&threads[started], NULL, write_all, &writers[started]) == 0)
        started++;
    if (started < count)
        bench_fail("no thread that writes");
    return started;
}

static int durable(struct run *run)
{
    unsigned count = run->workload->threads;
    struct writer writers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    pthread_barrier_t start;
    struct watch watch;
    uint64_t each = (run->records + count - 1) / count;
    void *store = open_durable(run);
    if (!store)
        return -1;
    pthread_barrier_init(&start, NULL, count + 1);
    for (unsigned i = 0; i < count; i++)
        writers[i] = (struct writer){ run->peer->store, store, &start, i * each, each, 0 };
    if (start_writers(writers, threads, count) < count)
        return -1; /* a run is a process: those that wait end with it */
    watch_start(&watch);
    pthread_barrier_wait(&start);
    int rc = 0;
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        rc = rc != 0 ? rc : writers[i].rc;
    }
    watch_stop(&watch, run, each * count);
    pthread_barrier_destroy(&start);
    return run->peer->store->close(store) == 0 ? rc : -1;
}

static int write_one(void *user, unsigned thread, uint64_t i)
{
    struct writer *me = user;
    struct line line;
    (void)thread;
    line_make(i, 0, &line);
    return me->ops->append_durable(me->store, &line);
}

static int durable_latency(struct run *run)
{
    struct writer me = { .ops = run->peer->store, .store = open_durable(run) };
    struct load load = { .threads = 1,
                         .operations = run->records,
                         .interval_ns = INTERVAL_NS,
                         .operate = write_one,
                         .user = &me };
    if (!me.store)
        return -1;
    int rc = load_run(&load, run);
    return me.ops->close(me.store) == 0 ? rc : -1;
}

#define LATENCY_CHARTS (METRIC_BIT(METRIC_P50_NS) | METRIC_BIT(METRIC_P99_NS))

const struct workload durable_workloads[] = {
    { .name = "durable/1",
      .question = "How long does one durable record take?",
      .charts = METRIC_BIT(METRIC_EACH_NS) | METRIC_BIT(METRIC_WRITTEN_BYTES),
      .divisor = 1000,
      .threads = 1,
      .fits = fits,
      .measure = durable },
    { .name = "durable/64",
      .question = "How many durable records a second from 64 threads?",
      .charts = METRIC_BIT(METRIC_RATE),
      .divisor = 100,
      .threads = 64,
      .fits = fits,
      .measure = durable },
    { .name = "durable-latency/idle",
      .question = "How long is one held up that writes 200 durable records a second?",
      .charts = LATENCY_CHARTS,
      .divisor = 1000,
      .fits = fits,
      .measure = durable_latency },
    { .name = "durable-latency/hog",
      .question = "How long is one held up so beside a busy thread?",
      .charts = LATENCY_CHARTS,
      .divisor = 1000,
      .has_hog = true,
      .fits = fits,
      .measure = durable_latency },
};
const size_t durable_workload_count = sizeof durable_workloads / sizeof durable_workloads[0];
