/* The crash marker by itself: what a page left by a dead process becomes, what is durable of it, and the gate. */
#define _GNU_SOURCE
#include "handler/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "handler/suspects.h"
#include "support/support.h"

static char path[512];
static svl_store *store;
static struct crash_marker *marker;
static _Alignas(64) uint8_t page[MARK_PAGE_BYTES];

static const uint8_t ring_uuid[16] = { 7, 7, 7 };

static _Atomic int waits_told;
static bool boot_is_unknown;

/* The executable's own stands before the C library's. */
int open(const char *name, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (boot_is_unknown && strstr(name, "boot_id")) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

static void hear(uint32_t level, int32_t code, const char *text, void *user)
{
    (void)level;
    (void)code;
    (void)user;
    waits_told += strncmp(text, "handlers wait", 13) == 0;
}

static void open_marker(void)
{
    svl_store_options options;
    assert_ok(svl_store_options_init(&options, sizeof options));
    options.log = hear;
    assert_ok(svl_store_open(path, &options, &store));
    assert_ok(svl__crash_create(store, &marker));
}

static void close_marker(void)
{
    svl__crash_destroy(marker);
    assert_ok(svl_store_close(store));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    open_marker();
    svl__crash_use(marker, page);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_marker();
    return 0;
}

static struct crash_run run_of(enum marked_kind kind, uint64_t subject, uint64_t first,
                               uint64_t last, uint32_t alone)
{
    return (struct crash_run){ .what = { kind, subject, first, last }, .alone = alone };
}

/* A callback that never comes back: the process dies, and the next one starts. */
static void die_in(uint32_t slot, struct crash_run run)
{
    static _Alignas(64) uint8_t left[MARK_PAGE_BYTES];
    assert_true(svl__crash_enter(marker, slot, &run));
    memcpy(left, page, sizeof left);
    close_marker();
    open_marker();
    for (int twice = 0; twice < 2; twice++) { /* killed before the page was cleared */
        static _Alignas(64) uint8_t copy[MARK_PAGE_BYTES];
        memcpy(copy, left, sizeof copy);
        assert_ok(svl__crash_take(marker, copy, sizeof copy, INT64_MAX));
        close_marker();
        open_marker();
    }
    assert_ok(svl__crash_take(marker, left, sizeof left, INT64_MAX));
    for (uint32_t i = 0; i < MARK_SLOTS; i++) {
        struct marked what;
        uint32_t alone;
        assert_false(svl__mark_get(left, i, &what, &alone));
    }
    svl__crash_use(marker, page);
}

static enum crash_verdict judge(enum marked_kind kind, uint64_t subject, uint64_t at)
{
    return svl__crash_judge(marker, kind, subject, at, NULL);
}

static void test_batch_when_marked_at_a_death_then_its_records_are_suspect_and_no_others(
    void **state)
{
    (void)state;
    die_in(0, run_of(MARKED_STORED, 5, 10, 20, 0));
    assert_int_equal(svl__crash_suspects(marker), 1);
    static const struct {
        enum marked_kind kind;
        uint64_t subject, at;
        enum crash_verdict verdict;
    } cases[] = {
        { MARKED_STORED, 5, 9, CRASH_FREE },    { MARKED_STORED, 5, 10, CRASH_ALONE },
        { MARKED_STORED, 5, 15, CRASH_ALONE },  { MARKED_STORED, 5, 20, CRASH_ALONE },
        { MARKED_STORED, 5, 21, CRASH_FREE },   { MARKED_STORED, 6, 15, CRASH_FREE },
        { MARKED_REDRIVEN, 5, 15, CRASH_FREE }, { MARKED_INGEST, 5, 15, CRASH_FREE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(judge(cases[i].kind, cases[i].subject, cases[i].at), cases[i].verdict);
}

static void test_record_when_it_dies_alone_then_each_death_counts_once_and_three_are_enough(
    void **state)
{
    (void)state;
    uint64_t ring = svl__crash_ring(ring_uuid);
    uint32_t crashes;
    die_in(0, run_of(MARKED_INGEST, ring, 64, 64, 0));
    for (uint32_t n = 0; n < CRASHES_MAX; n++) {
        assert_int_equal(svl__crash_judge(marker, MARKED_INGEST, ring, 64, &crashes), CRASH_ALONE);
        assert_int_equal(crashes, n);
        die_in(0, run_of(MARKED_INGEST, ring, 64, 64, crashes + 1));
    }
    assert_int_equal(judge(MARKED_INGEST, ring, 64), CRASH_SET_ASIDE);
    svl__crash_settle(marker, MARKED_INGEST, ring, 63);
    assert_int_equal(judge(MARKED_INGEST, ring, 64), CRASH_SET_ASIDE);
    svl__crash_settle(marker, MARKED_INGEST, ring, 64);
    assert_int_equal(judge(MARKED_INGEST, ring, 64), CRASH_FREE);
    assert_int_equal(svl__crash_suspects(marker), 0);
}

static void test_record_when_it_dies_beside_others_then_nothing_counts(void **state)
{
    (void)state;
    uint32_t crashes;
    for (int n = 0; n < 10; n++)
        die_in(3, run_of(MARKED_STORED, 5, 7, 7, 0));
    assert_int_equal(svl__crash_judge(marker, MARKED_STORED, 5, 7, &crashes), CRASH_ALONE);
    assert_int_equal(crashes, 0);
    assert_int_equal(svl__crash_suspects(marker), 1);
}

static void test_record_when_one_of_a_batch_dies_alone_then_it_alone_is_set_aside(void **state)
{
    (void)state;
    die_in(1, run_of(MARKED_STORED, 5, 10, 12, 0));
    for (uint32_t n = 1; n <= CRASHES_MAX; n++)
        die_in(2, run_of(MARKED_STORED, 5, 11, 11, n));
    assert_int_equal(judge(MARKED_STORED, 5, 10), CRASH_ALONE);
    assert_int_equal(judge(MARKED_STORED, 5, 11), CRASH_SET_ASIDE);
    assert_int_equal(judge(MARKED_STORED, 5, 12), CRASH_ALONE);
    svl__crash_settle(marker, MARKED_STORED, 5, 11);
    assert_int_equal(judge(MARKED_STORED, 5, 11), CRASH_ALONE); /* the batch is not done */
    svl__crash_settle(marker, MARKED_STORED, 5, 12);
    assert_int_equal(svl__crash_suspects(marker), 0);
}

static void test_subscription_when_forgiven_then_its_records_run_again_alone(void **state)
{
    (void)state;
    uint32_t crashes;
    die_in(1, run_of(MARKED_STORED, 5, 10, 10, CRASHES_MAX));
    die_in(1, run_of(MARKED_STORED, 6, 10, 10, CRASHES_MAX));
    svl__crash_forgive(marker, 5);
    assert_int_equal(svl__crash_judge(marker, MARKED_STORED, 5, 10, &crashes), CRASH_ALONE);
    assert_int_equal(crashes, 0);
    assert_int_equal(judge(MARKED_STORED, 6, 10), CRASH_SET_ASIDE);
}

static void test_suspects_when_saved_then_there_after_opening_again(void **state)
{
    (void)state;
    die_in(0, run_of(MARKED_STORED, 5, 10, 20, 0));
    die_in(0, run_of(MARKED_REDRIVEN, 5, 30, 30, 2));
    svl__crash_settle(marker, MARKED_STORED, 5, 20);
    svl__crash_save(marker);
    close_marker();
    open_marker();
    assert_int_equal(svl__crash_suspects(marker), 1);
    assert_int_equal(judge(MARKED_REDRIVEN, 5, 30), CRASH_ALONE);
    /* Without the save a suspect only stays one. */
    svl__crash_settle(marker, MARKED_REDRIVEN, 5, 30);
    close_marker();
    open_marker();
    assert_int_equal(svl__crash_suspects(marker), 1);
}

static void test_marks_when_more_than_the_list_holds_then_the_oldest_give_way(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= SUSPECTS_MAX / MARK_SLOTS + 1; n++) {
        for (uint32_t slot = 0; slot < MARK_SLOTS; slot++) {
            struct marked what = { MARKED_STORED, 1000 * n + slot, 1, 1 };
            svl__mark_set(page, slot, &what, 0);
        }
        assert_ok(svl__crash_take(marker, page, sizeof page, INT64_MAX));
    }
    assert_int_equal(svl__crash_suspects(marker), SUSPECTS_MAX);
    assert_int_equal(judge(MARKED_STORED, 0, 1), CRASH_FREE);
    assert_int_equal(judge(MARKED_STORED, 1000 * (SUSPECTS_MAX / MARK_SLOTS + 1), 1), CRASH_ALONE);
    close_marker();
    open_marker();
    assert_int_equal(svl__crash_suspects(marker), SUSPECTS_MAX);
}

static void test_page_when_of_another_boot_or_of_any_bytes_then_nothing_or_suspects(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    static _Alignas(64) uint8_t bytes[MARK_PAGE_BYTES];
    struct marked what = { MARKED_STORED, 5, 10, 20 };
    static const size_t cuts[] = { 0, 3, 8, 16, 31 }; /* magic, version, boot id */
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        svl__marks_make(bytes);
        svl__mark_set(bytes, 9, &what, 3);
        bytes[cuts[i]] ^= 1;
        assert_ok(svl__crash_take(marker, bytes, sizeof bytes, INT64_MAX));
        assert_int_equal(svl__crash_suspects(marker), 0);
    }
    assert_ok(svl__crash_take(marker, bytes, sizeof bytes - 1, INT64_MAX));
    assert_ok(svl__crash_take(marker, NULL, 0, INT64_MAX));
    for (int round = 0; round < 50; round++) {
        svl__marks_make(bytes);
        for (size_t i = MARK_SLOT_BYTES; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(rng_next(&rng) & (rng_below(&rng, 3) ? 3 : 255));
        assert_ok(svl__crash_take(marker, bytes, sizeof bytes, INT64_MAX));
        assert_true(svl__crash_suspects(marker) <= SUSPECTS_MAX);
    }
}

static void test_page_when_the_boot_is_unknown_then_nothing(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t bytes[MARK_PAGE_BYTES];
    struct marked what = { MARKED_STORED, 5, 10, 20 };
    boot_is_unknown = true;
    svl__marks_make(bytes);
    svl__mark_set(bytes, 9, &what, 3);
    assert_false(svl__marks_are_valid(bytes, sizeof bytes));
    boot_is_unknown = false;
    assert_false(svl__marks_are_valid(bytes, sizeof bytes));
    svl__marks_make(bytes);
    assert_true(svl__marks_are_valid(bytes, sizeof bytes));
    boot_is_unknown = true;
    assert_false(svl__marks_are_valid(bytes, sizeof bytes));
    boot_is_unknown = false;
}

static void test_list_when_of_another_version_then_refused(void **state)
{
    (void)state;
    static const uint8_t values[][8] = { { 2 },
                                         { 1, 0, 0, 0, 1 },
                                         { 1, 0, 0, 0, 255, 255, 255, 255 } };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct store_op op = { slice_of("crash/suspects"), { values[i], sizeof values[i] } };
        struct feed feed = { .ops = &op, .op_count = 1, .atomic = true };
        assert_ok(svl__store_feed(store, &feed, NULL));
        assert_ok(svl_store_flush(store, -1));
        struct crash_marker *refused;
        assert_int_equal(svl__crash_create(store, &refused), SVL_E_VERSION);
        assert_null(refused);
    }
}

/* --- the gate --- */

#define THREADS 6
#define CALLS 2000

static _Atomic int inside, alone_inside, broken, calls;

static void *call_again_and_again(void *argument)
{
    uint32_t slot = (uint32_t)(uintptr_t)argument;
    for (int i = 0; i < CALLS; i++) {
        bool alone = (unsigned)i % THREADS == slot % THREADS && i < CALLS / 2;
        struct crash_run run = run_of(MARKED_STORED, slot, 1, 1, alone ? 1 : 0);
        assert_true(svl__crash_enter(marker, slot, &run));
        if (atomic_fetch_add(&inside, 1) > 0 && alone)
            atomic_fetch_add(&broken, 1);
        if (atomic_fetch_add(&alone_inside, alone) > 0)
            atomic_fetch_add(&broken, 1);
        atomic_fetch_add(&calls, 1);
        atomic_fetch_sub(&alone_inside, alone);
        atomic_fetch_sub(&inside, 1);
        svl__crash_leave(marker, slot, &run);
        if (i == CALLS / 2) /* the last one that settles opens the gate for good */
            svl__crash_settle(marker, MARKED_STORED, slot, 1);
    }
    return NULL;
}

static void make_suspects(void)
{
    for (uint32_t slot = 0; slot < THREADS; slot++) {
        struct marked what = { MARKED_STORED, slot, 1, 1 };
        svl__mark_set(page, slot, &what, 0);
    }
    assert_ok(svl__crash_take(marker, page, sizeof page, INT64_MAX));
}

static void test_gate_when_threads_come_and_go_then_nothing_runs_beside_one_alone(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    make_suspects();
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_again_and_again, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&broken), 0);
    assert_int_equal(atomic_load(&calls), THREADS * CALLS);
    assert_int_equal(svl__crash_suspects(marker), 0);
}

static void *try_to_enter(void *argument)
{
    struct crash_run run = run_of(MARKED_STORED, 1, 1, 1, argument ? 1 : 0);
    return (void *)(uintptr_t)svl__crash_enter(marker, 1, &run);
}

static void *enter_and_leave(void *argument)
{
    static _Atomic uint32_t next_slot = 1;
    uint32_t slot = atomic_fetch_add(&next_slot, 1);
    struct crash_run run = run_of(MARKED_STORED, 1, 1, 1, argument ? 1 : 0);
    assert_true(svl__crash_enter(marker, slot, &run));
    svl__crash_leave(marker, slot, &run);
    return NULL;
}

/* Three wait for one that does not return, whether it or one of them is to be alone: it is said once. */
static void test_gate_when_it_stays_shut_then_that_is_told_once(void **state)
{
    (void)state;
    for (uint32_t alone = 0; alone < 2; alone++) {
        pthread_t threads[3];
        make_suspects();
        struct crash_run run = run_of(MARKED_STORED, 0, 1, 1, alone);
        assert_true(svl__crash_enter(marker, 0, &run));
        atomic_store(&waits_told, 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave,
                                            i == 0 && alone == 0 ? threads : NULL),
                             0);
        while (atomic_load(&waits_told) == 0)
            sched_yield();
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL); /* now the others could too */
        svl__crash_leave(marker, 0, &run);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&waits_told), 1);
    }
}

static void test_gate_when_ended_then_who_waits_is_sent_back(void **state)
{
    (void)state;
    pthread_t threads[2];
    void *entered;
    make_suspects();
    struct crash_run run = run_of(MARKED_STORED, 0, 1, 1, 1);
    assert_true(svl__crash_enter(marker, 0, &run));
    assert_int_equal(pthread_create(&threads[0], NULL, try_to_enter, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, try_to_enter, threads), 0);
    svl__crash_end(marker);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &entered);
        assert_null(entered);
    }
    svl__crash_leave(marker, 0, &run);
}

static void test_marker_when_there_is_none_then_everything_runs(void **state)
{
    (void)state;
    struct crash_run run = run_of(MARKED_STORED, 0, 1, 1, 0);
    assert_int_equal(svl__crash_judge(NULL, MARKED_STORED, 0, 1, NULL), CRASH_FREE);
    assert_true(svl__crash_enter(NULL, 0, &run));
    svl__crash_leave(NULL, 0, &run);
    svl__crash_settle(NULL, MARKED_STORED, 0, 1);
    svl__crash_forgive(NULL, 0);
    svl__crash_save(NULL);
}

int main(void)
{
#define CRASH_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CRASH_TEST(test_batch_when_marked_at_a_death_then_its_records_are_suspect_and_no_others),
        CRASH_TEST(test_record_when_it_dies_alone_then_each_death_counts_once_and_three_are_enough),
        CRASH_TEST(test_record_when_it_dies_beside_others_then_nothing_counts),
        CRASH_TEST(test_record_when_one_of_a_batch_dies_alone_then_it_alone_is_set_aside),
        CRASH_TEST(test_subscription_when_forgiven_then_its_records_run_again_alone),
        CRASH_TEST(test_suspects_when_saved_then_there_after_opening_again),
        CRASH_TEST(test_marks_when_more_than_the_list_holds_then_the_oldest_give_way),
        CRASH_TEST(test_page_when_of_another_boot_or_of_any_bytes_then_nothing_or_suspects),
        CRASH_TEST(test_page_when_the_boot_is_unknown_then_nothing),
        CRASH_TEST(test_list_when_of_another_version_then_refused),
        CRASH_TEST(test_gate_when_threads_come_and_go_then_nothing_runs_beside_one_alone),
        CRASH_TEST(test_gate_when_it_stays_shut_then_that_is_told_once),
        CRASH_TEST(test_gate_when_ended_then_who_waits_is_sent_back),
        CRASH_TEST(test_marker_when_there_is_none_then_everything_runs),
    };
    return cmocka_run_group_tests_name("handler/crash", tests, NULL, NULL);
}
