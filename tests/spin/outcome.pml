/* outcome.pml - a publisher in another process that waits until its record is settled.
 *
 * svl__outcome_put(), _settle(), _tell() by the host; svl__outcome_count(), _get() or _settled(), _wait() by PUBLISHERS
 * publishers. Times are infinite: one that is not told stays asleep, and the run ends in an invalid end state.
 *
 *   W1  every waiter is told
 *   W2  the id that it gets is its record's */
#ifndef PUBLISHERS
#define PUBLISHERS 2
#endif
#define ID 0
#define WORD 1
#define SETTLED 2
#define COUNT 3
#define ATOMICS 4
#define PLAINS 1
#define THREADS (PUBLISHERS + 1)
#define DEPTH 4
#include "orders.pml"

/* Waits for its outcome, the second one for its position. */
proctype waiter(byte me)
{
    byte count, got;
    do
    :: load(me, COUNT, O4, count);
       load(me, (me == 1 -> WORD : SETTLED), O2, got);
#ifdef COUNTS_LATE
       load(me, COUNT, O4, count);
#endif
       if
       :: got != 0 -> break
       :: else -> futex_wait(me, COUNT, count)
       fi
    od;
    load(me, ID, RELAXED, got);
    assert(got == 1); /* W2 */
    thread_end(me)
}

active proctype host()
{
    byte ignored;
    atomic {
        memory_begin();
        ignored = 1;
        do
        :: ignored <= PUBLISHERS ->
            may_load(ignored, ID);
            may_load(ignored, WORD);
            may_load(ignored, SETTLED);
            may_load(ignored, COUNT);
            run waiter(ignored);
            ignored++
        :: else -> break
        od
    }
    store(0, ID, RELAXED, 1);
    store(0, WORD, O1, 1);
    store(0, SETTLED, O1, 1);
    modify(0, COUNT, O3, ignored, ignored + 1);
    futex_wake(0, COUNT);
    thread_end(0)
}
