/* bounds - what every record that matches a pattern has in its envelope: for a query, which can tell from its
 * columns and indexes which records need not be looked at.
 *
 * Bounds are necessary, not sufficient: a record outside of them does not match, one inside may not either. */
#ifndef SVL_PATTERN_BOUNDS_H
#define SVL_PATTERN_BOUNDS_H

#include <stdbool.h>

#include "pattern.h"

struct text_bound {
    svl_slice text; /* what it is, or begins with; borrowed from the pattern */
    bool is_exact;  /* else a prefix: an empty one is no bound */
};

struct pattern_bounds {
    double severity_min, severity_max; /* both included; infinite where there is no bound */
    int64_t time_min_ns, time_max_ns;  /* both included, and wider by what a double does not tell */
    struct text_bound source, type, key;
};

/* Of all combinations of the pattern's `$or`s together. SVL_OK or SVL_E_NOMEM. */
int svl__pattern_bounds(const svl_pattern *pattern, struct pattern_bounds *out);

#endif
