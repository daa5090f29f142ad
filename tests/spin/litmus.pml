/* litmus.pml - what the memory of the models allows and what it forbids, by the small programs that such memories are
 * known by. The outcome that is asked about is an assertion's failure: "allowed" means that Spin must find it. The
 * cases, with what C11 says, are the lines that begin with litmus in the table checks. */
#define ATOMICS 2
#define PLAINS 1
#define THREADS 4
#define DEPTH 4
#define X 0
#define Y 1
#define DATA 2
#include "memory.pml"

byte got[4];
byte finished;

/* Two stores by one thread, or one each, as `CASE` says. */
#define SB 1       /* store buffering: both miss the other's store */
#define SB_RMW 2   /* the same, stores by exchange */
#define MP 3       /* message passing: the flag is seen, the message is not */
#define MP_RMW 4   /* the same, the flag passed on by a relaxed read-modify-write of a third thread */
#define MP_PLAIN 5 /* the message is a plain object: a race */
#define IRIW 6     /* two readers see two stores in different orders */
#define CORR 7     /* one word read twice goes back */
#define LB 8       /* load buffering: C11 allows it for relaxed; not modelled */
#define TWO_W 9    /* 2+2W: C11 allows it for relaxed; not modelled */
#define FUTEX 10   /* a wake call on the word wakes who saw the old value: never asleep at the end */
#define FUTEX_UNTOLD 11 /* without the call it may be */

proctype t0()
{
    byte before;
#if CASE == SB
    store(0, X, STORES, 1);
    load(0, Y, LOADS, got[0]);
#elif CASE == SB_RMW
    modify(0, X, STORES, before, 1);
    load(0, Y, LOADS, got[0]);
#elif CASE == MP || CASE == MP_RMW
    store(0, X, RELAXED, 1);
    store(0, Y, STORES, 1);
#elif CASE == MP_PLAIN
    plain_store(0, DATA, 1);
    store(0, Y, STORES, 1);
#elif CASE == IRIW || CASE == CORR
    store(0, X, STORES, 1);
#elif CASE == LB
    load(0, X, LOADS, got[0]);
    store(0, Y, STORES, 1);
#elif CASE == TWO_W
    store(0, X, STORES, 1);
    store(0, Y, STORES, 2);
#elif CASE == FUTEX || CASE == FUTEX_UNTOLD
    modify(0, X, STORES, before, 1);
#if CASE == FUTEX
    futex_wake(0, X);
#endif
#endif
    finished = finished + 1
}

proctype t1()
{
    byte before;
#if CASE == SB
    store(1, Y, STORES, 1);
    load(1, X, LOADS, got[1]);
#elif CASE == SB_RMW
    modify(1, Y, STORES, before, 1);
    load(1, X, LOADS, got[1]);
#elif CASE == MP
    load(1, Y, LOADS, got[0]);
    load(1, X, RELAXED, got[1]);
#elif CASE == MP_RMW
    load(1, Y, LOADS, got[0]);
    load(1, X, RELAXED, got[1]);
#elif CASE == MP_PLAIN
    load(1, Y, LOADS, got[0]);
    if
    :: got[0] == 1 -> plain_load(1, DATA, got[1])
    :: else
    fi;
#elif CASE == IRIW
    store(1, Y, STORES, 1);
#elif CASE == CORR
    load(1, X, LOADS, got[0]);
    load(1, X, LOADS, got[1]);
#elif CASE == LB
    load(1, Y, LOADS, got[1]);
    store(1, X, STORES, 1);
#elif CASE == TWO_W
    store(1, Y, STORES, 1);
    store(1, X, STORES, 2);
#elif CASE == FUTEX || CASE == FUTEX_UNTOLD
    load(1, X, LOADS, before);
    if
    :: before == 0 -> futex_wait(1, X, before)
    :: else
    fi;
#endif
    finished = finished + 1
}

proctype t2()
{
    byte before;
#if CASE == IRIW
    load(2, X, LOADS, got[0]);
    load(2, Y, LOADS, got[1]);
#elif CASE == MP_RMW
    NEWEST_VALUE(Y) == 1;
    modify(2, Y, RELAXED, before, 2);
#endif
    finished = finished + 1
}

proctype t3()
{
#if CASE == IRIW
    load(3, Y, LOADS, got[2]);
    load(3, X, LOADS, got[3]);
#endif
    finished = finished + 1
}

init
{
    atomic {
        memory_begin();
        c_code { memset(now.reads, 1, sizeof now.reads); };
        run t0();
        run t1();
        run t2();
        run t3();
    }
    finished == 4;
#if CASE == SB || CASE == SB_RMW
    assert(!(got[0] == 0 && got[1] == 0))
#elif CASE == MP
    assert(!(got[0] == 1 && got[1] == 0))
#elif CASE == MP_RMW
    assert(!(got[0] == 2 && got[1] == 0))
#elif CASE == IRIW
    assert(!(got[0] == 1 && got[1] == 0 && got[2] == 1 && got[3] == 0))
#elif CASE == CORR
    assert(!(got[0] == 1 && got[1] == 0))
#elif CASE == LB
    assert(!(got[0] == 1 && got[1] == 1))
#elif CASE == TWO_W
    assert(!(NEWEST_VALUE(X) == 1 && NEWEST_VALUE(Y) == 1))
#endif
}
