/* filter - which records somebody wants, as svl_filter says it: compile once, match often, narrow a query with what
 * it knows.
 *
 * Immutable after compile: any thread. */
#ifndef SVL_PATTERN_FILTER_H
#define SVL_PATTERN_FILTER_H

#include <serverlog/handler.h>
#include <serverlog/store.h>
#include <stdbool.h>

#include "selection.h"

struct filter;

/* SVL_E_INVALID, _NAME_TOO_LONG, _KEY_TOO_LONG, _UTF8, _RESERVED, _NOMEM; of the pattern, as
 * svl_pattern_compile(). Everything is copied. */
int svl__filter_compile(const svl_filter *from, struct filter **out);
void svl__filter_destroy(struct filter *filter); /* NULL is fine */

/* Does it want this record? SVL_OK; SVL_E_LIMIT (svl_pattern_match_record()) or SVL_E_NOMEM: it cannot be told. */
int svl__filter_match(const struct filter *filter, const svl_record *record, bool *matches);

/* Does all but its pattern want this record? Of records that its pattern matches: those of source
 * "serverlog.*" only where it names their source. */
bool svl__filter_admits(const struct filter *filter, const svl_record *record);

/* Appends a pattern that all records it wants match; others may match it too, unless it is the filter's own.
 * SVL_OK or SVL_E_NOMEM. */
int svl__filter_rule(const struct filter *filter, struct buffer *out);

/* For a query: sets in `query` the conditions that it can take (severity_min, source, type, key prefix), and
 * gives what its pattern asks, NULL where it has none. The query then finds all that match, perhaps more: ask
 * svl__filter_admits(). Everything is borrowed from the filter. */
void svl__filter_narrow(const struct filter *filter, svl_query *query);
const struct selection *svl__filter_selection(const struct filter *filter);

#endif
