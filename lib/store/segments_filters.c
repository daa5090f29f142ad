/* segments_filters.c - the filters of full segments: opened when a key is asked for first, made where there is none.
 *
 *     UNKNOWN  -> USED      it is there
 *              -> NONE      it is not, or damaged
 *              -> GIVEN_UP  it is of a later library: it is left to that one
 *     USED     -> NONE      a line of it is damaged; it stays mapped while somebody may be asking it
 *     NONE     -> UNKNOWN   made (or another process may have made it)
 *              -> GIVEN_UP  it cannot be made; or it was, while the damaged one is mapped */
#include "segments_private.h"

#include "base/clock.h"

/* Filters looked for by one who wants to make one, at once. */
#define LOOKED_FOR_MAX 16
#define ASKED_AT_ONCE 64
#define LOOK_AGAIN_NS NS_PER_S

/* `lock` held: looks for it. True: it is damaged, and nobody was told of it yet. */
static bool find_filter(struct segment_set *set, struct segment_entry *entry)
{
    int rc = svl__segment_filter_open(&set->place, &entry->info, &entry->filter);
    entry->filter_looked_ns = svl__monotonic_ns();
    if (rc == SVL_OK)
        entry->filter_state = FILTER_USED;
    else if (rc == SVL_E_VERSION)
        entry->filter_state = FILTER_GIVEN_UP;
    else if (!is_shortage(rc))
        entry->filter_state = FILTER_NONE;
    bool is_news = rc == SVL_E_CORRUPT && !entry->filter_told;
    entry->filter_told = rc == SVL_E_CORRUPT;
    return is_news;
}

void svl__segment_entry_look_again(struct segment_entry *entry)
{
    if (entry->filter_state == FILTER_NONE && !entry->filter &&
        svl__monotonic_ns() - entry->filter_looked_ns >= LOOK_AGAIN_NS)
        entry->filter_state = FILTER_UNKNOWN;
}

static void tell_damaged(const struct segment_set *set, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES];
    svl__segment_filter_name(info, name);
    svl__log(
        set->log, SVL_SEVERITY_WARN, SVL_E_CORRUPT,
        "%s is damaged: its segment is asked for each key; who writes the store makes it again",
        name);
}

void svl__segments_filter_damaged(struct segment_set *set, struct segment_entry *entry)
{
    pthread_mutex_lock(&set->lock);
    if (entry->filter_state == FILTER_UNKNOWN || entry->filter_state == FILTER_USED)
        entry->filter_state = FILTER_NONE;
    pthread_mutex_unlock(&set->lock);
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
        struct segment_entry *entry = asked[i].entry;
        if (asked[i].is_damaged && asked[i].filter && entry->filter_state == FILTER_USED)
            entry->filter_state = FILTER_NONE;
        if (asked[i].may_have)
            kept[count++] = entry;
        else
            svl__segment_entry_release_locked(set, entry);
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
            struct segment_info info;
            if (!asked[i].is_damaged)
                continue;
            ++*damaged;
            svl__segment_entry_info(set, asked[i].entry, &info);
            tell_damaged(set, &info);
        }
        kept += keep(set, asked, some, entries + kept);
    }
    return kept;
}

/* --- making --- */

/* `lock` held: the newest full segment without one; NULL: *more, where some were not looked at, or there is none. */
static struct segment_entry *find_without(struct segment_set *set, bool *is_damaged, bool *more)
{
    size_t looked_for = 0;
    for (size_t i = set->count; i > 0; i--) {
        struct segment_entry *entry = set->entries[i - 1];
        if (entry->info.state == SEGMENT_ACTIVE)
            continue;
        *more = looked_for == LOOKED_FOR_MAX;
        if (*more)
            return NULL;
        if (entry->filter_state == FILTER_UNKNOWN) {
            looked_for++;
            *is_damaged = find_filter(set, entry);
        }
        if (entry->filter_state == FILTER_NONE)
            return entry;
    }
    return NULL;
}

static struct segment_entry *find_made(struct segment_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct segment_info *info = &set->entries[i]->info;
        if (info->first_id == set->making.first_id && info->generation == set->making.generation)
            return set->entries[i];
    }
    return NULL;
}

/* The segment whose filter is made, or is to be; held. NULL: there is none, or *more. */
static struct segment_entry *hold_next(struct segment_set *set, bool *is_damaged, bool *more)
{
    *is_damaged = *more = false;
    pthread_mutex_lock(&set->lock);
    struct segment_entry *entry = set->maker ? find_made(set) : find_without(set, is_damaged, more);
    if (entry) {
        entry->holders++;
        set->making = entry->info;
    }
    pthread_mutex_unlock(&set->lock);
    return entry;
}

/* A step, in the segment. Nobody else uses it: then it is closed behind it, if it was. */
static int make_some(struct segment_set *set, struct segment_entry *entry, bool *is_done)
{
    struct segment *segment;
    pthread_mutex_lock(&set->lock);
    bool was_closed = !entry->segment;
    pthread_mutex_unlock(&set->lock);
    int rc = svl__segment_use(set, entry, &segment);
    if (rc != SVL_OK)
        return rc;
    if (!set->maker)
        rc = svl__filter_maker_begin(&set->place, &set->making, &set->maker);
    if (rc == SVL_OK)
        rc = svl__filter_maker_step(set->maker, segment, is_done);
    pthread_mutex_lock(&set->lock);
    entry->closes |= was_closed && entry->users == 1;
    pthread_mutex_unlock(&set->lock);
    svl__segment_unuse(set, entry);
    return rc;
}

static void tell_not_made(struct segment_set *set, int rc)
{
    char name[SEGMENT_NAME_BYTES];
    if (!svl__log_due(&set->not_made_told_ns))
        return;
    svl__segment_filter_name(&set->making, name);
    svl__log(set->log, SVL_SEVERITY_WARN, rc,
             "%s cannot be made: %s; its segment is asked for each key until %s", name,
             svl_last_error(),
             is_shortage(rc) ? "the next commit tries again" : "the store is opened again");
}

static void end(struct segment_set *set, struct segment_entry *entry, enum filter_state state)
{
    svl__filter_maker_end(set->maker);
    set->maker = NULL;
    pthread_mutex_lock(&set->lock);
    if (entry)
        entry->filter_state = state;
    pthread_mutex_unlock(&set->lock);
}

int svl__segments_make_filter(struct segment_set *set)
{
    bool is_damaged, more, is_done = false;
    struct segment_entry *entry = hold_next(set, &is_damaged, &more);
    if (is_damaged)
        tell_damaged(set, &set->making);
    if (!entry) {
        more |= set->maker != NULL; /* its segment was retired meanwhile */
        end(set, NULL, FILTER_NONE);
        return more ? SVL_OK : SVL_E_END;
    }
    int rc = make_some(set, entry, &is_done);
    if (rc != SVL_OK) {
        tell_not_made(set, rc);
        end(set, entry, is_shortage(rc) ? FILTER_NONE : FILTER_GIVEN_UP);
    } else if (is_done) {
        end(set, entry, entry->filter ? FILTER_GIVEN_UP : FILTER_UNKNOWN);
    }
    svl__segment_entry_release(set, entry);
    return is_shortage(rc) ? rc : SVL_OK;
}
