/* cursor.c - from unit to unit, and the records handed out.
 *
 * Forwards the walk is: segments, blocks of the tail, batches of the tail; backwards the reverse. A
 * damaged block, or one whose zone is, is reported once and passed; a damaged key index is reported once, and all
 * blocks of its segment are read. */
#include "cursor.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/thread.h"

/* Attributes of one step of svl_cursor_next_many(): at least one record's. */
#define ATTRIBUTES_AT_ONCE 1024
#define RECORDS_AT_ONCE 1024

#define EXPLANATION_FIRST_SIZE sizeof(svl_cursor_explanation)

/* The n-th of `count` in the order of the walk. */
static size_t in_order(const svl_cursor *cursor, size_t n, size_t count)
{
    return cursor->conditions.backward ? count - 1 - n : n;
}

bool svl__is_damage(int rc)
{
    return rc == SVL_E_CORRUPT || rc == SVL_E_VERSION || rc == SVL_E_FOREIGN || rc == SVL_E_CODEC;
}

/* Damage of the block at hand, with the file that it is in. */
static int name_place(const svl_cursor *cursor, int rc)
{
    char name[SEGMENT_NAME_BYTES];
    if (!svl__is_damage(rc) || cursor->unit_segment.first_id == 0)
        return rc;
    svl__segment_name(&cursor->unit_segment, name);
    return svl__fail_at(rc, "%s, block of record %llu", name,
                        (unsigned long long)cursor->unit_block);
}

static int note_damage(svl_cursor *cursor, int rc)
{
    if (rc == SVL_E_CORRUPT) {
        pthread_mutex_lock(&cursor->store->lock);
        cursor->store->stats.damaged++;
        pthread_mutex_unlock(&cursor->store->lock);
    }
    return rc;
}

static int load_block(svl_cursor *cursor, const struct zone *zone, const void *data, size_t len,
                      uint64_t id_min)
{
    cursor->explanation.blocks_decoded++;
    int rc = svl__block_reader_load_of(cursor->reader, zone, data, len);
    if (rc == SVL_OK)
        rc = svl__unit_filter_block(cursor, id_min);
    return note_damage(cursor, name_place(cursor, rc));
}

static void leave_segment(svl_cursor *cursor)
{
    cursor->in_segment = false;
    cursor->segment_next++;
}

/* Damage of the zone that comes next: its block is passed, or all behind it where no zone can be found. */
static int pass_zone(svl_cursor *cursor, struct segment *segment, int rc)
{
    bool backward = cursor->conditions.backward;
    uint64_t *at = backward ? &cursor->segment_to : &cursor->segment_from;
    if (!svl__is_damage(rc))
        return rc;
    struct error_words words;
    svl__words_keep(&words);
    int passed = svl__segment_pass_zone(segment, *at, backward, at);
    if (passed != SVL_OK && !svl__is_damage(passed))
        return passed;
    if (passed != SVL_OK)
        leave_segment(cursor);
    svl__words_restore(&words);
    return rc;
}

/* Some more zones of the segment: none only where nothing is left to look at. */
static int fetch_zones(svl_cursor *cursor, struct segment *segment)
{
    cursor->zone_next = cursor->zone_count = 0;
    if (cursor->segment_from > cursor->segment_to)
        return SVL_E_END;
    int rc = svl__segment_zones(segment, cursor->segment_from, cursor->segment_to,
                                cursor->conditions.backward, cursor->zones, ZONES_AT_ONCE,
                                &cursor->zone_count);
    if (rc != SVL_OK)
        cursor->zone_count = 0;
    return pass_zone(cursor, segment, rc);
}

/* Blocks lie without a gap (S1): what lies between the ids looked at and `zone` (NULL: no more of them) is
 * lost. Told once, then passed. */
static int check_follows(svl_cursor *cursor, const struct segment_info *info,
                         const struct zone *zone)
{
    uint64_t from = cursor->segment_from, to = cursor->segment_to;
    if (cursor->conditions.backward) {
        uint64_t last_id = zone ? zone->first_id + zone->count - 1 : from - 1;
        if (last_id >= to)
            return SVL_OK;
        from = last_id + 1;
        cursor->segment_to = last_id;
    } else {
        uint64_t first_id = zone ? zone->first_id : to + 1;
        if (first_id <= from)
            return SVL_OK;
        to = first_id - 1;
        cursor->segment_from = first_id;
    }
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(info, name);
    return svl__fail(SVL_E_CORRUPT, "%s: records %llu to %llu have no zone", name,
                     (unsigned long long)from, (unsigned long long)to);
}

/* The next block of the segment's zones that may hold something; *zone is it. SVL_E_END: no more. */
static int next_zone(svl_cursor *cursor, struct segment *segment, const struct segment_info *info,
                     struct zone *zone)
{
    for (;;) {
        int rc = SVL_OK;
        if (cursor->zone_next == cursor->zone_count)
            rc = fetch_zones(cursor, segment);
        bool more = cursor->zone_next < cursor->zone_count;
        if (rc == SVL_OK)
            rc = check_follows(cursor, info, more ? &cursor->zones[cursor->zone_next] : NULL);
        if (rc != SVL_OK)
            return rc;
        *zone = cursor->zones[cursor->zone_next++];
        if (cursor->conditions.backward)
            cursor->segment_to = zone->first_id - 1;
        else
            cursor->segment_from = zone->first_id + zone->count;
        cursor->explanation.blocks++;
        if (svl__conditions_meet_zone(&cursor->conditions, zone))
            return SVL_OK;
        cursor->explanation.blocks_skipped_zone++;
    }
}

static int missing_zone(const struct segment_info *info, uint64_t first_id)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(info, name);
    return svl__fail(SVL_E_CORRUPT, "%s, zone of block %llu: it is missing", name,
                     (unsigned long long)first_id);
}

/* The same, for the blocks that the key index names. */
static int next_candidate(svl_cursor *cursor, struct segment *segment,
                          const struct segment_info *info, struct zone *zone)
{
    const struct conditions *c = &cursor->conditions;
    size_t count = cursor->candidates.len / sizeof(uint64_t);
    while (cursor->candidate_next < count) {
        size_t at = in_order(cursor, cursor->candidate_next++, count);
        uint64_t first_id = load_u64(cursor->candidates.data + at * sizeof(uint64_t));
        size_t n;
        int rc = svl__segment_zones(segment, first_id, first_id, false, zone, 1, &n);
        if (rc == SVL_OK && (n == 0 || zone->first_id != first_id))
            rc = missing_zone(info, first_id);
        if (rc != SVL_OK)
            return rc;
        cursor->explanation.blocks++;
        if (svl__conditions_meet_zone(c, zone))
            return SVL_OK;
        cursor->explanation.blocks_skipped_zone++;
    }
    return SVL_E_END;
}

/* Enters the next segment: its id range, and with a key condition the blocks that the index names. */
static int enter_segment(svl_cursor *cursor, struct segment *segment,
                         const struct segment_info *info)
{
    const struct conditions *c = &cursor->conditions;
    cursor->segment_from = c->id_min > info->first_id ? c->id_min : info->first_id;
    cursor->segment_to = c->id_max < cursor->committed_id ? c->id_max : cursor->committed_id;
    if (cursor->segment_to > info->last_id)
        cursor->segment_to = info->last_id;
    cursor->zone_count = cursor->zone_next = 0;
    cursor->candidates.len = 0;
    cursor->candidate_next = 0;
    cursor->in_segment = true;
    cursor->walks_zones = c->key.kind == SVL_KEY_ANY;
    if (cursor->walks_zones)
        return SVL_OK;
    bool is_whole;
    int rc = svl__segment_find_keys(segment, &c->key, cursor->segment_from, cursor->segment_to,
                                    &cursor->candidates, &is_whole);
    cursor->walks_zones = svl__is_damage(rc) && !is_whole;
    if (!is_whole)
        return rc;
    uint64_t named = cursor->candidates.len / sizeof(uint64_t);
    uint64_t skipped = info->blocks > named ? info->blocks - named : 0;
    cursor->explanation.blocks += skipped;
    cursor->explanation.blocks_skipped_key += skipped;
    return rc; /* damage is told, and the blocks are known */
}

/* The bytes of the next block of the segment, and its zone. */
static int read_segment(svl_cursor *cursor, struct segment *segment,
                        const struct segment_info *info, struct zone *zone)
{
    int rc = cursor->in_segment ? SVL_OK : enter_segment(cursor, segment, info);
    if (rc == SVL_OK)
        rc = cursor->walks_zones ? next_zone(cursor, segment, info, zone)
                                 : next_candidate(cursor, segment, info, zone);
    if (rc != SVL_OK)
        return rc;
    cursor->unit_segment = *info;
    cursor->unit_block = zone->first_id;
    return svl__segment_read_block(segment, zone->first_id, &cursor->block_bytes);
}

static bool may_skip_segment(const svl_cursor *cursor, const struct segment_info *info)
{
    const struct conditions *c = &cursor->conditions;
    return info->blocks > 0 && !conditions_meet_times(c, info->time_min_ns, info->time_max_ns);
}

/* What this cursor was still to read of it: what has come to the segment since lies in the tail. */
static void note_retired(svl_cursor *cursor, const struct segment_info *info)
{
    const struct conditions *c = &cursor->conditions;
    uint64_t first = info->first_id > c->id_min ? info->first_id : c->id_min;
    uint64_t last = info->last_id < c->id_max ? info->last_id : c->id_max;
    if (last > cursor->committed_id)
        last = cursor->committed_id;
    if (cursor->in_segment && cursor->segment_from > first)
        first = cursor->segment_from;
    if (first <= last && !c->backward)
        svl__note_gap(cursor, first, last);
}

/* Of a backward cursor those behind a retired one are retired as well. Some may be open here and can be read, but of
 * what is missing before them nobody would be told. */
static int end_segments(svl_cursor *cursor)
{
    cursor->segment_next = cursor->segment_count;
    return SVL_E_END;
}

/* The next unit in the segments: SVL_E_END when they are done. */
static int next_in_segments(svl_cursor *cursor)
{
    struct segment_set *set = &cursor->store->segments;
    while (cursor->segment_next < cursor->segment_count) {
        size_t at = in_order(cursor, cursor->segment_next, cursor->segment_count);
        struct segment_info info;
        svl__segment_entry_info(set, cursor->segments[at], &info);
        if (!cursor->in_segment && may_skip_segment(cursor, &info)) {
            cursor->explanation.segments_skipped++;
            leave_segment(cursor);
            continue;
        }
        struct segment *segment;
        struct zone zone;
        int rc = svl__segment_use(set, cursor->segments[at], &segment);
        if (rc == SVL_OK) {
            rc = note_damage(cursor, read_segment(cursor, segment, &info, &zone));
            svl__segment_unuse(set, cursor->segments[at]);
        } else if (svl__is_damage(rc)) {
            bool retired = svl__reader_is_gone(cursor->store, cursor->segments[at]);
            if (retired)
                note_retired(cursor, &info);
            leave_segment(cursor); /* told once, then passed */
            if (retired && cursor->conditions.backward)
                return end_segments(cursor);
            if (retired)
                continue;
            note_damage(cursor, rc);
        }
        if (rc == SVL_OK)
            return load_block(cursor, &zone, cursor->block_bytes.data, cursor->block_bytes.len, 0);
        if (rc != SVL_E_END)
            return rc;
        leave_segment(cursor);
    }
    return SVL_E_END;
}

static int load_tail_block(svl_cursor *cursor, const struct block *block)
{
    cursor->unit_segment.first_id = 0;
    return load_block(cursor, &block->zone, block->data, block->len, cursor->tail_from);
}

static int next_in_blocks(svl_cursor *cursor)
{
    const struct conditions *c = &cursor->conditions;
    while (cursor->block_next < cursor->block_count) {
        size_t at = in_order(cursor, cursor->block_next++, cursor->block_count);
        const struct block *block = cursor->blocks[at];
        cursor->explanation.blocks++;
        if (!svl__conditions_meet_zone(c, &block->zone))
            cursor->explanation.blocks_skipped_zone++;
        else if (c->key.kind != SVL_KEY_ANY &&
                 (!block->keys || !svl__key_set_matches(block->keys, &c->key)))
            cursor->explanation.blocks_skipped_key++;
        else
            return load_tail_block(cursor, block);
    }
    return SVL_E_END;
}

static int next_in_batches(svl_cursor *cursor)
{
    if (cursor->batch_next == cursor->batch_count)
        return SVL_E_END;
    size_t at = in_order(cursor, cursor->batch_next++, cursor->batch_count);
    cursor->batch = cursor->batches[at];
    return svl__unit_filter_batch(cursor);
}

static int next_unit(svl_cursor *cursor)
{
    static int (*const forward[])(svl_cursor *) = { next_in_segments, next_in_blocks,
                                                    next_in_batches };
    for (int i = 0; i < 3; i++) {
        int rc = forward[cursor->conditions.backward ? 2 - i : i](cursor);
        if (rc != SVL_E_END)
            return rc;
    }
    return SVL_E_END;
}

/* Behind damage the walk goes on; behind anything else that fails something could be left out unseen. */
static int note_failure(svl_cursor *cursor, int rc)
{
    if (rc != SVL_OK && rc != SVL_E_END && !svl__is_damage(rc))
        cursor->failed = rc;
    return rc;
}

/* Goes on until a unit has a record that its columns let through. */
static int find_rows(svl_cursor *cursor, int64_t deadline_ns, bool *waited)
{
    while (cursor->matches.next == cursor->matches.count) {
        int rc = note_failure(cursor, next_unit(cursor));
        if (rc == SVL_E_END && cursor->follows) {
            /* However fast records come that do not match. */
            if (*waited && svl__monotonic_ns() >= deadline_ns)
                return SVL_E_TIMEOUT;
            rc = svl__cursor_follow(cursor, deadline_ns);
            *waited = true;
        }
        if (rc != SVL_OK)
            return rc;
    }
    return SVL_OK;
}

static int make_records(svl_cursor *cursor, size_t n)
{
    if (!cursor->attributes)
        cursor->attributes = svl__malloc(ATTRIBUTES_AT_ONCE * sizeof *cursor->attributes);
    if (!cursor->attributes)
        return SVL_E_NOMEM;
    if (cursor->record_capacity >= n)
        return SVL_OK;
    svl_record *records = svl__realloc(cursor->records, n * sizeof *records);
    if (!records)
        return SVL_E_NOMEM;
    cursor->records = records;
    cursor->record_capacity = n;
    return SVL_OK;
}

/* A follower may wait; another never does, and may be asked in any callback. */
static int check_step(const svl_cursor *cursor, int64_t timeout_ms)
{
    if (svl__forked(cursor->store->process_mark))
        return svl__fail(SVL_E_FORKED, "the cursor was opened before fork()");
    return cursor->follows && timeout_ms != 0
               ? svl__store_check_wait(cursor->store, "svl_cursor_next")
               : SVL_OK;
}

/* Hands out at most `wanted` of the unit's rows: *n, none where the pattern matches none of them. */
static int take_rows(svl_cursor *cursor, size_t wanted, size_t *n)
{
    struct matches *m = &cursor->matches;
    size_t attributes = 0;
    int rc = SVL_OK;
    *n = 0;
    while (m->next < m->count && *n < wanted &&
           attributes + RECORD_ATTRIBUTES_MAX <= ATTRIBUTES_AT_ONCE) {
        svl_record *record = &cursor->records[*n];
        bool matches;
        rc = svl__unit_record(cursor, m->rows[m->next], cursor->attributes + attributes, record,
                              &matches);
        if (rc != SVL_OK)
            break;
        m->next++;
        if (matches) {
            attributes += record->attribute_count;
            ++*n;
        }
    }
    /* What is wrong with a record is told now, or after those before it. */
    if (rc == SVL_OK || *n > 0)
        return SVL_OK;
    if (rc == SVL_E_LIMIT) {
        uint64_t id = cursor->unit_first_id + m->rows[m->next++];
        return svl__fail_at(rc, "record %llu", (unsigned long long)id);
    }
    m->next = m->count; /* a record that cannot be read ends its block */
    return note_failure(cursor, name_place(cursor, rc));
}

/* Goes on until records match: at most `max` of them, *n. */
static int step(svl_cursor *cursor, int64_t deadline_ns, size_t max, size_t *n)
{
    if (cursor->explanation.records_returned == cursor->limit)
        return SVL_E_END;
    if (cursor->failed)
        return svl__fail(cursor->failed, "the cursor stopped at a failure; query again");
    bool waited = false;
    int rc = SVL_OK;
    while (rc == SVL_OK && *n == 0) {
        rc = find_rows(cursor, deadline_ns, &waited);
        if (rc != SVL_OK)
            break;
        size_t wanted = cursor->matches.count - cursor->matches.next;
        uint64_t left = cursor->limit - cursor->explanation.records_returned;
        wanted = wanted < max ? wanted : max;
        wanted = wanted < left ? wanted : (size_t)left;
        wanted = wanted < RECORDS_AT_ONCE ? wanted : RECORDS_AT_ONCE;
        rc = note_failure(cursor, make_records(cursor, wanted));
        if (rc == SVL_OK)
            rc = take_rows(cursor, wanted, n);
    }
    return rc;
}

int svl_cursor_next_many(svl_cursor *cursor, int64_t timeout_ms, size_t max,
                         const svl_record **records, size_t *n)
{
    if (records)
        *records = NULL;
    if (n)
        *n = 0;
    if (!cursor || !records || !n || max == 0)
        return svl__fail(SVL_E_INVALID, "cursor, records or n is NULL, or max is 0");
    size_t taken = 0;
    int rc = check_step(cursor, timeout_ms);
    if (rc == SVL_OK)
        rc = step(cursor, cursor->follows ? svl__deadline_ns(timeout_ms) : 0, max, &taken);
    if (rc != SVL_OK)
        return rc;
    cursor->explanation.records_returned += taken;
    *records = cursor->records;
    *n = taken;
    return SVL_OK;
}

int svl_cursor_next(svl_cursor *cursor, int64_t timeout_ms, const svl_record **record)
{
    size_t n;
    return svl_cursor_next_many(cursor, timeout_ms, 1, record, &n);
}

int svl_cursor_explain(const svl_cursor *cursor, svl_cursor_explanation *explanation)
{
    if (!cursor)
        return svl__fail(SVL_E_INVALID, "cursor is NULL");
    if (svl__forked(cursor->store->process_mark))
        return svl__fail(SVL_E_FORKED, "the cursor was opened before fork()");
    svl_cursor_explanation now = cursor->explanation;
    now.chunks_decoded = svl__block_reader_chunks(cursor->reader);
    return svl__options_fill(explanation, &now, sizeof now, EXPLANATION_FIRST_SIZE,
                             "svl_cursor_explanation");
}

void svl__cursor_leave_out(svl_cursor *cursor, struct buffer *ids)
{
    cursor->left_out = *ids;
    *ids = (struct buffer){ 0 };
}

void svl_cursor_close(svl_cursor *cursor)
{
    if (!cursor || svl__forked(cursor->store->process_mark))
        return; /* in a forked child the locks are the parent's: the memory goes with the process */
    svl_store *store = cursor->store;
    svl__snapshot_drop(cursor);
    svl__block_reader_destroy(cursor->reader);
    svl__buffer_free(&cursor->block_bytes);
    svl__buffer_free(&cursor->candidates);
    svl__buffer_free(&cursor->left_out);
    svl__free(cursor->matches.rows);
    svl__free(cursor->records);
    svl__free(cursor->attributes);
    svl__free(cursor->copied);
    svl__selection_destroy(cursor->own_selection);
    svl__free(cursor);
    svl__store_release(store);
}
