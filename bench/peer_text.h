/* peer_text.h - a file of text lines, plain or packed; see peer_text.c. */
#ifndef BENCH_PEER_TEXT_H
#define BENCH_PEER_TEXT_H

#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench.h"

struct text {
    FILE *stream; /* of append() */
    int fd;       /* of append_durable() */
    off_t at;
    pthread_mutex_t mutex;
    char path[512];
};

size_t text_line(const svl_record *record, char out[ROW_BYTES_MAX]);
void *text_open(const char *path, const struct store_wish *wish);
int text_finish(void *store);
int text_close(void *store);
/* What `program` -F -c prints: a number. It may end with 1, which is grep's for none. */
int64_t text_search(const char *program, const char *word, const char *path);

#endif
