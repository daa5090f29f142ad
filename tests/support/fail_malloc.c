/* fail_malloc.c - the executable's own malloc family over glibc's, counted, and failing on demand.
 * Works for LMDB and the codecs as well; not together with a sanitizer, which has its own. */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "support.h"

/* Or the linker keeps them to the executable, and the shared libraries use glibc's. */
#pragma GCC visibility push(default)

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Atomic uint64_t count, fail_at;
static _Atomic bool fail_once;
static _Atomic int64_t live;

void fail_malloc_after(uint64_t n, bool once)
{
    atomic_store(&fail_at, 0);
    atomic_store(&count, 0);
    atomic_store(&fail_once, once);
    atomic_store(&fail_at, n);
}

uint64_t fail_malloc_count(void)
{
    return atomic_load(&count);
}

int64_t live_allocations(void)
{
    return atomic_load(&live);
}

static bool fails(void)
{
    uint64_t n = atomic_fetch_add(&count, 1) + 1, at = atomic_load(&fail_at);
    if (at == 0 || n < at || (n > at && atomic_load(&fail_once)))
        return false;
    errno = ENOMEM;
    return true;
}

static void *note(void *p)
{
    if (p)
        atomic_fetch_add(&live, 1);
    return p;
}

void *malloc(size_t size)
{
    return fails() ? NULL : note(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : note(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails())
        return NULL;
    void *moved = __libc_realloc(p, size);
    return p ? moved : note(moved);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : note(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : note(__libc_memalign(alignment, size));
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = aligned_alloc(alignment, size);
    return *out ? 0 : ENOMEM;
}

void free(void *p)
{
    if (p)
        atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

#pragma GCC visibility pop
