/* callback.c - a stack of callback frames for each thread. */
#include "callback.h"

#include <stddef.h>

static _Thread_local const struct callback_frame *innermost;

void svl__callback_enter(struct callback_frame *frame)
{
    frame->outer = innermost;
    innermost = frame;
}

void svl__callback_leave(const struct callback_frame *frame)
{
    innermost = frame->outer;
}

bool svl__in_callback(const void *owner, int kind)
{
    for (const struct callback_frame *f = innermost; f; f = f->outer)
        if (f->owner == owner && (kind == 0 || (int)f->kind == kind))
            return true;
    return false;
}

bool svl__in_callback_of(const void *subscription)
{
    for (const struct callback_frame *f = innermost; f; f = f->outer)
        if (f->subscription == subscription)
            return true;
    return false;
}
