/* journal_scan - a journal's files and batches, read back. */
#ifndef SVL_STORE_JOURNAL_SCAN_H
#define SVL_STORE_JOURNAL_SCAN_H

#include "base/bytes.h"
#include "journal_files.h"

/* Opens all files that are part of a log, into journal->files, ascending by number. */
int svl__journal_open_files(struct journal *journal);
/* Marks the files before the log's run as free; returns the run's first file, NULL if there is none. */
struct journal_file *svl__journal_find_run(struct journal *journal);

/* Reads the batch at `offset` into `bytes`: true if it is whole, of this salt. False with *rc SVL_OK: it
 * is not. */
bool svl__journal_read_batch(const struct journal_file *file, uint64_t offset, struct buffer *bytes,
                             struct journal_batch_header *header, int *rc);
/* The tables of a batch that was read (JOURNAL_RINGS_MAX, JOURNAL_SECTIONS_MAX): false if they do not add
 * up, or the payload is damaged. */
bool svl__journal_read_tables(const struct buffer *bytes, const struct journal_batch_header *header,
                              struct ring_position *rings, struct journal_section *sections);
/* The batch of such a header and tables. */
struct journal_batch svl__journal_batch_of(const struct journal_batch_header *header,
                                           const struct ring_position *rings,
                                           const struct journal_section *sections);

#endif
