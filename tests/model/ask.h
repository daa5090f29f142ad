/* ask - a store of the season, the writer's or a reader's, asked in every way, each answer held against the ledger.
 *
 * A snapshot ends somewhere between what was told to be durable before it was taken and what is durable after. So an
 * answer is right if it is all that matches of the ledger up to one such end: none is missing, none comes twice, the
 * order is that of ids, no other is there, and each is as its label says. */
#ifndef TESTS_MODEL_ASK_H
#define TESTS_MODEL_ASK_H

#include "records.h"
#include "support/support.h"

/* Who asks, for messages, with whose chances. */
struct asker {
    const char *who;
    svl_store *store;
    struct rng rng;
};

/* The record under this id is the one that the ledger has, or will have. False: something is wrong elsewhere. */
bool check_record(const struct asker *a, const svl_record *record);
/* What is durable now, as far as anybody was told, with what the store itself says. */
struct horizon durable_for(const struct asker *a);
uint64_t first_kept(const struct asker *a);

/* What svl_cursor_gap() told of a cursor: ids that retention took before it came to them. */
#define GAPS_MAX 64
struct gaps {
    uint64_t first[GAPS_MAX], last[GAPS_MAX];
    unsigned count;
};
/* Asks for it; it has to be gone in truth. */
void gaps_take(const struct asker *a, svl_cursor *cursor, struct gaps *gaps);
bool gaps_hold(const struct gaps *gaps, uint64_t id);

/* One question. */
void ask_query(struct asker *a);
void ask_all(struct asker *a);
void ask_get(struct asker *a);
void ask_verify(struct asker *a);

/* A cursor that follows, with all that it has given. */
struct following {
    svl_query query;
    int pattern; /* -1: none */
    svl_cursor *cursor;
    struct horizon before; /* it began there at the earliest, if it began at the newest */
    uint64_t after;        /* and with this id at the latest */
    uint64_t *ids;
    size_t count, capacity;
    struct gaps gaps;
};
/* Starts one: from an id, from the last few, behind a query backwards, or behind the newest. */
void follow_begin(struct asker *a, struct following *f);
/* Takes what comes in `timeout_ms`; what svl_cursor_next() gave last. */
int follow_take(struct asker *a, struct following *f, int64_t timeout_ms, size_t max);
/* It has seen everything that is durable by now, if `to_the_end`; closes it and checks all. */
void follow_end(struct asker *a, struct following *f, bool to_the_end);

#endif
