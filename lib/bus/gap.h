/* gap - what SVL_FULL_DROP_NEW dropped, told as a record where it is missing: behind what was in the ring when
 * the drops were found.
 *
 * The consumer's alone. It looks at the ring's count, goes on, and when it has come to `position` makes the
 * record and sets `count` to 0. */
#ifndef SVL_BUS_GAP_H
#define SVL_BUS_GAP_H

#include <serverlog/types.h>

#include "ring/ring.h"

struct gap {
    uint64_t total;    /* the ring's drops that were told or are in `count` */
    uint64_t count;    /* to be told; 0: none */
    uint64_t position; /* in the ring */
};

/* The ring has dropped `total` so far: svl__ring_dropped(). */
void svl__gap_look(struct gap *gap, const struct ring *ring, uint64_t total);

struct gap_record {
    svl_record record; /* points into the rest */
    svl_attribute dropped;
    char text[64];
};
#define GAP_WIRE_BYTES_MAX 256

/* The journal says how many of a ring's drops are told as the position of a ring of this uuid, in the batch that has
 * the record: killed before the ring knows, they are not told again. No honest ring has it; while the ring is in use
 * no other may attach under it. */
void svl__gap_uuid(const uint8_t ring_uuid[16], uint8_t out[16]);
bool svl__gap_is_told(const uint8_t ring_uuid[16], const uint8_t uuid[16]);

/* The record of source "serverlog.gap" that says how many. */
void svl__gap_record(const struct gap *gap, struct gap_record *out);

#endif
