/* orders.pml - the atomic operations of lib/ring that the models have, by their letters in lib/ring/ORDERS.md, with the
 * memory order that each has there; -DNAME=ORDER runs a model with another one. */
#include "memory.pml"

/* reserve */
#ifndef A1_HEAD
#define A1_HEAD ACQUIRE
#endif
#ifndef A1_CACHE
#define A1_CACHE ACQUIRE
#endif
#ifndef A1_FILL
#define A1_FILL RELEASE
#endif
#ifndef A3
#define A3 ACQ_REL
#endif
#ifndef A8
#define A8 ACQUIRE
#endif
/* commit */
#ifndef A5
#define A5 RELEASE
#endif
#ifndef A10_HEADER
#define A10_HEADER SEQ_CST
#endif
#ifndef A10_TAIL
#define A10_TAIL SEQ_CST
#endif
/* take and release */
#ifndef A6
#define A6 ACQUIRE
#endif
#ifndef A2
#define A2 SEQ_CST
#endif
/* sleep, arm, wake */
#ifndef A4
#define A4 SEQ_CST
#endif
#ifndef A10_LOOK
#define A10_LOOK SEQ_CST
#endif
#ifndef B1
#define B1 RELEASE
#endif
#ifndef B2
#define B2 ACQUIRE
#endif
#ifndef B2_AFTER
#define B2_AFTER ACQUIRE
#endif
/* drops */
#ifndef B4_ADD
#define B4_ADD SEQ_CST
#endif
#ifndef B4_TAIL
#define B4_TAIL SEQ_CST
#endif
#ifndef B4_LOOK
#define B4_LOOK SEQ_CST
#endif
#ifndef B4_END
#define B4_END SEQ_CST
#endif
/* close */
#ifndef A9
#define A9 ACQ_REL
#endif
/* space */
#ifndef B3_WAITERS
#define B3_WAITERS SEQ_CST
#endif
#ifndef B3_LOOK
#define B3_LOOK SEQ_CST
#endif
#ifndef B3_HEAD
#define B3_HEAD SEQ_CST
#endif
#ifndef B5_TELL
#define B5_TELL SEQ_CST
#endif
#ifndef B5_LOOK
#define B5_LOOK SEQ_CST
#endif
/* outcomes */
#ifndef O1
#define O1 RELEASE
#endif
#ifndef O2
#define O2 ACQUIRE
#endif
#ifndef O3
#define O3 RELEASE
#endif
#ifndef O4
#define O4 ACQUIRE
#endif
/* the host of an attached ring */
#ifndef READ_TAIL
#define READ_TAIL ACQUIRE
#endif
#ifndef FOREIGN_HEAD_STORE
#define FOREIGN_HEAD_STORE RELEASE
#endif
#ifndef FOREIGN_HEAD_LOAD
#define FOREIGN_HEAD_LOAD ACQUIRE
#endif
