/* tail.c - batches and blocks in memory, in id order.
 *
 * Two arrays used as queues: filled at the end, emptied at the front. A trickle of records makes a batch
 * for each flush; so that a reader's snapshot stays short, a batch that is small and that nobody holds
 * takes in the next one (L2). */
#include "tail.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

/* Up to this many wire bytes small batches are merged. */
#define MERGE_BYTES (UINT64_C(256) << 10)

/* A batch's memory is worth keeping from this size on. */
#define SPARE_BYTES_MIN (UINT64_C(128) << 10)

struct batch *svl__batch_create(void)
{
    struct batch *batch = svl__calloc(1, sizeof *batch);
    if (batch) {
        atomic_init(&batch->references, 1);
        atomic_init(&batch->key_marks, NULL);
    }
    return batch;
}

/* Nobody else holds the batch (keymarks.h: M2). */
static void drop_key_marks(struct batch *batch)
{
    svl__free(atomic_load_explicit(&batch->key_marks, memory_order_relaxed));
    atomic_store_explicit(&batch->key_marks, NULL, memory_order_relaxed);
}

struct batch *svl__batch_hold(struct batch *batch)
{
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
    return batch;
}

void svl__batch_release(struct batch *batch)
{
    if (!batch || atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1)
        return;
    svl__buffer_free(&batch->wire);
    svl__buffer_free(&batch->offsets);
    svl__buffer_free(&batch->runs);
    svl__buffer_free(&batch->ops);
    svl__values_free(&batch->values);
    drop_key_marks(batch);
    svl__free(batch);
}

/* As svl__batch_create() made it, but for the memory of its records. */
static void clear_batch(struct batch *batch)
{
    struct buffer wire = batch->wire, offsets = batch->offsets, runs = batch->runs;
    svl__buffer_free(&batch->ops);
    svl__values_free(&batch->values);
    drop_key_marks(batch);
    *batch = (struct batch){ .wire = wire, .offsets = offsets, .runs = runs };
    batch->wire.len = batch->offsets.len = batch->runs.len = 0;
    atomic_init(&batch->references, 1);
    atomic_init(&batch->key_marks, NULL);
}

uint64_t svl__batch_last_id(const struct batch *batch)
{
    return batch->first_id + batch->count - 1;
}

size_t svl__batch_memory(const struct batch *batch)
{
    return sizeof *batch + batch->wire.capacity + batch->offsets.capacity + batch->runs.capacity +
           batch->ops.capacity;
}

bool svl__batch_reserve(struct batch *batch, size_t count, size_t bytes)
{
    /* The buffers' failure sticks; here it only means that this feed does not fit. */
    bool ok = buffer_reserve(&batch->wire, bytes) &&
              buffer_reserve(&batch->offsets, count * sizeof(uint32_t)) &&
              buffer_reserve(&batch->runs, sizeof(struct ingest_run));
    batch->wire.failed = false;
    batch->offsets.failed = false;
    batch->runs.failed = false;
    return ok;
}

void svl__batch_append(struct batch *batch, const uint8_t *wire, uint32_t len)
{
    uint32_t offset = (uint32_t)batch->wire.len;
    svl__buffer_append(&batch->offsets, &offset, sizeof offset);
    svl__buffer_append(&batch->wire, wire, len);
    batch->count++;
}

svl_slice svl__batch_wire(const struct batch *batch, uint32_t i)
{
    const uint32_t *offsets = (const uint32_t *)(const void *)batch->offsets.data;
    size_t end = i + 1 < batch->count ? offsets[i + 1] : batch->wire.len;
    return (svl_slice){ batch->wire.data + offsets[i], end - offsets[i] };
}

int64_t svl__batch_ingest_ns(const struct batch *batch, uint32_t i)
{
    const struct ingest_run *runs = (const struct ingest_run *)(const void *)batch->runs.data;
    size_t low = 0, high = batch->runs.len / sizeof *runs - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (i < runs[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    return runs[low].ingest_ns;
}

bool svl__batch_set_ingest(struct batch *batch, int64_t ingest_ns)
{
    struct ingest_run run = { .end = batch->count, .ingest_ns = ingest_ns };
    batch->runs.len = 0;
    svl__buffer_append(&batch->runs, &run, sizeof run);
    bool ok = !batch->runs.failed;
    batch->runs.failed = false;
    return ok;
}

struct batch *svl__tail_take_spare(struct tail *tail)
{
    struct batch *batch = tail->spares;
    if (batch) {
        tail->spares = batch->next;
        tail->spare_bytes -= svl__batch_memory(batch);
        batch->next = NULL;
    }
    return batch;
}

void svl__tail_drop_spares(struct tail *tail)
{
    struct batch *batch;
    while ((batch = svl__tail_take_spare(tail)))
        svl__batch_release(batch);
}

void svl__tail_free(struct tail *tail)
{
    svl__tail_drop_spares(tail);
    for (size_t i = 0; i < tail->batch_count; i++)
        svl__batch_release(tail->batches[tail->batch_first + i]);
    for (size_t i = 0; i < tail->block_count + tail->ahead_count; i++)
        svl__block_release(tail->blocks[tail->block_first + i]);
    svl__free(tail->batches);
    svl__free(tail->blocks);
    *tail = (struct tail){ 0 };
}

/* Room for `n` more pointers at the end of a queue, by moving it to the front or by growing it. */
static bool make_room(void ***array, size_t *first, size_t count, size_t *capacity, size_t n)
{
    if (*first + count + n <= *capacity)
        return true;
    if (*first > *capacity / 2 && count + n <= *capacity) {
        memmove(*array, *array + *first, count * sizeof **array);
        *first = 0;
        return true;
    }
    size_t grown = *capacity ? *capacity * 2 : 64;
    while (grown < count + n)
        grown *= 2;
    void **moved = svl__malloc(grown * sizeof *moved);
    if (!moved)
        return false;
    if (count > 0)
        memcpy(moved, *array + *first, count * sizeof *moved);
    svl__free(*array);
    *array = moved;
    *first = 0;
    *capacity = grown;
    return true;
}

int svl__tail_reserve_batches(struct tail *tail, size_t n)
{
    return make_room((void ***)(void *)&tail->batches, &tail->batch_first, tail->batch_count,
                     &tail->batch_capacity, n)
               ? SVL_OK
               : SVL_E_NOMEM;
}

/* Appends the records of `from` to `to`; false (and `to` as it was) without memory. */
static bool merge(struct batch *to, const struct batch *from)
{
    size_t runs = from->runs.len / sizeof(struct ingest_run);
    drop_key_marks(to); /* they would not be of all its records */
    if (!svl__batch_reserve(to, from->count, from->wire.len) ||
        !buffer_reserve(&to->runs, from->runs.len)) {
        to->runs.failed = false;
        return false;
    }
    for (size_t i = 0; i < runs; i++) {
        struct ingest_run run;
        memcpy(&run, from->runs.data + i * sizeof run, sizeof run);
        run.end += to->count;
        svl__buffer_append(&to->runs, &run, sizeof run);
    }
    const uint32_t *offsets = (const uint32_t *)(const void *)from->offsets.data;
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t offset = offsets[i] + (uint32_t)to->wire.len;
        svl__buffer_append(&to->offsets, &offset, sizeof offset);
    }
    svl__buffer_append(&to->wire, from->wire.data, from->wire.len);
    to->count += from->count;
    to->ends_block = from->ends_block;
    return true;
}

/* Fresh memory costs more than what a batch's records are copied for: a page fault each 4 KiB. */
static void let_go(struct tail *tail, struct batch *batch)
{
    size_t bytes = svl__batch_memory(batch);
    if (bytes < SPARE_BYTES_MIN || tail->spare_bytes + bytes > SPARE_BYTES_MAX ||
        atomic_load_explicit(&batch->references, memory_order_acquire) != 1) {
        svl__batch_release(batch);
        return;
    }
    clear_batch(batch);
    batch->next = tail->spares;
    tail->spares = batch;
    tail->spare_bytes += svl__batch_memory(batch);
}

static void drop_encoded_batches(struct tail *tail)
{
    while (tail->batch_count > 0) {
        struct batch *batch = tail->batches[tail->batch_first];
        if (svl__batch_last_id(batch) > tail->encoded_id)
            break;
        tail->bytes -= svl__batch_memory(batch);
        tail->batch_first++;
        tail->batch_count--;
        let_go(tail, batch);
    }
}

static uint64_t last_id_of(const struct block *block)
{
    return block->zone.first_id + block->zone.count - 1;
}

static size_t block_memory(const struct block *block)
{
    return block->len + (block->keys ? svl__key_set_bytes(block->keys) : 0);
}

/* Blocks ahead whose last record is durable by now are ahead no more. */
static void show_blocks(struct tail *tail)
{
    while (tail->ahead_count > 0) {
        const struct block *block = tail->blocks[tail->block_first + tail->block_count];
        if (last_id_of(block) > tail->durable_id)
            break;
        tail->block_count++;
        tail->ahead_count--;
        tail->encoded_id = last_id_of(block);
        tail->block_bytes += block->len;
        tail->wire_bytes -= block->zone.raw_bytes;
    }
    drop_encoded_batches(tail);
}

int svl__tail_add_batch(struct tail *tail, struct batch *batch)
{
    if (svl__tail_reserve_batches(tail, 1) != SVL_OK)
        return SVL_E_NOMEM;
    tail->durable_id = svl__batch_last_id(batch);
    tail->wire_bytes += batch->wire.len;
    show_blocks(tail);
    if (tail->encoded_id >= tail->durable_id) {
        let_go(tail, batch);
        return SVL_OK;
    }
    struct batch *last =
        tail->batch_count ? tail->batches[tail->batch_first + tail->batch_count - 1] : NULL;
    if (last && !last->ends_block && last->wire.len + batch->wire.len <= MERGE_BYTES &&
        atomic_load_explicit(&last->references, memory_order_acquire) == 1) {
        size_t before = svl__batch_memory(last);
        bool merged = merge(last, batch);
        tail->bytes += svl__batch_memory(last) - before;
        if (merged) {
            svl__batch_release(batch);
            return SVL_OK;
        }
    }
    tail->batches[tail->batch_first + tail->batch_count++] = batch;
    tail->bytes += svl__batch_memory(batch);
    return SVL_OK;
}

int svl__tail_add_block(struct tail *tail, struct block *block)
{
    size_t count = tail->block_count + tail->ahead_count;
    if (!make_room((void ***)(void *)&tail->blocks, &tail->block_first, count,
                   &tail->block_capacity, 1))
        return SVL_E_NOMEM;
    tail->blocks[tail->block_first + count] = block;
    tail->ahead_count++;
    tail->bytes += block_memory(block);
    show_blocks(tail);
    return SVL_OK;
}

uint64_t svl__tail_last_encoded(const struct tail *tail)
{
    size_t count = tail->block_count + tail->ahead_count;
    return tail->ahead_count > 0 ? last_id_of(tail->blocks[tail->block_first + count - 1])
                                 : tail->encoded_id;
}

size_t svl__tail_blocks_of(const struct tail *tail, const struct batch *batch, size_t max,
                           struct block **out)
{
    size_t n = 0;
    uint64_t next_id = batch->first_id, last_id = svl__batch_last_id(batch);
    for (size_t i = 0; i < tail->ahead_count && next_id <= last_id; i++) {
        struct block *block = tail->blocks[tail->block_first + tail->block_count + i];
        if (block->zone.first_id < batch->first_id)
            continue;
        if (block->zone.first_id != next_id || n == max)
            return 0;
        out[n++] = block;
        next_id = last_id_of(block) + 1;
    }
    return next_id == last_id + 1 ? n : 0;
}

uint64_t svl__tail_last_within(const struct tail *tail, uint64_t bytes)
{
    uint64_t last_id = tail->encoded_id, sum = 0;
    for (size_t i = 0; i < tail->block_count && sum < bytes; i++) {
        const struct block *block = tail->blocks[tail->block_first + i];
        last_id = last_id_of(block);
        sum += block->len;
    }
    return last_id;
}

void svl__tail_drop_blocks(struct tail *tail, uint64_t id)
{
    while (tail->block_count > 0) {
        struct block *block = tail->blocks[tail->block_first];
        if (last_id_of(block) > id)
            break;
        tail->bytes -= block_memory(block);
        tail->block_bytes -= block->len;
        tail->block_first++;
        tail->block_count--;
        svl__block_release(block);
    }
}

/* Wire bytes of the records of batch that lie in (from, to]. */
static size_t wire_between(const struct batch *batch, uint64_t from, uint64_t to)
{
    const uint32_t *offsets = (const uint32_t *)(const void *)batch->offsets.data;
    uint64_t last_id = svl__batch_last_id(batch);
    uint64_t first = from + 1 > batch->first_id ? from + 1 : batch->first_id;
    if (first > to || first > last_id)
        return 0;
    size_t start = offsets[first - batch->first_id];
    return (to < last_id ? offsets[to + 1 - batch->first_id] : batch->wire.len) - start;
}

void svl__tail_pass(struct tail *tail, uint64_t id)
{
    svl__tail_drop_blocks(tail, id);
    if (id > tail->encoded_id) {
        for (size_t i = 0; i < tail->batch_count; i++)
            tail->wire_bytes -=
                wire_between(tail->batches[tail->batch_first + i], tail->encoded_id, id);
        tail->encoded_id = id;
        drop_encoded_batches(tail);
        svl__tail_drop_spares(tail); /* nobody feeds here */
    }
    if (id > tail->durable_id)
        tail->durable_id = id;
}

int svl__tail_hold_batches(const struct tail *tail, uint64_t id_min, uint64_t id_max,
                           struct batch ***out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (tail->batch_count == 0) /* no array yet, perhaps */
        return SVL_OK;
    if (id_min <= tail->encoded_id)
        id_min = tail->encoded_id + 1;
    struct batch **batches = tail->batches + tail->batch_first;
    size_t first = 0, last = tail->batch_count;
    while (first < last && svl__batch_last_id(batches[first]) < id_min)
        first++;
    while (last > first && batches[last - 1]->first_id > id_max)
        last--;
    if (first == last)
        return SVL_OK;
    struct batch **held = svl__malloc((last - first) * sizeof *held);
    if (!held)
        return SVL_E_NOMEM;
    for (size_t i = first; i < last; i++)
        held[i - first] = svl__batch_hold(batches[i]);
    *out = held;
    *n = last - first;
    return SVL_OK;
}

int svl__tail_hold_blocks(const struct tail *tail, uint64_t id_min, uint64_t id_max,
                          struct block ***out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (tail->block_count == 0) /* no array yet, perhaps */
        return SVL_OK;
    struct block **blocks = tail->blocks + tail->block_first;
    size_t first = 0, last = tail->block_count;
    while (first < last && last_id_of(blocks[first]) < id_min)
        first++;
    while (last > first && blocks[last - 1]->zone.first_id > id_max)
        last--;
    if (first == last)
        return SVL_OK;
    struct block **held = svl__malloc((last - first) * sizeof *held);
    if (!held)
        return SVL_E_NOMEM;
    for (size_t i = first; i < last; i++)
        held[i - first] = svl__block_hold(blocks[i]);
    *out = held;
    *n = last - first;
    return SVL_OK;
}
