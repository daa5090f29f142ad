/* space - memory that is kept for the next use and then overwritten: what a reader decodes into. */
#ifndef SVL_STORE_SPACE_H
#define SVL_STORE_SPACE_H

#include "base/alloc.h"

struct space {
    void *data;
    size_t size;
};

/* At least `size` bytes, their contents lost; NULL without memory, and then the space is empty. */
static inline void *space_take(struct space *space, size_t size)
{
    if (size > space->size || !space->data) {
        svl__free(space->data);
        space->data = svl__malloc(size);
        space->size = space->data ? size : 0;
    }
    return space->data;
}

static inline void space_free(struct space *space)
{
    svl__free(space->data);
    *space = (struct space){ 0 };
}

#endif
