/* retain.c - whole segments retired, oldest first, never the active one.
 *
 * Retired in the catalog first; the file goes when its last reader has let go of it, or at the next open
 * if the process dies before: ids below the retention floor are known to be retired. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "segment_filter.h"
#include "state.h"

/* What the whole store holds, as the segments' rows say. */
struct totals {
    uint64_t bytes;
    uint64_t records;
};

static uint64_t segment_records(const struct segment_info *info)
{
    return info->last_id >= info->first_id ? info->last_id - info->first_id + 1 : 0;
}

static bool is_retirable(const svl_store *store, const struct segment_info *info,
                         const struct totals *totals, int64_t now_ns)
{
    const svl_store_options *o = &store->options;
    if (o->retain_bytes_max != 0 && totals->bytes > o->retain_bytes_max)
        return true;
    if (o->retain_records_max != 0 &&
        totals->records - segment_records(info) >= o->retain_records_max)
        return true;
    int64_t oldest_ns;
    return o->retain_age_ms_max != 0 &&
           !__builtin_sub_overflow(now_ns, (int64_t)o->retain_age_ms_max * NS_PER_MS, &oldest_ns) &&
           info->ingest_max_ns < oldest_ns;
}

/* One catalog transaction for all that goes, `gone` together, which is counted as the first id moves. */
static int retire(svl_store *store, const struct segment_info *infos, size_t n, struct totals gone)
{
    pthread_mutex_lock(&store->catalog_lock);
    struct catalog_state state = store->catalog_state;
    state.retention_floor = infos[n - 1].last_id + 1;
    struct catalog_change *change;
    int rc = svl__catalog_begin(store->catalog, &change);
    if (rc == SVL_OK) {
        for (size_t i = 0; rc == SVL_OK && i < n; i++)
            rc = svl__catalog_remove_segment(change, &infos[i]);
        if (rc == SVL_OK)
            rc = svl__catalog_put_state(change, &state);
        if (rc == SVL_OK)
            rc = svl__catalog_commit(change);
        else
            svl__catalog_abort(change);
    }
    if (rc == SVL_OK) {
        store->catalog_state = state;
        store->retired_records += gone.records;
        store->retired_bytes += gone.bytes;
    }
    pthread_mutex_unlock(&store->catalog_lock);
    return rc;
}

/* What a file of the store takes on the disk; `otherwise` if that cannot be told. */
static uint64_t file_bytes(const svl_store *store, const char *name, uint64_t otherwise)
{
    struct stat st;
    if (fstatat(store->directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return otherwise;
    return (uint64_t)st.st_blocks * 512;
}

/* Blocks, index and all. */
static uint64_t segment_bytes(const svl_store *store, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(info, name);
    uint64_t bytes = file_bytes(store, name, info->stored_bytes);
    svl__segment_filter_name(info, name);
    return bytes + file_bytes(store, name, 0);
}

static struct totals sum(const svl_store *store, const struct segment_info *infos, size_t n)
{
    struct totals totals = { 0, 0 };
    for (size_t i = 0; i < n; i++) {
        totals.bytes += segment_bytes(store, &infos[i]);
        totals.records += segment_records(&infos[i]);
    }
    return totals;
}

static int64_t retention_now_ns(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    int64_t now = svl__clock_watch_retention_ns(&store->clock, svl__wall_ns(), svl__boot_ns());
    pthread_mutex_unlock(&store->lock);
    return now;
}

int svl__store_retain_now(svl_store *store, uint64_t *records)
{
    const svl_store_options *o = &store->options;
    if (records)
        *records = 0;
    if (!o->retain_bytes_max && !o->retain_records_max && !o->retain_age_ms_max)
        return SVL_OK;
    pthread_mutex_lock(&store->retain_lock);
    struct segment_info *infos;
    size_t n, gone = 0;
    int rc = svl__catalog_segments(store->catalog, &infos, &n);
    if (rc == SVL_OK) {
        struct totals totals = sum(store, infos, n);
        struct journal_stats journal;
        svl__journal_stats_get(store->journal, &journal);
        /* The limit is on the store's disk space, but no record goes for files that hold none. */
        totals.bytes += journal.disk_bytes - journal.free_bytes;
        int64_t now_ns = retention_now_ns(store);
        /* The last one is the active one, or the newest: it stays. */
        while (gone + 1 < n && is_retirable(store, &infos[gone], &totals, now_ns)) {
            struct totals one = sum(store, &infos[gone], 1);
            totals.bytes -= one.bytes;
            totals.records -= one.records;
            gone++;
        }
        struct totals retired = sum(store, infos, gone);
        if (gone > 0)
            rc = retire(store, infos, gone, retired);
        for (size_t i = 0; rc == SVL_OK && i < gone; i++)
            svl__segments_retire(&store->segments, infos[i].first_id);
        if (rc == SVL_OK && records)
            *records = retired.records;
    }
    svl__free(infos);
    pthread_mutex_unlock(&store->retain_lock);
    return rc;
}

int svl_store_retain(svl_store *store, uint64_t *records_retired)
{
    if (records_retired)
        *records_retired = 0;
    int rc = svl__store_check_write(store, "svl_store_retain");
    if (rc == SVL_OK && svl__store_has_failed(store))
        rc = svl__store_failure(store);
    return rc == SVL_OK ? svl__store_retain_now(store, records_retired) : rc;
}
