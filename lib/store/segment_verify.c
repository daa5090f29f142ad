/* segment_verify.c - a whole segment, block by block: zones, ids, checksums, index.
 *
 * The index is checked in both directions: every key of a block must be found to lead to it, and the
 * index must hold no more entries than the blocks have keys; this only where nobody writes to it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include <serverlog/store.h>

#include "segment_filter.h"
#include "segment_private.h"

struct verify {
    struct segment *segment;
    const struct segment_filter *filter; /* NULL: it has none */
    segment_damage_fn *damage;
    segment_progress_fn *progress;
    void *user;
    struct block_reader *reader;
    struct buffer bytes, found;
    uint64_t next_id; /* that the next block must start with */
    uint64_t last_id;
    uint64_t keys; /* of all blocks together */
    bool damaged, has_blocks, has_index;
};

static void report(struct verify *v, int code, const char *place, const char *words)
{
    char what[400];
    snprintf(what, sizeof what, "%s%.300s", place, words);
    v->damaged = true;
    v->damage(code, what, v->user);
}

static void report_block(struct verify *v, int code, const char *words, uint64_t id)
{
    char place[96];
    snprintf(place, sizeof place, "%s: block %llu: ", v->segment->lmdb.name,
             (unsigned long long)id);
    report(v, code, place, words);
}

/* Of what belongs to no block: LMDB's pages, the index. LMDB's words name the segment. */
static void report_segment(struct verify *v, int code, const char *words)
{
    char place[96];
    snprintf(place, sizeof place, "%s: ", v->segment->lmdb.name);
    report(v, code, strstr(words, v->segment->lmdb.name) ? "" : place, words);
}

/* What was committed while we read is not damage: the state is read anew. */
static int index_leads_to(struct verify *v, svl_slice key, uint64_t id, bool *leads)
{
    struct key_condition exact = { .kind = SVL_KEY_EXACT, .low = key };
    *leads = false;
    v->found.len = 0;
    bool is_whole;
    int rc = svl__segment_find_keys(v->segment, &exact, 1, UINT64_MAX, &v->found, &is_whole);
    for (size_t i = 0; is_whole && i < v->found.len; i += sizeof id)
        *leads |= load_u64(v->found.data + i) == id;
    /* A part that cannot be read is told once, when the whole index is; without memory nothing can be. */
    *leads |= !is_whole && rc == SVL_E_CORRUPT;
    return rc == SVL_E_CORRUPT ? SVL_OK : rc;
}

/* Without it nobody would find the key. */
static bool filter_has(const struct verify *v, svl_slice key)
{
    bool is_damaged = false;
    return !v->filter || svl__segment_filter_may_have(
                             v->filter, svl__segment_filter_hash(v->filter, key), &is_damaged);
}

static int verify_keys(struct verify *v, const struct zone *zone)
{
    struct key_set *set;
    int rc = svl__block_reader_key_set(v->reader, &set);
    if (rc != SVL_OK || !set)
        return rc;
    bool leads = true, passes = true;
    v->keys += svl__key_set_count(set);
    for (uint32_t i = 0; i < svl__key_set_count(set); i++)
        passes &= filter_has(v, svl__key_set_at(set, i));
    for (uint32_t i = 0; rc == SVL_OK && leads && i < svl__key_set_count(set); i++)
        rc = index_leads_to(v, svl__key_set_at(set, i), zone->first_id, &leads);
    if (rc == SVL_OK && !passes)
        report_block(v, SVL_E_CORRUPT, "a key of it is not in the segment's filter",
                     zone->first_id);
    if (rc == SVL_OK && !leads)
        report_block(v, SVL_E_CORRUPT, "a key of it is not in the key index", zone->first_id);
    svl__key_set_release(set);
    return rc;
}

static int verify_block(struct verify *v, const struct zone *zone)
{
    if (zone->first_id != v->next_id)
        report_block(v, SVL_E_CORRUPT, "ids are missing before it", zone->first_id);
    v->next_id = zone->first_id + zone->count;
    int rc = svl__segment_read_block(v->segment, zone->first_id, &v->bytes);
    if (rc == SVL_E_CORRUPT) {
        report_block(v, rc, svl_last_error(), zone->first_id);
        return SVL_OK;
    }
    if (rc != SVL_OK)
        return rc;
    rc = svl__block_verify(v->reader, v->bytes.data, v->bytes.len);
    if (rc == SVL_E_NOMEM)
        return rc;
    if (rc != SVL_OK) {
        report_block(v, rc, svl_last_error(), zone->first_id);
        return SVL_OK;
    }
    if (!svl__zone_equal(zone, svl__block_reader_zone(v->reader)))
        report_block(v, SVL_E_CORRUPT, "its zone says something else", zone->first_id);
    return v->has_index ? verify_keys(v, zone) : SVL_OK;
}

static int verify_blocks(struct verify *v)
{
    int rc = SVL_OK;
    while (rc == SVL_OK && v->next_id <= v->last_id) {
        struct zone zone;
        size_t n;
        rc = svl__segment_zones(v->segment, v->next_id, v->last_id, false, &zone, 1, &n);
        if (rc == SVL_E_CORRUPT) {
            report_block(v, rc, svl_last_error(), v->next_id);
            rc = svl__segment_pass_zone(v->segment, v->next_id, false, &v->next_id);
            continue;
        }
        if (rc == SVL_OK && n == 0) {
            report_block(v, SVL_E_CORRUPT, "this and all behind it are missing", v->next_id);
            return SVL_OK;
        }
        if (rc == SVL_OK)
            rc = verify_block(v, &zone);
        if (rc == SVL_OK)
            rc = v->progress(zone.stored_bytes, v->user);
    }
    return rc;
}

/* Every entry of the index: readable, and naming blocks of this segment. */
static int verify_index(struct verify *v)
{
    struct key_condition all = { .kind = SVL_KEY_PREFIX };
    v->found.len = 0;
    bool is_whole;
    int rc = svl__segment_find_keys(v->segment, &all, 1, UINT64_MAX, &v->found, &is_whole);
    if (rc == SVL_E_CORRUPT) {
        report_segment(v, rc, svl_last_error());
        return SVL_OK;
    }
    for (size_t i = 0; rc == SVL_OK && i < v->found.len; i += sizeof(uint64_t)) {
        uint64_t id = load_u64(v->found.data + i);
        struct zone zone;
        size_t n;
        rc = svl__segment_zones(v->segment, id, id, false, &zone, 1, &n);
        if (rc == SVL_OK && (n == 0 || zone.first_id != id))
            report_block(v, SVL_E_CORRUPT, "the key index names it, and it is not there", id);
    }
    return rc;
}

/* Each whole, and of a run; that a filter has the keys of its run is seen when they are looked for. */
static int verify_filters(struct verify *v, bool is_active)
{
    struct segment *s = v->segment;
    MDB_txn *txn;
    int code, rc = svl__lmdb_begin_read(&s->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&s->lock);
    struct key_runs runs = svl__segment_runs(s, txn, s->runs);
    pthread_mutex_unlock(&s->lock);
    /* Of one that is written to, runs may have come that are not counted yet. */
    rc = svl__keyfilters_check(&runs.filters, is_active ? UINT32_MAX : runs.count, &code);
    if (rc == SVL_OK)
        rc = svl__lmdb_error(&s->lmdb, code, "key index");
    svl__lmdb_end_read(&s->lmdb, txn);
    if (rc != SVL_E_CORRUPT)
        return rc;
    report_segment(v, rc, svl_last_error());
    return SVL_OK;
}

/* Each key of each block has been found: one entry more is one that no block asked for. */
static int verify_count(struct verify *v)
{
    struct segment *s = v->segment;
    MDB_txn *txn;
    uint64_t ids;
    int code, rc = svl__lmdb_begin_read(&s->lmdb, &txn);
    if (rc != SVL_OK)
        return rc;
    struct key_runs runs = svl__segment_runs(s, txn, s->runs);
    rc = svl__keyruns_check(&runs, &ids, &code);
    if (rc == SVL_OK)
        rc = svl__lmdb_error(&s->lmdb, code, "key index");
    svl__lmdb_end_read(&s->lmdb, txn);
    if (rc == SVL_E_CORRUPT) {
        report_segment(v, rc, svl_last_error());
        return SVL_OK;
    }
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->set_count; i++)
        ids += svl__key_set_count(s->sets[i]);
    pthread_mutex_unlock(&s->lock);
    if (rc == SVL_OK && ids != v->keys)
        report_segment(v, SVL_E_CORRUPT,
                       "the key index names blocks for keys that they do not have");
    return rc;
}

/* LMDB's; tables whose pages are damaged are not walked. Those of a segment that is written to change while they are
 * read: what counts is how they were before the first commit. */
static int verify_pages(struct verify *v, bool is_active)
{
    struct segment *s = v->segment;
    struct error_words words;
    if (!is_active)
        svl__segment_forget_pages(s);
    int rc = svl__segment_check_commit(s);
    v->has_blocks = v->has_index = rc == SVL_OK;
    if (rc != SVL_E_CORRUPT)
        return rc;
    svl__words_keep(&words);
    rc = svl__segment_check_index(s);
    v->has_index = v->has_blocks = rc == SVL_OK;
    if (rc == SVL_OK) /* what is damaged is of commits */
        svl__words_restore(&words);
    if (rc == SVL_E_CORRUPT) {
        svl__words_keep(&words);
        rc = svl__lmdb_check_open(&s->lmdb, svl__index_tables, false);
        v->has_blocks = rc == SVL_OK;
        svl__words_restore(&words);
    }
    if (rc != SVL_OK && rc != SVL_E_CORRUPT && rc != SVL_E_VERSION)
        return rc;
    report_segment(v, SVL_E_CORRUPT, svl_last_error());
    return SVL_OK;
}

static int verify_whole_index(struct verify *v, bool is_active)
{
    int rc = verify_index(v);
    if (rc == SVL_OK)
        rc = verify_filters(v, is_active);
    if (rc == SVL_OK && !is_active && !v->damaged)
        rc = verify_count(v);
    return rc;
}

int svl__segment_verify(struct segment *segment, const struct segment_filter *filter,
                        bool is_active, segment_damage_fn *damage, segment_progress_fn *progress,
                        void *user)
{
    struct segment_info info;
    svl__segment_info_get(segment, &info);
    struct verify v = { .segment = segment,
                        .filter = filter,
                        .damage = damage,
                        .progress = progress,
                        .user = user,
                        .next_id = info.first_id,
                        .last_id = info.last_id };
    int rc = svl__block_reader_create(&v.reader);
    if (rc == SVL_OK)
        rc = verify_pages(&v, is_active);
    if (rc == SVL_OK)
        rc = v.has_blocks ? verify_blocks(&v) : progress(info.stored_bytes, user);
    if (rc == SVL_OK && v.has_index)
        rc = verify_whole_index(&v, is_active);
    svl__block_reader_destroy(v.reader);
    svl__buffer_free(&v.bytes);
    svl__buffer_free(&v.found);
    return rc == SVL_OK && v.damaged ? SVL_E_CORRUPT : rc;
}
