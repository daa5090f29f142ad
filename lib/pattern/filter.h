/* filter - which records somebody wants. The interface is the one that event patterns fill later:
 * compile once, match often, narrow a query with what it knows.
 *
 * Immutable after compile: any thread. */
#ifndef SVL_PATTERN_FILTER_H
#define SVL_PATTERN_FILTER_H

#include <serverlog/handler.h>
#include <serverlog/store.h>
#include <stdbool.h>

struct filter;

/* SVL_E_INVALID, _NAME_TOO_LONG, _KEY_TOO_LONG, _UTF8, _RESERVED, _NOMEM. Everything is copied. */
int svl__filter_compile(const svl_filter *from, struct filter **out);
void svl__filter_destroy(struct filter *filter);

/* Records of source "serverlog.*" match only a filter that names such a source. */
bool svl__filter_matches(const struct filter *filter, const svl_record *record);

/* Sets in `query` the conditions that it can take (severity_min, source, type, key prefix): the query
 * then finds all that match, perhaps more. Slices are borrowed from the filter. */
void svl__filter_narrow(const struct filter *filter, svl_query *query);

#endif
