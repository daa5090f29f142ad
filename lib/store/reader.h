/* reader - what a store has that is opened read-only, in place of its writing threads. */
#ifndef SVL_STORE_READER_H
#define SVL_STORE_READER_H

#include <stdbool.h>

#include <serverlog/store.h>

struct segment_entry;
struct store_reader;

/* Makes store->reader and takes a first look; after the catalog and the set of segments. */
int svl__reader_open(svl_store *store);
/* Looks what has become durable, into tail and segments. Any thread. SVL_E_ACCESS: the writer is in
 * another PID namespace. */
int svl__reader_look(svl_store *store);
/* Of a segment that could not be opened: another process has retired it before, and its file is not there any more.
 * False in the process that writes. The words of that failure stay. */
bool svl__reader_is_gone(svl_store *store, const struct segment_entry *entry);
/* From now on a thread does so at each ring of the bell. */
int svl__reader_listen(svl_store *store);
/* Ends that thread. */
void svl__reader_end(svl_store *store);
void svl__reader_free(struct store_reader *reader); /* NULL is fine */

#endif
