/* reader.c - a store that another process writes, or none: opened with SVL_STORE_READ_ONLY.
 *
 * It is a recovery that never ends and changes nothing: the catalog says what segments hold, and the
 * journal's batches above that go into the tail, with the ids they have. Queries then work as in the
 * writer.
 *
 *     query or bell --> catalog: segments, watermark --> journal from the place on --> tail
 *                           ^                                   |
 *                           +---- list, ask again, place <------+ the place was recycled
 *
 *   V1  nothing is shown that the writer has not flushed (bell.h, journal_live.h).
 *   V2  what the catalog counts as committed leaves the tail; the rest is there without a gap.
 *   V3  nothing of the store is written but LMDB's table of readers.
 *
 * A thread listens to the bell from the first cursor on that follows. */
#include "reader.h"

#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "journal_live.h"
#include "state.h"

/* Places lost in one look: under a writer that recycles faster than this reads. */
#define RESTARTS_MAX 100
/* Without a bell, and when memory or descriptors are short. */
#define RETRY_MS 1000
#define STIR_MS 10

struct store_reader {
    pthread_mutex_t lock; /* one look at a time; before the store's */
    struct journal_live *journal;
    struct bell *bell; /* NULL: there is none yet */
    bool placed;
    bool bell_told; /* the log was told that it cannot be used */
    bool listens;   /* guarded by the store's lock, as the next */
    bool listener_ended;
    pthread_t listener;
};

static void open_bell(svl_store *store)
{
    struct store_reader *reader = store->reader;
    if (reader->bell)
        return;
    int rc = svl__bell_open_reader(store->directory, store->uuid, &reader->bell);
    if (rc != SVL_OK && rc != SVL_E_NOT_FOUND && !reader->bell_told) {
        reader->bell_told = true;
        svl__log(&store->log, SVL_SEVERITY_WARN, rc, "%s: %s; followers look once a second",
                 store->path, svl_last_error());
    }
}

/* LMDB knows its readers by their pid, and clears those that it does not find. */
static int check_near(svl_store *store)
{
    struct bell *bell = store->reader->bell;
    if (!bell || svl__bell_is_near(bell) || !svl__lock_is_taken(store->directory))
        return SVL_OK;
    return svl__fail(SVL_E_ACCESS,
                     "%s is written by a process in another PID namespace, which would not see "
                     "this reader; read it from a process in the same one",
                     store->path);
}

/* What segments hold. The set first, then the watermark: a query reads segments up to that. */
static int read_catalog(svl_store *store)
{
    struct catalog_state state;
    struct segment_info *infos;
    size_t n;
    int rc = svl__catalog_reload(store->catalog, &state, &infos, &n);
    if (rc == SVL_OK)
        rc = svl__segments_replace(&store->segments, infos, n);
    svl__free(infos);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->catalog_lock);
    store->catalog_state = state;
    pthread_mutex_unlock(&store->catalog_lock);
    pthread_mutex_lock(&store->lock);
    uint64_t committed_id = state.next_id_floor ? state.next_id_floor - 1 : 0;
    if (committed_id > store->committed_id)
        store->committed_id = committed_id;
    svl__tail_pass(&store->tail, store->committed_id);
    pthread_mutex_unlock(&store->lock);
    return SVL_OK;
}

/* The files first, then the catalog: what has left those is in this. */
static int find_place(svl_store *store)
{
    struct store_reader *reader = store->reader;
    int rc = svl__journal_live_list(reader->journal);
    if (rc == SVL_OK)
        rc = read_catalog(store);
    if (rc != SVL_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    svl__tail_free(&store->tail);
    svl__tail_pass(&store->tail, store->committed_id);
    pthread_mutex_unlock(&store->lock);
    rc = svl__journal_live_place(reader->journal, store->committed_id + 1);
    reader->placed = rc == SVL_OK;
    return rc;
}

/* SVL_E_STALE (no words): the place was lost again and again. */
static int look_often(svl_store *store)
{
    struct store_reader *reader = store->reader;
    struct bell_news news;
    open_bell(store);
    int rc = check_near(store);
    for (int i = 0; rc == SVL_OK && i < RESTARTS_MAX; i++) {
        bool heard = reader->bell && svl__bell_hear(reader->bell, &news);
        rc = reader->placed ? read_catalog(store) : find_place(store);
        if (rc == SVL_OK)
            rc = svl__journal_live_advance(reader->journal, heard ? &news : NULL, svl__store_replay,
                                           store);
        if (rc != SVL_E_STALE)
            return rc;
        reader->placed = false;
        rc = SVL_OK;
    }
    return rc == SVL_OK ? SVL_E_STALE : rc;
}

static int look(svl_store *store)
{
    int rc = look_often(store);
    if (rc != SVL_E_STALE)
        return rc;
    if (svl__lock_is_taken(store->directory))
        return svl__fail(SVL_E_RESOURCE, "%s is written faster than it can be read here; try again",
                         store->path);
    /* What a writer has moved that has just ended is found now. */
    rc = look_often(store);
    if (rc != SVL_E_STALE)
        return rc;
    return svl__fail(SVL_E_CORRUPT,
                     "%s: records are neither in a segment nor in the journal, whose files are "
                     "gone; opened for writing it goes on with those that are there",
                     store->path);
}

int svl__reader_look(svl_store *store)
{
    struct store_reader *reader = store->reader;
    pthread_mutex_lock(&reader->lock);
    int rc = look(store);
    pthread_mutex_unlock(&reader->lock);
    pthread_mutex_lock(&store->lock);
    pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

bool svl__reader_is_gone(svl_store *store, const struct segment_entry *entry)
{
    struct error_words words;
    svl__words_keep(&words);
    bool gone = store->reader && svl__reader_look(store) == SVL_OK &&
                svl__segment_is_retired(&store->segments, entry);
    svl__words_restore(&words);
    return gone;
}

int svl__reader_open(svl_store *store)
{
    struct journal_options options = { .directory = store->directory };
    memcpy(options.store_uuid, store->uuid, sizeof options.store_uuid);
    struct store_reader *reader = svl__calloc(1, sizeof *reader);
    if (!reader)
        return SVL_E_NOMEM;
    pthread_mutex_init(&reader->lock, NULL);
    store->reader = reader;
    int rc = svl__journal_live_open(&options, &reader->journal);
    return rc == SVL_OK ? svl__reader_look(store) : rc;
}

static bool is_closing(svl_store *store)
{
    pthread_mutex_lock(&store->lock);
    bool closing = store->closing;
    pthread_mutex_unlock(&store->lock);
    return closing;
}

static void wait_for_retry(svl_store *store)
{
    int64_t until_ns = svl__deadline_ns(RETRY_MS);
    pthread_mutex_lock(&store->lock);
    while (!store->closing && svl__cond_wait(&store->progress, &store->lock, until_ns))
        ;
    pthread_mutex_unlock(&store->lock);
}

static bool is_passing(int rc)
{
    return rc == SVL_E_NOMEM || rc == SVL_E_RESOURCE;
}

static void *listen(void *argument)
{
    svl_store *store = argument;
    struct store_reader *reader = store->reader;
    while (!is_closing(store)) {
        pthread_mutex_lock(&reader->lock);
        open_bell(store);
        struct bell *bell = reader->bell; /* stays until the store is closed */
        pthread_mutex_unlock(&reader->lock);
        uint32_t count = bell ? svl__bell_count(bell) : 0;
        int rc = svl__reader_look(store);
        if (rc != SVL_OK && !is_passing(rc)) {
            svl__store_fail(store, rc);
            break;
        }
        if (is_closing(store))
            break;
        if (bell && rc == SVL_OK)
            svl__bell_wait(bell, count);
        else
            wait_for_retry(store);
    }
    pthread_mutex_lock(&store->lock);
    reader->listener_ended = true;
    pthread_cond_broadcast(&store->progress);
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

int svl__reader_listen(svl_store *store)
{
    struct store_reader *reader = store->reader;
    int rc = SVL_OK;
    pthread_mutex_lock(&store->lock);
    if (!reader->listens)
        rc = svl__thread_start(&reader->listener, "svl-listen", listen, store);
    reader->listens = rc == SVL_OK;
    pthread_mutex_unlock(&store->lock);
    return rc;
}

void svl__reader_end(svl_store *store)
{
    struct store_reader *reader = store->reader;
    pthread_mutex_lock(&store->lock);
    store->closing = true;
    pthread_cond_broadcast(&store->progress);
    while (reader->listens && !reader->listener_ended) {
        if (reader->bell)
            svl__bell_stir(reader->bell);
        svl__cond_wait(&store->progress, &store->lock, svl__deadline_ns(STIR_MS));
    }
    bool join = reader->listens;
    reader->listens = false;
    pthread_mutex_unlock(&store->lock);
    if (join)
        pthread_join(reader->listener, NULL);
}

void svl__reader_free(struct store_reader *reader)
{
    if (!reader)
        return;
    svl__journal_live_close(reader->journal);
    svl__bell_close(reader->bell);
    pthread_mutex_destroy(&reader->lock);
    svl__free(reader);
}
