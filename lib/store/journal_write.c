/* journal_write.c - appending, flushing, recycling.
 *
 * One writer, one flusher (they may be the same thread), one committer that recycles, anyone for the
 * statistics. A full file is flushed before the next one's header is written, and that header before the
 * first batch behind it (J4): so a file's header proves every batch before it. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/step.h"
#include "journal_files.h"

/* Free files kept at least, for the next roll; and at most. */
#define FREE_FILES_MIN 2
#define FREE_FILES_MAX (JOURNAL_LIVE_FILES_MAX + 1)
_Static_assert(FREE_FILES_MIN <= FREE_FILES_MAX, "a range");

static const uint8_t zeros[JOURNAL_PAGE];

uint64_t svl__journal_batch_bytes_max(const struct journal *journal)
{
    return journal->options.file_bytes_max / 4 - JOURNAL_BATCH_HEADER_MAX;
}

static int fail(struct journal *journal, int code)
{
    pthread_mutex_lock(&journal->lock);
    journal->failed = true;
    pthread_mutex_unlock(&journal->lock);
    return code;
}

/* The largest free file that holds `need` bytes, NULL if there is none. */
static struct journal_file *find_free(struct journal *journal, uint64_t need)
{
    struct journal_file *best = NULL;
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *f = journal->files; f; f = f->next)
        if (f->state == JOURNAL_FREE && f->size >= need && (!best || f->size > best->size))
            best = f;
    if (best)
        best->state = JOURNAL_CURRENT; /* nobody else may take or drop it */
    pthread_mutex_unlock(&journal->lock);
    return best;
}

/* Moves `file` to the end of the list: log order. */
static void move_last(struct journal *journal, struct journal_file *file)
{
    struct journal_file **at = &journal->files;
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    file->next = NULL;
    for (at = &journal->files; *at; at = &(*at)->next)
        ;
    *at = file;
}

/* `lock` held. */
static void begin_header(struct journal *journal, struct journal_file *file, uint64_t salt)
{
    const struct journal_file_header *before = &journal->current->header;
    file->header = (struct journal_file_header){ .number = before->number + 1,
                                                 .salt = salt,
                                                 .first_sequence = journal->next_sequence,
                                                 .chain = journal->chain,
                                                 .salt_before = before->salt,
                                                 .durable_seq = journal->written_seq };
    file->used = JOURNAL_PAGE;
    file->last_id = file->last_op = 0;
}

/* The current file is full: the next one, recycled or twice as large. */
static int roll(struct journal *journal, uint64_t need)
{
    uint64_t durable, salt;
    int rc = svl__journal_flush(journal, &durable);
    if (rc == SVL_OK)
        rc = svl__random(&salt, sizeof salt);
    if (rc != SVL_OK)
        return rc;
    STEP("journal: full file flushed");
    struct journal_file *file = find_free(journal, need + JOURNAL_PAGE);
    if (!file) {
        uint64_t size = journal->current->size * 2;
        if (size > journal->options.file_bytes_max)
            size = journal->options.file_bytes_max;
        while (size < need + JOURNAL_PAGE)
            size *= 2;
        rc = svl__journal_file_create(journal, size, &file);
        if (rc != SVL_OK)
            return is_shortage(rc) ? rc : fail(journal, rc);
    }
    pthread_mutex_lock(&journal->lock);
    begin_header(journal, file, salt);
    pthread_mutex_unlock(&journal->lock);
    rc = svl__journal_file_begin(journal, file);
    if (rc == SVL_E_NO_SPACE) {
        pthread_mutex_lock(&journal->lock);
        file->state = JOURNAL_FREE;
        pthread_mutex_unlock(&journal->lock);
        return rc;
    }
    if (rc != SVL_OK)
        return fail(journal, rc);
    STEP("journal: next file begun");
    pthread_mutex_lock(&journal->lock);
    journal->current->state = JOURNAL_FULL;
    file->state = JOURNAL_CURRENT;
    move_last(journal, file);
    journal->current = file;
    pthread_mutex_unlock(&journal->lock);
    return SVL_OK;
}

static int check_batch(struct journal *journal, const struct journal_batch *batch, uint64_t *length)
{
    uint64_t payload = 0;
    for (uint32_t i = 0; i < batch->section_count; i++)
        payload += batch->sections[i].len;
    if (payload > svl__journal_batch_bytes_max(journal) || batch->ring_count > JOURNAL_RINGS_MAX ||
        batch->section_count > JOURNAL_SECTIONS_MAX)
        return svl__fail(SVL_E_LIMIT, "a journal batch of %llu bytes; at most %llu",
                         (unsigned long long)payload,
                         (unsigned long long)svl__journal_batch_bytes_max(journal));
    *length =
        JOURNAL_BATCH_HEADER_BYTES + 24 * batch->ring_count + 16 * batch->section_count + payload;
    return SVL_OK;
}

static int write_sections(struct journal *journal, const struct journal_batch *batch,
                          uint8_t *header, uint32_t header_len, uint64_t length)
{
    struct iovec parts[JOURNAL_SECTIONS_MAX + 2];
    int n = 0;
    parts[n++] = (struct iovec){ header, header_len };
    for (uint32_t i = 0; i < batch->section_count; i++)
        if (batch->sections[i].len > 0)
            parts[n++] = (struct iovec){ (void *)(uintptr_t)batch->sections[i].data,
                                         batch->sections[i].len };
    size_t padding = (size_t)(align_up(length, JOURNAL_PAGE) - length);
    if (padding > 0)
        parts[n++] = (struct iovec){ (void *)(uintptr_t)zeros, padding };
    char name[32];
    svl__journal_file_name(journal->current->name, name);
    return svl__file_writev(journal->current->fd, parts, n, journal->current->used, name);
}

int svl__journal_write(struct journal *journal, struct journal_batch *batch)
{
    uint64_t length = 0;
    if (journal->failed)
        return svl__journal_failure(journal);
    int rc = check_batch(journal, batch, &length);
    if (rc == SVL_OK &&
        journal->current->used + align_up(length, JOURNAL_PAGE) > journal->current->size)
        rc = roll(journal, align_up(length, JOURNAL_PAGE));
    if (rc != SVL_OK)
        return rc;
    struct journal_file *file = journal->current;
    batch->sequence = journal->next_sequence;
    pthread_mutex_lock(&journal->lock);
    struct journal_batch_header header = { .salt = file->header.salt,
                                           .chain = journal->chain,
                                           .durable_seq = journal->durable_seq };
    pthread_mutex_unlock(&journal->lock);
    header.payload_checksum =
        svl__journal_payload_checksum(batch->sections, batch->section_count, header.salt);
    uint8_t bytes[JOURNAL_BATCH_HEADER_MAX];
    uint32_t header_len = svl__journal_batch_encode(batch, &header, bytes);
    STEP("journal: batch to be written");
    rc = write_sections(journal, batch, bytes, header_len, length);
    if (rc != SVL_OK)
        return rc == SVL_E_NO_SPACE ? rc : fail(journal, rc);
    STEP("journal: batch written");
    pthread_mutex_lock(&journal->lock);
    file->used += align_up(length, JOURNAL_PAGE);
    if (batch->count > 0)
        file->last_id = batch->first_id + batch->count - 1;
    file->last_op = batch->last_op;
    journal->chain = header.checksum;
    journal->written_seq = journal->next_sequence++;
    journal->stats.bytes_written += align_up(length, JOURNAL_PAGE);
    pthread_mutex_unlock(&journal->lock);
    return SVL_OK;
}

int svl__journal_flush(struct journal *journal, uint64_t *durable)
{
    *durable = 0;
    pthread_mutex_lock(&journal->lock);
    bool failed = journal->failed;
    int fd = journal->current->fd;
    unsigned number = journal->current->name;
    uint64_t sequence = journal->written_seq, known = journal->durable_seq;
    pthread_mutex_unlock(&journal->lock);
    if (failed)
        return svl__journal_failure(journal);
    if (sequence == known) {
        *durable = known;
        return SVL_OK;
    }
    char name[32];
    svl__journal_file_name(number, name);
    int64_t start_ns = svl__monotonic_ns();
    STEP("journal: to be flushed");
    int rc = svl__file_sync(fd, name);
    if (rc != SVL_OK) {
        fail(journal, rc);
        return svl__fail(SVL_E_FAILED, "%.400s", svl_last_error());
    }
    int64_t took_ns = svl__monotonic_ns() - start_ns;
    STEP("journal: flushed");
    pthread_mutex_lock(&journal->lock);
    if (journal->durable_seq < sequence)
        journal->durable_seq = sequence;
    *durable = journal->durable_seq;
    journal->stats.flushes++;
    if (journal->stats.flush_ns_max < took_ns)
        journal->stats.flush_ns_max = took_ns;
    pthread_mutex_unlock(&journal->lock);
    return SVL_OK;
}

void svl__journal_position(struct journal *journal, uint64_t *salt, uint64_t *durable_seq)
{
    pthread_mutex_lock(&journal->lock);
    *salt = journal->current->header.salt;
    *durable_seq = journal->durable_seq;
    pthread_mutex_unlock(&journal->lock);
}

/* `lock` held: a free file to remove: a small or oversized one, or one more than `keep`. */
static struct journal_file *find_surplus(struct journal *journal, unsigned keep)
{
    unsigned free_files = 0;
    for (struct journal_file *f = journal->files; f; f = f->next) {
        if (f->state != JOURNAL_FREE)
            continue;
        if (f->size < journal->current->size || f->size > journal->options.file_bytes_max ||
            ++free_files > keep)
            return f;
    }
    return NULL;
}

/* `lock` held, let go while a file is removed. */
static bool drop_surplus(struct journal *journal, unsigned keep)
{
    struct journal_file *surplus;
    bool dropped = false;
    while ((surplus = find_surplus(journal, keep))) {
        surplus->state = JOURNAL_FULL; /* nobody takes it */
        pthread_mutex_unlock(&journal->lock);
        STEP("journal: file to be dropped");
        svl__journal_file_drop(journal, surplus, true);
        STEP("journal: file dropped");
        pthread_mutex_lock(&journal->lock);
        dropped = true;
    }
    return dropped;
}

/* What lies between two commits takes as many files again, and a file made anew is written twice. When less comes, the
 * next commit drops them. */
void svl__journal_recycle(struct journal *journal, uint64_t last_id, uint64_t last_op)
{
    unsigned keep = 0;
    pthread_mutex_lock(&journal->lock);
    /* Oldest first, and no further than the first that is needed: what remains is one run. */
    for (struct journal_file *f = journal->files; f; f = f->next) {
        bool is_taken = f->state == JOURNAL_CURRENT && f != journal->current; /* the next one */
        if (f->state == JOURNAL_FREE || is_taken)
            continue;
        if (f->state == JOURNAL_CURRENT || f->last_id > last_id || f->last_op > last_op)
            break;
        f->state = JOURNAL_FREE;
        keep += keep < FREE_FILES_MAX;
    }
    drop_surplus(journal, keep > FREE_FILES_MIN ? keep : FREE_FILES_MIN);
    pthread_mutex_unlock(&journal->lock);
}

bool svl__journal_trim(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    bool dropped = drop_surplus(journal, 0);
    pthread_mutex_unlock(&journal->lock);
    return dropped;
}

uint64_t svl__journal_live_bytes(struct journal *journal)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&journal->lock);
    for (struct journal_file *f = journal->files; f; f = f->next)
        if (f->state != JOURNAL_FREE)
            bytes += f->used;
    pthread_mutex_unlock(&journal->lock);
    return bytes;
}

void svl__journal_stats_get(struct journal *journal, struct journal_stats *stats)
{
    pthread_mutex_lock(&journal->lock);
    *stats = journal->stats;
    stats->files = 0;
    stats->disk_bytes = stats->free_bytes = 0;
    for (struct journal_file *f = journal->files; f; f = f->next) {
        stats->files++;
        stats->disk_bytes += f->size;
        stats->free_bytes += f->state == JOURNAL_FREE ? f->size : 0;
    }
    pthread_mutex_unlock(&journal->lock);
}

void svl__journal_close(struct journal *journal)
{
    if (!journal)
        return;
    while (journal->files)
        svl__journal_file_drop(journal, journal->files, false);
    pthread_mutex_destroy(&journal->lock);
    svl__free(journal);
}
