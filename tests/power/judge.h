/* judge - a state, opened as after a reboot and held against what the run was told. */
#ifndef TESTS_POWER_JUDGE_H
#define TESTS_POWER_JUDGE_H

#include "script.h"

#define VERDICT_BYTES 512

/* False: `why` says what is wrong with the store at `path`, which may not be there. Uses no assertions: it runs in
 * processes of its own. */
bool judge(const struct script *script, const struct expectation *expectation, const char *path,
           struct rng *rng, char why[VERDICT_BYTES]);

#endif
