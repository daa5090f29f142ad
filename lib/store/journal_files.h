/* journal_files - the files of a journal, and struct journal.
 *
 *     (new) --prewritten, folder flushed, header flushed-----------> current --full, flushed--> full
 *                                            ^                                                   |
 *                                            +---- all it holds is durable elsewhere <-----------+
 *
 *   free     holds nothing that counts; removed when it is small or one too many
 *   current  takes batches
 *   full     waits for the committer */
#ifndef SVL_STORE_JOURNAL_FILES_H
#define SVL_STORE_JOURNAL_FILES_H

#include <pthread.h>

#include "journal_format.h"

enum journal_file_state { JOURNAL_FREE, JOURNAL_CURRENT, JOURNAL_FULL };

struct journal_file {
    struct journal_file *next; /* in log order; free ones anywhere */
    enum journal_file_state state;
    int fd;
    unsigned name; /* journal.<name> */
    uint64_t size;
    uint64_t used;             /* the next batch starts here */
    uint64_t last_id, last_op; /* highest in it */
    struct journal_file_header header;
};

struct journal {
    struct journal_options options;
    pthread_mutex_t lock; /* the list, the counts; never held across I/O */
    struct journal_file
        *files; /* full ones in log order, then the current one; free ones among them */
    struct journal_file *current;
    uint64_t next_sequence;
    uint64_t chain;       /* header checksum of the last batch */
    uint64_t written_seq; /* batches written */
    uint64_t durable_seq; /* batches flushed */
    bool failed;
    struct journal_stats stats;
};

void svl__journal_file_name(unsigned name, char out[32]);

/* Creates a file of `size` bytes, written once with zeros (an allocated but unwritten extent costs the
 * first flush over it a change of the file system's metadata), and adds it to the list: the next
 * current one. */
int svl__journal_file_create(struct journal *journal, uint64_t size, struct journal_file **out);
/* Writes the header of a file and flushes it: from then on the file is part of the log. SVL_E_NO_SPACE: it
 * was not written. */
int svl__journal_file_begin(struct journal *journal, struct journal_file *file);
/* Takes it off the list; closes it, and removes it from the directory if `unlinked`. */
void svl__journal_file_drop(struct journal *journal, struct journal_file *file, bool unlinked);
int svl__journal_failure(const struct journal *journal);

#endif
