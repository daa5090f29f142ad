/* support - what many tests need: temporary stores, seeded randomness, records by formula, failing
 * allocations. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <serverlog.h>

/* A new directory's path that does not exist yet, below a temporary directory of this process. */
const char *temp_path(void);
/* Removes everything that temp_path() gave. */
void temp_remove_all(void);
/* Removes a directory and what is in it. */
void remove_tree(const char *path);
/* Copies the regular files of a directory. */
void copy_tree(const char *from, const char *to);

/* A disk without space, for this process: nothing can be written behind the first page of a file. */
void set_disk_full(bool full);

/* The run's seed: SVL_TEST_SEED, else the clock; printed once. */
uint64_t test_seed(void);
/* `n` rounds in the fast suite, SVL_TEST_TIMES as many in the slow one. */
int test_times(int n);
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t n);

svl_slice slice_of(const char *text);

/* What `use` answers in a child of its own, which has 20 s: its exit status, or 100 + the signal that ended it. */
int use_in_child(int (*use)(void *user), void *user);

/* Asserts SVL_OK, with svl_last_error() in the message. */
#define assert_ok(call) assert_ok_at((call), #call, __FILE__, __LINE__)
void assert_ok_at(int rc, const char *call, const char *file, int line);

/* Allocation failures, in executables that are linked with fail_malloc.c: after `n` more allocations of
 * this process each one fails (`once`: only that one). 0 = never. */
void fail_malloc_after(uint64_t n, bool once);
uint64_t fail_malloc_count(void); /* allocations since the last fail_malloc_after() */
int64_t live_allocations(void);

#endif
