/* outcome.c - the words of outcome.h. */
#include "outcome.h"

#include "layout.h"

void svl__outcome_put(struct ring *ring, struct outcome_tag tag, enum ring_outcome_kind kind,
                      uint64_t id)
{
    if (tag.number == 0 || tag.number > RING_OUTCOMES || tag.generation >= RING_GENERATIONS)
        return;
    struct ring_outcome *outcome = &ring->control->outcomes[tag.number - 1];
    atomic_store_explicit(&outcome->id, id, memory_order_relaxed);
    atomic_store_explicit(&outcome->word, tag.generation << 3 | (uint32_t)kind,
                          memory_order_release); /* O1 */
}

void svl__outcome_settle(struct ring *ring, uint64_t position)
{
    atomic_store_explicit(&ring->control->settled, position, memory_order_release); /* O1 */
}

void svl__outcome_tell(struct ring *ring)
{
    atomic_fetch_add_explicit(&ring->control->settled_word, 1, memory_order_release); /* O3 */
    svl__ring_futex_wake_all(ring, &ring->control->settled_word);
}

uint64_t svl__outcome_settled(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->settled, memory_order_acquire); /* O2 */
}

enum ring_outcome_kind svl__outcome_get(const struct ring *ring, struct outcome_tag tag,
                                        uint64_t *id)
{
    const struct ring_outcome *outcome = &ring->control->outcomes[tag.number - 1];
    uint32_t word = atomic_load_explicit(&outcome->word, memory_order_acquire); /* O2 */
    *id = atomic_load_explicit(&outcome->id, memory_order_relaxed);
    return word >> 3 == tag.generation ? (enum ring_outcome_kind)(word & 7) : RING_PENDING;
}

uint32_t svl__outcome_count(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->settled_word, memory_order_acquire); /* O4 */
}

void svl__outcome_wait(struct ring *ring, uint32_t count, int64_t deadline_ns)
{
    svl__ring_futex_wait(ring, &ring->control->settled_word, count, deadline_ns);
}
