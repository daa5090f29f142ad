/* Attaching, and draining others' rings, while allocations fail: nothing is lost, leaked or left behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/attached.h"

static void test_attach_when_an_allocation_fails_then_nothing_is_leaked_or_left(void **state)
{
    (void)state;
    make_store();
    svl_publisher_close(attach_with(SMALL_RING, SVL_FULL_FAIL)); /* what a process keeps */
    int64_t before = live_allocations();
    for (int once = 0; once < 2; once++) {
        uint64_t n = 0;
        int rc;
        do {
            svl_attach_options o;
            svl_publisher *p;
            assert_ok(svl_attach_options_init(&o, sizeof o));
            o.ring_directory = ring_directory;
            fail_malloc_after(++n, once);
            rc = svl_attach(path, &o, &p);
            fail_malloc_after(0, false);
            assert_true(rc == SVL_E_NOMEM || rc == SVL_OK);
            assert_true((rc == SVL_OK) == (p != NULL));
            assert_int_equal(ring_files(), rc == SVL_OK);
            assert_ok(svl_publisher_close(p));
            assert_int_equal(live_allocations(), before);
        } while (rc != SVL_OK);
        assert_true(n > 3);
    }
    svl_publisher *all[63]; /* no slot is lost */
    for (size_t i = 0; i < 63; i++)
        all[i] = attach_with(SMALL_RING, SVL_FULL_FAIL);
    for (size_t i = 0; i < 63; i++)
        assert_ok(svl_publisher_close(all[i]));
    assert_int_equal(ring_files(), 0);
}

/* A text of the host's own: so many allocations later one fails. */
static int fail_as_told(svl_ingest *ingest, svl_record *record, void *user)
{
    char text[16] = "";
    (void)ingest;
    (void)user;
    if (record->source.len != 4 || memcmp(record->source.data, "host", 4) != 0)
        return SVL_OK;
    memcpy(text, record->body.data, record->body.len < 15 ? record->body.len : 15);
    fail_malloc_after(strtoull(text, NULL, 10), true);
    return SVL_OK;
}

static void fails(svl_pipeline *pipeline)
{
    svl_on_ingest(pipeline, NULL, fail_as_told, NULL);
}

static void test_host_when_its_allocations_fail_then_every_ring_is_drained(void **state)
{
    (void)state;
    struct host host;
    struct host_set_up set_up = { .handlers = fails };
    uint64_t records = 0;
    new_path();
    host_start(&host, path, &set_up);
    for (int n = 1; n <= 24; n++) {
        char text[16], source[16];
        snprintf(text, sizeof text, "%d", n);
        snprintf(source, sizeof source, "s%d", n);
        host_publish(&host, text);
        svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        for (uint64_t i = 1; i <= 20; i++)
            assert_ok(publish(p, source, i, 50));
        assert_ok(svl_publisher_flush(p, 20000));
        assert_ok(svl_publisher_close(p));
        records += 20;
        wait_gone(&host, records);
    }
    host_stop(&host);
    for (int n = 1; n <= 24; n++) {
        char source[16];
        snprintf(source, sizeof source, "s%d", n);
        assert_int_equal(count(source), 20);
    }
    assert_int_equal(ring_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach_when_an_allocation_fails_then_nothing_is_leaked_or_left),
        cmocka_unit_test(test_host_when_its_allocations_fail_then_every_ring_is_drained),
    };
    return run_attached("pipeline/attach_memory", tests, sizeof tests / sizeof tests[0]);
}
