/* A crash ring of another version, with a forged header or of random bytes is found at a start: it is refused by its
 * name and left as it is, as often as it is tried; without it the store goes on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checksum.h"
#include "ring/layout.h"
#include "support/support.h"

#define RING_BYTES RING_BYTES_MIN
#define FILE_MAX (RING_DATA_OFFSET + RING_BYTES + RING_EXTRA_MAX)

static char path[512], directory[64], ring_path[400];
static uint8_t original[FILE_MAX], changed[FILE_MAX], found[FILE_MAX];
static size_t size;

static svl_pipeline *open_pipeline(void)
{
    svl_store_options store;
    svl_options options;
    svl_pipeline *p;
    assert_ok(svl_store_options_init(&store, sizeof store));
    assert_ok(svl_options_init(&options, sizeof options));
    store.record_bytes_max = RING_BYTES / RING_FRAME_PART;
    options.store = &store;
    options.ring_bytes = RING_BYTES;
    options.ring_directory = directory;
    assert_ok(svl_open(path, &options, &p));
    return p;
}

static size_t read_ring(uint8_t out[FILE_MAX])
{
    int fd = open(ring_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, FILE_MAX);
    assert_true(n > RING_DATA_OFFSET);
    close(fd);
    return (size_t)n;
}

static void write_ring(const uint8_t *data, size_t len)
{
    int fd = open(ring_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

static int never_returns(svl_ingest *ingest, svl_record *record, void *user)
{
    (void)ingest;
    (void)record;
    (void)user;
    for (;;)
        pause();
    return SVL_OK;
}

/* A process has died with two records in its ring, which is the only file of its directory. */
static int make_ring(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s", temp_path());
    snprintf(directory, sizeof directory, "/dev/shm/serverlog-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        svl_pipeline *p = open_pipeline();
        assert_ok(svl_on_ingest(p, NULL, never_returns, NULL));
        assert_ok(svl_start(p));
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "one"));
        assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "two"));
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (entry->d_name[0] != '.')
            snprintf(ring_path, sizeof ring_path, "%s/%s", directory, entry->d_name);
    closedir(listing);
    size = read_ring(original);
    memcpy(changed, original, size);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_tree(directory);
    return 0;
}

static uint64_t count(svl_pipeline *p)
{
    svl_store_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_store_stats_get(svl_pipeline_store(p), &stats));
    return stats.records;
}

/* What is in `changed`, `len` bytes of it, is found at two starts. */
static void assert_refused(size_t len, int code)
{
    write_ring(changed, len);
    for (int i = 0; i < 2; i++) {
        svl_pipeline *p = open_pipeline();
        assert_int_equal(svl_start(p), code);
        assert_non_null(strstr(svl_last_error(), strrchr(ring_path, '/') + 1));
        assert_ok(svl_close(p));
        assert_int_equal(read_ring(found), len);
        assert_memory_equal(found, changed, len);
    }
}

/* A field of the header, its checksum made right again. */
static void assert_header_refused(size_t at, uint64_t value, size_t bytes, int code)
{
    memcpy(changed, original, size);
    memcpy(changed + at, &value, bytes);
    uint64_t sum = svl__checksum(changed, 72);
    memcpy(changed + 72, &sum, sizeof sum);
    assert_refused(size, code);
}

static void test_header_when_forged_then_refused_and_left_as_it_is(void **state)
{
    (void)state;
    assert_header_refused(8, RING_VERSION + 1, 4, SVL_E_VERSION);
    assert_header_refused(8, 0, 4, SVL_E_VERSION);
    assert_header_refused(16, 1, 4, SVL_E_VERSION); /* an incompatible feature */
    assert_header_refused(0, RING_MAGIC + 1, 8, SVL_E_CORRUPT);
    assert_header_refused(20, 0, 4, SVL_E_CORRUPT); /* where the data lies */
    assert_header_refused(24, RING_BYTES * 2, 8, SVL_E_CORRUPT);
    assert_header_refused(24, UINT64_MAX, 8, SVL_E_CORRUPT);
    assert_header_refused(36, UINT32_MAX, 4, SVL_E_CORRUPT); /* bytes behind it */
    assert_header_refused(56, 1, 8, SVL_E_FOREIGN);
}

/* The positions have no checksum. */
static void assert_position_refused(size_t at, uint64_t value)
{
    memcpy(changed, original, size);
    memcpy(changed + at, &value, sizeof value);
    assert_refused(size, SVL_E_CORRUPT);
}

static void test_positions_when_they_cannot_be_then_refused(void **state)
{
    (void)state;
    static const size_t head = 4352, consumed = 4360, tail = 4096;
    assert_position_refused(tail, UINT64_MAX);
    assert_position_refused(tail, 2 * RING_BYTES);
    assert_position_refused(head, UINT64_MAX);
    assert_position_refused(head, 4);
    assert_position_refused(consumed, UINT64_MAX - 7);
    assert_position_refused(consumed, 12);
}

static void test_ring_when_cut_or_of_random_bytes_then_refused_and_without_it_goes_on(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    assert_refused(size - 1, SVL_E_CORRUPT);
    assert_refused(RING_DATA_OFFSET + 1, SVL_E_CORRUPT);
    for (size_t i = 0; i < size; i++)
        changed[i] = (uint8_t)rng_next(&rng);
    assert_refused(size, SVL_E_CORRUPT);
    assert_int_equal(unlink(ring_path), 0);
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_start(p));
    assert_ok(svl_publish_text(p, SVL_SEVERITY_INFO, "in", "goes on"));
    assert_ok(svl_flush(p, -1));
    assert_int_equal(count(p), 1);
    assert_ok(svl_close(p));
}

/* Nobody can tell these from records: at most they are skipped, and what is whole is stored. */
static void test_data_when_of_random_bytes_then_only_records_are_stored(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    for (size_t i = RING_DATA_OFFSET; i < RING_DATA_OFFSET + RING_BYTES; i++)
        changed[i] = (uint8_t)rng_next(&rng);
    write_ring(changed, size);
    svl_pipeline *p = open_pipeline();
    assert_ok(svl_start(p));
    assert_int_equal(count(p), 0);
    svl_pipeline_stats stats = { .struct_size = sizeof stats };
    assert_ok(svl_pipeline_stats_get(p, &stats));
    assert_true(stats.ring_unfinished > 0);
    assert_ok(svl_close(p));
    assert_int_equal(access(ring_path, F_OK), -1);
}

int main(void)
{
#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, make_ring, remove_directory)
    const struct CMUnitTest tests[] = {
        RING_TEST(test_header_when_forged_then_refused_and_left_as_it_is),
        RING_TEST(test_positions_when_they_cannot_be_then_refused),
        RING_TEST(test_ring_when_cut_or_of_random_bytes_then_refused_and_without_it_goes_on),
        RING_TEST(test_data_when_of_random_bytes_then_only_records_are_stored),
    };
    int failed = cmocka_run_group_tests_name("pipeline/hostile_ring", tests, NULL, NULL);
    temp_remove_all();
    return failed;
}
