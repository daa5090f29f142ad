/* marks.c - slots set, cleared and read. */
#include "marks.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"

#define MAGIC UINT64_C(0x314b52414d4c5653) /* "SVLMARK1" */
#define VERSION 1

struct header {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint8_t boot_id[16];
    uint8_t zeros[32];
};
_Static_assert(sizeof(struct header) == MARK_SLOT_BYTES, "the byte table");

struct slot {
    _Atomic uint32_t kind;
    _Atomic uint32_t alone;
    _Atomic uint64_t subject, first, last;
    uint8_t zeros[32];
};
_Static_assert(sizeof(struct slot) == MARK_SLOT_BYTES, "the byte table");

static struct slot *slot_of(const void *page, uint32_t slot)
{
    return (struct slot *)(uintptr_t)page + 1 + slot;
}

/* Zeros where it is not known. */
static void find_boot_id(uint8_t out[16])
{
    struct error_words words;
    svl__words_keep(&words);
    if (svl__boot_id(out) != SVL_OK)
        svl__words_restore(&words);
}

void svl__marks_make(void *page)
{
    struct header *header = page;
    memset(page, 0, MARK_PAGE_BYTES);
    find_boot_id(header->boot_id);
    header->version = VERSION;
    header->magic = MAGIC;
}

bool svl__marks_are_valid(const void *page, size_t bytes)
{
    static const uint8_t unknown[16];
    const struct header *header = page;
    uint8_t boot_id[16];
    if (bytes < MARK_PAGE_BYTES || header->magic != MAGIC || header->version != VERSION)
        return false;
    find_boot_id(boot_id);
    return memcmp(boot_id, header->boot_id, sizeof boot_id) == 0 &&
           memcmp(boot_id, unknown, sizeof boot_id) != 0;
}

void svl__mark_set(void *page, uint32_t slot, const struct marked *what, uint32_t alone)
{
    struct slot *s = slot_of(page, slot);
    atomic_store_explicit(&s->kind, MARKED_NOTHING, memory_order_relaxed); /* M3 */
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&s->alone, alone, memory_order_relaxed);
    atomic_store_explicit(&s->subject, what->subject, memory_order_relaxed);
    atomic_store_explicit(&s->first, what->first, memory_order_relaxed);
    atomic_store_explicit(&s->last, what->last, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&s->kind, (uint32_t)what->kind, memory_order_relaxed); /* M1 */
    atomic_signal_fence(memory_order_seq_cst);
}

void svl__mark_clear(void *page, uint32_t slot)
{
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&slot_of(page, slot)->kind, MARKED_NOTHING,
                          memory_order_relaxed); /* M3 */
}

bool svl__mark_get(const void *page, uint32_t slot, struct marked *what, uint32_t *alone)
{
    struct slot *s = slot_of(page, slot);
    uint32_t kind = atomic_load_explicit(&s->kind, memory_order_acquire); /* M2 */
    *what = (struct marked){ .kind = (enum marked_kind)kind,
                             .subject = atomic_load_explicit(&s->subject, memory_order_relaxed),
                             .first = atomic_load_explicit(&s->first, memory_order_relaxed),
                             .last = atomic_load_explicit(&s->last, memory_order_relaxed) };
    *alone = atomic_load_explicit(&s->alone, memory_order_relaxed);
    return kind > MARKED_NOTHING && kind <= MARKED_REDRIVEN && what->first <= what->last;
}
