/* unit.c - one block or batch against the conditions of a query.
 *
 * Rows start as all those in the id range; each condition keeps some of them. The cheap columns come
 * first, and a column that no condition names is not decoded. */
#include <string.h>

#include "base/alloc.h"
#include "cursor.h"
#include "keymarks.h"

/* Marks are made for who looks at such a part of a batch, or more. */
#define MARKS_PART 4

bool svl__conditions_meet_zone(const struct conditions *c, const struct zone *zone)
{
    if (!conditions_meet_times(c, zone->time_min_ns, zone->time_max_ns))
        return false;
    return (zone->severity_mask & c->severity_mask) != 0;
}

static bool name_meets(const struct name_condition *condition, svl_slice name)
{
    size_t len = condition->text.len;
    if (len == 0)
        return true;
    return (condition->is_prefix ? name.len >= len : name.len == len) &&
           memcmp(name.data, condition->text.data, len) == 0;
}

static bool severity_meets(const struct conditions *c, uint32_t severity)
{
    return severity <= SVL_SEVERITY_MAX && (c->severity_mask >> severity & 1) != 0;
}

bool svl__conditions_meet_view(const struct conditions *c, const struct wire_view *view)
{
    if (!conditions_hold_times(c, view->time_ns, view->time_ns) ||
        !severity_meets(c, view->severity))
        return false;
    if (!name_meets(&c->source, view->source) || !name_meets(&c->type, view->type))
        return false;
    if (c->key.kind == SVL_KEY_ANY)
        return true;
    return view->key.len > 0 && svl__key_locate(&c->key, view->key) == 0;
}

static bool make_room(struct matches *matches, uint32_t rows)
{
    if (matches->capacity >= rows)
        return true;
    uint32_t *grown = svl__realloc(matches->rows, rows * sizeof *grown);
    if (!grown)
        return false;
    matches->rows = grown;
    matches->capacity = rows;
    return true;
}

/* All rows of the unit whose ids are in the query's range and at or above `id_min`, ascending. */
static int start_rows(svl_cursor *cursor, uint64_t first_id, uint32_t count, uint64_t id_min)
{
    const struct conditions *c = &cursor->conditions;
    struct matches *matches = &cursor->matches;
    matches->count = matches->next = 0;
    cursor->unit_first_id = first_id;
    if (!make_room(matches, count))
        return SVL_E_NOMEM;
    if (id_min < c->id_min)
        id_min = c->id_min;
    /* The query's ids may lie far from the unit's: cut in 64 bits. */
    uint64_t from = id_min > first_id ? id_min - first_id : 0;
    uint64_t to = c->id_max < first_id           ? 0
                  : c->id_max - first_id < count ? c->id_max - first_id + 1
                                                 : count;
    for (uint64_t row = from; row < to; row++)
        matches->rows[matches->count++] = (uint32_t)row;
    cursor->explanation.records_examined += matches->count;
    return SVL_OK;
}

static void turn_around(svl_cursor *cursor)
{
    struct matches *matches = &cursor->matches;
    if (!cursor->conditions.backward)
        return;
    for (uint32_t i = 0, j = matches->count; i + 1 < j; i++) {
        uint32_t row = matches->rows[i];
        matches->rows[i] = matches->rows[--j];
        matches->rows[j] = row;
    }
}

static int keep_times(svl_cursor *cursor)
{
    const struct conditions *c = &cursor->conditions;
    const struct zone *zone = svl__block_reader_zone(cursor->reader);
    if (conditions_hold_times(c, zone->time_min_ns, zone->time_max_ns))
        return SVL_OK;
    const int64_t *times;
    int rc = svl__block_reader_times(cursor->reader, &times);
    if (rc != SVL_OK)
        return rc;
    struct matches *m = &cursor->matches;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        int64_t time_ns = times[m->rows[i]];
        m->rows[kept] = m->rows[i];
        kept += conditions_hold_times(c, time_ns, time_ns);
    }
    m->count = kept;
    return SVL_OK;
}

static int keep_severities(svl_cursor *cursor)
{
    const struct conditions *c = &cursor->conditions;
    if ((svl__block_reader_zone(cursor->reader)->severity_mask & ~c->severity_mask) == 0)
        return SVL_OK;
    const uint8_t *severities;
    int rc = svl__block_reader_severities(cursor->reader, &severities);
    if (rc != SVL_OK)
        return rc;
    struct matches *m = &cursor->matches;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        m->rows[kept] = m->rows[i];
        kept += severity_meets(c, severities[m->rows[i]]);
    }
    m->count = kept;
    return SVL_OK;
}

/* Keeps the rows whose index lies in [low, high). */
static void keep_indices(struct matches *m, const uint32_t *index, uint32_t low, uint32_t high)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t at = index[m->rows[i]];
        m->rows[kept] = m->rows[i];
        kept += at >= low && at < high;
    }
    m->count = kept;
}

typedef int column_fn(struct block_reader *, const uint32_t **, const svl_slice **, uint32_t *);

static int keep_names(svl_cursor *cursor, column_fn *column, const struct name_condition *wanted)
{
    const uint32_t *index;
    const svl_slice *dictionary;
    uint32_t n;
    int rc = column(cursor->reader, &index, &dictionary, &n);
    if (rc != SVL_OK)
        return rc;
    /* What the row before had is likely what this one has. */
    struct matches *m = &cursor->matches;
    uint32_t kept = 0, last = UINT32_MAX;
    bool meets = false;
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t at = index[m->rows[i]];
        if (at != last)
            meets = name_meets(wanted, dictionary[at]);
        last = at;
        m->rows[kept] = m->rows[i];
        kept += meets;
    }
    m->count = kept;
    return SVL_OK;
}

/* The dictionary is sorted, and keys that match stand together. */
static int keep_keys(svl_cursor *cursor)
{
    const struct key_condition *condition = &cursor->conditions.key;
    const uint32_t *index;
    const svl_slice *dictionary;
    uint32_t n;
    int rc = svl__block_reader_keys(cursor->reader, &index, &dictionary, &n);
    if (rc != SVL_OK)
        return rc;
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (svl__key_locate(condition, dictionary[middle]) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t end = low;
    for (high = n; end < high;) {
        uint32_t middle = end + (high - end) / 2;
        if (svl__key_locate(condition, dictionary[middle]) <= 0)
            end = middle + 1;
        else
            high = middle;
    }
    keep_indices(&cursor->matches, index, low, end);
    return SVL_OK;
}

/* Rows and the ids left out both ascend. */
static void leave_out(svl_cursor *cursor)
{
    const uint64_t *ids = (const uint64_t *)(const void *)cursor->left_out.data;
    size_t n = cursor->left_out.len / sizeof *ids, at = 0, high = n;
    struct matches *m = &cursor->matches;
    while (at < high) {
        size_t middle = at + (high - at) / 2;
        if (ids[middle] < cursor->unit_first_id)
            at = middle + 1;
        else
            high = middle;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t id = cursor->unit_first_id + m->rows[i];
        while (at < n && ids[at] < id)
            at++;
        m->rows[kept] = m->rows[i];
        kept += at == n || ids[at] != id;
    }
    m->count = kept;
}

int svl__unit_filter_block(svl_cursor *cursor, uint64_t id_min)
{
    const struct conditions *c = &cursor->conditions;
    const struct zone *zone = svl__block_reader_zone(cursor->reader);
    cursor->batch = NULL;
    int rc = start_rows(cursor, zone->first_id, zone->count, id_min);
    if (rc == SVL_OK)
        rc = keep_times(cursor);
    if (rc == SVL_OK && cursor->matches.count > 0)
        rc = keep_severities(cursor);
    if (rc == SVL_OK && c->key.kind != SVL_KEY_ANY && cursor->matches.count > 0)
        rc = keep_keys(cursor);
    if (rc == SVL_OK && c->source.text.len > 0 && cursor->matches.count > 0)
        rc = keep_names(cursor, svl__block_reader_sources, &c->source);
    if (rc == SVL_OK && c->type.text.len > 0 && cursor->matches.count > 0)
        rc = keep_names(cursor, svl__block_reader_types, &c->type);
    if (rc != SVL_OK)
        cursor->matches.count = 0;
    leave_out(cursor);
    turn_around(cursor);
    return rc;
}

/* Of the rows those whose key has the mark of the one asked for: the others are not looked at. */
static void keep_marked(svl_cursor *cursor)
{
    const struct key_condition *key = &cursor->conditions.key;
    struct matches *m = &cursor->matches;
    if (key->kind != SVL_KEY_EXACT || m->count == 0)
        return;
    /* Making them takes all of the batch apart: a follower looks at the few records that are new. */
    bool make = m->count >= cursor->batch->count / MARKS_PART;
    const uint16_t *marks = svl__key_marks(cursor->batch, make);
    if (!marks)
        return;
    uint16_t mark = svl__key_mark(key->low);
    uint32_t before = m->count, kept = 0;
    bool has = svl__key_marks_have(marks + m->rows[0], before, mark); /* they follow each other */
    for (uint32_t i = 0; has && i < before; i++) {
        m->rows[kept] = m->rows[i];
        kept += marks[m->rows[i]] == mark;
    }
    m->count = kept;
    cursor->explanation.records_examined -= before - kept;
}

int svl__unit_filter_batch(svl_cursor *cursor)
{
    const struct batch *batch = cursor->batch;
    /* The first records of a batch may be in a block already. */
    int rc = start_rows(cursor, batch->first_id, batch->count, cursor->batch_from);
    struct matches *m = &cursor->matches;
    uint32_t kept = 0;
    if (rc == SVL_OK)
        keep_marked(cursor);
    for (uint32_t i = 0; rc == SVL_OK && i < m->count; i++) {
        svl_slice wire = svl__batch_wire(batch, m->rows[i]);
        struct wire_view view;
        rc = svl__wire_view(wire.data, wire.len, &view);
        m->rows[kept] = m->rows[i];
        kept += rc == SVL_OK && svl__conditions_meet_view(&cursor->conditions, &view);
    }
    m->count = rc == SVL_OK ? kept : 0;
    leave_out(cursor);
    turn_around(cursor);
    return rc;
}

/* All of the record, or, of a block, all but its body. */
static int read_head(svl_cursor *cursor, uint32_t row, svl_attribute *attributes, svl_record *out)
{
    int rc;
    if (cursor->batch) {
        svl_slice wire = svl__batch_wire(cursor->batch, row);
        rc = svl__wire_decode(wire.data, wire.len, attributes, out);
        out->ingest_ns = svl__batch_ingest_ns(cursor->batch, row);
    } else {
        rc = svl__block_reader_head(cursor->reader, row, attributes, out);
    }
    out->id = cursor->unit_first_id + row;
    return rc;
}

int svl__unit_record(svl_cursor *cursor, uint32_t row, svl_attribute *attributes, svl_record *out,
                     bool *matches)
{
    const struct selection *selection = cursor->selection;
    *matches = true;
    int rc = read_head(cursor, row, attributes, out);
    if (cursor->batch)
        return rc == SVL_OK && selection ? svl__selection_meets(selection, out, matches) : rc;
    if (rc == SVL_OK && selection)
        rc = svl__selection_meets_head(selection, out, matches);
    if (rc == SVL_OK && *matches)
        rc = svl__block_reader_body(cursor->reader, row, &out->body);
    if (rc == SVL_OK && *matches && selection)
        rc = svl__selection_meets_body(selection, out, matches);
    return rc;
}
