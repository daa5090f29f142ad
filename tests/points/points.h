/* points - who dies where: the named points of the library (base/step.h) and those of this executable's system calls
 * (calls.c), how often each was passed, and the plan of one life.
 *
 * All of it lies in memory that the processes of a run share and that outlives them. A process has one phase at a time;
 * the plan is for one of them. Whoever gets to the planned point dies by SIGKILL, at once or when a publisher is held
 * in the middle of a reservation. */
#ifndef TESTS_POINTS_POINTS_H
#define TESTS_POINTS_POINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/support.h"

enum phase {
    LIFE, /* whatever a process does that found no crash; and any other, once it has recovered */
    RECOVERY,        /* of a crash in LIFE: open and start */
    SECOND_RECOVERY, /* of a crash in a recovery */
    PHASES
};

enum hold { HOLD_NOBODY, HOLD_BEFORE_BUSY, HOLD_BEHIND_BUSY };

struct plan {
    enum phase phase;
    bool at_new;      /* at the first point where nobody has died in this phase */
    int point;        /* or at this one's `pass`-th pass; -1: at none */
    uint64_t pass;    /* from 1 */
    uint64_t any;     /* or at so many passes of any point in LIFE; 0: never */
    int64_t after_us; /* or after a time; 0: never */
    enum hold hold;
};

/* Maps the shared memory, once. */
void points_set_up(void);
/* Forgets what was passed, and where somebody died. */
void points_forget(void);

size_t points_count(void);
const char *points_name(int point);
/* Passes in the life in which there were most; processes that died there. */
uint64_t points_most(int point, enum phase phase);
uint64_t points_deaths(int point, enum phase phase);

/* --- the parent, between lives --- */

void points_begin(const struct plan *plan);
/* Of the last life: the point where it died by plan; the publisher that was held. Below 0: none. */
int points_died_at(void);
int points_held(void);

/* --- the children --- */

void points_enter(enum phase phase);
/* The calling thread publishes as number `publisher`, and may be held. */
void points_publish_as(int publisher);
/* Dies here, as the plan has not come to it. */
void points_die(void);
/* Dies after the plan's time, if it has one. */
void points_start_clock(void);

#endif
