/* ring - bytes from many producers to one consumer, without locks.
 *
 * Knows no records, no store, no threads of its own. Used by the pipeline and by a bus alone.
 *
 *   R1  head <= consumed <= drained <= tail <= head + capacity; all only grow, none wraps.
 *   R2  a frame's header is not COMMITTED before its payload is complete.
 *   R3  bytes in [tail, head + capacity) are zero: a zero header proves an untouched span.
 *   R4  bits 0 and 1 of the tail word are not position: 0 = the consumer sleeps, 1 = closed.
 *
 * Three positions on the consumer's side: `drained` (private to the consumer), and, moved together by
 * whoever has made the bytes safe elsewhere: `consumed`, then the bytes are zeroed, then `head`.
 *
 * ring.c the algorithm · shared.c mapping, file format and recovery · wake.c sleeping and waking ·
 * foreign.c the consumer's side of a ring in another process · outcome.c what became of its records */
#ifndef SVL_RING_RING_H
#define SVL_RING_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES_MIN (UINT64_C(64) << 10)
#define RING_BYTES_MAX (UINT64_C(1) << 30)
/* A frame, header included, is at most this part of the ring. */
#define RING_FRAME_PART 8
#define RING_FRAME_HEADER 8
#define RING_OUTCOMES 64
#define RING_EXTRA_MAX 65536

struct ring;

struct ring_options {
    uint64_t capacity;      /* a power of two, RING_BYTES_MIN to RING_BYTES_MAX */
    const char *directory;  /* a tmpfs; NULL = private memory */
    const char *name;       /* file name in it, new: O_EXCL */
    uint8_t store_uuid[16]; /* whose ring it is: checked at recovery */
    uint32_t extra_bytes;   /* as svl__ring_extra() gives them: a multiple of 8 */
    bool is_attached; /* a file whose consumer is another process: locked while this one lives */
    uint32_t
        owner; /* of an attached one: the user that the file is given to, if not the caller's */
};

/* Creates a ring. SVL_E_OPTION, SVL_E_NOMEM; for a file also SVL_E_PATH (not a directory),
 * SVL_E_FILE_SYSTEM (not a tmpfs), SVL_E_NO_SPACE, SVL_E_ACCESS, SVL_E_IO: the caller may then try
 * again with private memory. A half-made file is removed. */
int svl__ring_create(const struct ring_options *options, struct ring **out);

/* Unmaps; NULL is fine. The file stays: svl__ring_unlink(). */
void svl__ring_destroy(struct ring *ring);

/* Nothing is in it (head == tail), and no drop is to be told. */
bool svl__ring_is_empty(struct ring *ring);
/* Removes the file of an empty ring. SVL_E_STATE if it is not empty: never unlinked. */
int svl__ring_unlink(struct ring *ring);
/* The file goes whatever is in it: the caller knows that all of it has its place. */
int svl__ring_unlink_file(struct ring *ring);
/* Removes the file that a process left which died while it made an attached ring, or removed it. What is no such file
 * of this store stays. SVL_E_NOT_FOUND (no words): it is gone. */
int svl__ring_remove_attached(const char *directory, const char *name,
                              const uint8_t store_uuid[16]);

const uint8_t *svl__ring_uuid(const struct ring *ring); /* 16 random bytes, given at creation */
uint64_t svl__ring_capacity(const struct ring *ring);
uint32_t svl__ring_payload_max(const struct ring *ring); /* largest reservation */
bool svl__ring_is_shared(const struct ring *ring);       /* on tmpfs: survives the process */
/* Memory that is kept with the ring, for whatever its owner has to find again after a crash: zero when the ring
 * was made, and at the start of a page. NULL: of 0 bytes. */
void *svl__ring_extra(const struct ring *ring, size_t *bytes);

/* --- producers: any thread --- */

struct ring_slot {
    struct ring *ring;
    uint8_t *payload;  /* `len` bytes to fill, contiguous */
    uint64_t position; /* of the frame's end: what the consumer has passed when it has taken this */
    uint32_t len;
    bool owes_wake;
};

/* Reserves `len` payload bytes (1 to payload_max). Every reserved slot must be committed or discarded
 * by the same thread, with nothing in between that blocks or can be cancelled.
 * SVL_OK; SVL_E_FULL: no space now; SVL_E_CLOSED: what was stored before svl__ring_close() is seen;
 * SVL_E_RECORD_SIZE. No words are set for the first two; lock-free, no system call. */
int svl__ring_reserve(struct ring *ring, uint32_t len, struct ring_slot *slot);

/* As svl__ring_reserve(), and waits for space until `deadline_ns` (monotonic): SVL_E_FULL when it has
 * passed. SVL_E_CLOSED wakes it. */
int svl__ring_reserve_wait(struct ring *ring, uint32_t len, int64_t deadline_ns,
                           struct ring_slot *slot);

void svl__ring_commit(struct ring_slot *slot);  /* hands it over; pays an owed wake */
void svl__ring_discard(struct ring_slot *slot); /* the consumer skips it; pays an owed wake */

/* Counts one record dropped for a full ring, for the consumer to tell: svl__ring_dropped(). Wakes it if
 * it sleeps. False: nobody looks any more, nothing was counted. */
bool svl__ring_count_dropped(struct ring *ring);

/* The tail now: everything published before the call lies before it. */
uint64_t svl__ring_tail(const struct ring *ring);

/* --- the consumer: one thread --- */

struct ring_frame {
    const uint8_t *payload; /* in the ring: valid until released */
    uint32_t len;
    uint64_t end; /* the position behind it */
};

/* The next committed frame; discarded ones and padding are skipped. False: none is ready, either
 * because the ring is drained or because the next one is still being written. A frame with a wrong
 * stamp or length: somebody wrote over the ring, which is broken from there on: nothing comes any more, and
 * recovery will take what is whole. */
bool svl__ring_next(struct ring *ring, struct ring_frame *frame);
bool svl__ring_is_broken(const struct ring *ring);

/* The tail now, up to which svl__ring_next() goes without looking again. */
uint64_t svl__ring_look(struct ring *ring);
/* Such a look takes the tail's cache line away from the producers. Who has found as few `bytes` as a producer publishes
 * in a moment leaves it alone for one: until when, by the monotonic clock; 0: no need. */
int64_t svl__ring_next_look_ns(uint64_t bytes);

/* The position up to which svl__ring_next() has come. */
uint64_t svl__ring_drained(const struct ring *ring);

/* Everything before `position` is safe elsewhere: consumed, zeroed, head. May be called by another
 * thread than the consumer, one at a time, with growing positions <= drained. Wakes waiting producers
 * once a quarter of the ring is free or nothing is in use. */
void svl__ring_release(struct ring *ring, uint64_t position);

/* Sleeps until something is reserved, `svl__ring_wake()` is called or `deadline_ns` (monotonic,
 * INT64_MAX = never) has passed. Returns at once if the ring is not drained. With a claim open (the
 * next frame is reserved but not committed) it waits by short, growing sleeps, and after a second
 * counts it as stalled and returns. */
void svl__ring_sleep(struct ring *ring, int64_t deadline_ns);

/* The same in its parts, for a consumer whose place another thread may take while he sleeps, one at a time: what is
 * between begin (true) and end, svl__ring_sleep_wait(), touches nothing that is the consumer's. Begin has slept
 * already, or need not, where it answers false. */
bool svl__ring_sleep_begin(struct ring *ring, int64_t deadline_ns, uint32_t *word);
void svl__ring_sleep_wait(const struct ring *ring, int64_t deadline_ns, uint32_t word);
void svl__ring_sleep_end(struct ring *ring);
/* Whoever has his place, before giving it back: true, and the sleeper has nothing to do before what comes next wakes
 * him; false: svl__ring_wake(). */
bool svl__ring_sleeps_on(struct ring *ring);

/* Ends svl__ring_sleep(), now or the next one. Any thread; not lost. */
void svl__ring_wake(struct ring *ring);

/* From now on the ring wakes its consumer by this word in a shared mapping, so that he can sleep for several
 * rings. Before anybody else uses the ring. */
void svl__ring_wake_through(struct ring *ring, _Atomic uint32_t *word);

/* For a consumer that does not sleep on a word but polls a descriptor: `wake` is called for every wake that is
 * owed, and makes it readable; false: it cannot, and the word is used. Any thread, a signal handler too. Before
 * anybody else uses the ring. */
typedef bool ring_wake_fn(void *user);
void svl__ring_wake_by(struct ring *ring, ring_wake_fn *wake, void *user);
/* Such a consumer, before it polls: true: whatever comes from now on wakes it, and a claim that is open now when
 * it is committed. False: there is something to take. *again_ns is when to call this once more, monotonic, so
 * that a stalled claim is found; INT64_MAX: there is none open. */
bool svl__ring_arm(struct ring *ring, int64_t *again_ns);
/* Changes a time of the ring's file, of which inotify tells; by its publisher, of an attached one. */
bool svl__ring_touch(const struct ring *ring);

/* Records counted by svl__ring_count_dropped() since the ring was made. `end`: the last look, after it
 * nothing is counted any more. */
uint64_t svl__ring_dropped(struct ring *ring);
uint64_t svl__ring_dropped_end(struct ring *ring);
/* Of these, `total` are told, and safe elsewhere; ignored if it is less than before, or more than were counted. Any one
 * thread. */
void svl__ring_dropped_told(struct ring *ring, uint64_t total);
uint64_t svl__ring_dropped_told_get(const struct ring *ring);

/* Closes: reservations from now on answer SVL_E_CLOSED, waiting ones wake up. Returns the tail: all
 * that must still be drained, exactly. May be called again. */
uint64_t svl__ring_close(struct ring *ring);

struct ring_stats {
    uint64_t used_bytes;
    uint64_t high_water_bytes; /* seen by the consumer */
    uint64_t stalled_claims;   /* claims open for more than a second */
    uint64_t stalled_ns_max;   /* the longest */
};
void svl__ring_stats_get(struct ring *ring, struct ring_stats *stats);

/* --- recovery of a crashed process's ring file: hostile input --- */

/* Opens the file `name` in `directory` that a dead process left. Checks type, owner, size, header,
 * version, `store_uuid`; any bytes are safe. `position_of` is asked for the position that the journal
 * knows for this ring's uuid (0 = not known). The scan starts at the largest of head, consumed and that
 * position.
 * SVL_E_NOT_FOUND (no words): the file is gone. SVL_E_END (no words): its creation was cut off before
 * anything could be in it; it has been removed. SVL_E_BUSY: another process has it in use, or is about to
 * end. SVL_E_CORRUPT, SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_ACCESS, SVL_E_PATH: left as it is. The caller
 * must own the store: nobody else may map it. */
typedef uint64_t ring_position_fn(const uint8_t uuid[16], void *user);
int svl__ring_open_crashed(const char *directory, const char *name, const uint8_t store_uuid[16],
                           ring_position_fn *position_of, void *user, struct ring **out);

struct ring_recovery {
    uint64_t committed;  /* frames handed out */
    uint64_t unfinished; /* BUSY frames skipped by their length */
    uint64_t discarded;
    uint64_t gaps;    /* zero spans: reserved, header not written */
    uint64_t damaged; /* resynchronised on a stamp */
};

/* On such a ring svl__ring_next() never stops at an open claim: it yields every committed frame up to
 * the tail and skips the rest. svl__ring_release() and _unlink() work as usual: recovery can itself be
 * killed and starts again at what was released. Reserving answers SVL_E_CLOSED. */
void svl__ring_recovery_get(const struct ring *ring, struct ring_recovery *recovery);

#endif
