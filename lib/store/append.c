/* append.c - the host's ways to put records into a store and to wait for them. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "state.h"

static int check_records(const svl_store *store, const svl_record *records, size_t n,
                         uint64_t *bytes)
{
    *bytes = 0;
    if (!records && n > 0)
        return svl__fail(SVL_E_INVALID, "records is NULL");
    uint64_t max = svl__store_feed_bytes_max(store);
    for (size_t i = 0; i < n; i++) {
        int rc = svl__record_check(&records[i], store->options.record_bytes_max, false);
        if (rc != SVL_OK)
            return rc;
        *bytes += svl__wire_size(&records[i]);
        if (*bytes > max)
            return svl__fail(
                SVL_E_LIMIT,
                "a batch of more than %llu bytes (a quarter of journal_file_bytes_max)",
                (unsigned long long)max);
    }
    return SVL_OK;
}

static int append_encoded(svl_store *store, struct feed_item *items, size_t n, uint64_t *first_id)
{
    struct feed feed = { .items = items, .count = n };
    int rc = svl__store_feed_durably(store, &feed);
    if (rc != SVL_OK)
        return rc;
    if (first_id)
        *first_id = items[0].id;
    pthread_mutex_lock(&store->lock);
    store->stats.appended += n;
    pthread_mutex_unlock(&store->lock);
    return SVL_OK;
}

int svl_store_append(svl_store *store, const svl_record *records, size_t n, uint64_t *first_id)
{
    if (first_id)
        *first_id = 0;
    uint64_t bytes;
    int rc = svl__store_check_write(store, "svl_store_append");
    if (rc == SVL_OK)
        rc = check_records(store, records, n, &bytes);
    if (rc != SVL_OK || n == 0)
        return rc;
    struct feed_item *items = svl__calloc(n, sizeof *items);
    uint8_t *wire = items ? svl__malloc(bytes) : NULL;
    if (!wire) {
        svl__free(items);
        return SVL_E_NOMEM;
    }
    int64_t now = svl__wall_ns();
    uint8_t *p = wire;
    for (size_t i = 0; i < n; i++) {
        items[i].wire = p;
        items[i].len = svl__wire_size(&records[i]);
        svl__wire_encode(&records[i], now, p);
        p += items[i].len;
    }
    rc = svl__store_wait_room(store);
    if (rc == SVL_OK)
        rc = append_encoded(store, items, n, first_id);
    svl__free(wire);
    svl__free(items);
    return rc;
}

int svl_store_flush(svl_store *store, int64_t timeout_ms)
{
    int rc = svl__store_check_write(store, "svl_store_flush");
    if (rc != SVL_OK)
        return rc;
    rc = svl__store_wait(store, svl__store_last_ticket(store), svl__deadline_ns(timeout_ms));
    return rc == SVL_OK && svl__store_has_failed(store) ? svl__store_failure(store) : rc;
}

int svl_store_commit(svl_store *store, int64_t timeout_ms)
{
    int rc = svl__store_check_write(store, "svl_store_commit");
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    pthread_mutex_lock(&store->lock);
    uint64_t request = svl__commit_request(store);
    while (store->commit_done < request && !store->failed && rc == SVL_OK)
        if (!svl__store_wait_progress(store, deadline_ns))
            rc = SVL_E_TIMEOUT;
    if (store->failed)
        rc = svl__store_failure(store);
    else if (store->commit_done >= request)
        rc = SVL_OK;
    pthread_mutex_unlock(&store->lock);
    return rc;
}
