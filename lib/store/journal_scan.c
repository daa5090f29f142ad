/* journal_scan.c - reading files and batches of a journal: for recovery, for verify, and for readers of a
 * journal that another process writes.
 *
 * The log is the run of files that ends with the highest number and goes back while each names the salt
 * of the one before; a file counts up to the first sequence of the next. Other files are stale. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "journal_scan.h"

static bool is_blank(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

/* Reads the header of a file. *blank: it never became part of a log - a creation, or a recovery, that a
 * crash cut off. A header that is gone from a file with batches is damage. */
static int read_header(struct journal *journal, struct journal_file *file, const char *name,
                       bool *blank)
{
    uint64_t size;
    uint8_t page[JOURNAL_FILE_HEADER_BYTES] = { 0 }, batch[4] = { 0 };
    int rc = svl__file_size(file->fd, &size, name);
    if (rc == SVL_OK)
        rc = svl__file_read(file->fd, page, size < sizeof page ? size : sizeof page, 0, name);
    if (rc == SVL_OK && size >= JOURNAL_PAGE + sizeof batch)
        rc = svl__file_read(file->fd, batch, sizeof batch, JOURNAL_PAGE, name);
    if (rc != SVL_OK)
        return rc;
    if (is_blank(page, sizeof page) && load_u32(batch) != JOURNAL_BATCH_MAGIC) {
        *blank = true;
        return SVL_OK;
    }
    rc = svl__journal_file_header_decode(page, &file->header);
    if (rc == SVL_E_NOT_FOUND)
        return svl__fail(SVL_E_CORRUPT,
                         "%s: the file header is damaged: restore the file from a copy. If the "
                         "store was closed without an error, and only then, the segments hold "
                         "everything, and the file may be removed",
                         name);
    if (rc != SVL_OK)
        return rc;
    if (memcmp(file->header.store_uuid, journal->options.store_uuid, 16) != 0)
        return svl__fail(SVL_E_FOREIGN, "%s belongs to another store", name);
    *blank = file->header.number == 0;
    if (!*blank && size < file->header.size)
        return svl__fail(SVL_E_CORRUPT, "%s has %llu of its %llu bytes", name,
                         (unsigned long long)size, (unsigned long long)file->header.size);
    file->size = size / JOURNAL_PAGE * JOURNAL_PAGE;
    file->used = JOURNAL_PAGE;
    return SVL_OK;
}

/* Opens one file. *out stays NULL for one that never became part of a log: it is removed, unless it may be
 * another process that is about to make it so. */
static int open_file(struct journal *journal, const char *name, struct journal_file **out)
{
    *out = NULL;
    int rc;
    bool blank = false;
    struct journal_file *file = svl__calloc(1, sizeof *file);
    if (!file)
        return SVL_E_NOMEM;
    file->name = (unsigned)strtoul(strchr(name, '.') + 1, NULL, 10);
    bool live = journal->options.live;
    file->fd = svl__file_open(journal->options.directory, name, live ? O_RDONLY : O_RDWR, 0, &rc);
    if (rc == SVL_OK)
        rc = read_header(journal, file, name, &blank);
    if (rc == SVL_OK && !blank) {
        *out = file;
        return SVL_OK;
    }
    if (rc == SVL_OK && !live)
        unlinkat(journal->options.directory, name, 0);
    if (file->fd >= 0)
        close(file->fd);
    svl__free(file);
    return rc == SVL_E_NOT_FOUND && live ? SVL_OK : rc; /* removed since it was listed */
}

/* Adds a file to the list, ascending by number. */
static int insert_file(struct journal *journal, struct journal_file *file)
{
    struct journal_file **at = &journal->files;
    while (*at && (*at)->header.number < file->header.number)
        at = &(*at)->next;
    if (*at && (*at)->header.number == file->header.number)
        return svl__fail(SVL_E_CORRUPT, "journal.%u and journal.%u are the same part of the log",
                         file->name, (*at)->name);
    file->next = *at;
    *at = file;
    return SVL_OK;
}

int svl__journal_open_files(struct journal *journal)
{
    DIR *listing;
    const struct dirent *entry;
    int rc = svl__directory_list(journal->options.directory, "the store", &listing);
    if (rc != SVL_OK)
        return rc;
    while (rc == SVL_OK && (rc = svl__directory_next(listing, "the store", &entry)) == SVL_OK &&
           entry) {
        struct journal_file *file;
        if (!svl__journal_owns(entry->d_name))
            continue;
        rc = open_file(journal, entry->d_name, &file);
        if (rc != SVL_OK || !file)
            continue;
        rc = insert_file(journal, file);
        if (rc != SVL_OK) {
            close(file->fd);
            svl__free(file);
        }
    }
    closedir(listing);
    return rc;
}

struct journal_file *svl__journal_find_run(struct journal *journal)
{
    struct journal_file *first = journal->files;
    for (struct journal_file *f = journal->files; f && f->next; f = f->next)
        if (f->next->header.number != f->header.number + 1 ||
            f->next->header.salt_before != f->header.salt)
            first = f->next;
    for (struct journal_file *f = journal->files; f != first; f = f->next)
        f->state = JOURNAL_FREE;
    for (struct journal_file *f = first; f; f = f->next)
        f->state = JOURNAL_FULL;
    return first;
}

bool svl__journal_read_batch(const struct journal_file *file, uint64_t offset, struct buffer *bytes,
                             struct journal_batch_header *header, int *rc)
{
    char name[32];
    svl__journal_file_name(file->name, name);
    *rc = SVL_OK;
    bytes->len = 0;
    bytes->failed = false; /* a live reader asks again with the same one */
    if (offset + JOURNAL_PAGE > file->size)
        return false;
    if (!buffer_reserve(bytes, JOURNAL_PAGE)) {
        *rc = SVL_E_NOMEM;
        return false;
    }
    *rc = svl__file_read(file->fd, bytes->data, JOURNAL_PAGE, offset, name);
    if (*rc != SVL_OK ||
        !svl__journal_batch_decode(bytes->data, JOURNAL_PAGE, file->header.salt, header) ||
        header->length > file->size - offset)
        return false;
    if (!buffer_reserve(bytes, header->length)) {
        *rc = SVL_E_NOMEM;
        return false;
    }
    if (header->length > JOURNAL_PAGE)
        *rc = svl__file_read(file->fd, bytes->data + JOURNAL_PAGE, header->length - JOURNAL_PAGE,
                             offset + JOURNAL_PAGE, name);
    if (*rc != SVL_OK)
        return false;
    bytes->len = header->length;
    return true;
}

bool svl__journal_read_tables(const struct buffer *bytes, const struct journal_batch_header *header,
                              struct ring_position *rings, struct journal_section *sections)
{
    struct reader r = reader_of(bytes->data + JOURNAL_BATCH_HEADER_BYTES,
                                header->header_len - JOURNAL_BATCH_HEADER_BYTES);
    for (uint32_t i = 0; i < header->ring_count; i++) {
        const uint8_t *uuid = read_bytes(&r, 16);
        if (uuid)
            memcpy(rings[i].uuid, uuid, 16);
        rings[i].position = read_u64(&r);
    }
    uint64_t at = header->header_len, records = 0;
    for (uint32_t i = 0; i < header->section_count; i++) {
        sections[i].kind = read_u32(&r);
        sections[i].count = read_u32(&r);
        uint64_t len = read_u64(&r);
        if (len > header->length - at)
            return false;
        sections[i].data = bytes->data + at;
        sections[i].len = len;
        at += len;
        if (sections[i].kind != JOURNAL_OPS)
            records += sections[i].count;
    }
    return !r.failed && at == header->length && records == header->count &&
           svl__journal_payload_checksum(sections, header->section_count, header->salt) ==
               header->payload_checksum;
}

struct journal_batch svl__journal_batch_of(const struct journal_batch_header *header,
                                           const struct ring_position *rings,
                                           const struct journal_section *sections)
{
    return (struct journal_batch){ .sequence = header->sequence,
                                   .first_id = header->first_id,
                                   .count = header->count,
                                   .last_op = header->last_op,
                                   .ingest_ns = header->ingest_ns,
                                   .rings = rings,
                                   .ring_count = header->ring_count,
                                   .section_count = header->section_count,
                                   .sections = sections };
}
