/* journal_files.c - making, starting and dropping journal files. */
#include "journal_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

#define NAME_PREFIX "journal."
#define ZEROS_BYTES (UINT64_C(64) << 10)

void svl__journal_file_name(unsigned name, char out[32])
{
    snprintf(out, 32, NAME_PREFIX "%u", name);
}

bool svl__journal_owns(const char *name)
{
    size_t prefix = sizeof NAME_PREFIX - 1;
    if (strncmp(name, NAME_PREFIX, prefix) != 0 || !name[prefix])
        return false;
    return name[prefix + strspn(name + prefix, "0123456789")] == 0;
}

int svl__journal_failure(const struct journal *journal)
{
    (void)journal;
    return svl__fail(SVL_E_FAILED, "the journal takes no more writes; open the store again");
}

static unsigned unused_name(struct journal *journal)
{
    unsigned name = 0;
    bool taken = true;
    pthread_mutex_lock(&journal->lock);
    for (; taken; name += taken) {
        taken = false;
        for (struct journal_file *f = journal->files; f; f = f->next)
            taken |= f->name == name;
    }
    pthread_mutex_unlock(&journal->lock);
    return name;
}

static int prewrite(int fd, uint64_t size, const char *name)
{
    uint8_t *zeros = svl__calloc(1, ZEROS_BYTES);
    if (!zeros)
        return SVL_E_NOMEM;
    int rc = SVL_OK;
    for (uint64_t at = 0; rc == SVL_OK && at < size; at += ZEROS_BYTES) {
        uint64_t n = size - at < ZEROS_BYTES ? size - at : ZEROS_BYTES;
        rc = svl__file_write(fd, zeros, n, at, name);
    }
    svl__free(zeros);
    if (rc == SVL_OK)
        rc = svl__file_sync(fd, name);
    return rc;
}

static void append(struct journal *journal, struct journal_file *file)
{
    pthread_mutex_lock(&journal->lock);
    struct journal_file **at = &journal->files;
    while (*at)
        at = &(*at)->next;
    *at = file;
    pthread_mutex_unlock(&journal->lock);
}

int svl__journal_file_create(struct journal *journal, uint64_t size, struct journal_file **out)
{
    *out = NULL;
    struct journal_file *file = svl__calloc(1, sizeof *file);
    if (!file)
        return SVL_E_NOMEM;
    char name[32];
    int rc;
    file->state = JOURNAL_CURRENT; /* to be: a free one could be dropped as surplus meanwhile */
    file->name = unused_name(journal);
    file->size = size;
    svl__journal_file_name(file->name, name);
    /* A file of that name that is not on the list is a creation that a crash cut off. */
    unlinkat(journal->options.directory, name, 0);
    file->fd = svl__file_open(journal->options.directory, name, O_RDWR | O_CREAT | O_EXCL,
                              journal->options.file_mode, &rc);
    if (rc == SVL_OK && fchmod(file->fd, journal->options.file_mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", name);
    if (rc == SVL_OK)
        rc = prewrite(file->fd, size, name);
    if (rc == SVL_OK)
        rc = svl__directory_sync(journal->options.directory, "the store");
    if (rc != SVL_OK) {
        if (file->fd >= 0) {
            unlinkat(journal->options.directory, name, 0);
            close(file->fd);
        }
        svl__free(file);
        return rc;
    }
    append(journal, file);
    *out = file;
    return SVL_OK;
}

int svl__journal_file_begin(struct journal *journal, struct journal_file *file)
{
    uint8_t page[JOURNAL_PAGE] = { 0 };
    char name[32];
    svl__journal_file_name(file->name, name);
    file->header.size = file->size;
    memcpy(file->header.store_uuid, journal->options.store_uuid, 16);
    svl__journal_file_header_encode(&file->header, page);
    int rc = svl__file_write(file->fd, page, sizeof page, 0, name);
    /* A flush is never tried again, whatever it failed for. */
    if (rc == SVL_OK && svl__file_sync(file->fd, name) != SVL_OK)
        rc = svl__fail(SVL_E_IO, "%.400s", svl_last_error());
    return rc;
}

void svl__journal_file_drop(struct journal *journal, struct journal_file *file, bool unlinked)
{
    pthread_mutex_lock(&journal->lock);
    struct journal_file **at = &journal->files;
    while (*at && *at != file)
        at = &(*at)->next;
    if (*at)
        *at = file->next;
    pthread_mutex_unlock(&journal->lock);
    if (unlinked) {
        char name[32];
        svl__journal_file_name(file->name, name);
        unlinkat(journal->options.directory, name, 0);
    }
    close(file->fd);
    svl__free(file);
}
