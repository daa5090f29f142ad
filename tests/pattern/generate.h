/* generate - random events, and random patterns that have something to do with them: about half of the pairs match.
 *
 * The vocabulary is small, so that names, strings and numbers meet again: three names, characters that fold into
 * each other or mean something to an operator, numbers that are hard to tell apart, each in several spellings. */
#ifndef TESTS_PATTERN_GENERATE_H
#define TESTS_PATTERN_GENERATE_H

#include "support/support.h"

enum { GENERATED_MAX = 1 << 15 };

struct generated {
    char text[GENERATED_MAX];
    size_t length;
};

void generate_event(struct rng *rng, struct generated *event);
/* A pattern, most of whose conditions hold for `event`. A few are refused: an empty range, say. */
void generate_pattern(struct rng *rng, const struct generated *event, struct generated *pattern);
/* Changes a place or two: most of what comes out is no JSON any more. */
void generate_damage(struct rng *rng, struct generated *text);

#endif
