/* pattern - one compiled pattern, for those in the layers above who take one wherever a filter is taken.
 *
 * pattern.c compiled and matched · explain.c why it matches or not · bounds.c what a query may be narrowed by */
#ifndef SVL_PATTERN_PATTERN_H
#define SVL_PATTERN_PATTERN_H

#include "machine.h"
#include "match.h"

struct svl_pattern {
    struct plan plan;
    struct machine machine;  /* with one rule; never changed */
    const struct node *sole; /* as of struct match */
    char *text;              /* as it was given, for explanations */
    size_t len;
};

/* The limits of a pattern that stands alone, and of its events. */
extern const struct plan_limits svl__plan_limits_default;
extern const struct match_limits svl__match_limits_default;

/* The arguments of a match function are those that it takes: SVL_OK or SVL_E_INVALID. */
int svl__match_check(const void *handle, const void *event, size_t len, uint32_t flags,
                     const void *out);

#endif
