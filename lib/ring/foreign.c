/* foreign.c - taking frames from a ring that another process writes. The argument is in foreign.h (F1 to F4). */
#define _GNU_SOURCE
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "layout.h"

static int check_owner(int fd, const struct foreign_place *place)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return svl__fail_errno(errno, "stat of %s", place->name);
    if (st.st_uid != place->owner && st.st_uid != 0 && st.st_uid != geteuid())
        return svl__fail(SVL_E_ACCESS, "%s belongs to user %u, the store to %u", place->name,
                         (unsigned)st.st_uid, (unsigned)place->owner);
    return SVL_OK;
}

static int map_checked(int directory, const struct foreign_place *place, struct ring **out)
{
    int rc;
    int fd = svl__file_open(directory, place->name, O_RDWR, 0, &rc);
    if (rc == SVL_OK)
        rc = check_owner(fd, place);
    if (rc == SVL_OK)
        rc = svl__ring_map_file(fd, place->name, place->store_uuid, out);
    if (rc == SVL_OK && !(load_u32((const uint8_t *)(*out)->mapping + 12) & RING_ATTACHED))
        rc = svl__fail(SVL_E_CORRUPT, "%s is no ring for others to publish into", place->name);
    if (rc == SVL_OK)
        (*out)->fd = fd;
    else if (fd >= 0)
        close(fd);
    if (rc == SVL_E_END)
        rc = svl__fail(SVL_E_CORRUPT, "%s was never finished", place->name);
    return rc;
}

int svl__foreign_open(const struct foreign_place *place, ring_position_fn *position_of, void *user,
                      struct ring **out)
{
    *out = NULL;
    int directory;
    struct ring *ring = NULL;
    int rc = svl__ring_open_directory(place->directory, &directory);
    if (rc != SVL_OK)
        return rc;
    rc = map_checked(directory, place, &ring);
    close(directory);
    uint64_t start = 0, tail;
    if (rc == SVL_OK)
        rc = svl__ring_read_positions(ring, place->name, position_of(ring->uuid, user), &start,
                                      &tail);
    if (rc == SVL_OK)
        rc = svl__ring_remember(ring, place->directory, place->name);
    if (rc != SVL_OK) {
        svl__ring_destroy(ring);
        return rc;
    }
    /* How far it was freed is looked up once. */
    uint64_t head = atomic_load_explicit(&ring->control->head, memory_order_acquire);
    if (head > start || start - head > ring->capacity)
        head = start; /* it has changed meanwhile */
    ring->drained = start;
    atomic_store_explicit(&ring->drained_seen, start, memory_order_relaxed);
    atomic_store_explicit(&ring->foreign_head, head, memory_order_relaxed);
    *out = ring;
    return SVL_OK;
}

int svl__foreign_begin(struct ring *ring)
{
    struct flock lock = svl__ring_lock(RING_LOCK_CONSUMER);
    if (fcntl(ring->fd, F_SETLK, &lock) != 0 && (errno == EACCES || errno == EAGAIN))
        return svl__fail(SVL_E_BUSY,
                         "another process drains %s (is this store a copy of one that is open?)",
                         ring->name);
    svl__foreign_release(ring, ring->drained);
    return SVL_OK;
}

bool svl__foreign_lives(const struct ring *ring)
{
    struct flock holder = svl__ring_lock(RING_LOCK_PRODUCERS);
    return fcntl(ring->fd, F_GETLK, &holder) != 0 || holder.l_type != F_UNLCK;
}

/* What cannot be asked for is not known to be cut short: it is asked for again. */
bool svl__foreign_is_whole(const struct ring *ring)
{
    struct stat st;
    return fstat(ring->fd, &st) != 0 || (uint64_t)st.st_size >= ring->mapping_bytes;
}

/* How far it can be read (F2); false: it says what cannot be. The tail first: whoever moved it had seen a head
 * that was this side's own before (foreign_release). */
static bool read_tail(const struct ring *ring, uint64_t *limit)
{
    uint64_t tail =
        atomic_load_explicit(&ring->control->tail, memory_order_acquire) & TAIL_POSITION; /* A3 */
    uint64_t head = atomic_load_explicit(&ring->foreign_head, memory_order_acquire);
    if (tail >= ring->drained && tail - head <= ring->capacity) {
        *limit = tail;
        return true;
    }
    *limit = tail < ring->drained ? ring->drained : head + ring->capacity;
    return false;
}

void svl__foreign_orphan(struct ring *ring)
{
    if (ring->crashed)
        return;
#if !defined(__SANITIZE_THREAD__) /* which does not know fences */
    atomic_thread_fence(
        memory_order_seq_cst); /* what was committed before its slot was marked is seen */
#endif
    read_tail(ring, &ring->crash_tail);
    ring->crashed = true;
    ring->broken = false;
}

bool svl__foreign_is_orphan(const struct ring *ring)
{
    return ring->crashed;
}

static void set_drained(struct ring *ring, uint64_t position)
{
    ring->drained = position;
    atomic_store_explicit(&ring->drained_seen, position, memory_order_relaxed);
}

enum foreign_step svl__foreign_next(struct ring *ring, uint32_t len_max, uint8_t *to, size_t room,
                                    struct ring_frame *frame)
{
    uint64_t limit = ring->crash_tail;
    if (!ring->crashed)
        ring->broken |= !read_tail(ring, &limit);
    while (!ring->broken && ring->drained < limit) {
        uint64_t position = ring->drained;
        uint64_t header =
            atomic_load_explicit(frame_header(ring, position), memory_order_acquire); /* A6 */
        bool is_frame = header != 0 && svl__ring_is_frame(ring, position, header, limit);
        uint32_t flags = (uint32_t)header, len = flags & FRAME_LENGTH;
        if (!ring->crashed && (header == 0 || (is_frame && (flags & FRAME_BUSY))))
            return FOREIGN_NONE; /* reserved a moment ago, by somebody alive */
        if (!is_frame && !ring->crashed) {
            ring->broken = true;
            break;
        }
        if (!is_frame) {
            ring->recovery.gaps += header == 0;
            ring->recovery.damaged += header != 0;
            set_drained(ring, svl__ring_resynchronise(ring, position, limit));
            continue;
        }
        bool is_skipped = flags & (FRAME_BUSY | FRAME_DISCARD | FRAME_PAD);
        uint32_t kept = len < len_max ? len : len_max;
        if (!is_skipped && kept > room)
            return FOREIGN_ROOM;
        frame->len = kept;
        frame->end = position + frame_bytes(len);
        set_drained(ring, frame->end);
        ring->recovery.unfinished += (flags & FRAME_BUSY) != 0;
        if (is_skipped)
            continue;
        memcpy(to, ring->data + (position & ring->mask) + FRAME_HEADER, kept);
        frame->payload = to;
        ring->recovery.committed++;
        return len > len_max ? FOREIGN_LARGE : FOREIGN_FRAME;
    }
    return ring->broken ? FOREIGN_BROKEN : FOREIGN_NONE;
}

bool svl__foreign_is_drained(const struct ring *ring)
{
    return ring->crashed && ring->drained >= ring->crash_tail;
}

void svl__foreign_release(struct ring *ring, uint64_t position)
{
    struct ring_control *c = ring->control;
    uint64_t head = atomic_load_explicit(&ring->foreign_head, memory_order_relaxed);
    if (position < head)
        return;
    atomic_store_explicit(&c->consumed, position, memory_order_relaxed);
    ring_crash_fence(); /* A11 */
    RING_STEP("consumed");
    svl__ring_zero(ring, head, position);
    RING_STEP("zeroed");
    atomic_store_explicit(&ring->foreign_head, position, memory_order_release);
    atomic_exchange_explicit(&c->head, position, memory_order_seq_cst); /* A2, B3 */
    RING_STEP("head");
    svl__ring_tell_space(ring, position);
}

bool svl__foreign_is_released(const struct ring *ring)
{
    return atomic_load_explicit(&ring->foreign_head, memory_order_acquire) >= ring->drained;
}

bool svl__foreign_arm(struct ring *ring)
{
    struct ring_control *c = ring->control;
    if (ring->broken)
        return true; /* its producers' end is what is waited for */
    if (ring->crashed)
        return ring->drained >= ring->crash_tail;
    uint64_t tail = atomic_fetch_or_explicit(&c->tail, TAIL_SLEEPS, memory_order_seq_cst); /* A4 */
    RING_STEP("sleep bit of an attached ring");
    uint64_t dropped = atomic_load_explicit(&c->dropped, memory_order_seq_cst) & ~DROPPED_ENDED;
    if (dropped > atomic_load_explicit(&ring->foreign_dropped, memory_order_relaxed)) /* B4 */
        return false;
    if ((tail & TAIL_POSITION) == ring->drained)
        return true;
    /* A claim is open: whoever commits it looks at the bit after its header (A10). */
    uint64_t header = atomic_load_explicit(frame_header(ring, ring->drained), memory_order_seq_cst);
    return header == 0 || ((uint32_t)header & FRAME_BUSY);
}

uint64_t svl__foreign_dropped(struct ring *ring)
{
    uint64_t dropped =
        atomic_load_explicit(&ring->control->dropped, memory_order_seq_cst) & ~DROPPED_ENDED;
    uint64_t before = atomic_load_explicit(&ring->foreign_dropped, memory_order_relaxed);
    if (dropped < before)
        return before;
    atomic_store_explicit(&ring->foreign_dropped, dropped, memory_order_relaxed);
    return dropped;
}

uint64_t svl__foreign_end(const struct ring *ring)
{
    uint64_t limit = ring->crash_tail;
    if (!ring->crashed)
        read_tail(ring, &limit);
    return limit;
}
