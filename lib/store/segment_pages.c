/* segment_pages.c - LMDB's pages of a segment, checked before LMDB walks them, as far as it will.
 *
 * Those of the key index are many times those of all else, and who asks by time or id needs none of them: they are left
 * out when the segment is opened, and checked when a key is asked for. What a commit takes and gives back of pages is
 * checked before the first one. */
#include "base/error.h"
#include "segment_private.h"

const char *const svl__index_tables[] = { "keys", "keyfilters", NULL };

static void set_state(struct pages *pages, enum pages_state state)
{
    atomic_store_explicit(&pages->state, state, memory_order_release);
}

static bool are_whole(const struct pages *pages)
{
    return atomic_load_explicit(&pages->state, memory_order_acquire) == PAGES_WHOLE;
}

/* `check_lock` held. What could not be done now, for want of memory, say, may be another time. */
static int check_now(struct segment *segment, struct pages *pages, bool to_write)
{
    int rc = svl__lmdb_check_open(&segment->lmdb, NULL, to_write);
    if (to_write) /* which reads all that a lookup needs: what was known of it before counts no more */
        set_state(&segment->index_pages, rc == SVL_OK ? PAGES_WHOLE : PAGES_UNCHECKED);
    if (rc == SVL_OK)
        set_state(pages, PAGES_WHOLE);
    if (rc != SVL_E_CORRUPT && rc != SVL_E_VERSION)
        return rc;
    svl__fail_at(SVL_E_CORRUPT, to_write ? "LMDB's pages" : "key index");
    svl__words_keep(&pages->damage);
    set_state(pages, PAGES_DAMAGED);
    return SVL_E_CORRUPT;
}

static int check_once(struct segment *segment, struct pages *pages, bool to_write)
{
    int rc = SVL_OK;
    if (are_whole(pages))
        return SVL_OK;
    pthread_mutex_lock(&segment->check_lock);
    switch (atomic_load_explicit(&pages->state, memory_order_relaxed)) {
    case PAGES_UNCHECKED:
        rc = check_now(segment, pages, to_write);
        break;
    case PAGES_DAMAGED:
        svl__words_restore(&pages->damage);
        rc = SVL_E_CORRUPT;
        break;
    case PAGES_WHOLE: /* by somebody meanwhile */
        break;
    }
    pthread_mutex_unlock(&segment->check_lock);
    return rc;
}

int svl__segment_check_index(struct segment *segment)
{
    return check_once(segment, &segment->index_pages, false);
}

int svl__segment_check_commit(struct segment *segment)
{
    return check_once(segment, &segment->commit_pages, true);
}

void svl__segment_forget_pages(struct segment *segment)
{
    pthread_mutex_lock(&segment->check_lock);
    set_state(&segment->index_pages, PAGES_UNCHECKED);
    set_state(&segment->commit_pages, PAGES_UNCHECKED);
    pthread_mutex_unlock(&segment->check_lock);
}

bool svl__segment_index_is_whole(const struct segment *segment)
{
    return are_whole(&segment->index_pages);
}

void svl__segment_trust_index(struct segment *segment)
{
    set_state(&segment->index_pages, PAGES_WHOLE);
}

void svl__segment_trust_pages(struct segment *segment)
{
    svl__segment_trust_index(segment);
    set_state(&segment->commit_pages, PAGES_WHOLE);
}
