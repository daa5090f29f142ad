/* attached.c - the table of attached rings. */
#define _GNU_SOURCE
#include "attached.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "deaths.h"
#include "record/wire.h"
#include "ring/foreign.h"

/* What one ring may have of a round, in bytes and records. */
#define SHARE_BYTES (64u << 10)
#define SHARE_FRAMES 256

/* How long the host sleeps at most while rings are attached, and before what it was short of is tried again. */
#define SLEEP_MS_MAX 1000
#define SHORTAGE_MS 100

/* What was fed with this ticket ends here. */
struct fed {
    uint64_t ticket;
    uint64_t end;
};

struct attached_ring {
    struct ring *ring; /* NULL: none */
    uint64_t state;    /* its slot's, when it was found */
    uint32_t frames;   /* in this round */
    bool is_left;      /* an orphan, for the flusher */
    uint64_t last;     /* where the host ends with it; UINT64_MAX: it goes on */

    uint64_t noted;    /* the highest position given to the store */
    uint64_t released; /* W2, Z2 */
    uint64_t passed;   /* drained behind it, but nothing of that was stored */
    struct buffer fed; /* struct fed, ascending: not durable yet */

    struct gap gap;
    uint64_t told;       /* of its drops, in the journal */
    uint64_t told_noted; /* the highest number of them given to the store */
};

/* A record that somebody in another process waits for. */
struct awaited {
    size_t ring;
    struct outcome_tag tag;
    uint64_t id;
    uint64_t ticket;
};

struct attached {
    struct attach_page *page;
    int page_fd;
    uint8_t store_uuid[16];
    uint8_t own_uuid[16];
    uint32_t owner;
    uint32_t record_bytes_max;
    ring_position_fn *position_of;
    void *user;
    void (*wake)(void *wake_user);
    void *wake_user;
    const struct log_sink *log;
    int64_t last_refusal_ns, last_damage_ns, last_busy_ns; /* when the host was told last */

    struct deaths *deaths;
    bool deaths_tried;
    uint32_t changes_seen;
    bool look_again; /* something could not be had for a shortage, or yet */
    int64_t locks_due_ns;
    bool ends;
    uint8_t *round; /* SHARE_BYTES and one record more: payloads are copied here */
    size_t round_bytes, round_used;
    svl_attribute attributes[RECORD_ATTRIBUTES_MAX];

    pthread_mutex_t lock; /* Z1 */
    struct attached_ring rings[ATTACH_SLOTS];
    struct buffer awaited; /* struct awaited */

    _Atomic uint64_t publishers, records, refused, damaged;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Without a word to sleep on: comings are heard by the page's file, and wakes and deaths by the rings'. */
static int poll_publishers(struct attached *a, int directory)
{
    a->deaths_tried = true;
    int rc = svl__deaths_create(&a->deaths);
    return rc == SVL_OK ? svl__deaths_watch_at(a->deaths, directory, ATTACH_PAGE_NAME) : rc;
}

static void wake_host(struct attached *a)
{
    if (a->wake)
        a->wake(a->wake_user);
    else
        svl__attach_page_wake(a->page);
}

int svl__attached_create(const struct attached_options *o, struct attached **out)
{
    *out = NULL;
    struct stat st;
    if (fstat(o->directory, &st) != 0)
        return svl__fail_errno(errno, "stat of the store's directory");
    struct attached *a = svl__calloc(1, sizeof *a);
    if (!a)
        return SVL_E_NOMEM;
    pthread_mutex_init(&a->lock, NULL);
    a->owner = st.st_uid;
    memcpy(a->store_uuid, o->store_uuid, 16);
    a->record_bytes_max = o->record_bytes_max;
    a->position_of = o->position_of;
    a->user = o->user;
    a->wake = o->wake;
    a->wake_user = o->wake_user;
    a->log = o->log;
    a->look_again = true;
    a->last_busy_ns =
        svl__monotonic_ns(); /* the host before, if it was killed, may be letting go still */
    int rc = svl__attach_page_open_host(o->directory, o->file_mode, o->store_uuid,
                                        o->record_bytes_max, &a->page, &a->page_fd);
    if (rc == SVL_OK && o->wake)
        rc = poll_publishers(a, o->directory);
    if (rc == SVL_OK)
        atomic_store_explicit(&a->page->host_polls, o->wake != NULL, memory_order_release);
    if (rc != SVL_OK) {
        svl__attached_destroy(a);
        return rc;
    }
    *out = a;
    return SVL_OK;
}

static void free_ring(struct attached_ring *r)
{
    svl__ring_destroy(r->ring);
    svl__buffer_free(&r->fed);
    *r = (struct attached_ring){ .ring = NULL };
}

void svl__attached_destroy(struct attached *a)
{
    if (!a)
        return;
    svl__deaths_destroy(a->deaths);
    for (size_t i = 0; i < ATTACH_SLOTS; i++)
        free_ring(&a->rings[i]);
    svl__buffer_free(&a->awaited);
    svl__attach_page_close(a->page);
    if (a->page_fd >= 0)
        close(a->page_fd);
    pthread_mutex_destroy(&a->lock);
    svl__free(a->round);
    svl__free(a);
}

void svl__attached_join(struct attached *a, struct ring *own)
{
    if (!a)
        return;
    memcpy(a->own_uuid, svl__ring_uuid(own), sizeof a->own_uuid);
    svl__ring_wake_through(own, &a->page->word);
}

/* --- coming --- */

/* What the journal says of the one would be taken for the other's. */
static bool is_like(const uint8_t uuid[16], const uint8_t other[16])
{
    return memcmp(uuid, other, 16) == 0 || svl__gap_is_told(other, uuid);
}

static bool is_known(const struct attached *a, const uint8_t uuid[16])
{
    bool known = is_like(uuid, a->own_uuid);
    for (size_t i = 0; i < ATTACH_SLOTS && !known; i++)
        known = a->rings[i].ring && is_like(uuid, svl__ring_uuid(a->rings[i].ring));
    return known;
}

/* Copied from the page, as its users may change it. */
struct ring_path {
    char directory[256];
    char name[64];
};

static int open_ring(struct attached *a, const struct ring_path *path, struct ring **out)
{
    if (memchr(path->directory, 0, sizeof path->directory) == NULL || path->directory[0] != '/' ||
        memchr(path->name, 0, sizeof path->name) == NULL ||
        strncmp(path->name, "serverlog-", 10) != 0 || strchr(path->name, '/'))
        return svl__fail(SVL_E_CORRUPT, "a slot of %s names no ring", ATTACH_PAGE_NAME);
    struct foreign_place place = { .directory = path->directory,
                                   .name = path->name,
                                   .store_uuid = a->store_uuid,
                                   .owner = a->owner };
    int rc = svl__foreign_open(&place, a->position_of, a->user, out);
    if (rc == SVL_E_NOT_FOUND)
        return svl__fail(SVL_E_NOT_FOUND, "%s/%s is gone (a reboot, or a cleaned tmpfs)",
                         path->directory, path->name);
    if (rc == SVL_OK && is_known(a, svl__ring_uuid(*out)))
        rc = svl__fail(SVL_E_CORRUPT, "%s is in use already", path->name);
    else if (rc == SVL_OK)
        rc = svl__foreign_begin(*out);
    if (rc != SVL_OK) {
        svl__ring_destroy(*out);
        *out = NULL;
    }
    return rc;
}

static int listen(struct attached *a)
{
    int rc = svl__deaths_create(&a->deaths);
    if (rc == SVL_OK)
        rc = svl__deaths_start(a->deaths, a->page);
    if (rc != SVL_OK) {
        svl__deaths_destroy(a->deaths);
        a->deaths = NULL;
    }
    return rc;
}

/* Deaths are heard of from before the first look at a lock. */
static void watch(struct attached *a, const struct ring_path *path)
{
    int rc = SVL_OK;
    if (!a->deaths_tried)
        rc = listen(a);
    if (rc == SVL_OK && a->deaths)
        rc = svl__deaths_watch(a->deaths, path->directory, path->name);
    if (rc != SVL_OK)
        svl__log(a->log, SVL_SEVERITY_WARN, rc,
                 "the end of a process that publishes will be seen up to a second late: %s",
                 svl_last_error());
    a->deaths_tried = true;
}

/* A name changes only while its slot is free, and one that was taken again is of another generation: what was copied
 * belongs to the state that was found if the slot still says so after it. The exchange keeps the copy before it. */
static bool copy_path(struct attach_slot *slot, uint64_t found, struct ring_path *path)
{
    memcpy(path->directory, slot->directory, sizeof path->directory);
    memcpy(path->name, slot->name, sizeof path->name);
    return atomic_fetch_or_explicit(&slot->state, 0, memory_order_acq_rel) == found;
}

/* Frees the slot, if it still says what was found: a publisher that has left its empty ring meanwhile has done no
 * damage. */
static void give_up(struct attached *a, size_t i, uint64_t found, int code)
{
    if (!atomic_compare_exchange_strong(&a->page->slots[i].state, &found,
                                        attach_state_as(found, ATTACH_FREE)))
        return;
    add(&a->damaged, 1);
    if (svl__log_due(&a->last_damage_ns))
        svl__log(a->log, SVL_SEVERITY_WARN, code, "an attached ring cannot be used: %s",
                 svl_last_error());
}

static void enter(struct attached *a, size_t i, uint64_t found, struct ring *ring,
                  struct buffer fed)
{
    uint64_t start = svl__ring_drained(ring), told = svl__ring_dropped_told_get(ring);
    uint8_t gap_uuid[16];
    svl__gap_uuid(svl__ring_uuid(ring), gap_uuid);
    uint64_t known = a->position_of(gap_uuid, a->user);
    if (told < known && known <= svl__foreign_dropped(ring))
        told = known;
    if (svl__foreign_is_whole(ring))
        svl__ring_dropped_told(ring, told);
    pthread_mutex_lock(&a->lock);
    a->rings[i] = (struct attached_ring){ .ring = ring,
                                          .state = attach_state_as(found, ATTACH_READY),
                                          .last = a->ends ? start : UINT64_MAX,
                                          .noted = start,
                                          .released = start,
                                          .passed = start,
                                          .fed = fed,
                                          .gap.total = told,
                                          .told = told,
                                          .told_noted = told };
    pthread_mutex_unlock(&a->lock);
    svl__outcome_settle(ring, start);
    svl__outcome_tell(ring);
    add(&a->publishers, 1);
}

static void find(struct attached *a, size_t i, uint64_t found)
{
    struct ring_path path;
    struct ring *ring;
    struct buffer fed = { 0 };
    if (!copy_path(&a->page->slots[i], found, &path)) {
        a->look_again = true;
        return;
    }
    int rc = a->round && buffer_reserve(&fed, sizeof(struct fed)) ? SVL_OK : SVL_E_NOMEM;
    if (rc == SVL_OK)
        rc = open_ring(a, &path, &ring);
    if (rc == SVL_OK) {
        watch(a, &path);
        enter(a, i, found, ring, fed);
        return;
    }
    svl__buffer_free(&fed);
    /* What cannot be read now is not damaged. */
    bool later = rc == SVL_E_BUSY || rc == SVL_E_IO || is_shortage(rc);
    if (later && !is_shortage(rc) && svl__log_due(&a->last_busy_ns))
        svl__log(a->log, SVL_SEVERITY_WARN, rc, "an attached ring cannot be used: %s",
                 svl_last_error());
    if (later)
        a->look_again = true;
    else
        give_up(a, i, found, rc);
}

/* Nobody may attach any more: what died half-way goes with the host that finds it. */
static void clear(struct attached *a, size_t i)
{
    if (svl__attach_page_lock(a->page_fd, i) != SVL_OK)
        return; /* it is being made */
    uint64_t state = svl__attach_page_clear(a->page, i);
    svl__attach_page_unlock(a->page_fd, i, 1);
    if (attach_state_of(state) == ATTACH_MAKING)
        a->look_again = true;
}

static void find_all(struct attached *a)
{
    if (!a->round) {
        a->round_bytes = SHARE_BYTES + a->record_bytes_max + sizeof(struct outcome_tag);
        a->round = svl__malloc(a->round_bytes);
    }
    a->look_again = false;
    for (size_t i = 0; i < ATTACH_SLOTS; i++) {
        uint64_t state = atomic_load_explicit(&a->page->slots[i].state, memory_order_acquire);
        if (a->rings[i].ring)
            continue;
        switch (attach_state_of(state)) {
        case ATTACH_FREE:
            break;
        case ATTACH_MAKING:
            clear(a, i);
            break;
        case ATTACH_READY:
        case ATTACH_BROKEN:
        case ATTACH_LEFT:
            find(a, i, state);
            break;
        default:
            give_up(a, i, state,
                    svl__fail(SVL_E_CORRUPT, "a slot of %s has no state that there is",
                              ATTACH_PAGE_NAME));
        }
    }
}

/* --- going --- */

static void remove_ring(struct attached *a, size_t i)
{
    struct attached_ring *r = &a->rings[i];
    svl__attach_page_remove(&a->page->slots[i], r->state, r->ring);
    pthread_mutex_lock(&a->lock);
    struct awaited *awaited = (struct awaited *)(void *)a->awaited.data;
    size_t kept = 0;
    for (size_t k = 0; k < a->awaited.len / sizeof *awaited; k++)
        if (awaited[k].ring != i)
            awaited[kept++] = awaited[k];
    a->awaited.len = kept * sizeof *awaited;
    free_ring(r);
    pthread_mutex_unlock(&a->lock);
    atomic_fetch_sub_explicit(&a->publishers, 1, memory_order_relaxed);
    a->changes_seen--; /* another one may have the slot already: look at once */
}

/* Its mapping is not safe any more. */
static void drop(struct attached *a, size_t i)
{
    add(&a->damaged, 1);
    svl__log(a->log, SVL_SEVERITY_ERROR, SVL_E_CORRUPT,
             "an attached ring's file was cut short: what was in it is lost");
    remove_ring(a, i);
}

static void tell_broken(struct attached *a, size_t i)
{
    struct attached_ring *r = &a->rings[i];
    uint64_t ready = r->state;
    add(&a->damaged, 1);
    svl__log(a->log, SVL_SEVERITY_ERROR, SVL_E_CORRUPT,
             "an attached ring says what cannot be: nothing is taken from it while its process "
             "lives, then what is whole in it");
    atomic_compare_exchange_strong(&a->page->slots[i].state, &ready,
                                   attach_state_as(ready, ATTACH_BROKEN));
    svl__outcome_tell(r->ring);
}

/* Everything that came of it is durable. */
static bool is_done(struct attached *a, struct attached_ring *r)
{
    if (!svl__foreign_is_drained(r->ring) || svl__foreign_dropped(r->ring) > r->gap.total ||
        r->gap.count != 0)
        return false;
    pthread_mutex_lock(&a->lock);
    bool done = r->fed.len == 0 && r->told >= r->gap.total && svl__foreign_is_released(r->ring);
    pthread_mutex_unlock(&a->lock);
    return done;
}

static void tell_left(struct attached *a, const struct attached_ring *r)
{
    struct ring_recovery left;
    svl__ring_recovery_get(r->ring, &left);
    if (left.unfinished + left.gaps + left.damaged > 0)
        svl__log(a->log, SVL_SEVERITY_INFO, SVL_OK,
                 "a process that published has died: %llu half-written records skipped",
                 (unsigned long long)(left.unfinished + left.gaps + left.damaged));
}

static void look_at(struct attached *a, size_t i, bool at_locks)
{
    struct attached_ring *r = &a->rings[i];
    if (!svl__foreign_is_whole(r->ring)) {
        drop(a, i);
        return;
    }
    if (at_locks && !svl__foreign_is_orphan(r->ring) && !svl__foreign_lives(r->ring)) {
        /* Should it live nevertheless, having let its lock go by closing another descriptor of the file: its publishes
         * look at the slot after their commit (publisher.c), so either they say that the ring was given up, or
         * what they committed is seen from here on (Z4). */
        uint64_t ready = r->state;
        atomic_compare_exchange_strong(&a->page->slots[i].state, &ready,
                                       attach_state_as(ready, ATTACH_LEFT));
        svl__foreign_orphan(r->ring);
        pthread_mutex_lock(&a->lock);
        r->is_left = true;
        pthread_mutex_unlock(&a->lock);
    }
    if (!svl__foreign_is_orphan(r->ring) || !is_done(a, r))
        return;
    tell_left(a, r);
    remove_ring(a, i);
}

static bool has_changed(const struct attached *a)
{
    return atomic_load_explicit(&a->page->changes, memory_order_acquire) != a->changes_seen;
}

int svl__attached_fd(const struct attached *a)
{
    return a && a->deaths ? svl__deaths_fd(a->deaths) : -1;
}

void svl__attached_hear(struct attached *a)
{
    if (a && a->deaths)
        svl__deaths_hear(a->deaths);
}

void svl__attached_look(struct attached *a)
{
    if (!a)
        return;
    bool changed = has_changed(a), heard = a->deaths && svl__deaths_happened(a->deaths);
    int64_t now_ns = svl__monotonic_ns();
    bool at_locks = heard || changed || a->look_again || now_ns >= a->locks_due_ns;
    if (at_locks)
        a->locks_due_ns = now_ns + SLEEP_MS_MAX * NS_PER_MS;
    if (changed)
        a->changes_seen = atomic_load_explicit(&a->page->changes, memory_order_acquire);
    if (changed || a->look_again)
        find_all(a);
    if (atomic_load_explicit(&a->publishers, memory_order_relaxed) == 0)
        return;
    for (size_t i = 0; i < ATTACH_SLOTS; i++)
        if (a->rings[i].ring)
            look_at(a, i, at_locks);
}

bool svl__attached_arm(struct attached *a)
{
    if (!a)
        return true;
    if (has_changed(a) || (a->deaths && svl__deaths_waiting(a->deaths)))
        return false;
    for (size_t i = 0; i < ATTACH_SLOTS; i++) {
        struct attached_ring *r = &a->rings[i];
        if (r->ring && (!svl__foreign_is_whole(r->ring) || !svl__foreign_arm(r->ring)))
            return false;
        if (r->ring && svl__foreign_is_orphan(r->ring) && is_done(a, r))
            return false;
    }
    return true;
}

int64_t svl__attached_deadline_ns(const struct attached *a)
{
    if (a && a->look_again)
        return svl__deadline_ns(SHORTAGE_MS);
    bool any = a && atomic_load_explicit(&a->publishers, memory_order_relaxed) > 0;
    return any ? a->locks_due_ns : INT64_MAX;
}

void svl__attached_end_here(struct attached *a)
{
    if (!a)
        return;
    a->ends = true;
    for (size_t i = 0; i < ATTACH_SLOTS; i++)
        if (a->rings[i].ring)
            a->rings[i].last = svl__foreign_end(a->rings[i].ring);
}

void svl__attached_remove_done(struct attached *a)
{
    for (size_t i = 0; a && i < ATTACH_SLOTS; i++)
        if (a->rings[i].ring)
            look_at(a, i, true);
}

/* --- draining --- */

bool svl__attached_begin(struct attached *a, size_t i)
{
    if (!a || !a->rings[i].ring)
        return false;
    struct attached_ring *r = &a->rings[i];
    if (svl__ring_drained(r->ring) >= r->last || !svl__foreign_is_whole(r->ring))
        return false; /* what is cut the next look drops */
    a->round_used = 0;
    r->frames = 0;
    uint64_t total = svl__foreign_dropped(r->ring);
    if (total > r->gap.total) {
        if (r->gap.count == 0)
            r->gap.position = svl__foreign_end(r->ring);
        r->gap.count += total - r->gap.total;
        r->gap.total = total;
    }
    return true;
}

static void refuse(struct attached *a, struct attached_ring *r,
                   const struct attached_record *record, int code)
{
    add(&a->refused, 1);
    if (svl__log_due(&a->last_refusal_ns))
        svl__log(a->log, SVL_SEVERITY_ERROR, code, "a record of another process was refused: %s",
                 svl_last_error());
    svl__outcome_put(r->ring, record->tag, RING_REFUSED, 0);
}

/* The copied payload: a tag and a record that svl_publish() would take. */
static int take(struct attached *a, const struct ring_frame *frame, struct attached_record *out)
{
    if (frame->len < sizeof out->tag)
        return svl__fail(SVL_E_CORRUPT, "a frame of %u bytes", frame->len);
    memcpy(&out->tag, frame->payload, sizeof out->tag);
    out->wire = frame->payload + sizeof out->tag;
    out->len = frame->len - (uint32_t)sizeof out->tag;
    svl_record record;
    int rc = svl__wire_decode(out->wire, out->len, a->attributes, &record);
    return rc == SVL_OK ? svl__record_check(&record, a->record_bytes_max, false) : rc;
}

bool svl__attached_next(struct attached *a, size_t i, struct attached_record *out)
{
    struct attached_ring *r = &a->rings[i];
    uint32_t len_max = a->record_bytes_max + (uint32_t)sizeof out->tag;
    while (r->frames < SHARE_FRAMES && a->round_used < SHARE_BYTES) {
        struct ring_frame frame;
        bool was_broken = svl__ring_is_broken(r->ring);
        *out = (struct attached_record){ .len = 0 };
        switch (svl__foreign_next(r->ring, len_max, a->round + a->round_used,
                                  a->round_bytes - a->round_used, &frame)) {
        case FOREIGN_FRAME:
        case FOREIGN_LARGE: /* what was cut is no record: refused */
            break;
        case FOREIGN_BROKEN:
            if (!was_broken)
                tell_broken(a, i);
            return false;
        case FOREIGN_NONE:
        case FOREIGN_ROOM:
        default:
            return false;
        }
        r->frames++;
        a->round_used += frame.len;
        out->end = frame.end;
        int rc = take(a, &frame, out);
        if (rc == SVL_OK) {
            add(&a->records, 1);
            return true;
        }
        refuse(a, r, out, rc);
    }
    return false;
}

uint64_t svl__attached_end(const struct attached *a, size_t i)
{
    return svl__ring_drained(a->rings[i].ring);
}

bool svl__attached_is_behind(const struct attached *a, size_t i, uint64_t position)
{
    const struct ring *ring = a->rings[i].ring;
    return svl__ring_drained(ring) >= position || svl__foreign_is_drained(ring);
}

const uint8_t *svl__attached_uuid(const struct attached *a, size_t i)
{
    return svl__ring_uuid(a->rings[i].ring);
}

uint64_t svl__attached_capacity(const struct attached *a, size_t i)
{
    return svl__ring_capacity(a->rings[i].ring);
}

struct gap *svl__attached_gap(struct attached *a, size_t i)
{
    return &a->rings[i].gap;
}

/* --- written, durable --- */

uint64_t svl__attached_note(struct attached *a, size_t i, uint64_t end)
{
    pthread_mutex_lock(&a->lock);
    struct attached_ring *r = &a->rings[i];
    r->noted = end;
    r->told_noted = r->gap.total - r->gap.count;
    uint64_t held = end - r->released;
    pthread_mutex_unlock(&a->lock);
    return held;
}

/* `lock` held. Into a ring's file something is stored only while the file is whole: the flusher may come long after the
 * last look. */
static void release(struct attached_ring *r, uint64_t position)
{
    if (position > r->released)
        r->released = position;
    if (svl__foreign_is_whole(r->ring))
        svl__foreign_release(r->ring, r->released);
}

static void put_outcome(const struct attached_ring *r, struct outcome_tag tag,
                        enum ring_outcome_kind kind, uint64_t id)
{
    if (tag.number != 0 && svl__foreign_is_whole(r->ring))
        svl__outcome_put(r->ring, tag, kind, id);
}

/* `lock` held. */
static void settle(const struct attached_ring *r, uint64_t position)
{
    if (!svl__foreign_is_whole(r->ring))
        return;
    svl__outcome_settle(r->ring, position);
    svl__outcome_tell(r->ring);
}

/* `lock` held. The record that tells of so many of the ring's drops is written. */
static void tell_gap(struct attached_ring *r, uint64_t told)
{
    if (told <= r->told || told > r->told_noted)
        return;
    r->told = told;
    if (svl__foreign_is_whole(r->ring))
        svl__ring_dropped_told(r->ring, told);
}

void svl__attached_fed(struct attached *a, size_t i, uint64_t end, uint64_t ticket)
{
    struct attached_ring *r = &a->rings[i];
    struct fed fed = { ticket, end };
    pthread_mutex_lock(&a->lock);
    struct fed *last =
        r->fed.len == 0 ? NULL : (struct fed *)(void *)(r->fed.data + r->fed.len - sizeof fed);
    /* One more ticket, or a later one for what came before, which says so late. */
    if (last && (last->ticket == ticket || !buffer_reserve(&r->fed, sizeof fed)))
        *last = fed;
    else
        svl__buffer_append(&r->fed, &fed, sizeof fed);
    r->fed.failed = false;
    pthread_mutex_unlock(&a->lock);
}

void svl__attached_passed(struct attached *a, size_t i, uint64_t end)
{
    struct attached_ring *r = &a->rings[i];
    pthread_mutex_lock(&a->lock);
    r->passed = end;
    if (r->released >= r->noted) {
        release(r, end);
        r->noted = end;
    }
    if (r->fed.len == 0)
        settle(r, end);
    else
        ((struct fed *)(void *)(r->fed.data + r->fed.len - sizeof(struct fed)))->end = end;
    pthread_mutex_unlock(&a->lock);
}

void svl__attached_await(struct attached *a, size_t i, struct outcome_tag tag, uint64_t id,
                         uint64_t ticket)
{
    struct awaited awaited = { i, tag, id, ticket };
    pthread_mutex_lock(&a->lock);
    svl__buffer_append(&a->awaited, &awaited, sizeof awaited);
    a->awaited.failed = false; /* then its publisher hears that it is durable, without an id */
    pthread_mutex_unlock(&a->lock);
}

void svl__attached_dropped(struct attached *a, size_t i, struct outcome_tag tag)
{
    put_outcome(&a->rings[i], tag, RING_DROPPED, 0);
    if (tag.number != 0 && svl__foreign_is_whole(a->rings[i].ring))
        svl__outcome_tell(a->rings[i].ring);
}

void svl__attached_written(struct attached *a, const struct ring_position *rings, uint32_t n)
{
    if (!a || atomic_load_explicit(&a->publishers, memory_order_relaxed) == 0)
        return;
    bool orphan = false;
    pthread_mutex_lock(&a->lock);
    for (uint32_t k = 0; k < n; k++) {
        for (size_t i = 0; i < ATTACH_SLOTS; i++) {
            struct attached_ring *r = &a->rings[i];
            if (r->ring && svl__gap_is_told(svl__ring_uuid(r->ring), rings[k].uuid))
                tell_gap(r, rings[k].position);
            uint64_t position = rings[k].position;
            /* What was never given to the store is of another ring with this uuid, which was here before. */
            if (!r->ring || memcmp(rings[k].uuid, svl__ring_uuid(r->ring), 16) != 0 ||
                position > r->noted)
                continue;
            if (position == r->noted && r->passed > position)
                position = r->noted = r->passed;
            release(r, position);
            orphan |= r->is_left;
        }
    }
    pthread_mutex_unlock(&a->lock);
    if (orphan)
        wake_host(a);
}

/* `lock` held. */
static void tell_awaited(struct attached *a, uint64_t ticket)
{
    struct awaited *awaited = (struct awaited *)(void *)a->awaited.data;
    size_t kept = 0;
    for (size_t k = 0; k < a->awaited.len / sizeof *awaited; k++) {
        const struct awaited *w = &awaited[k];
        if (w->ticket <= ticket)
            put_outcome(&a->rings[w->ring], w->tag, RING_STORED, w->id);
        else
            awaited[kept++] = *w;
    }
    a->awaited.len = kept * sizeof *awaited;
}

/* `lock` held. True: its last word is said. */
static bool tell_settled(struct attached_ring *r, uint64_t ticket)
{
    const struct fed *fed = (const struct fed *)(const void *)r->fed.data;
    size_t n = r->fed.len / sizeof *fed, done = 0;
    while (done < n && fed[done].ticket <= ticket)
        done++;
    if (done == 0)
        return false;
    uint64_t end = fed[done - 1].end;
    r->fed.len -= done * sizeof *fed;
    memmove(r->fed.data, r->fed.data + done * sizeof *fed, r->fed.len);
    settle(r, end);
    return r->fed.len == 0 && r->is_left;
}

void svl__attached_durable(struct attached *a, uint64_t ticket)
{
    if (!a || atomic_load_explicit(&a->publishers, memory_order_relaxed) == 0)
        return;
    bool done = false;
    pthread_mutex_lock(&a->lock);
    tell_awaited(a, ticket);
    for (size_t i = 0; i < ATTACH_SLOTS; i++)
        if (a->rings[i].ring)
            done |= tell_settled(&a->rings[i], ticket);
    pthread_mutex_unlock(&a->lock);
    if (done)
        wake_host(a);
}

void svl__attached_stats_get(struct attached *a, struct attached_stats *stats)
{
    *stats = (struct attached_stats){ 0 };
    if (!a)
        return;
    stats->publishers = atomic_load_explicit(&a->publishers, memory_order_relaxed);
    stats->records = atomic_load_explicit(&a->records, memory_order_relaxed);
    stats->refused = atomic_load_explicit(&a->refused, memory_order_relaxed);
    stats->damaged = atomic_load_explicit(&a->damaged, memory_order_relaxed);
}
