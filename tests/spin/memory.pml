/* memory.pml - the memory that the models run on: C11's, as a machine of views.
 *
 * Each atomic word keeps the history of what was stored into it. A thread has a view: for each word the oldest entry that
 * it may still read. A load takes any entry from there on, so it may be as old as C11 allows; an entry stored with
 * release carries its thread's view, and a load of it with acquire joins that view to its own. A read-modify-write takes
 * the newest entry, and passes on what that carried (release sequences). A seq_cst load takes no entry older than the
 * newest one that was stored with seq_cst. A plain access of what another thread has written, and that does not happen
 * after it, is a data race, and an error.
 *
 * So a load can be as stale as store buffers of any length, drained in any order, would leave it: all that x86 (TSO)
 * does is among it, and of what ARM and POWER do: store-store and load-load reordering, and stores that two threads see
 * in different orders. (For release and acquire it is the machine of Lahav, Giannarakis, Vafeiadis, Taming
 * release-acquire consistency, POPL 2016.) What is not modelled: a load that reads what is executed later (load
 * buffering); a store, or a read-modify-write, that is executed later than what its thread does next, so that a word's
 * order of stores, and the order of the seq_cst accesses, is always that in which the model executes them. litmus.pml
 * shows what is and what is not.
 *
 * A futex call sees at least what was stored before the last wake call on its word (the kernel's lock), and gives the
 * caller nothing: who returns has seen no more than before.
 *
 * Whoever includes it has defined ATOMICS, the words, 0 to ATOMICS - 1; PLAINS, the plain objects, from ATOMICS on;
 * THREADS; DEPTH, entries of a history, 2 to 16; and calls memory_begin() first, then may_load(). */
#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2
#define ACQ_REL 3
#define SEQ_CST 7

#define OBJECTS (ATOMICS + PLAINS)

byte value[ATOMICS * DEPTH];             /* of each entry */
byte carried[ATOMICS * DEPTH * OBJECTS]; /* the view that each entry carries */
byte plain[PLAINS + 1];                   /* the newest value of plain objects: no other may be read */
byte newest[OBJECTS];                    /* entry */
byte newest_sc[ATOMICS];                 /* the newest that was stored with seq_cst */
byte view[THREADS * OBJECTS];
byte reads[THREADS * OBJECTS]; /* may_load(): what a thread may still read is kept */
byte kernel[ATOMICS];          /* the oldest entry that a futex call may see */
byte sleeps_on[THREADS];       /* a word + 1; 0: awake */
byte age;                      /* of the entry that is being read */

/* Arguments of a step in C, and what it gives. */
hidden byte thread_, object_, order_, value_;

c_decl {
    enum { N_ATOMICS = ATOMICS, N_OBJECTS = OBJECTS, N_THREADS = THREADS, HISTORY = DEPTH };
};

c_code {
\#include "memory.h"
};

/* No data race; DEPTH is large enough; no load that may_load() was not told of. */
#define IS_SOUND                                                                                             \
    assert(c_expr { fault != RACE }); assert(c_expr { fault != TOO_SHORT });                                 \
    assert(c_expr { fault != UNDECLARED })

inline memory_begin()
{
    c_code { begin_memory(); }
}

/* The thread may load the word, not only store and modify it. */
inline may_load(thread, word)
{
    reads[(thread) * OBJECTS + (word)] = 1
}

/* As above, and always with that order: if it is seq_cst, what such a load cannot take need not be kept. */
inline may_load_by(thread, word, order)
{
    reads[(thread) * OBJECTS + (word)] = ((order) == SEQ_CST -> 2 : 1)
}

/* The entry that is `a` older than the newest. */
#define may_age(thread, word, order, a)                                                                      \
    (newest[word] >= (a) && newest[word] - (a) >= view[(thread) * OBJECTS + (word)] &&                       \
     ((order) != SEQ_CST || newest[word] - (a) >= newest_sc[word]))

inline load(thread, word, order, to)
{
    atomic {
        if
        :: may_age(thread, word, order, 0)
        :: may_age(thread, word, order, 1) -> age = 1
#if DEPTH > 2
        :: may_age(thread, word, order, 2) -> age = 2
#endif
#if DEPTH > 3
        :: may_age(thread, word, order, 3) -> age = 3
#endif
#if DEPTH > 4
        :: may_age(thread, word, order, 4) -> age = 4
#endif
#if DEPTH > 5
        :: may_age(thread, word, order, 5) -> age = 5
#endif
#if DEPTH > 6
        :: may_age(thread, word, order, 6) -> age = 6
#endif
#if DEPTH > 7
        :: may_age(thread, word, order, 7) -> age = 7
#endif
#if DEPTH > 8
        :: may_age(thread, word, order, 8) -> age = 8
#endif
#if DEPTH > 9
        :: may_age(thread, word, order, 9) -> age = 9
#endif
#if DEPTH > 10
        :: may_age(thread, word, order, 10) -> age = 10
#endif
#if DEPTH > 11
        :: may_age(thread, word, order, 11) -> age = 11
#endif
#if DEPTH > 12
        :: may_age(thread, word, order, 12) -> age = 12
#endif
#if DEPTH > 13
        :: may_age(thread, word, order, 13) -> age = 13
#endif
#if DEPTH > 14
        :: may_age(thread, word, order, 14) -> age = 14
#endif
#if DEPTH > 15
        :: may_age(thread, word, order, 15) -> age = 15
#endif
        fi;
        d_step {
            thread_ = thread;
            object_ = word;
            order_ = order;
            c_code { value_ = load_entry(thread_, object_, order_, now.age); };
            to = value_;
            age = 0
        }
    }
}

inline store(thread, word, order, new_value)
{
    d_step {
        thread_ = thread;
        object_ = word;
        order_ = order;
        value_ = new_value;
        c_code { append(thread_, object_, order_, value_, 0); };
        IS_SOUND
    }
}

#define NEWEST_VALUE(word) value[(word) * DEPTH + newest[word]]

/* Within d_step. `new_value` is evaluated when `before` is set. */
inline modify_now(thread, word, order, before, new_value)
{
    thread_ = thread;
    object_ = word;
    order_ = order;
    c_code { value_ = read_newest(thread_, object_, order_); };
    before = value_;
    value_ = new_value;
    c_code { append(thread_, object_, order_, value_, 1); };
    IS_SOUND
}

inline modify(thread, word, order, before, new_value)
{
    d_step {
        modify_now(thread, word, order, before, new_value)
    }
}

/* Within d_step too. */
inline plain_store(thread, object, new_value)
{
    d_step {
        thread_ = thread;
        object_ = object;
        value_ = new_value;
        c_code { plain_put(thread_, object_, value_); };
        IS_SOUND
    }
}

inline plain_load(thread, object, to)
{
    d_step {
        thread_ = thread;
        object_ = object;
        c_code { value_ = plain_get(thread_, object_); };
        IS_SOUND;
        to = value_
    }
}

/* An entry that is `a` older than the newest may be seen by a futex call. */
#define MAY_SEE(thread, word, a)                                                                             \
    (newest[word] >= (a) && newest[word] - (a) >= view[(thread) * OBJECTS + (word)] &&                       \
     newest[word] - (a) >= kernel[word])
#define SEEN(word, a) value[(word) * DEPTH + newest[word] - (a)]

/* Sleeps while `word` is `expected`. */
inline futex_wait(thread, word, expected)
{
    if
    :: (MAY_SEE(thread, word, 0) && SEEN(word, 0) != (expected)) ||
       (MAY_SEE(thread, word, 1) && SEEN(word, 1) != (expected))
    :: atomic {
           (MAY_SEE(thread, word, 0) && SEEN(word, 0) == (expected)) ||
           (MAY_SEE(thread, word, 1) && SEEN(word, 1) == (expected)) ||
           (MAY_SEE(thread, word, 2) && SEEN(word, 2) == (expected)) ||
           (MAY_SEE(thread, word, 3) && SEEN(word, 3) == (expected)) -> sleeps_on[thread] = (word) + 1
       };
       sleeps_on[thread] == 0
    fi
}

inline futex_wake(thread, word)
{
    d_step {
        thread_ = thread;
        object_ = word;
        c_code { futex_wake_all(thread_, object_); }
    }
}

inline thread_end(thread)
{
    d_step {
        thread_ = thread;
        c_code { end_thread(thread_); }
    }
}
