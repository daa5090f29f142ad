/* crash - the crash marker: finds the one record that kills the process in a handler, and sets it aside.
 *
 * A callback that kills the process kills it again at every start, as the record comes again. Which one it was
 * cannot be asked any more: several may have run. So each thread marks what its callback runs on, in a page that
 * outlives the process; what was marked at its death is suspect, and from then on is run with nothing beside it,
 * one record at a time. What then kills the process is known, and counted.
 *
 *     idle --callback--> marked --returns--> idle
 *                          |
 *                          | the process dies; svl_start()
 *                          v
 *                       suspect --its turn--> alone --returns, settled--> forgotten
 *                          ^                    |
 *                          |                    | the process dies; svl_start()
 *                          |                    v
 *                          +-- less than 3 -- counted -- 3 --> set aside --settled--> forgotten
 *
 *     idle, marked     a slot of the page (marks)            svl__crash_enter(), svl__crash_leave()
 *     suspect, counted in the durable list (suspects)        svl__crash_take()
 *     alone            a slot that says so, and the gate     svl__crash_judge(), svl__crash_enter()
 *     set aside        a record of a ring: stored as it came, flagged SVL_RECORD_UNPROCESSED, past all ingest
 *                      handlers; of a subscription: given up with the condition "crash"
 *     forgotten        what lies at or before it is settled  svl__crash_settle()
 *
 *   X1  a thread's slot is set before its callback and cleared after it.
 *   X2  while a suspect runs alone no other callback of the pipeline runs in this process. Others wait at the gate;
 *       publishing, and what the host does otherwise, does not. A callback must not wait for another one.
 *   X3  suspects and their crashes are durable before the page that they were found in is cleared or goes, and
 *       before one of them runs.
 *   X4  only a death during a run alone counts, and each of them once: the slot says which run it is, so taking a
 *       page twice adds nothing. A process that is killed by others in such a run is counted too, as nobody can tell;
 *       three times in a row on one record.
 *   X5  a suspect is known by what does not change over a restart: ring and position, or subscription and ids. As
 *       both are worked off in order, it is void when its subject has settled it; forgetting it late does no harm.
 *
 * Suspects become fewer once callbacks run: without any, nobody looks at the gate, and a callback costs its marks.
 *
 * Not marked are: consumers, whose records are anywhere in the host between poll and acknowledgement; the host's
 * `released` and log functions; ingest handlers over a private ring, which is gone with the process. */
#ifndef SVL_HANDLER_CRASH_H
#define SVL_HANDLER_CRASH_H

#include "marks.h"
#include "store/store.h"

/* Deaths in runs alone after which a record is set aside. */
#define CRASHES_MAX 3

struct crash_marker;

/* With the durable list: SVL_E_VERSION. */
int svl__crash_create(svl_store *store, struct crash_marker **out);
void svl__crash_destroy(struct crash_marker *marker); /* NULL is fine */

/* --- svl_start(); no callback runs --- */

/* Makes suspects of what a dead process has left in a page, waits until that is durable, and clears the page.
 * Bytes that are no such page, or of another boot: nothing. SVL_E_NOMEM, SVL_E_FAILED, SVL_E_TIMEOUT: the page
 * is as it was, to be taken again. */
int svl__crash_take(struct crash_marker *marker, void *page, size_t bytes, int64_t deadline_ns);
/* Callbacks mark in this page from now on, where nothing is marked yet; NULL: in none. */
void svl__crash_use(struct crash_marker *marker, void *page);

/* --- callbacks; `marker` may be NULL: nothing is marked, and nothing is suspect --- */

/* Subjects: a ring by its uuid, a subscription by its name, or without one by the order in which the host
 * registers them. */
uint64_t svl__crash_ring(const uint8_t uuid[16]);
uint64_t svl__crash_subscription(const char *name, uint32_t number);

enum crash_verdict { CRASH_FREE, CRASH_ALONE, CRASH_SET_ASIDE };

/* What is to be done with record `at` of a subject; *crashes (may be NULL) is how often it has killed the
 * process alone. */
enum crash_verdict svl__crash_judge(struct crash_marker *marker, enum marked_kind kind,
                                    uint64_t subject, uint64_t at, uint32_t *crashes);

/* Whether a subject has any left. */
bool svl__crash_concerns(struct crash_marker *marker, enum marked_kind kind, uint64_t subject);

/* A callback on its way. */
struct crash_run {
    struct marked what;
    uint32_t alone; /* 0: beside others; else one more than its crashes */
    bool gated;     /* set by svl__crash_enter() */
};

/* Around a callback, on the thread that has `slot`. False: svl__crash_end() was called, and it must not run. */
bool svl__crash_enter(struct crash_marker *marker, uint32_t slot, struct crash_run *run);
void svl__crash_leave(struct crash_marker *marker, uint32_t slot, const struct crash_run *run);

/* The subject is through with everything up to `upto`. */
void svl__crash_settle(struct crash_marker *marker, enum marked_kind kind, uint64_t subject,
                       uint64_t upto);
/* The subscription's handler was mended: its records run again, alone. */
void svl__crash_forgive(struct crash_marker *marker, uint64_t subject);
/* Feeds the list if it has changed; without memory for that, the next call does. */
void svl__crash_save(struct crash_marker *marker);

/* Nobody comes through the gate any more. */
void svl__crash_end(struct crash_marker *marker);

uint64_t svl__crash_suspects(struct crash_marker *marker);

#endif
