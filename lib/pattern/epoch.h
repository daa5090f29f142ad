/* epoch - readers that never wait, and when what they may look at can be freed.
 *
 * A clock counts the changes. A reader says in a slot at which time it came in. A writer (one at a time: its
 * caller's lock) takes a piece out of the structure, advances the clock, and frees the piece once no reader
 * is left that came in before: only such a one can have found the way to it.
 *
 *     reader: R0 slot := clock       R1 read clock        looks around        R2 slot := 0
 *     writer: takes out   W0 clock := clock + 1   W1 reads the slots   frees
 *
 * 1. Of R0, R1, W0 and W1 all are sequentially consistent. When W1 does not see what R0 wrote, it comes before
 *    R0 in their one order, so W0 comes before R1, and the reader sees all that was taken out.
 * 2. R0 may write a clock that is old by then: older is safe, it only keeps more.
 * 3. What R1 read is the time at which the reader looks: all that W0 had published by then is seen.
 * 4. W1 that reads R2's zero (release, acquire) comes behind all that the reader looked at.
 *
 * A reader that finds no free slot is counted in one of two crowds, of which is only known since when it was last
 * seen empty: who is in came later (1). The door to the other one opens when that is empty, so each crowd ends, and
 * however many readers come and go, what was taken out is freed. */
#ifndef SVL_PATTERN_EPOCH_H
#define SVL_PATTERN_EPOCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define EPOCH_SLOTS 64
#define EPOCH_CROWDS 2 /* the places of readers without a slot: behind the slots */

/* The beginning of everything that is freed so; its other bytes belong to whoever allocated it. */
struct retired {
    struct retired *next;
    uint64_t since; /* freed when all readers came in at this time or later */
};

struct epoch_slot {
    _Alignas(64) _Atomic uint64_t since; /* 0: nobody */
};

struct epoch_crowd {
    _Alignas(64) _Atomic uint64_t count;
    uint64_t empty_at; /* the writer's: it was last seen empty then */
};

struct epoch_readers {
    struct epoch_slot slots[EPOCH_SLOTS];
    struct epoch_crowd crowds[EPOCH_CROWDS];
    _Alignas(64) _Atomic uint32_t
        door; /* the crowd that readers join; a reader that is late for the other is no harm */
};

struct epoch {
    _Atomic uint64_t clock; /* from 1 */
    struct retired *first, *last;
    uint64_t count;                /* in the list */
    size_t bytes;                  /* of the memory that was allocated here and is not retired */
    struct epoch_readers *readers; /* NULL: what is never changed while it is read needs none */
};

void svl__epoch_init(struct epoch *epoch);
/* From now on it may be read while it is changed. SVL_OK or SVL_E_NOMEM. */
int svl__epoch_open(struct epoch *epoch);
/* Frees all that is retired: no reader may be in. */
void svl__epoch_destroy(struct epoch *epoch);

/* Returns the time at which the reader looks; *place is for leaving. */
uint64_t svl__epoch_enter(struct epoch *epoch, unsigned *place);
void svl__epoch_leave(struct epoch *epoch, unsigned place);

/* The writer's. */
static inline uint64_t epoch_now(struct epoch *epoch)
{
    return atomic_load_explicit(&epoch->clock, memory_order_relaxed);
}
/* What was changed, taken out and retired since the last call is now in the past. */
void svl__epoch_advance(struct epoch *epoch);
/* The time at which the longest reader came in, or an earlier one; the clock's where there is none. */
uint64_t svl__epoch_oldest(struct epoch *epoch);
/* Memory of `size` bytes, zeroed, for a piece, which begins with a struct retired. NULL without memory. */
void *svl__epoch_allocate(struct epoch *epoch, size_t size);
/* To be freed once nobody can look at it: it has been taken out, the clock not yet advanced. */
void svl__epoch_retire(struct epoch *epoch, struct retired *piece, size_t size);
/* Frees a piece that was never published, or that no reader can look at. */
void svl__epoch_free(struct epoch *epoch, struct retired *piece, size_t size);
/* Frees what can be. */
void svl__epoch_collect(struct epoch *epoch);

#endif
