/* wake.c - sleeping without missing a wake, on futexes.
 *
 * The consumer. It reads the wake word, sets the sleep bit, and sleeps on that word only if the tail it
 * got with the bit is its own drain position: nothing is reserved that it has not taken. Whoever reserves
 * next finds the bit in the value that its CAS replaces (A3, A4), clears it thereby, and adds to the wake
 * word after its commit: either the word has changed before the futex call, which then returns at once,
 * or the call is woken.
 *
 *   B1 release, fetch_add of the wake word <- B2 acquire, its loads before the sleep bit and after the sleep:
 *      whoever knows of a wake sees what was stored before it.
 *
 * A consumer that polls (svl__ring_arm) sets the bit, too, and then waits for what ring->wake makes readable;
 * it does not meet open claims by sleeping: whoever commits looks at the bit behind its header (A10, ring.c).
 *
 * Producers that wait for space. A producer counts itself, then looks at the head again; the releaser
 * stores the head, then looks at the count: store then load on both sides, so both are sequentially
 * consistent (B3), once a release, never on publish. The space word is read before that and added to after that (B5):
 * it has changed, then, or the waiter is found.
 *
 * An open claim (reserved, not committed) is met by spinning a little, then short sleeps: its producer is
 * running, or preempted, or gone; after a second it is counted as stalled, never taken over. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/step.h"
#include "layout.h"

/* A publish is some 25 ns, and four times that when the consumer has just looked; a sleep and its wake are more than
 * the moment. */
#define FEW_BYTES 8192
#define MOMENT_NS 1500
#define CLAIM_SPINS 100
#define CLAIM_SLEEP_NS_MIN (50 * INT64_C(1000))
#define CLAIM_SLEEP_NS_MAX NS_PER_MS

static long futex(const struct ring *ring, _Atomic uint32_t *word, int operation, uint32_t value,
                  const struct timespec *until)
{
    bool in_file = ring->shared || (ring->wake_shared && word == ring->wake_word);
    int private = in_file ? 0 : FUTEX_PRIVATE_FLAG;
    return syscall(SYS_futex, word, operation | private, value, until, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}

/* Sleeps while the word is `value`, until `deadline_ns` (monotonic). */
void svl__ring_futex_wait(const struct ring *ring, _Atomic uint32_t *word, uint32_t value,
                          int64_t deadline_ns)
{
    struct timespec until = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
                              .tv_nsec = (long)(deadline_ns % NS_PER_S) };
    futex(ring, word, FUTEX_WAIT_BITSET, value, deadline_ns == INT64_MAX ? NULL : &until);
}

void svl__ring_futex_wake_all(const struct ring *ring, _Atomic uint32_t *word)
{
    futex(ring, word, FUTEX_WAKE, INT_MAX, NULL);
}

void svl__ring_pay_wake(struct ring *ring)
{
    atomic_fetch_add_explicit(ring->wake_word, 1, memory_order_release); /* B1 */
    STEP("ring: wake counted");
    /* All: whoever else sleeps on a word that others have mapped must not get the one wake. */
    if (!ring->wake || !ring->wake(ring->wake_user))
        futex(ring, ring->wake_word, FUTEX_WAKE, INT_MAX, NULL);
}

void svl__ring_wake_by(struct ring *ring, ring_wake_fn *wake, void *user)
{
    ring->wake = wake;
    ring->wake_user = user;
    ring->commit_looks = true;
}

bool svl__ring_touch(const struct ring *ring)
{
    return futimens(ring->fd, NULL) == 0;
}

void svl__ring_wake_through(struct ring *ring, _Atomic uint32_t *word)
{
    ring->wake_word = word;
    ring->wake_shared = true;
    ring->wake_seen = atomic_load_explicit(word, memory_order_acquire) - 1; /* looks once more */
}

void svl__ring_wake(struct ring *ring)
{
    svl__ring_pay_wake(ring);
}

/* True when the claim has just become a stalled one. */
static bool note_claim(struct ring *ring, int64_t now_ns)
{
    if (ring->claim_since_ns == 0 || ring->claim_position != ring->drained) {
        ring->claim_since_ns = now_ns;
        ring->claim_position = ring->drained;
        ring->claim_counted = false;
        return false;
    }
    uint64_t age = (uint64_t)(now_ns - ring->claim_since_ns);
    if (age < (uint64_t)NS_PER_S)
        return false;
    bool is_new = !ring->claim_counted;
    if (is_new)
        atomic_fetch_add_explicit(&ring->stalled, 1, memory_order_relaxed);
    ring->claim_counted = true;
    if (age > atomic_load_explicit(&ring->stalled_ns_max, memory_order_relaxed))
        atomic_store_explicit(&ring->stalled_ns_max, age, memory_order_relaxed);
    return is_new;
}

static bool is_ready(const struct ring *ring)
{
    uint64_t header = atomic_load_explicit(frame_header(ring, ring->drained), memory_order_acquire);
    return header != 0 && !((uint32_t)header & FRAME_BUSY);
}

/* The next frame is reserved and not committed: its producer is at work on it. */
static void wait_for_claim(struct ring *ring, uint32_t wake, int64_t deadline_ns)
{
    for (int i = 0; i < CLAIM_SPINS; i++)
        if (is_ready(ring))
            return;
    sched_yield();
    int64_t sleep_ns = CLAIM_SLEEP_NS_MIN;
    while (!is_ready(ring)) {
        int64_t now = svl__monotonic_ns();
        if (note_claim(ring, now) || now >= deadline_ns ||
            atomic_load_explicit(ring->wake_word, memory_order_acquire) != wake)
            return;
        svl__ring_futex_wait(ring, ring->wake_word, wake, now + sleep_ns);
        sleep_ns = sleep_ns * 2 < CLAIM_SLEEP_NS_MAX ? sleep_ns * 2 : CLAIM_SLEEP_NS_MAX;
    }
}

static uint64_t dropped_now(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->dropped, memory_order_seq_cst) & /* B4 */
           ~DROPPED_ENDED;
}

int64_t svl__ring_next_look_ns(uint64_t bytes)
{
    return bytes > 0 && bytes < FEW_BYTES ? svl__monotonic_ns() + MOMENT_NS : 0;
}

bool svl__ring_sleep_begin(struct ring *ring, int64_t deadline_ns, uint32_t *word)
{
    struct ring_control *c = ring->control;
    uint32_t wake = atomic_load_explicit(ring->wake_word, memory_order_acquire); /* B2 */
    *word = wake;
    if (wake != ring->wake_seen) {
        ring->wake_seen = wake; /* a wake that came before this sleep is not lost */
        return false;
    }
    STEP("ring: wake word read");
    uint64_t tail =
        atomic_fetch_or_explicit(&c->tail, TAIL_SLEEPS, memory_order_seq_cst); /* A4, B4 */
    STEP("ring: sleep bit set");
    if (dropped_now(ring) != ring->dropped_seen)
        return false;
    if ((tail & TAIL_POSITION) == ring->drained)
        return true;
    wait_for_claim(ring, wake, deadline_ns);
    svl__ring_sleep_end(ring);
    return false;
}

void svl__ring_sleep_wait(const struct ring *ring, int64_t deadline_ns, uint32_t word)
{
    svl__ring_futex_wait(ring, ring->wake_word, word, deadline_ns);
}

void svl__ring_sleep_end(struct ring *ring)
{
    ring->wake_seen = atomic_load_explicit(ring->wake_word, memory_order_acquire); /* B2 */
}

void svl__ring_sleep(struct ring *ring, int64_t deadline_ns)
{
    uint32_t word;
    if (!svl__ring_sleep_begin(ring, deadline_ns, &word))
        return;
    svl__ring_sleep_wait(ring, deadline_ns, word);
    svl__ring_sleep_end(ring);
}

/* The sleeper's futex call goes on, so the bit is his as if he had set it; a claim that was open before has seen
 * none, and he alone waits for such. */
bool svl__ring_sleeps_on(struct ring *ring)
{
    int64_t again_ns;
    return svl__ring_arm(ring, &again_ns) && svl__ring_tail(ring) == ring->drained;
}

bool svl__ring_arm(struct ring *ring, int64_t *again_ns)
{
    struct ring_control *c = ring->control;
    *again_ns = INT64_MAX;
    uint64_t tail =
        atomic_fetch_or_explicit(&c->tail, TAIL_SLEEPS, memory_order_seq_cst); /* A4, B4 */
    STEP("ring: sleep bit set without sleep");
    if (dropped_now(ring) != ring->dropped_seen)
        return false;
    if ((tail & TAIL_POSITION) == ring->drained)
        return true;
    uint64_t header =
        atomic_load_explicit(frame_header(ring, ring->drained), memory_order_seq_cst); /* A10 */
    if (header != 0 && !((uint32_t)header & FRAME_BUSY))
        return false;
    note_claim(ring, svl__monotonic_ns());
    if (!ring->claim_counted)
        *again_ns = ring->claim_since_ns + NS_PER_S;
    return true;
}

/* Every count is either in the value of the last look or finds its bit there: one word, so nothing is
 * counted and not told. And none sleeps through a count: it is added, then the sleep bit looked at; the
 * bit is set, then the count looked at; all of it sequentially consistent (B4). */
bool svl__ring_count_dropped(struct ring *ring)
{
    struct ring_control *c = ring->control;
    if (atomic_fetch_add_explicit(&c->dropped, 1, memory_order_seq_cst) & DROPPED_ENDED)
        return false;
    STEP("ring: dropped counted");
    if (atomic_load_explicit(&c->tail, memory_order_seq_cst) & TAIL_SLEEPS) /* B4 */
        svl__ring_pay_wake(ring);
    return true;
}

uint64_t svl__ring_dropped(struct ring *ring)
{
    ring->dropped_seen = dropped_now(ring);
    return ring->dropped_seen;
}

uint64_t svl__ring_dropped_end(struct ring *ring)
{
    return atomic_fetch_or_explicit(&ring->control->dropped, DROPPED_ENDED, memory_order_seq_cst) &
           ~DROPPED_ENDED;
}

void svl__ring_dropped_told(struct ring *ring, uint64_t total)
{
    if (total > svl__ring_dropped_told_get(ring) && total <= dropped_now(ring))
        atomic_store_explicit(&ring->control->dropped_told, total, memory_order_relaxed);
}

uint64_t svl__ring_dropped_told_get(const struct ring *ring)
{
    return atomic_load_explicit(&ring->control->dropped_told, memory_order_relaxed);
}

uint64_t svl__ring_close(struct ring *ring)
{
    uint64_t tail =
        atomic_fetch_or_explicit(&ring->control->tail, TAIL_CLOSED, memory_order_acq_rel); /* A9 */
    atomic_fetch_add_explicit(&ring->control->space_word, 1, memory_order_seq_cst);        /* B5 */
    futex(ring, &ring->control->space_word, FUTEX_WAKE, INT_MAX, NULL);
    svl__ring_pay_wake(ring);
    return tail & TAIL_POSITION;
}

/* --- producers that wait for space --- */

void svl__ring_tell_space(struct ring *ring, uint64_t head)
{
    struct ring_control *c = ring->control;
    if (atomic_load_explicit(&c->space_waiters, memory_order_seq_cst) == 0) /* B3 */
        return;
    uint64_t used = svl__ring_tail(ring) - head;
    if (used > ring->capacity - ring->capacity / 4 &&
        atomic_load_explicit(&ring->drained_seen, memory_order_relaxed) != head)
        return; /* waking all for a little would only have them fight for it */
    atomic_fetch_add_explicit(&c->space_word, 1, memory_order_seq_cst); /* B5 */
    futex(ring, &c->space_word, FUTEX_WAKE, INT_MAX, NULL);
}

int svl__ring_reserve_wait(struct ring *ring, uint32_t len, int64_t deadline_ns,
                           struct ring_slot *slot)
{
    struct ring_control *c = ring->control;
    int rc = svl__ring_reserve(ring, len, slot);
    while (rc == SVL_E_FULL) {
        uint32_t space = atomic_load_explicit(&c->space_word, memory_order_seq_cst); /* B5 */
        atomic_fetch_add_explicit(&c->space_waiters, 1, memory_order_seq_cst);       /* B3 */
        STEP("ring: waits for space");
        uint64_t head = atomic_load_explicit(&c->head, memory_order_seq_cst); /* B3 */
        atomic_store_explicit(&c->head_cache, head, memory_order_release);    /* A2, passed on */
        rc = svl__ring_reserve(ring, len, slot);
        if (rc == SVL_E_FULL && svl__monotonic_ns() < deadline_ns)
            svl__ring_futex_wait(ring, &c->space_word, space, deadline_ns);
        atomic_fetch_sub_explicit(&c->space_waiters, 1, memory_order_seq_cst);
        if (rc == SVL_E_FULL) {
            rc = svl__ring_reserve(ring, len, slot);
            if (rc == SVL_E_FULL && svl__monotonic_ns() >= deadline_ns)
                return SVL_E_FULL;
        }
    }
    return rc;
}
