/* stats.c - what the layers above and the host may ask a store at any time. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/options.h"
#include "segment_filter.h"
#include "state.h"

#define STATS_FIRST_SIZE sizeof(svl_store_stats)

uint64_t svl__store_durable_id(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t id = store->tail.durable_id;
    pthread_mutex_unlock(&store->lock);
    return id;
}

uint64_t svl__store_durable_ticket(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t ticket = store->durable_ticket;
    pthread_mutex_unlock(&store->lock);
    return ticket;
}

uint64_t svl__store_first_id(svl_store *store)
{
    pthread_mutex_lock(&store->catalog_lock);
    uint64_t floor = store->catalog_state.retention_floor;
    pthread_mutex_unlock(&store->catalog_lock);
    return floor ? floor : 1;
}

bool svl__store_has_failed(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool failed = store->failed != 0;
    pthread_mutex_unlock(&store->lock);
    return failed;
}

int svl__store_value(svl_store *store, svl_slice key, struct buffer *out)
{
    pthread_mutex_lock(&store->lock);
    const struct value_entry *entry = svl__values_find(&store->values, key);
    bool found = entry != NULL, deleted = entry && entry->deleted;
    if (found && !deleted)
        svl__buffer_append(out, entry->bytes + entry->key_len, entry->value_len);
    pthread_mutex_unlock(&store->lock);
    if (!found)
        return svl__catalog_value(store->catalog, key, out);
    if (deleted)
        return SVL_E_NOT_FOUND;
    return out->failed ? SVL_E_NOMEM : SVL_OK;
}

static bool is_ours(const char *name)
{
    uint64_t first_id;
    uint32_t generation;
    bool is_made;
    size_t len = strlen(name);
    char segment[SEGMENT_NAME_BYTES];
    if (len > 5 && strcmp(name + len - 5, "-lock") == 0)
        len -= 5;
    snprintf(segment, sizeof segment, "%.*s", (int)len, name);
    return strcmp(name, LOCK_NAME) == 0 || strcmp(name, BELL_NAME) == 0 ||
           svl__catalog_owns(name) || svl__journal_owns(name) ||
           svl__segment_name_parse(segment, &first_id, &generation) ||
           svl__segment_filter_name_parse(name, &first_id, &generation, &is_made);
}

/* What all files of the store take; 0 if they cannot be listed. */
static uint64_t bytes_on_disk(const svl_store *store)
{
    DIR *listing;
    const struct dirent *entry;
    struct stat st;
    uint64_t bytes = 0;
    int rc = svl__directory_list(store->directory, store->path, &listing);
    if (rc != SVL_OK)
        return 0;
    while ((rc = svl__directory_next(listing, store->path, &entry)) == SVL_OK && entry)
        if (is_ours(entry->d_name) &&
            fstatat(store->directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    closedir(listing);
    return rc == SVL_OK ? bytes : 0;
}

int svl_store_stats_get(svl_store *store, svl_store_stats *stats)
{
    int rc = svl__store_check_forked(store);
    if (rc != SVL_OK)
        return rc;
    struct journal_stats journal = { 0 };
    if (store->reader)
        rc = svl__reader_look(store);
    else
        svl__journal_stats_get(store->journal, &journal);
    if (rc != SVL_OK)
        return rc;
    /* Together, so that what is not kept any more is counted as retired. */
    pthread_mutex_lock(&store->catalog_lock);
    uint64_t floor = store->catalog_state.retention_floor, first_id = floor ? floor : 1;
    uint64_t retired_records = store->retired_records, retired_bytes = store->retired_bytes;
    pthread_mutex_unlock(&store->catalog_lock);
    pthread_mutex_lock(&store->lock);
    svl_store_stats now = store->stats;
    now.retired_records = retired_records;
    now.retired_bytes = retired_bytes;
    now.failed = store->failed != 0;
    now.last_id = store->tail.durable_id;
    now.tail_bytes = svl__store_memory(store);
    pthread_mutex_unlock(&store->lock);
    now.records = now.last_id >= first_id ? now.last_id - first_id + 1 : 0;
    now.first_id = now.records ? first_id : 0;
    now.segments = svl__segments_count(&store->segments);
    now.journal_bytes_written = journal.bytes_written;
    now.disk_bytes = bytes_on_disk(store);
    return svl__options_fill(stats, &now, sizeof now, STATS_FIRST_SIZE, "svl_store_stats");
}
