/* journal_recover.c - reading the log back, and making what was read durable before anyone sees it.
 *
 * The first batch that is not whole ends the log, unless somebody knew it to be flushed: then it is
 * damage. Who could know: every header read so far, the next file's header, and the headers of batches
 * behind it (later pages may have reached the disk before earlier ones).
 *
 * Reading a batch back proves nothing about the disk (it may come from the page cache of before a
 * failed flush), so batches above the highest durable_seq are copied into a fresh file, flushed, and
 * only then does that file's header make it part of the log. A crash before that starts again from the
 * old files, whose batches are untouched. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "journal_scan.h"

/* A batch that must be copied. */
struct copy {
    struct journal_file *file;
    uint64_t offset;
    struct journal_batch_header header;
};

struct recovery {
    struct journal *journal;
    journal_replay_fn *replay;
    void *user;
    struct journal_recovery *counts;
    uint64_t expected;    /* sequence of the next batch */
    uint64_t chain;       /* header checksum of the last one */
    uint64_t durable_seq; /* proven */
    struct buffer bytes;  /* the batch at hand */
    struct buffer copies; /* struct copy each, those above durable_seq and perhaps some below */
};

/* The batch after the last one, if it is there and whole. */
static bool next_batch(struct recovery *r, struct journal_file *file,
                       struct journal_batch_header *header, struct ring_position *rings,
                       struct journal_section *sections, int *rc)
{
    return svl__journal_read_batch(file, file->used, &r->bytes, header, rc) &&
           header->sequence == r->expected && header->chain == r->chain &&
           svl__journal_read_tables(&r->bytes, header, rings, sections);
}

static int note_copy(struct recovery *r, struct journal_file *file,
                     const struct journal_batch_header *header)
{
    struct copy copy = { file, file->used, *header };
    if (header->durable_seq > r->durable_seq)
        r->durable_seq = header->durable_seq;
    /* Everything noted so far is proven: forget it. */
    if (r->durable_seq + 1 >= header->sequence)
        r->copies.len = 0;
    svl__buffer_append(&r->copies, &copy, sizeof copy);
    return r->copies.failed ? SVL_E_NOMEM : SVL_OK;
}

static int take_batch(struct recovery *r, struct journal_file *file,
                      const struct journal_batch_header *header, const struct ring_position *rings,
                      const struct journal_section *sections)
{
    struct journal_batch batch = svl__journal_batch_of(header, rings, sections);
    int rc = note_copy(r, file, header);
    if (rc == SVL_OK)
        rc = r->replay(&batch, r->user);
    r->expected++;
    r->chain = header->checksum;
    r->counts->batches++;
    file->used += align_up(header->length, JOURNAL_PAGE);
    if (header->count > 0)
        file->last_id = header->first_id + header->count - 1;
    file->last_op = header->last_op;
    return rc;
}

/* The highest durable_seq in headers of batches behind `offset`. */
static int search_behind(struct recovery *r, const struct journal_file *file, uint64_t offset,
                         uint64_t *durable_seq)
{
    *durable_seq = r->durable_seq;
    for (; offset + JOURNAL_PAGE <= file->size; offset += JOURNAL_PAGE) {
        char name[32];
        svl__journal_file_name(file->name, name);
        int rc = svl__file_read(file->fd, r->bytes.data, JOURNAL_PAGE, offset, name);
        if (rc != SVL_OK)
            return rc;
        struct journal_batch_header header;
        if (svl__journal_batch_decode(r->bytes.data, JOURNAL_PAGE, file->header.salt, &header) &&
            header.sequence >= r->expected && header.durable_seq > *durable_seq)
            *durable_seq = header.durable_seq;
    }
    return SVL_OK;
}

static int damaged(const struct recovery *r, const struct journal_file *file)
{
    return svl__fail(SVL_E_CORRUPT,
                     "journal.%u at offset %llu: batch %llu is damaged, and it was flushed",
                     file->name, (unsigned long long)file->used, (unsigned long long)r->expected);
}

/* Reads a file of the run up to `limit` (exclusive); the last one ends where the log does. */
static int read_file(struct recovery *r, struct journal_file *file, uint64_t limit)
{
    struct ring_position *rings = svl__malloc(JOURNAL_RINGS_MAX * sizeof *rings);
    struct journal_section *sections = svl__malloc(JOURNAL_SECTIONS_MAX * sizeof *sections);
    int rc = rings && sections ? SVL_OK : SVL_E_NOMEM;
    struct journal_batch_header header;
    while (rc == SVL_OK && r->expected < limit &&
           next_batch(r, file, &header, rings, sections, &rc))
        rc = take_batch(r, file, &header, rings, sections);
    svl__free(rings);
    svl__free(sections);
    if (rc != SVL_OK || r->expected == limit)
        return rc;
    if (file->next)
        return damaged(r, file);
    uint64_t durable_seq;
    rc = search_behind(r, file, file->used, &durable_seq);
    if (rc == SVL_OK && durable_seq >= r->expected)
        rc = damaged(r, file);
    if (rc == SVL_OK && file->used + JOURNAL_PAGE <= file->size) {
        rc = svl__file_read(file->fd, r->bytes.data, JOURNAL_PAGE, file->used, "the journal");
        struct journal_batch_header torn;
        r->counts->torn = rc == SVL_OK && svl__journal_batch_decode(r->bytes.data, JOURNAL_PAGE,
                                                                    file->header.salt, &torn);
    }
    return rc;
}

static int read_run(struct recovery *r, struct journal_file *first)
{
    r->expected = first->header.first_sequence;
    r->chain = first->header.chain;
    int rc = buffer_reserve(&r->bytes, JOURNAL_PAGE) ? SVL_OK : SVL_E_NOMEM;
    for (struct journal_file *f = first; f && rc == SVL_OK; f = f->next) {
        if (f->header.first_sequence != r->expected || f->header.chain != r->chain)
            return svl__fail(SVL_E_CORRUPT, "journal.%u does not follow the file before it",
                             f->name);
        if (f->header.durable_seq > r->durable_seq)
            r->durable_seq = f->header.durable_seq;
        r->counts->files++;
        rc = read_file(r, f, f->next ? f->next->header.first_sequence : UINT64_MAX);
    }
    return rc;
}

/* The noted batches above durable_seq. */
static struct copy *copies_of(struct recovery *r, size_t *n)
{
    struct copy *copies = (struct copy *)(void *)r->copies.data;
    *n = r->copies.len / sizeof *copies;
    while (*n > 0 && copies->header.sequence <= r->durable_seq) {
        copies++;
        --*n;
    }
    return copies;
}

/* Writes one batch again, with the same sequence, under the fresh file's salt. */
static int write_copy(struct recovery *r, struct journal_file *fresh, const struct copy *copy)
{
    struct journal_batch_header header;
    int rc;
    if (!svl__journal_read_batch(copy->file, copy->offset, &r->bytes, &header, &rc))
        return rc != SVL_OK ? rc : damaged(r, copy->file);
    struct ring_position rings[JOURNAL_RINGS_MAX];
    struct journal_section sections[JOURNAL_SECTIONS_MAX];
    if (!svl__journal_read_tables(&r->bytes, &header, rings, sections))
        return damaged(r, copy->file);
    struct journal_batch batch = svl__journal_batch_of(&header, rings, sections);
    struct journal_batch_header again = { .salt = fresh->header.salt,
                                          .chain = r->chain,
                                          .durable_seq = r->durable_seq };
    again.payload_checksum =
        svl__journal_payload_checksum(sections, header.section_count, again.salt);
    uint8_t bytes[JOURNAL_BATCH_HEADER_MAX];
    uint32_t len = svl__journal_batch_encode(&batch, &again, bytes);
    memcpy(r->bytes.data, bytes, len);
    rc = svl__file_write(fresh->fd, r->bytes.data, again.length, fresh->used, "the journal");
    r->chain = again.checksum;
    fresh->used += align_up(again.length, JOURNAL_PAGE);
    if (header.count > 0)
        fresh->last_id = header.first_id + header.count - 1;
    fresh->last_op = header.last_op;
    return rc;
}

/* The fresh file: copies, flush, header, flush. */
static int begin_fresh(struct recovery *r, struct journal_file *last)
{
    struct journal *journal = r->journal;
    size_t n;
    const struct copy *copies = copies_of(r, &n);
    uint64_t size = JOURNAL_PAGE;
    for (size_t i = 0; i < n; i++)
        size += align_up(copies[i].header.length, JOURNAL_PAGE);
    size = align_up(size, journal->options.file_bytes_first);
    struct journal_file *fresh;
    uint64_t salt;
    int rc = svl__random(&salt, sizeof salt);
    if (rc == SVL_OK)
        rc = svl__journal_file_create(journal, size, &fresh);
    if (rc != SVL_OK)
        return rc;
    fresh->used = JOURNAL_PAGE;
    fresh->header = (struct journal_file_header){
        .number = last ? last->header.number + 1 : 1,
        .salt = salt,
        .first_sequence = n > 0 ? copies[0].header.sequence : r->expected,
        .chain = n > 0 ? copies[0].header.chain : r->chain,
        .salt_before = last ? last->header.salt : 0,
        .durable_seq = r->expected - 1,
    };
    r->chain = fresh->header.chain;
    uint64_t number = fresh->header.number;
    if (n > 0) {
        /* Number 0: not part of the log, should a crash leave it with copies. */
        fresh->header.number = 0;
        rc = svl__journal_file_begin(journal, fresh);
        fresh->header.number = number;
    }
    for (size_t i = 0; rc == SVL_OK && i < n; i++)
        rc = write_copy(r, fresh, &copies[i]);
    if (rc == SVL_OK && n > 0)
        rc = svl__file_sync(fresh->fd, "the journal");
    if (rc == SVL_OK)
        rc = svl__journal_file_begin(journal, fresh);
    r->counts->copied = n;
    fresh->state = JOURNAL_CURRENT;
    journal->current = fresh;
    journal->next_sequence = r->expected;
    journal->chain = r->chain;
    journal->written_seq = journal->durable_seq = r->expected - 1;
    return rc;
}

static int recover(struct recovery *r)
{
    struct journal *journal = r->journal;
    int rc = svl__journal_open_files(journal);
    if (rc != SVL_OK)
        return rc;
    struct journal_file *first = svl__journal_find_run(journal), *last = first;
    r->expected = 1;
    if (first)
        rc = read_run(r, first);
    while (last && last->next)
        last = last->next;
    /* The last header may be in memory only: its writer may have died before the flush. On the disk the fresh file
     * must not be there without it, or the run would begin with the fresh one. Written again, as a flush of what a
     * failed one has marked clean would do nothing. */
    if (rc == SVL_OK && last)
        rc = svl__journal_file_begin(journal, last);
    return rc == SVL_OK ? begin_fresh(r, last) : rc;
}

int svl__journal_open(const struct journal_options *options, journal_replay_fn *replay, void *user,
                      struct journal_recovery *counts, struct journal **out)
{
    *out = NULL;
    *counts = (struct journal_recovery){ 0 };
    struct journal *journal = svl__calloc(1, sizeof *journal);
    if (!journal)
        return SVL_E_NOMEM;
    journal->options = *options;
    pthread_mutex_init(&journal->lock, NULL);
    struct recovery r = { .journal = journal, .replay = replay, .user = user, .counts = counts };
    int rc = recover(&r);
    svl__buffer_free(&r.bytes);
    svl__buffer_free(&r.copies);
    if (rc != SVL_OK) {
        svl__journal_close(journal);
        return rc;
    }
    *out = journal;
    return SVL_OK;
}

/* What verify looks at: a copy of a file's state, with a descriptor of its own. */
static int verify_file(struct journal *journal, const struct journal_file *copy,
                       struct buffer *bytes, bool *whole, uint64_t *at)
{
    struct ring_position rings[JOURNAL_RINGS_MAX];
    struct journal_section sections[JOURNAL_SECTIONS_MAX];
    uint64_t sequence = copy->header.first_sequence, chain = copy->header.chain;
    *whole = true;
    for (*at = JOURNAL_PAGE; *at < copy->used;) {
        struct journal_batch_header header;
        int rc;
        bool ok = svl__journal_read_batch(copy, *at, bytes, &header, &rc) &&
                  header.sequence == sequence && header.chain == chain &&
                  svl__journal_read_tables(bytes, &header, rings, sections);
        if (rc != SVL_OK &&
            rc != SVL_E_CORRUPT) /* what cannot be read is not known to be damaged */
            return rc;
        if (!ok) {
            pthread_mutex_lock(&journal->lock);
            /* Recycled meanwhile: other bytes are no damage. */
            for (const struct journal_file *f = journal->files; f; f = f->next)
                if (f->name == copy->name && f->state != JOURNAL_FREE &&
                    f->header.salt == copy->header.salt)
                    *whole = false;
            pthread_mutex_unlock(&journal->lock);
            return SVL_OK;
        }
        sequence++;
        chain = header.checksum;
        *at += align_up(header.length, JOURNAL_PAGE);
    }
    return SVL_OK;
}

/* The n-th file that is in use, copied; false: there are not so many. */
static bool nth_file(struct journal *journal, size_t n, struct journal_file *copy)
{
    bool found = false;
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *f = journal->files; f && !found; f = f->next) {
        if (f->state == JOURNAL_FREE || n-- > 0)
            continue;
        *copy = *f;
        copy->fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
        found = true;
    }
    pthread_mutex_unlock(&journal->lock);
    return found;
}

int svl__journal_verify(struct journal *journal, journal_damage_fn *damage, void *user)
{
    struct buffer bytes = { 0 };
    struct journal_file copy;
    int rc = SVL_OK;
    bool damaged_one = false;
    for (size_t n = 0; rc == SVL_OK && nth_file(journal, n, &copy); n++) {
        bool whole;
        uint64_t at;
        if (copy.fd < 0) {
            rc = svl__fail_errno(errno, "a descriptor for journal.%u", copy.name);
            break;
        }
        rc = verify_file(journal, &copy, &bytes, &whole, &at);
        close(copy.fd);
        if (rc == SVL_OK && !whole) {
            char what[96];
            snprintf(what, sizeof what, "journal.%u at offset %llu: a batch is damaged", copy.name,
                     (unsigned long long)at);
            damaged_one = true;
            damage(SVL_E_CORRUPT, what, user);
        }
    }
    svl__buffer_free(&bytes);
    return rc == SVL_OK && damaged_one ? SVL_E_CORRUPT : rc;
}
