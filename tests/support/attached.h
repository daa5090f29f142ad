/* attached - what the tests of publishing from other processes share: one store at a time, one directory for the rings
 * of all. */
#ifndef TESTS_ATTACHED_H
#define TESTS_ATTACHED_H

#include "host.h"

#define SMALL_RING (64u << 10)

extern char path[512];          /* the store's */
extern char ring_directory[64]; /* of this process' tests alone: its files are counted */

void sleep_ms(long ms);
/* A new store's path; and a store there on which a pipeline was open. */
void new_path(void);
void make_store(void);

svl_publisher *attach_with(uint64_t ring_bytes, uint32_t policy);
/* In a child, where a failed assertion would go on with the next test. */
svl_publisher *attach_or_exit(uint32_t policy);
int publish(svl_publisher *p, const char *source, uint64_t number, size_t body);
/* The numbers of a source are 1 to n, in order, each once: returns n. Those of one with a dot in its name are not
 * looked at. */
uint64_t count(const char *source);

/* Waits until the host has taken so many records and has no attached ring any more; has counted `n` damaged ones. */
void wait_gone(const struct host *host, uint64_t records);
void wait_damaged(const struct host *host, uint64_t n);
/* Waits for a child's end, for long; returns its status. */
int wait_end(pid_t child);

unsigned ring_files(void);
/* The one ring file there is, open. */
int open_ring_file(void);
/* The other one of two. */
int open_ring_file_beside(int fd);
/* The one that this process has open: as a cleaned tmpfs does. */
void remove_own_ring_file(void);

/* Runs a group of tests with a ring directory. */
int run_attached(const char *name, const struct CMUnitTest *tests, size_t n);

#endif
