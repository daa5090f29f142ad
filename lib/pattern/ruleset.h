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
#define LOADED_NAME_MAX 255 /* bytes */

/* A rule of a file. */
struct loaded_rule {
    char *name;
    uint64_t id;
    struct rule *rule;            /* NULL: it is disabled */
    svl_transformer *transformer; /* NULL: it has none */
    size_t number, name_at;       /* in the file: its place among the rules, the byte of its name */
};

/* The rules of a file. */
struct loaded {
    struct loaded_rule *rules;  /* sorted by name */
    struct loaded_rule **by_id; /* the same, sorted by id */
    size_t count;
    size_t bytes; /* of memory */
};

struct svl_ruleset {
    struct machine machine;
    pthread_mutex_t lock;        /* all changes */
    pthread_mutex_t loaded_lock; /* `loaded`: who changes it has both, who looks at it has one */
    uint64_t process_mark;
    uint64_t rules_max;
    struct plan_limits plan_limits;
    struct match_limits match_limits;
    struct loaded loaded;
    uint64_t next_id; /* of a name that has not been loaded before */
};

/* The handle is one that may be used here: SVL_OK, SVL_E_INVALID or SVL_E_FORKED. */
int svl__ruleset_check(const svl_ruleset *ruleset);
/* SVL_OK, with the lock; else as svl__ruleset_check(), without. */
int svl__ruleset_enter(svl_ruleset *ruleset);

/* loaded.c: by their names, sorted. */
int svl__loaded_order(const void *a, const void *b);
int svl__loaded_order_by_id(const void *a, const void *b); /* of pointers to them */
struct loaded_rule *svl__loaded_find(const svl_ruleset *ruleset, const char *name);
/* Frees all that is kept of them. */
void svl__loaded_free(struct loaded *loaded);

#endif
