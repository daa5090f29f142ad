/* reference_operators - what one string operator of a pattern says of one string, each by the plainest way there is.
 * Called by reference.c. */
#ifndef TESTS_PATTERN_REFERENCE_OPERATORS_H
#define TESTS_PATTERN_REFERENCE_OPERATORS_H

#include "reference_json.h"

/* Whether the characters are equal: themselves, or after simple case folding. */
typedef bool same_fn(uint32_t a, uint32_t b);
bool same_exactly(uint32_t a, uint32_t b);
bool same_ignoring_case(uint32_t a, uint32_t b);

bool text_same(struct text a, struct text b, same_fn *same);
bool text_has_prefix(struct text text, struct text prefix, same_fn *same);
bool text_has_suffix(struct text text, struct text suffix, same_fn *same);

bool wildcard_is_valid(struct text wildcard);
bool wildcard_matches(struct text wildcard, struct text text);

bool cidr_is_valid(struct text block);
bool cidr_contains(struct text block, struct text address);

#endif
