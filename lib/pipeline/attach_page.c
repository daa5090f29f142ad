/* attach_page.c - the page's file. */
#define _GNU_SOURCE
#include "attach_page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "ring/foreign.h"

#define ATTACH_MAGIC UINT64_C(0x31484354414c5653) /* "SVLATCH1" */
#define ATTACH_VERSION 1
_Static_assert(offsetof(struct attach_page, word) == 32, "the byte table");
_Static_assert(offsetof(struct attach_page, host_polls) == 40, "the byte table");
_Static_assert(offsetof(struct attach_page, slots) == 4096, "the byte table");
_Static_assert(sizeof(struct attach_slot) == 512, "the byte table");

static int map(int fd, struct attach_page **out)
{
    void *page = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return svl__fail_errno(errno, "mapping of %s", ATTACH_PAGE_NAME);
    *out = page;
    return SVL_OK;
}

/* A hole in the file would become a SIGBUS on a full disk. */
static int give_space(int fd)
{
    int error;
    do
        error = posix_fallocate(fd, 0, sizeof(struct attach_page));
    while (error == EINTR);
    return error ? svl__fail_errno(error, "space for %s", ATTACH_PAGE_NAME) : SVL_OK;
}

static void make(struct attach_page *page, const uint8_t store_uuid[16])
{
    for (size_t i = 0; i < ATTACH_SLOTS; i++) {
        struct attach_slot *slot = &page->slots[i];
        uint64_t next = attach_state_as(atomic_load(&slot->state), ATTACH_FREE) + 256;
        atomic_store(&slot->state, next);
    }
    page->version = ATTACH_VERSION;
    memcpy(page->store_uuid, store_uuid, 16);
    /* Last: without it nobody comes. */
    atomic_store_explicit(&page->magic, ATTACH_MAGIC, memory_order_release);
}

int svl__attach_page_open_host(int directory, mode_t file_mode, const uint8_t store_uuid[16],
                               uint32_t record_bytes_max, struct attach_page **out, int *fd)
{
    *out = NULL;
    int rc;
    *fd = svl__file_open(directory, ATTACH_PAGE_NAME, O_RDWR | O_CREAT, file_mode, &rc);
    if (rc == SVL_OK)
        rc = give_space(*fd);
    if (rc == SVL_OK && fchmod(*fd, file_mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", ATTACH_PAGE_NAME);
    if (rc == SVL_OK)
        rc = map(*fd, out);
    if (rc != SVL_OK)
        return rc;
    struct attach_page *page = *out;
    if (page->magic == ATTACH_MAGIC && page->version > ATTACH_VERSION) {
        rc = svl__fail(SVL_E_VERSION, "%s is of version %u", ATTACH_PAGE_NAME, page->version);
        svl__attach_page_close(page);
        *out = NULL;
        return rc;
    }
    page->record_bytes_max = record_bytes_max;
    if (page->magic != ATTACH_MAGIC || page->version != ATTACH_VERSION ||
        memcmp(page->store_uuid, store_uuid, 16) != 0)
        make(page, store_uuid);
    return SVL_OK;
}

static int check(const struct attach_page *page)
{
    uint64_t magic = atomic_load_explicit(&page->magic, memory_order_acquire);
    if (magic == 0)
        return SVL_E_NOT_FOUND; /* being made */
    if (magic != ATTACH_MAGIC)
        return svl__fail(SVL_E_CORRUPT, "%s is damaged; the next svl_open() makes it anew",
                         ATTACH_PAGE_NAME);
    if (page->version != ATTACH_VERSION)
        return svl__fail(SVL_E_VERSION, "%s is of version %u", ATTACH_PAGE_NAME, page->version);
    return SVL_OK;
}

int svl__attach_page_open(int directory, struct attach_page **out, int *fd)
{
    *out = NULL;
    int rc;
    uint64_t size = 0;
    *fd = svl__file_open(directory, ATTACH_PAGE_NAME, O_RDWR, 0, &rc);
    if (rc == SVL_OK)
        rc = svl__file_size(*fd, &size, ATTACH_PAGE_NAME);
    if (rc == SVL_OK && size < sizeof **out)
        rc = size == 0 ? SVL_E_NOT_FOUND
                       : svl__fail(SVL_E_CORRUPT, "%s has %llu bytes", ATTACH_PAGE_NAME,
                                   (unsigned long long)size);
    if (rc == SVL_OK)
        rc = map(*fd, out);
    if (rc == SVL_OK)
        rc = check(*out);
    if (rc != SVL_OK) {
        svl__attach_page_close(*out);
        *out = NULL;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    return rc;
}

static int lock_slots(int fd, short type, size_t first, size_t n)
{
    struct flock bytes = { .l_type = type,
                           .l_whence = SEEK_SET,
                           .l_start = (off_t)(offsetof(struct attach_page, slots) +
                                              first * sizeof(struct attach_slot)),
                           .l_len = (off_t)(n * sizeof(struct attach_slot)) };
    if (fcntl(fd, F_OFD_SETLK, &bytes) == 0)
        return SVL_OK;
    if (errno == EACCES || errno == EAGAIN)
        return SVL_E_BUSY;
    return svl__fail_errno(errno, "lock in %s", ATTACH_PAGE_NAME);
}

int svl__attach_page_lock(int fd, size_t i)
{
    return lock_slots(fd, F_WRLCK, i, 1);
}

void svl__attach_page_unlock(int fd, size_t first, size_t n)
{
    lock_slots(fd, F_UNLCK, first, n);
}

uint64_t svl__attach_page_clear(struct attach_page *page, size_t i)
{
    struct attach_slot *slot = &page->slots[i];
    uint64_t making = atomic_load_explicit(&slot->state, memory_order_acquire);
    if (attach_state_of(making) != ATTACH_MAKING)
        return making;
    char directory[sizeof slot->directory], name[sizeof slot->name];
    memcpy(directory, slot->directory, sizeof directory);
    memcpy(name, slot->name, sizeof name);
    directory[sizeof directory - 1] = name[sizeof name - 1] = 0;
    int rc = SVL_OK;
    if (strncmp(name, "serverlog-", 10) == 0 && !strchr(name, '/'))
        rc = svl__ring_remove_attached(directory, name, page->store_uuid);
    if (rc == SVL_E_IO || is_shortage(rc))
        return making; /* nobody else would know of the file */
    atomic_compare_exchange_strong(&slot->state, &making, attach_state_as(making, ATTACH_FREE));
    return atomic_load_explicit(&slot->state, memory_order_acquire);
}

void svl__attach_page_remove(struct attach_slot *slot, uint64_t state, struct ring *ring)
{
    static const enum attach_state from[] = { ATTACH_READY, ATTACH_BROKEN, ATTACH_LEFT };
    uint64_t going = attach_state_as(state, ATTACH_MAKING);
    bool is_ours = false;
    for (size_t i = 0; i < sizeof from / sizeof from[0] && !is_ours; i++) {
        uint64_t expected = attach_state_as(state, from[i]);
        is_ours = atomic_compare_exchange_strong(&slot->state, &expected, going);
    }
    RING_STEP("slot going");
    int rc = svl__ring_unlink_file(ring);
    RING_STEP("ring gone");
    if (is_ours && rc == SVL_OK)
        atomic_compare_exchange_strong(&slot->state, &going, attach_state_as(state, ATTACH_FREE));
}

void svl__attach_page_close(struct attach_page *page)
{
    if (page)
        munmap(page, sizeof *page);
}

void svl__attach_page_touch(struct attach_page *page, int fd)
{
    if (atomic_load_explicit(&page->host_polls, memory_order_acquire))
        futimens(fd, NULL);
}

void svl__attach_page_wake(struct attach_page *page)
{
    atomic_fetch_add_explicit(&page->word, 1, memory_order_release);
    syscall(SYS_futex, &page->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void svl__attach_page_tell(struct attach_page *page)
{
    atomic_fetch_add_explicit(&page->changes, 1, memory_order_release);
    svl__attach_page_wake(page);
}
