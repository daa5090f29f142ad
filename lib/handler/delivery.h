/* delivery - a turn's memory, and what its files share: delivery.c begins and ends it, reading.c fills the
 * batch, triage.c says what of it is shown, outcome.c applies what the call said. All of it is the running
 * worker's alone. */
#ifndef SVL_HANDLER_DELIVERY_H
#define SVL_HANDLER_DELIVERY_H

#include "batch.h"

/* A turn looks at so many ids of the log: who unsubscribes or closes waits for no more. And a position that only passes
 * records of no interest is written each time it has come this far: what a crash makes it look at again. */
#define SCANNED_IDS_MAX 65536

/* In a feed this is left for the position, and for what resolves a dead letter whose only record has used
 * up the rest with its emits. */
#define FEED_REST_BYTES 1024

struct delivery {
    struct svl_batch batch; /* first: a batch that was polled is its delivery */
    struct buffer records;  /* svl_record each; slices are offsets into `bytes` until it is read */
    struct buffer attributes; /* svl_attribute each, likewise */
    struct buffer bytes;
    struct buffer ids;      /* u64 each: what the position counts, of dead letters theirs */
    svl_attribute *decoded; /* of a dead letter's original; NULL before there was one */
    struct buffer items;    /* struct feed_item each: what is fed with the position */
    struct buffer letters;  /* wire records: dead letters, and what resolves others */
    uint64_t scanned;       /* everything up to here was looked at */
    bool at_end;
    struct crash_run run; /* the call, as it is marked */
};

/* reading.c: fills the batch with what lies behind `position`, up to id `upto`; closes what it reads from;
 * passes what retention has taken. */
int svl__reading_fill(svl_subscription *s, uint64_t position, uint32_t records_max, uint64_t upto);
void svl__reading_close(svl_subscription *s);
void svl__reading_close_all(svl_subscription *s);
void svl__reading_pass_retired(svl_subscription *s);

/* What the batch is marked as. */
static inline enum marked_kind delivery_kind(const svl_subscription *s)
{
    return s->redriving ? MARKED_REDRIVEN : MARKED_STORED;
}

/* The id that the position counts for record `i` of the batch. */
static inline uint64_t delivery_id(const struct delivery *d, size_t i)
{
    return load_u64(d->ids.data + i * sizeof(uint64_t));
}

/* triage.c: what a batch that was read is. It is cut so that this holds for all of it; of records that run alone,
 * or that killed the process, it has one. */
enum triage {
    TRIAGE_SHOWN,
    TRIAGE_ALONE,    /* to be shown with nothing beside it: a suspect */
    TRIAGE_TOO_OLD,  /* record_age_ms_max */
    TRIAGE_TOO_FAR,  /* hops_max */
    TRIAGE_SET_ASIDE /* CRASHES_MAX */
};
enum triage svl__triage(svl_subscription *s);

/* outcome.c: applies what the call returned: SVL_OK, or why that could not be stored. After a failure nothing
 * of the batch is looked at but its records: whoever was shown it may still be writing to the rest.
 * Giving up: all records of the batch, which are not shown, for what triage said. */
int svl__outcome_apply(svl_subscription *s, int rc, const char *reason,
                       enum subscription_state *next);
void svl__outcome_give_up(svl_subscription *s, enum triage why, enum subscription_state *next);
/* `lock` held: what lies behind it, of the log or of the dead letters, has not been tried yet. */
void svl__set_position(svl_subscription *s, uint64_t position);
/* Memory or the disk was short: nothing that the handler did. */
void svl__wait_for_resources(svl_subscription *s, enum subscription_state *next);

#endif
