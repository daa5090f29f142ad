/* Replacing the store's observer while it writes: every write is told to one of them, and to none that has
 * been replaced. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "record/wire.h"
#include "store/store.h"
#include "support/support.h"

#define FEEDS 1000

static svl_store *store;
static _Atomic int told[FEEDS + 1]; /* by ring position */
static _Atomic int listens;         /* which of the observers */
static _Atomic int told_too_late;
static _Atomic bool done;

struct listener {
    int number;
};

static void on_written(const struct ring_position *rings, uint32_t n, void *user)
{
    const struct listener *me = user;
    assert_int_equal(n, 1);
    atomic_fetch_add(&told[rings[0].position], 1);
    /* Begun before it was replaced, perhaps: then the replacing still waits. */
    int now = atomic_load(&listens);
    if (now != me->number && now != 0)
        atomic_fetch_add(&told_too_late, 1);
}

/* One batch each, as each is waited for. */
static void *feed_all(void *unused)
{
    static uint8_t wire[64];
    svl_record record = { .source = slice_of("s") };
    svl__wire_encode(&record, 1, wire);
    for (uint64_t i = 1; i <= FEEDS; i++) {
        struct ring_position ring = { .uuid = { 1 }, .position = i };
        struct feed_item item = { .wire = wire, .len = svl__wire_size(&record), .ring_end = i };
        struct feed feed = { .items = &item, .count = 1, .ring = &ring, .urgent = true };
        uint64_t ticket;
        assert_ok(svl__store_feed(store, &feed, &ticket));
        assert_ok(svl__store_wait(store, ticket, INT64_MAX));
    }
    atomic_store(&done, true);
    return unused;
}

static void test_observer_when_replaced_then_every_write_is_told_once_and_to_no_other(void **state)
{
    (void)state;
    static struct listener listeners[] = { { 1 }, { 2 } };
    struct store_observer observers[] = {
        { .written = on_written, .user = &listeners[0] },
        { .written = on_written, .user = &listeners[1] },
    };
    char path[512];
    pthread_t feeder;
    unsigned replaced = 0;
    snprintf(path, sizeof path, "%s", temp_path());
    assert_ok(svl_store_open(path, NULL, &store));
    svl__store_observe(store, &observers[0]);
    assert_int_equal(pthread_create(&feeder, NULL, feed_all, NULL), 0);
    while (!atomic_load(&done)) {
        int next = (int)(++replaced % 2);
        atomic_store(&listens, 0); /* one or the other */
        svl__store_observe(store, &observers[next]);
        atomic_store(&listens, next + 1);
        sched_yield();
    }
    pthread_join(feeder, NULL);
    assert_int_equal(atomic_load(&told_too_late), 0);
    for (int i = 1; i <= FEEDS; i++)
        assert_int_equal(atomic_load(&told[i]), 1);
    svl__store_observe(store, &(struct store_observer){ .written = NULL });
    assert_ok(svl_store_close(store));
    print_message("replaced %u times\n", replaced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observer_when_replaced_then_every_write_is_told_once_and_to_no_other),
    };
    int failed = cmocka_run_group_tests_name("store/observer", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
