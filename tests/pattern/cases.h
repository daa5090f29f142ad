/* cases - the tables in tests/pattern/cases/: what the tests of the library and of the reference run.
 *
 * Verdicts, a file a part of the language: a line "pattern TEXT", below it lines "yes TEXT", "no TEXT" and "error
 * TEXT", each an event and what the pattern says of it. Spaces before a word and behind it, empty lines and
 * lines that start with '#' are for the reader; all else of a line counts. */
#ifndef TESTS_PATTERN_CASES_H
#define TESTS_PATTERN_CASES_H

#include <stdbool.h>
#include <stddef.h>

#include "reference.h"

struct verdict_case {
    const char *file;
    unsigned line;
    const char *pattern;
    const char *event; /* NULL: the pattern itself, before its events */
    int verdict;       /* REFERENCE_* */
};

/* Calls `visit` for each line of DIRECTORY/NAME; gives the number of events. */
typedef void verdict_visit_fn(const struct verdict_case *at, void *user);
size_t verdicts_read(const char *directory, const char *name, verdict_visit_fn *visit, void *user);

/* The same of all files of verdicts. */
size_t verdicts_read_all(const char *directory, verdict_visit_fn *visit, void *user);

const char *verdict_word(int verdict);

/* A refused pattern, a line of refused.txt: see there. */
struct refused_case {
    unsigned line;
    const char *code;
    const char *path;
    const char *pattern;
    size_t length, offset;
};

typedef void refused_visit_fn(const struct refused_case *at, void *user);
size_t refused_read(const char *directory, refused_visit_fn *visit, void *user);

/* Patterns of many combinations: `$or`s of so many branches each, below different names (they multiply) or inside one
 * `$or` (they add up). */
struct combinations_case {
    bool inside_one;
    unsigned branches[3]; /* 0: no further one */
    bool refused;
};
extern const struct combinations_case combinations_cases[];
extern const size_t combinations_cases_count;
/* Its text, to be freed. */
char *combinations_pattern(const struct combinations_case *from);

#endif
