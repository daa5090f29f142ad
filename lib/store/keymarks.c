/* keymarks.c - see keymarks.h. */
#include "keymarks.h"

#include "base/alloc.h"
#include "base/checksum.h"
#include "record/wire.h"

uint16_t svl__key_mark(svl_slice key)
{
    uint16_t mark = key.len > 0 ? (uint16_t)svl__checksum(key.data, key.len) : 0;
    return mark == 0 && key.len > 0 ? 1 : mark;
}

static uint16_t *make_marks(const struct batch *batch)
{
    uint16_t *marks = svl__malloc(batch->count * sizeof *marks);
    for (uint32_t i = 0; marks && i < batch->count; i++) {
        svl_slice wire = svl__batch_wire(batch, i);
        struct wire_view view;
        if (svl__wire_view(wire.data, wire.len, &view) != SVL_OK) {
            svl__free(marks);
            return NULL;
        }
        marks[i] = svl__key_mark(view.key);
    }
    return marks;
}

const uint16_t *svl__key_marks(struct batch *batch, bool make)
{
    uint16_t *marks = atomic_load_explicit(&batch->key_marks, memory_order_acquire); /* M1 */
    if (marks || !make)
        return marks;
    uint16_t *made = make_marks(batch), *others = NULL;
    /* M1 */
    if (!made || atomic_compare_exchange_strong_explicit(
                     &batch->key_marks, &others, made, memory_order_release, memory_order_acquire))
        return made;
    svl__free(made);
    return others;
}

/* In parts, each compared whole: so the compiler compares many at once. */
bool svl__key_marks_have(const uint16_t *marks, size_t n, uint16_t mark)
{
    enum { PART = 64 };
    size_t at = 0;
    for (; at + PART <= n; at += PART) {
        const uint16_t *part = marks + at;
        uint16_t found = 0;
        for (size_t i = 0; i < PART; i++)
            found = part[i] == mark ? UINT16_MAX : found;
        if (found)
            return true;
    }
    while (at < n && marks[at] != mark)
        at++;
    return at < n;
}
