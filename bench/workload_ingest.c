/* workload_ingest.c - records in bulk from one thread, from the first append until all are on the disk: without a key,
 * with one of 100,000, with a key of its own each. The store is closed outside the timing, then its bytes counted. */
#include "workload_store.h"

static int ingest(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    uint64_t keys = run->workload->keys;
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = keys ? INDEX_KEY : INDEX_NONE,
                               .records = run->records };
    struct line line;
    struct watch watch;
    void *store = ops->open(run->path, &wish);
    int rc = store ? 0 : bench_fail("a store cannot be made");
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make(i, keys, &line);
        rc = ops->append(store, &line);
    }
    if (rc == 0)
        rc = ops->finish(store);
    watch_stop(&watch, run, run->records);
    if (store && ops->close(store) != 0)
        rc = -1;
    int64_t bytes = rc == 0 ? bench_disk_bytes(run->path) : -1;
    run->metrics[METRIC_DISK_BYTES] = (double)bytes / (double)run->records;
    return bytes < 0 ? -1 : 0;
}

/* A text file has no index: with keys it would not answer what the others can. */
static bool fits_keyed(const struct peer *peer)
{
    return store_fits(peer) && peer->store->count_key;
}

#define CHARTS (METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_DISK_BYTES))

const struct workload ingest_workloads[] = {
    { .name = "ingest/plain",
      .question = "How many records a second does it take, without a key?",
      .charts = CHARTS | METRIC_BIT(METRIC_RSS_BYTES),
      .is_growing = true,
      .divisor = 1,
      .fits = store_fits,
      .measure = ingest },
    { .name = "ingest/keyed",
      .question = "How many with one of 100,000 keys each?",
      .charts = CHARTS,
      .is_growing = true,
      .divisor = 1,
      .keys = KEYS_MANY,
      .fits = fits_keyed,
      .measure = ingest },
    { .name = "ingest/unique",
      .question = "How many with a key of its own each?",
      .charts = CHARTS,
      .is_growing = true,
      .divisor = 1,
      .keys = KEYS_UNIQUE,
      .fits = fits_keyed,
      .measure = ingest },
};
const size_t ingest_workload_count = sizeof ingest_workloads / sizeof ingest_workloads[0];
