/* callback - which of the host's callbacks the calling thread is in.
 *
 * A callback that waits for the pipeline or bus that runs it would wait for itself: the public functions
 * ask here and answer SVL_E_DEADLOCK. A pipeline's owner is its store: the two are one. */
#ifndef SVL_BASE_CALLBACK_H
#define SVL_BASE_CALLBACK_H

#include <stdbool.h>

enum callback_kind { CALLBACK_INGEST = 1, CALLBACK_STORED = 2, CALLBACK_BUS = 3 };

struct callback_frame {
    enum callback_kind kind;
    const void *owner;        /* the svl_store or svl_bus */
    const void *subscription; /* of a STORED or BUS callback */
    const struct callback_frame *outer;
};

/* Around a call of the host's function; `frame` lives on the caller's stack. Frames nest: a callback of
 * one pipeline may pump or use another. */
void svl__callback_enter(struct callback_frame *frame);
void svl__callback_leave(const struct callback_frame *frame);

/* Is this thread in a callback of `owner`, of this kind (0 = any)? */
bool svl__in_callback(const void *owner, int kind);
bool svl__in_callback_of(const void *subscription);

#endif
