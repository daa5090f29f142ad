/* filter_set - the filters of many handlers, numbered in the order in which they came, and which of them want one
 * record. Few are asked one by one; of more a ruleset is asked, whose cost does not follow their number.
 *
 * Used by one thread at a time. */
#ifndef SVL_PATTERN_FILTER_SET_H
#define SVL_PATTERN_FILTER_SET_H

#include "filter.h"

struct filter_set;

int svl__filter_set_create(struct filter_set **out);
void svl__filter_set_destroy(struct filter_set *set); /* NULL is fine */

/* Takes the filter over, once it is SVL_OK: the number of them before is its own. Codes as svl_ruleset_add(). */
int svl__filter_set_add(struct filter_set *set, struct filter *filter);

/* Takes up a record, or the same after a change; no other is asked of until the next one. SVL_OK, SVL_E_NOMEM. */
int svl__filter_set_take(struct filter_set *set, const svl_record *record);
/* *number becomes the next, from itself on, whose filter wants the record taken up; how many there are: none does.
 * SVL_OK, SVL_E_NOMEM; SVL_E_LIMIT: that of *number cannot be told. */
int svl__filter_set_next(struct filter_set *set, const svl_record *record, size_t *number);

#endif
