/* bell.c - a page in a file, a count that is odd while the rest changes, and a futex.
 *
 *   N1 release, the count made even <- N2 acquire, a reader's first load of it: what was said is whole.
 *   N3 acquire fence before a reader's second load: it is the same if nothing changed in between.
 *   N4 release, the futex word <- N5 acquire, its load before a reader looks: news that come after that
 *      look change the word, so no sleep misses them. */
#define _GNU_SOURCE
#include "bell.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

#define BELL_MAGIC UINT64_C(0x314c4c45424c5653) /* "SVLBELL1" */
#define BELL_VERSION 1
#define BELL_BYTES 4096
#define HEAR_TRIES 100

struct page {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint8_t store_uuid[16];
    uint8_t boot_id[16];
    uint64_t pid_namespace;
    _Atomic uint64_t changes;
    _Atomic uint64_t salt;
    _Atomic uint64_t durable_seq;
    _Atomic uint32_t word;
};
_Static_assert(offsetof(struct page, changes) == 56, "the byte table");
_Static_assert(offsetof(struct page, word) == 80, "the byte table");

struct bell {
    struct page *page;
    uint8_t boot_id[16];    /* this process' */
    uint64_t pid_namespace; /* likewise */
};

/* 0: the system does not tell. */
static int pid_namespace(uint64_t *out)
{
    struct stat st;
    *out = 0;
    if (stat("/proc/self/ns/pid", &st) == 0)
        *out = (uint64_t)st.st_ino;
    else if (errno != ENOENT && errno != EACCES)
        return svl__fail_errno(errno, "stat of this process' PID namespace");
    return SVL_OK;
}

static int map_page(int fd, int protection, struct bell **out)
{
    struct bell *bell = svl__calloc(1, sizeof *bell);
    if (!bell)
        return SVL_E_NOMEM;
    void *page = mmap(NULL, BELL_BYTES, protection, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        svl__free(bell);
        return svl__fail_errno(errno, "mapping of %s", BELL_NAME);
    }
    bell->page = page;
    *out = bell;
    return SVL_OK;
}

/* Which a bell that is heard is compared with: not known for want of a descriptor, say, a reader would be behind for
 * as long as it is open. */
static int know_place(struct bell *bell)
{
    int rc = svl__boot_id(bell->boot_id);
    return rc == SVL_OK ? pid_namespace(&bell->pid_namespace) : rc;
}

/* A hole in the file would become a SIGBUS on a full disk. */
static int give_space(int fd)
{
    int error;
    do
        error = posix_fallocate(fd, 0, BELL_BYTES);
    while (error == EINTR);
    return error ? svl__fail_errno(error, "space for %s", BELL_NAME) : SVL_OK;
}

int svl__bell_open(int directory, mode_t file_mode, const uint8_t store_uuid[16], struct bell **out)
{
    *out = NULL;
    int rc;
    int fd = svl__file_open(directory, BELL_NAME, O_RDWR | O_CREAT, file_mode, &rc);
    if (rc == SVL_OK)
        rc = give_space(fd);
    if (rc == SVL_OK && fchmod(fd, file_mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", BELL_NAME);
    if (rc == SVL_OK)
        rc = map_page(fd, PROT_READ | PROT_WRITE, out);
    if (rc == SVL_OK)
        rc = know_place(*out);
    if (fd >= 0)
        close(fd);
    if (rc != SVL_OK) {
        svl__bell_close(*out);
        *out = NULL;
        return rc;
    }
    struct page *page = (*out)->page;
    atomic_store_explicit(&page->changes, 1, memory_order_relaxed); /* says nothing yet */
    atomic_thread_fence(memory_order_release);
    page->version = BELL_VERSION;
    page->zero = 0;
    memcpy(page->store_uuid, store_uuid, 16);
    memcpy(page->boot_id, (*out)->boot_id, 16);
    page->pid_namespace = (*out)->pid_namespace;
    page->magic = BELL_MAGIC;
    return SVL_OK;
}

static int check_page(const struct page *page, const uint8_t store_uuid[16])
{
    if (page->magic == 0)
        return SVL_E_NOT_FOUND; /* being made */
    if (page->magic != BELL_MAGIC || page->zero != 0)
        return svl__fail(SVL_E_CORRUPT, "%s is damaged", BELL_NAME);
    if (page->version > BELL_VERSION)
        return svl__fail(SVL_E_VERSION, "%s is of version %u", BELL_NAME, page->version);
    if (memcmp(page->store_uuid, store_uuid, 16) != 0)
        return svl__fail(SVL_E_FOREIGN, "%s belongs to another store", BELL_NAME);
    return SVL_OK;
}

int svl__bell_open_reader(int directory, const uint8_t store_uuid[16], struct bell **out)
{
    *out = NULL;
    int rc;
    uint64_t size = 0;
    int fd = svl__file_open(directory, BELL_NAME, O_RDONLY, 0, &rc);
    if (rc == SVL_OK)
        rc = svl__file_size(fd, &size, BELL_NAME);
    if (rc == SVL_OK && size < BELL_BYTES)
        rc = svl__fail(SVL_E_CORRUPT, "%s has %llu bytes", BELL_NAME, (unsigned long long)size);
    if (rc == SVL_OK)
        rc = map_page(fd, PROT_READ, out);
    if (rc == SVL_OK)
        rc = know_place(*out);
    if (fd >= 0)
        close(fd);
    if (rc == SVL_OK)
        rc = check_page((*out)->page, store_uuid);
    if (rc != SVL_OK) {
        svl__bell_close(*out);
        *out = NULL;
    }
    return rc;
}

void svl__bell_close(struct bell *bell)
{
    if (!bell)
        return;
    munmap(bell->page, BELL_BYTES);
    svl__free(bell);
}

static void wake_all(struct page *page)
{
    syscall(SYS_futex, &page->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void svl__bell_ring(struct bell *bell, const struct bell_news *news)
{
    struct page *page = bell->page;
    uint64_t changes = atomic_load_explicit(&page->changes, memory_order_relaxed) | 1;
    atomic_store_explicit(&page->changes, changes, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&page->salt, news->salt, memory_order_relaxed);
    atomic_store_explicit(&page->durable_seq, news->durable_seq, memory_order_relaxed);
    atomic_store_explicit(&page->changes, changes + 1, memory_order_release); /* N1 */
    atomic_fetch_add_explicit(&page->word, 1, memory_order_release);          /* N4 */
    wake_all(page);
}

bool svl__bell_hear(struct bell *bell, struct bell_news *news)
{
    struct page *page = bell->page;
    if (memcmp(bell->boot_id, page->boot_id, 16) != 0 || load_u64(bell->boot_id) == 0)
        return false;
    for (int i = 0; i < HEAR_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&page->changes, memory_order_acquire); /* N2 */
        news->salt = atomic_load_explicit(&page->salt, memory_order_relaxed);
        news->durable_seq = atomic_load_explicit(&page->durable_seq, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire); /* N3 */
        uint64_t after = atomic_load_explicit(&page->changes, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            return true;
        sched_yield();
    }
    return false;
}

bool svl__bell_is_near(const struct bell *bell)
{
    return bell->page->pid_namespace == bell->pid_namespace;
}

uint32_t svl__bell_count(const struct bell *bell)
{
    return atomic_load_explicit(&bell->page->word, memory_order_acquire); /* N5 */
}

void svl__bell_wait(struct bell *bell, uint32_t count)
{
    syscall(SYS_futex, &bell->page->word, FUTEX_WAIT, count, NULL, NULL, 0);
}

void svl__bell_stir(struct bell *bell)
{
    wake_all(bell->page);
}
