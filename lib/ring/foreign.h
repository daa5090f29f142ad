/* foreign - the consumer's side of a ring whose producers are another process: hostile input.
 *
 * The file may hold anything and change at any time. So nothing in it is believed:
 *
 *   F1  a word is loaded once, checked, and used as it was loaded; a payload is copied out before anybody looks at
 *       it, and what the copy holds is the caller's to check.
 *   F2  capacity, salt, head and drain position are this process' own; every position stays in [head,
 *       head + capacity], every loop ends there.
 *   F3  a live ring that says what cannot be is broken: nothing is taken from it any more. Once its producers have
 *       gone, what is whole in it is taken, as from any crashed ring; how much that can be is fixed then.
 *   F4  the producers live as long as their process' lock on the file, never by time. Open claims are waited for
 *       while they do, and skipped after.
 *
 * What is stored into the file (head, zeros, outcomes) is for its producers alone: this side reads none of it
 * back. One that cuts the file short after it was looked at can still bring SIGBUS upon this process: it is of the
 * same user, or root. */
#ifndef SVL_RING_FOREIGN_H
#define SVL_RING_FOREIGN_H

#include "ring.h"

struct foreign_place {
    const char *directory;
    const char *name;
    const uint8_t *store_uuid;
    uint32_t owner; /* the user whose file it must be; root's and this process' own are right too */
};

/* Opens it, to go on at the largest of its positions and the one that `position_of` gives. Nothing is stored into it
 * yet: it may be one that is in use already. SVL_E_NOT_FOUND (no words): there is no such file. SVL_E_CORRUPT,
 * SVL_E_VERSION, SVL_E_FOREIGN, SVL_E_ACCESS, SVL_E_PATH, SVL_E_FILE_SYSTEM: it is none of ours, and left as it is. A
 * shortage: to be tried again. svl__ring_destroy() closes it. */
int svl__foreign_open(const struct foreign_place *place, ring_position_fn *position_of, void *user,
                      struct ring **out);
/* It is this process' to drain: what was safe elsewhere is freed. Before anything else is done with it. SVL_E_BUSY: it
 * is another one's. */
int svl__foreign_begin(struct ring *ring);

/* Its producers' process has the lock. */
bool svl__foreign_lives(const struct ring *ring);
/* They have gone, or are to be refused from now on: as a crashed ring, up to where it can be. */
void svl__foreign_orphan(struct ring *ring);
bool svl__foreign_is_orphan(const struct ring *ring);
/* The file has its size still: to be asked before it is touched. */
bool svl__foreign_is_whole(const struct ring *ring);

enum foreign_step {
    FOREIGN_NONE,  /* nothing is there, or not yet */
    FOREIGN_FRAME, /* *frame, its payload copied */
    FOREIGN_LARGE, /* one of more than `len_max` bytes was skipped: *frame has its first `len_max` bytes */
    FOREIGN_ROOM,   /* the next one does not fit `room`: nothing has changed */
    FOREIGN_BROKEN, /* it lies; so does every later call, until it is an orphan */
};
/* The next frame, its payload copied to `to`. */
enum foreign_step svl__foreign_next(struct ring *ring, uint32_t len_max, uint8_t *to, size_t room,
                                    struct ring_frame *frame);
/* All that can come of an orphan has come. */
bool svl__foreign_is_drained(const struct ring *ring);

/* As svl__ring_release(), by positions that are this side's own. */
void svl__foreign_release(struct ring *ring, uint64_t position);
bool svl__foreign_is_released(const struct ring *ring); /* all that was drained */

/* Sets the sleep bit. False: something is to be taken now, do not sleep. */
bool svl__foreign_arm(struct ring *ring);

/* What DROP_NEW has dropped, by its producers' word; and where the ring ends now, which may be a lie too. */
uint64_t svl__foreign_dropped(struct ring *ring);
uint64_t svl__foreign_end(const struct ring *ring);

#endif
