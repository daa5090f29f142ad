/* A store while its clock is set: what is told, and what retention makes of it, over a reopen too. The
 * executable's own clock_gettime() stands before the C library's. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/wire.h"
#include "store/store.h"
#include "support/support.h"

#define HOUR (3600 * NS_PER_S)

static char path[512];
static _Atomic int64_t wall_shift, boot_shift; /* ns */
static _Atomic bool is_set_all_the_time;       /* by two hours whenever it is read */

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME && atomic_load(&is_set_all_the_time))
        atomic_fetch_add(&wall_shift, 2 * HOUR);
    int64_t shift = clock == CLOCK_REALTIME   ? atomic_load(&wall_shift)
                    : clock == CLOCK_BOOTTIME ? atomic_load(&boot_shift)
                                              : 0;
    int64_t now = (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec + shift;
    t->tv_sec = now / NS_PER_S;
    t->tv_nsec = now % NS_PER_S;
    return rc;
}

static int start(void **state)
{
    (void)state;
    atomic_store(&wall_shift, 0);
    atomic_store(&boot_shift, 0);
    snprintf(path, sizeof path, "%s", temp_path());
    return 0;
}

static _Atomic int steps_told;

static void hear(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)level;
    (void)code;
    (void)user;
    steps_told += strstr(text, "the clock was set") != NULL;
}

/* Keeps what is less than ten hours old. */
static svl_store *open_store(void)
{
    svl_store_options o;
    svl_store *store;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.segment_bytes = 8 << 20;
    o.commit_bytes = 1 << 20;
    o.codec = SVL_CODEC_NONE;
    o.log = hear;
    o.retain_age_ms_max = UINT64_C(10) * 3600 * 1000;
    assert_ok(svl_store_open(path, &o, &store));
    return store;
}

static void append(svl_store *store, unsigned n)
{
    static char body[60000];
    svl_record record = { .body = { body, sizeof body } };
    for (unsigned i = 0; i < n; i++)
        assert_ok(svl_store_append(store, &record, 1, NULL));
    assert_ok(svl_store_commit(store, -1));
}

/* Records that tell of a step. */
static unsigned steps(svl_store *store)
{
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    unsigned n = 0;
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("serverlog.clock");
    assert_ok(svl_store_query(store, &query, &cursor));
    while (svl_cursor_next(cursor, 0, &record) == SVL_OK)
        n++;
    svl_cursor_close(cursor);
    return n;
}

static uint64_t first_id(svl_store *store)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    return stats.first_id;
}

static void assert_counted(svl_store *store, uint64_t appended, uint64_t clock_records)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(store, &stats));
    assert_int_equal(stats.appended, appended);
    assert_int_equal(stats.clock_records, clock_records);
    assert_int_equal(stats.records_in, appended + clock_records);
}

static uint64_t retain(svl_store *store)
{
    uint64_t retired;
    assert_ok(svl_store_retain(store, &retired));
    return retired;
}

static void test_retention_when_the_clock_is_wrong_at_open_then_waits(void **state)
{
    (void)state;
    svl_store *store = open_store();
    append(store, 300);
    assert_ok(svl_store_close(store));
    atomic_store(&wall_shift, 1000 * HOUR);
    store = open_store();
    assert_true(retain(store) == 0);
    assert_ok(svl_store_close(store));
}

/* Set while the store was open, closed at once: the hour is not over. */
static void test_retention_when_opened_again_after_a_step_then_still_waits(void **state)
{
    (void)state;
    svl_store *store = open_store();
    append(store, 300);
    atomic_store(&wall_shift, 1000 * HOUR);
    append(store, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(retain(store) == 0);
        assert_ok(svl_store_close(store));
        store = open_store();
    }
    assert_true(steps(store) == 1);
    atomic_store(&wall_shift, 1001 * HOUR + HOUR / 2);
    atomic_store(&boot_shift, HOUR + HOUR / 2);
    append(store, 1);
    retain(store); /* the commit may have done so already */
    assert_true(first_id(store) > 1);
    assert_ok(svl_store_close(store));
}

/* What came before the step is committed with it, and the journal keeps nothing of either. */
static void test_clock_when_set_back_then_told_once(void **state)
{
    (void)state;
    svl_record record = { .body = slice_of("before, not committed") };
    svl_store *store = open_store();
    append(store, 1);
    assert_ok(svl_store_append(store, &record, 1, NULL));
    atomic_store(&wall_shift, -100 * HOUR);
    for (int i = 0; i < 3; i++) {
        append(store, 1);
        assert_ok(svl_store_flush(store, -1));
        assert_true(steps(store) == 1);
        assert_counted(store, i == 0 ? 3 : 1, i == 0);
        assert_ok(svl_store_close(store));
        store = open_store();
        assert_ok(svl_store_close(store)); /* from now on only the catalog knows */
        store = open_store();
    }
    assert_ok(svl_store_close(store));
}

static void test_clock_when_the_host_was_suspended_then_no_step(void **state)
{
    (void)state;
    svl_store *store = open_store();
    append(store, 1);
    atomic_store(&wall_shift, 5 * HOUR);
    atomic_store(&boot_shift, 5 * HOUR);
    append(store, 1);
    assert_true(steps(store) == 0);
    atomic_store(&wall_shift, 7 * HOUR);
    append(store, 1);
    assert_ok(svl_store_flush(store, -1)); /* it is told behind what was being written */
    assert_true(steps(store) == 1);
    assert_ok(svl_store_close(store));
}

/* Several batches that wait for the disk, whatever happens. */
static void feed_what_is_not_refused(svl_store *store)
{
    static uint8_t wire[60100];
    static char body[60000];
    struct feed_item items[20];
    svl_record record = { .body = { body, sizeof body } };
    svl__wire_encode(&record, 1, wire);
    for (size_t i = 0; i < 20; i++)
        items[i] = (struct feed_item){ .wire = wire, .len = svl__wire_size(&record) };
    struct feed feed = { .items = items, .count = 20, .urgent = true };
    assert_ok(svl__store_feed(store, &feed, NULL));
}

/* What a full disk refuses of the records that tell of it is not counted. */
static void test_clock_when_set_again_and_again_on_a_full_disk_then_counted_as_stored(void **state)
{
    (void)state;
    svl_store *store = open_store();
    svl_store_stats stats = { .struct_size = sizeof stats };
    append(store, 1);
    atomic_store(&steps_told, 0);
    set_disk_full(true);
    atomic_store(&is_set_all_the_time, true);
    feed_what_is_not_refused(store);
    while (stats.disk_full_waits < 2)
        assert_ok(svl_store_stats_get(store, &stats));
    atomic_store(&is_set_all_the_time, false);
    set_disk_full(false);
    assert_true(atomic_load(&steps_told) > 1); /* in what was refused */
    do { /* the clock may be found set once more while this is written */
        assert_ok(svl_store_flush(store, -1));
        assert_ok(svl_store_stats_get(store, &stats));
    } while (stats.last_id < stats.records_in);
    assert_int_equal(stats.clock_records, steps(store));
    assert_int_equal(stats.records_in, 21 + stats.clock_records);
    assert_ok(svl_store_close(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_retention_when_the_clock_is_wrong_at_open_then_waits, start),
        cmocka_unit_test_setup(test_retention_when_opened_again_after_a_step_then_still_waits,
                               start),
        cmocka_unit_test_setup(test_clock_when_set_back_then_told_once, start),
        cmocka_unit_test_setup(test_clock_when_the_host_was_suspended_then_no_step, start),
        cmocka_unit_test_setup(
            test_clock_when_set_again_and_again_on_a_full_disk_then_counted_as_stored, start),
    };
    int failed = cmocka_run_group_tests_name("store/clock_set", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
