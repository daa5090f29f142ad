/* outcome - what became of a record, told across processes: words in an attached ring's control page.
 *
 * The consumer stores, the producers wait by futex with a time-out; the consumer reads none of it back.
 *
 *   O1 release, an outcome's word, or `settled` <- O2 acquire, its load by who waits: the id is there.
 *   O3 release, the settled word, after these <- O4 acquire, its load before who waits looks at them: what is told
 *      after that look changes the word, so no sleep misses it. */
#ifndef SVL_RING_OUTCOME_H
#define SVL_RING_OUTCOME_H

#include "ring.h"

enum ring_outcome_kind {
    RING_PENDING = 0,
    RING_STORED = 1,  /* durable, under its id */
    RING_DROPPED = 2, /* by an ingest handler */
    RING_REFUSED = 3, /* it breaks a limit of the consumer's */
};
#define RING_GENERATIONS (UINT32_C(1) << 29)

/* What a frame starts with that somebody waits for. number 0: nobody. */
struct outcome_tag {
    uint32_t number;     /* 1 to RING_OUTCOMES */
    uint32_t generation; /* below RING_GENERATIONS */
};
_Static_assert(sizeof(struct outcome_tag) == 8, "the prefix of a frame");

/* The consumer. Any tag is safe. */
void svl__outcome_put(struct ring *ring, struct outcome_tag tag, enum ring_outcome_kind kind,
                      uint64_t id);
void svl__outcome_settle(struct ring *ring, uint64_t position); /* all before it is settled */
void svl__outcome_tell(struct ring *ring);                      /* after these */

/* The producers. */
uint64_t svl__outcome_settled(const struct ring *ring);
enum ring_outcome_kind svl__outcome_get(const struct ring *ring, struct outcome_tag tag,
                                        uint64_t *id);
uint32_t svl__outcome_count(const struct ring *ring);
/* Sleeps while the count is `count`, until `deadline_ns` (monotonic). */
void svl__outcome_wait(struct ring *ring, uint32_t count, int64_t deadline_ns);

#endif
