/* workload_ingest.c - records in bulk from one thread, from the first append until all are on the disk: without a key,
 * with one of 100,000, with a key of its own each. The store is settled and closed outside the timing, then its bytes
 * counted: those that an empty store does not have, over the records. An empty store's are workload_footprint.c's. */
#include "workload_store.h"

/* What ours may hold in memory however large the store is: its ring, and 64 MiB. */
#define MEMORY_BYTES_MAX ((8 + 64) * 1048576.0)

static int count_disk_bytes(struct run *run, int64_t empty)
{
    int64_t bytes = bench_disk_bytes(run->path);
    if (bytes < 0)
        return -1;
    run->metrics[METRIC_WHOLE_BYTES] = (double)bytes;
    run->metrics[METRIC_DISK_BYTES] =
        bytes > empty ? (double)(bytes - empty) / (double)run->records : 0;
    return 0;
}

static int ingest(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    uint64_t keys = run->workload->keys;
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = keys ? INDEX_KEY : INDEX_NONE,
                               .records = run->records };
    struct line line;
    struct watch watch;
    int64_t empty = store_empty_bytes(run, &wish);
    void *store = empty >= 0 ? ops->open(run->path, &wish) : NULL;
    int rc = store ? 0 : bench_fail("a store cannot be made");
    watch_start(&watch);
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make(i, keys, &line);
        rc = ops->append(store, &line);
    }
    if (rc == 0)
        rc = ops->finish(store);
    watch_stop(&watch, run, run->records);
    if (rc == 0 && ops->settle)
        rc = ops->settle(store);
    if (store && ops->close(store) != 0)
        rc = -1;
    return rc == 0 ? count_disk_bytes(run, empty) : -1;
}

/* A text file has no index: with keys it would not answer what the others can. */
static bool fits_keyed(const struct peer *peer)
{
    return store_fits(peer) && peer->store->indexes & INDEX_KEY;
}

#define CHARTS                                                                                     \
    (METRIC_BIT(METRIC_RATE) | METRIC_BIT(METRIC_DISK_BYTES) | METRIC_BIT(METRIC_RSS_BYTES))
/* The same of one record, asked once. */
#define CHARTS_EACH (METRIC_BIT(METRIC_CPU_NS) | METRIC_BIT(METRIC_DIRTIED_BYTES))

const struct workload ingest_workloads[] = {
    { .name = "ingest/plain",
      .question = "How many records a second does it take, without a key?",
      .charts = CHARTS | CHARTS_EACH,
      .bounds = { [METRIC_RSS_BYTES] = MEMORY_BYTES_MAX },
      .is_growing = true,
      .divisor = 1,
      .fits = store_fits,
      .measure = ingest },
    { .name = "ingest/keyed",
      .question = "How many records a second, each with one of 100,000 keys?",
      .charts = CHARTS,
      .bounds = { [METRIC_RSS_BYTES] = MEMORY_BYTES_MAX },
      .is_growing = true,
      .divisor = 1,
      .keys = KEYS_MANY,
      .fits = fits_keyed,
      .measure = ingest },
    { .name = "ingest/unique",
      .question = "How many records a second, each with a key of its own?",
      .charts = CHARTS,
      .bounds = { [METRIC_RSS_BYTES] = MEMORY_BYTES_MAX },
      .is_growing = true,
      .divisor = 1,
      .keys = KEYS_UNIQUE,
      .fits = fits_keyed,
      .measure = ingest },
};
const size_t ingest_workload_count = sizeof ingest_workloads / sizeof ingest_workloads[0];
