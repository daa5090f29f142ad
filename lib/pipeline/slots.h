/* slots - who waits in svl_publish_sync() for which record.
 *
 *     free --take--> waiting --fed--> fed --durable--> done     --give back--> free
 *                       |               |                 ^
 *                       +--- dropped, failed -------------+
 *     waiting, fed --time-out--> abandoned --its record is fed and durable, or dropped--> free
 *
 * A slot's number and generation travel in front of the record through the ring; recovery ignores
 * them. */
#ifndef SVL_PIPELINE_SLOTS_H
#define SVL_PIPELINE_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS 1024

/* Which slot a record carries: the prefix of its ring frame. number 0: nobody waits. */
struct slot_tag {
    uint32_t number; /* from 1 */
    uint32_t generation;
};
_Static_assert(sizeof(struct slot_tag) == 8, "the prefix of a ring frame");

struct slots;

int svl__slots_create(struct slots **out);
void svl__slots_destroy(struct slots *slots); /* NULL is fine */

/* A slot for a new wait. False: all are taken. Any thread. */
bool svl__slots_take(struct slots *slots, struct slot_tag *tag);
/* Gives back a slot whose record was never published. */
void svl__slots_give_back(struct slots *slots, struct slot_tag tag);
/* Waits for the outcome: SVL_OK with *id, SVL_E_TIMEOUT, SVL_E_DROPPED, SVL_E_FAILED (bare codes). The
 * slot is given back or abandoned. */
int svl__slots_wait(struct slots *slots, struct slot_tag tag, int64_t deadline_ns, uint64_t *id);

/* The pipeline thread: the record has its id, and becomes durable with `ticket`. */
void svl__slots_fed(struct slots *slots, struct slot_tag tag, uint64_t id, uint64_t ticket);
void svl__slots_dropped(struct slots *slots, struct slot_tag tag);
/* The flusher: all tickets up to this one are durable. */
void svl__slots_durable(struct slots *slots, uint64_t ticket);
/* Nothing that is not durable yet will be. */
void svl__slots_fail(struct slots *slots);

#endif
