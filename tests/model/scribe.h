/* scribe - who follows the whole log and writes down what is stored under which id, and holds it against what was
 * published: of each publisher every record and part, once, in its order, none besides.
 *
 * What everybody else sees is then held against the ledger, so between them nothing is taken on trust: what the scribe
 * is given wrongly breaks a publisher's order, what others are given wrongly is not what the scribe has. */
#ifndef TESTS_MODEL_SCRIBE_H
#define TESTS_MODEL_SCRIBE_H

#include <pthread.h>

#include "ledger.h"

struct scribe {
    svl_store *store;
    svl_pipeline *pipeline;
    uint64_t last[PUBLISHERS]; /* label */
    uint64_t last_id[PUBLISHERS];
    int64_t ingest_ns;
    uint64_t
        severe; /* part 0 of published records that the second ingest handler saw, in this life */
    uint64_t letters, resolved, emitted[SUBSCRIPTIONS]; /* in this life */
    _Atomic uint64_t numbers[PUBLISHERS];               /* it has come to */
};

/* A thread, for a life of the pipeline: until the store has ended, and everything was seen. */
void *scribe_run(void *scribe);

#endif
