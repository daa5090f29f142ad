/* reference_pattern - what a pattern's tree means: which trees are patterns, and what a leaf array says of one value.
 * Called by reference.c. */
#ifndef TESTS_PATTERN_REFERENCE_PATTERN_H
#define TESTS_PATTERN_REFERENCE_PATTERN_H

#include "reference_json.h"

enum { REFERENCE_COMBINATIONS_MAX = 1000 };

/* Whether the tree is a pattern; else `offset` is that of what is not. */
bool reference_check(const struct json *root, size_t *offset);

/* Whether the member of an object is an `$or` between its objects, and no field of that name. */
bool reference_is_or(const struct json *member);
/* Whether the same name follows in the same object: the last one counts. */
bool reference_is_overruled(const struct json *member);

bool reference_leaf_matches(const struct json *leaf, const struct json *value);
/* Whether {"exists": false} is among its elements. */
bool reference_leaf_takes_absence(const struct json *leaf);

#endif
