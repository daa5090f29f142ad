/* SIGKILL while threads publish and one releases: what was committed comes out of recovery exactly once;
 * recovery itself may be killed. And files that are no rings. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/layout.h"
#include "support/support.h"

#define DIRECTORY "/dev/shm"
#define PRODUCERS 3
#define ROUNDS 150

static const uint8_t store_uuid[16] = { 1, 2, 3 };
static char name[64];

/* Shared with the child, and outliving it. */
struct noted {
    _Atomic uint64_t committed[PRODUCERS]; /* numbers whose commit returned */
    _Atomic uint64_t begun[PRODUCERS];
    _Atomic uint64_t released[PRODUCERS]; /* numbers that lie before the released position */
    _Atomic uint64_t kill_at_step;
};
static struct noted *noted;

struct record {
    uint64_t producer;
    uint64_t number;
    uint8_t fill[200];
};

static struct ring *create_file_ring(void)
{
    struct ring_options options = { .capacity = RING_BYTES_MIN,
                                    .directory = DIRECTORY,
                                    .name = name };
    memcpy(options.store_uuid, store_uuid, 16);
    struct ring *ring;
    assert_ok(svl__ring_create(&options, &ring));
    assert_true(svl__ring_is_shared(ring));
    return ring;
}

static struct ring *child_ring;

static void *child_produce(void *argument)
{
    uintptr_t producer = (uintptr_t)argument;
    for (uint64_t number = 1;; number++) {
        struct ring_slot slot;
        atomic_store(&noted->begun[producer], number);
        while (svl__ring_reserve(child_ring, sizeof(struct record), &slot) != SVL_OK)
            sched_yield();
        struct record *record = (struct record *)(void *)slot.payload;
        record->producer = producer;
        record->number = number;
        memset(record->fill, (int)(number & 0xff), sizeof record->fill);
        svl__ring_commit(&slot);
        atomic_store(&noted->committed[producer], number);
    }
    return NULL;
}

#if defined(SVL_STEPS)
static void die_at_step(const char *step)
{
    (void)step;
    if (atomic_fetch_sub(&noted->kill_at_step, 1) == 1)
        kill(getpid(), SIGKILL);
}
#endif

static void child_main(void)
{
    pthread_t thread;
    child_ring = create_file_ring();
#if defined(SVL_STEPS)
    svl__ring_step = die_at_step;
#endif
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        pthread_create(&thread, NULL, child_produce, (void *)i);
    uint64_t taken[PRODUCERS] = { 0 };
    for (unsigned n = 0;; n++) {
        struct ring_frame frame;
        if (!svl__ring_next(child_ring, &frame))
            continue;
        const struct record *record = (const struct record *)(const void *)frame.payload;
        taken[record->producer] = record->number;
        if (n % 3 == 0)
            continue;
        /* Noted first: killed in between, it is "released" and may still come out of the ring. */
        for (int i = 0; i < PRODUCERS; i++)
            atomic_store(&noted->released[i], taken[i]);
        svl__ring_release(child_ring, frame.end);
    }
}

static void sleep_us(long us)
{
    struct timespec t = { 0, us * 1000 };
    nanosleep(&t, NULL);
}

static void kill_child(struct rng *rng)
{
    memset(noted, 0, sizeof *noted);
    atomic_store(&noted->kill_at_step, 1 + rng_below(rng, 20000));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_main();
    sleep_us(500 + (long)rng_below(rng, 6000));
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t unknown(const uint8_t uuid[16], void *user)
{
    (void)uuid;
    (void)user;
    return 0;
}

static int open_crashed(struct ring **ring)
{
    return svl__ring_open_crashed(DIRECTORY, name, store_uuid, unknown, NULL, ring);
}

/* Every committed number above the first one seen comes once, in order; nothing but what was begun. */
static void check_recovered(struct ring *ring, uint64_t last[PRODUCERS])
{
    struct ring_frame frame;
    while (svl__ring_next(ring, &frame)) {
        struct record record;
        assert_int_equal(frame.len, sizeof record);
        memcpy(&record, frame.payload, sizeof record);
        assert_true(record.producer < PRODUCERS);
        if (last[record.producer] == 0)
            assert_true(record.number <= atomic_load(&noted->released[record.producer]) + 1);
        else
            assert_true(record.number == last[record.producer] + 1);
        assert_true(record.number <= atomic_load(&noted->begun[record.producer]));
        for (size_t i = 0; i < sizeof record.fill; i++)
            assert_int_equal(record.fill[i], record.number & 0xff);
        last[record.producer] = record.number;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        uint64_t committed = atomic_load(&noted->committed[i]);
        if (last[i] == 0)
            assert_true(committed <= atomic_load(&noted->released[i]));
        else
            assert_true(last[i] >= committed);
    }
}

static void test_process_when_killed_then_committed_frames_are_recovered(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    uint64_t recovered = 0, unfinished = 0;
    for (int round = 0; round < test_times(ROUNDS); round++) {
        snprintf(name, sizeof name, "serverlog-test-%d-%d", (int)getpid(), round);
        kill_child(&rng);
        struct ring *ring;
        uint64_t last[PRODUCERS] = { 0 };
        int rc = open_crashed(&ring);
        if (rc != SVL_OK) {
            /* Killed before its header was there: nothing was published. */
            for (int i = 0; i < PRODUCERS; i++)
                assert_true(atomic_load(&noted->committed[i]) == 0);
            unlink(name);
        } else {
            check_recovered(ring, last);
            struct ring_recovery recovery;
            svl__ring_recovery_get(ring, &recovery);
            recovered += recovery.committed;
            unfinished += recovery.unfinished + recovery.gaps;
            assert_true(recovery.damaged == 0);
            svl__ring_release(ring, svl__ring_drained(ring));
            assert_ok(svl__ring_unlink(ring));
            svl__ring_destroy(ring);
        }
        char path[128];
        snprintf(path, sizeof path, DIRECTORY "/%s", name);
        unlink(path);
    }
    assert_true(recovered > 0);
    print_message("%llu frames recovered, %llu unfinished\n", (unsigned long long)recovered,
                  (unsigned long long)unfinished);
}

static void test_recovery_when_done_twice_then_goes_on_where_it_was_released(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-twice", (int)getpid());
    struct ring *ring = create_file_ring();
    for (uint8_t i = 1; i <= 10; i++) {
        struct ring_slot slot;
        assert_ok(svl__ring_reserve(ring, 100, &slot));
        memset(slot.payload, i, 100);
        if (i == 4)
            continue; /* never committed: BUSY for ever */
        svl__ring_commit(&slot);
    }
    svl__ring_destroy(ring); /* the file stays, as after a crash */
    uint8_t expected = 1;
    for (int again = 0; again < 3; again++) {
        struct ring_frame frame;
        struct ring_slot slot;
        assert_ok(open_crashed(&ring));
        assert_int_equal(svl__ring_reserve(ring, 8, &slot), SVL_E_CLOSED);
        for (int i = 0; i < 3; i++) {
            assert_true(svl__ring_next(ring, &frame));
            if (expected == 4)
                expected++;
            assert_int_equal(frame.payload[0], expected);
            expected++;
        }
        svl__ring_release(ring, frame.end);
        assert_int_equal(svl__ring_unlink(ring), again < 2 ? SVL_E_STATE : SVL_OK);
        svl__ring_destroy(ring);
    }
    assert_int_equal(expected, 11);
    assert_int_equal(open_crashed(&ring), SVL_E_NOT_FOUND);
}

static void publish(struct ring *ring, uint8_t number, uint32_t len)
{
    struct ring_slot slot;
    assert_ok(svl__ring_reserve(ring, len, &slot));
    memset(slot.payload, number, len);
    svl__ring_commit(&slot);
}

static void test_recovery_when_killed_in_a_release_then_begins_behind_it(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-release", (int)getpid());
    struct ring *ring = create_file_ring();
    for (uint8_t i = 1; i <= 4; i++)
        publish(ring, i, 104);
    /* Two frames are consumed, and their first one and a half are zeroed. */
    atomic_store(&ring->control->consumed, 2 * frame_bytes(104));
    svl__ring_zero(ring, 0, frame_bytes(104) + 56);
    svl__ring_destroy(ring);
    struct ring_frame frame;
    struct ring_recovery recovery;
    assert_ok(open_crashed(&ring));
    for (uint8_t i = 3; i <= 4; i++) {
        assert_true(svl__ring_next(ring, &frame));
        assert_int_equal(frame.payload[0], i);
    }
    assert_false(svl__ring_next(ring, &frame));
    svl__ring_recovery_get(ring, &recovery);
    assert_int_equal(recovery.gaps + recovery.damaged, 0);
    svl__ring_release(ring, svl__ring_drained(ring));
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

/* What the recovery above goes by: R1. */
static void test_release_when_done_then_consumed_is_where_head_is(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-consumed", (int)getpid());
    struct ring *ring = create_file_ring();
    struct ring_frame frame;
    for (uint8_t i = 1; i <= 3; i++) {
        publish(ring, i, 100);
        assert_true(svl__ring_next(ring, &frame));
        svl__ring_release(ring, frame.end);
        assert_int_equal(atomic_load(&ring->control->consumed), frame.end);
        assert_int_equal(atomic_load(&ring->control->head), frame.end);
    }
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

/* What a gap is known by: R3. */
static void test_release_when_it_passes_the_end_of_the_ring_then_all_of_it_is_zero(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-zero", (int)getpid());
    struct ring *ring = create_file_ring();
    struct ring_frame frame = { .end = 0 };
    static const uint8_t zeros[RING_BYTES_MIN];
    while (svl__ring_tail(ring) < 3 * RING_BYTES_MIN) {
        while (svl__ring_tail(ring) - frame.end < RING_BYTES_MIN / 2)
            publish(ring, 0xff, 1000);
        while (svl__ring_next(ring, &frame))
            ;
        svl__ring_release(ring, frame.end);
        assert_memory_equal(ring->data, zeros, sizeof zeros);
    }
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

static void test_frame_when_it_would_pass_the_end_of_the_ring_then_the_ring_is_broken(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-end", (int)getpid());
    struct ring *ring = create_file_ring();
    struct ring_frame frame;
    uint64_t last = 0; /* position of the last frame before the end */
    for (int i = 0; svl__ring_tail(ring) < RING_BYTES_MIN + RING_BYTES_MIN / 8; i++) {
        uint64_t tail = svl__ring_tail(ring);
        last = tail < RING_BYTES_MIN ? tail : last;
        publish(ring, 1, 1000);
        if (i < 30 && svl__ring_next(ring, &frame)) /* space for those behind the end */
            svl__ring_release(ring, frame.end);
    }
    atomic_store(frame_header(ring, last),
                 make_header(ring, last, (uint32_t)svl__ring_payload_max(ring)));
    while (svl__ring_next(ring, &frame))
        assert_true(frame.len == 1000 && frame.end <= last);
    assert_true(svl__ring_is_broken(ring));
    assert_ok(svl__ring_unlink_file(ring));
    svl__ring_destroy(ring);
}

static void test_extra_when_the_process_has_died_then_it_is_as_it_was_left(void **state)
{
    (void)state;
    snprintf(name, sizeof name, "serverlog-test-%d-extra", (int)getpid());
    struct ring_options options = {
        .capacity = RING_BYTES_MIN, .directory = DIRECTORY, .name = name, .extra_bytes = 24
    };
    memcpy(options.store_uuid, store_uuid, 16);
    struct ring *ring;
    size_t bytes;
    static const uint8_t zeros[24];
    assert_ok(svl__ring_create(&options, &ring));
    char *extra = svl__ring_extra(ring, &bytes);
    assert_int_equal(bytes, 24);
    assert_memory_equal(extra, zeros, 24);
    strcpy(extra, "what it was at");
    for (uint32_t i = 0; i < RING_BYTES_MIN / 8192 - 1; i++) { /* up to the end of the data */
        struct ring_slot slot;
        assert_ok(svl__ring_reserve(ring, svl__ring_payload_max(ring), &slot));
        memset(slot.payload, 0xff, svl__ring_payload_max(ring));
        svl__ring_commit(&slot);
    }
    svl__ring_destroy(ring); /* the file stays, as after a crash */
    assert_ok(open_crashed(&ring));
    extra = svl__ring_extra(ring, &bytes);
    assert_int_equal(bytes, 24);
    assert_string_equal(extra, "what it was at");
    struct ring_frame frame = { .end = 0 };
    while (svl__ring_next(ring, &frame))
        ;
    svl__ring_release(ring, svl__ring_drained(ring));
    assert_string_equal(extra, "what it was at");
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
    snprintf(name, sizeof name, "serverlog-test-%d-none", (int)getpid());
    ring = create_file_ring();
    assert_null(svl__ring_extra(ring, &bytes));
    assert_int_equal(bytes, 0);
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

static void write_file(const void *data, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

/* Whatever the bytes: an error, or frames that lie in the ring. */
static void read_hostile(void)
{
    struct ring *ring;
    struct ring_frame frame;
    int rc = open_crashed(&ring);
    if (rc != SVL_OK) {
        assert_null(ring);
        return;
    }
    uint64_t bytes = 0, sum = 0;
    while (svl__ring_next(ring, &frame)) {
        bytes += frame.len;
        for (uint32_t i = 0; i < frame.len; i++)
            sum += frame.payload[i];
        assert_true(bytes <= RING_BYTES_MIN);
    }
    assert_true(sum <= bytes * 255);
    svl__ring_destroy(ring);
}

static void test_file_when_hostile_then_error_or_frames_within(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    snprintf(name, sizeof name, "serverlog-test-%d-hostile", (int)getpid());
    struct ring *ring = create_file_ring();
    for (int i = 0; i < 100; i++) {
        struct ring_slot slot;
        assert_ok(svl__ring_reserve(ring, 100, &slot));
        memset(slot.payload, i, 100);
        svl__ring_commit(&slot);
    }
    svl__ring_destroy(ring);
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    static uint8_t original[8192 + RING_BYTES_MIN], copy[sizeof original];
    assert_int_equal(read(fd, original, sizeof original), sizeof original);
    close(fd);
    static const size_t hot[] = { 0,    8,    16,   20,   24,   28,   32,   36,
                                  40,   56,   72,   4096, 4097, 4103, 4352, 4353,
                                  4359, 4360, 4367, 8192, 8195, 8196, 8299 };
    for (int round = 0; round < 2000; round++) {
        memcpy(copy, original, sizeof copy);
        int changes = 1 + (int)rng_below(&rng, 4);
        for (int i = 0; i < changes; i++) {
            size_t at = rng_below(&rng, 2) ? hot[rng_below(&rng, sizeof hot / sizeof hot[0])]
                                           : 4096 + rng_below(&rng, sizeof copy - 4096);
            copy[at] = (uint8_t)rng_next(&rng);
        }
        size_t len = rng_below(&rng, 10) == 0 ? rng_below(&rng, sizeof copy) : sizeof copy;
        write_file(copy, len);
        read_hostile();
    }
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof copy; i++)
            copy[i] = (uint8_t)rng_next(&rng);
        memcpy(copy, original, 80); /* a right header over noise */
        write_file(copy, sizeof copy);
        read_hostile();
    }
    memcpy(copy, original, sizeof copy);
    write_file(copy, sizeof copy);
    static const uint8_t other[16] = { 9 };
    assert_int_equal(svl__ring_open_crashed(DIRECTORY, name, other, unknown, NULL, &ring),
                     SVL_E_FOREIGN);
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(open_crashed(&ring), SVL_E_PATH);
    unlink(path);
    assert_int_equal(open_crashed(&ring), SVL_E_NOT_FOUND);
}

static void test_create_when_it_cannot_be_then_its_own_code(void **state)
{
    (void)state;
    struct ring *ring;
    struct ring_options options = { .capacity = RING_BYTES_MIN, .name = "x" };
    static const struct {
        uint64_t capacity;
        const char *directory;
        int code;
    } cases[] = {
        { RING_BYTES_MIN / 2, NULL, SVL_E_OPTION }, { RING_BYTES_MIN + 1, NULL, SVL_E_OPTION },
        { RING_BYTES_MAX * 2, NULL, SVL_E_OPTION }, { RING_BYTES_MIN, "/proc", SVL_E_FILE_SYSTEM },
        { RING_BYTES_MIN, "/nowhere", SVL_E_PATH }, { RING_BYTES_MIN, "/etc/passwd", SVL_E_PATH }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.capacity = cases[i].capacity;
        options.directory = cases[i].directory;
        assert_int_equal(svl__ring_create(&options, &ring), cases[i].code);
        assert_null(ring);
    }
    snprintf(name, sizeof name, "serverlog-test-%d-exists", (int)getpid());
    ring = create_file_ring();
    options =
        (struct ring_options){ .capacity = RING_BYTES_MIN, .directory = DIRECTORY, .name = name };
    struct ring *second;
    assert_int_not_equal(svl__ring_create(&options, &second), SVL_OK);
    assert_null(second);
    assert_ok(svl__ring_unlink(ring));
    svl__ring_destroy(ring);
}

int main(void)
{
    noted = mmap(NULL, sizeof *noted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_when_killed_then_committed_frames_are_recovered),
        cmocka_unit_test(test_recovery_when_done_twice_then_goes_on_where_it_was_released),
        cmocka_unit_test(test_recovery_when_killed_in_a_release_then_begins_behind_it),
        cmocka_unit_test(test_release_when_done_then_consumed_is_where_head_is),
        cmocka_unit_test(test_release_when_it_passes_the_end_of_the_ring_then_all_of_it_is_zero),
        cmocka_unit_test(test_frame_when_it_would_pass_the_end_of_the_ring_then_the_ring_is_broken),
        cmocka_unit_test(test_extra_when_the_process_has_died_then_it_is_as_it_was_left),
        cmocka_unit_test(test_file_when_hostile_then_error_or_frames_within),
        cmocka_unit_test(test_create_when_it_cannot_be_then_its_own_code),
    };
    return cmocka_run_group_tests_name("ring/crash", tests, NULL, NULL);
}
