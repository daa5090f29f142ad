/* journal_live - a journal that another process writes, read as it grows.
 *
 *   K1  nothing above what the writer has said to be flushed, or its headers prove to be, is read.
 *   K2  a place is a batch's sequence: files may be rolled, recycled and, by a new writer, copied under it.
 *   K3  what is recycled was committed before: whoever loses its place asks the catalog, then goes on.
 *
 * One thread at a time. */
#ifndef SVL_STORE_JOURNAL_LIVE_H
#define SVL_STORE_JOURNAL_LIVE_H

#include "bell.h"
#include "journal.h"

struct journal_live;

int svl__journal_live_open(const struct journal_options *options, struct journal_live **out);
void svl__journal_live_close(struct journal_live *live); /* NULL is fine */

/* Looks which files there are. The catalog read after it covers what has left them (K3). */
int svl__journal_live_list(struct journal_live *live);
/* Goes to the last of these files that may hold record `id`. */
int svl__journal_live_place(struct journal_live *live, uint64_t id);

/* Replays from the place on up to what is flushed: as `news` says (NULL: nothing was heard), if they are of
 * this journal, else as its headers prove. SVL_E_STALE (no words): the place was recycled: list, ask
 * the catalog, place. SVL_E_CORRUPT: a batch that was flushed is damaged. */
int svl__journal_live_advance(struct journal_live *live, const struct bell_news *news,
                              journal_replay_fn *replay, void *user);

#endif
