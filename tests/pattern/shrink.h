/* shrink - makes a pattern and an event that show a difference smaller, for who has to find it. */
#ifndef TESTS_PATTERN_SHRINK_H
#define TESTS_PATTERN_SHRINK_H

#include "generate.h"

/* Whether the pair still shows it. */
typedef bool shows_fn(const struct generated *pattern, const struct generated *event, void *user);

/* Leaves out members and elements, one at a time, as long as `shows` says so. Texts that are no JSON stay. */
void shrink(struct generated *pattern, struct generated *event, shows_fn *shows, void *user);

#endif
