/* journal_live.c - following another process' journal, batch by batch.
 *
 * The files are listed when a batch that should be there is not: they were rolled (the place lies in a
 * file behind), or recycled, or a new writer has copied it into a fresh file. */
#include "journal_live.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "journal_scan.h"

/* Between two looks at what cannot be: a header in the middle of its change, a write that is not seen yet. */
#define RETRY_NS NS_PER_MS
#define RETRIES 50

struct journal_live {
    struct journal journal; /* its options and files */
    struct journal_file *run;
    struct journal_file *file; /* the place: its batch `expected` starts at file->used */
    uint64_t expected, chain;
    struct buffer bytes;
    struct ring_position rings[JOURNAL_RINGS_MAX];
    struct journal_section sections[JOURNAL_SECTIONS_MAX];
};

static void drop_files(struct journal_live *live)
{
    while (live->journal.files)
        svl__journal_file_drop(&live->journal, live->journal.files, false);
    live->run = live->file = NULL;
}

int svl__journal_live_open(const struct journal_options *options, struct journal_live **out)
{
    *out = NULL;
    struct journal_live *live = svl__calloc(1, sizeof *live);
    if (!live)
        return SVL_E_NOMEM;
    live->journal.options = *options;
    live->journal.options.live = true;
    pthread_mutex_init(&live->journal.lock, NULL);
    *out = live;
    return SVL_OK;
}

void svl__journal_live_close(struct journal_live *live)
{
    if (!live)
        return;
    drop_files(live);
    svl__buffer_free(&live->bytes);
    pthread_mutex_destroy(&live->journal.lock);
    svl__free(live);
}

static void pause_shortly(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
}

int svl__journal_live_list(struct journal_live *live)
{
    int rc = SVL_E_CORRUPT;
    for (int i = 0; rc == SVL_E_CORRUPT && i < RETRIES; i++) {
        if (i > 0)
            pause_shortly();
        drop_files(live);
        rc = svl__journal_open_files(&live->journal);
    }
    if (rc == SVL_OK)
        live->run = svl__journal_find_run(&live->journal);
    return rc;
}

static void go_to_start(struct journal_live *live, struct journal_file *file)
{
    live->file = file;
    if (!file)
        return;
    file->used = JOURNAL_PAGE;
    live->expected = file->header.first_sequence;
    live->chain = file->header.chain;
}

/* The batch at the place, if it is whole and the expected one; its header is all that is looked at. */
static bool peek(struct journal_live *live, struct journal_batch_header *header, int *rc)
{
    return svl__journal_read_batch(live->file, live->file->used, &live->bytes, header, rc) &&
           header->sequence == live->expected && header->chain == live->chain;
}

static void pass(struct journal_live *live, const struct journal_batch_header *header)
{
    live->expected++;
    live->chain = header->checksum;
    live->file->used += align_up(header->length, JOURNAL_PAGE);
}

int svl__journal_live_place(struct journal_live *live, uint64_t id)
{
    struct journal_file *best = live->run;
    struct journal_batch_header header;
    int rc = SVL_OK;
    for (struct journal_file *f = live->run; f && rc == SVL_OK; f = f->next) {
        go_to_start(live, f);
        if (peek(live, &header, &rc) && header.first_id <= id)
            best = f;
    }
    go_to_start(live, best);
    return rc;
}

/* Finds the place of batch `expected` in files listed anew. SVL_E_STALE: in none of them. */
static int find_place(struct journal_live *live)
{
    uint64_t wanted = live->expected, chain = live->chain;
    uint64_t salt = live->file ? live->file->header.salt : 0;
    uint64_t used = live->file ? live->file->used : 0;
    int rc = svl__journal_live_list(live);
    if (rc != SVL_OK)
        return rc;
    struct journal_file *f = live->run;
    while (f && f->next && f->next->header.first_sequence <= wanted)
        f = f->next;
    if (!f || f->header.first_sequence > wanted)
        return SVL_E_STALE;
    go_to_start(live, f);
    if (f->header.salt == salt) {
        live->expected = wanted;
        live->chain = chain;
        f->used = used;
    }
    struct journal_batch_header header;
    while (live->expected < wanted && peek(live, &header, &rc))
        pass(live, &header);
    if (rc != SVL_OK)
        return rc;
    return live->expected == wanted ? SVL_OK : SVL_E_STALE;
}

static bool is_of_run(const struct journal_live *live, uint64_t salt)
{
    const struct journal_file *f = live->run;
    while (f && f->header.salt != salt)
        f = f->next;
    return f != NULL;
}

/* What the headers from the place on prove to be flushed. */
static int prove(struct journal_live *live, uint64_t *durable_seq)
{
    struct journal_file *place = live->file;
    uint64_t used = place->used, expected = live->expected, chain = live->chain;
    struct journal_batch_header header;
    int rc = SVL_OK;
    *durable_seq = 0;
    for (struct journal_file *f = place; f && rc == SVL_OK; f = f->next) {
        if (f != place)
            go_to_start(live, f);
        if (f->header.durable_seq > *durable_seq)
            *durable_seq = f->header.durable_seq;
        while (peek(live, &header, &rc)) {
            if (header.durable_seq > *durable_seq)
                *durable_seq = header.durable_seq;
            pass(live, &header);
        }
    }
    live->file = place;
    place->used = used;
    live->expected = expected;
    live->chain = chain;
    return rc;
}

static int find_limit(struct journal_live *live, const struct bell_news *news, uint64_t *limit)
{
    int rc = SVL_OK;
    if (news && !is_of_run(live, news->salt))
        rc = find_place(live); /* it speaks of a file that is not known yet */
    if (rc == SVL_OK && news && is_of_run(live, news->salt)) {
        *limit = news->durable_seq;
        return SVL_OK;
    }
    return rc == SVL_OK ? prove(live, limit) : rc;
}

/* The batch at the place. SVL_E_AGAIN: it is not there. */
static int take_batch(struct journal_live *live, journal_replay_fn *replay, void *user)
{
    struct journal_file *next = live->file->next;
    struct journal_batch_header header;
    int rc;
    if (next && next->header.first_sequence == live->expected)
        go_to_start(live, next);
    bool whole = peek(live, &header, &rc) &&
                 svl__journal_read_tables(&live->bytes, &header, live->rings, live->sections);
    if (rc != SVL_OK || !whole)
        return rc != SVL_OK ? rc : SVL_E_AGAIN;
    struct journal_batch batch = svl__journal_batch_of(&header, live->rings, live->sections);
    rc = replay(&batch, user);
    if (rc == SVL_OK)
        pass(live, &header);
    return rc;
}

int svl__journal_live_advance(struct journal_live *live, const struct bell_news *news,
                              journal_replay_fn *replay, void *user)
{
    uint64_t limit;
    if (!live->file)
        return news ? SVL_E_STALE : SVL_OK; /* no journal: that of a store that was never written */
    int rc = find_limit(live, news, &limit);
    for (int misses = 0; rc == SVL_OK && live->expected <= limit;) {
        rc = take_batch(live, replay, user);
        if (rc == SVL_OK)
            misses = 0;
        if (rc != SVL_E_AGAIN)
            continue;
        rc = find_place(live);
        if (rc == SVL_OK && ++misses == RETRIES)
            return svl__fail(SVL_E_CORRUPT,
                             "journal.%u at offset %llu: batch %llu is damaged, and it was flushed",
                             live->file->name, (unsigned long long)live->file->used,
                             (unsigned long long)live->expected);
        if (rc == SVL_OK && misses > 1)
            pause_shortly();
    }
    return rc;
}
