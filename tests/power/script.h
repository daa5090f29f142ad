/* script - the runs that are recorded. */
#ifndef TESTS_POWER_SCRIPT_H
#define TESTS_POWER_SCRIPT_H

#include "expectation.h"
#include "recorder.h"

struct script {
    const char *name;
    uint64_t states; /* to build of a recording in the fast suite */
    /* On a new path, to the end; and on one where a power cut has left something, with a generation above those
     * before. Both mark what they do, see log.h. */
    void (*run)(const struct script *script, const char *path);
    void (*resume)(const struct script *script, const char *path, uint64_t generation);
    bool pipeline;           /* opened by svl_open(), with handlers that split and echo */
    bool valued;             /* each group sets the value "power/last" to its last number */
    uint64_t flush_every;    /* of these: at about every so-many-th number a flush is waited for */
    bool large;              /* records fill segments */
    bool ahead;              /* without threads; blocks are encoded before they are written */
    uint64_t retain_records; /* at least these stay; 0: all */
    uint64_t journal_bytes;  /* journal_file_bytes_max; 0: the least */
};

/* The least journal_file_bytes_max. */
#define JOURNAL_BYTES (256 << 10)
/* Handlers of pipelines: inputs with these numbers are split, echoed (the last but for those before), or made dead
 * letters. */
#define SPLIT_EVERY 4
#define ECHO_EVERY 3
#define LETTER_EVERY 17

/* Ended by one without a name. */
extern const struct script scripts[];
const struct script *script_named(const char *name);

/* Before all else: temporary directories on a tmpfs where there is one, and one for crash rings. */
void script_set_up(void);
const char *script_ring_directory(void);
/* Runs the script on a new path, and records it. The path is kept where `path` is not NULL (512 bytes). */
void script_record(const struct script *script, enum blindness blindness, struct log *log,
                   char *path);

svl_store_options script_store_options(const struct script *script);
/* With its handlers, not started. */
int script_open_pipeline(const struct script *script, const char *path, svl_pipeline **out);
/* Submits records `number` + 1 to `number` + n as one durable group; what the store says. */
int script_append(const struct script *script, svl_store *store, uint64_t number, unsigned n,
                  uint64_t generation);
/* The newest number of an input, 0 = none. */
uint64_t script_last_number(svl_store *store);

#endif
