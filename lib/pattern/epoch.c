/* epoch.c - slots, a clock, and a list of what waits to be freed. */
#include "epoch.h"

#include <serverlog/types.h>

#include "base/alloc.h"

void svl__epoch_init(struct epoch *epoch)
{
    *epoch = (struct epoch){ .first = NULL };
    atomic_init(&epoch->clock, 1);
}

int svl__epoch_open(struct epoch *epoch)
{
    epoch->readers = svl__aligned_alloc(_Alignof(struct epoch_readers), sizeof *epoch->readers);
    if (!epoch->readers)
        return SVL_E_NOMEM;
    atomic_init(&epoch->readers->door, 0);
    for (unsigned i = 0; i < EPOCH_CROWDS; i++) {
        atomic_init(&epoch->readers->crowds[i].count, 0);
        epoch->readers->crowds[i].empty_at = epoch_now(epoch);
    }
    for (unsigned i = 0; i < EPOCH_SLOTS; i++)
        atomic_init(&epoch->readers->slots[i].since, 0);
    return SVL_OK;
}

/* Threads start their search in places of their own: the address of a variable that each has. */
static unsigned first_place(void)
{
    static _Thread_local char mine;
    uint64_t mixed = (uint64_t)(uintptr_t)&mine * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(mixed >> 32) % EPOCH_SLOTS;
}

uint64_t svl__epoch_enter(struct epoch *epoch, unsigned *place)
{
    unsigned first = first_place();
    for (unsigned i = 0; i < EPOCH_SLOTS; i++) {
        unsigned at = (first + i) % EPOCH_SLOTS;
        uint64_t nobody = 0, now = atomic_load_explicit(&epoch->clock, memory_order_relaxed);
        /* R0: pairs with W1 */
        if (atomic_compare_exchange_strong(&epoch->readers->slots[at].since, &nobody, now)) {
            *place = at;
            return atomic_load(&epoch->clock); /* R1: pairs with W0 */
        }
    }
    unsigned crowd = atomic_load_explicit(&epoch->readers->door, memory_order_relaxed);
    *place = EPOCH_SLOTS + crowd;
    atomic_fetch_add(&epoch->readers->crowds[crowd].count, 1); /* R0 */
    return atomic_load(&epoch->clock);                         /* R1 */
}

void svl__epoch_leave(struct epoch *epoch, unsigned place)
{
    /* R2: pairs with W1 */
    if (place >= EPOCH_SLOTS)
        atomic_fetch_sub_explicit(&epoch->readers->crowds[place - EPOCH_SLOTS].count, 1,
                                  memory_order_release);
    else
        atomic_store_explicit(&epoch->readers->slots[place].since, 0, memory_order_release);
}

void svl__epoch_advance(struct epoch *epoch)
{
    atomic_store(&epoch->clock, epoch_now(epoch) + 1); /* W0: pairs with R1 */
}

/* The time at which the longest of the crowds came in, at the earliest. Opens the door to an empty one. */
static uint64_t oldest_of_crowds(struct epoch *epoch)
{
    uint64_t oldest = epoch_now(epoch);
    for (unsigned i = 0; i < EPOCH_CROWDS; i++) {
        struct epoch_crowd *crowd = &epoch->readers->crowds[i];
        /* W1: pairs with R0 and R2 */
        if (atomic_load(&crowd->count) == 0) {
            crowd->empty_at = epoch_now(epoch);
            atomic_store_explicit(&epoch->readers->door, i, memory_order_relaxed);
        } else if (crowd->empty_at < oldest) {
            oldest = crowd->empty_at;
        }
    }
    return oldest;
}

uint64_t svl__epoch_oldest(struct epoch *epoch)
{
    if (!epoch->readers)
        return epoch_now(epoch);
    uint64_t oldest = oldest_of_crowds(epoch);
    for (unsigned i = 0; i < EPOCH_SLOTS; i++) {
        uint64_t since = atomic_load(&epoch->readers->slots[i].since); /* W1 */
        if (since != 0 && since < oldest)
            oldest = since;
    }
    return oldest;
}

void *svl__epoch_allocate(struct epoch *epoch, size_t size)
{
    void *piece = svl__calloc(1, size);
    if (piece)
        epoch->bytes += size;
    return piece;
}

void svl__epoch_free(struct epoch *epoch, struct retired *piece, size_t size)
{
    if (piece)
        epoch->bytes -= size;
    svl__free(piece);
}

void svl__epoch_retire(struct epoch *epoch, struct retired *piece, size_t size)
{
    epoch->bytes -= size;
    piece->next = NULL;
    piece->since = epoch_now(epoch) + 1;
    if (epoch->last)
        epoch->last->next = piece;
    else
        epoch->first = piece;
    epoch->last = piece;
    epoch->count++;
}

static void free_until(struct epoch *epoch, uint64_t oldest)
{
    while (epoch->first && epoch->first->since <= oldest) {
        struct retired *piece = epoch->first;
        epoch->first = piece->next;
        epoch->count--;
        svl__free(piece);
    }
    if (!epoch->first)
        epoch->last = NULL;
}

void svl__epoch_collect(struct epoch *epoch)
{
    if (epoch->first)
        free_until(epoch, svl__epoch_oldest(epoch));
}

void svl__epoch_destroy(struct epoch *epoch)
{
    free_until(epoch, UINT64_MAX);
    svl__aligned_free(epoch->readers);
}
