/* alloc.c - the heap, with words for its failure. */
#include "alloc.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

static void *checked(void *p, size_t size)
{
    if (!p)
        svl__fail(SVL_E_NOMEM, "%zu bytes", size);
    return p;
}

void *svl__malloc(size_t size)
{
    return checked(malloc(size ? size : 1), size);
}

void *svl__calloc(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *svl__realloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1), size);
}

void svl__free(void *p)
{
    free(p);
}

char *svl__strdup(const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = svl__malloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void *svl__aligned_alloc(size_t alignment, size_t size)
{
    return checked(aligned_alloc(alignment, align_up(size ? size : 1, alignment)), size);
}
