/* round.c - adding to a round, all or nothing. */
#include "round.h"

#include "base/clock.h"
#include "record/wire.h"

void svl__round_begin(struct round *r)
{
    r->items.len = r->copied.len = r->scratch.len = r->waiters.len = 0;
    r->bytes = 0;
    r->has_gap = false;
}

void svl__round_free(struct round *r)
{
    svl__buffer_free(&r->items);
    svl__buffer_free(&r->copied);
    svl__buffer_free(&r->scratch);
    svl__buffer_free(&r->waiters);
}

/* Room for what one ring record may become, so that adding it cannot fail half-way. */
static bool reserve(struct round *r, size_t items, size_t bytes)
{
    bool ok = buffer_reserve(&r->items, items * sizeof(struct feed_item)) &&
              buffer_reserve(&r->copied, items) && buffer_reserve(&r->scratch, bytes) &&
              buffer_reserve(&r->waiters, sizeof(struct waiter));
    r->items.failed = r->copied.failed = r->scratch.failed = r->waiters.failed = false;
    return ok;
}

static void add_item(struct round *r, const uint8_t *wire, uint32_t len, bool copy, bool follows,
                     uint64_t ring_end)
{
    struct feed_item item = { .wire = wire, .len = len, .follows = follows, .ring_end = ring_end };
    uint8_t copied = copy;
    if (copy) {
        item.wire = (const uint8_t *)(uintptr_t)r->scratch.len;
        svl__buffer_append(&r->scratch, wire, len);
    }
    svl__buffer_append(&r->items, &item, sizeof item);
    svl__buffer_append(&r->copied, &copied, 1);
    r->bytes += len;
}

bool svl__round_add_gap(struct round *r, struct gap *told, uint64_t ring_end)
{
    struct gap_record gap;
    uint8_t wire[GAP_WIRE_BYTES_MAX];
    svl__gap_record(told, &gap);
    uint32_t len = svl__wire_size(&gap.record);
    svl__wire_encode(&gap.record, svl__wall_ns(), wire);
    if (!reserve(r, 1, len))
        return false;
    add_item(r, wire, len, true, false, ring_end);
    told->count = 0;
    r->has_gap = true;
    r->gap_item = round_count(r) - 1;
    return true;
}

bool svl__round_add_result(struct round *r, const struct dispatch_result *result,
                           const uint8_t *wire, uint64_t ring_end)
{
    bool follows = false;
    if (!reserve(r, (size_t)result->count + 1, result->record_len + result->emits.len))
        return false;
    if (!result->dropped) {
        add_item(r, result->record, result->record_len, result->record != wire, false, ring_end);
        follows = true;
    }
    for (size_t at = 0; at < result->emits.len;) {
        uint32_t size = svl__wire_length(result->emits.data + at, result->emits.len - at);
        add_item(r, result->emits.data + at, size, true, follows, ring_end);
        follows = true;
        at += size;
    }
    return true;
}

bool svl__round_add(struct round *r, const uint8_t *wire, uint32_t len, uint64_t ring_end)
{
    if (!reserve(r, 1, 0))
        return false;
    add_item(r, wire, len, false, false, ring_end);
    return true;
}

void svl__round_add_waiter(struct round *r, struct slot_tag tag, size_t item)
{
    struct waiter waiter = { tag, item };
    if (tag.number != 0)
        svl__buffer_append(&r->waiters, &waiter, sizeof waiter);
}

/* What was copied has its place now. */
struct feed_item *svl__round_items(struct round *r)
{
    struct feed_item *items = (struct feed_item *)(void *)r->items.data;
    for (size_t i = 0; i < round_count(r); i++) {
        if (r->copied.data[i])
            items[i].wire = r->scratch.data + (uintptr_t)items[i].wire;
        r->copied.data[i] = 0;
    }
    return items;
}

const struct waiter *svl__round_waiters(const struct round *r, size_t *count)
{
    *count = r->waiters.len / sizeof(struct waiter);
    return (const struct waiter *)(const void *)r->waiters.data;
}
