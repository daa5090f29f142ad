/* segments_private - a segment of the set, shared by segments.c and segments_filters.c. */
#ifndef SVL_STORE_SEGMENTS_PRIVATE_H
#define SVL_STORE_SEGMENTS_PRIVATE_H

#include "segment_filter.h"
#include "segments.h"

enum filter_state {
    FILTER_UNKNOWN, /* nobody has looked */
    FILTER_USED,
    FILTER_NONE,    /* there is none, or it is damaged: it can be made */
    FILTER_GIVEN_UP /* not before the store is opened again */
};

struct segment_entry {
    struct segment_info info;
    struct segment *segment; /* NULL while closed */
    uint32_t holders;        /* the set is one */
    uint32_t users;
    bool retired;
    bool closes;         /* once nobody uses it (G3) */
    bool index_is_whole; /* it was checked, and only this process writes to it */
    bool read_active;    /* it was active when it was opened, or read again */
    enum filter_state filter_state;
    bool filter_told;                    /* that it is damaged */
    int64_t filter_looked_ns;            /* monotonic: when it was looked for last */
    struct segment_filter *filter;       /* once mapped, for the entry's life */
    struct segment_entry *newer, *older; /* idle list */
};

/* `lock` held. */
void svl__segment_entry_release_locked(struct segment_set *set, struct segment_entry *entry);

/* Another process may have made what was not there. */
void svl__segment_entry_look_again(struct segment_entry *entry);

#endif
