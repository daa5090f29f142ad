/* layout - a ring in memory: what lies where, for ring.c, wake.c, shared.c, foreign.c and outcome.c.
 *
 * A ring is a mapping of control words (two pages) and then the data. On tmpfs the mapping is a file:
 *
 *   offset  bytes  what
 *   0       8      magic "SVLRING1"
 *   8       4      format version, 1
 *   12      4      compatible feature flags: bit 0 attached, its producers are another process
 *   16      4      incompatible feature flags
 *   20      4      offset of the data, 8192
 *   24      8      capacity
 *   32      4      salt of the stamps
 *   36      4      extra: bytes behind the data that are the owner's, a multiple of 8
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
 *   4736    8      settled: what lies before it is durable, or will never be stored
 *   4744    4      settled word: counts changes of this position and of the outcomes
 *   4864    1024   64 outcomes of 16 bytes: record id; generation << 3 | RING_* outcome; zero
 *   8192           data
 *   8192 + capacity  extra
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

#include <fcntl.h>
#include <stdatomic.h>

#include "ring.h"

#define RING_MAGIC UINT64_C(0x31474e49524c5653) /* "SVLRING1" */
#define RING_VERSION 1
#define RING_HEADER_BYTES 80
#define RING_ATTACHED UINT32_C(1)
#define RING_DATA_OFFSET 8192

#define TAIL_SLEEPS UINT64_C(1)
#define TAIL_CLOSED UINT64_C(2)
#define TAIL_POSITION (~UINT64_C(7))

/* No ring gets that far; far enough from a wrap for arithmetic. */
#define POSITION_MAX (UINT64_C(1) << 62)

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
    _Alignas(128) _Atomic uint64_t settled;
    _Atomic uint32_t settled_word;
    _Alignas(128) struct ring_outcome {
        _Atomic uint64_t id;
        _Atomic uint32_t word;
        uint32_t zero;
    } outcomes[RING_OUTCOMES];
};
_Static_assert(offsetof(struct ring_control, head) == 256, "the file's byte table");
_Static_assert(offsetof(struct ring_control, wake_word) == 384, "the file's byte table");
_Static_assert(offsetof(struct ring_control, dropped) == 512, "the file's byte table");
_Static_assert(offsetof(struct ring_control, settled) == 640, "the file's byte table");
_Static_assert(offsetof(struct ring_control, outcomes) == 768, "the file's byte table");
_Static_assert(sizeof(struct ring_outcome) == 16, "the file's byte table");
_Static_assert(sizeof(struct ring_control) <= 4096, "one page");

struct ring {
    struct ring_control *control;
    uint8_t *data;
    uint64_t capacity;
    uint64_t mask;
    uint32_t salt;
    uint32_t payload_max;
    bool shared;                 /* a file: futexes work across processes */
    bool crashed;                /* being recovered: no producer lives */
    bool is_attached;            /* its consumer is another process */
    bool commit_looks;           /* its consumer does not wait for open claims: A10 */
    _Atomic uint32_t *wake_word; /* the control page's, or one that several rings share */
    bool wake_shared;            /* the latter: in a file */
    ring_wake_fn *wake;          /* NULL: the consumer sleeps on the word */
    void *wake_user;
    int fd; /* of its file, for its lock; -1 */

    /* the consumer's own */
    _Alignas(128) uint64_t drained;
    uint64_t limit;                /* how far it may read, when it looked last; a frame's end */
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

    /* foreign.c: the host's own word on what an attached ring says too */
    _Atomic uint64_t foreign_head;
    _Atomic uint64_t foreign_dropped; /* at the last look */

    void *mapping;
    size_t mapping_bytes;
    uint32_t extra_bytes;
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

/* What was stored before it is in the page before what is stored after it, if the thread is killed in between (A7,
 * A11). ThreadSanitizer does not know fences, and no thread's edge needs this one. */
static inline void ring_crash_fence(void)
{
#if defined(__SANITIZE_THREAD__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_release);
#endif
}

/* ring.c: is `header` one that a producer wrote for this position, with a span that fits before `limit`? The
 * next position behind `position` with such a header, or `limit`. Zeroes a span. */
bool svl__ring_is_frame(const struct ring *ring, uint64_t position, uint64_t header,
                        uint64_t limit);
uint64_t svl__ring_resynchronise(const struct ring *ring, uint64_t position, uint64_t limit);
void svl__ring_zero(struct ring *ring, uint64_t from, uint64_t to);
/* wake.c: pays an owed wake; tells waiting producers of space, the head now being at `head`. */
void svl__ring_pay_wake(struct ring *ring);
void svl__ring_tell_space(struct ring *ring, uint64_t head);
/* wake.c: wakes all who sleep on a word of the file; sleeps while it is `value`, until `deadline_ns`. */
void svl__ring_futex_wake_all(const struct ring *ring, _Atomic uint32_t *word);
void svl__ring_futex_wait(const struct ring *ring, _Atomic uint32_t *word, uint32_t value,
                          int64_t deadline_ns);
/* shared.c: opens a directory on a tmpfs: SVL_E_NOT_FOUND (no words), SVL_E_PATH, SVL_E_FILE_SYSTEM. */
int svl__ring_open_directory(const char *directory, int *out);
/* An fcntl lock on a ring's file, of an attached one's producers' process or of the one that drains it. */
#define RING_LOCK_PRODUCERS 0
#define RING_LOCK_CONSUMER 1
struct flock svl__ring_lock(off_t byte);
/* Where its file is, for the unlink. */
int svl__ring_remember(struct ring *ring, const char *directory, const char *name);
/* A ring from the file `fd`, mapped: SVL_E_END if it was never finished, and as
 * svl__ring_open_crashed(). *out may be set after a failure too: to be destroyed. */
int svl__ring_map_file(int fd, const char *name, const uint8_t store_uuid[16], struct ring **out);
/* The positions of its control page, if they can be: SVL_E_CORRUPT. *start is the largest of head, consumed
 * and `known`. */
int svl__ring_read_positions(struct ring *ring, const char *name, uint64_t known, uint64_t *start,
                             uint64_t *tail);

#endif
