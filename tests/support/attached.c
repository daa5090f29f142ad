/* attached.c - a store, its ring directory, and what is asked of both. */
#define _GNU_SOURCE
#include "attached.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char path[512];
char ring_directory[64];

void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&t, NULL);
}

void new_path(void)
{
    snprintf(path, sizeof path, "%s", temp_path());
}

void make_store(void)
{
    struct host host;
    new_path();
    host_start(&host, path, NULL);
    host_stop(&host);
}

svl_publisher *attach_with(uint64_t ring_bytes, uint32_t policy)
{
    svl_attach_options o;
    svl_publisher *p;
    assert_ok(svl_attach_options_init(&o, sizeof o));
    o.ring_bytes = ring_bytes;
    o.full_policy = policy;
    o.block_timeout_ms = 50;
    o.ring_directory = ring_directory;
    assert_ok(svl_attach(path, &o, &p));
    return p;
}

svl_publisher *attach_or_exit(uint32_t policy)
{
    svl_attach_options o;
    svl_publisher *p;
    int rc = svl_attach_options_init(&o, sizeof o);
    o.ring_bytes = SMALL_RING;
    o.full_policy = policy;
    o.ring_directory = ring_directory;
    while (rc == SVL_OK && (rc = svl_attach(path, &o, &p)) == SVL_E_RESOURCE) {
        sleep_ms(1); /* the host is at those that have left */
        rc = SVL_OK;
    }
    if (rc != SVL_OK)
        _exit(9);
    return p;
}

int publish(svl_publisher *p, const char *source, uint64_t number, size_t body)
{
    static char fill[32 << 10];
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)number);
    svl_record record = { .source = slice_of(source),
                          .key = slice_of(key),
                          .body = { fill, body } };
    return svl_publisher_publish(p, &record);
}

uint64_t count(const char *source)
{
    svl_store_options o;
    svl_store *store;
    svl_query query;
    svl_cursor *cursor;
    const svl_record *record;
    uint64_t n = 0;
    assert_ok(svl_store_options_init(&o, sizeof o));
    o.flags = SVL_STORE_READ_ONLY;
    assert_ok(svl_store_open(path, &o, &store));
    assert_ok(svl_query_init(&query, sizeof query));
    query.source = slice_of(source);
    assert_ok(svl_store_query(store, &query, &cursor));
    int rc;
    while ((rc = svl_cursor_next(cursor, 0, &record)) == SVL_OK) {
        char key[32] = "";
        assert_true(record->key.len < sizeof key);
        if (record->key.len > 0)
            memcpy(key, record->key.data, record->key.len);
        n++;
        if (!strchr(source, '.'))
            assert_int_equal(strtoull(key, NULL, 10), n);
    }
    assert_int_equal(rc, SVL_E_END);
    svl_cursor_close(cursor);
    assert_ok(svl_store_close(store));
    return n;
}

void wait_gone(const struct host *host, uint64_t records)
{
    svl_pipeline_stats stats;
    for (int i = 0; i < 2000; i++) {
        stats = (svl_pipeline_stats){ .struct_size = sizeof stats };
        host_stats(host, &stats);
        if (stats.attached_publishers == 0 && stats.attached_records >= records)
            return;
        sleep_ms(5);
    }
    fail_msg("the host has %llu rings still", (unsigned long long)stats.attached_publishers);
}

unsigned ring_files(void)
{
    unsigned n = 0;
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        n += strncmp(entry->d_name, "serverlog-", 10) == 0;
    closedir(listing);
    return n;
}

int wait_end(pid_t child)
{
    int status;
    for (int i = 0; i < 4000 && waitpid(child, &status, WNOHANG) == 0; i++) {
        sleep_ms(5);
        if (i == 3999) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            fail_msg("it waits still");
        }
    }
    return status;
}

void remove_own_ring_file(void)
{
    DIR *listing = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(listing));) {
        char link[300], target[300];
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t n = readlink(link, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        if (strncmp(target, ring_directory, strlen(ring_directory)) == 0)
            unlink(target);
    }
    closedir(listing);
}

int open_ring_file(void)
{
    char name[400] = "";
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strncmp(entry->d_name, "serverlog-", 10) == 0)
            snprintf(name, sizeof name, "%s/%s", ring_directory, entry->d_name);
    closedir(listing);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

int open_ring_file_beside(int fd)
{
    struct stat mine, other;
    int found = -1;
    DIR *listing = opendir(ring_directory);
    assert_non_null(listing);
    assert_int_equal(fstat(fd, &mine), 0);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strncmp(entry->d_name, "serverlog-", 10) == 0 &&
            fstatat(dirfd(listing), entry->d_name, &other, 0) == 0 && other.st_ino != mine.st_ino)
            found = openat(dirfd(listing), entry->d_name, O_RDWR);
    closedir(listing);
    assert_true(found >= 0);
    return found;
}

void wait_damaged(const struct host *host, uint64_t n)
{
    svl_pipeline_stats stats = { .attached_damaged = 0 };
    for (int i = 0; i < 2000 && stats.attached_damaged < n; i++) {
        sleep_ms(5);
        host_stats(host, &stats);
    }
    assert_int_equal(stats.attached_damaged, n);
}

int run_attached(const char *name, const struct CMUnitTest *tests, size_t n)
{
    snprintf(ring_directory, sizeof ring_directory, "/dev/shm/serverlog-test-%ld", (long)getpid());
    if (mkdir(ring_directory, 0700) != 0)
        return 1;
    int failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    temp_remove_all();
    remove_tree(ring_directory);
    return failed;
}
