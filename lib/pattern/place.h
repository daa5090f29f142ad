/* place - where in a pattern, or in a file of rules, one is: for errors that name the JSON path, the byte and
 * what would be right.
 *
 * A path is a stack of names and indexes, which the parser keeps. */
#ifndef SVL_PATTERN_PLACE_H
#define SVL_PATTERN_PLACE_H

#include <serverlog/pattern.h>

#include "base/bytes.h"

struct place_step {
    svl_slice name; /* as it is written, between its quotes; NULL: an index */
    uint64_t index;
};

struct place {
    struct buffer steps;
    svl_slice rule; /* the name of the rule at hand, "" where there is none */
    svl_pattern_error error;
};

void svl__place_init(struct place *place);
void svl__place_free(struct place *place);
/* The names live as long as the place. SVL_OK or SVL_E_NOMEM. */
int svl__place_enter(struct place *place, svl_slice name);
int svl__place_enter_index(struct place *place, uint64_t index);
void svl__place_leave(struct place *place);

/* Tells what is wrong at the path and at byte `offset`; returns `code`. */
int svl__place_fail(struct place *place, int code, size_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What is taken, and hardly meant. */
void svl__place_warn(struct place *place, size_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks the struct_size of the caller's `where` (may be NULL), before anything else is done. */
int svl__place_check(const svl_pattern_error *where);
/* Hands out to the caller's `where` (may be NULL) what was found, with the call's result. */
int svl__place_report(struct place *place, int rc, svl_pattern_error *where);

#endif
