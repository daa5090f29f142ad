/* host - a pipeline in a process of its own, for tests of those who attach to it. The test's own process stays
 * without threads, so that every fork() is one that sanitizers can follow. */
#ifndef TESTS_HOST_H
#define TESTS_HOST_H

#include <sys/types.h>

#include "support.h"

struct host {
    pid_t pid;
    int ask, answer;
};

/* Opens and starts a pipeline on `path` in a new process; `set_up` (may be NULL) changes its options and registers
 * handlers in it. */
struct host_set_up {
    void (*options)(svl_store_options *store, svl_options *options);
    void (*handlers)(svl_pipeline *pipeline);
};
void host_start(struct host *host, const char *path, const struct host_set_up *set_up);
void host_stats(const struct host *host, svl_pipeline_stats *stats);
/* Publishes a text in the host. */
void host_publish(const struct host *host, const char *text);
/* Of one that has SVL_THREADLESS: it does nothing until host_go(), and is inside of nothing. */
void host_hold(const struct host *host);
void host_go(const struct host *host);
/* All its threads are stopped when it returns. */
void host_freeze(const struct host *host);
void host_thaw(const struct host *host);
/* svl_stop() and svl_close(); then the process ends. */
void host_stop(struct host *host);
void host_kill(struct host *host);

#endif
