/* sleep.pml - a consumer that sleeps on the wake word, and all who wake it.
 *
 * svl__ring_reserve() and _commit() by PRODUCERS threads, RECORDS each; svl__ring_next(), svl__ring_sleep() with
 * wait_for_claim() by the consumer; svl__ring_count_dropped() (DROPS); svl__ring_wake() by who has stored a flag before
 * (WAKES). All times are infinite: whoever is not woken stays asleep, and the run ends in an invalid end state.
 *
 *   S1  no wake is lost: the consumer ends, having taken all records, found all drops and seen the flag
 *   S2  each record once, whole, in its producer's order; no data race on a payload (A5, A6)
 *
 * Left out: a full ring (space.pml), so each frame has a cell of its own, zero from the start. The failed rounds of the
 * reserving CAS, which change nothing. The BUSY header and the consumer's look at the tail, which both only say "not
 * yet": so does an old header. The time-outs of wait_for_claim(): it spins. */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef DROPS
#define DROPS 0
#endif
#ifndef WAKES
#define WAKES 0
#endif
#define ALL (PRODUCERS * RECORDS)

#define TAIL 0 /* position * 2, plus the sleep bit */
#define WAKE 1
#define DROPPED 2
#define FLAG 3
#define HEADER 4 /* of each position: 0, or 1 = committed */
#define ATOMICS (HEADER + ALL)
#define PAYLOAD ATOMICS
#define PLAINS ALL
#define CONSUMER 0
#define DROPPER (PRODUCERS + 1)
#define WAKER (PRODUCERS + 2)
#define THREADS (PRODUCERS + 3)
#ifndef DEPTH
#define DEPTH 5
#endif
#include "orders.pml"

/* svl__ring_pay_wake() */
inline pay_wake(thread)
{
    modify(thread, WAKE, B1, ignored, ignored + 1);
    futex_wake(thread, WAKE)
}

proctype producer(byte me)
{
    byte number, tail, ignored;
    do
    :: number < RECORDS ->
        number++;
        modify(me, TAIL, A3, tail, (tail & ~1) + 2);
        atomic {
            plain_store(me, PAYLOAD + tail / 2, me * 16 + number);
            store(me, HEADER + tail / 2, A5, 1)
        };
#ifndef OWES_NOTHING
        if
        :: tail & 1 -> pay_wake(me)
        :: else
        fi
#endif
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
        modify(DROPPER, DROPPED, B4_ADD, ignored, ignored + 1);
        load(DROPPER, TAIL, B4_TAIL, tail);
        if
        :: tail & 1 -> pay_wake(DROPPER)
        :: else
        fi
    :: else -> break
    od;
    thread_end(DROPPER)
}

/* svl_bus_wake(), svl__bus_close(): a flag, then svl__ring_wake() */
proctype waker()
{
    byte ignored;
    store(WAKER, FLAG, RELAXED, 1);
    pay_wake(WAKER);
    thread_end(WAKER)
}

byte drained, wake, wake_seen, dropped, dropped_seen;

/* wait_for_claim() */
inline wait_for_claim()
{
    do
    :: load(CONSUMER, HEADER + drained, ACQUIRE, got);
       if
       :: got != 0 -> break
       :: else
       fi;
       load(CONSUMER, WAKE, RELAXED, got);
       if
       :: got != wake -> break
       :: else
       fi
    od
}

/* svl__ring_sleep() */
inline ring_sleep()
{
    load(CONSUMER, WAKE, B2, wake);
    if
#ifndef FORGETS_WAKES
    :: wake != wake_seen -> wake_seen = wake
#endif
    :: else ->
        modify(CONSUMER, TAIL, A4, tail, tail | 1);
#ifndef IGNORES_DROPS
        load(CONSUMER, DROPPED, B4_LOOK, dropped);
#endif
        if
#ifndef IGNORES_DROPS
        :: dropped != dropped_seen
#endif
        :: else ->
            if
#ifndef SLEEPS_ON_CLAIMS
            :: tail / 2 != drained -> wait_for_claim()
#endif
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
    byte tail, got, from, next[PRODUCERS + 1], flag;
    atomic {
        memory_begin();
        may_load(CONSUMER, WAKE);
        may_load_by(CONSUMER, DROPPED, B4_LOOK);
        may_load(CONSUMER, FLAG);
        may_load_by(DROPPER, TAIL, B4_TAIL);
        do
        :: from < ALL -> may_load(CONSUMER, HEADER + from); from++
        :: else -> break
        od;
        from = 1;
        do
        :: from <= PRODUCERS -> run producer(from); from++
        :: else -> break
        od;
#if DROPS
        run dropper();
#else
        thread_end(DROPPER);
#endif
#if WAKES
        run waker();
#endif
        from = 0
    }
    do
    :: load(CONSUMER, DROPPED, B4_LOOK, dropped_seen);
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
               assert(from >= 1 && from <= PRODUCERS && got % 16 == next[from] + 1); /* S2 */
               next[from]++;
               drained++;
               got = 0;
               from = 0
           }
       od;
#if WAKES
       load(CONSUMER, FLAG, RELAXED, flag);
#endif
       if
       :: drained == ALL && dropped_seen == DROPS && flag == WAKES -> break /* S1 */
       :: else -> ring_sleep()
       fi
    od
}
