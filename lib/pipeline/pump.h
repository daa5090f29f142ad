/* pump - the pipeline's work on the host's threads, with SVL_THREADLESS.
 *
 *   P1  one thread at a time pumps; what is the pumper's alone (drain, alarm) passes from one to the next by
 *       `is_taken`.
 *   P2  between pumps the descriptor, once the host has it, is readable when svl_pump() would not wait; and for
 *       nothing only after another thread has worked for the store.
 *
 * Without SVL_THREADLESS taking and giving do nothing. */
#ifndef SVL_PIPELINE_PUMP_H
#define SVL_PIPELINE_PUMP_H

#include "alarm.h"

struct svl_pipeline;

struct pump {
    struct alarm alarm;
    _Atomic bool is_taken;    /* P1: acquire to take it, release to give it back */
    _Atomic bool is_woken;    /* svl_wake() has not ended a wait yet */
    _Atomic bool has_watcher; /* the host has the descriptor */
};

/* What the parts call when there may be work: a `ring_wake_fn`, and a `due`. */
bool svl__pump_wake(void *pipeline);
void svl__pump_due(void *pipeline);

/* SVL_E_BUSY: another thread has it. */
int svl__pump_take(struct svl_pipeline *pipeline);
void svl__pump_give(struct svl_pipeline *pipeline);

/* Whoever has it: a step towards all that was published being fed; without one to take, sleeps until there is one
 * or `deadline_ns`. No stored handler is called. */
void svl__pump_feed(struct svl_pipeline *pipeline, int64_t deadline_ns);

#endif
