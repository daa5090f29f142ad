/* lives - what the processes of a round do, and what they note of it where it outlives them. */
#ifndef TESTS_POINTS_LIVES_H
#define TESTS_POINTS_LIVES_H

#include "points.h"

#define LIVES 3 /* of a round: one, and two recoveries */
/* Threads of the host; the last one is a process that is attached. */
#define PUBLISHERS 4
#define ATTACHED (PUBLISHERS - 1)
#define RECORD_BYTES_MAX 560

enum mode {
    CRASH_RING,   /* what is published survives */
    PRIVATE_RING, /* what is acknowledged survives */
    DROPS         /* a crash ring; what does not fit is dropped, and told */
};

/* Numbers that a death may have lost: of these only the first ones are there. */
struct loss {
    uint64_t from, to; /* none: from > to */
    bool is_certain;   /* the publisher was held amid its reservation: it is not there */
};

struct noted {
    enum mode mode;
    bool has_attached;
    char path[512], ring_directory[64];
    uint32_t sync_interval_ms, commit_age_ms;
    uint64_t journal_file_bytes_max;
    struct publisher_noted {
        _Atomic uint64_t begun;        /* numbers of which the publish was called */
        _Atomic uint64_t published;    /* of which it returned */
        _Atomic uint64_t acknowledged; /* durable, says svl_publish_sync() or svl_flush() */
        struct loss losses[LIVES];
    } publishers[PUBLISHERS];
    _Atomic int64_t clock_shift_ns; /* of the host's clock */
    _Atomic bool has_failed;
    char why[512]; /* the first failure */
};
extern struct noted *noted;

void noted_set_up(void);
/* Notes a failure, if it is the first; returns false. */
bool noted_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The body of a publisher's record; returns its length. */
size_t body_of(int publisher, uint64_t number, char body[RECORD_BYTES_MAX]);

svl_pipeline *open_pipeline(void);
/* Processes: they end by a SIGKILL, or with a noted failure. */
void live_as_host(int life);
void live_as_attached(void);

#endif
