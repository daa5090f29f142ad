/* marks - the page that says which callbacks run on what, for whoever comes after the death of this process.
 *
 * It lies in memory that outlives the process: a crash ring's, or a mapped file's.
 *
 *   offset  bytes  what
 *   0       8      magic "SVLMARK1"
 *   8       4      version, 1
 *   12      4      zero
 *   16      16     boot id, zeros = not known: what another boot has left says nothing
 *   32      32     zero
 *   64      64 n   257 slots
 *
 *   a slot
 *   0       4      kind: enum marked_kind, 0 = no callback
 *   4       4      0, or that it runs alone: which such run of the record this is, from 1
 *   8       8      subject
 *   16      8      first
 *   24      8      last
 *   32      32     zero
 *
 * A slot is one thread's, and is read only when that thread is dead. Of a thread that dies, the stores up to some
 * instruction have happened, in program order, and no other: so the compiler's order is all that is needed, and
 * no fence or system call is. A power loss is no crash of a callback: nothing is flushed for it.
 *
 *   M1 the kind, set last <- M2 read first: a slot with a kind is whole.
 *   M3 the kind, zeroed first when a slot is set anew or cleared: it never tells of two callbacks.
 *
 * A slot has a cache line, so threads do not share one. */
#ifndef SVL_HANDLER_MARKS_H
#define SVL_HANDLER_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The pipeline's thread has the first one (or who calls svl_start()), workers the others. */
#define MARK_SLOTS 257
#define MARK_SLOT_BYTES 64
#define MARK_PAGE_BYTES (MARK_SLOT_BYTES * (1 + MARK_SLOTS))

enum marked_kind {
    MARKED_NOTHING,
    MARKED_INGEST,  /* a record in its ring */
    MARKED_STORED,  /* records of a subscription's batch */
    MARKED_REDRIVEN /* dead letters of such */
};

/* What a callback runs on. */
struct marked {
    enum marked_kind kind;
    uint64_t subject;     /* the ring, or the subscription */
    uint64_t first, last; /* the position behind the record; ids */
};

/* Makes a page without marks. */
void svl__marks_make(void *page);
/* It is a page of marks, made since the machine has started: false where that is not known. */
bool svl__marks_are_valid(const void *page, size_t bytes);

/* `alone`: which run alone it is, 0 if others may run beside it. */
void svl__mark_set(void *page, uint32_t slot, const struct marked *what, uint32_t alone);
void svl__mark_clear(void *page, uint32_t slot);
/* What a dead thread was at: false, nothing. */
bool svl__mark_get(const void *page, uint32_t slot, struct marked *what, uint32_t *alone);

#endif
