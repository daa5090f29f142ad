/* alloc - the one door to the heap: every allocation of the library passes here. */
#ifndef SVL_BASE_ALLOC_H
#define SVL_BASE_ALLOC_H

#include <stddef.h>

/* As their namesakes; NULL without memory, and then svl_last_error() is set to SVL_E_NOMEM's words.
 * A size of 0 gives a pointer that may be freed. */
void *svl__malloc(size_t size);
void *svl__calloc(size_t count, size_t size);
void *svl__realloc(void *p, size_t size);
void svl__free(void *p);

/* Copies a string; NULL for NULL. */
char *svl__strdup(const char *text);

/* Memory that starts at a multiple of `alignment` (a power of two, of at least a pointer's). */
void *svl__aligned_alloc(size_t alignment, size_t size);
void svl__aligned_free(void *p);

#endif
