/* support.c - temporary directories, seeds, assertions. */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char root[256];
static pid_t root_owner;
static unsigned path_count;

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void temp_remove_all(void)
{
    if (root[0] && root_owner == getpid())
        remove_tree(root);
    root[0] = 0;
}

const char *temp_path(void)
{
    static char path[512];
    if (!root[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(root, sizeof root, "%s/serverlog-test-XXXXXX", base ? base : "/tmp");
        assert_non_null(mkdtemp(root));
        root_owner = getpid();
        atexit(temp_remove_all);
    }
    snprintf(path, sizeof path, "%s/%u", root, path_count++);
    return path;
}

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        assert_int_equal(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
}

void copy_tree(const char *from, const char *to)
{
    assert_int_equal(mkdir(to, 0700), 0);
    DIR *listing = opendir(from);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        char a[1024], b[1024];
        snprintf(a, sizeof a, "%s/%s", from, entry->d_name);
        snprintf(b, sizeof b, "%s/%s", to, entry->d_name);
        struct stat st;
        if (lstat(a, &st) == 0 && S_ISREG(st.st_mode))
            copy_file(a, b);
    }
    closedir(listing);
}

uint64_t test_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("SVL_TEST_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = given ? strtoull(given, NULL, 0)
                     : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
        seed |= 1;
        print_message("seed: SVL_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

int test_times(int n)
{
    const char *given = getenv("SVL_TEST_TIMES");
    int times = given ? atoi(given) : 1;
    return times > 0 ? n * times : n;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
    return rng_next(rng) % n;
}

svl_slice slice_of(const char *text)
{
    return (svl_slice){ text, strlen(text) };
}

void set_disk_full(bool full)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = full ? 4096 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

int use_in_child(int (*use)(void *user), void *user)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        _exit(use(user));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

void assert_ok_at(int rc, const char *call, const char *file, int line)
{
    if (rc == SVL_OK)
        return;
    print_error("%s gave %d: %s\n", call, rc, svl_last_error());
    _fail(file, line);
}
