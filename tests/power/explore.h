/* explore - the states of a log, in processes of their own, and what was wrong with them. */
#ifndef TESTS_POWER_EXPLORE_H
#define TESTS_POWER_EXPLORE_H

#include "judge.h"

struct findings {
    uint64_t states, failures;
    uint64_t first;          /* number of the first state that failed */
    char why[VERDICT_BYTES]; /* and what it was, with moment and rule */
};

enum explore_until { UNTIL_THE_END, UNTIL_A_FAILURE };

/* Builds and judges states 0 to n - 1 of `log`; the same seed and n give the same states. */
struct findings explore(const struct script *script, const struct log *log, uint64_t seed,
                        uint64_t n, enum explore_until until);

/* Judges state `number` alone, in this process, and leaves it at `path`. */
bool explore_one(const struct script *script, const struct log *log, uint64_t seed, uint64_t n,
                 uint64_t number, const char *path, char why[VERDICT_BYTES]);

/* Leaves state `number` at `path`, and adds the marks up to its moment to `marks`: where a recording goes on. */
void explore_build(const struct log *log, uint64_t seed, uint64_t n, uint64_t number,
                   const char *path, struct log *marks);

#endif
