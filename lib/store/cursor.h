/* cursor - a query at work.
 *
 *   Q1  a snapshot: ids up to the durable end when it is taken; segments for ids up to what was committed
 *       then, the tail's blocks and batches, held, for those above. So nothing is seen twice. A cursor
 *       that follows reads one snapshot after the other, each from where the one before it ended.
 *   Q2  nothing of the store is locked, and no LMDB transaction open, while the host has control.
 *   Q3  a unit is a block of a segment, a block of the tail or a batch of the tail; each is filtered by
 *       its columns first, then the pattern is asked of what is left, one record at a time as they are
 *       handed out: first of all but the body, then, where it names that, of the whole record.
 *
 * query.c checks the query · narrow.c what its pattern asks of columns and indexes · snapshot.c what is held ·
 * cursor.c goes from unit to unit and hands out · unit.c filters one unit · follow.c goes on with what becomes
 * durable */
#ifndef SVL_STORE_CURSOR_H
#define SVL_STORE_CURSOR_H

#include "pattern/selection.h"
#include "state.h"

/* The conditions of a query, checked and copied. */
struct conditions {
    uint64_t id_min, id_max;          /* inclusive */
    int64_t time_min_ns, time_max_ns; /* inclusive */
    uint32_t severity_mask;           /* bit n: severity n */
    struct key_condition key;
    struct name_condition {
        svl_slice text; /* empty: all */
        bool is_prefix;
    } source, type;
    bool backward;
};

#define SEVERITY_MASK_ANY UINT32_MAX

/* Some record with a time in [from_ns, to_ns] can match; all of them do, as far as time goes. */
static inline bool conditions_meet_times(const struct conditions *c, int64_t from_ns, int64_t to_ns)
{
    return to_ns >= c->time_min_ns && from_ns <= c->time_max_ns;
}

static inline bool conditions_hold_times(const struct conditions *c, int64_t from_ns, int64_t to_ns)
{
    return from_ns >= c->time_min_ns && to_ns <= c->time_max_ns;
}

/* narrow.c. What `bounds` points to is borrowed. */
void svl__conditions_narrow(struct conditions *c, const struct pattern_bounds *bounds);

bool svl__conditions_meet_zone(const struct conditions *c, const struct zone *zone);
bool svl__conditions_meet_view(const struct conditions *c, const struct wire_view *view);

/* The records of the current unit that match, as indices, in the order in which they go out. */
struct matches {
    uint32_t *rows;
    uint32_t count, capacity;
    uint32_t next;
};

#define ZONES_AT_ONCE 64

struct svl_cursor {
    svl_store *store; /* held */
    struct conditions conditions;
    uint8_t *copied;                   /* of the query's slices */
    const struct selection *selection; /* of its pattern; NULL: it has none */
    struct selection *own_selection;   /* the same, where it is this cursor's alone */
    uint64_t id_max;                   /* the query's; conditions.id_max is the snapshot's */
    struct buffer left_out;            /* u64 ids, ascending: svl__cursor_leave_out() */
    uint64_t limit;
    bool follows;
    uint64_t wakes_seen;
    uint64_t expected_id; /* what is missing between it and the snapshot is a gap; 0: nothing is */
    uint64_t gap_first, gap_last; /* not told yet; 0: none */
    uint64_t committed_id;        /* segments are asked up to it */
    int failed; /* a failure after which something may be missing: it comes again */

    struct segment_entry **segments;    /* held */
    size_t segment_count, segment_next; /* in the order of the walk */
    struct block **blocks;
    size_t block_count, block_next;
    struct batch **batches;
    size_t batch_count, batch_next;
    uint64_t tail_from;  /* ids below are in segments */
    uint64_t batch_from; /* ids below are in blocks */

    /* the segment at hand: zones fetched, some at a time; with a key condition its candidates */
    bool in_segment;
    bool walks_zones; /* else candidates are asked; also where the index is damaged */
    uint64_t segment_from, segment_to; /* ids still to look at */
    struct zone zones[ZONES_AT_ONCE];
    size_t zone_count, zone_next;
    struct buffer candidates; /* u64 first ids */
    size_t candidate_next;

    /* the unit at hand */
    struct block_reader *reader;
    struct buffer block_bytes;
    struct batch *batch; /* NULL: the unit is a block */
    uint64_t unit_first_id;
    struct segment_info unit_segment; /* the segment that holds the block; first_id 0: none */
    uint64_t unit_block;              /* its first id */
    struct matches matches;

    svl_record *records;
    size_t record_capacity;
    svl_attribute *attributes;
    svl_cursor_explanation explanation;
};

/* Holds what there is from conditions.id_min to id_max; lets go of it. */
int svl__snapshot_take(svl_cursor *cursor);
void svl__snapshot_drop(svl_cursor *cursor);
/* Retention took these before the cursor came to them. */
void svl__note_gap(svl_cursor *cursor, uint64_t first_id, uint64_t last_id);
/* At the snapshot's end: waits for what comes and takes the next one. SVL_E_END behind id_max,
 * SVL_E_TIMEOUT, SVL_E_AGAIN, SVL_E_CLOSED, SVL_E_FAILED; SVL_E_NOMEM. */
int svl__cursor_follow(svl_cursor *cursor, int64_t deadline_ns);

/* Filters the block that the reader has loaded, from `id_min` on, or the batch, into cursor->matches. */
int svl__unit_filter_block(svl_cursor *cursor, uint64_t id_min);
int svl__unit_filter_batch(svl_cursor *cursor);
/* Decodes row `row` of the unit and asks the pattern of it: *matches. SVL_E_LIMIT: it cannot be told. */
int svl__unit_record(svl_cursor *cursor, uint32_t row, svl_attribute *attributes, svl_record *out,
                     bool *matches);

#endif
