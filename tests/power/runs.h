/* runs - what the runs share. */
#ifndef TESTS_POWER_RUNS_H
#define TESTS_POWER_RUNS_H

#include "script.h"

/* Who writes, and how far it has come. */
struct writer {
    const struct script *script;
    svl_store *store;
    uint64_t number, generation;
};

/* After a power cut: what is visible is durable from now on, and what is not there never was. */
void writer_mark_found(struct writer *w);

/* For stores (runs_store.c). */
void run_creation(const struct script *script, const char *path);
void run_opens(const struct script *script, const char *path);
void run_appends(const struct script *script, const char *path);
void run_feeds(const struct script *script, const char *path);
void run_ahead(const struct script *script, const char *path);
void run_commits(const struct script *script, const char *path);
void run_full(const struct script *script, const char *path);
void resume_store(const struct script *script, const char *path, uint64_t generation);

/* For pipelines (runs_pipeline.c). */
void run_pipeline(const struct script *script, const char *path);
void run_attached(const struct script *script, const char *path);
void resume_pipeline(const struct script *script, const char *path, uint64_t generation);

#endif
