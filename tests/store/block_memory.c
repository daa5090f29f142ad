/* Memory that runs out at any allocation: an error, nothing lost, nothing leaked.
 *
 * This file is the heap: its functions stand in for those of base/alloc.c. */
#include "base/alloc.h"
#include "base/error.h"
#include "blocks.h"

static uint64_t allocations;
static uint64_t fails_at; /* 0 = never */
static int64_t in_use;

static bool runs_out(void)
{
    return ++allocations == fails_at;
}

static void *count(void *p)
{
    in_use += p != NULL;
    return p;
}

void *svl__malloc(size_t size)
{
    return runs_out() ? NULL : count(malloc(size ? size : 1));
}

void *svl__calloc(size_t n, size_t size)
{
    return runs_out() ? NULL : count(calloc(n ? n : 1, size ? size : 1));
}

/* Always moves, so that a stale pointer is seen. */
void *svl__realloc(void *p, size_t size)
{
    if (runs_out())
        return NULL;
    void *grown = realloc(p, size ? size : 1);
    assert_non_null(grown);
    in_use += p == NULL;
    return grown;
}

void svl__free(void *p)
{
    in_use -= p != NULL;
    free(p);
}

char *svl__strdup(const char *text)
{
    (void)text;
    return NULL;
}

void *svl__aligned_alloc(size_t alignment, size_t size)
{
    (void)alignment;
    return svl__malloc(size);
}

static struct records records;

static int make_records(void **state)
{
    (void)state;
    records = records_any(9, 400, 5000);
    return 0;
}

static int drop_records(void **state)
{
    (void)state;
    records_free(&records);
    return 0;
}

/* Runs `step` with the 1st, 2nd, ... allocation failing, until it gets through. */
static void fail_each(int (*step)(void *), void *argument)
{
    int rc = SVL_E_NOMEM;
    for (uint64_t n = 1; rc != SVL_OK; n++) {
        allocations = 0;
        fails_at = n;
        rc = step(argument);
        fails_at = 0;
        assert_true(rc == SVL_OK || rc == SVL_E_NOMEM);
        assert_true(n < 100000);
    }
}

static int create_builder(void *argument)
{
    struct block_options options = { .codec = SVL_CODEC_DEFAULT, .block_bytes = BLOCK_RAW_MAX };
    return svl__block_builder_create(&options, argument);
}

struct adding {
    struct block_builder *builder;
    uint32_t next;
};

static int add_next(void *argument)
{
    struct adding *adding = argument;
    return add_record(adding->builder, &records, adding->next);
}

struct finishing {
    struct block_builder *builder;
    struct block *block;
};

static int finish(void *argument)
{
    struct finishing *finishing = argument;
    int rc = svl__block_builder_finish(finishing->builder, &finishing->block);
    assert_true((rc == SVL_OK) == (finishing->block != NULL));
    if (rc != SVL_OK)
        assert_int_equal(svl__block_builder_count(finishing->builder), records.count);
    return rc;
}

static void test_builder_when_memory_runs_out_then_keeps_its_records(void **state)
{
    (void)state;
    struct block_builder *builder = NULL;
    fail_each(create_builder, &builder);
    for (uint32_t i = 0; i < records.count; i++) {
        struct adding adding = { builder, i };
        fail_each(add_next, &adding);
        assert_int_equal(svl__block_builder_count(builder), i + 1);
    }
    struct finishing finishing = { .builder = builder };
    fail_each(finish, &finishing);
    assert_holds(finishing.block, &records);
    svl__block_release(finishing.block);
    svl__block_builder_destroy(builder);
    assert_int_equal(in_use, 0);
}

static void test_builder_when_memory_ran_out_then_its_block_is_the_same(void **state)
{
    (void)state;
    struct block *expected = block_of(SVL_CODEC_DEFAULT, &records);
    struct block_builder *builder = builder_of(SVL_CODEC_DEFAULT, BLOCK_RAW_MAX);
    for (uint32_t i = 0; i < records.count; i++) {
        struct adding adding = { builder, i };
        fail_each(add_next, &adding);
    }
    struct finishing finishing = { .builder = builder };
    fail_each(finish, &finishing);
    assert_int_equal(finishing.block->len, expected->len);
    assert_memory_equal(finishing.block->data, expected->data, expected->len);
    svl__block_release(expected);
    svl__block_release(finishing.block);
    svl__block_builder_destroy(builder);
    assert_int_equal(in_use, 0);
}

struct reading {
    struct block_reader *reader;
    const struct block *block;
};

static int create_reader(void *argument)
{
    struct reading *reading = argument;
    return svl__block_reader_create(&reading->reader);
}

/* Asks for everything; what failed may be asked for again. */
static int read_all(void *argument)
{
    struct reading *reading = argument;
    struct block_reader *reader = reading->reader;
    const int64_t *times;
    const uint32_t *index;
    const svl_slice *names;
    uint32_t n;
    struct key_set *set;
    int rc = svl__block_reader_times(reader, &times);
    if (rc == SVL_OK)
        rc = svl__block_reader_keys(reader, &index, &names, &n);
    if (rc == SVL_OK)
        rc = svl__block_reader_key_set(reader, &set);
    if (rc != SVL_OK)
        return rc;
    svl__key_set_release(set);
    for (uint32_t i = 0; rc == SVL_OK && i < records.count; i++) {
        svl_record record;
        rc = svl__block_reader_record(reader, i, read_attributes, &record);
        if (rc == SVL_OK)
            assert_record(&record, &records.list[i]);
    }
    return rc;
}

static int verify(void *argument)
{
    struct reading *reading = argument;
    return svl__block_verify(reading->reader, reading->block->data, reading->block->len);
}

static void test_reader_when_memory_runs_out_then_can_be_asked_again(void **state)
{
    (void)state;
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct reading reading = { .block = block };
    fail_each(create_reader, &reading);
    assert_int_equal(svl__block_reader_load(reading.reader, block->data, block->len), SVL_OK);
    fail_each(read_all, &reading);
    svl__block_reader_destroy(reading.reader);
    fail_each(create_reader, &reading);
    fail_each(verify, &reading);
    svl__block_reader_destroy(reading.reader);
    svl__block_release(block);
    assert_int_equal(in_use, 0);
}

static void test_record_when_read_again_then_allocates_nothing(void **state)
{
    (void)state;
    struct block *block = block_of(SVL_CODEC_DEFAULT, &records);
    struct reading reading = { .block = block };
    assert_int_equal(create_reader(&reading), SVL_OK);
    assert_int_equal(verify(&reading), SVL_OK);
    assert_int_equal(svl__block_reader_load(reading.reader, block->data, block->len), SVL_OK);
    allocations = 0;
    for (uint32_t i = 0; i < records.count; i++) {
        svl_record record;
        assert_int_equal(svl__block_reader_record(reading.reader, i, read_attributes, &record),
                         SVL_OK);
    }
    assert_int_equal(allocations, 0); /* the second block finds the memory of the first */
    svl__block_reader_destroy(reading.reader);
    svl__block_release(block);
}

static int add_wire(struct block_builder *builder, uint64_t id, const char *name)
{
    svl_record record = { .source = words(name), .type = words(name), .key = words(name) };
    uint8_t wire[256];
    struct wire_view view;
    svl__wire_encode(&record, 1, wire);
    assert_int_equal(svl__wire_view(wire, svl__wire_size(&record), &view), SVL_OK);
    return svl__block_builder_add(builder, id, 1, &view);
}

/* The record is not offered again: another one comes, and its block must not have a name that no record uses. */
static void test_names_when_memory_ran_out_behind_them_then_are_not_in_the_block(void **state)
{
    (void)state;
    int rc = SVL_E_NOMEM;
    for (uint64_t n = 1; rc != SVL_OK; n++) {
        struct block_builder *builder;
        struct block *made;
        struct block_reader *reader;
        assert_int_equal(create_builder(&builder), SVL_OK);
        allocations = 0;
        fails_at = n;
        rc = add_wire(builder, 1, "first");
        fails_at = 0;
        assert_true(rc == SVL_OK || rc == SVL_E_NOMEM);
        assert_int_equal(add_wire(builder, rc == SVL_OK ? 2 : 1, "second"), SVL_OK);
        assert_int_equal(svl__block_builder_finish(builder, &made), SVL_OK);
        assert_int_equal(svl__block_reader_create(&reader), SVL_OK);
        assert_int_equal(svl__block_verify(reader, made->data, made->len), SVL_OK);
        svl__block_reader_destroy(reader);
        svl__block_release(made);
        svl__block_builder_destroy(builder);
    }
}

int main(void)
{
    chance_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builder_when_memory_runs_out_then_keeps_its_records),
        cmocka_unit_test(test_builder_when_memory_ran_out_then_its_block_is_the_same),
        cmocka_unit_test(test_names_when_memory_ran_out_behind_them_then_are_not_in_the_block),
        cmocka_unit_test(test_reader_when_memory_runs_out_then_can_be_asked_again),
        cmocka_unit_test(test_record_when_read_again_then_allocates_nothing),
    };
    return cmocka_run_group_tests_name("store/block_memory", tests, make_records, drop_records);
}
