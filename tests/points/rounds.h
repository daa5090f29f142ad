/* rounds - a store's life, its recovery and the recovery of that, each ended by SIGKILL; then the judge. */
#ifndef TESTS_POINTS_ROUNDS_H
#define TESTS_POINTS_ROUNDS_H

#include "lives.h"

struct findings {
    uint64_t rounds;
    uint64_t held;     /* rounds with a death while a publisher was held amid its reservation */
    uint64_t failures; /* rounds that the judge, or a process, did not like */
    char why[1024];    /* the first one */
};

enum rounds_kind { ROUNDS_OF_ALL_POLICIES, ROUNDS_WITHOUT_DROPS };

/* So many rounds, each on a store of its own, and some more for points where nobody has died in these; ends at the first
 * failure. */
struct findings run_rounds(uint64_t seed, int rounds, enum rounds_kind kind);

#endif
