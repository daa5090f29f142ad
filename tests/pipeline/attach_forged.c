/* Bytes at random in rings and in the attach page while the host drains: the host goes on, and stops, whatever they are;
 * what honest processes publish is stored once and in order as long as only rings of others are forged. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/layout.h"
#include "support/host.h"

#define RING (64u << 10)
#define FORGERS 3
#define PAGE_BYTES (4096 + 63 * 512)

static char path[512];
static char ring_directory[64];
static uint64_t damage; /* that hosts have met */

static void sleep_us(long us)
{
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };
    nanosleep(&t, NULL);
}

static svl_publisher *attach(void)
{
    svl_attach_options o;
    svl_publisher *p = NULL;
    if (svl_attach_options_init(&o, sizeof o) != SVL_OK)
        return NULL;
    o.ring_bytes = RING;
    o.block_timeout_ms = 20;
    o.ring_directory = ring_directory;
    return svl_attach(path, &o, &p) == SVL_OK ? p : NULL;
}

static int publish(svl_publisher *p, const char *source, uint64_t number)
{
    static char fill[2000];
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)number);
    svl_record record = { .source = slice_of(source),
                          .key = slice_of(key),
                          .body = { fill, number * 37 % sizeof fill } };
    return number % 20 == 0 ? svl_publisher_publish_sync(p, &record, 20, NULL)
                            : svl_publisher_publish(p, &record);
}

static void *map_file(const char *directory, const char *name, size_t bytes)
{
    char file[800];
    struct stat st;
    snprintf(file, sizeof file, "%s/%s", directory, name);
    int fd = open(file, O_RDWR); /* stays open: closing it would let a lock go */
    if (fd < 0 || fstat(fd, &st) != 0 || (size_t)st.st_size < bytes)
        return NULL;
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return mapping == MAP_FAILED ? NULL : mapping;
}

/* The newest ring file of this process: the one that it has open. */
static uint8_t *map_own_ring(void)
{
    uint8_t *mapping = NULL;
    DIR *listing = opendir("/proc/self/fd");
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        char link[300], target[300];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        if (strncmp(target, ring_directory, strlen(ring_directory)) == 0 && !strchr(target, ' '))
            mapping = map_file("", target, RING_DATA_OFFSET + RING);
    }
    closedir(listing);
    return mapping;
}

/* One word of a ring: mostly near what is true, and mostly where it hurts. */
static void scribble_ring(struct rng *rng, uint8_t *mapping)
{
    struct ring_control *control = (struct ring_control *)(void *)(mapping + 4096);
    uint64_t tail = atomic_load(&control->tail) & TAIL_POSITION;
    uint64_t position = (tail + rng_below(rng, RING)) & ~UINT64_C(7), value = rng_next(rng);
    uint32_t salt;
    memcpy(&salt, mapping + 32, sizeof salt);
    uint64_t at = 4096 + rng_below(rng, 240) * 8;
    switch (rng_below(rng, 8)) {
    case 0: /* the control page, anything */
        break;
    case 1: /* a position that could be one */
        value = tail + rng_below(rng, 2 * RING) - RING / 2;
        at = 4096 + (uint64_t[]){ 0, 128, 256, 264, 512, 520, 640 }[rng_below(rng, 7)];
        break;
    case 2: /* the header of the file */
        if (rng_below(rng, 50) == 0)
            at = rng_below(rng, 10) * 8;
        break;
    case 3: /* a frame that could be one */
    case 4:
        value = (uint64_t)(((uint32_t)(position >> 3) ^ salt) | STAMP_SET) << 32 |
                (uint32_t)(rng_below(rng, 8) << 29) | (uint32_t)rng_below(rng, 9000);
        at = RING_DATA_OFFSET + (position & (RING - 1));
        break;
    default: /* a payload, or a header */
        at = RING_DATA_OFFSET + rng_below(rng, RING / 8) * 8;
        if (rng_below(rng, 2))
            value = rng_below(rng, 300);
    }
    atomic_store_explicit((_Atomic uint64_t *)(void *)(mapping + at), value, memory_order_relaxed);
}

/* Publishes and scribbles over its own ring, until it ends in one of three ways. */
static void forge_ring(struct rng *rng)
{
    svl_publisher *p = attach();
    uint8_t *mapping = p ? map_own_ring() : NULL;
    if (!mapping)
        _exit(0); /* its slot was forged */
    uint64_t rounds = 20 + rng_below(rng, 400), gentle = rng_below(rng, 3);
    for (uint64_t i = 1; i <= rounds; i++) {
        for (uint64_t n = rng_below(rng, 20); n > 0; n--)
            publish(p, "forged", i);
        for (uint64_t n = gentle ? rng_below(rng, 3) : rng_below(rng, 300); n > 0; n--)
            scribble_ring(rng, mapping);
        if (rng_below(rng, 20) == 0)
            sleep_us((long)rng_below(rng, 2000));
    }
    if (rng_below(rng, 3) == 0)
        svl_publisher_close(p);
    if (rng_below(rng, 2))
        kill(getpid(), SIGKILL);
    _exit(0);
}

static void scribble_page(struct rng *rng, uint8_t *page, char names[8][64])
{
    uint8_t *slot = page + 4096 + rng_below(rng, 63) * 512;
    uint64_t value = rng_next(rng);
    switch (rng_below(rng, 6)) {
    case 0: /* the words, and what is behind them */
        memcpy(page + 32 + rng_below(rng, 2) * 4, &value, 4);
        break;
    case 1: /* anything */
        page[12 + rng_below(rng, PAGE_BYTES - 12)] = (uint8_t)value;
        break;
    case 2: /* a state */
        slot[0] = (uint8_t)rng_below(rng, 7);
        break;
    case 3: /* a generation */
        slot[1] = (uint8_t)rng_below(rng, 4);
        break;
    default: /* a ring that there is, or was */
        snprintf((char *)slot + 8, 256, "%s", rng_below(rng, 8) ? ring_directory : "/etc");
        snprintf((char *)slot + 264, 64, "%s", names[rng_below(rng, 8)]);
        slot[0] = 2;
    }
}

static void read_names(char names[8][64])
{
    size_t n = 0;
    memset(names, 0, 8 * 64);
    DIR *listing = opendir(ring_directory);
    for (struct dirent *entry; listing && (entry = readdir(listing)) && n < 7;)
        if (strncmp(entry->d_name, "serverlog-", 10) == 0)
            snprintf(names[n++], 64, "%.63s", entry->d_name);
    closedir(listing);
}

static void forge_page(struct rng *rng)
{
    uint8_t *page = map_file(path, "attach", PAGE_BYTES);
    char names[8][64];
    if (!page)
        _exit(1);
    for (;;) {
        read_names(names);
        for (int i = 0; i < 50; i++)
            scribble_page(rng, page, names);
        sleep_us((long)rng_below(rng, 3000));
    }
}

static pid_t start(struct rng *rng, void (*forge)(struct rng *rng))
{
    struct rng own = { rng_next(rng) };
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        forge(&own);
        _exit(0);
    }
    return child;
}

static void small(svl_store_options *store, svl_options *options)
{
    store->journal_file_bytes_max = 256 << 10;
    store->record_bytes_max = 4096;
    store->commit_bytes = 65536;
    store->block_bytes = 8192;
    store->sync_interval_ms = 2;
    store->commit_age_ms = 20;
    options->ring_bytes = RING;
    options->ring_directory = ring_directory;
}

static void replace(pid_t *child, struct rng *rng, void (*forge)(struct rng *rng))
{
    int status;
    if (*child == 0 || waitpid(*child, &status, WNOHANG) == *child)
        *child = start(rng, forge);
}

static void end(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

/* Of source "honest" the numbers 1 to n, in order, each once. Nothing is damaged that is stored. */
static void check_store(uint64_t n)
{
    svl_store_options o;
    svl_store *store;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t seen = 0;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of("honest");
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        char key[32] = "";
        memcpy(key, record->key.data, record->key.len);
        assert_int_equal(strtoull(key, NULL, 10), ++seen);
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    assert_int_equal(seen, n);
    assert_ok(svl_store_verify(store, NULL, NULL, NULL));
    assert_ok(svl_store_close(store));
}

static void publish_honestly(svl_publisher *p, uint64_t *number)
{
    int rc;
    for (int i = 0; i < 30; i++) {
        ++*number;
        while ((rc = publish(p, "honest", *number)) == SVL_E_FULL)
            ;
        assert_true(rc == SVL_OK || rc == SVL_E_TIMEOUT);
    }
    assert_ok(svl_publisher_flush(p, 60000));
}

/* The host of a few steps, which ends as it likes. */
static void run_host(struct rng *rng, bool with_page, uint64_t *number)
{
    struct host host;
    struct host_set_up set_up = { .options = small };
    pid_t forgers[FORGERS] = { 0 }, page = 0;
    host_start(&host, path, &set_up);
    svl_publisher *honest = with_page ? NULL : attach();
    assert_true(with_page || honest);
    uint64_t steps = 10 + rng_below(rng, 20);
    for (uint64_t step = 0; step < steps; step++) {
        for (int i = 0; i < FORGERS; i++)
            replace(&forgers[i], rng, forge_ring);
        if (with_page)
            replace(&page, rng, forge_page);
        host_publish(&host, "own");
        if (honest)
            publish_honestly(honest, number);
        sleep_us((long)rng_below(rng, 20000));
    }
    svl_pipeline_stats stats;
    host_stats(&host, &stats);
    damage += stats.attached_damaged + stats.attached_refused;
    if (rng_below(rng, 2))
        host_kill(&host);
    else
        host_stop(&host);
    for (int i = 0; i < FORGERS; i++)
        end(forgers[i]);
    if (page)
        end(page);
    assert_ok(svl_publisher_close(honest));
}

static void test_host_when_rings_and_page_are_forged_then_it_goes_on(void **state)
{
    (void)state;
    struct rng rng = { test_seed() };
    const char *seconds = getenv("SVL_TEST_SECONDS"); /* 3; more for a fuzz run */
    time_t until = time(NULL) + (seconds ? atoi(seconds) : 3);
    uint64_t runs = 0, number = 0;
    snprintf(path, sizeof path, "%s", temp_path());
    do {
        run_host(&rng, runs % 2 == 1, &number);
        check_store(number);
        runs++;
    } while (time(NULL) < until || runs < 2);
    print_message("%llu runs, %llu honest records, %llu times damage\n", (unsigned long long)runs,
                  (unsigned long long)number, (unsigned long long)damage);
    assert_true(damage > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_when_rings_and_page_are_forged_then_it_goes_on),
    };
    snprintf(ring_directory, sizeof ring_directory, "/dev/shm/serverlog-forged-%ld",
             (long)getpid());
    if (mkdir(ring_directory, 0700) != 0)
        return 1;
    int failed = cmocka_run_group_tests_name("pipeline/attach_forged", tests, NULL, NULL);
    temp_remove_all();
    remove_tree(ring_directory);
    return failed;
}
