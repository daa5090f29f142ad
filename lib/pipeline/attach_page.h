/* attach_page - where attached rings are found: one mapped file in the store's directory.
 *
 *   offset  bytes  what
 *   0       8      magic "SVLATCH1"
 *   8       4      format version, 1
 *   12      4      record_bytes_max of the host
 *   16      16     uuid of the store
 *   32      4      the word on which the host's pipeline thread sleeps: it counts wakes from all rings
 *   36      4      changes: counts comings and goings
 *   40      4      1 = nobody sleeps on the word, the host polls: whoever wakes him touches his ring's file
 *   4096           63 slots of 512 bytes:
 *     0     8      state: generation << 8 | ATTACH_*
 *     8     256    the ring's directory, NUL-terminated
 *     264   64     its file's name there
 *
 *   free --attach--> making --its ring is there, locked--> ready --its lock is free--> left --drained--> free
 *                      |                                     |                           ^
 *                      +-- died: freed by who comes next     +-- it lies: broken --------+
 *   (while the file of an empty ring is removed, its slot is as one half made)
 *
 * The host makes the page, and owns what comes after ready, where a publisher that leaves an empty ring may
 * be first. A publisher makes its ring under an open file's lock on the bytes of the slot, which nobody waits for: one
 * that is locked is passed by. Every taking has a generation, so nobody frees another's slot. Every user of the page
 * may write all of it: the host copies what it reads and checks it. */
#ifndef SVL_PIPELINE_ATTACH_PAGE_H
#define SVL_PIPELINE_ATTACH_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/bell.h"
#include "store/journal.h"

#define ATTACH_PAGE_NAME ATTACH_NAME
#define ATTACH_SLOTS (JOURNAL_RINGS_MAX - 1) /* one is the host's own ring */

enum attach_state {
    ATTACH_FREE = 0,
    ATTACH_MAKING = 1,
    ATTACH_READY = 2,
    ATTACH_BROKEN = 3,
    ATTACH_LEFT = 4
};

static inline enum attach_state attach_state_of(uint64_t word)
{
    return (enum attach_state)(word & 255);
}

static inline uint64_t attach_state_as(uint64_t word, enum attach_state state)
{
    return (word & ~UINT64_C(255)) | state;
}

struct ring;

struct attach_slot {
    _Atomic uint64_t state;
    char directory[256];
    char name[64];
    uint8_t rest[184];
};

struct attach_page {
    _Atomic uint64_t magic;
    uint32_t version;
    uint32_t record_bytes_max;
    uint8_t store_uuid[16];
    _Atomic uint32_t word;
    _Atomic uint32_t changes;
    _Atomic uint32_t host_polls;
    uint8_t rest[4096 - 44];
    struct attach_slot slots[ATTACH_SLOTS];
};

/* The host: made where there is none; one that is damaged is made anew, and who is in it is told so by its slot. *fd
 * (-1: none) is the caller's to close, also after a failure. */
int svl__attach_page_open_host(int directory, mode_t file_mode, const uint8_t store_uuid[16],
                               uint32_t record_bytes_max, struct attach_page **out, int *fd);
/* A publisher. *fd stays open for the locks: the caller's to close. SVL_E_NOT_FOUND (no words), SVL_E_CORRUPT,
 * SVL_E_VERSION. */
int svl__attach_page_open(int directory, struct attach_page **out, int *fd);
/* A slot is one thread's to make, or to clear, at a time, and none waits for another: that one may have been stopped
 * for good. The lock is the open file's, not the process': other threads, other descriptors of the page and a fork in
 * between do not disturb it. SVL_E_BUSY (no words): somebody is at it. */
int svl__attach_page_lock(int fd, size_t i);
void svl__attach_page_unlock(int fd, size_t first, size_t n);
/* The slot's lock is held: if it is half made, its maker is dead: the file goes, the slot is freed; it stays
 * half made if the file cannot be removed now. -> its state. */
uint64_t svl__attach_page_clear(struct attach_page *page, size_t i);
/* Frees the slot whose ready state is `state`, with its ring's file. While the file goes the slot is as one half
 * made: a crash in between leaves nothing that looks like a ring. */
void svl__attach_page_remove(struct attach_slot *slot, uint64_t state, struct ring *ring);
void svl__attach_page_close(struct attach_page *page); /* NULL is fine */

/* Something has come or gone: the host is to look. */
void svl__attach_page_tell(struct attach_page *page);
/* So that a host that polls looks; `fd` is the page's. */
void svl__attach_page_touch(struct attach_page *page, int fd);
/* Ends the host's sleep. */
void svl__attach_page_wake(struct attach_page *page);

#endif
