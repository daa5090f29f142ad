/* workload_growing.c - ingest with a key of 16 random bytes each, up to the largest size, in ten equal parts: does the
 * last one go as quickly as the first? A part ends with its last append, so what is still on its way to the disk then
 * is of the next one; the flush of all at the end is in the whole rate alone. */
#include "workload_store.h"

static int64_t append_part(void *store, const struct store_ops *ops, uint64_t from, uint64_t to)
{
    struct line line;
    int64_t start_ns = bench_now_ns();
    for (uint64_t i = from; i < to; i++) {
        line_make(i, KEYS_UNIQUE, &line);
        if (ops->append(store, &line) != 0)
            return -1;
    }
    return bench_now_ns() - start_ns;
}

static int ingest_growing(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = INDEX_KEY,
                               .records = run->records };
    struct watch watch;
    void *store = ops->open(run->path, &wish);
    int rc = store ? 0 : bench_fail("a store cannot be made");
    watch_start(&watch);
    for (unsigned i = 0; rc == 0 && i < WINDOWS; i++) {
        uint64_t from = run->records * i / WINDOWS, to = run->records * (i + 1) / WINDOWS;
        int64_t took_ns = append_part(store, ops, from, to);
        run->windows[i] = (double)(to - from) / (double)took_ns * 1e9;
        rc = took_ns < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = ops->finish(store);
    watch_stop(&watch, run, run->records);
    run->metrics[METRIC_KEPT] = run->windows[WINDOWS - 1] / run->windows[0];
    if (store && ops->close(store) != 0)
        rc = -1;
    return rc;
}

/* Those that have an index of keys. A program runs behind a pipe, whose parts would be the pipe's. */
static bool fits(const struct peer *peer)
{
    return store_fits(peer) && peer->store->count_key && !peer->is_program;
}

const struct workload growing_workloads[] = {
    { .name = "ingest-growth",
      .question = "How many records a second, all in all, each with a key of its own?",
      .charts = METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_WINDOW_RATE) | METRIC_BIT(METRIC_KEPT),
      .divisor = 1,
      .fits = fits,
      .measure = ingest_growing },
};
const size_t growing_workload_count = sizeof growing_workloads / sizeof growing_workloads[0];
