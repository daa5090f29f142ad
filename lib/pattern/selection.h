/* selection - a pattern for a query over records whose bodies cost something to read: what it asks of all but the
 * body comes first, as a pattern of its own, and as bounds for columns and indexes.
 *
 * Immutable after compile: any thread. */
#ifndef SVL_PATTERN_SELECTION_H
#define SVL_PATTERN_SELECTION_H

#include "bounds.h"

struct selection {
    svl_pattern *whole;
    svl_pattern *
        head; /* it, without the fields of `detail` and `body`; NULL: nothing is left, or none is */
    bool reads_body; /* it has such fields */
    struct pattern_bounds bounds;
};

/* Codes as svl_pattern_compile(), the words led by `member`, which has the text. */
int svl__selection_compile(const char *text, const char *member, struct selection **out);
void svl__selection_destroy(struct selection *selection); /* NULL is fine */

/* A record whose body is not read yet: false if it cannot match, whatever its body is. SVL_OK, SVL_E_LIMIT
 * (svl_pattern_match_record()) or SVL_E_NOMEM. */
int svl__selection_meets_head(const struct selection *selection, const svl_record *record,
                              bool *matches);
/* The same record with its body, once its head has been found to meet: does it match? */
int svl__selection_meets_body(const struct selection *selection, const svl_record *record,
                              bool *matches);

/* Both at once, of a record that is there whole. */
int svl__selection_meets(const struct selection *selection, const svl_record *record,
                         bool *matches);

/* Is this source named: by a string, a prefix or a wildcard at `source` that begins with `prefix`, and, as far as
 * it says what it begins with, as the source does? */
bool svl__selection_names(const struct selection *selection, svl_slice source, svl_slice prefix);

#endif
