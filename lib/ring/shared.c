/* shared.c - a ring's memory: private, or a file on tmpfs that outlives the process.
 *
 * Creation: a new name, O_EXCL, blocks allocated for good (a tmpfs that is full must say so now, not by
 * SIGBUS at the first touch), header last. Recovery takes the file as hostile input: the header is copied
 * and checked before anything follows from it, and positions are limited before they are used.
 *
 * Whoever has a crash ring holds a lock on its file, from before anything is in it until the ring is destroyed: its
 * maker, and who recovers it. Recovery takes no file that is locked. It is the process' lock: a child that outlives a
 * killed process has its descriptors, but must not keep its records from being recovered. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "layout.h"

static int create_object(uint64_t capacity, uint32_t extra_bytes, struct ring **out)
{
    struct ring *ring = svl__aligned_alloc(_Alignof(struct ring), sizeof *ring);
    *out = ring;
    if (!ring)
        return SVL_E_NOMEM;
    memset(ring, 0, sizeof *ring);
    ring->capacity = capacity;
    ring->mask = capacity - 1;
    ring->payload_max = (uint32_t)(capacity / RING_FRAME_PART - FRAME_HEADER);
    ring->mapping = MAP_FAILED;
    ring->fd = -1;
    ring->extra_bytes = extra_bytes;
    ring->mapping_bytes = RING_DATA_OFFSET + (size_t)capacity + extra_bytes;
    return SVL_OK;
}

static int map(struct ring *ring, int fd)
{
    /* Populated: no producer pays for a page's first touch. */
    int flags = MAP_POPULATE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    ring->mapping = mmap(NULL, ring->mapping_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (ring->mapping == MAP_FAILED)
        return svl__fail_errno(errno, "%zu bytes for a ring", ring->mapping_bytes);
    ring->control = (struct ring_control *)(void *)((uint8_t *)ring->mapping + 4096);
    ring->data = (uint8_t *)ring->mapping + RING_DATA_OFFSET;
    ring->shared = fd >= 0;
    ring->wake_word = &ring->control->wake_word;
    return SVL_OK;
}

/* Interrupted by a signal on older kernels: again. */
static int allocate(int fd, uint64_t bytes)
{
    int error;
    do
        error = posix_fallocate(fd, 0, (off_t)bytes);
    while (error == EINTR);
    return error;
}

int svl__ring_open_directory(const char *directory, int *out)
{
    struct statfs fs;
    int rc = svl__directory_open_shared(directory, out);
    if (rc != SVL_OK)
        return rc;
    if (fstatfs(*out, &fs) != 0)
        rc = svl__fail_errno(errno, "statfs of %s", directory);
    else if ((uint32_t)fs.f_type != TMPFS_MAGIC)
        rc = svl__fail(SVL_E_FILE_SYSTEM, "%s is not a tmpfs", directory);
    if (rc != SVL_OK)
        close(*out);
    return rc;
}

static void write_header(struct ring *ring, const uint8_t store_uuid[16])
{
    uint8_t *h = ring->mapping;
    store_u32(h + 8, RING_VERSION);
    store_u32(h + 12, ring->is_attached ? RING_ATTACHED : 0);
    store_u32(h + 20, RING_DATA_OFFSET);
    store_u64(h + 24, ring->capacity);
    store_u32(h + 32, ring->salt);
    store_u32(h + 36, ring->extra_bytes);
    memcpy(h + 40, ring->uuid, 16);
    memcpy(h + 56, store_uuid, 16);
    uint8_t copy[72];
    memcpy(copy, h, sizeof copy);
    store_u64(copy, RING_MAGIC);
    store_u64(h + 72, svl__checksum(copy, sizeof copy));
    /* The magic at last, and in one store: without it the header was cut off. */
    atomic_store_explicit((_Atomic uint64_t *)(void *)h, RING_MAGIC, memory_order_release);
}

struct flock svl__ring_lock(off_t byte)
{
    return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
}

/* An attached ring's file: locked as long as this process has it open, given to the store's owner, and not
 * seen by a child, whose mapping would keep the consumer from hearing of this process' end. */
static int hold(struct ring *ring, int fd, const struct ring_options *o)
{
    struct flock lock = svl__ring_lock(RING_LOCK_PRODUCERS);
    ring->is_attached = ring->commit_looks = true;
    if (fcntl(fd, F_SETLK, &lock) != 0)
        return svl__fail_errno(errno, "lock of %s/%s", o->directory, o->name);
    if (o->owner != geteuid() && fchown(fd, o->owner, (gid_t)-1) != 0)
        return svl__fail_errno(errno, "owner of %s/%s", o->directory, o->name);
    if (madvise(ring->mapping, ring->mapping_bytes, MADV_DONTFORK) != 0)
        return svl__fail_errno(errno, "MADV_DONTFORK of %s/%s", o->directory, o->name);
    return SVL_OK;
}

/* A crash ring's file: for the process that drains it. */
static int hold_as_consumer(int fd, const char *name)
{
    struct flock lock = svl__ring_lock(RING_LOCK_CONSUMER);
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return SVL_OK;
    if (errno == EACCES || errno == EAGAIN)
        return svl__fail(SVL_E_BUSY, "another process uses crash ring %s", name);
    return svl__fail_errno(errno, "lock of crash ring %s", name);
}

static int create_file(struct ring *ring, const struct ring_options *o)
{
    int directory = -1;
    /* First: once the file is there nothing may fail that would leave it behind. */
    int rc = svl__ring_remember(ring, o->directory, o->name);
    if (rc == SVL_OK)
        rc = svl__ring_open_directory(o->directory, &directory);
    if (rc == SVL_E_NOT_FOUND)
        rc = svl__fail(SVL_E_PATH, "there is no directory %s for a crash ring", o->directory);
    if (rc != SVL_OK)
        return rc;
    int fd = svl__file_open(directory, o->name, O_RDWR | O_CREAT | O_EXCL, 0600, &rc);
    if (rc == SVL_OK) {
        ring->fd = fd;
        if (!o->is_attached)
            rc = hold_as_consumer(fd, o->name);
        int error = rc == SVL_OK ? allocate(fd, ring->mapping_bytes) : 0;
        if (error != 0)
            rc = svl__fail_errno(error, "%zu bytes in %s for a crash ring", ring->mapping_bytes,
                                 o->directory);
        if (rc == SVL_OK)
            rc = map(ring, fd);
        if (rc == SVL_OK && o->is_attached)
            rc = hold(ring, fd, o);
        if (rc != SVL_OK)
            unlinkat(directory, o->name, 0);
    }
    close(directory);
    return rc;
}

int svl__ring_create(const struct ring_options *options, struct ring **out)
{
    *out = NULL;
    uint64_t capacity = options->capacity;
    if (capacity < RING_BYTES_MIN || capacity > RING_BYTES_MAX || (capacity & (capacity - 1)) != 0)
        return svl__fail(SVL_E_OPTION, "a ring of %llu bytes; a power of two, %llu to %llu",
                         (unsigned long long)capacity, (unsigned long long)RING_BYTES_MIN,
                         (unsigned long long)RING_BYTES_MAX);
    struct ring *ring;
    int rc = create_object(capacity, options->extra_bytes, &ring);
    if (rc == SVL_OK)
        rc = svl__random(ring->uuid, sizeof ring->uuid);
    if (rc == SVL_OK)
        rc = svl__random(&ring->salt, sizeof ring->salt);
    if (rc == SVL_OK)
        rc = options->directory ? create_file(ring, options) : map(ring, -1);
    if (rc != SVL_OK) {
        svl__ring_destroy(ring);
        return rc;
    }
    write_header(ring, options->store_uuid);
    *out = ring;
    return SVL_OK;
}

int svl__ring_remember(struct ring *ring, const char *directory, const char *name)
{
    ring->directory = svl__strdup(directory);
    ring->name = svl__strdup(name);
    return ring->directory && ring->name ? SVL_OK : SVL_E_NOMEM;
}

void svl__ring_destroy(struct ring *ring)
{
    if (!ring)
        return;
    if (ring->mapping != MAP_FAILED)
        munmap(ring->mapping, ring->mapping_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
    svl__free(ring->directory);
    svl__free(ring->name);
    svl__aligned_free(ring);
}

void *svl__ring_extra(const struct ring *ring, size_t *bytes)
{
    *bytes = ring->extra_bytes;
    return ring->extra_bytes > 0 ? ring->data + ring->capacity : NULL;
}

bool svl__ring_is_empty(struct ring *ring)
{
    uint64_t tail = ring->crashed ? ring->crash_tail : svl__ring_tail(ring);
    return atomic_load_explicit(&ring->control->head, memory_order_acquire) >= tail &&
           svl__ring_dropped_told_get(ring) >= svl__ring_dropped(ring);
}

/* Never finished, or of that store and attached. */
static int look_at_attached(int fd, const char *name, const uint8_t store_uuid[16], bool *is_ours)
{
    uint8_t h[RING_HEADER_BYTES];
    uint64_t size;
    *is_ours = false;
    int rc = svl__file_size(fd, &size, name);
    if (rc == SVL_OK && size < sizeof h)
        *is_ours = true; /* cut off in the allocation */
    if (rc != SVL_OK || *is_ours)
        return rc;
    rc = svl__file_read(fd, h, sizeof h, 0, name);
    if (rc == SVL_OK)
        *is_ours =
            load_u64(h) == 0 || (load_u64(h) == RING_MAGIC && load_u32(h + 12) & RING_ATTACHED &&
                                 memcmp(h + 56, store_uuid, 16) == 0);
    return rc;
}

int svl__ring_remove_attached(const char *directory, const char *name, const uint8_t store_uuid[16])
{
    int directory_fd;
    bool is_ours = false;
    int rc = svl__ring_open_directory(directory, &directory_fd);
    if (rc != SVL_OK)
        return rc;
    int fd = svl__file_open(directory_fd, name, O_RDONLY, 0, &rc);
    if (rc == SVL_OK)
        rc = look_at_attached(fd, name, store_uuid, &is_ours);
    if (is_ours && unlinkat(directory_fd, name, 0) != 0 && errno != ENOENT)
        rc = svl__fail_errno(errno, "removal of %s/%s", directory, name);
    if (fd >= 0)
        close(fd);
    close(directory_fd);
    return rc;
}

int svl__ring_unlink(struct ring *ring)
{
    if (!svl__ring_is_empty(ring))
        return svl__fail(SVL_E_STATE, "the ring is not empty");
    return ring->shared ? svl__ring_unlink_file(ring) : SVL_OK;
}

int svl__ring_unlink_file(struct ring *ring)
{
    int directory;
    int rc = svl__directory_open_shared(ring->directory, &directory);
    if (rc != SVL_OK)
        return rc;
    if (unlinkat(directory, ring->name, 0) != 0 && errno != ENOENT)
        rc = svl__fail_errno(errno, "removal of %s/%s", ring->directory, ring->name);
    close(directory);
    return rc;
}

/* --- recovery --- */

static int check_header(const uint8_t *h, uint64_t size, const char *name,
                        const uint8_t store_uuid[16])
{
    if (load_u64(h) != RING_MAGIC || load_u64(h + 72) != svl__checksum(h, 72))
        return svl__fail(SVL_E_CORRUPT,
                         "crash ring %s: its header is damaged; remove the file to start without "
                         "what was in it",
                         name);
    if (load_u32(h + 8) != RING_VERSION || load_u32(h + 16) != 0)
        return svl__fail(SVL_E_VERSION, "crash ring %s: version %u with features %#x", name,
                         load_u32(h + 8), load_u32(h + 16));
    uint64_t capacity = load_u64(h + 24);
    uint32_t extra_bytes = load_u32(h + 36);
    if (capacity < RING_BYTES_MIN || capacity > RING_BYTES_MAX ||
        (capacity & (capacity - 1)) != 0 || load_u32(h + 20) != RING_DATA_OFFSET ||
        extra_bytes > RING_EXTRA_MAX || extra_bytes % 8 != 0 ||
        size != RING_DATA_OFFSET + capacity + extra_bytes)
        return svl__fail(SVL_E_CORRUPT, "crash ring %s: sizes that cannot be", name);
    if (memcmp(h + 56, store_uuid, 16) != 0)
        return svl__fail(SVL_E_FOREIGN, "crash ring %s belongs to another store", name);
    return SVL_OK;
}

int svl__ring_read_positions(struct ring *ring, const char *name, uint64_t known, uint64_t *start,
                             uint64_t *tail)
{
    struct ring_control *c = ring->control;
    uint64_t end = atomic_load_explicit(&c->tail, memory_order_acquire) & TAIL_POSITION;
    uint64_t head = atomic_load_explicit(&c->head, memory_order_acquire);
    uint64_t consumed = atomic_load_explicit(&c->consumed, memory_order_acquire);
    if (end > POSITION_MAX || head > end || end - head > ring->capacity || consumed > end ||
        head % 8 != 0 || consumed % 8 != 0 || known > end || known % 8 != 0)
        return svl__fail(SVL_E_CORRUPT, "crash ring %s: positions that cannot be", name);
    *start = head > consumed ? head : consumed;
    if (*start < known)
        *start = known;
    *tail = end;
    return SVL_OK;
}

/* The positions that the dead process left. */
static int take_positions(struct ring *ring, const char *name, uint64_t known)
{
    uint64_t start;
    int rc = svl__ring_read_positions(ring, name, known, &start, &ring->crash_tail);
    if (rc != SVL_OK)
        return rc;
    ring->drained = start;
    /* What was safe elsewhere is freed first: zeroed again if a crash cut that off. */
    svl__ring_release(ring, start);
    atomic_fetch_or_explicit(&ring->control->tail, TAIL_CLOSED, memory_order_acq_rel);
    return SVL_OK;
}

/* The magic is written last, before anybody gets the ring: without it, and with an untouched tail,
 * nothing was ever in it. */
static bool is_unfinished(int fd, uint64_t size, const char *name)
{
    uint8_t magic[8], tail[8];
    if (size < RING_DATA_OFFSET) /* cut off in the allocation, if nothing was written */
        return size == 0 ||
               (size >= 8 && svl__file_read(fd, magic, sizeof magic, 0, name) == SVL_OK &&
                load_u64(magic) == 0);
    return svl__file_read(fd, magic, sizeof magic, 0, name) == SVL_OK &&
           svl__file_read(fd, tail, sizeof tail, 4096, name) == SVL_OK && load_u64(magic) == 0 &&
           load_u64(tail) == 0;
}

int svl__ring_map_file(int fd, const char *name, const uint8_t store_uuid[16], struct ring **out)
{
    uint8_t header[RING_HEADER_BYTES];
    uint64_t size;
    int rc = svl__file_size(fd, &size, name);
    if (rc == SVL_OK && is_unfinished(fd, size, name))
        return SVL_E_END;
    if (rc == SVL_OK && size < RING_DATA_OFFSET)
        rc = svl__fail(SVL_E_CORRUPT, "crash ring %s has %llu bytes", name,
                       (unsigned long long)size);
    if (rc == SVL_OK)
        rc = svl__file_read(fd, header, sizeof header, 0, name);
    if (rc == SVL_OK)
        rc = check_header(header, size, name, store_uuid);
    if (rc == SVL_OK)
        rc = create_object(load_u64(header + 24), load_u32(header + 36), out);
    if (rc != SVL_OK)
        return rc;
    struct ring *ring = *out;
    ring->salt = load_u32(header + 32);
    memcpy(ring->uuid, header + 40, 16);
    /* Holes would be SIGBUS on a full tmpfs. */
    int error = allocate(fd, ring->mapping_bytes);
    if (error != 0)
        return svl__fail_errno(error, "crash ring %s", name);
    return map(ring, fd);
}

int svl__ring_open_crashed(const char *directory, const char *name, const uint8_t store_uuid[16],
                           ring_position_fn *position_of, void *user, struct ring **out)
{
    *out = NULL;
    int directory_fd;
    int rc = svl__directory_open_shared(directory, &directory_fd);
    if (rc != SVL_OK)
        return rc;
    int fd = svl__file_open(directory_fd, name, O_RDWR, 0, &rc);
    if (rc != SVL_OK) {
        close(directory_fd);
        return rc;
    }
    struct ring *ring = NULL;
    rc = hold_as_consumer(fd, name);
    if (rc == SVL_OK)
        rc = svl__ring_map_file(fd, name, store_uuid, &ring);
    if (rc == SVL_E_END)
        unlinkat(directory_fd, name, 0);
    if (ring)
        ring->fd = fd;
    else
        close(fd);
    close(directory_fd);
    if (rc == SVL_OK) {
        ring->crashed = true;
        rc = take_positions(ring, name, position_of(ring->uuid, user));
    }
    if (rc == SVL_OK)
        rc = svl__ring_remember(ring, directory, name);
    if (rc != SVL_OK) {
        svl__ring_destroy(ring);
        return rc;
    }
    *out = ring;
    return SVL_OK;
}
