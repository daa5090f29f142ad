/* help.pml - a consumer that sleeps, and publishers that take his place meanwhile: svl_publish_sync() without end.
 *
 * take_turn() and sleep_until_due() by the pipeline thread (lib/pipeline/drain.c), svl__drain_here() by HELPERS threads
 * that have published one record each and owe a wake; PUBLISHERS threads that publish one and pay their wakes
 * themselves; svl__ring_close() once all of it is taken, so that no wake but theirs helps, or, with CLOSES_EARLY, once
 * it is published. `drain_turn` is a mutex of the model's memory: taken acquire, given back release. Times are infinite:
 * whoever is not woken sleeps for ever, and the run ends in an invalid end state. `drained` is plain: whoever has the
 * turn may touch it. `wake_seen` is touched by the pipeline thread alone.
 *
 *   H1  one at a time takes: never two, and no data race on `drained`
 *   H2  no wake is lost, no record left while all sleep: the run ends with all taken, each once and whole
 *   H3  close ends the pipeline thread, who may be asleep, or held up while another has his place
 *
 * Left out: what the store does with records; drops and attached rings (sleep.pml, polled.pml); the BUSY header, as
 * there; the time-outs of wait_for_claim(): it spins, with the turn held as in the code. A step ends at a claim that is
 * open. That a step goes wrong, or there is no memory, is svl__ring_wake(), as after a failed trylock. What svl__job_take()
 * takes over is under the store's lock: no atomic of the ring has a part in it. */
#ifndef HELPERS
#define HELPERS 1
#endif
#ifndef PUBLISHERS
#define PUBLISHERS 0
#endif
#define ALL (HELPERS + PUBLISHERS)

#define TAIL 0 /* position * 2, plus the sleep bit */
#define WAKE 1
#define TURN 2   /* drain_turn: 1 = somebody's */
#define CLOSED 3 /* the tail's closed bit, told with the wake behind it */
#define HEADER 4 /* of each position: 0, or 1 = committed */
#define ATOMICS (HEADER + ALL)
#define DRAINED ATOMICS
#define PAYLOAD (DRAINED + 1)
#define PLAINS (1 + ALL)
#define CONSUMER 0
#define CLOSER (ALL + 1)
#define THREADS (ALL + 2)
#ifndef DEPTH
#define DEPTH 6
#endif
#ifndef TURN_TAKEN
#define TURN_TAKEN ACQUIRE
#endif
#ifndef TURN_GIVEN
#define TURN_GIVEN RELEASE
#endif
#include "orders.pml"

byte at_work, published, taken;

/* svl__ring_pay_wake() */
inline pay_wake(thread)
{
    modify(thread, WAKE, B1, ignored, ignored + 1);
    futex_wake(thread, WAKE)
}

/* svl__ring_reserve(), _commit(): `tail` keeps what the CAS replaced. */
inline publish(thread)
{
    modify(thread, TAIL, A3, tail, (tail & ~1) + 2);
    atomic {
        plain_store(thread, PAYLOAD + tail / 2, thread);
        store(thread, HEADER + tail / 2, A5, 1)
    }
}

#ifndef TAKES_NO_TURN
#define TURN_IS_FREE (NEWEST_VALUE(TURN) == 0)
#else
#define TURN_IS_FREE true
#endif

inline lock_turn(thread)
{
    d_step {
        TURN_IS_FREE;
        modify_now(thread, TURN, TURN_TAKEN, ignored, 1);
        at_work++;
        assert(at_work == 1) /* H1 */
    }
}

inline unlock_turn(thread)
{
    d_step {
        at_work--;
        modify_now(thread, TURN, TURN_GIVEN, ignored, 0)
    }
}

/* svl__drain_step(): what is committed, up to an open claim. */
inline step(thread)
{
    plain_load(thread, DRAINED, drained);
    do
    :: drained == ALL -> break
    :: drained < ALL ->
        load(thread, HEADER + drained, A6, got);
        if
        :: got == 0 -> break
        :: else
        fi;
        plain_load(thread, PAYLOAD + drained, got);
        assert(got != 0); /* H2 */
        drained++;
        frames++;
        taken++;
        plain_store(thread, DRAINED, drained)
    od;
    got = 0
}

proctype publisher(byte me)
{
    byte tail, ignored;
    publish(me);
    if
    :: tail & 1 -> pay_wake(me)
    :: else
    fi;
    published++;
    thread_end(me)
}

/* publish_and_wait(), svl__drain_here() */
proctype helper(byte me)
{
    byte tail, ignored, drained, got, frames, is_done;
    publish(me);
    if
    :: tail & 1 ->
        if /* pthread_mutex_trylock() */
        :: d_step {
               TURN_IS_FREE;
               modify_now(me, TURN, TURN_TAKEN, ignored, 1);
               at_work++;
               assert(at_work == 1) /* H1 */
           }
           step(me);
           /* svl__ring_sleeps_on() */
#ifndef SLEEPS_ON_UNARMED
           modify(me, TAIL, A4, tail, tail | 1);
#else
           load(me, TAIL, ACQUIRE, tail);
#endif
           if
           :: tail / 2 == drained -> is_done = 1
#ifdef SLEEPS_ON_CLAIMS
           :: tail / 2 != drained ->
               load(me, HEADER + drained, SEQ_CST, got);
               is_done = (got == 0)
#else
           :: else
#endif
           fi;
           unlock_turn(me)
        :: NEWEST_VALUE(TURN) != 0 /* trylock fails */
        fi;
        if
        :: is_done
#ifndef WAKES_NOT
        :: !is_done -> pay_wake(me)
#else
        :: !is_done
#endif
        fi
    :: else
    fi;
    published++;
    thread_end(me)
}

/* svl__ring_close() */
proctype closer()
{
    byte ignored;
#ifdef CLOSES_EARLY
    published == ALL;
#else
    taken == ALL; /* no wake but theirs */
#endif
    store(CLOSER, CLOSED, RELAXED, 1);
#ifndef CLOSES_SILENTLY
    pay_wake(CLOSER);
#endif
    thread_end(CLOSER)
}

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

/* sleep_until_due(): the turn is let go of around the sleep alone. */
inline sleep_until_due()
{
    load(CONSUMER, WAKE, B2, wake);
    if
    :: wake != wake_seen -> wake_seen = wake
    :: else ->
        modify(CONSUMER, TAIL, A4, tail, tail | 1);
        if
        :: tail / 2 != drained -> wait_for_claim()
        :: else ->
            unlock_turn(CONSUMER);
            futex_wait(CONSUMER, WAKE, wake);
            lock_turn(CONSUMER)
        fi;
        load(CONSUMER, WAKE, B2_AFTER, wake_seen)
    fi;
    wake = 0;
    tail = 0;
    got = 0
}

active proctype consumer()
{
    byte tail, got, drained, wake, wake_seen, frames, closed, ignored, i;
    atomic {
        memory_begin();
        may_load(CONSUMER, WAKE);
        may_load(CONSUMER, CLOSED);
        i = 1;
        do
        :: i <= HELPERS ->
#ifdef SLEEPS_ON_UNARMED
            may_load(i, TAIL);
#endif
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < ALL * (HELPERS + 1) -> may_load(i / ALL, HEADER + i % ALL); i++
        :: else -> break
        od;
        i = 1;
        do
        :: i <= HELPERS -> run helper(i); i++
        :: i > HELPERS && i <= ALL -> run publisher(i); i++
        :: else -> break
        od;
        run closer();
        i = 0
    }
    do
    :: lock_turn(CONSUMER);
       frames = 0;
       load(CONSUMER, CLOSED, RELAXED, closed);
       step(CONSUMER);
       if
       :: closed && drained == ALL -> unlock_turn(CONSUMER); break /* H2, H3 */
       :: else ->
           if
           :: frames == 0 -> sleep_until_due()
           :: else
           fi;
           unlock_turn(CONSUMER)
       fi
    od
}
