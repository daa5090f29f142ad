/* Publishers that end, and rings and pages that are lost, cut or written over: who is told, and that the host and the
 * others go on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "support/attached.h"

static void test_publisher_when_killed_then_its_ring_is_drained_and_removed(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    for (int n = 0; n < 10; n++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
            char source[8];
            snprintf(source, sizeof source, "s%d", n);
            if (publish(p, source, 1, 10) != SVL_OK)
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        wait_gone(&host, (uint64_t)n + 1); /* nobody else wakes the host */
    }
    host_stop(&host);
    for (int n = 0; n < 10; n++) {
        char source[8];
        snprintf(source, sizeof source, "s%d", n);
        assert_int_equal(count(source), 1);
    }
    assert_int_equal(ring_files(), 0);
}

static void test_publisher_when_stopped_then_others_go_on(void **state)
{
    (void)state;
    struct host host;
    int pipes[2];
    new_path();
    host_start(&host, path, NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        if (write(pipes[1], "x", 1) != 1)
            _exit(1);
        for (uint64_t i = 1;; i++)
            if (publish(p, "stopped", i, 10) != SVL_OK)
                _exit(2);
    }
    char up;
    assert_int_equal(read(pipes[0], &up, 1), 1);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    uint64_t number = 0;
    for (int round = 0; round < 20; round++) {
        kill(child, SIGSTOP);
        for (int i = 0; i < 20; i++)
            assert_ok(publish(p, "a", ++number, 10));
        assert_ok(svl_publisher_flush(p, 10000));
        host_publish(&host, "own");
        kill(child, SIGCONT);
        sleep_ms(2);
    }
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, number + 1);
    host_stop(&host);
    assert_int_equal(count("a"), number);
    assert_true(count("stopped") > 0);
}

/* A child that was forked and runs no other program has the ring's file open as long as it lives. */
static void test_publisher_when_killed_with_a_child_left_then_its_ring_is_removed(void **state)
{
    (void)state;
    struct host host;
    int up[2];
    pid_t grandchild;
    new_path();
    host_start(&host, path, NULL);
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        if (publish(p, "a", 1, 10) != SVL_OK || svl_publisher_flush(p, 10000) != SVL_OK)
            _exit(1);
        grandchild = fork();
        if (grandchild == 0) {
            pause();
            _exit(0);
        }
        if (write(up[1], &grandchild, sizeof grandchild) != sizeof grandchild)
            _exit(2);
        pause();
    }
    assert_int_equal(read(up[0], &grandchild, sizeof grandchild), sizeof grandchild);
    sleep_ms(20); /* the host sleeps */
    kill(child, SIGKILL);
    assert_true(WIFSIGNALED(wait_end(child)));
    wait_gone(&host, 1);
    kill(grandchild, SIGKILL);
    host_stop(&host);
    assert_int_equal(ring_files(), 0);
}

static void test_publisher_when_its_lock_is_lost_then_nothing_that_was_published_is(void **state)
{
    (void)state;
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    for (int round = 0; round < 20; round++) {
        char source[16];
        uint64_t n = 0;
        snprintf(source, sizeof source, "r%d", round);
        svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        for (int i = 0; i < 50; i++)
            assert_ok(publish(p, source, ++n, 10));
        close(open_ring_file());
        int rc;
        while ((rc = publish(p, source, n + 1, 10)) == SVL_OK ||
               rc == SVL_E_FULL) /* a busy machine */
            n += rc == SVL_OK;
        assert_int_equal(rc, SVL_E_FAILED);
        assert_ok(svl_publisher_close(p));
        wait_gone(&host, 0);
        host_stop(&host);
        uint64_t stored = count(source);
        assert_in_range(stored, n, n + 1);
        host_start(&host, path, NULL);
    }
    host_stop(&host);
    assert_int_equal(ring_files(), 0);
}

static void test_publisher_when_its_file_was_removed_then_it_is_told_by_the_next_host(void **state)
{
    (void)state;
    struct host host;
    make_store();
    svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    remove_own_ring_file();
    host_start(&host, path, NULL);
    for (int i = 0; i < 1000 && publish(p, "a", 2, 10) == SVL_OK; i++)
        sleep_ms(5);
    assert_int_equal(publish(p, "a", 2, 10), SVL_E_FAILED);
    assert_int_equal(svl_publisher_flush(p, -1), SVL_E_FAILED);
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    assert_int_equal(stats.attached_damaged, 1);
    assert_ok(svl_publisher_close(p));
    host_stop(&host);
}

static void test_flush_when_its_ring_is_given_up_meanwhile_then_it_ends(void **state)
{
    (void)state;
    struct host host;
    int up[2];
    char c;
    make_store();
    assert_int_equal(pipe(up), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        svl_publisher *p = attach_or_exit(SVL_FULL_BLOCK);
        remove_own_ring_file();
        if (publish(p, "a", 1, 10) != SVL_OK || write(up[1], "x", 1) != 1)
            _exit(1);
        _exit(svl_publisher_flush(p, -1) == SVL_E_FAILED ? 0 : 2);
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    sleep_ms(50); /* it waits */
    host_start(&host, path, NULL);
    assert_int_equal(wait_end(child), 0);
    host_stop(&host);
}

static void test_close_when_its_ring_was_given_up_unheard_then_it_says_so(void **state)
{
    (void)state;
    struct host host;
    make_store();
    for (int records = 0; records < 2; records++) {
        svl_pipeline_stats stats = { .attached_damaged = 0 };
        svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
        if (records > 0)
            assert_ok(publish(p, "a", 1, 10));
        remove_own_ring_file();
        host_start(&host, path, NULL);
        while (stats.attached_damaged == 0)
            host_stats(&host, &stats);
        assert_int_equal(svl_publisher_close(p), records > 0 ? SVL_E_FAILED : SVL_OK);
        host_stop(&host);
    }
}

static void assert_told_that_its_store_was_removed(int rc)
{
    assert_int_equal(rc, SVL_E_FAILED);
    assert_non_null(strstr(svl_last_error(), "the store was removed"));
}

/* Whether there is another one at its path now or not, nobody finds the ring any more. */
static void test_publisher_when_its_store_was_removed_then_waits_and_close_say_so(void **state)
{
    (void)state;
    const struct {
        bool is_made_anew, is_flushed;
    } cases[] = { { false, false }, { false, true }, { true, false }, { true, true } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct host host;
        make_store();
        svl_publisher *p = attach_with(0, SVL_FULL_BLOCK);
        svl_record record = { .source = slice_of("a"), .body = slice_of("b") };
        assert_ok(publish(p, "a", 1, 10));
        remove_tree(path);
        if (cases[i].is_made_anew)
            host_start(&host, path, NULL);
        if (cases[i].is_flushed) {
            assert_told_that_its_store_was_removed(svl_publisher_flush(p, -1));
            assert_told_that_its_store_was_removed(svl_publisher_flush(p, 1));
            assert_told_that_its_store_was_removed(
                svl_publisher_publish_sync(p, &record, -1, NULL));
            assert_ok(svl_publisher_close(p)); /* it was told */
        } else {
            assert_told_that_its_store_was_removed(svl_publisher_close(p));
        }
        if (cases[i].is_made_anew)
            host_stop(&host);
        assert_int_equal(ring_files(), 0);
    }
}

static void test_publish_when_full_and_given_up_then_it_says_so(void **state)
{
    (void)state;
    struct host host;
    make_store();
    svl_pipeline_stats stats = { .attached_damaged = 0 };
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_FAIL);
    while (publish(p, "a", 1, 1000) == SVL_OK)
        ;
    assert_int_equal(publish(p, "a", 1, 1000), SVL_E_FULL);
    remove_own_ring_file();
    host_start(&host, path, NULL);
    while (stats.attached_damaged == 0)
        host_stats(&host, &stats);
    assert_int_equal(publish(p, "a", 1, 1000), SVL_E_FAILED);
    assert_ok(svl_publisher_close(p)); /* it was told */
    host_stop(&host);
}

static void test_ring_when_written_over_then_its_publisher_is_told_and_others_go_on(void **state)
{
    (void)state;
    struct host host;
    char garbage[48];
    new_path();
    host_start(&host, path, NULL);
    svl_publisher *bad = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(publish(bad, "bad", 1, 10));
    assert_ok(svl_publisher_flush(bad, 10000));
    int fd = open_ring_file();
    svl_publisher *good = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    /* Where its next frame will be, and its tail behind that. */
    uint64_t tail;
    assert_int_equal(pread(fd, &tail, sizeof tail, 4096), sizeof tail);
    tail &= ~UINT64_C(7);
    host_freeze(&host);
    memset(garbage, 0x55, sizeof garbage);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, (off_t)(8192 + tail)), sizeof garbage);
    tail += sizeof garbage;
    assert_int_equal(pwrite(fd, &tail, sizeof tail, 4096), sizeof tail);
    assert_ok(publish(bad, "bad", 2, 10)); /* whole, behind what is not */
    assert_ok(publish(good, "good", 1, 10));
    host_thaw(&host);
    wait_damaged(&host, 1);
    assert_int_equal(publish(bad, "bad", 3, 10), SVL_E_CORRUPT);
    assert_int_equal(svl_publisher_flush(bad, -1), SVL_E_CORRUPT);
    assert_ok(publish(good, "good", 2, 10));
    assert_ok(svl_publisher_flush(good, 10000));
    assert_ok(svl_publisher_close(bad));
    close(fd); /* not before: this process' lock would go with it */
    assert_ok(svl_publisher_close(good));
    wait_gone(&host, 4);
    host_stop(&host);
    assert_int_equal(count("bad"), 2);
    assert_int_equal(count("good"), 2);
    assert_int_equal(ring_files(), 0);
}

/* A ring that has another's uuid, or that under which the journal counts the other's drops: what is written of the one
 * would be noted of the other. */
static void test_ring_when_its_uuid_is_of_another_then_given_up_and_that_goes_on(void **state)
{
    (void)state;
    for (int turned = 0; turned < 2; turned++) {
        struct host host;
        uint8_t header[80], uuid[16];
        make_store();
        svl_publisher *good = attach_with(SMALL_RING, SVL_FULL_FAIL);
        assert_ok(publish(good, "good", 1, 10));
        int good_fd = open_ring_file();
        svl_publisher *bad = attach_with(SMALL_RING, SVL_FULL_FAIL);
        int bad_fd = open_ring_file_beside(good_fd);
        assert_int_equal(pread(good_fd, uuid, sizeof uuid, 40), sizeof uuid);
        assert_int_equal(pread(bad_fd, header, sizeof header, 0), sizeof header);
        for (size_t i = 0; i < sizeof uuid; i++)
            header[40 + i] = turned ? (uint8_t)~uuid[i] : uuid[i];
        store_u64(header + 72, svl__checksum(header, 72));
        assert_int_equal(pwrite(bad_fd, header, sizeof header, 0), sizeof header);
        host_start(&host, path, NULL);
        wait_damaged(&host, 1);
        assert_ok(publish(good, "good", 2, 10));
        assert_ok(svl_publisher_flush(good, 10000));
        svl_publisher_close(bad);
        assert_ok(svl_publisher_close(good));
        close(bad_fd);
        close(good_fd);
        host_stop(&host);
        assert_int_equal(count("good"), 2);
        assert_int_equal(ring_files(), 0);
    }
}

static void pumped(svl_store_options *store, svl_options *options)
{
    (void)store;
    options->flags |= SVL_THREADLESS;
}

static void pumped_with_slow_flush(svl_store_options *store, svl_options *options)
{
    pumped(store, options);
    store->sync_interval_ms = 300;
}

/* At rest, and between the drain and the flush, but never while the host is at the ring: it would get SIGBUS then
 * (foreign.h), as the publisher would here. */
static void test_ring_when_cut_short_then_given_up_and_others_go_on(void **state)
{
    (void)state;
    for (int flushed = 0; flushed < 2; flushed++) {
        struct host host;
        struct host_set_up set_up = { .options = flushed ? pumped : pumped_with_slow_flush };
        int up[2];
        char c;
        new_path();
        host_start(&host, path, &set_up);
        assert_int_equal(pipe(up), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            svl_publisher *bad = attach_or_exit(SVL_FULL_BLOCK);
            if (publish(bad, "bad", 1, 10) != SVL_OK ||
                (flushed && svl_publisher_flush(bad, 10000) != SVL_OK) || write(up[1], "x", 1) != 1)
                _exit(1);
            pause();
        }
        assert_int_equal(read(up[0], &c, 1), 1);
        svl_pipeline_stats stats = { .attached_records = 0 };
        while (stats.attached_records == 0)
            host_stats(&host, &stats);
        int fd = open_ring_file();
        host_hold(&host);
        assert_int_equal(ftruncate(fd, flushed ? 4096 : 0), 0);
        host_go(&host);
        if (!flushed)
            sleep_ms(500); /* the host flushes before it has a reason to look at the ring */
        close(fd);
        svl_publisher *good = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        assert_ok(publish(good, "good", 1, 10));
        assert_ok(svl_publisher_flush(good, 10000));
        wait_damaged(&host, 1);
        kill(child, SIGKILL);
        assert_true(WIFSIGNALED(wait_end(child)));
        assert_ok(svl_publisher_close(good));
        wait_gone(&host, 2);
        host_stop(&host);
        assert_int_equal(count("bad"), 1);
    }
}

/* As one that was stopped, then killed, in svl_attach(): its slot is locked, and half made. */
static void test_attach_when_another_process_is_stopped_in_it_then_goes_on(void **state)
{
    (void)state;
    int up[2];
    char c, name[600], file[200];
    make_store();
    assert_int_equal(pipe(up), 0);
    snprintf(file, sizeof file, "%s/serverlog-half", ring_directory);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct flock slot = { .l_type = F_WRLCK, .l_start = 4096, .l_len = 512 };
        char bytes[512] = { 1 };
        snprintf(bytes + 8, 256, "%s", ring_directory);
        snprintf(bytes + 264, 64, "serverlog-half");
        snprintf(name, sizeof name, "%s/attach", path);
        int fd = open(name, O_RDWR);
        if (fcntl(fd, F_SETLK, &slot) != 0 || pwrite(fd, bytes, 512, 4096) != 512 ||
            open(file, O_RDWR | O_CREAT, 0600) < 0 || write(up[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(up[0], &c, 1), 1);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    assert_int_equal(ring_files(), 2);
    kill(child, SIGKILL);
    assert_true(WIFSIGNALED(wait_end(child)));
    svl_publisher *second = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(ring_files(), 2);
    assert_ok(svl_publisher_close(second));
    assert_ok(svl_publisher_close(p));
    struct host host;
    host_start(&host, path, NULL);
    wait_gone(&host, 1);
    host_stop(&host);
    assert_int_equal(count("a"), 1);
}

/* Slots with any bytes, and with names that are nobody's ring: the host's own, a second time the same, a path. */
static void test_page_when_forged_then_the_host_works_and_frees_it(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (int round = 0; round < 20; round++) {
        struct host host;
        char name[600];
        static unsigned char bytes[36352];
        make_store();
        snprintf(name, sizeof name, "%s/attach", path);
        int fd = open(name, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
        for (size_t i = round == 0 ? 0 : 32; i < sizeof bytes; i++)
            if (round % 2 == 0 || i < 4096 || i % 512 >= 8)
                bytes[i] = (unsigned char)rng_next(&rng);
        for (size_t slot = 0; round > 0 && slot < 63; slot++) {
            unsigned char *s = bytes + 4096 + slot * 512;
            s[0] = (unsigned char)rng_below(&rng, 8);
            if (rng_below(&rng, 2))
                snprintf((char *)s + 8, 256, "%s", rng_below(&rng, 2) ? "/dev/shm" : "/etc");
            if (rng_below(&rng, 2))
                snprintf((char *)s + 264, 64, "serverlog-%s",
                         rng_below(&rng, 2) ? "test/../../../etc/passwd" : "no");
        }
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
        close(fd);
        host_start(&host, path, NULL);
        host_publish(&host, "own");
        svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        assert_ok(publish(p, "a", 1, 10));
        assert_ok(svl_publisher_flush(p, 10000));
        assert_ok(svl_publisher_close(p));
        wait_gone(&host, 1);
        /* Every slot can be taken again. */
        static svl_publisher *all[63];
        for (size_t i = 0; i < 63; i++)
            all[i] = attach_with(SMALL_RING, SVL_FULL_BLOCK);
        for (size_t i = 0; i < 63; i++)
            assert_ok(svl_publisher_close(all[i]));
        host_stop(&host);
        assert_int_equal(count("a"), 1);
    }
}

/* As after the death of a host that has written the record, and not the ring's file. */
static void test_drops_when_told_and_the_ring_does_not_know_then_not_told_again(void **state)
{
    (void)state;
    enum { COUNTED_AT = 4608, TOLD_AT = 4616 };
    struct host host;
    uint64_t counted, told, nothing = 0;
    new_path();
    host_start(&host, path, NULL);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_DROP_NEW);
    assert_ok(publish(p, "a", 1, 10));
    assert_ok(svl_publisher_flush(p, 10000));
    host_freeze(&host);
    for (uint64_t i = 2; i <= 200; i++)
        assert_ok(publish(p, "a", i, 1000));
    host_thaw(&host);
    assert_ok(svl_publisher_flush(p, 10000));
    host_stop(&host);
    int fd = open_ring_file();
    assert_int_equal(pread(fd, &counted, sizeof counted, COUNTED_AT), sizeof counted);
    assert_int_equal(pread(fd, &told, sizeof told, TOLD_AT), sizeof told);
    assert_true(counted > 0 && told == counted);
    assert_int_equal(pwrite(fd, &nothing, sizeof nothing, TOLD_AT), sizeof nothing);
    host_start(&host, path, NULL);
    assert_ok(publish(p, "b", 1, 10));
    assert_ok(svl_publisher_flush(p, 10000));
    assert_int_equal(pread(fd, &told, sizeof told, TOLD_AT), sizeof told);
    assert_true(told == counted);
    host_stop(&host);
    assert_int_equal(count("serverlog.gap"), 1);
    assert_ok(svl_publisher_close(p));
    close(fd);
}

/* The host looks at the slots one after another. */
static void wait_slots_free(void)
{
    unsigned char bytes[36352];
    char name[600];
    size_t used = 1;
    snprintf(name, sizeof name, "%s/attach", path);
    while (used > 0) {
        int fd = open(name, O_RDONLY);
        assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
        close(fd);
        used = 0;
        for (size_t slot = 0; slot < 63; slot++)
            used += bytes[4096 + slot * 512] != 0;
        if (used > 0)
            sleep_ms(1);
    }
}

/* What never can be a ring is not looked for again and again. */
static void test_page_when_slots_name_no_regular_files_then_each_can_be_taken(void **state)
{
    (void)state;
    static const mode_t kinds[] = { S_IFSOCK, S_IFIFO, S_IFDIR };
    static unsigned char bytes[36352];
    static svl_publisher *all[63];
    struct host host;
    char name[600];
    make_store();
    snprintf(name, sizeof name, "%s/attach", path);
    int fd = open(name, O_RDWR);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    for (size_t slot = 0; slot < 63; slot++) {
        unsigned char *s = bytes + 4096 + slot * 512;
        s[0] = (unsigned char)(1 + slot / 3 % 7); /* its state */
        snprintf((char *)s + 8, 256, "%s", ring_directory);
        snprintf((char *)s + 264, 64, "serverlog-%zu", slot % 3);
    }
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/serverlog-%zu", ring_directory, i);
        assert_int_equal(kinds[i] == S_IFDIR ? mkdir(name, 0700) : mknod(name, kinds[i] | 0600, 0),
                         0);
    }
    host_start(&host, path, NULL);
    wait_slots_free();
    for (size_t i = 0; i < 63; i++)
        all[i] = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    for (size_t i = 0; i < 63; i++)
        assert_ok(svl_publisher_close(all[i]));
    wait_gone(&host, 0);
    host_stop(&host);
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/serverlog-%zu", ring_directory, i);
        assert_int_equal(remove(name), 0);
    }
    assert_int_equal(ring_files(), 0);
}

/* A copy of a store that is open names the rings of those who publish into the other. */
static void test_ring_when_its_store_is_copied_then_left_to_the_first_host(void **state)
{
    (void)state;
    struct host host, second;
    char first[512], copy[512];
    new_path();
    snprintf(first, sizeof first, "%s", path);
    host_start(&host, path, NULL);
    svl_publisher *p = attach_with(SMALL_RING, SVL_FULL_BLOCK);
    assert_ok(publish(p, "a", 1, 10));
    assert_ok(svl_publisher_flush(p, 10000));
    new_path();
    snprintf(copy, sizeof copy, "%s", path);
    host_stop(&host); /* LMDB's files are copied at rest */
    copy_tree(first, copy);
    host_start(&host, first, NULL);
    svl_pipeline_stats stats = { .attached_publishers = 0 };
    while (stats.attached_publishers == 0)
        host_stats(&host, &stats);
    host_start(&second, copy, NULL);
    for (uint64_t i = 2; i <= 500; i++)
        assert_ok(publish(p, "a", i, 100));
    assert_ok(svl_publisher_flush(p, 10000));
    host_stats(&second, &stats);
    assert_int_equal(stats.attached_publishers, 0);
    assert_int_equal(stats.attached_damaged, 0);
    host_stop(&second);
    assert_ok(svl_publisher_close(p));
    wait_gone(&host, 499);
    host_stop(&host);
    snprintf(path, sizeof path, "%s", first);
    assert_int_equal(count("a"), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publisher_when_killed_then_its_ring_is_drained_and_removed),
        cmocka_unit_test(test_publisher_when_stopped_then_others_go_on),
        cmocka_unit_test(test_publisher_when_killed_with_a_child_left_then_its_ring_is_removed),
        cmocka_unit_test(test_publisher_when_its_lock_is_lost_then_nothing_that_was_published_is),
        cmocka_unit_test(test_publisher_when_its_file_was_removed_then_it_is_told_by_the_next_host),
        cmocka_unit_test(test_flush_when_its_ring_is_given_up_meanwhile_then_it_ends),
        cmocka_unit_test(test_close_when_its_ring_was_given_up_unheard_then_it_says_so),
        cmocka_unit_test(test_publisher_when_its_store_was_removed_then_waits_and_close_say_so),
        cmocka_unit_test(test_publish_when_full_and_given_up_then_it_says_so),
        cmocka_unit_test(test_ring_when_written_over_then_its_publisher_is_told_and_others_go_on),
        cmocka_unit_test(test_ring_when_its_uuid_is_of_another_then_given_up_and_that_goes_on),
        cmocka_unit_test(test_ring_when_cut_short_then_given_up_and_others_go_on),
        cmocka_unit_test(test_attach_when_another_process_is_stopped_in_it_then_goes_on),
        cmocka_unit_test(test_ring_when_its_store_is_copied_then_left_to_the_first_host),
        cmocka_unit_test(test_page_when_forged_then_the_host_works_and_frees_it),
        cmocka_unit_test(test_drops_when_told_and_the_ring_does_not_know_then_not_told_again),
        cmocka_unit_test(test_page_when_slots_name_no_regular_files_then_each_can_be_taken),
    };
    return run_attached("pipeline/%s", tests, sizeof tests / sizeof tests[0]);
}
