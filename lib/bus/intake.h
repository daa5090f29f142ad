/* intake - how a record enters a ring: checked, by the policy for a full one, encoded in place. The same for
 * a pipeline's ring and a bus'.
 *
 * Lock-free, no allocation; any thread. The members are set before the first publish and stay. */
#ifndef SVL_BUS_INTAKE_H
#define SVL_BUS_INTAKE_H

#include <serverlog/types.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "record/wire.h"
#include "ring/ring.h"

/* The options that a pipeline and a bus share. */
struct intake_options {
    uint64_t ring_bytes;
    uint32_t record_bytes_max; /* known already: the default ring grows with it */
    uint32_t full_policy;      /* SVL_FULL_* */
    uint32_t block_timeout_ms;
};

/* Puts the defaults in and checks the ranges: SVL_OK or SVL_E_OPTION. */
int svl__intake_options_check(struct intake_options *options);

struct intake {
    const void *owner;           /* whose callbacks must not block: svl__callback_enter() */
    struct record_limits limits; /* bytes_max: what fits the ring, at most */
    uint32_t tag_bytes;          /* before the wire record in a frame */
    uint32_t full_policy;
    uint32_t block_timeout_ms;
    _Atomic uint64_t refused_full, dropped_full;
};

/* `tag_bytes` is what the owner puts before each record. */
void svl__intake_init(struct intake *intake, const void *owner, uint32_t tag_bytes,
                      const struct intake_options *options);

struct intake_item {
    const svl_record *record;
    const void *tag;     /* tag_bytes of it */
    int64_t deadline_ns; /* for BLOCK; 0 = block_timeout_ms from when it is found full */
    bool is_waited_for;  /* its publisher wants to know: refused where DROP_NEW would drop it */
    bool is_quiet;       /* no words are set where the record is refused */
    bool *
        owes_wake; /* not NULL: the consumer is not woken; true: whoever publishes has to see to it */
};

/* SVL_OK: in the ring, or dropped and counted by DROP_NEW. SVL_E_FULL; SVL_E_CLOSED, without words;
 * svl__record_check()'s codes. */
int svl__intake_put(struct intake *intake, struct ring *ring, const struct intake_item *item);
/* The same for a signal handler: sets no words and waits for nothing. SVL_E_OPTION with SVL_FULL_BLOCK. */
int svl__intake_put_in_signal(struct intake *intake, struct ring *ring,
                              const struct intake_item *item);

#endif
