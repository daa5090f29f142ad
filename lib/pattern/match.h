/* match - one event against a machine: what it found, and which rules hold.
 *
 * walk.c goes through a JSON document, record.c through a record; each value at a path of the machine is a leaf,
 * lookup.c finds its conditions: hits. Then match.c follows the conjunctions from their start.
 *
 * A leaf lies in a context: the innermost element of an array, itself an object or array, that was passed on the
 * way to it; context 0 is the event itself. Contexts are numbered in document order, so what lies in one has
 * higher numbers than it.
 *
 * Lives on the stack of the call; used by one thread. */
#ifndef SVL_PATTERN_MATCH_H
#define SVL_PATTERN_MATCH_H

#include "base/json_number.h"
#include "machine.h"
#include "scratch.h"

struct hit {
    struct condition *condition;
    uint32_t context;
    uint32_t previous; /* of the same condition: its number and 1; 0: none */
};

/* Kept only where a condition asks for more than hits: NOT, ABSENT. */
struct leaf_found {
    struct path *path;
    uint32_t context;
    uint32_t hits_from, hits_to; /* its hits */
    uint32_t previous;           /* at the same path: its number and 1; 0: none */
};

struct event_array {
    struct path *path;
    uint32_t context; /* that it lies in */
};

struct event_context {
    uint32_t array; /* whose element it is */
    uint32_t depth; /* contexts around it; 0: the event */
};

struct match_limits {
    uint32_t bytes_max, depth_max;
};

struct match {
    const struct machine *machine;
    uint64_t time; /* of the clock, at which it looks */
    struct match_limits limits;
    uint32_t flags; /* SVL_JSON_CHECK */
    bool out_of_memory;
    bool has_trails; /* some leaf is in a context that is not the event */
    uint64_t steps;  /* of search.c, for all rules together */
    const struct node *
        sole; /* the end of the only rule, whose verdict more of the event cannot change once all its
                                conditions are found; NULL: there are others, or it can */
    struct list *values; /* struct value_seen, for explain.c; NULL: nobody asks */
    struct list leaves, hits, arrays, contexts, frames, nodes, rules, text, folded;
    struct address_map found; /* a condition's or path's last hit or leaf: its number and 1 */
    struct address_map
        visited; /* nodes with several edges, rules with several ends; grams of a value */
    struct leaf_found leaves_first[8];
    struct hit hits_first[24];
    struct event_array arrays_first[4];
    struct event_context contexts_first[8];
    struct node *nodes_first[16];
    uint64_t rules_first[8];
    uint8_t text_first[256], folded_first[256];
};

/* A value at a path. */
struct value {
    uint32_t token;            /* JSON_STRING ... JSON_NULL */
    struct json_text text;     /* of a string or number; a number without one is its double */
    struct json_number number; /* of a number without a text */
};

struct value_seen {
    const struct path *path;
    uint32_t token;
    struct json_text text;
};

void svl__match_begin(struct match *m, const struct machine *machine, uint64_t time,
                      const struct match_limits *limits, uint32_t flags);
void svl__match_end(struct match *m);
/* Forgets all that was found. */
void svl__match_restart(struct match *m);

/* walk.c: is all of it one valid JSON value? SVL_OK, SVL_E_JSON or SVL_E_LIMIT. */
int svl__match_check_json(const struct match *m, svl_slice json);
/* A document below `root`: an event, which is an object; or a body, of any kind, and one that is not checked may be
 * none: that is an outcome, without words. SVL_OK, SVL_E_JSON, _LIMIT or _NOMEM. */
enum walk_root { WALK_EVENT, WALK_BODY };
int svl__match_walk(struct match *m, const struct path *root, svl_slice json, enum walk_root kind);
/* The path of a name, which may be dotted, below another; NULL: none. */
struct path *svl__match_descend(const struct match *m, const struct path *path, const uint8_t *name,
                                size_t len);

/* record.c. The check is of pointers alone: SVL_OK or SVL_E_INVALID. */
int svl__match_check_record(const svl_record *record);
int svl__match_walk_record(struct match *m, const svl_record *record);

/* lookup.c: a value at a path. */
void svl__match_value(struct match *m, struct path *path, uint32_t context,
                      const struct value *value);

/* match.c: has all been found that the sole rule asks? Then the rest of the event need not be read. */
bool svl__match_is_decided(const struct match *m);
/* Could `sole` be this node: do its conditions stay met, whatever comes? */
bool svl__match_may_stop_at(const struct node *node);

/* The ids of the rules that hold, ascending, into m->rules: uint64_t. SVL_OK, SVL_E_NOMEM or
 * SVL_E_LIMIT. */
int svl__match_rules(struct match *m);

/* Does a NOT hold for this leaf? */
bool svl__match_not(const struct match *m, const struct condition *c,
                    const struct leaf_found *leaf);

/* arrays.c: may the conditions up to `node`, each of which holds somewhere, all hold for one choice of elements?
 * *holds. SVL_OK, SVL_E_NOMEM or SVL_E_LIMIT. */
int svl__arrays_allow(struct match *m, const struct node *node, bool *holds);

static inline const struct hit *match_hit(const struct match *m, uint32_t number)
{
    return (const struct hit *)m->hits.data + (number - 1);
}

static inline const struct leaf_found *match_leaf(const struct match *m, uint32_t number)
{
    return (const struct leaf_found *)m->leaves.data + (number - 1);
}

#endif
