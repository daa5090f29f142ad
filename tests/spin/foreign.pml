/* foreign.pml - the bounds that the host of an attached ring checks: an honest ring keeps within them.
 *
 * svl__ring_reserve() and has_space() by PRODUCERS threads of another process, RECORDS in all; svl__foreign_next() with
 * read_tail() by the host's drainer; svl__foreign_release() by its flusher. The host believes no head but its own
 * (foreign_head), and takes a tail that lies more than the capacity behind it for a lie.
 *
 *   H1  a tail that is read is not beyond the host's own head by more than the capacity, and not before what was drained:
 *       the ring of honest producers is never called broken
 *
 * Left out: headers and payloads (space.pml); sleep and wake (polled.pml with ATTACHED). */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef RECORDS
#define RECORDS 3
#endif
#define CELLS 1

#define TAIL 0
#define HEAD 1
#define CACHE 2
#define FOREIGN_HEAD 3
#define HANDED 4 /* to the flusher */
#define ATOMICS 5
#define PLAINS 1
#define DRAINER 0
#define FLUSHER (PRODUCERS + 1)
#define THREADS (PRODUCERS + 2)
#ifndef DEPTH
#define DEPTH 6
#endif
#include "orders.pml"

proctype producer(byte me)
{
    byte tail, head, before;
    do
    :: NEWEST_VALUE(TAIL) == RECORDS -> break
    :: load(me, TAIL, RELAXED, tail);
       load(me, CACHE, A1_CACHE, head);
       if
       :: tail + 1 - head <= CELLS
       :: else ->
           load(me, HEAD, A1_HEAD, head);
           store(me, CACHE, A1_FILL, head)
       fi;
       if
       :: d_step {
              NEWEST_VALUE(TAIL) == tail && tail + 1 - head <= CELLS && tail < RECORDS ->
                  modify_now(me, TAIL, A3, before, tail + 1)
          }
       :: else
       fi;
       tail = 0;
       head = 0;
       before = 0
    od;
    thread_end(me)
}

/* svl__foreign_release() */
proctype flusher()
{
    byte to, before;
    do
    :: to == RECORDS -> break
    :: else ->
        NEWEST_VALUE(HANDED) > to;
        load(FLUSHER, HANDED, ACQUIRE, to);
        store(FLUSHER, FOREIGN_HEAD, FOREIGN_HEAD_STORE, to);
        modify(FLUSHER, HEAD, A2, before, to)
    od;
    thread_end(FLUSHER)
}

active proctype drainer()
{
    byte drained, tail, head;
    atomic {
        memory_begin();
        may_load(FLUSHER, HANDED);
        may_load(DRAINER, TAIL);
        may_load(DRAINER, FOREIGN_HEAD);
        head = 1;
        do
        :: head <= PRODUCERS ->
            may_load(head, TAIL);
            may_load(head, HEAD);
            may_load(head, CACHE);
            run producer(head);
            head++
        :: else -> break
        od;
        run flusher();
        head = 0
    }
    do
    :: drained == RECORDS -> break
    :: else ->
        /* read_tail() */
        load(DRAINER, TAIL, READ_TAIL, tail);
        load(DRAINER, FOREIGN_HEAD, FOREIGN_HEAD_LOAD, head);
        assert(tail >= drained && tail - head <= CELLS); /* H1 */
        drained = tail;
        store(DRAINER, HANDED, RELEASE, drained)
    od;
    thread_end(DRAINER)
}
