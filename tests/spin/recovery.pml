/* recovery.pml - SIGKILL between any two steps, of the recovery too: what was committed is stored once.
 *
 * svl__ring_reserve() with begin_frame() and _commit() by two threads; svl__ring_next() and svl__ring_release() by a
 * consumer that stores (the journal takes a record and the ring's position in one step) or passes (an ingest handler
 * drops it: nothing is noted). Then, in another process, svl__ring_open_crashed() with take_positions(), svl__ring_next()
 * of a crashed ring with svl__ring_resynchronise(), svl__ring_release(): killed KILLS - 1 times, and begun again.
 *
 *   K1  what was committed is stored once, or was passed
 *   K2  what was not committed is never stored
 *   K3  a zero header proves an untouched span (R3): the scan from header to header meets headers only. Each payload is
 *       made to look like one, so a scan that comes upon it would take it: it fails
 *
 * The memory is as program order left it: a thread is cut between two instructions, and what it had stored stays in the
 * page, whatever buffers it went through (ORDERS.md). So stores are indivisible steps here, and those of lib/ring that
 * only the crash needs in that order (A7, A11) are weakened by exchanging them. Steps are of 8 bytes, zeroing too. */
#define CELLS 6 /* of 8 bytes; a frame has 2 or 3 of them: its header and its payload */
#ifndef KILLS
#define KILLS 2
#endif

mtype = { ZERO, BUSY, COMMITTED, DISCARDED, PADDING, PAYLOAD };
mtype kind[CELLS] = ZERO;
byte stamp[CELLS];  /* of a header: its position */
byte length[CELLS]; /* cells of the frame */
byte id[CELLS];
byte tail, head, consumed, known; /* known: by the journal */

byte alive;    /* the process that lives: 0 has the producers, then those that recover */
byte recovers; /* its thread, for Spin */
bool finished; /* the last one */
bool committed[4], passed[4];
byte stored[4];

#define AT(position) ((position) % CELLS)

inline put_header(position, what, cells, number)
{
    d_step {
        kind[AT(position)] = what;
        stamp[AT(position)] = position;
        length[AT(position)] = cells;
        id[AT(position)] = number
    }
}

inline put_payload()
{
    i = 1;
    do
    :: i < cells ->
        kind[AT(position + i)] = PAYLOAD;
        i++
    :: else -> break
    od;
    i = 0
}

inline publish(number, size)
{
    cells = size;
    atomic {
        padding = (AT(tail) + cells > CELLS -> CELLS - AT(tail) : 0);
        tail + padding + cells - head <= CELLS; /* waits for space */
        position = tail;
        tail = tail + padding + cells
    };
    if
    :: padding > 0 ->
        put_header(position, PADDING, padding, 0);
        position = position + padding
    :: else
    fi;
#ifdef PAYLOAD_FIRST /* A7 */
    put_payload();
#endif
    put_header(position, BUSY, cells, number);
#ifdef COMMITS_FIRST /* A5 */
    d_step {
        kind[AT(position)] = COMMITTED;
        committed[number] = true
    };
#endif
#ifndef PAYLOAD_FIRST
    put_payload();
#endif
    d_step {
        kind[AT(position)] = (number == 3 -> DISCARDED : COMMITTED);
        committed[number] = number != 3
    }
}

proctype producer_0() provided (alive == 0)
{
    byte cells, padding, position, i;
    publish(0, 2);
    publish(1, 3)
}

proctype producer_1() provided (alive == 0)
{
    byte cells, padding, position, i;
    publish(2, 3)
#ifdef LARGE
    ;
    publish(3, 2)
#endif
}

/* svl__ring_release(); A11: consumed, then the zeroing, then head */
inline zero(from, to)
{
    i = from;
    do
    :: i < to ->
        d_step {
            kind[AT(i)] = ZERO;
            stamp[AT(i)] = 0;
            length[AT(i)] = 0;
            id[AT(i)] = 0;
            i++
        }
    :: else -> break
    od;
    i = 0
}

inline release(to)
{
    if
    :: to > head ->
#ifdef HEAD_FIRST /* A2 */
        consumed = to;
        at = head;
        head = to;
        zero(at, to);
        at = 0
#else
#ifdef ZEROES_FIRST /* A11 */
        zero(head, to);
        consumed = to;
#else
        consumed = to;
        zero(head, to);
#endif
        head = to
#endif
    :: else
    fi
}

/* The journal; the record was committed. */
inline write(number, end)
{
    d_step {
        assert(committed[number]); /* K2 */
        stored[number]++;
        known = end
    }
}

proctype consumer() provided (alive == 0)
{
    byte drained, i, at, number;
    do
    :: drained < tail && (kind[AT(drained)] == COMMITTED || kind[AT(drained)] == PADDING ||
                          kind[AT(drained)] == DISCARDED) ->
        assert(stamp[AT(drained)] == drained);
        if
        :: kind[AT(drained)] == COMMITTED ->
            d_step {
                number = id[AT(drained)];
                drained = drained + length[AT(drained)]
            };
            if
#ifdef RELEASES_FIRST
            :: release(drained); write(number, drained)
#else
            :: write(number, drained);
               if
               :: release(drained)
               :: skip /* later, with the next one */
               fi
#endif
            :: passed[number] = true;
               release(drained)
            fi
        :: else -> drained = drained + length[AT(drained)]
        fi;
        number = 0
    od
}

/* svl__ring_resynchronise() */
inline resynchronise()
{
    drained++;
    do
    :: drained < end && kind[AT(drained)] == ZERO -> drained++
    :: else -> break
    od
}

proctype recoverer(byte me) provided (_pid == recovers)
{
    byte drained, end, i, at, number;
    atomic {
        end = tail;
#ifdef BEGINS_AT_HEAD
        drained = head;
#else
        drained = (head > consumed -> head : consumed);
#endif
#ifndef IGNORES_THE_JOURNAL
        drained = (drained > known -> drained : known)
#endif
    };
    release(drained);
    do
    :: drained < end ->
        atomic {
            assert(kind[AT(drained)] == ZERO ||
                   (kind[AT(drained)] != PAYLOAD && stamp[AT(drained)] == drained)); /* K3 */
            if
            :: kind[AT(drained)] == ZERO ->
#ifdef STOPS_AT_GAPS
                break;
#endif
                resynchronise()
            :: kind[AT(drained)] == COMMITTED ||
#ifdef TAKES_BUSY
               kind[AT(drained)] == BUSY
#else
               false
#endif
               ->
                number = id[AT(drained)];
                drained = drained + length[AT(drained)];
                goto take
            :: else -> drained = drained + length[AT(drained)]
            fi
        };
        goto next;
take:
#ifdef RECOVERS_CARELESSLY
        release(drained);
        write(number, drained);
#else
        write(number, drained);
        if
        :: release(drained)
        :: skip
        fi;
#endif
next:
        number = 0
    :: else -> break
    od;
    release(drained);
    finished = me == KILLS
}

/* Kills whoever lives, and starts who recovers. */
proctype killer()
{
    byte next;
    do
    :: alive < KILLS ->
        atomic {
            next = alive + 1;
            recovers = run recoverer(next);
            alive = next
        }
    :: else -> break
    od
}

init
{
    byte n;
    atomic {
        run producer_0();
        run producer_1();
        run consumer();
        run killer()
    };
    timeout; /* nobody can go on */
    assert(finished);
    do
    :: n < 4 ->
        assert(stored[n] <= 1);                                     /* K1 */
        assert(!committed[n] || stored[n] == 1 || passed[n]);       /* K1 */
        n++
    :: else -> break
    od;
    assert(head == tail)
}
