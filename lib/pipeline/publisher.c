/* publisher.c - publishing into a ring that another process drains.
 *
 * Attaching: a slot of the attach page is marked as being made, with the name of the ring's file in it; the file is
 * made and locked; then the slot is ready, and the host is told. A process that dies in between leaves a slot half
 * made, which the next one to attach, or the host, clears.
 *
 * A frame is an outcome tag (8 bytes, zero for all but svl_publisher_publish_sync()) and the wire record. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <serverlog/attach.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach_page.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/options.h"
#include "base/step.h"
#include "base/thread.h"
#include "bus/intake.h"
#include "ring/foreign.h"
#include "ring/outcome.h"
#include "ring/ring.h"
#include "store/lock.h"

#define OPTIONS_FIRST_SIZE sizeof(svl_attach_options)
#define RING_BYTES_DEFAULT (UINT64_C(1) << 20)
#define RING_DIRECTORY_DEFAULT "/dev/shm"
/* A host that cannot find a ring says so in its slot, and cannot wake who waits in it. That of a removed store never
 * looks. */
#define WAIT_MS_MAX 500

/* Who waits for an outcome. A number is used again once its last record is settled: nothing is told for it then. */
struct waiting {
    bool is_taken;
    uint32_t generation;
    uint64_t end; /* in the ring, behind the record of the last one */
};

struct svl_publisher {
    uint64_t process_mark;
    struct ring *ring;
    struct attach_page *page;
    int page_fd;
    struct attach_slot *slot;
    uint64_t state; /* the slot's, while it is ours */
    struct intake intake;
    struct store_lock *noted;
    _Atomic bool is_told; /* that the host has given its ring up */

    pthread_mutex_t lock;
    struct waiting waiting[RING_OUTCOMES];
};

int svl_attach_options_init(svl_attach_options *options, size_t size)
{
    return svl__options_init(options, size, OPTIONS_FIRST_SIZE, "svl_attach_options");
}

static int check_options(const svl_attach_options *from, svl_attach_options *o)
{
    int rc = svl__options_copy(o, sizeof *o, from, OPTIONS_FIRST_SIZE, "svl_attach_options");
    if (rc == SVL_OK && o->flags != 0)
        rc = svl__fail(SVL_E_OPTION, "flags has unknown bits: %#x", o->flags);
    if (o->ring_bytes == 0)
        o->ring_bytes = RING_BYTES_DEFAULT;
    struct intake_options intake = { .ring_bytes = o->ring_bytes,
                                     .full_policy = o->full_policy,
                                     .block_timeout_ms = o->block_timeout_ms };
    if (rc == SVL_OK)
        rc = svl__intake_options_check(&intake);
    o->block_timeout_ms = intake.block_timeout_ms;
    if (!o->ring_directory)
        o->ring_directory = RING_DIRECTORY_DEFAULT;
    if (rc == SVL_OK &&
        (o->ring_directory[0] != '/' ||
         strlen(o->ring_directory) >= sizeof((struct attach_slot *)NULL)->directory))
        rc = svl__fail(SVL_E_OPTION, "ring_directory is an absolute path of at most %zu bytes",
                       sizeof((struct attach_slot *)NULL)->directory - 1);
    return rc;
}

/* --- attaching --- */

/* Takes the first free slot, which stays locked. All that are half made are cleared. */
static int take_slot(svl_publisher *p, int fd)
{
    for (size_t i = 0; i < ATTACH_SLOTS; i++) {
        struct attach_slot *slot = &p->page->slots[i];
        enum attach_state kind =
            attach_state_of(atomic_load_explicit(&slot->state, memory_order_acquire));
        if (kind != ATTACH_MAKING && (kind != ATTACH_FREE || p->slot))
            continue;
        int rc = svl__attach_page_lock(fd, i);
        if (rc == SVL_E_BUSY)
            continue;
        if (rc != SVL_OK)
            return rc;
        uint64_t word = svl__attach_page_clear(p->page, i);
        if (attach_state_of(word) == ATTACH_FREE && !p->slot) {
            p->slot = slot;
            p->state = attach_state_as(word, ATTACH_READY) + 256;
        } else {
            svl__attach_page_unlock(fd, i, 1);
        }
    }
    return p->slot ? SVL_OK
                   : svl__fail(SVL_E_RESOURCE,
                               "%d rings are attached to the store, or wait for a host to drain "
                               "them",
                               ATTACH_SLOTS);
}

/* Nobody is told of a name while it changes: the slot is free meanwhile. */
static int name_ring(struct attach_slot *slot, const char *directory)
{
    uint8_t random[16];
    int rc = svl__random(random, sizeof random);
    if (rc != SVL_OK)
        return rc;
    snprintf(slot->directory, sizeof slot->directory, "%s", directory); /* it fits: checked */
    char *to = slot->name;
    to += sprintf(to, "serverlog-");
    for (size_t i = 0; i < sizeof random; i++)
        to += sprintf(to, "%02x", random[i]);
    return SVL_OK;
}

/* The sleep bit that is paid for was set after the host had said how it waits. */
static bool wake_polling_host(void *publisher)
{
    const svl_publisher *p = publisher;
    return atomic_load_explicit(&p->page->host_polls, memory_order_acquire) &&
           svl__ring_touch(p->ring);
}

static int make_ring(svl_publisher *p, int fd, const svl_attach_options *o, uint32_t owner)
{
    int rc = take_slot(p, fd);
    if (rc == SVL_OK)
        rc = name_ring(p->slot, o->ring_directory);
    if (rc != SVL_OK)
        return rc;
    STEP("attach: slot named");
    atomic_store_explicit(&p->slot->state, attach_state_as(p->state, ATTACH_MAKING),
                          memory_order_release);
    STEP("attach: slot making");
    char name[sizeof p->slot->name];
    memcpy(name, p->slot->name, sizeof name);
    struct ring_options ring = { .capacity = o->ring_bytes,
                                 .directory = o->ring_directory,
                                 .name = name,
                                 .is_attached = true,
                                 .owner = owner };
    memcpy(ring.store_uuid, p->page->store_uuid, sizeof ring.store_uuid);
    rc = svl__ring_create(&ring, &p->ring);
    if (rc != SVL_OK) {
        atomic_store_explicit(&p->slot->state, attach_state_as(p->state, ATTACH_FREE),
                              memory_order_release);
        return rc;
    }
    STEP("attach: ring made");
    svl__ring_wake_through(p->ring, &p->page->word);
    svl__ring_wake_by(p->ring, wake_polling_host, p);
    atomic_store_explicit(&p->slot->state, p->state, memory_order_release);
    STEP("attach: slot ready");
    svl__attach_page_tell(p->page);
    return SVL_OK;
}

static int attach(svl_publisher *p, const char *path, int directory, const svl_attach_options *o)
{
    struct stat st;
    if (fstat(directory, &st) != 0)
        return svl__fail_errno(errno, "stat of %s", path);
    int rc = svl__lock_note_attached(directory, path, &p->noted);
    if (rc != SVL_OK)
        return rc;
    rc = svl__attach_page_open(directory, &p->page, &p->page_fd);
    if (rc == SVL_E_NOT_FOUND)
        rc = svl__fail(SVL_E_NOT_FOUND, "no pipeline was ever opened on %s", path);
    if (rc == SVL_OK)
        rc = make_ring(p, p->page_fd, o, st.st_uid);
    if (rc == SVL_OK)
        svl__attach_page_touch(p->page, p->page_fd);
    if (p->page_fd >= 0)
        svl__attach_page_unlock(p->page_fd, 0, ATTACH_SLOTS);
    return rc;
}

/* Half-made ones too. */
static void free_publisher(svl_publisher *p)
{
    svl__ring_destroy(p->ring);
    svl__attach_page_close(p->page);
    if (p->page_fd >= 0)
        close(p->page_fd);
    svl__lock_drop(p->noted);
    pthread_mutex_destroy(&p->lock);
    svl__free(p);
}

int svl_attach(const char *path, const svl_attach_options *options, svl_publisher **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    if (!path || !path[0])
        return svl__fail(SVL_E_INVALID, "path is %s", path ? "empty" : "NULL");
    svl_attach_options o;
    int rc = check_options(options, &o);
    if (rc != SVL_OK)
        return rc;
    int directory;
    rc = svl__directory_open(path, &directory);
    if (rc == SVL_E_NOT_FOUND)
        return svl__fail(SVL_E_NOT_FOUND, "there is no store at %s", path);
    if (rc != SVL_OK)
        return rc;
    svl_publisher *p = svl__calloc(1, sizeof *p);
    rc = p ? SVL_OK : SVL_E_NOMEM;
    if (rc == SVL_OK) {
        p->process_mark = svl__process_mark();
        p->page_fd = -1;
        pthread_mutex_init(&p->lock, NULL);
        rc = attach(p, path, directory, &o);
    }
    close(directory);
    if (rc != SVL_OK) {
        if (p)
            free_publisher(p);
        return rc;
    }
    struct intake_options intake = { .ring_bytes = o.ring_bytes,
                                     .record_bytes_max = p->page->record_bytes_max,
                                     .full_policy = o.full_policy,
                                     .block_timeout_ms = o.block_timeout_ms };
    svl__intake_init(&p->intake, p, sizeof(struct outcome_tag), &intake);
    *out = p;
    return SVL_OK;
}

/* --- publishing --- */

static int written_over(void)
{
    return svl__fail(SVL_E_CORRUPT, "something in this process wrote over its ring: what is whole "
                                    "in it is stored when it is closed; attach again");
}

/* Is the slot somebody else's, or the host's mark on it? */
static int check_slot(svl_publisher *p, memory_order order)
{
    uint64_t word = atomic_load_explicit(&p->slot->state, order);
    if (word == p->state)
        return SVL_OK;
    atomic_store_explicit(&p->is_told, true, memory_order_relaxed);
    if (word == attach_state_as(p->state, ATTACH_BROKEN))
        return written_over();
    if (word == attach_state_as(p->state, ATTACH_LEFT))
        return svl__fail(SVL_E_FAILED,
                         "this process has let its lock on the ring go (was the file opened and "
                         "closed again?): close and attach again; this record may be stored");
    return svl__fail(SVL_E_FAILED, "the host has given up this ring, which it could not use or "
                                   "find; close and attach again");
}

/* The page by which a host finds the ring has no name any more. */
static bool is_store_removed(const svl_publisher *p)
{
    struct stat st;
    return fstat(p->page_fd, &st) == 0 && st.st_nlink == 0;
}

static int check_store(svl_publisher *p)
{
    if (!is_store_removed(p))
        return SVL_OK;
    atomic_store_explicit(&p->is_told, true, memory_order_relaxed);
    return svl__fail(SVL_E_FAILED, "the store was removed, and nobody will find this ring: what is "
                                   "in it is lost; close, and attach to the one that there is now");
}

static int check(svl_publisher *p)
{
    if (!p)
        return svl__fail(SVL_E_INVALID, "publisher is NULL");
    if (svl__forked(p->process_mark))
        return svl__fail(SVL_E_FORKED, "attached before fork(); attach in the child");
    return check_slot(p, memory_order_relaxed);
}

static int publish(svl_publisher *p, const svl_record *record, struct outcome_tag tag,
                   int64_t deadline_ns)
{
    struct intake_item item = {
        .record = record, .tag = &tag, .deadline_ns = deadline_ns, .is_waited_for = tag.number != 0
    };
    int rc = svl__intake_put(&p->intake, p->ring, &item);
    if (rc == SVL_E_CLOSED) /* by nobody here */
        return written_over();
    if (rc != SVL_OK && rc != SVL_E_FULL)
        return rc;
    /* The host did not take this process for dead before the commit (Z4). One that is full may be full for good. */
    int slot = check_slot(p, memory_order_seq_cst);
    return slot != SVL_OK ? slot : rc;
}

int svl_publisher_publish(svl_publisher *publisher, const svl_record *record)
{
    int rc = check(publisher);
    return rc == SVL_OK ? publish(publisher, record, (struct outcome_tag){ 0, 0 }, 0) : rc;
}

static bool take_number(svl_publisher *p, struct outcome_tag *tag)
{
    uint64_t settled = svl__outcome_settled(p->ring);
    *tag = (struct outcome_tag){ 0, 0 };
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < RING_OUTCOMES && tag->number == 0; i++) {
        struct waiting *w = &p->waiting[i];
        if (w->is_taken || w->end > settled)
            continue;
        w->is_taken = true;
        w->generation = (w->generation + 1) % RING_GENERATIONS;
        *tag = (struct outcome_tag){ i + 1, w->generation };
    }
    pthread_mutex_unlock(&p->lock);
    return tag->number != 0;
}

static void give_number_back(svl_publisher *p, struct outcome_tag tag, uint64_t end)
{
    pthread_mutex_lock(&p->lock);
    p->waiting[tag.number - 1].is_taken = false;
    p->waiting[tag.number - 1].end = end;
    pthread_mutex_unlock(&p->lock);
}

/* Waits until the record before `end` is settled; tag.number 0: all records before it. */
static int wait_settled(svl_publisher *p, struct outcome_tag tag, uint64_t end, int64_t deadline_ns,
                        uint64_t *id)
{
    int64_t look_ns = svl__deadline_ns(WAIT_MS_MAX);
    *id = 0;
    for (;;) {
        uint32_t count = svl__outcome_count(p->ring);
        bool settled =
            svl__outcome_settled(p->ring) >= end; /* before the outcome, which is told first */
        switch (tag.number ? svl__outcome_get(p->ring, tag, id) : RING_PENDING) {
        case RING_STORED:
            return SVL_OK;
        case RING_DROPPED:
            return SVL_E_DROPPED;
        case RING_REFUSED:
            return svl__fail(SVL_E_RECORD_SIZE, "the host has refused the record: its limits are "
                                                "lower than when this process attached");
        case RING_PENDING:
        default:
            break;
        }
        *id = 0;
        if (settled)
            return SVL_OK;
        int64_t now_ns = svl__monotonic_ns();
        int rc = check(p);
        if (rc == SVL_OK && (now_ns >= look_ns || now_ns >= deadline_ns)) {
            rc = check_store(p);
            look_ns = svl__deadline_ns(WAIT_MS_MAX);
        }
        if (rc != SVL_OK)
            return rc;
        if (now_ns >= deadline_ns)
            return SVL_E_TIMEOUT;
        svl__outcome_wait(p->ring, count, look_ns < deadline_ns ? look_ns : deadline_ns);
    }
}

int svl_publisher_publish_sync(svl_publisher *publisher, const svl_record *record,
                               int64_t timeout_ms, uint64_t *id)
{
    svl_publisher *p = publisher;
    if (id)
        *id = 0;
    int rc = check(p);
    if (rc != SVL_OK)
        return rc;
    int64_t deadline_ns = svl__deadline_ns(timeout_ms);
    int64_t full_deadline_ns = svl__deadline_ns(p->intake.block_timeout_ms);
    if (full_deadline_ns > deadline_ns)
        full_deadline_ns = deadline_ns;
    struct outcome_tag tag;
    if (!take_number(p, &tag))
        return SVL_E_FULL;
    rc = publish(p, record, tag, full_deadline_ns);
    if (rc != SVL_OK) {
        give_number_back(p, tag, 0);
        return rc;
    }
    uint64_t end = svl__ring_tail(p->ring), given;
    rc = wait_settled(p, tag, end, deadline_ns, &given);
    give_number_back(p, tag, end);
    if (rc == SVL_OK && id)
        *id = given;
    return rc;
}

int svl_publisher_flush(svl_publisher *publisher, int64_t timeout_ms)
{
    uint64_t none;
    int rc = check(publisher);
    return rc == SVL_OK
               ? wait_settled(publisher, (struct outcome_tag){ 0, 0 },
                              svl__ring_tail(publisher->ring), svl__deadline_ns(timeout_ms), &none)
               : rc;
}

/* --- the end --- */

int svl_publisher_close(svl_publisher *publisher)
{
    svl_publisher *p = publisher;
    if (!p)
        return SVL_OK;
    if (svl__forked(p->process_mark))
        return svl__fail(SVL_E_FORKED, "attached before fork(): the parent closes it");
    svl__ring_close(p->ring);
    /* An empty ring goes with its publisher, whether there is a host or not; the rest is the host's. One that the
     * host has given up, or that no host will find, is nobody's. */
    uint64_t word = atomic_load_explicit(&p->slot->state, memory_order_acquire);
    bool is_ours = word == p->state;
    bool is_given_up = !is_ours && word != attach_state_as(p->state, ATTACH_BROKEN) &&
                       word != attach_state_as(p->state, ATTACH_LEFT);
    bool is_empty = svl__ring_is_empty(p->ring);
    bool is_removed = is_store_removed(p);
    int rc = SVL_OK;
    if (!is_empty && !atomic_load_explicit(&p->is_told, memory_order_relaxed)) {
        if (is_removed)
            rc = check_store(p);
        else if (is_given_up)
            rc = svl__fail(SVL_E_FAILED, "the host has given up this ring, which it could not use "
                                         "or find: what was in it and not flushed is lost");
    }
    if (is_given_up || is_removed || (is_ours && is_empty))
        svl__attach_page_remove(p->slot, p->state, p->ring);
    svl__ring_destroy(p->ring); /* lets the lock go */
    p->ring = NULL;
    svl__attach_page_tell(p->page);
    free_publisher(p);
    return rc;
}
