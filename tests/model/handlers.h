/* handlers - the functions of the model's pipeline, which fail at random, and what has to become of every record in
 * them: an ingest handler sees each published record once, as it was published; a subscription settles each record that
 * it wants once, in order, as done or given up.
 *
 * Which records a subscription was shown, and what was said of them, is in ledger->fates. */
#ifndef TESTS_MODEL_HANDLERS_H
#define TESTS_MODEL_HANDLERS_H

#include <pthread.h>

#include "ask.h"

#define CONSUMERS 2

/* What the ingest handlers have done in this life of the pipeline. */
struct ingested {
    _Atomic uint64_t calls, dropped, emitted, failures;
    _Atomic uint64_t severe; /* calls of the second one, whose filter is the first pattern */
};

struct model_subscription {
    unsigned number;
    pthread_mutex_t
        lock; /* of all below; held from a batch's acknowledgement until that is noted */
    struct rng rng;
    uint64_t next;       /* all that it wants before this id is settled */
    uint64_t first_kept; /* of the store, at least */
    uint64_t done;       /* in this life */
    uint64_t emitted;
    bool mended;    /* it does not fail any more */
    bool overtaken; /* by retention */
    svl_store *store;
    svl_subscription *handle;
};

/* Registers the ingest handlers; opened, not started. */
void ingest_register(svl_pipeline *pipeline, struct ingested *ingested);
/* Registers a subscription: the first two are called, the last one is polled. */
void subscription_register(svl_pipeline *pipeline, struct model_subscription *s);
svl_consumer *consumer_register(svl_pipeline *pipeline, struct model_subscription *s);
/* Polls once. False: the pipeline has stopped. */
bool consumer_turn(svl_consumer *consumer, struct model_subscription *s);
/* Everything that it wants up to `id` is settled, and for each one that is done there is what it caused. */
void subscription_check(const struct model_subscription *s, uint64_t id, uint64_t first_kept);

#endif
