/* The tail: every durable record that is in no segment is in a block or a batch, once, in order; what
 * somebody holds does not change. */
#include "store/tail.h"

#include "base/alloc.h"
#include "blocks.h"
#include "support/support.h"

#define RECORDS 4000
#define HELD_MAX 8

static struct records records; /* of ids 1 to RECORDS */
static uint64_t fed, encoded, committed;
static struct tail tail;

static int start(void **state)
{
    (void)state;
    records = records_any(1, RECORDS, 3000);
    fed = encoded = committed = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    svl__tail_free(&tail);
    records_free(&records);
    return 0;
}

static svl_slice wire_of(uint64_t id)
{
    return (svl_slice){ records.wires[id - 1], svl__wire_size(&records.list[id - 1]) };
}

static int64_t ingest_of(uint64_t batch_first_id)
{
    return (int64_t)batch_first_id * 10;
}

/* Which batch a record came with: its first id. */
static uint64_t came_with[RECORDS + 1];

/* The next `n` records as a batch. */
static struct batch *next_batch(uint32_t n)
{
    struct batch *batch = svl__tail_take_spare(&tail);
    size_t bytes = 0;
    if (!batch)
        batch = svl__batch_create();
    assert_non_null(batch);
    batch->first_id = fed + 1;
    for (uint32_t i = 1; i <= n; i++)
        bytes += wire_of(fed + i).len;
    assert_true(svl__batch_reserve(batch, n, bytes));
    for (uint32_t i = 1; i <= n; i++) {
        svl_slice wire = wire_of(fed + i);
        svl__batch_append(batch, wire.data, (uint32_t)wire.len);
        came_with[fed + i] = batch->first_id;
    }
    assert_true(svl__batch_set_ingest(batch, ingest_of(batch->first_id)));
    fed += n;
    assert_true(svl__batch_last_id(batch) == fed);
    return batch;
}

static void add_batch(uint32_t n)
{
    assert_ok(svl__tail_add_batch(&tail, next_batch(n)));
}

/* The next `n` records as a block, whether they are durable or not. */
static void add_block_ahead(uint32_t n)
{
    struct block_builder *builder = builder_of(SVL_CODEC_NONE, BLOCK_RAW_MAX);
    struct block *block;
    for (uint32_t i = 0; i < n; i++)
        assert_ok(add_record(builder, &records, (uint32_t)encoded + i));
    assert_ok(svl__block_builder_finish(builder, &block));
    svl__block_builder_destroy(builder);
    assert_ok(svl__tail_add_block(&tail, block));
    encoded += n;
}

/* The next `n` durable records as a block. */
static void add_block(uint32_t n)
{
    add_block_ahead(n);
    assert_true(tail.encoded_id == encoded);
}

/* What the first block holds, if there is one, is committed. */
static void commit_block(void)
{
    struct block **held;
    size_t n;
    assert_ok(svl__tail_hold_blocks(&tail, 1, UINT64_MAX, &held, &n));
    if (n > 0)
        committed += held[0]->zone.count;
    for (size_t i = 0; i < n; i++)
        svl__block_release(held[i]);
    svl__free(held);
    svl__tail_drop_blocks(&tail, committed);
}

/* --- what the tail says --- */

static void assert_batch(const struct batch *batch, uint64_t from)
{
    for (uint64_t id = from; id <= svl__batch_last_id(batch); id++) {
        uint32_t i = (uint32_t)(id - batch->first_id);
        assert_slice(svl__batch_wire(batch, i), wire_of(id));
        assert_true(svl__batch_ingest_ns(batch, i) == ingest_of(came_with[id]));
    }
}

/* L1, and the sums. */
static void assert_whole(void)
{
    struct block **blocks;
    struct batch **batches;
    size_t n;
    uint64_t next = committed + 1, memory = 0, block_bytes = 0, wire_bytes = 0;
    assert_ok(svl__tail_hold_blocks(&tail, 1, UINT64_MAX, &blocks, &n));
    for (size_t i = 0; i < n; i++) {
        assert_true(blocks[i]->zone.first_id == next);
        next += blocks[i]->zone.count;
        block_bytes += blocks[i]->len;
        memory += blocks[i]->len + (blocks[i]->keys ? svl__key_set_bytes(blocks[i]->keys) : 0);
        svl__block_release(blocks[i]);
    }
    svl__free(blocks);
    assert_true(next == encoded + 1 && tail.encoded_id == encoded);
    assert_ok(svl__tail_hold_batches(&tail, 1, UINT64_MAX, &batches, &n));
    for (size_t i = 0; i < n; i++) {
        /* The first one may reach back into the last block. */
        assert_true(i == 0 ? batches[i]->first_id <= next : batches[i]->first_id == next);
        assert_true(svl__batch_last_id(batches[i]) >= next);
        assert_batch(batches[i], next);
        next = svl__batch_last_id(batches[i]) + 1;
        memory += svl__batch_memory(batches[i]);
        svl__batch_release(batches[i]);
    }
    svl__free(batches);
    assert_true(next == fed + 1 && tail.durable_id == fed);
    for (uint64_t id = encoded + 1; id <= fed; id++)
        wire_bytes += wire_of(id).len;
    assert_true(tail.bytes == memory && tail.block_bytes == block_bytes);
    assert_true(tail.wire_bytes == wire_bytes);
}

static void assert_batch_range(uint64_t id_min, uint64_t id_max)
{
    struct batch **all, **held;
    size_t n, count, at = 0;
    uint64_t from = id_min > encoded ? id_min : encoded + 1;
    assert_ok(svl__tail_hold_batches(&tail, 1, UINT64_MAX, &all, &n));
    assert_ok(svl__tail_hold_batches(&tail, id_min, id_max, &held, &count));
    for (size_t i = 0; i < n; i++) {
        bool reaches = all[i]->first_id <= id_max && svl__batch_last_id(all[i]) >= from;
        if (reaches && at < count)
            assert_ptr_equal(held[at], all[i]);
        at += reaches;
        svl__batch_release(all[i]);
    }
    assert_int_equal(at, count);
    for (size_t i = 0; i < count; i++)
        svl__batch_release(held[i]);
    svl__free(all);
    svl__free(held);
}

static void assert_block_range(uint64_t id_min, uint64_t id_max)
{
    struct block **all, **held;
    size_t n, count, at = 0;
    assert_ok(svl__tail_hold_blocks(&tail, 1, UINT64_MAX, &all, &n));
    assert_ok(svl__tail_hold_blocks(&tail, id_min, id_max, &held, &count));
    for (size_t i = 0; i < n; i++) {
        const struct zone *z = &all[i]->zone;
        bool reaches = z->first_id <= id_max && z->first_id + z->count > id_min;
        if (reaches && at < count)
            assert_ptr_equal(held[at], all[i]);
        at += reaches;
        svl__block_release(all[i]);
    }
    assert_int_equal(at, count);
    for (size_t i = 0; i < count; i++)
        svl__block_release(held[i]);
    svl__free(all);
    svl__free(held);
}

/* --- L4: blocks ahead --- */

static size_t blocks_shown(void)
{
    struct block **held;
    size_t n;
    assert_ok(svl__tail_hold_blocks(&tail, 1, UINT64_MAX, &held, &n));
    for (size_t i = 0; i < n; i++)
        svl__block_release(held[i]);
    svl__free(held);
    return n;
}

static void test_blocks_when_ahead_then_shown_with_the_batch_that_ends_them(void **state)
{
    (void)state;
    struct block *of[2];
    add_batch(10);
    struct batch *second = next_batch(20), *third = next_batch(30);
    add_block_ahead(30);
    add_block_ahead(12);
    add_block_ahead(18);
    assert_true(tail.encoded_id == 0 && svl__tail_last_encoded(&tail) == 60);
    assert_true(blocks_shown() == 0);
    assert_int_equal(svl__tail_blocks_of(&tail, second, 2, of), 0);
    assert_int_equal(svl__tail_blocks_of(&tail, third, 1, of), 0);
    assert_int_equal(svl__tail_blocks_of(&tail, third, 2, of), 2);
    assert_true(of[0]->zone.first_id == 31 && of[1]->zone.first_id == 43);
    assert_ok(svl__tail_add_batch(&tail, second));
    assert_true(tail.encoded_id == 30 && blocks_shown() == 1);
    assert_ok(svl__tail_add_batch(&tail, third));
    assert_true(blocks_shown() == 3 && tail.ahead_count == 0);
    assert_whole();
}

/* One that ends within a batch leaves the rest of that. */
static void test_block_when_ahead_and_ends_within_a_batch_then_the_rest_stays(void **state)
{
    (void)state;
    struct block *of[1];
    struct batch *batch = next_batch(20);
    add_block_ahead(15);
    assert_int_equal(svl__tail_blocks_of(&tail, batch, 1, of), 0);
    assert_ok(svl__tail_add_batch(&tail, batch));
    assert_true(blocks_shown() == 1);
    assert_whole();
}

/* --- L2: what a reader holds --- */

struct held {
    struct batch *batch;
    uint64_t first_id;
    uint32_t count;
};

static void hold_last(struct held *h)
{
    struct batch **batches;
    size_t n;
    assert_ok(svl__tail_hold_batches(&tail, fed, fed, &batches, &n));
    *h = (struct held){ .batch = NULL };
    if (n > 0) {
        assert_int_equal(n, 1);
        *h = (struct held){ batches[0], batches[0]->first_id, batches[0]->count };
    }
    svl__free(batches);
}

static void let_go(struct held *h)
{
    if (!h->batch)
        return;
    assert_true(h->batch->first_id == h->first_id && h->batch->count == h->count);
    assert_batch(h->batch, h->first_id);
    svl__batch_release(h->batch);
    h->batch = NULL;
}

static void test_tail_when_anything_happens_to_it_then_whole_and_held_batches_stay(void **state)
{
    (void)state;
    struct held held[HELD_MAX] = { { .batch = NULL } };
    while (committed < RECORDS) {
        uint64_t left = RECORDS - fed, unencoded = fed - encoded;
        struct held *h = &held[chance(HELD_MAX)];
        switch (chance(6)) {
        case 0:
        case 1:
            if (left > 0)
                add_batch(1 + (uint32_t)chance(left < 60 ? left : chance(3) ? 3 : 60));
            break;
        case 2:
            if (unencoded > 40 || (unencoded > 0 && left == 0))
                add_block(1 + (uint32_t)chance(unencoded < 80 ? unencoded : 80));
            break;
        case 3:
            if (chance(3) == 0)
                commit_block();
            break;
        case 4:
            let_go(h);
            hold_last(h);
            break;
        default:
            let_go(h);
        }
        assert_whole();
        uint64_t id = 1 + chance(RECORDS);
        assert_batch_range(id, id + chance(200));
        assert_block_range(id, id + chance(200));
    }
    for (size_t i = 0; i < HELD_MAX; i++)
        let_go(&held[i]);
    assert_true(tail.bytes == 0 && tail.wire_bytes == 0 && tail.block_bytes == 0);
}

static void test_batches_when_small_and_not_held_then_merged(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        add_batch(1);
    assert_int_equal(tail.batch_count, 1);
    struct held h;
    hold_last(&h);
    assert_int_equal(h.count, 50);
    add_batch(1); /* not into the one that is held */
    assert_int_equal(tail.batch_count, 2);
    let_go(&h);
    add_batch(1);
    assert_int_equal(tail.batch_count, 2);
    assert_whole();
}

static void test_batches_when_large_then_not_merged_for_ever(void **state)
{
    (void)state;
    while (fed < RECORDS)
        add_batch(10);
    assert_in_range(tail.batch_count, 2, RECORDS / 20);
    assert_whole();
}

static void test_batch_when_encoded_and_not_held_then_its_memory_serves_the_next(void **state)
{
    (void)state;
    struct held h;
    for (int i = 0; i < 6; i++)
        add_batch(650); /* too large to be merged, whatever the seed */
    assert_int_equal(tail.batch_count, 6);
    size_t bytes = svl__batch_memory(tail.batches[tail.batch_first]);
    hold_last(&h);
    add_block(650 * 6);
    assert_int_equal(tail.batch_count, 0);
    assert_in_range(tail.spare_bytes, 5 * bytes / 2, SPARE_BYTES_MAX); /* five of them */
    struct batch *batch = svl__tail_take_spare(&tail);
    assert_non_null(batch);
    assert_true(batch != h.batch && batch->count == 0 && batch->wire.len == 0 && !batch->next);
    assert_true(batch->wire.capacity > 0 && svl__batch_memory(batch) > batch->wire.capacity);
    svl__batch_release(batch);
    svl__tail_drop_spares(&tail);
    assert_true(tail.spare_bytes == 0);
    assert_null(svl__tail_take_spare(&tail));
    let_go(&h);
}

static void test_tail_when_freed_then_what_is_held_lives_on(void **state)
{
    (void)state;
    struct held h;
    struct block **blocks;
    size_t n;
    add_batch(100);
    add_block(50);
    hold_last(&h);
    assert_ok(svl__tail_hold_blocks(&tail, 1, 1, &blocks, &n));
    assert_int_equal(n, 1);
    svl__tail_free(&tail);
    assert_true(tail.batch_count == 0 && tail.block_count == 0 && tail.bytes == 0);
    records.count -= RECORDS - 50;
    assert_holds(blocks[0], &records);
    records.count += RECORDS - 50;
    assert_non_null(h.batch);
    let_go(&h);
    svl__block_release(blocks[0]);
    svl__free(blocks);
    svl__batch_release(NULL);
}

/* Under UBSan: no arithmetic on arrays that were never made. */
static void test_tail_when_nothing_was_ever_in_it_then_nothing_is_held(void **state)
{
    (void)state;
    struct batch **batches = (struct batch **)(void *)1;
    struct block **blocks = (struct block **)(void *)1;
    size_t n = 1;
    assert_ok(svl__tail_hold_batches(&tail, 1, UINT64_MAX, &batches, &n));
    assert_true(batches == NULL && n == 0);
    n = 1;
    assert_ok(svl__tail_hold_blocks(&tail, 1, UINT64_MAX, &blocks, &n));
    assert_true(blocks == NULL && n == 0);
}

int main(void)
{
    chance_start();
    blocks_unused();
#define TAIL_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
    const struct CMUnitTest tests[] = {
        TAIL_TEST(test_blocks_when_ahead_then_shown_with_the_batch_that_ends_them),
        TAIL_TEST(test_block_when_ahead_and_ends_within_a_batch_then_the_rest_stays),
        TAIL_TEST(test_tail_when_anything_happens_to_it_then_whole_and_held_batches_stay),
        TAIL_TEST(test_batches_when_small_and_not_held_then_merged),
        TAIL_TEST(test_batches_when_large_then_not_merged_for_ever),
        TAIL_TEST(test_tail_when_nothing_was_ever_in_it_then_nothing_is_held),
        TAIL_TEST(test_batch_when_encoded_and_not_held_then_its_memory_serves_the_next),
        TAIL_TEST(test_tail_when_freed_then_what_is_held_lives_on),
    };
    return cmocka_run_group_tests_name("store/tail", tests, NULL, NULL);
}
