/* segments_filters.c - the filters of full segments: opened when a key is asked for first, made where there is none.
 *
 *     UNKNOWN  -> USED      it is there
 *              -> NONE      it is not, or damaged
 *     USED     -> NONE      a line of it is damaged; it stays mapped while somebody may be asking it
 *     NONE -> UNKNOWN   made (or another process may have made it)
 *              -> GIVEN_UP  it cannot be made; or it was, while the damaged one is mapped */
#include "segments_private.h"

/* Filters looked for by one who wants to make one: what a commit may take for it. */
#define LOOKED_FOR_MAX 16
#define ASKED_AT_ONCE 64

/* `lock` held: looks for it. True: it is there, and damaged. */
static bool find_filter(struct segment_set *set, struct segment_entry *entry)
{
    int rc = svl__segment_filter_open(&set->place, &entry->info, &entry->filter);
    if (rc == SVL_OK)
        entry->filter_state = FILTER_USED;
    else if (!is_shortage(rc))
        entry->filter_state = FILTER_NONE;
    return rc == SVL_E_CORRUPT;
}

void svl__segment_entry_look_again(struct segment_entry *entry)
{
    if (entry->filter_state == FILTER_NONE && !entry->filter)
        entry->filter_state = FILTER_UNKNOWN;
}

static void tell_damaged(const struct segment_set *set, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_filter_name(info, name);
    svl__log(set->log, SVL_SEVERITY_WARN, SVL_E_CORRUPT,
             "%s is damaged: its segment is asked for each key until it is made again", name);
}

/* --- asking --- */

struct asked {
    struct segment_entry *entry;
    const struct segment_filter *filter; /* NULL: the segment is to be asked */
    uint64_t hash;
    bool is_damaged, may_have;
};

static void find_filters(struct segment_set *set, struct asked *asked, size_t n)
{
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < n; i++) {
        struct segment_entry *entry = asked[i].entry;
        if (entry->info.state != SEGMENT_ACTIVE && entry->filter_state == FILTER_UNKNOWN)
            asked[i].is_damaged = find_filter(set, entry);
        asked[i].filter = entry->filter_state == FILTER_USED ? entry->filter : NULL;
    }
    pthread_mutex_unlock(&set->lock);
}

/* All lines are on their way before the first is looked at. */
static void ask(struct asked *asked, size_t n, svl_slice key)
{
    for (size_t i = 0; i < n; i++)
        if (asked[i].filter)
            asked[i].hash = svl__segment_filter_hash(asked[i].filter, key);
    for (size_t i = 0; i < n; i++)
        asked[i].may_have =
            !asked[i].filter ||
            svl__segment_filter_may_have(asked[i].filter, asked[i].hash, &asked[i].is_damaged);
}

/* Those that may have the key go to `kept`; the others are let go of. */
static size_t keep(struct segment_set *set, const struct asked *asked, size_t n,
                   struct segment_entry **kept)
{
    size_t count = 0;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; i < n; i++) {
        if (asked[i].is_damaged)
            asked[i].entry->filter_state = FILTER_NONE;
        if (asked[i].may_have)
            kept[count++] = asked[i].entry;
        else
            svl__segment_entry_release_locked(set, asked[i].entry);
    }
    pthread_mutex_unlock(&set->lock);
    return count;
}

size_t svl__segments_sift(struct segment_set *set, svl_slice key, struct segment_entry **entries,
                          size_t n, size_t *damaged)
{
    size_t kept = 0;
    *damaged = 0;
    for (size_t done = 0; done < n; done += ASKED_AT_ONCE) {
        struct asked asked[ASKED_AT_ONCE] = { 0 };
        size_t some = n - done < ASKED_AT_ONCE ? n - done : ASKED_AT_ONCE;
        for (size_t i = 0; i < some; i++)
            asked[i].entry = entries[done + i];
        find_filters(set, asked, some);
        ask(asked, some, key);
        for (size_t i = 0; i < some; i++) {
            *damaged += asked[i].is_damaged;
            if (asked[i].is_damaged)
                tell_damaged(set, &asked[i].entry->info);
        }
        kept += keep(set, asked, some, entries + kept);
    }
    return kept;
}

/* --- making --- */

/* The newest full segment without one, held; NULL if there is none. */
static struct segment_entry *hold_without(struct segment_set *set, bool *is_damaged)
{
    struct segment_entry *found = NULL;
    size_t looked_for = 0;
    *is_damaged = false;
    pthread_mutex_lock(&set->lock);
    for (size_t i = set->count; i > 0 && !found && looked_for < LOOKED_FOR_MAX; i--) {
        struct segment_entry *entry = set->entries[i - 1];
        if (entry->info.state == SEGMENT_ACTIVE)
            continue;
        if (entry->filter_state == FILTER_UNKNOWN) {
            looked_for++;
            *is_damaged = find_filter(set, entry);
        }
        if (entry->filter_state == FILTER_NONE)
            found = entry;
    }
    if (found)
        found->holders++;
    pthread_mutex_unlock(&set->lock);
    return found;
}

/* SVL_E_END: there is none to make. */
static int begin(struct segment_set *set)
{
    bool is_damaged;
    set->making = hold_without(set, &is_damaged);
    if (!set->making)
        return SVL_E_END;
    if (is_damaged)
        tell_damaged(set, &set->making->info);
    return svl__filter_maker_begin(&set->place, &set->making->info, &set->maker);
}

/* The segment is closed again where it was not open. */
static int step(struct segment_set *set, bool *is_done)
{
    struct segment_entry *entry = set->making;
    struct segment *segment;
    pthread_mutex_lock(&set->lock);
    bool was_closed = !entry->segment;
    pthread_mutex_unlock(&set->lock);
    int rc = svl__segment_use(set, entry, &segment);
    if (rc != SVL_OK)
        return rc;
    rc = svl__filter_maker_step(set->maker, segment, is_done);
    pthread_mutex_lock(&set->lock);
    entry->closes |= was_closed;
    pthread_mutex_unlock(&set->lock);
    svl__segment_unuse(set, entry);
    return rc;
}

static void tell_not_made(const struct segment_set *set, int rc)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_filter_name(&set->making->info, name);
    svl__log(set->log, SVL_SEVERITY_WARN, rc,
             "%s cannot be made: %s; its segment is asked for each key until the store is opened "
             "again",
             name, svl_last_error());
}

static void end(struct segment_set *set, enum filter_state state)
{
    svl__filter_maker_end(set->maker);
    set->maker = NULL;
    pthread_mutex_lock(&set->lock);
    set->making->filter_state = state;
    svl__segment_entry_release_locked(set, set->making);
    set->making = NULL;
    pthread_mutex_unlock(&set->lock);
}

void svl__segments_make_filter(struct segment_set *set)
{
    bool is_done = false;
    int rc = set->maker ? SVL_OK : begin(set);
    if (rc == SVL_E_END)
        return;
    if (rc == SVL_OK)
        rc = step(set, &is_done);
    if (rc != SVL_OK) {
        tell_not_made(set, rc);
        end(set, FILTER_GIVEN_UP);
    } else if (is_done) {
        end(set, set->making->filter ? FILTER_GIVEN_UP : FILTER_UNKNOWN);
    }
}
