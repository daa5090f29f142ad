/* A store against a plain list: whatever is appended, committed, retired, closed and opened again, every
 * query gives what the list gives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "support/model.h"

#define STEPS 400

static svl_store_options small_options(struct rng *rng)
{
    svl_store_options o;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.block_bytes = UINT64_C(4096) << rng_below(rng, 4);
    o.commit_bytes = 65536;
    o.segment_bytes = 8 << 20;
    o.journal_file_bytes_max = 256 << 10;
    uint32_t codec = (uint32_t)rng_below(rng, 4);
    bool missing = (codec == SVL_CODEC_LZ4 && strstr(svl_build_info(), "no-lz4")) ||
                   (codec == SVL_CODEC_ZSTD && strstr(svl_build_info(), "no-zstd"));
    o.codec = missing ? SVL_CODEC_NONE : codec;
    o.sync_interval_ms = 1;
    return o;
}

static void append_some(svl_store *store, struct model *model, struct rng *rng, uint64_t *number)
{
    static svl_record records[64];
    static svl_attribute attributes[64][3];
    static char bytes[64][4096];
    size_t n = 1 + rng_below(rng, 64);
    for (size_t i = 0; i < n; i++) {
        /* model_record() lends its memory for one call only. */
        records[i] = model_record(*number + i);
        char *to = bytes[i];
        svl_slice *slices[] = { &records[i].source, &records[i].type, &records[i].key,
                                &records[i].body };
        for (size_t s = 0; s < 4; s++) {
            if (slices[s]->len > 0)
                memcpy(to, slices[s]->data, slices[s]->len);
            slices[s]->data = to;
            to += slices[s]->len;
        }
        for (uint32_t a = 0; a < records[i].attribute_count; a++) {
            attributes[i][a] = records[i].attributes[a];
            if (attributes[i][a].bytes.len > 0)
                memcpy(to, attributes[i][a].bytes.data, attributes[i][a].bytes.len);
            attributes[i][a].bytes.data = to;
            to += attributes[i][a].bytes.len;
        }
        if (records[i].attribute_count > 0)
            records[i].attributes = attributes[i];
    }
    uint64_t first_id;
    assert_ok(svl_store_append(store, records, n, &first_id));
    for (size_t i = 0; i < n; i++)
        model_add(model, first_id + i, *number + i);
    *number += n;
}

/* Of all records those at random are left out, and some ids that no record has. */
static void check_left_out(svl_store *store, const struct model *model, struct rng *rng)
{
    struct buffer left_out = { 0 };
    struct model rest = { 0 };
    svl_query query = { .struct_size = sizeof query };
    uint64_t odds = 1 + rng_below(rng, 4), beyond = UINT64_MAX;
    for (size_t i = 0; i < model->count; i++) {
        const struct model_record *m = &model->records[i];
        if (rng_below(rng, odds) == 0)
            svl__buffer_append(&left_out, &m->id, sizeof m->id);
        else
            model_add(&rest, m->id, m->number);
    }
    svl__buffer_append(&left_out, &beyond, sizeof beyond);
    query.flags = rng_below(rng, 2) ? SVL_QUERY_BACKWARD : 0;
    svl_cursor *cursor;
    const svl_record *record;
    assert_ok(svl_store_query(store, &query, &cursor));
    svl__cursor_leave_out(cursor, &left_out);
    for (size_t i = 0; i < rest.count; i++) {
        assert_ok(svl_cursor_next(cursor, 0, &record));
        model_assert_record(record, &rest.records[query.flags ? rest.count - 1 - i : i]);
    }
    assert_int_equal(svl_cursor_next(cursor, 0, &record), SVL_E_END);
    svl_cursor_close(cursor);
    model_free(&rest);
}

static void check_get(svl_store *store, const struct model *model, struct rng *rng)
{
    if (model->count == 0)
        return;
    const struct model_record *m = &model->records[rng_below(rng, model->count)];
    svl_record_buffer *buffer;
    assert_ok(svl_store_get(store, m->id, &buffer));
    model_assert_record(svl_record_buffer_record(buffer), m);
    svl_record_buffer_destroy(buffer);
    assert_int_equal(svl_store_get(store, model->records[model->count - 1].id + 1, &buffer),
                     SVL_E_NOT_FOUND);
    assert_null(buffer);
}

static void check_all(svl_store *store, const struct model *model)
{
    svl_query all;
    assert_ok(svl_query_init(&all, sizeof all));
    model_assert_query(store, model, &all);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_true(stats.records == model->count);
    assert_true(stats.damaged == 0);
}

static void test_store_when_used_at_random_then_is_as_the_model(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    struct model model = { 0 };
    uint64_t number = 1;
    char path[512];
    snprintf(path, sizeof path, "%s", temp_path());
    svl_store_options options = small_options(&rng);
    svl_store *store;
    assert_ok(svl_store_open(path, &options, &store));
    for (int step = 0; step < STEPS; step++) {
        switch (rng_below(&rng, 10)) {
        case 0:
            assert_ok(svl_store_commit(store, -1));
            break;
        case 1:
            if (rng_below(&rng, 4) != 0)
                break;
            assert_ok(svl_store_close(store));
            options = small_options(&rng);
            assert_ok(svl_store_open(path, &options, &store));
            check_all(store, &model);
            break;
        case 2:
        case 3: {
            svl_query query = model_random_query(&rng, &model);
            model_assert_query(store, &model, &query);
            break;
        }
        case 4:
            check_get(store, &model, &rng);
            check_left_out(store, &model, &rng);
            break;
        default:
            append_some(store, &model, &rng, &number);
        }
    }
    for (int i = 0; i < 100; i++) {
        svl_query query = model_random_query(&rng, &model);
        model_assert_query(store, &model, &query);
    }
    check_all(store, &model);
    assert_ok(svl_store_close(store));
    assert_ok(svl_store_open(path, NULL, &store));
    check_all(store, &model);
    assert_ok(svl_store_close(store));
    model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_when_used_at_random_then_is_as_the_model),
    };
    return cmocka_run_group_tests_name("store/model", tests, NULL, NULL);
}
