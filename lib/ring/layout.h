/* layout - a ring in memory: what lies where, for ring.c, wake.c and shared.c.
 *
 * A ring is a mapping of control words (two pages) and then the data. On tmpfs the mapping is a file:
 *
 *   offset  bytes  what
 *   0       8      magic "SVLRING1"
 *   8       4      format version, 1
 *   12      4      compatible feature flags
 *   16      4      incompatible feature flags
 *   20      4      offset of the data, 8192
 *   24      8      capacity
 *   32      4      salt of the stamps
 *   36      4      zero
 *   40      16     uuid of the ring
 *   56      16     uuid of the store
 *   72      8      XXH3-64 of bytes 0 to 71
 *   4096    8      tail: position of the next reservation; bit 0 the consumer sleeps, bit 1 closed
 *   4224    8      head cache of the producers
 *   4352    8      head: everything before it may be reserved again
 *   4360    8      consumed: everything before it is safe elsewhere; head follows once it is zeroed
 *   4480    4      wake word: counts wakes of the consumer
 *   4484    4      space word: counts wakes of the waiting producers
 *   4488    4      producers that wait for space
 *   4608    8      records dropped since the ring was made; bit 63 nobody looks any more
 *   4616    8      of these, told: a record says so that is safe elsewhere
 *   8192           data
 *
 * A frame starts at a multiple of 8:
 *
 *   0       4      payload length; bit 31 BUSY, bit 30 DISCARD, bit 29 PAD (to the ring's end)
 *   4       4      stamp: (position / 8) xor salt, never 0 in a used header because bit 31 is set in it
 *   8              payload, padded to 8
 *
 * A header is one 8-byte store: zero, BUSY, or committed. */
#ifndef SVL_RING_LAYOUT_H
#define SVL_RING_LAYOUT_H

#include <stdatomic.h>

#include "ring.h"

#define RING_MAGIC UINT64_C(0x31474e49524c5653) /* "SVLRING1" */
#define RING_VERSION 1
#define RING_HEADER_BYTES 80
#define RING_DATA_OFFSET 8192

#define TAIL_SLEEPS UINT64_C(1)
#define TAIL_CLOSED UINT64_C(2)
#define TAIL_POSITION (~UINT64_C(7))

#define DROPPED_ENDED (UINT64_C(1) << 63)

#define FRAME_HEADER RING_FRAME_HEADER
#define FRAME_BUSY UINT32_C(0x80000000)
#define FRAME_DISCARD UINT32_C(0x40000000)
#define FRAME_PAD UINT32_C(0x20000000)
#define FRAME_LENGTH UINT32_C(0x1fffffff)
#define STAMP_SET UINT32_C(0x80000000)
_Static_assert(RING_BYTES_MAX / RING_FRAME_PART <= FRAME_LENGTH, "a length fits its bits");

/* The words that threads share; each group on cache lines of its own (128 bytes: adjacent lines are
 * fetched together). */
struct ring_control {
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head_cache;
    _Alignas(128) _Atomic uint64_t head;
    _Atomic uint64_t consumed;
    _Alignas(128) _Atomic uint32_t wake_word;
    _Atomic uint32_t space_word;
    _Atomic uint32_t space_waiters;
    _Alignas(128) _Atomic uint64_t dropped;
    _Atomic uint64_t dropped_told;
};
_Static_assert(offsetof(struct ring_control, head) == 256, "the file's byte table");
_Static_assert(offsetof(struct ring_control, wake_word) == 384, "the file's byte table");
_Static_assert(offsetof(struct ring_control, dropped) == 512, "the file's byte table");
_Static_assert(sizeof(struct ring_control) <= 4096, "one page");

struct ring {
    struct ring_control *control;
    uint8_t *data;
    uint64_t capacity;
    uint64_t mask;
    uint32_t salt;
    uint32_t payload_max;
    bool shared;  /* a file: futexes work across processes */
    bool crashed; /* being recovered: no producer lives */

    /* the consumer's own */
    _Alignas(128) uint64_t drained;
    _Atomic uint64_t drained_seen; /* the same, for statistics */
    int64_t claim_since_ns;        /* when the open claim at `drained` was first met; 0 = none */
    uint64_t claim_position;
    uint32_t wake_seen;
    bool claim_counted;
    bool broken;
    uint64_t dropped_seen; /* when the consumer looked last */
    uint64_t crash_tail;   /* where recovery ends */
    struct ring_recovery recovery;
    _Atomic uint64_t high_water, stalled, stalled_ns_max;

    void *mapping;
    size_t mapping_bytes;
    uint8_t uuid[16];
    char *directory, *name;
};

static inline _Atomic uint64_t *frame_header(const struct ring *ring, uint64_t position)
{
    return (_Atomic uint64_t *)(void *)(ring->data + (position & ring->mask));
}

static inline uint32_t frame_stamp(const struct ring *ring, uint64_t position)
{
    return ((uint32_t)(position >> 3) ^ ring->salt) | STAMP_SET;
}

static inline uint64_t make_header(const struct ring *ring, uint64_t position,
                                   uint32_t length_flags)
{
    return (uint64_t)frame_stamp(ring, position) << 32 | length_flags;
}

static inline uint64_t frame_bytes(uint32_t len)
{
    return FRAME_HEADER + (((uint64_t)len + 7) & ~UINT64_C(7));
}

/* wake.c: pays an owed wake; tells waiting producers of space, the head now being at `head`. */
void svl__ring_pay_wake(struct ring *ring);
void svl__ring_tell_space(struct ring *ring, uint64_t head);
/* shared.c: where its file is, for the unlink. */
int svl__ring_remember(struct ring *ring, const char *directory, const char *name);

#endif
