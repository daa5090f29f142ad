/* segments.c - the set, its holders and its open environments.
 *
 * An entry's life: in the set -> retired (out of the set, file still there) -> gone. Opening happens
 * under the set's lock: one environment object per file per process (LMDB's rule) is then plain. */
#include "segments_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"

int svl__segments_init(struct segment_set *set, const struct segment_place *place,
                       const struct log_sink *log)
{
    *set = (struct segment_set){ .place = *place, .log = log };
    set->place.short_of_space = &set->short_of_space;
    if (pthread_mutex_init(&set->lock, NULL) != 0)
        return svl__fail(SVL_E_RESOURCE, "a mutex");
    return SVL_OK;
}

static void idle_remove(struct segment_set *set, struct segment_entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        set->idle_newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        set->idle_oldest = entry->newer;
    entry->newer = entry->older = NULL;
}

static void idle_add(struct segment_set *set, struct segment_entry *entry)
{
    entry->older = set->idle_newest;
    entry->newer = NULL;
    if (set->idle_newest)
        set->idle_newest->newer = entry;
    else
        set->idle_oldest = entry;
    set->idle_newest = entry;
}

static void close_segment(struct segment_set *set, struct segment_entry *entry)
{
    idle_remove(set, entry);
    entry->index_is_whole = !set->place.read_only && svl__segment_index_is_whole(entry->segment);
    svl__segment_close(entry->segment);
    entry->segment = NULL;
    entry->closes = false;
    set->open_count--;
}

static void remove_file(struct segment_set *set, const struct segment_info *info)
{
    char name[SEGMENT_NAME_BYTES], lock_name[SEGMENT_NAME_BYTES + 8];
    svl__segment_name(info, name);
    snprintf(lock_name, sizeof lock_name, "%s-lock", name);
    unlinkat(set->place.directory, lock_name, 0);
    svl__segment_filter_remove(set->place.directory, info);
    if (unlinkat(set->place.directory, name, 0) != 0)
        svl__log(set->log, SVL_SEVERITY_WARN, SVL_E_IO,
                 "retired segment %s could not be removed; the next open tries again", name);
}

void svl__segment_entry_release_locked(struct segment_set *set, struct segment_entry *entry)
{
    if (--entry->holders > 0)
        return;
    if (entry->segment)
        close_segment(set, entry);
    if (entry->retired && !set->place.read_only)
        remove_file(set, &entry->info);
    svl__segment_filter_close(entry->filter);
    svl__free(entry);
}

void svl__segments_free(struct segment_set *set)
{
    svl__filter_maker_end(set->maker);
    for (size_t i = 0; i < set->count; i++)
        svl__segment_entry_release_locked(set, set->entries[i]);
    svl__free(set->entries);
    pthread_mutex_destroy(&set->lock);
    set->entries = NULL;
    set->count = 0;
}

static int make_room(struct segment_set *set)
{
    if (set->count < set->capacity)
        return SVL_OK;
    size_t capacity = set->capacity ? set->capacity * 2 : 16;
    struct segment_entry **grown = svl__realloc(set->entries, capacity * sizeof *grown);
    if (!grown)
        return SVL_E_NOMEM;
    set->entries = grown;
    set->capacity = capacity;
    return SVL_OK;
}

int svl__segments_prepare(struct segment_set *set, const struct segment_info *info,
                          struct segment *opened, struct segment_entry **out)
{
    *out = NULL;
    struct segment_entry *entry = svl__calloc(1, sizeof *entry);
    if (!entry)
        return SVL_E_NOMEM;
    entry->info = *info;
    entry->segment = opened;
    entry->holders = 1;
    pthread_mutex_lock(&set->lock);
    int rc = make_room(set);
    pthread_mutex_unlock(&set->lock);
    if (rc == SVL_OK)
        *out = entry;
    else
        svl__free(entry);
    return rc;
}

void svl__segments_add(struct segment_set *set, struct segment_entry *entry)
{
    pthread_mutex_lock(&set->lock);
    set->entries[set->count++] = entry;
    if (entry->segment) {
        set->open_count++;
        idle_add(set, entry);
    }
    pthread_mutex_unlock(&set->lock);
}

static struct segment_entry *find(struct segment_set *set, uint64_t first_id, size_t *at)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->entries[i]->info.first_id == first_id) {
            *at = i;
            return set->entries[i];
        }
    }
    return NULL;
}

void svl__segments_retire(struct segment_set *set, uint64_t first_id)
{
    pthread_mutex_lock(&set->lock);
    size_t at;
    struct segment_entry *entry = find(set, first_id, &at);
    if (entry) {
        for (size_t i = at + 1; i < set->count; i++)
            set->entries[i - 1] = set->entries[i];
        set->count--;
        entry->retired = true;
        svl__segment_entry_release_locked(set, entry);
    }
    pthread_mutex_unlock(&set->lock);
}

/* `lock` held: for each of `infos` the entry that is there, or a new one that nobody holds yet. */
static int choose_entries(struct segment_set *set, const struct segment_info *infos, size_t n,
                          struct segment_entry **entries)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        while (at < set->count && set->entries[at]->info.first_id < infos[i].first_id)
            at++;
        const struct segment_info *info = at < set->count ? &set->entries[at]->info : NULL;
        bool known =
            info && info->first_id == infos[i].first_id && info->generation == infos[i].generation;
        entries[i] = known ? set->entries[at] : svl__calloc(1, sizeof *entries[i]);
        if (entries[i])
            continue;
        while (i-- > 0)
            if (entries[i]->holders == 0)
                svl__free(entries[i]);
        return SVL_E_NOMEM;
    }
    return SVL_OK;
}

int svl__segments_replace(struct segment_set *set, const struct segment_info *infos, size_t n)
{
    struct segment_entry **entries = svl__calloc(n + 1, sizeof *entries), **before = NULL;
    if (!entries)
        return SVL_E_NOMEM;
    pthread_mutex_lock(&set->lock);
    int rc = choose_entries(set, infos, n, entries);
    if (rc == SVL_OK) {
        size_t count = set->count;
        before = set->entries;
        for (size_t i = 0; i < count; i++)
            before[i]->retired = true;
        for (size_t i = 0; i < n; i++) {
            entries[i]->retired = false;
            entries[i]->holders++;
            entries[i]->info = infos[i];
            svl__segment_entry_look_again(entries[i]);
        }
        for (size_t i = 0; i < count; i++)
            svl__segment_entry_release_locked(set, before[i]);
        set->entries = entries;
        set->count = n;
        set->capacity = n + 1;
    }
    pthread_mutex_unlock(&set->lock);
    svl__free(rc == SVL_OK ? before : entries);
    return rc;
}

bool svl__segment_is_retired(struct segment_set *set, const struct segment_entry *entry)
{
    pthread_mutex_lock(&set->lock);
    bool retired = entry->retired;
    pthread_mutex_unlock(&set->lock);
    return retired;
}

void svl__segments_update(struct segment_set *set, const struct segment_info *info)
{
    pthread_mutex_lock(&set->lock);
    size_t at;
    struct segment_entry *entry = find(set, info->first_id, &at);
    if (entry) {
        entry->closes |=
            entry->segment && entry->info.state == SEGMENT_ACTIVE && info->state != SEGMENT_ACTIVE;
        entry->info = *info;
    }
    pthread_mutex_unlock(&set->lock);
}

size_t svl__segments_count(struct segment_set *set)
{
    pthread_mutex_lock(&set->lock);
    size_t n = set->count;
    pthread_mutex_unlock(&set->lock);
    return n;
}

int svl__segments_hold(struct segment_set *set, uint64_t id_min, uint64_t id_max,
                       struct segment_entry ***out, size_t *n)
{
    *out = NULL;
    *n = 0;
    pthread_mutex_lock(&set->lock);
    size_t first = 0, last = set->count;
    while (first < last && set->entries[first]->info.last_id < id_min)
        first++;
    while (last > first && set->entries[last - 1]->info.first_id > id_max)
        last--;
    int rc = SVL_OK;
    if (first < last) {
        struct segment_entry **held = svl__malloc((last - first) * sizeof *held);
        if (held) {
            for (size_t i = first; i < last; i++) {
                set->entries[i]->holders++;
                held[i - first] = set->entries[i];
            }
            *out = held;
            *n = last - first;
        } else {
            rc = SVL_E_NOMEM;
        }
    }
    pthread_mutex_unlock(&set->lock);
    return rc;
}

struct segment_entry *svl__segments_hold_last(struct segment_set *set)
{
    pthread_mutex_lock(&set->lock);
    struct segment_entry *entry = set->count ? set->entries[set->count - 1] : NULL;
    if (entry)
        entry->holders++;
    pthread_mutex_unlock(&set->lock);
    return entry;
}

void svl__segment_entry_release(struct segment_set *set, struct segment_entry *entry)
{
    pthread_mutex_lock(&set->lock);
    svl__segment_entry_release_locked(set, entry);
    pthread_mutex_unlock(&set->lock);
}

void svl__segment_entry_info(struct segment_set *set, struct segment_entry *entry,
                             struct segment_info *info)
{
    pthread_mutex_lock(&set->lock);
    *info = entry->info;
    pthread_mutex_unlock(&set->lock);
}

static void note_read(struct segment_entry *entry)
{
    entry->read_active = entry->info.state == SEGMENT_ACTIVE;
}

/* Another process may have committed to the segment since it was read: blocks, or the end of its key index. */
static int catch_up(struct segment_set *set, struct segment_entry *entry)
{
    struct segment_info known;
    svl__segment_info_get(entry->segment, &known);
    bool is_finished = entry->read_active && entry->info.state != SEGMENT_ACTIVE;
    if (known.last_id >= entry->info.last_id && !is_finished)
        return SVL_OK;
    int rc = svl__segment_reload(entry->segment);
    if (rc == SVL_OK)
        note_read(entry);
    else if (entry->users == 0)
        idle_add(set, entry);
    return rc;
}

int svl__segment_use(struct segment_set *set, struct segment_entry *entry, struct segment **out)
{
    *out = NULL;
    pthread_mutex_lock(&set->lock);
    int rc = SVL_OK;
    if (!entry->segment) {
        while (set->open_count >= SEGMENTS_OPEN_MAX && set->idle_oldest)
            close_segment(set, set->idle_oldest);
        rc = svl__segment_open(&set->place, &entry->info, &entry->segment);
        if (rc == SVL_OK && entry->index_is_whole)
            svl__segment_trust_index(entry->segment);
        if (rc == SVL_OK) {
            set->open_count++;
            note_read(entry);
        }
    } else if (entry->users == 0) {
        idle_remove(set, entry);
    }
    if (rc == SVL_OK && set->place.read_only)
        rc = catch_up(set, entry);
    if (rc == SVL_OK) {
        entry->users++;
        *out = entry->segment;
    }
    pthread_mutex_unlock(&set->lock);
    return rc;
}

void svl__segment_unuse(struct segment_set *set, struct segment_entry *entry)
{
    pthread_mutex_lock(&set->lock);
    if (--entry->users == 0) {
        idle_add(set, entry);
        if (entry->closes)
            close_segment(set, entry);
        while (set->open_count > SEGMENTS_OPEN_MAX && set->idle_oldest)
            close_segment(set, set->idle_oldest);
    }
    pthread_mutex_unlock(&set->lock);
}
