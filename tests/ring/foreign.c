/* A ring read as hostile input: what honest producers publish comes whole, once, and wakes a sleeping consumer; whatever
 * else the file holds, or becomes under the read, the consumer stays within bounds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checksum.h"
#include "ring/foreign.h"
#include "ring/layout.h"
#include "ring/outcome.h"
#include "support/support.h"

#define DIRECTORY "/dev/shm"
#define PRODUCERS 3
#define NUMBERS 20000
#define LEN_MAX 4096

static const uint8_t store_uuid[16] = { 9, 8, 7 };
static char name[64];

static uint64_t unknown(const uint8_t uuid[16], void *user)
{
    (void)uuid;
    return user ? *(const uint64_t *)user : 0;
}

static struct ring *create(void)
{
    struct ring_options options = { .capacity = RING_BYTES_MIN,
                                    .directory = DIRECTORY,
                                    .name = name,
                                    .is_attached = true,
                                    .owner = geteuid() };
    memcpy(options.store_uuid, store_uuid, 16);
    struct ring *ring;
    assert_ok(svl__ring_create(&options, &ring));
    return ring;
}

static int open_foreign(struct ring **out, uint64_t known)
{
    struct foreign_place place = {
        .directory = DIRECTORY, .name = name, .store_uuid = store_uuid, .owner = geteuid()
    };
    int rc = svl__foreign_open(&place, unknown, &known, out);
    if (rc == SVL_OK)
        assert_ok(svl__foreign_begin(*out));
    return rc;
}

static void remove_file(void)
{
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    unlink(path);
}

/* --- honest --- */

struct numbered {
    uint64_t producer, number;
    uint8_t fill[120];
};

struct producer {
    struct ring *ring;
    uint64_t number;
};

static void *produce(void *argument)
{
    const struct producer *me = argument;
    for (uint64_t n = 1; n <= NUMBERS; n++) {
        struct ring_slot slot;
        struct numbered record = { .producer = me->number, .number = n };
        uint32_t len = (uint32_t)(16 + n % sizeof record.fill);
        memset(record.fill, (int)n, sizeof record.fill);
        if (svl__ring_reserve_wait(me->ring, len, INT64_MAX, &slot) != SVL_OK)
            abort();
        memcpy(slot.payload, &record, len);
        if (n % 7 == 0)
            sched_yield(); /* an open claim */
        svl__ring_commit(&slot);
    }
    return NULL;
}

static void test_frames_when_threads_publish_then_each_comes_once_and_wakes(void **state)
{
    (void)state;
    static _Atomic uint32_t word;
    struct ring *ring = create(), *foreign;
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    uint64_t last[PRODUCERS] = { 0 }, taken = 0;
    svl__ring_wake_through(ring, &word);
    assert_ok(open_foreign(&foreign, 0));
    for (uint64_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ ring, i };
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    while (taken < (uint64_t)PRODUCERS * NUMBERS) {
        uint8_t copy[LEN_MAX];
        struct ring_frame frame;
        uint32_t seen = atomic_load(&word);
        enum foreign_step step = svl__foreign_next(foreign, LEN_MAX, copy, sizeof copy, &frame);
        if (step == FOREIGN_NONE) {
            svl__foreign_release(foreign, svl__ring_drained(foreign));
            /* Without end: a wake that is missed is a test that hangs. */
            if (svl__foreign_arm(foreign))
                svl__ring_futex_wait(ring, &word, seen, INT64_MAX);
            continue;
        }
        assert_int_equal(step, FOREIGN_FRAME);
        struct numbered record = { 0 };
        assert_true(frame.len >= 16 && frame.len <= sizeof record);
        memcpy(&record, copy, frame.len);
        assert_true(record.producer < PRODUCERS);
        assert_true(record.number == last[record.producer] + 1);
        assert_int_equal(frame.len, 16 + record.number % sizeof record.fill);
        for (uint32_t i = 16; i < frame.len; i++)
            assert_int_equal(copy[i], (uint8_t)record.number);
        last[record.producer]++;
        taken++;
        if (taken % 50 == 0)
            svl__foreign_release(foreign, svl__ring_drained(foreign));
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    svl__foreign_release(foreign, svl__ring_drained(foreign));
    assert_true(svl__ring_is_empty(ring));
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

static _Atomic uint32_t page_word;

static void *sleep_on_word(void *ring)
{
    svl__ring_futex_wait(ring, &page_word, 0, INT64_MAX);
    return NULL;
}

/* Anybody who has the page mapped may sleep on its word. */
static void test_wake_when_others_sleep_on_the_word_too_then_all_wake(void **state)
{
    (void)state;
    struct ring *ring = create();
    pthread_t threads[3];
    svl__ring_wake_through(ring, &page_word);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_on_word, ring), 0);
    usleep(50000); /* they sleep */
    svl__ring_wake(ring);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i],
                     NULL); /* without end: a wake that is missed is a test that hangs */
    svl__ring_destroy(ring);
    remove_file();
}

static void *wait_for_outcome(void *argument)
{
    struct ring *ring = argument;
    struct outcome_tag tag = { 3, 5 };
    uint64_t id;
    for (;;) {
        uint32_t seen = svl__outcome_count(ring);
        if (svl__outcome_get(ring, tag, &id) == RING_STORED)
            return (void *)(uintptr_t)id;
        svl__outcome_wait(ring, seen, INT64_MAX);
    }
}

static void test_outcome_when_told_then_who_waits_has_it(void **state)
{
    (void)state;
    struct ring *ring = create(), *foreign;
    pthread_t thread;
    void *id;
    assert_ok(open_foreign(&foreign, 0));
    assert_int_equal(pthread_create(&thread, NULL, wait_for_outcome, ring), 0);
    svl__outcome_put(foreign, (struct outcome_tag){ 3, 4 }, RING_STORED, 1); /* an older one */
    svl__outcome_tell(foreign);
    svl__outcome_put(foreign, (struct outcome_tag){ 0, 5 }, RING_STORED, 2); /* nobody's */
    svl__outcome_put(foreign, (struct outcome_tag){ 65, 5 }, RING_STORED, 2);
    svl__outcome_put(foreign, (struct outcome_tag){ 3, UINT32_MAX }, RING_STORED, 2);
    svl__outcome_put(foreign, (struct outcome_tag){ 3, 5 }, RING_STORED, 77);
    svl__outcome_tell(foreign);
    pthread_join(thread, &id);
    assert_int_equal((uintptr_t)id, 77);
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

/* --- forged --- */

static void publish(struct ring *ring, const char *text)
{
    struct ring_slot slot;
    uint32_t len = (uint32_t)strlen(text);
    assert_ok(svl__ring_reserve(ring, len, &slot));
    memcpy(slot.payload, text, len);
    svl__ring_commit(&slot);
}

static unsigned take_all(struct ring *foreign)
{
    uint8_t copy[LEN_MAX];
    struct ring_frame frame;
    unsigned n = 0;
    for (;;) {
        switch (svl__foreign_next(foreign, LEN_MAX, copy, sizeof copy, &frame)) {
        case FOREIGN_FRAME:
        case FOREIGN_LARGE:
            assert_true(frame.len <= LEN_MAX);
            assert_true(svl__ring_drained(foreign) <= svl__foreign_end(foreign));
            n++;
            break;
        case FOREIGN_NONE:
        case FOREIGN_ROOM:
        case FOREIGN_BROKEN:
        default:
            return n;
        }
    }
}

static void test_ring_when_its_positions_lie_then_broken(void **state)
{
    (void)state;
    static const uint64_t tails[] = { 8, UINT64_MAX & ~UINT64_C(7), UINT64_C(1) << 63,
                                      RING_BYTES_MIN + 4096, RING_BYTES_MIN * 1000 };
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct ring *ring = create(), *foreign;
        publish(ring, "one");
        publish(ring, "two");
        assert_ok(open_foreign(&foreign, 0));
        assert_int_equal(take_all(foreign), 2);
        svl__foreign_release(foreign, svl__ring_drained(foreign));
        atomic_store(&ring->control->tail, tails[i]);
        assert_int_equal(take_all(foreign), 0);
        assert_true(svl__ring_is_broken(foreign));
        atomic_store(&ring->control->tail, svl__ring_drained(foreign)); /* for good */
        assert_true(svl__ring_is_broken(foreign));
        atomic_store(&ring->control->tail, tails[i]);
        svl__ring_destroy(ring); /* as its process' end */
        svl__foreign_orphan(foreign);
        assert_int_equal(take_all(foreign), 0);
        assert_true(svl__foreign_is_drained(foreign));
        svl__foreign_release(foreign, svl__ring_drained(foreign));
        svl__ring_destroy(foreign);
        remove_file();
    }
}

static void test_ring_when_a_header_is_flipped_then_broken_and_the_rest_taken_after_its_end(
    void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        struct ring *ring = create(), *foreign;
        publish(ring, "one");
        uint64_t at = svl__ring_tail(ring);
        publish(ring, "two");
        publish(ring, "three");
        atomic_fetch_xor(frame_header(ring, at), UINT64_C(1) << bit);
        assert_ok(open_foreign(&foreign, 0));
        unsigned n = take_all(foreign);
        bool benign = bit < 3 || bit == 30; /* another length with the same span; DISCARD */
        if (benign)
            assert_in_range(n, 2, 3);
        else
            assert_in_range(n, 1, 3);
        svl__foreign_orphan(foreign);
        n += take_all(foreign);
        assert_in_range(n, 2, 3);
        assert_true(svl__foreign_is_drained(foreign));
        svl__foreign_release(foreign, svl__ring_drained(foreign));
        svl__ring_destroy(foreign);
        svl__ring_destroy(ring);
        remove_file();
    }
}

static void test_ring_when_a_claim_is_open_then_waited_for_until_its_process_ends(void **state)
{
    (void)state;
    struct ring *ring = create(), *foreign;
    struct ring_slot slot;
    publish(ring, "one");
    assert_ok(svl__ring_reserve(ring, 100, &slot));
    publish(ring, "two");
    assert_ok(open_foreign(&foreign, 0));
    assert_int_equal(take_all(foreign), 1);
    assert_true(svl__foreign_arm(foreign)); /* its commit wakes */
    svl__ring_commit(&slot);
    assert_false(atomic_load(&ring->control->tail) & TAIL_SLEEPS);
    assert_int_equal(take_all(foreign), 2);
    assert_ok(svl__ring_reserve(ring, 100, &slot));
    publish(ring, "three");
    assert_int_equal(take_all(foreign), 0);
    svl__foreign_orphan(foreign);
    assert_int_equal(take_all(foreign), 1);
    struct ring_recovery recovery;
    svl__ring_recovery_get(foreign, &recovery);
    assert_int_equal(recovery.unfinished, 1);
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

static void test_record_when_larger_than_the_room_then_waits_or_is_cut(void **state)
{
    (void)state;
    struct ring *ring = create(), *foreign;
    struct ring_slot slot;
    uint8_t copy[100];
    struct ring_frame frame;
    assert_ok(svl__ring_reserve(ring, 1000, &slot));
    memset(slot.payload, 7, 1000);
    svl__ring_commit(&slot);
    assert_ok(open_foreign(&foreign, 0));
    assert_int_equal(svl__foreign_next(foreign, 1000, copy, 100, &frame), FOREIGN_ROOM);
    assert_int_equal(svl__foreign_next(foreign, 101, copy, 100, &frame), FOREIGN_ROOM);
    assert_int_equal(svl__foreign_next(foreign, 100, copy, 100, &frame), FOREIGN_LARGE);
    assert_int_equal(frame.len, 100);
    assert_int_equal(copy[99], 7);
    assert_true(frame.end == slot.position);
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

static void test_lock_when_its_process_ends_then_free(void **state)
{
    (void)state;
    struct ring *foreign;
    int up[2], end[2];
    char c;
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        create();
        _exit(write(up[1], "x", 1) == 1 && read(end[0], &c, 1) == 1 ? 0 : 1);
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    assert_ok(open_foreign(&foreign, 0));
    assert_true(svl__foreign_lives(foreign));
    assert_int_equal(write(end[1], "x", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(svl__foreign_lives(foreign));
    svl__ring_destroy(foreign);
    remove_file();
}

/* A store that was copied names the rings of the one that it was copied from. */
static void test_ring_when_another_process_drains_it_then_refused(void **state)
{
    (void)state;
    struct ring *ring = create(), *foreign;
    struct foreign_place place = {
        .directory = DIRECTORY, .name = name, .store_uuid = store_uuid, .owner = geteuid()
    };
    uint64_t none = 0;
    int up[2];
    char c;
    publish(ring, "one");
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool begun = svl__foreign_open(&place, unknown, &none, &foreign) == SVL_OK &&
                     svl__foreign_begin(foreign) == SVL_OK;
        if (!begun || write(up[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    assert_ok(svl__foreign_open(&place, unknown, &none, &foreign));
    assert_int_equal(svl__foreign_begin(foreign), SVL_E_BUSY);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_ok(svl__foreign_begin(foreign));
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

/* Changes the file's bytes and size; -> what opening says. */
static int open_changed(off_t at, const void *bytes, size_t len, off_t size)
{
    char path[128];
    struct ring *ring = create(), *foreign;
    publish(ring, "one");
    svl__ring_destroy(ring);
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t header[72];
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    assert_int_equal(pread(fd, header, sizeof header, 0), sizeof header);
    if (at >= 8 && at < 72) { /* a right checksum over a wrong header */
        uint64_t sum = svl__checksum(header, sizeof header);
        assert_int_equal(pwrite(fd, &sum, sizeof sum, 72), sizeof sum);
    }
    if (size > 0)
        assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    int rc = open_foreign(&foreign, 0);
    if (rc == SVL_OK)
        svl__ring_destroy(foreign);
    remove_file();
    return rc;
}

static void test_file_when_it_is_no_ring_of_ours_then_refused(void **state)
{
    (void)state;
    static const uint32_t none = 0, two = 2, nine = 9;
    static const uint64_t odd = 4, huge = UINT64_C(1) << 40, far = UINT64_C(1) << 63;
    struct ring *foreign;
    assert_ok(open_changed(200, "", 1, 0));
    assert_int_equal(open_changed(0, "X", 1, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(8, &two, 4, 0), SVL_E_VERSION);
    assert_int_equal(open_changed(12, &none, 4, 0), SVL_E_CORRUPT); /* a host's own ring */
    assert_int_equal(open_changed(16, &two, 4, 0), SVL_E_VERSION);
    assert_int_equal(open_changed(20, &nine, 4, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(24, &huge, 8, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(24, &odd, 8, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(56, "another", 7, 0), SVL_E_FOREIGN);
    assert_int_equal(open_changed(72, "sum", 3, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(4096, &far, 8, 0), SVL_E_CORRUPT);       /* tail */
    assert_int_equal(open_changed(4096 + 256, &far, 8, 0), SVL_E_CORRUPT); /* head */
    assert_int_equal(open_changed(4096 + 256, &odd, 8, 0), SVL_E_CORRUPT);
    assert_int_equal(open_changed(4096 + 264, &far, 8, 0), SVL_E_CORRUPT); /* consumed */
    assert_int_equal(open_changed(200, "", 1, 100), SVL_E_CORRUPT);
    assert_int_equal(open_changed(200, "", 1, 8192), SVL_E_CORRUPT);
    assert_int_equal(open_changed(200, "", 1, 40000), SVL_E_CORRUPT);
    assert_int_equal(open_foreign(&foreign, 0), SVL_E_NOT_FOUND);
    struct ring *ring = create(); /* the journal knows more than there is */
    assert_int_equal(open_foreign(&foreign, 4096), SVL_E_CORRUPT);
    svl__ring_destroy(ring);
    char path[128], link[160];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    snprintf(link, sizeof link, "%s-link", path);
    assert_int_equal(rename(path, link), 0);
    assert_int_equal(symlink(link, path), 0);
    assert_int_equal(open_foreign(&foreign, 0), SVL_E_PATH);
    unlink(link);
    remove_file();
}

static bool is_there(void)
{
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    return access(path, F_OK) == 0;
}

static void test_file_when_left_half_made_then_removed_but_no_other(void **state)
{
    (void)state;
    static const uint8_t other_uuid[16] = { 1 };
    struct ring_options own = { .capacity = RING_BYTES_MIN, .directory = DIRECTORY, .name = name };
    struct ring *ring = create();
    svl__ring_remove_attached(DIRECTORY, name, other_uuid);
    svl__ring_remove_attached("/proc", name, store_uuid);
    svl__ring_remove_attached("/no/such", name, store_uuid);
    assert_true(is_there());
    svl__ring_remove_attached(DIRECTORY, name, store_uuid);
    assert_false(is_there());
    svl__ring_destroy(ring);
    memcpy(own.store_uuid, store_uuid, 16);
    assert_ok(svl__ring_create(&own, &ring));
    svl__ring_remove_attached(DIRECTORY, name, store_uuid);
    assert_true(is_there());
    svl__ring_destroy(ring);
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    static const off_t sizes[] = { 0, 40, RING_DATA_OFFSET }; /* cut off while it was made */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(truncate(path, sizes[i]), 0);
        svl__ring_remove_attached(DIRECTORY, name, store_uuid);
        assert_false(is_there());
        close(open(path, O_RDWR | O_CREAT, 0600));
    }
    remove_file();
}

static void test_file_when_cut_short_then_seen_before_it_is_touched(void **state)
{
    (void)state;
    char path[128];
    struct ring *ring = create(), *foreign;
    assert_ok(open_foreign(&foreign, 0));
    assert_true(svl__foreign_is_whole(foreign));
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    assert_int_equal(truncate(path, 4096), 0);
    assert_false(svl__foreign_is_whole(foreign));
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

/* A page that names a ring which is in use has it opened a second time: by a look alone nothing may be freed under
 * who uses it. */
static void test_ring_when_only_opened_then_nothing_of_it_has_changed(void **state)
{
    (void)state;
    struct ring *ring = create(), *foreign;
    struct foreign_place place = {
        .directory = DIRECTORY, .name = name, .store_uuid = store_uuid, .owner = geteuid()
    };
    uint64_t none = 0;
    size_t bytes = RING_DATA_OFFSET + (size_t)ring->capacity;
    for (int i = 0; i < 100; i++)
        publish(ring, "to be read");
    /* As between the two stores of a release. */
    atomic_store(&ring->control->consumed, svl__ring_tail(ring) / 16 * 8);
    uint8_t *before = malloc(bytes);
    assert_non_null(before);
    memcpy(before, ring->mapping, bytes);
    assert_ok(svl__foreign_open(&place, unknown, &none, &foreign));
    assert_memory_equal(ring->mapping, before, bytes);
    assert_ok(svl__foreign_begin(foreign));
    assert_int_equal(atomic_load(&ring->control->head), svl__ring_drained(foreign));
    free(before);
    svl__ring_destroy(foreign);
    svl__ring_destroy(ring);
    remove_file();
}

static struct ring *victim;
static _Atomic bool ends;

/* Any word of control page and data, any time: mostly near what is true. */
static void *scribble(void *argument)
{
    struct rng rng = { *(const uint64_t *)argument };
    uint64_t words = (4096 + victim->capacity) / 8;
    _Atomic uint64_t *first = (_Atomic uint64_t *)(void *)victim->control;
    while (!atomic_load(&ends)) {
        uint64_t at = rng_below(&rng, 3) ? rng_below(&rng, words) : rng_below(&rng, 80);
        uint64_t value = rng_next(&rng);
        if (rng_below(&rng, 2)) /* a header that could be one */
            value = make_header(victim, rng_below(&rng, 4 * victim->capacity) & ~UINT64_C(7),
                                (uint32_t)rng_below(&rng, 9000));
        else if (rng_below(&rng, 2))
            value = rng_below(&rng, 4 * victim->capacity) & ~UINT64_C(7);
        atomic_store_explicit(first + at, value, memory_order_relaxed);
    }
    return NULL;
}

static void test_ring_when_scribbled_over_while_read_then_within_bounds(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 60; round++) {
        struct ring *foreign;
        pthread_t thread;
        uint64_t seed = rng_next(&rng);
        victim = create();
        for (int i = 0; i < 200; i++)
            publish(victim, "something to read");
        assert_ok(open_foreign(&foreign, 0));
        atomic_store(&ends, false);
        assert_int_equal(pthread_create(&thread, NULL, scribble, &seed), 0);
        for (int i = 0; i < 200; i++) {
            take_all(foreign);
            svl__foreign_arm(foreign);
            svl__foreign_dropped(foreign);
            uint64_t drained = svl__ring_drained(foreign);
            assert_true(drained % 8 == 0);
            if (rng_below(&rng, 3) == 0)
                svl__foreign_release(foreign, drained);
            if (i == 150)
                svl__foreign_orphan(foreign);
        }
        atomic_store(&ends, true);
        pthread_join(thread, NULL);
        take_all(foreign);
        assert_true(svl__foreign_is_drained(foreign));
        svl__foreign_release(foreign, svl__ring_drained(foreign));
        svl__ring_destroy(foreign);
        svl__ring_destroy(victim);
        remove_file();
    }
}

int main(void)
{
    snprintf(name, sizeof name, "serverlog-test-%ld", (long)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_when_larger_than_the_room_then_waits_or_is_cut),
        cmocka_unit_test(test_lock_when_its_process_ends_then_free),
        cmocka_unit_test(test_frames_when_threads_publish_then_each_comes_once_and_wakes),
        cmocka_unit_test(test_wake_when_others_sleep_on_the_word_too_then_all_wake),
        cmocka_unit_test(test_outcome_when_told_then_who_waits_has_it),
        cmocka_unit_test(test_ring_when_its_positions_lie_then_broken),
        cmocka_unit_test(
            test_ring_when_a_header_is_flipped_then_broken_and_the_rest_taken_after_its_end),
        cmocka_unit_test(test_ring_when_a_claim_is_open_then_waited_for_until_its_process_ends),
        cmocka_unit_test(test_file_when_it_is_no_ring_of_ours_then_refused),
        cmocka_unit_test(test_file_when_left_half_made_then_removed_but_no_other),
        cmocka_unit_test(test_file_when_cut_short_then_seen_before_it_is_touched),
        cmocka_unit_test(test_ring_when_another_process_drains_it_then_refused),
        cmocka_unit_test(test_ring_when_only_opened_then_nothing_of_it_has_changed),
        cmocka_unit_test(test_ring_when_scribbled_over_while_read_then_within_bounds),
    };
    return cmocka_run_group_tests_name("ring/foreign", tests, NULL, NULL);
}
