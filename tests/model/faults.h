/* faults - a library that does something wrong once, so that the model is seen to see it. The linker puts these before
 * the library's own functions (--wrap). */
#ifndef TESTS_MODEL_FAULTS_H
#define TESTS_MODEL_FAULTS_H

enum fault {
    FAULT_NONE,
    FAULT_LOSE,   /* a record on its way into the store */
    FAULT_TWICE,  /* it is stored twice */
    FAULT_SWAP,   /* two of one publisher change places */
    FAULT_EFFECT, /* what a stored handler emits is stored twice */
    FAULT_HIDE,   /* an answer to a query leaves out one that matches */
    FAULT_REPEAT, /* it has one twice */
    FAULT_ALTER,  /* it has one with another severity */
    FAULT_SKIP,   /* a follower misses one, now and then */
    FAULTS
};
/* From now on, in this process: at about the `calls`-th call that it concerns. */
void fault_arm(enum fault fault, unsigned calls);
/* Wrong answers are for threads that have said this: of theirs each is checked. (A tail is looked for by a query of the
 * library's own.) */
void fault_answers_here(void);

#endif
