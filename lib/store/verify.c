/* verify.c - everything that the store holds, read and checked: catalog, journal, each segment. */
#include "base/alloc.h"
#include "segment_filter.h"
#include "state.h"

struct verify {
    svl_store *store;
    svl_damage_fn *damage;
    svl_progress_fn *progress;
    void *user;
    uint64_t done, total, found;
};

static void report(int32_t code, const char *what, void *user)
{
    struct verify *v = user;
    v->found++;
    pthread_mutex_lock(&v->store->lock);
    v->store->stats.damaged++;
    pthread_mutex_unlock(&v->store->lock);
    if (v->damage)
        v->damage(code, what, v->user);
}

static int advance(uint64_t bytes, void *user)
{
    struct verify *v = user;
    v->done += bytes;
    if (v->done > v->total)
        v->done = v->total;
    return v->progress ? v->progress(v->done, v->total, v->user) : SVL_OK;
}

/* It is made again; without it nothing is missing. */
static void report_filter(struct verify *v, struct segment_entry *entry, int code)
{
    svl_store *store = v->store;
    report(code, svl_last_error(), v);
    svl__segments_filter_damaged(&store->segments, entry);
    pthread_mutex_lock(&store->lock);
    svl__filters_want(store);
    pthread_mutex_unlock(&store->lock);
}

/* The segment's, read anew; NULL where there is none, or none that can be read, which is reported. One of a later
 * library is none. */
static int open_filter(struct verify *v, struct segment_entry *entry,
                       const struct segment_info *info, struct segment_filter **out)
{
    *out = NULL;
    if (info->state == SEGMENT_ACTIVE)
        return SVL_OK;
    int rc = svl__segment_filter_open(&v->store->segments.place, info, out);
    if (rc == SVL_OK)
        rc = svl__segment_filter_check(*out);
    if (rc == SVL_OK || is_shortage(rc))
        return rc;
    if (rc != SVL_E_NOT_FOUND && rc != SVL_E_VERSION)
        report_filter(v, entry, rc);
    svl__segment_filter_close(*out);
    *out = NULL;
    return SVL_OK;
}

/* A damaged segment is reported and the next one checked; anything else ends it. One that retention has taken meanwhile
 * is none of the store's any more. */
static int verify_segment(struct verify *v, struct segment_entry *entry)
{
    struct segment *segment;
    struct segment_info info; /* of before it is read: it may be active no more when it is */
    svl__segment_entry_info(&v->store->segments, entry, &info);
    int rc = svl__segment_use(&v->store->segments, entry, &segment);
    if (rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_FOREIGN || rc == SVL_E_PATH) {
        if (!svl__reader_is_gone(v->store, entry))
            report(rc, svl_last_error(), v);
        return SVL_OK;
    }
    if (rc != SVL_OK)
        return rc;
    struct segment_filter *filter;
    rc = open_filter(v, entry, &info, &filter);
    if (rc == SVL_OK)
        rc = svl__segment_verify(segment, filter, info.state == SEGMENT_ACTIVE, report, advance, v);
    svl__segment_filter_close(filter);
    svl__segment_unuse(&v->store->segments, entry);
    return rc == SVL_E_CORRUPT ? SVL_OK : rc;
}

static int verify_segments(struct verify *v)
{
    struct segment_set *set = &v->store->segments;
    struct segment_entry **entries;
    size_t n;
    int rc = svl__segments_hold(set, 1, UINT64_MAX, &entries, &n);
    for (size_t i = 0; i < n; i++) {
        struct segment_info info;
        svl__segment_entry_info(set, entries[i], &info);
        v->total += info.stored_bytes;
    }
    for (size_t i = 0; i < n; i++) {
        if (rc == SVL_OK)
            rc = verify_segment(v, entries[i]);
        svl__segment_entry_release(set, entries[i]);
    }
    svl__free(entries);
    return rc;
}

/* What is durable by now, as a query does; a writer knows. What is damaged of the catalog it tells itself. */
static int verify_catalog(struct verify *v)
{
    int rc = v->store->reader ? svl__reader_look(v->store) : SVL_OK;
    if (rc != SVL_OK && !svl__is_damage(rc))
        return rc;
    struct error_words words;
    svl__words_keep(&words);
    int found = svl__catalog_verify(v->store->catalog, report, v);
    if (rc != SVL_OK && found == SVL_OK)
        report(rc, words.text, v);
    return found;
}

int svl_store_verify(svl_store *store, svl_damage_fn *damage, svl_progress_fn *progress, void *user)
{
    int rc = svl__store_check_wait(store, "svl_store_verify");
    if (rc != SVL_OK)
        return rc;
    struct verify v = { .store = store, .damage = damage, .progress = progress, .user = user };
    rc = verify_catalog(&v);
    if (store->journal && (rc == SVL_OK || rc == SVL_E_CORRUPT))
        rc = svl__journal_verify(store->journal, report, &v);
    if (rc == SVL_OK || rc == SVL_E_CORRUPT)
        rc = verify_segments(&v);
    if (rc == SVL_OK && v.found > 0)
        rc = svl__fail(SVL_E_CORRUPT, "%s: %llu finding%s", store->path,
                       (unsigned long long)v.found, v.found == 1 ? "" : "s");
    return rc;
}
