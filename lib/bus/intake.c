/* intake.c - check, reserve by the policy, encode in place, commit. */
#include "intake.h"

#include <string.h>

#include "base/callback.h"
#include "base/clock.h"
#include "base/error.h"

#define RING_BYTES_DEFAULT (UINT64_C(8) << 20)
#define BLOCK_TIMEOUT_MS_DEFAULT 10000
#define BLOCK_TIMEOUT_MS_MAX 3600000

static int check_ring_bytes(struct intake_options *o)
{
    uint64_t least = (uint64_t)o->record_bytes_max * RING_FRAME_PART;
    bool by_default = o->ring_bytes == 0;
    if (by_default)
        o->ring_bytes = RING_BYTES_DEFAULT;
    while (by_default && o->ring_bytes < least)
        o->ring_bytes *= 2;
    if (o->ring_bytes < RING_BYTES_MIN || o->ring_bytes > RING_BYTES_MAX ||
        (o->ring_bytes & (o->ring_bytes - 1)) != 0)
        return svl__fail(SVL_E_OPTION, "ring_bytes is %llu; a power of two, %llu to %llu",
                         (unsigned long long)o->ring_bytes, (unsigned long long)RING_BYTES_MIN,
                         (unsigned long long)RING_BYTES_MAX);
    if (o->ring_bytes < least)
        return svl__fail(SVL_E_OPTION,
                         "ring_bytes is %llu; at least 8 records of record_bytes_max (%u)",
                         (unsigned long long)o->ring_bytes, o->record_bytes_max);
    return SVL_OK;
}

int svl__intake_options_check(struct intake_options *o)
{
    if (o->full_policy > SVL_FULL_DROP_NEW)
        return svl__fail(SVL_E_OPTION, "full_policy is %u; SVL_FULL_*", o->full_policy);
    if (o->block_timeout_ms == 0)
        o->block_timeout_ms = BLOCK_TIMEOUT_MS_DEFAULT;
    if (o->block_timeout_ms > BLOCK_TIMEOUT_MS_MAX)
        return svl__fail(SVL_E_OPTION, "block_timeout_ms is %u; at most %d", o->block_timeout_ms,
                         BLOCK_TIMEOUT_MS_MAX);
    return check_ring_bytes(o);
}

void svl__intake_init(struct intake *in, const void *owner, uint32_t tag_bytes,
                      const struct intake_options *options)
{
    uint64_t fits = options->ring_bytes / RING_FRAME_PART - RING_FRAME_HEADER - tag_bytes;
    in->owner = owner;
    in->tag_bytes = tag_bytes;
    in->limits.bytes_max =
        options->record_bytes_max < fits ? options->record_bytes_max : (uint32_t)fits;
    in->limits.takes_own = false;
    in->full_policy = options->full_policy;
    in->block_timeout_ms = options->block_timeout_ms;
    atomic_init(&in->refused_full, 0);
    atomic_init(&in->dropped_full, 0);
}

/* The ring is full: what the policy says. SVL_OK: *slot is reserved; SVL_E_DROPPED: counted. */
static int reserve_full(struct intake *in, struct ring *ring, uint32_t len,
                        const struct intake_item *item, struct ring_slot *slot)
{
    int rc = SVL_E_FULL;
    if (in->full_policy == SVL_FULL_DROP_NEW && !item->is_waited_for) {
        if (!svl__ring_count_dropped(ring))
            return SVL_E_CLOSED;
        atomic_fetch_add_explicit(&in->dropped_full, 1, memory_order_relaxed);
        return SVL_E_DROPPED;
    }
    if (in->full_policy == SVL_FULL_BLOCK && !svl__in_callback(in->owner, 0)) {
        int64_t deadline_ns = item->deadline_ns;
        if (deadline_ns == 0)
            deadline_ns = svl__deadline_ns(in->block_timeout_ms);
        rc = svl__ring_reserve_wait(ring, len, deadline_ns, slot);
    }
    if (rc == SVL_E_FULL)
        atomic_fetch_add_explicit(&in->refused_full, 1, memory_order_relaxed);
    return rc;
}

int svl__intake_put(struct intake *in, struct ring *ring, const struct intake_item *item)
{
    const svl_record *record = item->record;
    struct wire_size size;
    struct breach breach;
    if (!svl__record_measure(record, &in->limits, &size, &breach))
        return item->is_quiet ? breach.code : svl__record_refuse(&breach);
    uint32_t len = in->tag_bytes + size.record;
    int64_t time_ns = record->time_ns ? record->time_ns : svl__wall_ns();
    struct ring_slot slot;
    int rc = svl__ring_reserve(ring, len, &slot);
    if (rc == SVL_E_FULL)
        rc = reserve_full(in, ring, len, item, &slot);
    if (rc != SVL_OK)
        return rc == SVL_E_DROPPED ? SVL_OK : rc;
    if (in->tag_bytes > 0)
        memcpy(slot.payload, item->tag, in->tag_bytes);
    svl__wire_encode_measured(record, &size, time_ns, slot.payload + in->tag_bytes);
    if (item->owes_wake) {
        *item->owes_wake = slot.owes_wake;
        slot.owes_wake = false;
    }
    svl__ring_commit(&slot);
    return SVL_OK;
}

/* Words are set and a full ring is waited for in other places than these: what is left calls nothing but
 * clock_gettime() and futex(). */
int svl__intake_put_in_signal(struct intake *in, struct ring *ring, const struct intake_item *item)
{
    if (in->full_policy == SVL_FULL_BLOCK)
        return SVL_E_OPTION;
    struct intake_item quiet = *item;
    quiet.is_quiet = true;
    return svl__intake_put(in, ring, &quiet);
}
