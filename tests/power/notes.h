/* notes - between the recorder and the calls that it stands before (calls/calls.c). */
#ifndef TESTS_POWER_NOTES_H
#define TESTS_POWER_NOTES_H

#include <sys/types.h>
#include <sys/uio.h>

#include "recorder.h"

/* True if a call is to be noted: then it is made, and noted if it went well, before notes_end(). */
bool notes_begin(void);
void notes_end(void);

void note_mkdir(const char *path);
void note_open(int fd);
void note_unlink(int directory, const char *name);
void note_rename(int directory, const char *from, const char *to);
/* `n` is what the call returned. */
void note_write(int fd, const void *data, ssize_t n, uint64_t offset);
void note_vector(int fd, const struct iovec *parts, int count, ssize_t n, uint64_t offset);
void note_size(int fd, uint64_t size);
void note_mapping(void *at, size_t len, int fd);
void note_unmapping(const void *at);
/* True: it counts; note its end with what this gives. Calls may be noted in between. */
bool note_flush_begin(int fd, struct op *end);
void note_flush_end(const struct op *end);

#endif
