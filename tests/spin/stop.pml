/* stop.pml - close with claims open, records dropped and the consumer asleep: what was published is taken, and no more
 * is told than was dropped, and no less.
 *
 * svl__ring_reserve() and _commit() by PRODUCERS threads, RECORDS each, and by a dropper, whose ring is always full,
 * svl__ring_count_dropped() (DROPS); svl__bus_close() by a thread that has stored why before; svl__bus_pump() with
 * look_for_drops() and svl__ring_sleep() by the consumer. Threads that reserve in a full ring: space.pml with CLOSES.
 *
 *   T1  the consumer ends; it has taken every record that was committed, up to the tail that close gave
 *   T2  what it has told at the end is what was counted for whoever got SVL_OK (svl__ring_count_dropped() was true)
 *   T3  whoever is refused sees why (A8, A9)
 *
 * Left out: as in sleep.pml. */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef RECORDS
#define RECORDS 1
#endif
#ifndef DROPS
#define DROPS 0
#endif
#define ALL (PRODUCERS * RECORDS)

#define TAIL 0 /* position * 4, plus 2 = closed, plus 1 = sleeps */
#define WAKE 1
#define DROPPED 2 /* count * 2, plus 1 = ended */
#define CLOSED_TAIL 3 /* position + 1; 0: not yet */
#define WHY 4
#define HEADER 5
#define ATOMICS (HEADER + ALL)
#define PAYLOAD ATOMICS
#define PLAINS ALL
#define CONSUMER 0
#define DROPPER (PRODUCERS + 1)
#define CLOSER (PRODUCERS + 2)
#define THREADS (PRODUCERS + 3)
#ifndef DEPTH
#define DEPTH 8
#endif
#include "orders.pml"

byte committed, counted;

/* svl__ring_pay_wake() */
inline pay_wake(thread)
{
    modify(thread, WAKE, B1, ignored, ignored + 1);
    futex_wake(thread, WAKE)
}

/* The tail was found closed. */
inline refused(thread)
{
    load(thread, TAIL, A8, ignored);
    load(thread, WHY, RELAXED, ignored);
    assert(ignored == 1) /* T3 */
}

proctype producer(byte me)
{
    byte number, tail, ignored;
    do
    :: number < RECORDS ->
        number++;
        if
        :: d_step {
               (NEWEST_VALUE(TAIL) & 2) == 0 -> modify_now(me, TAIL, A3, tail, (tail & ~1) + 4)
           }
        :: (NEWEST_VALUE(TAIL) & 2) != 0 ->
            load(me, TAIL, RELAXED, tail);
            if
            :: (tail & 2) != 0 ->
                refused(me);
                break
            :: else -> number--; goto again
            fi
        fi;
        atomic {
            plain_store(me, PAYLOAD + tail / 4, me * 16 + number);
            store(me, HEADER + tail / 4, A5, 1);
            committed++
        };
        if
        :: tail & 1 -> pay_wake(me)
        :: else
        fi;
again:
        skip
    :: else -> break
    od;
    thread_end(me)
}

/* svl__ring_count_dropped() */
proctype dropper()
{
    byte number, tail, ignored;
    do
    :: number < DROPS ->
        number++;
        d_step {
            modify_now(DROPPER, DROPPED, B4_ADD, ignored, ignored + 2);
            counted = counted + 1 - (ignored & 1)
        };
        if
        :: (ignored & 1) != 0 -> break
        :: else
        fi;
        load(DROPPER, TAIL, B4_TAIL, tail);
        if
        :: tail & 1 -> pay_wake(DROPPER)
        :: else
        fi
    :: else -> break
    od;
    thread_end(DROPPER)
}

/* svl__bus_close(), svl__ring_close() */
proctype closer()
{
    byte tail, ignored;
    store(CLOSER, WHY, RELAXED, 1);
    modify(CLOSER, TAIL, A9, tail, tail | 2);
    pay_wake(CLOSER);
    store(CLOSER, CLOSED_TAIL, RELEASE, tail / 4 + 1);
#ifndef WAKES_TOO_EARLY
    pay_wake(CLOSER);
#endif
    thread_end(CLOSER)
}

byte drained, wake, wake_seen, dropped, dropped_seen, told;

/* svl__ring_sleep(); wait_for_claim() is that of sleep.pml */
inline ring_sleep()
{
    load(CONSUMER, WAKE, B2, wake);
    if
    :: wake != wake_seen -> wake_seen = wake
    :: else ->
        modify(CONSUMER, TAIL, A4, tail, tail | 1);
        load(CONSUMER, DROPPED, B4_LOOK, dropped);
        if
        :: dropped / 2 != dropped_seen
        :: else ->
            if
            :: tail / 4 != drained -> NEWEST_VALUE(HEADER + drained) != 0
            :: else -> futex_wait(CONSUMER, WAKE, wake)
            fi;
            load(CONSUMER, WAKE, B2_AFTER, wake_seen)
        fi
    fi;
    atomic {
        wake = 0;
        dropped = 0;
        tail = 0
    }
}

active proctype consumer()
{
    byte tail, got, from, before, next[PRODUCERS + 1];
    bool is_last;
    atomic {
        memory_begin();
        may_load(CONSUMER, WAKE);
        may_load_by(CONSUMER, DROPPED, B4_LOOK);
        may_load(CONSUMER, CLOSED_TAIL);
        may_load_by(DROPPER, TAIL, B4_TAIL);
        do
        :: from < ALL -> may_load(CONSUMER, HEADER + from); from++
        :: else -> break
        od;
        from = 1;
        do
        :: from <= PRODUCERS ->
            may_load(from, TAIL);
            may_load(from, WHY);
            run producer(from);
            from++
        :: else -> break
        od;
#if DROPS
        run dropper();
#else
        thread_end(DROPPER);
#endif
        run closer();
        from = 0
    }
    do
    :: load(CONSUMER, CLOSED_TAIL, ACQUIRE, got);
       is_last = got != 0 && drained + 1 >= got;
#ifdef ENDS_UNMARKED
       load(CONSUMER, DROPPED, B4_LOOK, told);
#else
       if
       :: is_last -> modify(CONSUMER, DROPPED, B4_END, told, told | 1)
       :: else -> load(CONSUMER, DROPPED, B4_LOOK, told); dropped_seen = told / 2
       fi;
#endif
       told = told / 2;
       if
       :: is_last ->
           assert(drained + 1 == got);
           break
       :: else
       fi;
       before = drained;
       do
       :: drained == ALL -> break
       :: drained < ALL ->
           atomic {
               load(CONSUMER, HEADER + drained, A6, got);
               if
               :: got == 0 -> break
               :: else
               fi;
               plain_load(CONSUMER, PAYLOAD + drained, got);
               from = got / 16;
               assert(from >= 1 && from <= PRODUCERS && got % 16 == next[from] + 1);
               next[from]++;
               drained++;
               got = 0;
               from = 0
           }
       od;
       got = 0;
       if
#ifndef SLEEPS_AT_ONCE /* svl__bus_pump() does not sleep before it has looked once more */
       :: drained != before
#endif
       :: else -> ring_sleep()
       fi
    od;
    thread_end(CONSUMER);
    _nr_pr == 1; /* all others have ended */
    assert(drained == committed);     /* T1 */
    assert(told == counted)           /* T2 */
}
