/* attached - the rings of other processes, on the host's side: found, drained, released, told, removed.
 *
 *     found --drained by the pipeline thread, a share a round--> its publisher gone --drained, all durable--> removed
 *       |                      |                                         ^
 *       |                      +-- what it says cannot be: broken -------+ (what is whole in it is taken then)
 *       +-- none of ours, or gone: its slot is freed, the file stays
 *
 *   Z1  only the pipeline thread finds, drains and removes; the flusher's calls see the table under `lock`.
 *   Z2  a ring is released up to a position only when the journal holds everything before it, and is told that
 *       a record is durable only when it is.
 *   Z3  the pipeline thread sleeps only after the sleep bit is set in every live ring (svl__attached_arm), on the
 *       word that they all share. A publisher's death closes its ring's file, which inotify tells a thread that stirs
 *       this word. While rings are attached it sleeps a second at most, then looks at the locks: a wake is missed
 *       where its publisher died before it or somebody wrote over the word, and a death where a child of the
 *       publisher has the file open still, or inotify cannot be had. A host that polls waits for
 *       inotify's descriptor instead, as publishers touch their files for it.
 *   Z4  before how much an orphan holds is fixed, its slot says that it was left; publishers look at their slot after
 *       each commit. Both sides sequentially consistent: nothing is behind that end whose publish returned. */
#ifndef SVL_PIPELINE_ATTACHED_H
#define SVL_PIPELINE_ATTACHED_H

#include <stdatomic.h>

#include "attach_page.h"
#include "base/error.h"
#include "bus/gap.h"
#include "ring/outcome.h"

struct attached;

struct attached_options {
    int directory; /* the store's; borrowed until create returns */
    mode_t file_mode;
    const uint8_t *store_uuid; /* borrowed */
    uint32_t record_bytes_max;
    ring_position_fn *position_of; /* what the journal knows */
    void *user;
    void (*wake)(void *wake_user); /* a host that polls; NULL: it sleeps on the page's word */
    void *wake_user;
    const struct log_sink *log;
};

int svl__attached_create(const struct attached_options *options, struct attached **out);
void svl__attached_destroy(
    struct attached *attached); /* NULL is fine. The rings stay as they are */

/* The host's own ring: it wakes by the shared word, and is never taken for another one. */
void svl__attached_join(struct attached *attached, struct ring *own);

/* --- the pipeline thread; `attached` may be NULL --- */

/* A host that polls: this is readable when publishers wake it, or one has come or died; takes that in. -1: nobody
 * can attach. */
int svl__attached_fd(const struct attached *attached);
void svl__attached_hear(struct attached *attached);

/* New rings, dead publishers, rings that are done. */
void svl__attached_look(struct attached *attached);
/* Sets the sleep bits. False: there is something to do. */
bool svl__attached_arm(struct attached *attached);

/* When to look again at the latest, after arming; INT64_MAX: when woken. */
int64_t svl__attached_deadline_ns(const struct attached *attached);

/* From now on every ring is drained to where it ends now, and no further. */
void svl__attached_end_here(struct attached *attached);
/* Of the rings that dead or closed publishers have left those go that are done. Nothing drains or flushes any more. */
void svl__attached_remove_done(struct attached *attached);

/* Begins a round with ring `i`, below ATTACH_SLOTS: false if there is none, or nothing to be had of it. */
bool svl__attached_begin(struct attached *attached, size_t i);

struct attached_record {
    const uint8_t *wire; /* a copy, valid until the next begin */
    uint32_t len;
    struct outcome_tag tag;
    uint64_t end; /* behind its frame */
};
/* The next record, checked as svl_publish() checks. False: no more in this round. */
bool svl__attached_next(struct attached *attached, size_t i, struct attached_record *record);
/* The position behind all that was taken or skipped. */
uint64_t svl__attached_end(const struct attached *attached, size_t i);
const uint8_t *svl__attached_uuid(const struct attached *attached, size_t i);
uint64_t svl__attached_capacity(const struct attached *attached, size_t i);
/* It is drained to `position`, or as far as it can be. */
bool svl__attached_is_behind(const struct attached *attached, size_t i, uint64_t position);
/* What was dropped for a full ring, to be told; `count` 0: nothing. */
struct gap *svl__attached_gap(struct attached *attached, size_t i);

/* The round, up to `end`, is about to be fed (how many bytes then wait for the journal); was fed with `ticket`; or
 * nothing of it is stored. */
uint64_t svl__attached_note(struct attached *attached, size_t i, uint64_t end);
void svl__attached_fed(struct attached *attached, size_t i, uint64_t end, uint64_t ticket);
void svl__attached_passed(struct attached *attached, size_t i, uint64_t end);
/* A record of the round that was fed and is waited for; that an ingest handler dropped. */
void svl__attached_await(struct attached *attached, size_t i, struct outcome_tag tag, uint64_t id,
                         uint64_t ticket);
void svl__attached_dropped(struct attached *attached, size_t i, struct outcome_tag tag);

/* --- the flusher; `attached` may be NULL --- */

void svl__attached_written(struct attached *attached, const struct ring_position *rings,
                           uint32_t n);
/* Also the pipeline thread, after it has fed; and who closes the store. */
void svl__attached_durable(struct attached *attached, uint64_t ticket);

struct attached_stats {
    uint64_t publishers; /* now */
    uint64_t records, refused, damaged;
};
void svl__attached_stats_get(struct attached *attached,
                             struct attached_stats *stats); /* any thread */

#endif
