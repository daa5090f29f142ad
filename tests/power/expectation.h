/* expectation - what a run was told, up to a moment of its log: what a store must hold after a power cut then.
 *
 * Records of the stream "input" have numbers from 1, in the order of their submission; contents follow from number and
 * generation. A run that goes on after a crash writes another generation: what was lost does not come back in place of
 * what was written instead. Splits and echoes are made from inputs by handlers, with the same number. */
#ifndef TESTS_POWER_EXPECTATION_H
#define TESTS_POWER_EXPECTATION_H

#include "log.h"
#include "support/support.h"

#define GROUPS_MAX 1024
#define GENERATIONS_MAX 16

/* STREAM_LARGE: inputs of another size; STREAM_PLAIN: those that a block makes smaller. */
enum stream { STREAM_INPUT, STREAM_LARGE, STREAM_PLAIN, STREAM_SPLIT, STREAM_ECHO };

struct expectation {
    uint64_t submitted, acked; /* numbers */
    uint64_t acked_id;         /* of record `acked`; 0: not known */
    size_t groups;
    uint64_t group_end[GROUPS_MAX]; /* last number of each, ascending */
    size_t generations;
    struct {
        uint64_t first, generation;
    } generation[GENERATIONS_MAX];
};

/* Follows the log; ops that are no marks change nothing. */
void expectation_apply(struct expectation *e, const struct op *op);
uint64_t expectation_generation(const struct expectation *e, uint64_t number);
/* A crash may leave the inputs up to `number` and no others: a group's end. */
bool expectation_may_end(const struct expectation *e, uint64_t number);

/* A record and what it points to. */
struct made_record {
    svl_record record;
    svl_attribute attribute;
    char key[40];
    char body[32768];
};
void record_make(struct made_record *out, enum stream stream, uint64_t number, uint64_t generation);
/* False: `record` is none of ours. */
bool record_parse(const svl_record *record, enum stream *stream, uint64_t *number,
                  uint64_t *generation);
bool record_equals(const svl_record *record, const svl_record *expected);

#endif
