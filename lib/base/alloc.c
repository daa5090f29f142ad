/* alloc.c - the heap, or the host's own, with words for its failure. */
#include "alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "options.h"

static void *heap_allocate(size_t size, void *user)
{
    (void)user;
    return malloc(size);
}

static void *heap_reallocate(void *p, size_t size, void *user)
{
    (void)user;
    return realloc(p, size);
}

static void heap_release(void *p, void *user)
{
    (void)user;
    free(p);
}

/* One for the process, as memory is passed between handles and threads. It is not changed any more once
 * something was allocated, so it is read without a lock. */
static svl_allocator allocator = { .allocate = heap_allocate,
                                   .reallocate = heap_reallocate,
                                   .release = heap_release };
static _Atomic bool is_used;

int svl_allocator_set(const svl_allocator *given)
{
    svl_allocator whole;
    if (!given)
        return svl__fail(SVL_E_INVALID, "svl_allocator is NULL");
    int rc = svl__options_copy(&whole, sizeof whole, given, sizeof whole, "svl_allocator");
    if (rc != SVL_OK)
        return rc;
    if (!whole.allocate || !whole.reallocate || !whole.release)
        return svl__fail(SVL_E_INVALID, "a function of svl_allocator is NULL");
    if (whole.reserved != 0)
        return svl__fail(SVL_E_RESERVED, "svl_allocator.reserved is not zero");
    if (atomic_load_explicit(&is_used, memory_order_acquire))
        return svl__fail(SVL_E_STATE, "svl_allocator_set() comes before everything else");
    allocator = whole;
    return SVL_OK;
}

static void *checked(void *p, size_t size)
{
    if (!p)
        svl__fail(SVL_E_NOMEM, "%zu bytes", size);
    return p;
}

static void mark_used(void)
{
    if (!atomic_load_explicit(&is_used, memory_order_relaxed))
        atomic_store_explicit(&is_used, true, memory_order_release);
}

static void *allocate(size_t size)
{
    mark_used();
    return allocator.allocate(size ? size : 1, allocator.user);
}

void *svl__malloc(size_t size)
{
    return checked(allocate(size), size);
}

void *svl__calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return checked(NULL, SIZE_MAX);
    bool on_heap = allocator.allocate == heap_allocate; /* which often has zeros at hand */
    mark_used();
    void *p = on_heap ? calloc(1, bytes ? bytes : 1) : allocate(bytes);
    if (p && !on_heap)
        memset(p, 0, bytes);
    return checked(p, bytes);
}

void *svl__realloc(void *p, size_t size)
{
    if (!p)
        return svl__malloc(size);
    return checked(allocator.reallocate(p, size ? size : 1, allocator.user), size);
}

void svl__free(void *p)
{
    if (p)
        allocator.release(p, allocator.user);
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

/* What was allocated stands before what is given. */
void *svl__aligned_alloc(size_t alignment, size_t size)
{
    uint8_t *start = svl__malloc(sizeof start + alignment - 1 + size);
    if (!start)
        return NULL;
    uintptr_t from = (uintptr_t)start + sizeof start;
    uint8_t *p = start + (align_up(from, alignment) - (uintptr_t)start);
    memcpy(p - sizeof start, &start, sizeof start);
    return p;
}

void svl__aligned_free(void *p)
{
    void *start;
    if (!p)
        return;
    memcpy(&start, (uint8_t *)p - sizeof start, sizeof start);
    svl__free(start);
}
