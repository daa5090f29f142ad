/* recover.c - what a crash, or a clean close, left: segments from the catalog, the rest from the
 * journal.
 *
 * Order: the catalog's list of segments; the active one's own watermark, which may be ahead of the
 * catalog by one commit; then the journal, of which everything above that watermark goes into the tail
 * again with the ids it has. Nothing is visible before the journal's open has returned. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/step.h"
#include "segment_filter.h"
#include "state.h"

static void note_damage(svl_store *store, const char *what)
{
    store->stats.damaged++;
    svl__log(&store->log, SVL_SEVERITY_ERROR, SVL_E_CORRUPT, "%s: %s", store->path, what);
}

/* Adds a segment that the catalog names. Only the active one must open: records follow it. A damaged
 * older one is reported here and by each query that reaches it. */
static int add_segment(svl_store *store, const struct segment_info *named)
{
    struct segment_info info = *named;
    struct segment *segment = NULL;
    char name[SEGMENT_NAME_BYTES];
    svl__segment_name(&info, name);
    if (info.state == SEGMENT_ACTIVE) {
        int rc = svl__segment_open(&store->segments.place, &info, &segment);
        if (rc != SVL_OK)
            return rc;
        svl__segment_info_get(segment, &info);
        info.state = SEGMENT_ACTIVE;
        if (svl__segment_lost_blocks(segment) > 0)
            note_damage(store, svl_last_error());
    } else {
        struct stat st;
        char what[96];
        snprintf(what, sizeof what, "segment file %s is missing", name);
        if (fstatat(store->directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            note_damage(store, what);
    }
    struct segment_entry *entry;
    int rc = svl__segments_prepare(&store->segments, &info, segment, &entry);
    if (rc != SVL_OK) {
        svl__segment_close(segment);
        return rc;
    }
    svl__segments_add(&store->segments, entry);
    if (info.last_id > store->committed_id && info.last_id >= info.first_id)
        store->committed_id = info.last_id;
    return SVL_OK;
}

static int add_segments(svl_store *store)
{
    struct segment_info *infos;
    size_t n;
    int rc = svl__catalog_segments(store->catalog, &infos, &n);
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        rc = add_segment(store, &infos[i]);
    svl__free(infos);
    return rc;
}

static bool is_named(svl_store *store, uint64_t first_id, uint32_t generation)
{
    struct segment_entry **held;
    size_t n;
    /* An empty one ends before its first id. Without memory to look: say yes, so that nothing is removed. */
    if (svl__segments_hold(&store->segments, first_id - 1, first_id, &held, &n) != SVL_OK)
        return true;
    bool named = false;
    for (size_t i = 0; i < n; i++) {
        struct segment_info info;
        svl__segment_entry_info(&store->segments, held[i], &info);
        named |= info.first_id == first_id && info.generation == generation;
        svl__segment_entry_release(&store->segments, held[i]);
    }
    svl__free(held);
    return named;
}

/* A segment file that the catalog does not name: retired, but not unlinked before a crash; or begun, but
 * not named yet; else somebody's, kept and reported. */
static void check_unnamed(svl_store *store, const char *name, uint64_t first_id)
{
    if (first_id < store->catalog_state.retention_floor ||
        svl__segment_file_is_empty(store->directory, name)) {
        svl__segment_file_remove(store->directory, name);
        STEP("recovery: unnamed segment removed");
        return;
    }
    char what[128];
    snprintf(what, sizeof what, "segment file %.31s is not in the catalog; it is left alone", name);
    note_damage(store, what);
}

/* What is in a filter is in its segment as well. */
static void check_filter(svl_store *store, const char *name, uint64_t first_id, uint32_t generation,
                         bool is_made)
{
    if (is_made && is_named(store, first_id, generation))
        return;
    unlinkat(store->directory, name, 0);
    STEP("recovery: filter of no segment removed");
}

static int check_unnamed_files(svl_store *store)
{
    DIR *listing;
    const struct dirent *entry;
    int rc = svl__directory_list(store->directory, store->path, &listing);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl__directory_next(listing, store->path, &entry)) == SVL_OK && entry) {
        uint64_t first_id;
        uint32_t generation;
        bool is_made;
        const char *name = entry->d_name;
        if (svl__segment_filter_name_parse(name, &first_id, &generation, &is_made))
            check_filter(store, name, first_id, generation, is_made);
        else if (svl__segment_name_parse(name, &first_id, &generation) &&
                 !is_named(store, first_id, generation))
            check_unnamed(store, name, first_id);
    }
    closedir(listing);
    return rc;
}

static int damaged_batch(const struct journal_batch *in, const char *what)
{
    return svl__fail(SVL_E_CORRUPT, "batch %llu of the journal: %s",
                     (unsigned long long)in->sequence, what);
}

/* Takes a WIRE section's records above committed_id. */
static int take_wire(const svl_store *store, const struct journal_batch *in,
                     const struct journal_section *section, uint64_t *id, struct batch *batch)
{
    const uint8_t *p = section->data;
    size_t left = section->len;
    if (section->count > section->len / WIRE_HEADER_BYTES) /* before memory is got for them */
        return damaged_batch(in, "it says to hold more records than it has bytes for");
    if (!svl__batch_reserve(batch, section->count, section->len))
        return SVL_E_NOMEM;
    for (uint32_t i = 0; i < section->count; i++) {
        uint32_t len = svl__wire_length(p, left);
        struct wire_view view;
        if (len == 0 || svl__wire_check(p, len, &view) != SVL_OK)
            return damaged_batch(in, "a record is damaged");
        if (*id > store->committed_id)
            svl__batch_append(batch, p, len);
        p += len;
        left -= len;
        ++*id;
    }
    return left == 0 ? SVL_OK : damaged_batch(in, "bytes behind its records");
}

/* Adds a record of a block as the wire record that it was. */
static int append_record(const svl_record *record, struct buffer *wire, struct batch *batch)
{
    uint32_t len = svl__wire_size(record);
    wire->len = 0;
    if (!buffer_reserve(wire, len) || !svl__batch_reserve(batch, 1, len))
        return SVL_E_NOMEM;
    svl__wire_encode(record, record->time_ns, wire->data);
    svl__batch_append(batch, wire->data, len);
    return SVL_OK;
}

/* It is a whole block, of the records that must be here, which came with the batch. */
static int check_block(const struct journal_batch *in, const struct journal_section *section,
                       uint64_t id, struct block_reader *reader)
{
    int rc = svl__block_reader_load(reader, section->data, section->len);
    const struct zone *zone = svl__block_reader_zone(reader);
    if (rc == SVL_OK && (zone->first_id != id || zone->count != section->count))
        rc = damaged_batch(in, "its block has other records");
    if (rc == SVL_OK &&
        (zone->ingest_min_ns != in->ingest_ns || zone->ingest_max_ns != in->ingest_ns))
        rc = damaged_batch(in, "its block has records of another time");
    return rc;
}

/* Takes a BLOCK section's records above committed_id. */
static int take_block(const svl_store *store, const struct journal_batch *in,
                      const struct journal_section *section, uint64_t *id, struct batch *batch)
{
    struct buffer wire = { 0 };
    struct block_reader *reader = NULL;
    svl_attribute *attributes = svl__malloc(RECORD_ATTRIBUTES_MAX * sizeof *attributes);
    int rc = attributes ? svl__block_reader_create(&reader) : SVL_E_NOMEM;
    if (rc == SVL_OK)
        rc = check_block(in, section, *id, reader);
    for (uint32_t i = 0; rc == SVL_OK && i < section->count; i++, ++*id) {
        svl_record record;
        rc = svl__block_reader_record(reader, i, attributes, &record);
        if (rc == SVL_OK && *id > store->committed_id)
            rc = append_record(&record, &wire, batch);
    }
    svl__block_reader_destroy(reader);
    svl__buffer_free(&wire);
    svl__free(attributes);
    return rc;
}

static int take_sections(svl_store *store, const struct journal_batch *in, struct batch *batch)
{
    uint64_t id = in->first_id;
    int rc = SVL_OK;
    for (uint32_t i = 0; rc == SVL_OK && i < in->section_count; i++) {
        const struct journal_section *section = &in->sections[i];
        if (section->kind == JOURNAL_WIRE)
            rc = take_wire(store, in, section, &id, batch);
        else if (section->kind == JOURNAL_BLOCK)
            rc = take_block(store, in, section, &id, batch);
        else if (section->kind == JOURNAL_OPS && store->reader)
            continue; /* values are the writer's */
        else if (section->kind == JOURNAL_OPS)
            rc = svl__values_apply(&store->values, (svl_slice){ section->data, section->len },
                                   section->count, in->last_op, store->catalog_state.last_op);
        else
            rc = svl__fail(SVL_E_VERSION, "the journal has sections of kind %u", section->kind);
    }
    if (rc == SVL_OK && id != in->first_id + in->count)
        rc = damaged_batch(in, "its sections hold another number of records");
    return rc;
}

/* The same of operations; the catalog has all of a batch's or none. */
static int check_ops_follow(const svl_store *store, const struct journal_batch *in)
{
    uint64_t ops = 0;
    for (uint32_t i = 0; i < in->section_count; i++)
        if (in->sections[i].kind == JOURNAL_OPS)
            ops += in->sections[i].count;
    if (store->reader || in->last_op <= store->catalog_state.last_op ||
        in->last_op == store->durable_op + ops)
        return SVL_OK;
    return damaged_batch(in, "its operations do not follow those before");
}

/* The batch's records follow those before it without a gap, or the log has a hole. */
static int check_follows(const svl_store *store, const struct journal_batch *in)
{
    if (in->count == 0)
        return SVL_OK;
    bool has_taken = store->tail.durable_id > store->committed_id;
    if (in->first_id == 0 || (has_taken && in->first_id <= store->tail.durable_id))
        return damaged_batch(in, "its records have ids of the batch before");
    if (in->first_id > store->tail.durable_id + 1)
        return svl__fail(
            SVL_E_CORRUPT, "records %llu to %llu are neither in a segment nor in the journal",
            (unsigned long long)store->tail.durable_id + 1, (unsigned long long)in->first_id - 1);
    return SVL_OK;
}

int svl__store_replay(const struct journal_batch *in, void *user)
{
    svl_store *store = user;
    int rc = check_follows(store, in);
    if (rc == SVL_OK)
        rc = check_ops_follow(store, in);
    if (rc != SVL_OK)
        return rc;
    for (uint32_t i = 0; i < in->ring_count; i++)
        svl__rings_note(store, &in->rings[i]);
    if (in->last_op > store->durable_op)
        store->durable_op = in->last_op;
    store->ingest_last_ns = in->ingest_ns; /* of the newest one: it may lie before a step back */
    struct batch *batch = svl__batch_create();
    if (!batch)
        return SVL_E_NOMEM;
    batch->first_id = in->first_id > store->committed_id ? in->first_id : store->committed_id + 1;
    rc = take_sections(store, in, batch);
    uint32_t count = batch->count;
    if (rc == SVL_OK && count > 0) {
        rc = svl__batch_set_ingest(batch, in->ingest_ns) ? SVL_OK : SVL_E_NOMEM;
        pthread_mutex_lock(&store->lock);
        if (rc == SVL_OK)
            rc = svl__tail_add_batch(&store->tail, batch);
        pthread_mutex_unlock(&store->lock);
    }
    if (rc != SVL_OK || count == 0) {
        svl__batch_release(batch);
        return rc;
    }
    /* Encoded as it comes, so that memory stays bounded however long the journal is. */
    if (store->reader) {
        if (store->tail.bytes >= store->options.tail_bytes)
            rc = svl__encode_all(store);
        return rc == SVL_E_NOMEM ? SVL_OK : rc; /* the batch is taken; encoded with the next */
    }
    store->stats.recovered_records += count;
    if (store->tail.wire_bytes >= store->options.block_bytes)
        rc = svl__encode_round(store);
    return rc;
}

void svl__store_identify(svl_store *store)
{
    svl__catalog_state_get(store->catalog, &store->catalog_state);
    memcpy(store->uuid, store->catalog_state.store_uuid, sizeof store->uuid);
    memcpy(store->segments.place.store_uuid, store->uuid, sizeof store->uuid);
}

/* Before anybody can ask for retention: it must not go by a wrong date, also not one that was set less
 * than an hour before the store was closed. */
static int start_clock(svl_store *store)
{
    struct buffer value = { 0 };
    int rc = svl__store_value(store, (svl_slice){ CLOCK_FORWARD_KEY, sizeof CLOCK_FORWARD_KEY - 1 },
                              &value);
    if (rc == SVL_OK && value.len == sizeof store->clock_kept_ns)
        store->clock_kept_ns = (int64_t)load_u64(value.data);
    svl__buffer_free(&value);
    store->clock_step_ns = svl__clock_watch_start(&store->clock, svl__wall_ns(), svl__boot_ns(),
                                                  store->ingest_last_ns, store->clock_kept_ns);
    return rc == SVL_E_NOT_FOUND ? SVL_OK : rc;
}

/* It had a journal: the bell is made after that, at the end of the first open. */
static bool has_run_before(const svl_store *store)
{
    struct stat st;
    return store->committed_id > 0 ||
           fstatat(store->directory, BELL_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int svl__store_recover(svl_store *store)
{
    svl__store_identify(store);
    store->committed_id =
        store->catalog_state.next_id_floor ? store->catalog_state.next_id_floor - 1 : 0;
    store->ingest_last_ns = store->catalog_state.ingest_last_ns;
    store->durable_op = store->catalog_state.last_op;
    int rc = add_segments(store);
    STEP("recovery: segments open");
    if (rc == SVL_OK)
        rc = check_unnamed_files(store);
    if (rc == SVL_OK)
        rc = svl__rings_load(store);
    if (rc != SVL_OK)
        return rc;
    store->tail.encoded_id = store->tail.durable_id = store->committed_id;
    store->committed_op = store->catalog_state.last_op;

    struct journal_options options = { .directory = store->directory,
                                       .file_mode = store->options.file_mode,
                                       .file_bytes_first = 256 << 10,
                                       .file_bytes_max = store->options.journal_file_bytes_max };
    memcpy(options.store_uuid, store->uuid, sizeof options.store_uuid);
    struct journal_recovery recovery;
    bool has_run = has_run_before(store);
    rc = svl__journal_open(&options, svl__store_replay, store, &recovery, &store->journal);
    if (rc == SVL_OK && recovery.files == 0 && has_run)
        svl__log(&store->log, SVL_SEVERITY_WARN, SVL_OK,
                 "%s: the journal is gone: what was not committed to a segment is lost",
                 store->path);
    if (rc == SVL_OK)
        rc = svl__rings_keep(store);
    STEP("recovery: positions of rings kept");
    if (rc == SVL_OK)
        rc = start_clock(store);
    if (rc != SVL_OK)
        return rc;
    store->next_id = store->tail.durable_id + 1;
    store->next_ticket = 1;
    store->last_op = store->durable_op;
    store->durable_ingest_ns = store->ingest_last_ns;
    /* The segment may be ahead of the catalog, by which other processes go: until a commit has told them, the
     * journal keeps what they do not know of. */
    uint64_t known_id =
        store->catalog_state.next_id_floor ? store->catalog_state.next_id_floor - 1 : 0;
    if (store->tail.durable_id > known_id || store->values.count > 0)
        store->oldest_uncommitted_ns = svl__monotonic_ns();
    svl__journal_recycle(store->journal, known_id, store->committed_op);
    STEP("recovery: journal recycled");
    if (store->stats.recovered_records > 0)
        svl__log(&store->log, SVL_SEVERITY_INFO, SVL_OK,
                 "%s: %llu records recovered from the journal", store->path,
                 (unsigned long long)store->stats.recovered_records);
    return SVL_OK;
}
