/* workload_footprint.c - what a small store takes on the disk, whole: open and without a record, as an idle program has
 * it; and with 1,000 records, closed. */
#include "workload_store.h"

#define RECORDS 1000

static int footprint_open(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    struct store_wish wish = { .purpose = PURPOSE_BULK, .indexes = INDEX_KEY };
    void *store = ops->open(run->path, &wish);
    int64_t bytes = store ? bench_disk_bytes(run->path) : bench_fail("a store cannot be made");
    run->metrics[METRIC_WHOLE_BYTES] = (double)bytes;
    return store && ops->close(store) == 0 && bytes >= 0 ? 0 : -1;
}

static int footprint_small(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    struct store_wish wish = { .purpose = PURPOSE_BULK, .indexes = INDEX_KEY, .records = RECORDS };
    struct line line;
    void *store = ops->open(run->path, &wish);
    int rc = store ? 0 : bench_fail("a store cannot be made");
    for (uint64_t i = 0; rc == 0 && i < RECORDS; i++) {
        line_make(i, KEYS_MANY, &line);
        rc = ops->append(store, &line);
    }
    if (rc == 0)
        rc = ops->finish(store);
    if (store && ops->close(store) != 0)
        rc = -1;
    int64_t bytes = rc == 0 ? bench_disk_bytes(run->path) : -1;
    run->metrics[METRIC_WHOLE_BYTES] = (double)bytes;
    return bytes < 0 ? -1 : 0;
}

/* A program opens its file when the first record comes. */
static bool fits_open(const struct peer *peer)
{
    return store_fits(peer) && !peer->is_program;
}

const struct workload footprint_workloads[] = {
    { .name = "footprint/open",
      .question = "What does a store without a record take on the disk, open?",
      .charts = METRIC_BIT(METRIC_WHOLE_BYTES),
      .divisor = 1,
      .fits = fits_open,
      .measure = footprint_open },
    { .name = "footprint/1000",
      .question = "What does a store of 1,000 records take on the disk?",
      .charts = METRIC_BIT(METRIC_WHOLE_BYTES),
      .divisor = 1,
      .fits = store_fits,
      .measure = footprint_small },
};
const size_t footprint_workload_count = sizeof footprint_workloads / sizeof footprint_workloads[0];
