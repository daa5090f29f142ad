/* polled.pml - a consumer that does not wait for open claims: whoever commits looks whether it sleeps.
 *
 * svl__ring_reserve() and commit_and_look() by PRODUCERS threads, RECORDS each; svl__ring_next() and svl__ring_arm() by
 * the consumer; svl__ring_count_dropped() (DROPS). The consumer polls a descriptor that the wake makes readable, and
 * makes it unreadable before it looks; or, with ATTACHED, it is a pipeline's thread with the ring of another process
 * (svl__foreign_next(), svl__foreign_arm(), then svl__ring_sleep() of its own ring, in which nothing is): it sleeps on
 * the wake word, which all rings share.
 *
 *   Q1  no wake is lost: the consumer ends, having taken all records and found all drops
 *   Q2  each record once, whole, in its producer's order; no data race on a payload (A5, A6)
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

#define TAIL 0 /* position * 2, plus the sleep bit */
#define DROPPED 1
#define WAKE 2
#define HEADER 3 /* of each position: 0, or 1 = committed */
#define ATOMICS (HEADER + ALL)
#define PAYLOAD ATOMICS
#define PLAINS ALL
#define CONSUMER 0
#define DROPPER (PRODUCERS + 1)
#define THREADS (PRODUCERS + 2)
#ifndef DEPTH
#define DEPTH 8
#endif
#include "orders.pml"

bool is_readable;

/* svl__ring_pay_wake() */
inline pay_wake(thread)
{
#ifdef ATTACHED
    modify(thread, WAKE, B1, ignored, ignored + 1);
    futex_wake(thread, WAKE)
#else
    is_readable = true
#endif
}

proctype producer(byte me)
{
    byte number, tail, looked, ignored;
    do
    :: number < RECORDS ->
        number++;
        modify(me, TAIL, A3, tail, (tail & ~1) + 2);
        atomic {
            plain_store(me, PAYLOAD + tail / 2, me * 16 + number);
            modify(me, HEADER + tail / 2, A10_HEADER, ignored, 1)
        };
#ifndef LOOKS_NOT
        load(me, TAIL, A10_TAIL, looked);
        if
        :: looked & 1 -> modify(me, TAIL, SEQ_CST, looked, looked & ~1)
        :: else
        fi;
#endif
        if
        :: (tail | looked) & 1 -> pay_wake(me)
        :: else
        fi
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

byte drained, dropped, dropped_seen, wake_seen;
bool is_armed;

/* svl__ring_arm(), svl__foreign_arm() */
inline arm()
{
    modify(CONSUMER, TAIL, A4, tail, tail | 1);
    load(CONSUMER, DROPPED, B4_LOOK, dropped);
    if
#ifndef IGNORES_DROPS
    :: dropped != dropped_seen -> is_armed = false
#endif
    :: else ->
        is_armed = true;
        if
        :: tail / 2 == drained
        :: else ->
#ifndef IGNORES_CLAIMS
            load(CONSUMER, HEADER + drained, A10_LOOK, got);
            is_armed = got == 0
#endif
        fi
    fi;
    atomic {
        got = 0;
        tail = 0;
        dropped = 0
    }
}

/* svl__ring_sleep() of the pipeline's own ring, which is empty */
inline sleep_on_own()
{
    load(CONSUMER, WAKE, B2, got);
    if
#ifndef FORGETS_WAKES
    :: got != wake_seen -> wake_seen = got
#endif
    :: else ->
        futex_wait(CONSUMER, WAKE, got);
        load(CONSUMER, WAKE, B2_AFTER, wake_seen)
    fi;
    got = 0
}

active proctype consumer()
{
    byte tail, got, from, next[PRODUCERS + 1];
    atomic {
        memory_begin();
        may_load(CONSUMER, WAKE);
        may_load_by(CONSUMER, DROPPED, B4_LOOK);
        may_load_by(DROPPER, TAIL, B4_TAIL);
        do
        :: from < ALL -> may_load(CONSUMER, HEADER + from); from++
        :: else -> break
        od;
        from = 1;
        do
        :: from <= PRODUCERS -> may_load_by(from, TAIL, A10_TAIL); run producer(from); from++
        :: else -> break
        od;
#if DROPS
        run dropper();
#else
        thread_end(DROPPER);
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
               assert(from >= 1 && from <= PRODUCERS && got % 16 == next[from] + 1); /* Q2 */
               next[from]++;
               drained++;
               got = 0;
               from = 0
           }
       od;
       if
       :: drained == ALL && dropped_seen == DROPS -> break /* Q1 */
       :: else ->
           arm();
           if
#ifdef ATTACHED
           :: is_armed -> sleep_on_own()
#else
           :: is_armed -> atomic { is_readable -> is_readable = false }
#endif
           :: else
           fi
       fi
    od
}
