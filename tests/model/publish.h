/* publish - a publisher's thread: its numbers, one after the other, by every call that publishes. */
#ifndef TESTS_MODEL_PUBLISH_H
#define TESTS_MODEL_PUBLISH_H

#include <pthread.h>

#include "ask.h"
#include "scribe.h"

struct publisher {
    unsigned number;
    svl_pipeline *pipeline;
    const struct scribe *scribe;
    const _Atomic bool *ends; /* of this life of the pipeline */
    struct rng rng;
    uint64_t published, refused, appended; /* as the calls answered, in this life */
};

void *publisher_run(void *publisher);

#endif
