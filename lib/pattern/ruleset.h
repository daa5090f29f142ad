/* ruleset - a machine that changes while it is read, with a lock for those who change it.
 *
 * ruleset.c rules one by one, and matches · load.c all rules of a file */
#ifndef SVL_PATTERN_RULESET_H
#define SVL_PATTERN_RULESET_H

#include <pthread.h>

#include "machine.h"
#include "match.h"

#define LOADED_ID_FIRST (UINT64_C(1) << 63)

/* A rule of a file. */
struct loaded_rule {
    char *name;
    uint64_t id;
    struct rule *rule; /* NULL: it is disabled */
};

struct svl_ruleset {
    struct machine machine;
    pthread_mutex_t lock; /* all but matching */
    uint64_t process_mark;
    uint64_t rules_max;
    struct plan_limits plan_limits;
    struct match_limits match_limits;
    struct loaded_rule *loaded; /* sorted by name */
    size_t loaded_count;
    size_t loaded_bytes;
    uint64_t next_id; /* of a name that has not been loaded before */
};

/* SVL_OK, with the lock; SVL_E_INVALID or SVL_E_FORKED without. */
int svl__ruleset_enter(svl_ruleset *ruleset);

/* Frees what load.c keeps. */
void svl__ruleset_forget(svl_ruleset *ruleset);

#endif
