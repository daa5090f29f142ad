/* What the store knows of crash rings: names, whether they were made, and how far the journal holds their
 * records, also when the journal was recycled since. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "record/wire.h"
#include "store/store.h"
#include "support/support.h"

static char path[512];
static const struct ring_position fed = { .uuid = { 7, 7, 7 }, .position = 800 };
static const struct ring_name ring = { .directory = "/dev/shm", .name = "a-ring", .made = true };

/* Dies with a record of the ring in the journal, and the ring's name in the catalog. */
static int feed_and_die(void)
{
    svl_store *store;
    if (svl__store_open_owned(path, NULL, &store) != SVL_OK ||
        svl__store_ring_put(store, &ring) != SVL_OK)
        return 1;
    svl_record record = { .body = slice_of("from the ring") };
    uint8_t wire[256];
    svl__wire_encode(&record, 1, wire);
    struct feed_item item = { .wire = wire, .len = svl__wire_size(&record), .ring_end = 800 };
    struct feed feed = { .items = &item, .count = 1, .ring = &fed };
    uint64_t ticket;
    if (svl__store_feed(store, &feed, &ticket) != SVL_OK)
        return 2;
    return svl__store_wait(store, ticket, INT64_MAX) == SVL_OK ? 0 : 3;
}

static void crash(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(feed_and_die());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_position_when_the_journal_was_recycled_before_start_then_still_known(void **state)
{
    (void)state;
    svl_store *store;
    crash();
    for (int i = 0; i < 3; i++) { /* somebody looks into the store: everything is committed */
        assert_ok(svl_store_open(path, NULL, &store));
        assert_ok(svl_store_close(store));
    }
    assert_ok(svl__store_open_owned(path, NULL, &store));
    assert_true(svl__store_ring_position(store, fed.uuid) == 800);
    assert_ok(svl__store_close_owned(store));
}

/* Rings of other processes come and go; the one that is still at work is not forgotten for those that have gone. */
static void test_position_when_many_rings_came_then_the_latest_64_are_known(void **state)
{
    (void)state;
    svl_store *store;
    crash();
    assert_ok(svl__store_open_owned(path, NULL, &store));
    svl_record record = { .body = slice_of("x") };
    uint8_t wire[64];
    svl__wire_encode(&record, 1, wire);
    uint64_t ticket = 0;
    for (uint8_t n = 0; n < 200; n++) {
        struct ring_position at[2] = { { .uuid = { 'o', n }, .position = 8 },
                                       { .uuid = { 'a' }, .position = 8u * (n + 1u) } };
        for (int i = 0; i < 2; i++) {
            struct feed_item item = { .wire = wire,
                                      .len = svl__wire_size(&record),
                                      .ring_end = at[i].position };
            struct feed feed = { .items = &item, .count = 1, .ring = &at[i] };
            assert_ok(svl__store_feed(store, &feed, &ticket));
        }
    }
    assert_ok(svl__store_wait(store, ticket, INT64_MAX));
    assert_ok(svl__store_close_owned(store));
    for (int i = 0; i < 3; i++) {
        assert_ok(svl__store_open_owned(path, NULL, &store));
        struct ring_position gone = { .uuid = { 'o', 100 } }, last = { .uuid = { 'o', 199 } };
        struct ring_position active = { .uuid = { 'a' } };
        assert_true(svl__store_ring_position(store, active.uuid) == 1600);
        assert_true(svl__store_ring_position(store, last.uuid) == 8);
        assert_true(svl__store_ring_position(store, gone.uuid) == 0);
        assert_ok(svl__store_close_owned(store));
    }
}

static void test_ring_when_put_again_then_made(void **state)
{
    (void)state;
    svl_store *store;
    struct ring_name *names, named = ring;
    size_t n;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl__store_open_owned(path, NULL, &store));
    for (int made = 0; made < 2; made++) {
        named.made = made;
        assert_ok(svl__store_ring_put(store, &named));
        assert_ok(svl__store_rings(store, &names, &n));
        assert_int_equal(n, 1);
        assert_int_equal(names[0].made, made);
        assert_string_equal(names[0].name, "a-ring");
        assert_string_equal(names[0].directory, "/dev/shm");
        svl__free(names);
    }
    assert_ok(svl__store_ring_remove(store, &ring));
    assert_ok(svl__store_rings(store, &names, &n));
    assert_int_equal(n, 0);
    svl__free(names);
    assert_ok(svl__store_close_owned(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position_when_the_journal_was_recycled_before_start_then_still_known),
        cmocka_unit_test(test_position_when_many_rings_came_then_the_latest_64_are_known),
        cmocka_unit_test(test_ring_when_put_again_then_made),
    };
    int failed = cmocka_run_group_tests_name("store/rings", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
