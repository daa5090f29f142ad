/* round - what a round of draining has collected, until the store has it: records, as groups that are never in two
 * batches of the journal, and who waits for them.
 *
 * A group is what one ring record became. Records stay where they are, in the ring; what handlers made or changed
 * is copied, as they reuse their memory. */
#ifndef SVL_PIPELINE_ROUND_H
#define SVL_PIPELINE_ROUND_H

#include "bus/dispatch.h"
#include "bus/gap.h"
#include "slots.h"
#include "store/store.h"

/* A record whose publisher waits: told its id after the feed. */
struct waiter {
    struct slot_tag tag;
    size_t item;
};

struct round {
    struct buffer items;   /* struct feed_item: `wire` is an offset into `scratch` where `copied` */
    struct buffer copied;  /* one byte an item: 1 = in scratch */
    struct buffer scratch; /* records that handlers made or changed, and gap records */
    struct buffer waiters; /* struct waiter */
    size_t bytes;
    bool has_gap;    /* a gap record is in it */
    size_t gap_item; /* its number */
};

void svl__round_begin(struct round *round);
void svl__round_free(struct round *round);
static inline size_t round_count(const struct round *round)
{
    return round->items.len / sizeof(struct feed_item);
}

/* Each adds a group of the ring record that ends at `ring_end`; false: no memory, and nothing was added. What
 * dispatch made of the record `wire`; a record as it came; what was dropped for a full ring, which is told then. */
bool svl__round_add_result(struct round *round, const struct dispatch_result *result,
                           const uint8_t *wire, uint64_t ring_end);
bool svl__round_add(struct round *round, const uint8_t *wire, uint32_t len, uint64_t ring_end);
bool svl__round_add_gap(struct round *round, struct gap *gap, uint64_t ring_end);
/* Who published the record added as number `item` waits, if somebody does. After an add: it has its place. */
void svl__round_add_waiter(struct round *round, struct slot_tag tag, size_t item);

/* Nothing is added any more: the items to feed. May be called again. */
struct feed_item *svl__round_items(struct round *round);
const struct waiter *svl__round_waiters(const struct round *round, size_t *count);

#endif
