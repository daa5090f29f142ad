/* model - records by formula, and a plain list of them that answers queries: slow, obvious, and with no
 * code of the library's in it. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "support.h"

/* One record of the model. Its contents follow from `number` alone. */
struct model_record {
    uint64_t id;
    uint64_t number;
};

struct model {
    struct model_record *records;
    size_t count, capacity;
};

void model_add(struct model *model, uint64_t id, uint64_t number);
void model_free(struct model *model);

/* The record with that number; its slices live until the next call in this thread. */
svl_record model_record(uint64_t number);
/* Asserts that `record` is the one with that number and id. */
void model_assert_record(const svl_record *record, const struct model_record *expected);

/* Asserts that the cursor of `query` gives exactly the model's records that match, in order. */
void model_assert_query(svl_store *store, const struct model *model, const svl_query *query);
/* Whether the record, under that id, meets all conditions of the query but its pattern. */
bool model_matches(const svl_query *query, uint64_t id, const svl_record *record);
/* A query with random conditions. Its slices live until the next call in this thread. */
svl_query model_random_query(struct rng *rng, const struct model *model);

#endif
