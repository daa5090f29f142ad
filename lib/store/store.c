/* store.c - opening, closing and failing: the order of steps.
 *
 *     closed --open--> recovering --jobs start--> open --close--> closing --jobs end--> closed
 *                          |                       |
 *                          +---- error: closed     +-- failed write or flush: failed (fail-stop)
 *
 * In `failed` everything that writes answers SVL_E_FAILED, reading goes on; only close leads out. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/callback.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/step.h"
#include "base/thread.h"
#include "state.h"

#define STORE_PAGE 4096

int svl__store_check_forked(const svl_store *store)
{
    if (!store)
        return svl__fail(SVL_E_INVALID, "store is NULL");
    if (svl__forked(store->process_mark))
        return svl__fail(SVL_E_FORKED, "%s was opened before fork(); open it in the child",
                         store->path);
    return SVL_OK;
}

int svl__store_check_wait(const svl_store *store, const char *function)
{
    int rc = svl__store_check_forked(store);
    if (rc == SVL_OK && svl__in_callback(store, CALLBACK_INGEST))
        rc =
            svl__fail(SVL_E_DEADLOCK, "%s() inside an ingest handler of %s", function, store->path);
    return rc;
}

int svl__store_check_write(const svl_store *store, const char *function)
{
    int rc = svl__store_check_wait(store, function);
    if (rc == SVL_OK && store->reader)
        rc = svl__fail(SVL_E_READ_ONLY, "%s() on %s", function, store->path);
    return rc;
}

int svl__store_failure(const svl_store *store)
{
    if (store->failed == SVL_E_FAILED) /* no more is known than these words */
        return svl__fail(SVL_E_FAILED, "%s; close it and open it again", store->path);
    return svl__fail(SVL_E_FAILED, "%s, after: %s; close it and open it again", store->path,
                     svl_strerror(store->failed));
}

void svl__store_fail(svl_store *store, int code)
{
    svl__log(&store->log, SVL_SEVERITY_FATAL, code, "%s has stopped: %s", store->path,
             svl_last_error());
    pthread_mutex_lock(&store->lock);
    if (!store->failed)
        store->failed = code;
    store->not_accepting = false;
    pthread_cond_broadcast(&store->progress);
    svl__jobs_wake(store);
    pthread_mutex_unlock(&store->lock);
    svl__store_tell_ready(store);
}

void svl__store_hold(svl_store *store)
{
    atomic_fetch_add_explicit(&store->references, 1, memory_order_relaxed);
}

static void free_batches(struct batch *list)
{
    while (list) {
        struct batch *next = list->next;
        svl__batch_release(list);
        list = next;
    }
}

/* Frees what is there, of a half-opened store too, and of one that has failed with batches at hand. */
static void destroy(svl_store *store)
{
    free_batches(store->queue_first);
    free_batches(store->open);
    free_batches(store->written_first);
    svl__tail_free(&store->tail);
    svl__values_free(&store->values);
    svl__block_builder_destroy(store->builder);
    if (store->segments.place.readers_max > 0)
        svl__segments_free(&store->segments);
    svl__catalog_close(store->catalog);
    svl__journal_close(store->journal);
    svl__reader_free(store->reader);
    svl__bell_close(store->bell);
    svl__lock_drop(store->writer_lock);
    if (store->directory >= 0)
        close(store->directory);
    pthread_cond_destroy(&store->progress);
    for (size_t i = 0; i < JOBS; i++)
        pthread_cond_destroy(&store->jobs[i].wake);
    pthread_mutex_destroy(&store->retain_lock);
    pthread_mutex_destroy(&store->catalog_lock);
    pthread_mutex_destroy(&store->lock);
    svl__free(store->path);
    svl__free(store);
}

void svl__store_release(svl_store *store)
{
    if (atomic_fetch_sub_explicit(&store->references, 1, memory_order_acq_rel) == 1)
        destroy(store);
}

/* Without what may stand behind a name and makes the system follow it: "link/", "link/.". */
static char *copy_path(const char *path)
{
    char *copy = svl__strdup(path);
    for (size_t len = copy ? strlen(copy) : 0; len > 1; copy[len] = 0) {
        if (copy[len - 1] == '/')
            len--;
        else if (len > 2 && copy[len - 1] == '.' && copy[len - 2] == '/')
            len -= 2;
        else
            break;
    }
    return copy;
}

static int create_object(const char *path, const svl_store_options *options, svl_store **out)
{
    svl_store *store = svl__calloc(1, sizeof *store);
    if (!store)
        return SVL_E_NOMEM;
    atomic_init(&store->references, 1);
    store->directory = -1;
    store->process_mark = svl__process_mark();
    int rc = svl__store_options_check(options, &store->options);
    if (rc == SVL_OK && !(store->path = copy_path(path)))
        rc = SVL_E_NOMEM;
    if (rc != SVL_OK) {
        svl__free(store);
        return rc;
    }
    store->log = (struct log_sink){ store->options.log, store->options.log_user };
    pthread_mutex_init(&store->lock, NULL); /* cannot fail on Linux: no attributes */
    pthread_mutex_init(&store->catalog_lock, NULL);
    pthread_mutex_init(&store->retain_lock, NULL);
    for (size_t i = 0; i < JOBS; i++)
        svl__cond_init(&store->jobs[i].wake);
    svl__cond_init(&store->progress);
    *out = store;
    return SVL_OK;
}

/* x where r is. */
static mode_t directory_mode(uint32_t file_mode)
{
    return (mode_t)(file_mode | (file_mode & 0444) >> 2);
}

static int create_directory(svl_store *store)
{
    if (store->options.flags & (SVL_STORE_NO_CREATE | SVL_STORE_READ_ONLY))
        return svl__fail(SVL_E_NOT_FOUND, "there is no store at %s", store->path);
    if (mkdir(store->path, directory_mode(store->options.file_mode)) != 0 && errno != EEXIST) {
        if (errno == ENOENT || errno == ENOTDIR)
            return svl__fail(SVL_E_PATH, "%s cannot be made: there is no such directory above it",
                             store->path);
        return svl__fail_errno(errno, "creation of directory %s", store->path);
    }
    int rc = svl__directory_open(store->path, &store->directory);
    if (rc == SVL_E_NOT_FOUND)
        rc = svl__fail(SVL_E_PATH, "%s was removed while it was opened", store->path);
    return rc;
}

static int open_directory(svl_store *store)
{
    /* LMDB takes the system's page size for its own; the checks before it know one. */
    if (sysconf(_SC_PAGESIZE) != STORE_PAGE)
        return svl__fail(SVL_E_RESOURCE, "pages of %ld bytes; a store needs a system with %d",
                         sysconf(_SC_PAGESIZE), STORE_PAGE);
    int rc = svl__directory_open(store->path, &store->directory);
    if (rc == SVL_E_NOT_FOUND)
        rc = create_directory(store);
    if (rc == SVL_OK && !(store->options.flags & SVL_STORE_ANY_FILE_SYSTEM))
        rc = svl__directory_check_local(store->directory, store->path);
    return rc;
}

/* What a directory holds, besides what belongs to an unfinished creation. */
struct contents {
    bool store_files; /* journal or segments: a store that has lost its catalog */
    char other[64];   /* the first name that is not ours */
};

static int read_contents(const svl_store *store, struct contents *contents)
{
    *contents = (struct contents){ 0 };
    DIR *listing;
    const struct dirent *entry;
    int rc = svl__directory_list(store->directory, store->path, &listing);
    if (rc != SVL_OK)
        return rc;
    while ((rc = svl__directory_next(listing, store->path, &entry)) == SVL_OK && entry) {
        const char *name = entry->d_name;
        uint64_t first_id;
        uint32_t generation;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, LOCK_NAME) == 0 ||
            strcmp(name, BELL_NAME) == 0 || strcmp(name, ATTACH_NAME) == 0 ||
            svl__catalog_owns(name))
            continue;
        if (svl__journal_owns(name) || svl__segment_name_parse(name, &first_id, &generation))
            contents->store_files = true;
        else
            snprintf(contents->other, sizeof contents->other, "%.60s", name);
    }
    closedir(listing);
    return rc;
}

/* What is flushed in a directory is lost with the directory's own name: so that is flushed first. */
static int sync_name(const svl_store *store)
{
    int parent;
    do
        parent = openat(store->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (parent < 0 && errno == EINTR);
    if (parent < 0 && errno == EACCES)
        return SVL_OK; /* a directory that the caller may not read cannot be flushed either */
    if (parent < 0)
        return svl__fail_errno(errno, "open of the directory above %s", store->path);
    int rc = svl__directory_sync(parent, "above the store");
    close(parent);
    return rc;
}

/* No catalog here: a new store, unless the directory is somebody else's. */
static int create_store(svl_store *store, const struct catalog_options *options)
{
    struct contents contents;
    int rc = read_contents(store, &contents);
    if (rc != SVL_OK)
        return rc;
    if (contents.store_files)
        return svl__fail(SVL_E_CORRUPT, "%s has journal or segment files, but no catalog.mdb",
                         store->path);
    if (contents.other[0])
        return svl__fail(SVL_E_FOREIGN, "%s holds other files, such as %s; give an empty directory",
                         store->path, contents.other);
    if (store->options.flags & SVL_STORE_NO_CREATE)
        return svl__fail(SVL_E_NOT_FOUND, "there is no store at %s", store->path);
    rc = sync_name(store);
    if (rc == SVL_OK)
        rc = svl__catalog_create(options);
    if (rc == SVL_OK)
        rc = svl__catalog_open(options, &store->catalog);
    return rc;
}

/* The names that are there may be in memory only, of a process that died before it had flushed them. New ones must not
 * be on the disk before them. */
static int open_catalog(svl_store *store, const struct catalog_options *options)
{
    int rc = svl__catalog_open(options, &store->catalog);
    if (rc == SVL_E_NOT_FOUND)
        return create_store(store, options);
    return rc == SVL_OK ? svl__directory_sync(store->directory, "the store") : rc;
}

/* Before a lock file is put into it. */
static int check_not_foreign(const svl_store *store)
{
    struct stat st;
    if (fstatat(store->directory, "catalog.mdb", &st, AT_SYMLINK_NOFOLLOW) == 0)
        return SVL_OK;
    struct contents contents;
    int rc = read_contents(store, &contents);
    if (rc != SVL_OK)
        return rc;
    if (contents.other[0] && !contents.store_files)
        return svl__fail(SVL_E_FOREIGN, "%s holds other files, such as %s; give an empty directory",
                         store->path, contents.other);
    if (!contents.store_files && (store->options.flags & SVL_STORE_NO_CREATE))
        return svl__fail(SVL_E_NOT_FOUND, "there is no store at %s", store->path);
    return SVL_OK;
}

static int init_segments(svl_store *store, bool read_only)
{
    struct segment_place place = { .directory = store->directory,
                                   .file_mode = store->options.file_mode,
                                   .readers_max = store->options.readers_max,
                                   .read_only = read_only };
    return svl__segments_init(&store->segments, &place, &store->log);
}

static int open_read_only(svl_store *store)
{
    struct catalog_options options = { .directory = store->directory,
                                       .file_mode = store->options.file_mode,
                                       .readers_max = store->options.readers_max,
                                       .read_only = true };
    int rc = svl__lock_note(store->directory, store->path, &store->writer_lock);
    if (rc == SVL_OK)
        rc = svl__catalog_open(&options, &store->catalog);
    if (rc == SVL_E_NOT_FOUND)
        rc = svl__fail(SVL_E_NOT_FOUND, "there is no store at %s", store->path);
    if (rc == SVL_OK)
        rc = init_segments(store, true);
    if (rc != SVL_OK)
        return rc;
    svl__store_identify(store);
    return svl__reader_open(store);
}

static int open_parts(svl_store *store)
{
    struct catalog_options options = { .directory = store->directory,
                                       .file_mode = store->options.file_mode,
                                       .readers_max = store->options.readers_max };
    int rc = check_not_foreign(store);
    if (rc == SVL_OK)
        rc = svl__lock_take(store->directory, store->path, store->options.file_mode,
                            &store->writer_lock);
    STEP("open: locked");
    if (rc == SVL_OK)
        rc = open_catalog(store, &options);
    STEP("open: catalog open");
    if (rc != SVL_OK)
        return rc;
    rc = init_segments(store, false);
    if (rc != SVL_OK)
        return rc;
    struct block_options block = { .codec = store->options.codec,
                                   .block_bytes = store->options.block_bytes };
    rc = svl__block_builder_create(&block, &store->builder);
    if (rc == SVL_OK)
        rc = svl__store_recover(store);
    if (rc == SVL_OK)
        rc = svl__bell_open(store->directory, store->options.file_mode, store->uuid, &store->bell);
    STEP("open: bell silent");
    if (rc == SVL_OK)
        svl__store_tell_others(store);
    STEP("open: bell rung");
    return rc;
}

/* The damaged file's name alone says little to who has many stores. */
static int name_damaged(const svl_store *store, int code)
{
    bool is_damage = code == SVL_E_CORRUPT || code == SVL_E_VERSION || code == SVL_E_FOREIGN;
    if (!is_damage || strstr(svl_last_error(), store->path))
        return code;
    return svl__fail_at(code, "%s", store->path);
}

static int open_store(const char *path, const svl_store_options *options, bool owned,
                      svl_store **out)
{
    if (!out)
        return svl__fail(SVL_E_INVALID, "out is NULL");
    *out = NULL;
    if (!path || !path[0])
        return svl__fail(SVL_E_INVALID, "path is %s", path ? "empty" : "NULL");
    svl_store *store;
    int rc = create_object(path, options, &store);
    if (rc != SVL_OK)
        return rc;
    store->owned = owned;
    rc = open_directory(store);
    if (rc == SVL_OK && store->options.flags & SVL_STORE_READ_ONLY)
        rc = open_read_only(store);
    else if (rc == SVL_OK)
        rc = open_parts(store);
    /* Of segments that have none: after a crash, or of a library of before. */
    store->filters_wanted = rc == SVL_OK && svl__segments_count(&store->segments) > 1;
    if (rc == SVL_OK && !store->reader)
        rc = svl__jobs_start(store);
    if (rc != SVL_OK) {
        rc = name_damaged(store, rc);
        svl__jobs_end(store);
        svl__store_release(store);
        return rc;
    }
    *out = store;
    return SVL_OK;
}

int svl_store_open(const char *path, const svl_store_options *options, svl_store **out)
{
    return open_store(path, options, false, out);
}

int svl__store_open_owned(const char *path, const svl_store_options *options, svl_store **out)
{
    return open_store(path, options, true, out);
}

static void begin_end(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->ending = true;
    store->commit_retry_ns = 0;
    svl__jobs_wake(store);
    pthread_mutex_unlock(&store->lock);
}

/* A quick next open; what is not committed for want of space is durable in the journal. */
static int commit_all(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t request = svl__commit_request(store);
    while (store->commit_done < request && !store->failed && !store->commit_given_up)
        svl__store_wait_progress(store, INT64_MAX);
    int rc = store->failed ? svl__store_failure(store) : SVL_OK;
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int svl__store_end(svl_store *store)
{
    if (svl__forked(store->process_mark)) {
        /* Threads, locks and LMDB environments are the parent's: only memory could be given back, and
         * some of it is behind locks that the fork may have caught. */
        return svl__fail(SVL_E_FORKED, "%s was opened before fork()", store->path);
    }
    if (store->reader) {
        svl__reader_end(store);
        svl__store_end_followers(store);
        return SVL_OK;
    }
    begin_end(store);
    int rc = svl__store_wait(store, svl__store_last_ticket(store), INT64_MAX);
    if (rc == SVL_OK)
        rc = commit_all(store);
    svl__jobs_end(store);
    svl__store_end_followers(store);
    svl__journal_trim(store->journal);
    if (store->failed == SVL_E_NO_SPACE)
        rc = svl__fail(SVL_E_NO_SPACE, "%s was closed with records that the disk had no space for",
                       store->path);
    else if (store->failed)
        rc = svl__store_failure(store);
    return rc;
}

int svl__store_close_owned(svl_store *store)
{
    int rc = svl__store_end(store);
    if (rc != SVL_E_FORKED)
        svl__store_release(store);
    return rc;
}

int svl_store_close(svl_store *store)
{
    if (!store)
        return SVL_OK;
    if (svl__in_callback(store, 0))
        return svl__fail(SVL_E_DEADLOCK, "svl_store_close() inside a callback of %s", store->path);
    if (store->owned)
        return svl__fail(SVL_E_INVALID, "%s belongs to a pipeline: svl_close() closes it",
                         store->path);
    return svl__store_close_owned(store);
}

const svl_store_options *svl__store_options(const svl_store *store)
{
    return &store->options;
}

const struct log_sink *svl__store_log(const svl_store *store)
{
    return &store->log;
}

const uint8_t *svl__store_uuid(const svl_store *store)
{
    return store->uuid;
}

int svl__store_directory(const svl_store *store)
{
    return store->directory;
}
