/* reference - a second matcher of event patterns, written from the page that defines them and from nothing else, so
 * that the library's can be compared with it. It reads pattern and event into trees, writes out every combination of
 * `$or`, and tries every choice of array elements: exponential, and as close to the page's words as code gets.
 *
 * It reads valid and invalid patterns alike; where a pattern is refused it says at which byte. */
#ifndef TESTS_PATTERN_REFERENCE_H
#define TESTS_PATTERN_REFERENCE_H

#include <stddef.h>

enum { REFERENCE_TRIES_MAX = 200000 };

/* REFERENCE_UNKNOWN: after REFERENCE_TRIES_MAX choices of elements it gives up. */
enum reference_verdict { REFERENCE_NO, REFERENCE_YES, REFERENCE_ERROR, REFERENCE_UNKNOWN };

struct reference;

/* NULL when the pattern is refused: `offset` is then that of the first byte of what offends. */
struct reference *reference_compile(const char *pattern, size_t length, size_t *offset);
/* Gives a REFERENCE_*. */
int reference_match(const struct reference *reference, const char *event, size_t length);
void reference_destroy(struct reference *reference);

#endif
