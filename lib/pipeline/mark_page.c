/* mark_page.c - where the marks of callbacks lie: behind the crash ring's data; without one in the file "marks" in
 * the store's directory, which is there while such a pipeline runs, and after a crash of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "pipeline.h"

#define MARKS_NAME "marks"

static int map_file(int fd, void **page)
{
    *page = mmap(NULL, MARK_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*page != MAP_FAILED)
        return SVL_OK;
    *page = NULL;
    return svl__fail_errno(errno, "mapping of %s", MARKS_NAME);
}

/* The file that a crash left: SVL_E_NOT_FOUND (no words), there is none. */
static int open_file(svl_pipeline *p, void **page)
{
    int rc;
    uint64_t size = 0;
    *page = NULL;
    int fd = svl__file_open(svl__store_directory(p->store), MARKS_NAME, O_RDWR, 0, &rc);
    if (rc != SVL_OK)
        return rc;
    rc = svl__file_size(fd, &size, MARKS_NAME);
    if (rc == SVL_OK && size >= MARK_PAGE_BYTES) /* else its making was cut off */
        rc = map_file(fd, page);
    close(fd);
    return rc;
}

int svl__mark_page_take_file(svl_pipeline *p, int64_t deadline_ns)
{
    void *page;
    int rc = open_file(p, &page);
    if (rc == SVL_E_NOT_FOUND)
        return SVL_OK;
    if (rc != SVL_OK) {
        svl__log(p->log, SVL_SEVERITY_WARN, rc,
                 "which callbacks ran when the process died is not known: %s", svl_last_error());
        return SVL_OK;
    }
    rc = svl__crash_take(p->crash, page, MARK_PAGE_BYTES, deadline_ns);
    if (page)
        munmap(page, MARK_PAGE_BYTES);
    if (rc == SVL_OK)
        unlinkat(svl__store_directory(p->store), MARKS_NAME, 0);
    return rc;
}

/* A hole in the file would become a SIGBUS on a full disk. */
static int give_space(int fd)
{
    int error;
    do
        error = posix_fallocate(fd, 0, MARK_PAGE_BYTES);
    while (error == EINTR);
    return error ? svl__fail_errno(error, "space for %s", MARKS_NAME) : SVL_OK;
}

static int make_file(svl_pipeline *p)
{
    int rc, directory = svl__store_directory(p->store);
    mode_t mode = svl__store_options(p->store)->file_mode;
    int fd = svl__file_open(directory, MARKS_NAME, O_RDWR | O_CREAT, mode, &rc);
    if (rc != SVL_OK)
        return rc;
    rc = give_space(fd);
    if (rc == SVL_OK && fchmod(fd, mode) != 0)
        rc = svl__fail_errno(errno, "mode of %s", MARKS_NAME);
    if (rc == SVL_OK)
        rc = map_file(fd, &p->marks);
    close(fd);
    if (rc != SVL_OK)
        unlinkat(directory, MARKS_NAME, 0);
    return rc;
}

void svl__mark_page_use_file(svl_pipeline *p)
{
    int rc = p->marks ? SVL_OK : make_file(p);
    if (rc != SVL_OK)
        svl__log(p->log, SVL_SEVERITY_WARN, rc,
                 "a record that kills the process in a handler will not be noticed: %s",
                 svl_last_error());
    svl__crash_use(p->crash, p->marks);
}

void svl__mark_page_use_ring(svl_pipeline *p, const struct ring *ring)
{
    size_t bytes;
    void *page = svl__ring_extra(ring, &bytes);
    svl__crash_use(p->crash, bytes >= MARK_PAGE_BYTES ? page : NULL);
}

void svl__mark_page_end(svl_pipeline *p)
{
    svl__crash_use(p->crash, NULL);
    if (!p->marks)
        return;
    munmap(p->marks, MARK_PAGE_BYTES);
    p->marks = NULL;
    unlinkat(svl__store_directory(p->store), MARKS_NAME, 0);
}
