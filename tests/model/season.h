/* season - one store from its first record to its last: a writer that closes and opens it again and again, and readers
 * in other processes meanwhile. Each is a process of its own, and answers with its exit status: 0 or WRONG. */
#ifndef TESTS_MODEL_SEASON_H
#define TESTS_MODEL_SEASON_H

#include <stdint.h>

/* Until `ends_ns` (monotonic), and the end behind it: everything settled, delivered again and closed. Then
 * ledger->ends. */
void write_season(const char *path, int64_t ends_ns);
/* Until ledger->ends, and once more all there is. */
void read_season(const char *path, unsigned reader);

#endif
