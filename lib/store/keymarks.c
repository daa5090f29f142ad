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

const uint16_t *svl__key_marks(struct batch *batch)
{
    uint16_t *marks = atomic_load_explicit(&batch->key_marks, memory_order_acquire);
    if (marks)
        return marks;
    uint16_t *made = make_marks(batch), *others = NULL;
    /* Release: whoever finds them sees what is in them. Acquire: another was faster. */
    if (!made || atomic_compare_exchange_strong_explicit(
                     &batch->key_marks, &others, made, memory_order_release, memory_order_acquire))
        return made;
    svl__free(made);
    return others;
}

bool svl__key_marks_have(const uint16_t *marks, uint32_t n, uint16_t mark)
{
    bool found = false;
    for (uint32_t i = 0; i < n; i++) /* all of them: so the compiler compares many at once */
        found |= marks[i] == mark;
    return found;
}
