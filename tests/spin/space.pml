/* space.pml - a ring that is full: producers that wait for space, who frees it, and close.
 *
 * svl__ring_reserve_wait() by PRODUCERS threads, RECORDS each (the first one MORE); svl__ring_next() by the drainer; svl__ring_release() with
 * svl__ring_tell_space() by a releaser behind it, as the pipeline's flusher is; CELLS frames are the capacity.
 * svl__ring_close() (CLOSES) at any time. All times are infinite: a producer that is not told stays asleep, and the run
 * ends in an invalid end state.
 *
 *   P1  no producer is stuck: each one ends, with all its records committed or with SVL_E_CLOSED
 *   P2  a span that was reserved is zero for its producer, and so is its payload (A1, A2, R3): no data race with the
 *       zeroing, nothing left of the lap before
 *   P3  each record once, whole, in its producer's order: what was committed before and after close too
 *   P4  full is said only of a ring that was full: never from a tail that is older than the head
 *   P5  whoever is refused sees what was stored before close (A8, A9)
 *
 * Left out: the consumer's sleep (sleep.pml): it waits for the next header. Frames have one cell, so no padding
 * (recovery.pml has it). */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef MORE
#define MORE 0 /* of the first one */
#endif
#ifndef FAILS
#define FAILS 0 /* the last one: it does not wait, and ends when it finds the ring full */
#endif
#ifndef CELLS
#define CELLS 2
#endif
/* Waiters are told when so much is free: in the ring a quarter. */
#define KEPT (CELLS - 1)
#ifndef STOPS
#define STOPS 0 /* the drainer, when the ring is closed, as of a ring that is broken */
#endif
#ifndef CLOSES
#define CLOSES 0
#endif

#define TAIL 0 /* position * 2, plus the closed bit */
#define HEAD 1
#define CACHE 2
#define SPACE 3
#define WAITERS 4
#define DRAINED 5 /* drained_seen */
#define HANDED 6 /* to the releaser */
#define WHY 7
#define HEADER 8 /* of each cell: 0, or the position + 1 once committed */
#define ATOMICS (HEADER + CELLS)
#define PAYLOAD ATOMICS
#define CLEARED (PAYLOAD + CELLS) /* the header cells as the zeroing and who reserves see them: plain */
#define PLAINS (2 * CELLS)
#define DRAINER 0
#define RELEASER (PRODUCERS + 1)
#define CLOSER (PRODUCERS + 2)
#define THREADS (PRODUCERS + 3)
#ifndef DEPTH
#define DEPTH 6
#endif
#include "orders.pml"

byte committed, ended, taken;
bool drainer_ended;

/* has_space() */
inline has_space(me, end)
{
    load(me, CACHE, A1_CACHE, head);
    if
    :: end >= head && end - head <= CELLS -> fits = true
    :: else ->
        load(me, HEAD, A1_HEAD, head);
        store(me, CACHE, A1_FILL, head);
        fits = end >= head && end - head <= CELLS;
        older = end < head
    fi
}

/* svl__ring_reserve(): `result` */
#define GOT 1
#define FULL 2
#define CLOSED 3
inline reserve(me)
{
    load(me, TAIL, RELAXED, tail);
    do
    :: (tail & 1) != 0 ->
        load(me, TAIL, A8, tail);
        load(me, WHY, RELAXED, head);
        assert(head == 1); /* P5 */
        result = CLOSED;
        break
    :: else ->
        has_space(me, tail / 2 + 1);
        if
        :: fits ->
            if
            :: d_step {
                   NEWEST_VALUE(TAIL) == tail -> modify_now(me, TAIL, A3, head, tail + 2)
               };
               result = GOT;
               break
            :: NEWEST_VALUE(TAIL) != tail -> load(me, TAIL, RELAXED, tail)
            fi
        :: else ->
#ifdef BELIEVES_OLD_TAILS
            now_ = tail;
#else
            load(me, TAIL, RELAXED, now_);
#endif
            if
            :: now_ == tail ->
                assert(!older); /* P4 */
                result = FULL;
                break
            :: else -> tail = now_
            fi
        fi
    od;
    atomic {
        head = 0;
        now_ = 0;
        fits = false;
        older = false
    }
}

/* svl__ring_reserve_wait() */
inline reserve_wait(me)
{
    reserve(me);
    do
    :: result != FULL -> break
    :: else ->
        load(me, SPACE, B5_LOOK, space);
#ifndef WAITS_UNCOUNTED
        modify(me, WAITERS, B3_WAITERS, head, head + 1);
#endif
        load(me, HEAD, B3_HEAD, head);
        store(me, CACHE, A1_FILL, head);
#ifndef LOOKS_NOT_AGAIN
        reserve(me);
#endif
        if
        :: result == FULL -> futex_wait(me, SPACE, space)
        :: else
        fi;
#ifndef WAITS_UNCOUNTED
        modify(me, WAITERS, RELAXED, head, head - 1);
#endif
        if
        :: result == FULL -> reserve(me)
        :: else
        fi
    od;
    space = 0
}

proctype producer(byte me)
{
    byte number, tail, head, now_, space, result;
    bool fits, older;
    do
    :: number < RECORDS + (me == 1 -> MORE : 0) ->
        number++;
        if
        :: FAILS && me == PRODUCERS -> reserve(me)
        :: else -> reserve_wait(me)
        fi;
        if
        :: result != GOT -> break
        :: else
        fi;
        atomic {
            plain_load(me, CLEARED + (tail / 2) % CELLS, head);
            assert(head == 0); /* P2 */
            plain_load(me, PAYLOAD + (tail / 2) % CELLS, head);
            assert(head == 0);
            plain_store(me, PAYLOAD + (tail / 2) % CELLS, me * 16 + number);
            plain_store(me, CLEARED + (tail / 2) % CELLS, 1);
            store(me, HEADER + (tail / 2) % CELLS, A5, tail / 2 + 1);
            committed++;
            head = 0;
            tail = 0
        }
    :: else -> break
    od;
    atomic {
        ended++;
        thread_end(me)
    }
}

/* svl__ring_release(), svl__ring_tell_space() */
inline release(to)
{
    do
    :: freed < to ->
        atomic {
            plain_store(RELEASER, PAYLOAD + freed % CELLS, 0);
            plain_store(RELEASER, CLEARED + freed % CELLS, 0);
            store(RELEASER, HEADER + freed % CELLS, RELAXED, 0);
            freed++
        }
    :: else -> break
    od;
    modify(RELEASER, HEAD, A2, got, freed);
    load(RELEASER, WAITERS, B3_LOOK, got);
    if
    :: got == 0
    :: else ->
        load(RELEASER, TAIL, ACQUIRE, got);
        used = got / 2 - freed;
        load(RELEASER, DRAINED, RELAXED, got);
        if
        :: used > CELLS - KEPT && got != freed
        :: else ->
            modify(RELEASER, SPACE, B5_TELL, got, got + 1);
            futex_wake(RELEASER, SPACE)
        fi
    fi;
    atomic {
        got = 0;
        used = 0
    }
}

proctype releaser()
{
    byte freed, to, got, used;
    do
    :: load(RELEASER, HANDED, ACQUIRE, to);
       if
       :: to != freed -> release(to)
       :: else -> NEWEST_VALUE(HANDED) != freed || drainer_ended
       fi;
       if
       :: drainer_ended && freed == taken -> break
       :: else
       fi
    od;
    thread_end(RELEASER)
}

/* svl__ring_close() */
proctype closer()
{
    byte got;
    store(CLOSER, WHY, RELAXED, 1);
    modify(CLOSER, TAIL, A9, got, got | 1);
#ifndef CLOSES_SILENTLY
    modify(CLOSER, SPACE, B5_TELL, got, got + 1);
    futex_wake(CLOSER, SPACE);
#endif
    thread_end(CLOSER)
}

active proctype drainer()
{
    byte got, from, next[PRODUCERS + 1];
    atomic {
        memory_begin();
        may_load(RELEASER, HANDED);
        may_load_by(RELEASER, WAITERS, B3_LOOK);
        may_load(RELEASER, TAIL);
        may_load(RELEASER, DRAINED);
        do
        :: from < CELLS -> may_load(DRAINER, HEADER + from); from++
        :: else -> break
        od;
        from = 1;
        do
        :: from <= PRODUCERS ->
            may_load(from, TAIL);
            may_load(from, HEAD);
            may_load(from, CACHE);
            may_load(from, SPACE);
            may_load(from, WHY);
            run producer(from);
            from++
        :: else -> break
        od;
        run releaser();
#if CLOSES
        run closer();
#else
        thread_end(CLOSER);
#endif
        from = 0
    }
    do
    :: atomic {
           NEWEST_VALUE(HEADER + taken % CELLS) == taken + 1;
           load(DRAINER, HEADER + taken % CELLS, A6, got);
           if
           :: got == taken + 1 ->
               plain_load(DRAINER, PAYLOAD + taken % CELLS, got);
               from = got / 16;
               assert(from >= 1 && from <= PRODUCERS && got % 16 == next[from] + 1); /* P3 */
               next[from]++;
               taken++;
               store(DRAINER, DRAINED, RELAXED, taken);
               got = 0;
               from = 0
           :: else
           fi
       };
       store(DRAINER, HANDED, RELEASE, taken)
    :: ended == PRODUCERS && taken == committed -> break
#if STOPS
    :: NEWEST_VALUE(TAIL) & 1 -> break
#endif
    od;
    assert(committed == PRODUCERS * RECORDS + MORE || CLOSES || FAILS); /* P1 */
    drainer_ended = true;
    thread_end(DRAINER)
}
