/* script - what is run with a call that fails: everything that a host does, in short. A script goes on to its end, or
 * to the first call of the library that fails; then it closes what is open.
 *
 * Inputs are records of source "in" with a number for a key; a number is taken once the library has said SVL_OK to it,
 * and acknowledged once a call has returned that promises it to be durable. */
#ifndef TESTS_CALLS_SCRIPT_H
#define TESTS_CALLS_SCRIPT_H

#include <sys/types.h>

#include "support/support.h"

#define NUMBERS_MAX 200
/* Numbers from here on are those of the other process. */
#define FIRST_OF_OTHER 100
/* Inputs that are divided by it are rejected by the handler: a dead letter each. */
#define LETTER_EVERY 5
/* Of a store alone: at least so many are kept. */
#define RETAIN_RECORDS 12
#define WORDS_BYTES 700

enum fate { FATE_NONE, FATE_OFFERED, FATE_TAKEN, FATE_ACKNOWLEDGED };

struct run {
    char path[256];
    int64_t patience_ms; /* of its waits */
    bool flush_fails;    /* the armed fault is one of a flush: nothing is acknowledged behind it */
    uint8_t fates[NUMBERS_MAX];
    unsigned numbers;        /* of its own, given so far */
    bool is_crash_safe;      /* what is taken outlives the store's failure */
    int rc;                  /* of the first call that failed; SVL_OK */
    int closed;              /* of the last close; SVL_OK */
    const char *call;        /* which */
    char words[WORDS_BYTES]; /* its svl_last_error() */
    char wrong[WORDS_BYTES]; /* what must not be; empty */
    int other, answers;      /* pipes to the other process; -1 */
    pid_t other_pid;
};

struct script {
    const char *name;
    /* Before anything fails: what the script finds at run->path. May be NULL. */
    void (*prepare)(struct run *run);
    void (*run)(struct run *run);
    /* Behind it: nothing fails any more. May be NULL. */
    void (*end)(struct run *run);
    bool pipeline; /* its handlers echo */
};

/* The log callback has told of a failure since it was cleared. */
extern _Atomic bool script_told;

/* Ended by one without a name. */
extern const struct script scripts[];

/* A directory on a tmpfs for the rings of all scripts. */
extern char ring_directory[64];

void run_wrong(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Around each call: run_ends() says whether it went well, and looks at its words otherwise. */
void run_begins(void);
bool run_ends(struct run *run, int rc, const char *call);
#define WENT_WELL(run, call) (run_begins(), run_ends((run), (call), #call))

/* What the scripts and the judge open. */
int script_open_store(const struct run *run, uint32_t flags, svl_store **out);
int script_open_pipeline(const struct run *run, uint32_t flags, svl_pipeline **out);
svl_record script_record(unsigned number, char key[16]);

/* Opened again without a failure, all is there that must be, each once and in order, the store is whole and takes
 * more; nothing is left in the rings' directory. Else run->wrong says what is not. */
void judge(const struct script *script, struct run *run);

#endif
