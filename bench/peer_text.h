/* peer_text.h - a file of text lines, plain or packed; see peer_text.c. */
#ifndef BENCH_PEER_TEXT_H
#define BENCH_PEER_TEXT_H

#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench.h"

#define TEXT_GROUP_BYTES (64 * ROW_BYTES_MAX)

struct text {
    FILE *stream; /* of append() */
    char path[512];
    /* Of append_durable(), under the mutex; but `fd` and `at` are the flushing thread's. */
    int fd;
    off_t at;
    pthread_mutex_t mutex;
    pthread_cond_t flushed;
    uint64_t group, groups_flushed;  /* the one that gathers, from 0; those on the disk */
    char lines[2][TEXT_GROUP_BYTES]; /* group % 2: one gathers while the other is flushed */
    size_t lines_len;                /* of the one that gathers */
    bool is_flushing, has_failed;
};

size_t text_line(const svl_record *record, char out[ROW_BYTES_MAX]);
void *text_open(const char *path, const struct store_wish *wish);
int text_finish(void *store);
int text_close(void *store);
/* What `program` -F -c prints: a number. It may end with 1, which is grep's for none. */
int64_t text_search(const char *program, const char *word, const char *path);

#endif
