/* ruleset - a machine that changes while it is read, with a lock for those who change it.
 *
 * ruleset.c rules one by one, and matches · load.c all rules of a file · loaded.c those that came from one */
#ifndef SVL_PATTERN_RULESET_H
#define SVL_PATTERN_RULESET_H

#include <pthread.h>
#include <serverlog/transformer.h>

#include "machine.h"
#include "match.h"

#define LOADED_ID_FIRST (UINT64_C(1) << 63)

/* A rule of a file. */
struct loaded_rule {
    char *name;
    uint64_t id;
    struct rule *rule;            /* NULL: it is disabled */
    svl_transformer *transformer; /* NULL: it has none */
};

struct svl_ruleset {
    struct machine machine;
    pthread_mutex_t lock; /* all but matching */
    uint64_t process_mark;
    uint64_t rules_max;
    struct plan_limits plan_limits;
    struct match_limits match_limits;
    struct loaded_rule *loaded; /* sorted by name */
    struct loaded_rule **by_id; /* the same, sorted by id */
    size_t loaded_count;
    size_t loaded_bytes;
    uint64_t next_id; /* of a name that has not been loaded before */
};

/* SVL_OK, with the lock; SVL_E_INVALID or SVL_E_FORKED without. */
int svl__ruleset_enter(svl_ruleset *ruleset);

/* loaded.c: by their names, sorted. */
int svl__loaded_order(const void *a, const void *b);
int svl__loaded_order_by_id(const void *a, const void *b); /* of pointers to them */
struct loaded_rule *svl__loaded_find(const svl_ruleset *ruleset, const char *name);
/* Frees what is kept of them. */
void svl__ruleset_forget(svl_ruleset *ruleset);

#endif
