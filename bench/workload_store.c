/* workload_store.c - see workload_store.h. */
#include "workload_store.h"

bool store_fits(const struct peer *peer)
{
    return peer->store && peer->store->append;
}

int prepare_filled(struct run *run)
{
    const struct store_ops *ops = run->peer->store;
    struct store_wish wish = { .purpose = PURPOSE_BULK,
                               .indexes = INDEX_KEY | INDEX_TIME,
                               .records = run->records };
    struct filled filled = lines_filled(run->records);
    struct line line;
    void *store = ops->open(run->fixture, &wish);
    int rc = store ? 0 : bench_fail("a store cannot be made");
    for (uint64_t i = 0; rc == 0 && i < run->records; i++) {
        line_make_filled(&filled, i, &line);
        rc = ops->append(store, &line);
    }
    if (rc == 0)
        rc = ops->finish(store);
    if (rc == 0 && ops->settle)
        rc = ops->settle(store);
    if (store && ops->close(store) != 0)
        rc = -1;
    return rc;
}

int64_t store_empty_bytes(const struct run *run, const struct store_wish *wish)
{
    const struct store_ops *ops = run->peer->store;
    void *store = ops->open(run->path, wish);
    int rc = store ? ops->finish(store) : bench_fail("a store cannot be made");
    if (store && ops->close(store) != 0)
        rc = -1;
    int64_t bytes = rc == 0 ? bench_disk_bytes(run->path) : -1;
    bench_remove(run->path);
    return bytes;
}

void *store_open_fixture(const struct run *run, unsigned indexes)
{
    struct store_wish wish = { .purpose = PURPOSE_READ,
                               .indexes = indexes,
                               .records = run->records };
    void *store = run->peer->store->open(run->fixture, &wish);
    if (!store)
        bench_fail("a filled store cannot be opened");
    return store;
}
